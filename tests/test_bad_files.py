"""The published data sets' files spoilt: IDX, CIFAR-10's binary version, links, and the list of checksums."""

import gzip
import hashlib
import io
import re
import struct
import tarfile
from pathlib import Path

import numpy as np
import pytest
from bad import SMALL, images, npz, refused  # noqa: F401  a fixture

from hfkd import archives, formats, paths

LABELS = "train-labels-idx1-ubyte.gz"
RAW = bytes([0, 0, 8, 1]) + struct.pack(">I", 150) + images()["labels"].astype(np.uint8).tobytes()


def bomb(length: int) -> bytes:
    """gzip of IDX labels that say they are so many, then a mebibyte of zeros."""
    return gzip.compress(bytes([0, 0, 8, 1]) + struct.pack(">I", length) + bytes(2**20))


IDX = {  # what the file of the labels holds -> what the sentence says
    "nothing": (b"", "begins with bytes none; an IDX file begins with 00000801 or 3; delete it"),
    "text": (b"<html>", "begins with bytes 3c68746d; an IDX file"),
    "a pickle": (b"\x80\x04N.", "begins with bytes 80044e2e; an IDX file"),
    "cut in its header": (gzip.compress(RAW[:6]), "begins with bytes 00000801; an IDX file"),
    "floats": (gzip.compress(b"\0\0\x0d\1" + RAW[4:]), "begins with bytes 00000d01; an IDX file"),
    "integers of 4 bytes": (gzip.compress(b"\0\0\x0c\1" + RAW[4:]), "begins with bytes 00000c01; an IDX file"),
    "two axes": (gzip.compress(b"\0\0\x08\2" + RAW[4:]), "begins with bytes 00000802; an IDX file"),
    "the other byte order": (gzip.compress(RAW[:4] + RAW[7:3:-1] + RAW[8:]), "promises 2516582400 values of shape"),
    "one value less": (gzip.compress(RAW[:-1]), "promises 150 values of shape (150,), but 149 are there"),
    "one value more": (gzip.compress(RAW + b"\1"), "promises 150 values of shape (150,), but more are there"),
    "cut gzip": (gzip.compress(RAW)[:-12], "Compressed file ended before the end-of-stream marker"),
    "altered gzip": (gzip.compress(RAW, 0).replace(RAW[20:29], bytes(9)), "CRC check failed"),
    "gzip of another method": (b"\x1f\x8b\x07" + gzip.compress(RAW)[3:], "Unknown compression method"),
    "broken gzip": (gzip.compress(RAW)[:10] + b"\x07" * 40, "Error -3 while decompressing data: "),
    "a bomb that says so": (bomb(2**32 - 1), "promises 4294967295 values of shape (4294967295,), but 1"),
    "a bomb that does not": (bomb(99), "promises 99 values of shape (99,), but more are there"),
    "a label of 10": (gzip.compress(RAW[:-1] + b"\n"), "data set mnist has a label 10; expected labels 0..9"),
    "images": (gzip.compress(b"\0\0\x08\3" + struct.pack(">III", 2, 1, 1) + b"ab"), "(2, 1, 1); expected labels"),
    "fewer labels": (gzip.compress(RAW[:4] + struct.pack(">I", 149) + RAW[8:-1]), "labels of shape (299,)"),
}


def write_mnist(folder: Path, labels: bytes) -> None:
    """Four IDX files of 150 images or labels each; `labels` are the bytes of the training part's."""
    folder.mkdir(parents=True)
    pixels = gzip.compress(bytes([0, 0, 8, 3]) + struct.pack(">III", 150, 4, 4) + images()["images"].tobytes())
    for name in ("train-images-idx3-ubyte.gz", "t10k-images-idx3-ubyte.gz"):
        (folder / name).write_bytes(pixels)
    (folder / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(RAW))
    (folder / LABELS).write_bytes(labels)


@pytest.mark.parametrize("what", IDX)
def test_idx(what, tmp_path, refused):  # noqa: F811
    content, said = IDX[what]
    write_mnist(tmp_path / "raw" / "mnist", content)
    assert said in refused("run", "--dataset", "mnist", *SMALL)


def test_idx_of_two_sizes(tmp_path, refused):  # noqa: F811
    write_mnist(tmp_path / "raw" / "mnist", gzip.compress(RAW))
    other = bytes([0, 0, 8, 3]) + struct.pack(">III", 150, 2, 2) + bytes(600)
    (tmp_path / "raw" / "mnist" / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(other))
    said = refused("run", "--dataset", "mnist", *SMALL)
    assert "mnist has images of shapes (150, 4, 4) and (150, 2, 2); expected one size" in said


def test_what_the_header_promises_is_not_unpacked_above_the_limit(monkeypatch):
    monkeypatch.setattr(formats, "LARGEST", 2**20)
    monkeypatch.setattr(archives, "LARGEST", 2**20)
    with pytest.raises(ValueError, match=r"promises 1048577 values of shape \(1048577,\); expected at most 1048576"):
        formats.parse_idx(bomb(2**20 + 1))
    with pytest.raises(ValueError, match="unpacks to 1048705 bytes; expected at most 1048576"):
        archives.parse_npz(npz(labels=np.zeros(2**20 + 1, np.uint8)))
    assert len(formats.parse_idx(bomb(2**20))) == 2**20


def tar(*members) -> bytes:
    """A tar.gz of (name, bytes), or of a TarInfo alone, which then promises bytes that are not there."""
    with tarfile.open(fileobj=(file := io.BytesIO()), mode="w:gz") as packed:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = content if isinstance(content, int) else len(content)
            packed.addfile(member, None if isinstance(content, int) else io.BytesIO(content))
    return file.getvalue()


BATCHES = [(f"a/{name}", bytes(6146)) for name in formats.CIFAR_FILES]
TAR = {
    "no tar": (gzip.compress(b"no tar at all"), "cifar-10-binary.tar.gz cannot be read: "),
    "no gzip": (b"PK\3\4", "not a gzip file"),
    "an empty one": (tar(), "is missing in it; expected the binary version of CIFAR-10"),
    "one missing": (tar(*BATCHES[1:]), "read: data_batch_1.bin is missing in it"),
    "one too short": (tar(*BATCHES[:5], ("a/test_batch.bin", b"1")), "it has 1 bytes; expected 2 records"),
    "one too long": (tar(*BATCHES[:5], ("a/test_batch.bin", bytes(6147))), "test_batch.bin has 6147 bytes; exp"),
    "a bomb": (tar(("zeros", 2**40)), "its file zeros has 1099511627776 bytes; expected 6146"),
    "a cut one": (tar(*BATCHES)[:-30], "Compressed file ended before the end-of-stream marker was reached; delete"),
}


@pytest.mark.parametrize("what", TAR)
def test_cifar_archive(what, tmp_path, refused, monkeypatch):  # noqa: F811
    monkeypatch.setattr(formats, "CIFAR_RECORDS", 2)
    content, said = TAR[what]
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "cifar-10-binary.tar.gz").write_bytes(content)
    assert said in refused("run", "--dataset", "cifar10", *SMALL)


@pytest.mark.parametrize("where", ["own.npz", "mnist/" + LABELS, "mnist"])
def test_links_do_not_lead_out_of_the_data_folder(where, tmp_path, refused):  # noqa: F811
    write_mnist(tmp_path / "elsewhere" / "mnist", gzip.compress(RAW))
    write_mnist(tmp_path / "raw" / "mnist", gzip.compress(RAW))
    (tmp_path / "elsewhere" / "own.npz").write_bytes(npz(**images()))
    link = tmp_path / "raw" / where
    if link.is_dir():
        link.rename(tmp_path / "raw" / "aside")
    link.unlink(missing_ok=True)
    link.symlink_to(tmp_path / "elsewhere" / where)
    name = "own.npz" if where == "own.npz" else "mnist"
    assert "out of the data folder; expected the file itself, or HFKD" in refused("run", "--dataset", name, *SMALL)


def test_a_relative_name_does_not_climb_out_of_the_data_folder(tmp_path, refused):  # noqa: F811
    (tmp_path / "raw" / "deep").mkdir(parents=True)
    (tmp_path / "raw" / "deep" / "own.npz").write_bytes(npz(**images()))
    (tmp_path / "own.npz").write_bytes(npz(**images()))
    said = refused("run", "--dataset", "deep/../../own.npz", *SMALL)
    assert "deep/../../own.npz leads to " in said and "out of the data folder" in said


CHECKSUMS = {"no path": "0" * 64, "a short digest": "abc  own.npz", "a binary line": "\0\1\2"}


@pytest.mark.parametrize("what", CHECKSUMS)
def test_list_of_checksums(what, tmp_path, refused):  # noqa: F811
    (tmp_path / "own.npz").write_bytes(npz(**images()))
    paths.CHECKSUMS.write_text(CHECKSUMS[what] + "\n")
    said = refused("run", "--dataset", "own.npz", *SMALL)
    assert f"checksums.sha256 has the line {CHECKSUMS[what]!r}; expected 64 hexadecimal digits, then a path" in said


def test_altered_files_and_files_of_another_data_set(tmp_path, refused):  # noqa: F811
    (tmp_path / "own.npz").write_bytes(npz(**images()))
    digest = hashlib.sha256((tmp_path / "own.npz").read_bytes()).hexdigest()
    paths.CHECKSUMS.write_text(f"{'0' * 64}  own.npz\n")
    assert f"has sha256 {digest[:12]}..., but 000000000000... is" in refused("run", "--dataset", "own.npz", *SMALL)
    paths.CHECKSUMS.write_text(f"{'0' * 64}  own.npz\n{digest}  other.npz\n")
    assert "own.npz is the file other.npz, not own.npz; move" in refused("run", "--dataset", "own.npz", *SMALL)


def test_nothing_in_the_package_reads_a_pickle():
    sources = {path: path.read_text("utf-8") for path in (paths.ROOT / "hfkd").rglob("*.py")}
    readers = re.compile(r"import pickle|pickle\.load|joblib|torch\.load|np\.load\(|read_pickle|shelve|marshal")
    assert not [path.name for path, text in sources.items() for hit in readers.finditer(text)]
    asked = [hit for text in sources.values() for hit in re.findall(r"allow_pickle\s*=\s*(\w+)", text)]
    assert asked and set(asked) == {"False"}
