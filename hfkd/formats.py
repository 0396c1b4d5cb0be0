"""File formats of the data sets: bytes in, arrays out, checked against the known sha256, never unpickled (ours).

A parser says what is wrong with the bytes it was given. `read` adds which file it was and how to get it again. npz are
read in `archives`.
"""

import gzip
import hashlib
import io
import math
import os
import re
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from hfkd import paths
from hfkd.archives import LARGEST

CIFAR_RECORDS = 10_000  # images in each of CIFAR-10's six binary files
CIFAR_FILES = [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]
# RuntimeError is zipfile's word for what it cannot unpack (encrypted, of a later version)
_BROKEN = (ValueError, EOFError, OSError, RuntimeError, zlib.error, zipfile.BadZipFile, tarfile.TarError)


def known_checksums() -> dict[str, str]:
    """sha256 of the raw files that this artifact was built with, by path relative to the raw data folder (ours).

    Returns:
        The lines of data/checksums.sha256 (format of sha256sum, lines that begin with # skipped); {} without the file.

    Raises:
        ValueError: a line of another form.

    >>> known_checksums()["fashion_mnist/train-labels-idx1-ubyte.gz"][:8]
    '0ae29f65'
    """
    if not paths.CHECKSUMS.is_file():
        return {}
    lines = paths.CHECKSUMS.read_text(encoding="utf-8").splitlines()
    found = [(line, re.fullmatch(r"([0-9a-f]{64})\s+(\S.*?)\s*", line)) for line in lines if line.strip()]
    if wrong := [line for line, match in found if not match and not line.startswith("#")]:
        raise ValueError(f"{paths.CHECKSUMS} has the line {wrong[0]!r}; expected 64 hexadecimal digits, then a path")
    return {match[2]: match[1] for _, match in found if match}


def read(path: Path, key: str | None, again: str, parse: Callable):
    """Read a whole file, check its sha256 where `key` is listed, and parse it (ours).

    Args:
        path: the file.
        key: its path in data/checksums.sha256, such as "mnist/train-labels-idx1-ubyte.gz"; None: a user's own file.
        again: how to get the file again; the end of every error.
        parse: a function of bytes from this module.

    Raises:
        FileNotFoundError: the file cannot be read.
        ValueError: the file is altered, is another data set's file, cannot be parsed, or leads out of the data folder.

    >>> read(Path("nowhere.npz"), None, "write it anew", parse_idx)
    Traceback (most recent call last):
    FileNotFoundError: cannot read nowhere.npz (No such file or directory); write it anew
    """
    try:
        real, home = Path(os.path.realpath(path, strict=True)), paths.data_home()
        inside = not path.is_relative_to(home) or real.is_relative_to(home.resolve())
        content = paths.bounded(real, LARGEST).read_bytes() if inside else b""
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        raise FileNotFoundError(f"cannot read {path} ({getattr(error, 'strerror', error)}); {again}") from None
    if not inside:
        raise ValueError(f"{path} leads to {real}, out of the data folder; expected the file itself, or HFKD_DATA set "
                         "to the folder that has it")
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


def parse_idx(content: bytes, expected: int | None = None) -> np.ndarray:
    """An IDX file of unsigned bytes, plain or gzipped: images (n,h,w) or labels (n,), uint8 (the format of MNIST).

    Layout: two zero bytes, type 0x08, number of axes, each length as a big-endian 32-bit integer, then the values.

    Args:
        expected: axes, 3 of images or 1 of labels; None: either.

    Raises:
        ValueError: another magic number, other axes, or not exactly as many bytes as the header promises.

    >>> parse_idx(bytes([0, 0, 8, 1, 0, 0, 0, 2, 7, 9])).tolist()
    [7, 9]
    >>> parse_idx(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 9]))
    Traceback (most recent call last):
    ValueError: its header promises 3 values of shape (3,), but 2 are there
    """
    packed = content[:2] == b"\x1f\x8b"
    with gzip.open(io.BytesIO(content)) if packed else io.BytesIO(content) as file:
        magic = file.read(4)
        axes = {b"\0\0\x08\1": 1, b"\0\0\x08\3": 3}.get(magic)
        lengths = file.read(4 * (axes or 0))
        if axes is None or len(lengths) < 4 * axes:
            raise ValueError(f"it begins with bytes {magic.hex() or 'none'}; an IDX file begins with 00000801 or 3")
        shape = tuple(np.frombuffer(lengths, ">u4").tolist())
        if expected not in (None, axes):
            raise ValueError(f"it has values of shape {shape}; expected {'labels' if expected == 1 else 'images'}")
        if (promised := math.prod(shape)) > LARGEST:
            raise ValueError(f"its header promises {promised} values of shape {shape}; expected at most {LARGEST}")
        values = file.read(promised + 1)  # never more than promised is unpacked
    if promised != len(values):
        there = f"{len(values)} are" if len(values) < promised else "more are"
        raise ValueError(f"its header promises {promised} values of shape {shape}, but {there} there")
    return np.frombuffer(values, np.uint8).reshape(shape).copy()


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
        members = {}
        for member in archive:
            if member.size > CIFAR_RECORDS * 3073:  # before it is unpacked
                raise ValueError(f"its file {member.name} has {member.size} bytes; expected {CIFAR_RECORDS * 3073}")
            members |= {Path(member.name).name: member} if member.isfile() else {}
        missing = [name for name in CIFAR_FILES if name not in members]
        if missing:
            raise ValueError(f"{', '.join(missing)} is missing in it; expected the binary version of CIFAR-10")
        return [parse_cifar(archive.extractfile(members[name]).read()) for name in CIFAR_FILES]
