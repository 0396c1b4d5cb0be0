"""Data files that are not what they say: npz, IDX, CIFAR-10's archive, JPEG, links. Each ends in one sentence."""

import os
import zipfile

import numpy as np
import pytest
from bad import SMALL, archive, images, npy, npz, refused  # noqa: F401  a fixture

from hfkd import data
from hfkd.cli import main

GOOD = images()
HEAD = "{'descr': '|u1', 'fortran_order': False, 'shape': %s}"
ONE = GOOD["labels"] * 0


def spoilt(**change) -> bytes:
    """The good npz with other arrays; None takes one away."""
    return npz(**{name: array for name, array in (GOOD | change).items() if array is not None})


def labelled(content: bytes) -> bytes:
    """An npz with good images, and these bytes as its labels.npy."""
    return archive([("images.npy", npy(HEAD % "(150, 4, 4)", GOOD["images"].tobytes())), ("labels.npy", content)])


def encrypted(member):
    """Say in zip's directory that a member needs a password."""
    member.flag_bits |= 1


def huge(member):
    """Say that a member unpacks to a tebibyte."""
    member.file_size = 2**40


NPZ = {  # what the file holds -> what the sentence says
    "a pickle": (b"\x80\x04N.", "it is not an npz archive (pickles are never read"),
    "nothing": (b"", "own.npz cannot be read: it is not an npz archive"),
    "text": (b"<html>404</html>", "it is not an npz archive"),
    "half a zip": (spoilt()[:-60], "own.npz cannot be read: File is not a zip file"),
    "an empty zip": (archive([]), "has arrays none; expected images and labels"),
    "another checksum": (spoilt().replace(GOOD["images"].tobytes()[:9], bytes(9)), "Bad CRC-32 for file 'images.npy'"),
    "a bomb by its directory": (archive([("images.npy", b"0" * 99)], spoil=huge), "unpacks to 1099511627776 bytes"),
    "a bomb by its header": (labelled(npy(HEAD % "(10**15,)")), "b\"{'descr': '|u1', 'fortran_order': False,\"; ex"),
    "a long header": (labelled(npy(HEAD % "(999999999999,)")), "has the shape (999999999999,); expected a tuple"),
    "more promised": (labelled(npy(HEAD % "(151,)", bytes(150))), "promises 151 bytes by its shape (151,), but 15"),
    "less promised": (labelled(npy(HEAD % "(149,)", bytes(150))), "promises 149 bytes by its shape (149,), but 15"),
    "a negative length": (labelled(npy(HEAD % "(-150,)", bytes(150))), "has the shape (-150,); expected a tuple"),
    "a length of one half": (labelled(npy(HEAD % "(.5,)", b"")), "has the shape (0.5,); expected a tuple of lengths"),
    "a shape in words": (labelled(npy(HEAD % "'150'", bytes(150))), "has the shape '150'; expected a tuple of lengths"),
    "code in the header": (labelled(npy("__import__('os').getpid()")), "a header b\"__import__('os').getpid()\"; e"),
    "brackets in the header": (labelled(npy("[" * 9000)), "has a header b'[[[[[["),
    "no header": (labelled(npy("")), "has a header b''; expected descr"),
    "another header": (labelled(npy("{'descr': '|u1'}")), "has a header b\"{'descr': '|u1'}\"; expected descr"),
    "a cut header": (labelled(npy(HEAD % "(150,)")[:30]), "has a header b\"{'descr': '|u1', 'fo\"; expected"),
    "another version": (labelled(npy(HEAD % "(150,)", b"", b"\x93NUMPY\x09\x00")), "begins with bytes 934e554d50590"),
    "no npy": (labelled(b"1,2,3"), "its array 'labels' begins with bytes 312c322c33; an npy file begins"),
    "nothing in an array": (labelled(b""), "its array 'labels' begins with bytes none"),
    "Python objects": (spoilt(labels=np.array([print] * 150, object)), "its array 'labels' holds Python objects; e"),
    "Python objects in a field": (spoilt(labels=np.zeros(150, [("a", object)])), "'labels' holds Python objects"),
    "fields": (spoilt(labels=np.zeros(150, [("a", int)])), "its array 'labels' has the type \"[('a', '<i8')]\""),
    "words": (spoilt(labels=np.array(["a"] * 150)), "its array 'labels' has the type '<U1'; expected booleans"),
    "dates": (spoilt(labels=np.zeros(150, "M8[D]")), "its array 'labels' has the type '<M8[D]'; expected booleans"),
    "complex numbers": (spoilt(labels=ONE + 1j), "its array 'labels' has the type '<c16'; expected booleans"),
    "an array twice": (archive([("images", b""), ("images.npy", b"")]), "it has array 'images' more than once"),
    "a password": (archive([("images.npy", b"0" * 99)], spoil=encrypted), "is encrypted, password required"),
    "bzip2": (archive([("images.npy", b"0" * 99)], zipfile.ZIP_BZIP2), "is packed by zip's method 12; expected 0 or 8"),
    "lzma": (archive([("images.npy", b"0" * 99)], zipfile.ZIP_LZMA), "is packed by zip's method 14; expected 0 or 8"),
    "no labels": (spoilt(labels=None), "has arrays images; expected images and labels"),
    "no images": (spoilt(images=None), "has arrays labels; expected images and labels"),
    "other names": (npz(x=GOOD["images"], y=GOOD["labels"]), "has arrays x, y; expected images and labels"),
    "swapped": (npz(images=GOOD["labels"], labels=GOOD["images"]), "has images of shape (150,) and type int64"),
    "floats": (spoilt(images=GOOD["images"] / 255), "has images of shape (150, 4, 4) and type float64"),
    "NaN": (spoilt(images=np.full((150, 4, 4), np.nan, "f4")), "has images of shape (150, 4, 4) and type float32"),
    "channels first": (spoilt(images=np.zeros((150, 3, 4, 4), np.uint8)), "has images of shape (150, 3, 4, 4)"),
    "flat images": (spoilt(images=GOOD["images"].reshape(150, 16)), "has images of shape (150, 16) and type uint8"),
    "no pixels": (spoilt(images=np.zeros((150, 0, 4), np.uint8)), "has images of shape (150, 0, 4) and type uint8"),
    "no samples": (npz(images=GOOD["images"][:0], labels=GOOD["labels"][:0]), "has 0 images and labels of shape (0,)"),
    "one grey": (spoilt(images=np.full((150, 4, 4), 7, np.uint8)), "data set own has pixels of value 7 only; expected"),
    "fewer labels": (spoilt(labels=GOOD["labels"][:149]), "has 150 images and labels of shape (149,)"),
    "labels in a column": (spoilt(labels=GOOD["labels"][:, None]), "has 150 images and labels of shape (150, 1)"),
    "labels of floats": (spoilt(labels=GOOD["labels"] * 1.), "labels of shape (150,) and type float64; expected o"),
    "labels of NaN": (spoilt(labels=np.full(150, np.nan, "f4")), "labels of shape (150,) and type float32; expected o"),
    "labels from 1": (spoilt(labels=GOOD["labels"] + 1), "has labels 1..3 of which 3 occur; expected every label"),
    "labels below 0": (spoilt(labels=GOOD["labels"] - 1), "has labels -1..1 of which 3 occur"),
    "labels with a gap": (spoilt(labels=GOOD["labels"] * 2), "has labels 0..4 of which 3 occur"),
    "huge labels": (spoilt(labels=GOOD["labels"].astype("u8") + 2**63), "has labels 9223372036854775808..9223372036"),
    "one class": (spoilt(labels=ONE), "has labels 0..0 of which 1 occur; expected every label 0..C-1, C >= 2"),
    "too few classes": (spoilt(n_classes=2), "has a label 2; expected labels 0..1"),
    "a class number of floats": (spoilt(n_classes=3.), "has n_classes 3.0; expected one integer >= 2"),
    "class numbers": (spoilt(n_classes=[3, 3]), "has n_classes [3 3]; expected one integer >= 2"),
    "one class by name": (spoilt(n_classes=1), "has n_classes 1; expected one integer >= 2"),
    "a huge number of classes": (spoilt(n_classes=10**18), "balanced_size is 6; expected an integer >= 1000000"),
    "a class without samples": (spoilt(n_classes=6), "balanced_size is 6, but class 3 has only 0 samples"),
    "is_test of numbers": (spoilt(is_test=ONE), "has is_test (or is_train) of shape (150,) and type int64"),
    "is_train of one": (spoilt(is_train=np.array([True])), "has is_test (or is_train) of shape (1,) and type bool"),
    "both parts": (spoilt(is_train=ONE > 0, is_test=ONE > 0), "has is_test and is_train; expected at most one of them"),
    "all is test": (spoilt(is_test=ONE == 0), "public_size is 20, but only 0 samples are left; expected"),
    "nothing is test": (spoilt(is_train=ONE > 0), "public_size is 20, but only 0 samples"),
    "client ids below 0": (spoilt(client=ONE - 1), "has client ids of shape (150,) and type int64; expected 150"),
    "client ids of floats": (spoilt(client=ONE * np.nan), "has client ids of shape (150,) and type float64"),
    "too few client ids": (spoilt(client=ONE[:5]), "has client ids of shape (5,) and type int64; expected 150 int"),
}
NATURAL = {  # client ids that only the partition natural reads
    "a gap": (spoilt(client=GOOD["labels"] * 2), "client 1 has no sample; expected ids 0..N-1 that all occur"),
    "a huge id": (spoilt(client=GOOD["labels"] * 10**18), "client 1 has no sample; expected ids 0..N-1"),
    "four clients": (spoilt(client=np.arange(150) % 4), "clients is 3, but data set own has 4 given clients"),
    "no ids": (spoilt(), "data set own has no client ids; the partition natural needs them"),
}


def test_the_good_file_is_good(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.npz").write_bytes(spoilt())
    assert main(["run", "--dataset", "own.npz", "--out", "a.csv", *SMALL]) == 0
    assert "rows in a.csv" in capsys.readouterr().out


@pytest.mark.parametrize("what", NPZ)
def test_npz(what, tmp_path, refused):  # noqa: F811
    content, said = NPZ[what]
    (tmp_path / "own.npz").write_bytes(content)
    assert said in refused("run", "--dataset", "own.npz", *SMALL)


@pytest.mark.parametrize("what", NATURAL)
def test_npz_with_clients(what, tmp_path, refused):  # noqa: F811
    content, said = NATURAL[what]
    (tmp_path / "own.npz").write_bytes(content)
    assert said in refused("run", "--dataset", "own.npz", "--set", "partition=natural", *SMALL)


def test_what_has_no_end_is_not_read(tmp_path, refused):  # noqa: F811
    os.mkfifo(tmp_path / "own.npz")
    assert "own.npz is no regular file; expected one); give" in refused("run", "--dataset", "own.npz", *SMALL)
    (tmp_path / "own.npz").unlink()
    for place in (tmp_path, tmp_path / "raw"):
        place.mkdir(exist_ok=True)
        (place / "own.npz").symlink_to("/dev/zero")
        said = refused("run", "--dataset", place / "own.npz", *SMALL)
        assert ("zero is no regular file" if place == tmp_path else "leads to /dev/zero, out of the data") in said
    (tmp_path / "huge.npz").touch()
    os.truncate(tmp_path / "huge.npz", 2**43)  # nothing on the disk
    with pytest.raises(FileNotFoundError, match="huge.npz has 8796093022208 bytes; expected at most 4294967296"):
        data.load(tmp_path / "huge.npz")
