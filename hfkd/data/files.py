"""Data files: downloaded, held against their known sha256, read as arrays, bounded, never unpickled (ours)."""

import gzip
import hashlib
import io
import os
import tempfile
from pathlib import Path

import numpy as np

from hfkd import paths

LARGEST = 2**32  # bytes that the arrays of one npz may take, over twenty times CIFAR-10
OPENML = {"fashion_mnist": "Fashion-MNIST", "mnist": "mnist_784", "cifar10": "CIFAR_10"}  # names there, version 1
TEST = 10_000  # images at their end that are the publisher's test part


def fetch(name: str) -> Path:
    """Download a data set to <name>.npz in the data folder, where `load` finds it; what is there is kept (ours).
    Takes minutes; scikit-learn checks OpenML's md5. Raises ValueError (no name in OPENML) or FileNotFoundError."""
    if name not in OPENML:
        raise ValueError(f"data set {name!r} cannot be fetched; expected one of {', '.join(OPENML)}")
    target, packed = paths.data_home() / f"{name}.npz", io.BytesIO()
    if target.exists():
        return target
    paths.expect_writable(target, "set HFKD_DATA to a folder that can")
    from sklearn.datasets import fetch_openml
    try:
        with tempfile.TemporaryDirectory() as folder:
            # int16 for all columns: a quarter of the memory, and pandas 3 cannot read the class column as a category
            bunch = fetch_openml(OPENML[name], version=1, data_home=folder, as_frame=False, parser="pandas",
                                 read_csv_kwargs={"dtype": "int16"})
        n, shape = len(bunch.target), (3, 32, 32) if name == "cifar10" else (1, 28, 28)
        np.savez_compressed(packed, images=bunch.data.astype(np.uint8).reshape(n, *shape).transpose(0, 2, 3, 1),
                            labels=bunch.target.astype(int), is_test=np.arange(n) >= n - TEST)
        return paths.write(target, packed.getvalue())
    except Exception as error:  # whatever a network and a disk do
        raise FileNotFoundError(f"could not fetch {name} from OpenML into {target.parent} ({error}); try again, or set"
                                f" HFKD_DATA to another folder, or see data/README.md for its files") from error


def read(path, parse, key: str = ""):
    """`parse` of an open file. Where data/checksums.sha256 lists `key`, the content must match, however it is packed.
    Raises FileNotFoundError (no file) or ValueError (altered, truncated, another file, or refused by `parse`)."""
    if not os.path.isfile(path):
        raise FileNotFoundError(f"no file {path}; data/README.md lists the files, `hfkd fetch` gets most of them")
    lines = paths.CHECKSUMS.read_text(encoding="utf-8").splitlines() if key else []
    known = {line[66:]: line[:64] for line in lines if line[64:66] == "  "}
    try:
        with open(path, "rb") as raw:
            file = gzip.open(raw) if raw.peek(2)[:2] == b"\x1f\x8b" else raw
            if key in known and hashlib.file_digest(file, "sha256").hexdigest() != known[key]:
                raise ValueError(f"its sha256 is not that of {key}: it is altered, truncated, or another data set's")
            file.seek(0)
            return parse(file)
    except MemoryError:
        raise
    except Exception as error:  # zipfile, zlib and numpy each have their own for bytes that are not theirs
        said = str(error).partition("\n")[0] or type(error).__name__
        raise ValueError(f"{path} cannot be read: {said}") from error


def idx(file) -> np.ndarray:
    """uint8 images (n,h,w) or labels (n,) of MNIST's format: 00 00 08 axes, lengths of 32 bits big-endian, values."""
    content = file.read()
    shape = np.frombuffer(content, ">u4", content[3], 4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * len(shape)).reshape(shape)


def npz(file, needed=("images", "labels"), optional=("is_test",)) -> dict[str, np.ndarray]:
    """The arrays of these names. Others are not parsed: an array of words that nobody reads does no harm."""
    if file.peek(2)[:2] != b"PK":
        raise ValueError("it is no npz (pickles are never read, they can run code)")
    with np.load(file, allow_pickle=False) as archive:
        wanted = [name for name in (*needed, *optional) if name in archive.files]
        if not set(needed) <= set(wanted):
            raise ValueError(f"it has arrays {', '.join(archive.files) or 'none'}; expected {', '.join(needed)}")
        if (size := sum(archive.zip.getinfo(f"{name}.npy").file_size for name in wanted)) > LARGEST:
            raise ValueError(f"its arrays take {size} bytes; expected at most {LARGEST}")
        return {name: archive[name] for name in wanted}
