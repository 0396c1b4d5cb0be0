"""File formats of the data sets: bytes in, arrays out, checked against the known sha256, never unpickled (ours).

A parser says what is wrong with the bytes it was given. `read` adds which file it was and how to get it again.
"""

import gzip
import hashlib
import io
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from hfkd import paths

CIFAR_RECORDS = 10_000  # images in each of CIFAR-10's six binary files
CIFAR_FILES = [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]
_BROKEN = (ValueError, EOFError, OSError, zlib.error, zipfile.BadZipFile, tarfile.TarError)


def known_checksums() -> dict[str, str]:
    """sha256 of the raw files that this artifact was built with, by path relative to the raw data folder (ours).

    Returns:
        The lines of data/checksums.sha256 (format of sha256sum, lines that begin with # skipped); {} without the file.

    >>> known_checksums()["fashion_mnist/train-labels-idx1-ubyte.gz"][:8]
    '0ae29f65'
    """
    if not paths.CHECKSUMS.is_file():
        return {}
    lines = paths.CHECKSUMS.read_text(encoding="utf-8").splitlines()
    pairs = [line.split(maxsplit=1) for line in lines if line.strip() and not line.startswith("#")]
    return {key.strip(): digest for digest, key in pairs}


def read(path: Path, key: str | None, again: str, parse: Callable):
    """Read a whole file, check its sha256 where `key` is listed, and parse it (ours).

    Args:
        path: the file.
        key: its path in data/checksums.sha256, such as "mnist/train-labels-idx1-ubyte.gz"; None: a user's own file.
        again: how to get the file again; the end of every error.
        parse: a function of bytes from this module.

    Raises:
        FileNotFoundError: the file cannot be read.
        ValueError: the file is altered, is another data set's file, or cannot be parsed.

    >>> read(Path("nowhere.npz"), None, "write it anew", parse_npz)
    Traceback (most recent call last):
    FileNotFoundError: cannot read nowhere.npz (No such file or directory); write it anew
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise FileNotFoundError(f"cannot read {path} ({error.strerror}); {again}") from None
    if key is not None:
        digest, known = hashlib.sha256(content).hexdigest(), known_checksums()
        # MNIST and Fashion-MNIST use the same file names: a file in the wrong folder would pass every other check.
        other = next((k for k, v in known.items() if v == digest and known.get(key) != digest), None)
        if other is not None:
            raise ValueError(f"{path} is the file {other}, not {key}; move it away and {again}")
        if known.get(key, digest) != digest:
            raise ValueError(f"{path} has sha256 {digest[:12]}..., but {known[key][:12]}... is expected"
                             f" (data/checksums.sha256): it is altered or truncated; delete it and {again}")
    try:
        return parse(content)
    except _BROKEN as error:
        raise ValueError(f"{path} cannot be read: {error}; delete it and {again}") from error


def parse_idx(content: bytes) -> np.ndarray:
    """An IDX file of unsigned bytes, plain or gzipped: images (n,h,w) or labels (n,), uint8 (the format of MNIST).

    Layout: two zero bytes, type 0x08, number of axes, each length as a big-endian 32-bit integer, then the values.

    Raises:
        ValueError: another magic number, or not exactly as many bytes as the header promises.

    >>> parse_idx(bytes([0, 0, 8, 1, 0, 0, 0, 2, 7, 9])).tolist()
    [7, 9]
    >>> parse_idx(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 9]))
    Traceback (most recent call last):
    ValueError: its header promises 3 values of shape (3,), but 2 are there
    """
    raw = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    axes = raw[3] if len(raw) > 3 else 0
    if raw[:3] != b"\0\0\x08" or axes not in (1, 3) or len(raw) < 4 + 4 * axes:
        raise ValueError(f"it begins with bytes {raw[:4].hex() or 'none'}; an IDX file begins with 00000801 or 3")
    shape = tuple(int(length) for length in np.frombuffer(raw, ">u4", axes, 4))
    promised, there = int(np.prod(shape, dtype=object)), len(raw) - 4 - 4 * axes
    if promised != there:
        raise ValueError(f"its header promises {promised} values of shape {shape}, but {there} are there")
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * axes).reshape(shape).copy()


def parse_cifar(content: bytes) -> tuple[np.ndarray, np.ndarray]:
    """One binary CIFAR-10 file: images (10000,3,32,32) uint8 and labels (10000,) uint8 (the format of its authors).

    Each record is one label byte, then 1024 red, 1024 green and 1024 blue bytes, row by row.

    Raises:
        ValueError: not exactly 10,000 records.

    >>> parse_cifar(bytes(3073))
    Traceback (most recent call last):
    ValueError: it has 3073 bytes; expected 10000 records of 3073 bytes
    """
    if len(content) != CIFAR_RECORDS * 3073:
        raise ValueError(f"it has {len(content)} bytes; expected {CIFAR_RECORDS} records of 3073 bytes")
    records = np.frombuffer(content, np.uint8).reshape(CIFAR_RECORDS, 3073)
    return records[:, 1:].reshape(-1, 3, 32, 32).copy(), records[:, 0].copy()


def parse_cifar_tar(content: bytes) -> list[tuple[np.ndarray, np.ndarray]]:
    """The six files of cifar-10-binary.tar.gz, five of training, then the test file, read in memory (not extracted).

    Raises:
        ValueError: a file is missing from the archive, or `parse_cifar` refuses it.

    >>> parse_cifar_tar(b"")
    Traceback (most recent call last):
    tarfile.ReadError: empty file
    """
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
        members = {Path(member.name).name: member for member in archive if member.isfile()}
        missing = [name for name in CIFAR_FILES if name not in members]
        if missing:
            raise ValueError(f"{', '.join(missing)} is missing in it; expected the binary version of CIFAR-10")
        return [parse_cifar(archive.extractfile(members[name]).read()) for name in CIFAR_FILES]


def parse_npz(content: bytes) -> dict[str, np.ndarray]:
    """All arrays of an npz by name; an array of Python objects is refused, it would have to be unpickled (ours).

    >>> packed = io.BytesIO(); np.savez(packed, labels=np.array([3, 1]))
    >>> parse_npz(packed.getvalue())["labels"].tolist()
    [3, 1]
    """
    if content[:2] != b"PK":
        raise ValueError("it is not an npz archive (pickles are never read, they can run code)")
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def parse_jpegs(content: bytes) -> tuple[np.ndarray, np.ndarray]:
    """An npz of JPEG images: images (n,3,h,w) uint8 and labels (n,); lossy, the pixels are not the publisher's (ours).

    Image i is `jpeg[offsets[i]:offsets[i+1]]`. 60,000 images take about 10 s; nothing decoded is written to disk.

    Raises:
        ValueError: an array is missing, the offsets do not cut the bytes into a piece per label, or a piece is no JPEG.

    >>> packed = io.BytesIO(); np.savez(packed, labels=np.array([3, 1]))
    >>> parse_jpegs(packed.getvalue())
    Traceback (most recent call last):
    ValueError: it has arrays labels; expected jpeg, offsets and labels
    """
    from PIL import Image  # matplotlib brings Pillow; only this reader needs it

    arrays = parse_npz(content)
    if not {"jpeg", "offsets", "labels"} <= set(arrays):
        raise ValueError(f"it has arrays {', '.join(arrays)}; expected jpeg, offsets and labels")
    packed, offsets, labels = arrays["jpeg"].tobytes(), arrays["offsets"].astype(np.int64), arrays["labels"]
    ends = (0, len(packed)) == (offsets[0], offsets[-1]) if len(offsets) else False
    if not ends or len(offsets) != len(labels) + 1 or (np.diff(offsets) <= 0).any():
        raise ValueError(f"its {len(offsets)} offsets do not cut {len(packed)} bytes into {len(labels)} images")
    pieces = (io.BytesIO(packed[start:end]) for start, end in zip(offsets[:-1], offsets[1:]))
    images = np.stack([np.asarray(Image.open(piece).convert("RGB")) for piece in pieces])
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2)), labels
