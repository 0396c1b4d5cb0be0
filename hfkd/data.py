"""Data sets as uint8 images with labels: `load` finds and checks them, `fetch` (download.py) downloads them (ours).

Who owns which image is the matter of partition.py; how the file formats are read, of formats.py.
"""

import difflib
import hashlib
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from hfkd import archives, formats, paths
from hfkd.download import OPENML, fetch

__all__ = ["NAMES", "Dataset", "fetch", "load"]

NAMES = {
    "digits": "1,797 digits 8x8, 10 classes, embedded in scikit-learn, no test part",
    "fashion_mnist": "Fashion-MNIST, 60,000 + 10,000 of 28x28, 10 classes, IDX or `hfkd data fetch fashion_mnist`",
    "mnist": "MNIST, 60,000 + 10,000 of 28x28, 10 classes, IDX or `hfkd data fetch mnist`"
             " (else the 70,000 of mnist_federated, no test part)",
    "mnist_federated": "MNIST in HtFLlib's 20-client Dirichlet(0.1) partition, client ids and test part given",
    "cifar10": "CIFAR-10, 50,000 + 10,000 of 32x32 colour, 10 classes, binary version or `hfkd data fetch cifar10`",
    "cifar10_jpeg": "CIFAR-10 re-encoded as JPEG: lossy, do not compare its numbers with CIFAR-10's",
}
FEDERATED = "mnist_dirichlet01_20clients.npz"
DEBIAN = {"fashion_mnist": Path("/usr/share/datasets/fashion-mnist")}  # where the package dataset-fashion-mnist puts it
IDX_FILES = [f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]


@dataclass(frozen=True)
class Dataset:
    """Images with labels 0..C-1; `client` only where the publisher says who owns what."""

    name: str
    images: np.ndarray  # (n, channel, height, width) uint8
    labels: np.ndarray  # (n,) int64
    n_classes: int  # C
    is_test: np.ndarray  # (n,) bool, the publisher's test part; all False where there is none
    checksum: str  # first 16 hex digits of sha256(images, labels)
    client: np.ndarray | None = None  # (n,) int64, given client ids


def load(name: str | os.PathLike) -> Dataset:
    """One data set, by a name from `NAMES` or by the path of an npz (ours).

    Files are looked for in `paths.data_home()` (HFKD_DATA, else data/raw) and Debian's folder; listed sha256 are
    checked. An own npz has `images` (n,h,w) or (n,h,w,c) uint8 with c = 1 or 3, `labels` (n,) 0..C-1, and optionally
    `n_classes`, `is_test` or `is_train` (n,) bool, and `client` (n,) integers >= 0. A relative path counts from the
    working folder, else from the data folder. "cifar10" is never taken from the lossy JPEG files.

    Raises:
        FileNotFoundError: a file is missing; the sentence says how to get it.
        ValueError: unknown name; altered, truncated or pickled file; labels outside 0..C-1.

    >>> digits = load("digits")
    >>> digits.images.shape, int(digits.images.max()), digits.n_classes, digits.checksum
    ((1797, 1, 8, 8), 240, 10, '631cb83de3a2ab62')
    """
    given = str(name)
    if given.endswith(".npz"):
        return _npz(Path(given), Path(given).stem, None)
    if given == "digits":
        from sklearn.datasets import load_digits  # takes a second to import: only who asks for digits pays
        bunch = load_digits()
        # 0..16 times 15 is exact in uint8 and uses its range
        return _dataset("digits", (bunch.images * 15).astype(np.uint8)[:, None], bunch.target, 10)
    if given in ("fashion_mnist", "mnist"):
        return _idx(given)
    if given == "mnist_federated":
        return _npz(paths.data_home() / FEDERATED, given, 10)
    if given in ("cifar10", "cifar10_jpeg"):
        return _cifar10() if given == "cifar10" else _cifar10_jpeg()
    close = difflib.get_close_matches(given, NAMES, 1)
    hint = f"did you mean {close[0]}?" if close else f"expected one of {', '.join(NAMES)}, or a path that ends in .npz"
    raise ValueError(f"unknown data set {given!r}; {hint}")


def _dataset(name, images, labels, n_classes, is_test=None, client=None) -> Dataset:
    """A Dataset after the checks that hold for every source."""
    labels, n = np.asarray(labels), len(images)
    if labels.shape != (n,) or n == 0 or labels.dtype.kind not in "iu":
        raise ValueError(f"data set {name} has {n} images and labels of shape {labels.shape} and type {labels.dtype};"
                         f" expected one integer label per image")
    labels, present = labels.astype(np.int64), np.unique(labels)
    if n_classes is None:  # an own npz that does not say: every class up to the largest must occur
        n_classes = len(present)
        if present[0] != 0 or present[-1] != n_classes - 1 or n_classes < 2:
            raise ValueError(f"data set {name} has labels {present[0]}..{present[-1]} of which {n_classes} occur;"
                             f" expected every label 0..C-1, C >= 2 (or say n_classes in the npz)")
    if present[0] < 0 or present[-1] >= n_classes:
        wrong = present[0] if present[0] < 0 else present[-1]
        raise ValueError(f"data set {name} has a label {wrong}; expected labels 0..{n_classes - 1}")
    images = np.ascontiguousarray(images)
    checksum = hashlib.sha256(images)
    checksum.update(labels.astype("<i8"))
    is_test = np.zeros(n, bool) if is_test is None else np.asarray(is_test)
    client = None if client is None else np.asarray(client)
    if is_test.shape != (n,) or is_test.dtype != bool:
        raise ValueError(f"data set {name} has is_test (or is_train) of shape {is_test.shape} and type {is_test.dtype};"
                         f" expected {n} booleans")
    if client is not None and (client.shape != (n,) or client.dtype.kind not in "iu" or client.min() < 0):
        raise ValueError(f"data set {name} has client ids of shape {client.shape} and type {client.dtype};"
                         f" expected {n} integers >= 0")
    return Dataset(name, images, labels, int(n_classes), is_test, checksum.hexdigest()[:16],
                   None if client is None else client.astype(np.int64))


def _again(name: str) -> str:
    """How to get the files of one data set again."""
    ways = [f"run `hfkd data fetch {name}`"] if name in OPENML else []
    ways += ["install the Debian package dataset-fashion-mnist"] if name in DEBIAN else []
    return " or ".join([*ways, "set HFKD_DATA to the folder that has a good one (see data/README.md)"])


def _first(folders, files) -> Path | None:
    """The first folder that has any of the files."""
    return next((folder for folder in folders if any((folder / file).is_file() for file in files)), None)


def _idx(name: str) -> Dataset:
    """MNIST or Fashion-MNIST: four IDX files, else what `fetch` stored, else (MNIST) the federated npz."""
    home, again = paths.data_home(), _again(name)
    files = IDX_FILES + [f"{file}.gz" for file in IDX_FILES]
    folders = [home / name, home] + ([DEBIAN[name]] if name in DEBIAN else [])
    folder = _first(folders, files)
    if folder is None:
        if (home / f"{name}.npz").is_file():
            return _npz(home / f"{name}.npz", name, 10)
        if name == "mnist" and (home / FEDERATED).is_file():
            whole = _npz(home / FEDERATED, name, 10)  # its test part belongs to its own partition: not the publisher's
            return _dataset(name, whole.images, whole.labels, 10)
        raise FileNotFoundError(f"data set {name}: no {IDX_FILES[0]}[.gz] in {', '.join(map(str, folders))}; {again}")
    parts = []
    for file in IDX_FILES:
        chosen = file if (folder / file).is_file() else f"{file}.gz"
        parse = partial(formats.parse_idx, expected=3 if "images" in file else 1)
        parts.append(formats.read(folder / chosen, f"{name}/{chosen}", again, parse))
    if len({part.shape[1:] for part in parts[0::2]}) > 1:
        raise ValueError(f"{folder} has images of shapes {parts[0].shape} and {parts[2].shape}; expected one size")
    images, labels = np.concatenate(parts[0::2]), np.concatenate(parts[1::2])
    return _dataset(name, images[:, None], labels, 10, np.arange(len(images)) >= len(parts[0]))


def _cifar10() -> Dataset:
    """CIFAR-10's binary version, as six files or in its archive, else what `fetch` stored."""
    home, again, tar = paths.data_home(), _again("cifar10"), "cifar-10-binary.tar.gz"
    folders = [home / "cifar10", home / "cifar-10-batches-bin", home / "cifar10" / "cifar-10-batches-bin", home]
    folder, archive = _first(folders, formats.CIFAR_FILES), _first(folders, [tar])
    if folder is not None:
        parts = [formats.read(folder / f, f"cifar10/{f}", again, formats.parse_cifar) for f in formats.CIFAR_FILES]
    elif archive is not None:
        parts = formats.read(archive / tar, f"cifar10/{tar}", again, formats.parse_cifar_tar)
    elif (home / "cifar10.npz").is_file():
        return _npz(home / "cifar10.npz", "cifar10", 10)
    else:
        lossy = (home / "cifar10_jpeg_train.npz").is_file()
        others = ["; the lossy cifar10_jpeg lies there, load it by that name"] * lossy
        others += ["; the Python version lies there, but pickles are never read"] * (
            _first([*folders, home / "cifar-10-batches-py"], ["data_batch_1", "cifar-10-python.tar.gz"]) is not None)
        raise FileNotFoundError(f"data set cifar10: no data_batch_1.bin or {tar} in {home}; {again}{''.join(others)}")
    images, labels = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
    return _dataset("cifar10", images, labels, 10, np.arange(len(images)) >= 5 * formats.CIFAR_RECORDS)


def _cifar10_jpeg() -> Dataset:
    """CIFAR-10 from two npz of JPEG images: lossy; decoded anew at every load (10 s)."""
    home, files = paths.data_home(), ("cifar10_jpeg_train.npz", "cifar10_jpeg_test.npz")
    parts = [formats.read(home / file, file, _again("cifar10_jpeg"), archives.parse_jpegs) for file in files]
    images, labels = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
    return _dataset("cifar10_jpeg", images, labels, 10, np.arange(len(images)) >= len(parts[0][1]))


def _npz(path: Path, name: str, n_classes: int | None) -> Dataset:
    """An npz with images and labels, optionally n_classes, is_test or is_train, client."""
    if not os.path.isfile(path) and os.path.isfile(paths.data_home() / path):  # these never raise, whatever the name
        path = paths.data_home() / path
    again = _again(name) if name in NAMES else "give the path of an npz with images and labels"
    key = path.name if path.name in formats.known_checksums() else None
    arrays = formats.read(path, key, again, archives.parse_npz)
    if not {"images", "labels"} <= set(arrays):
        raise ValueError(f"{path} has arrays {', '.join(arrays) or 'none'}; expected images and labels")
    images = arrays["images"][..., None] if arrays["images"].ndim == 3 else arrays["images"]
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] not in (1, 3) or 0 in images.shape[1:]:
        raise ValueError(f"{path} has images of shape {arrays['images'].shape} and type {images.dtype};"
                         f" expected uint8 of shape (n,h,w) or (n,h,w,c) with c = 1 or 3")
    if "is_test" in arrays and "is_train" in arrays:
        raise ValueError(f"{path} has is_test and is_train; expected at most one of them")
    is_test = arrays.get("is_test")
    if "is_train" in arrays:
        is_test = ~arrays["is_train"] if arrays["is_train"].dtype == bool else arrays["is_train"]
    if n_classes is None and "n_classes" in arrays:
        if arrays["n_classes"].shape != () or arrays["n_classes"].dtype.kind not in "iu" or arrays["n_classes"] < 2:
            raise ValueError(f"{path} has n_classes {arrays['n_classes']}; expected one integer >= 2")
        n_classes = int(arrays["n_classes"])
    return _dataset(name, images.transpose(0, 3, 1, 2), arrays["labels"], n_classes, is_test, arrays.get("client"))
