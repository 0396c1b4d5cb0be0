"""Data sets as uint8 images with labels, by name or from an own npz (ours)."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hfkd.data import files
from hfkd.paths import data_home

NAMES = {
    "digits": "1,797 digits 8x8, 10 classes, embedded in scikit-learn, no test part",
    "fashion_mnist": "Fashion-MNIST, 60,000 + 10,000 of 28x28, 10 classes, IDX or `hfkd fetch fashion_mnist`",
    "mnist": "MNIST, 60,000 + 10,000 of 28x28, IDX or `hfkd fetch mnist`, else mnist_federated without its parts",
    "mnist_federated": "MNIST in HtFLlib's 20-client Dirichlet(0.1) partition, client ids and test part given",
    "cifar10": "CIFAR-10, 50,000 + 10,000 of 32x32 colour, 10 classes, `hfkd fetch cifar10`",
    "cifar10_jpeg": "CIFAR-10 re-encoded as JPEG: lossy, do not compare its numbers with CIFAR-10's"}
FEDERATED = "mnist_dirichlet01_20clients.npz"
FOLDERS = {  # where IDX files lie: by name, as torchvision puts them, or loose; Debian's own place
    "mnist": ("mnist", "MNIST/raw", "raw", "."),
    "fashion_mnist": ("fashion_mnist", "FashionMNIST/raw", "fashion-mnist", "raw", ".",
                      "/usr/share/datasets/fashion-mnist")}
IDX = [f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]


@dataclass(frozen=True)
class Dataset:
    """Images with labels 0..C-1."""
    name: str  # of an own npz its path, as it was given
    images: np.ndarray  # (n, channel, height, width) uint8
    labels: np.ndarray  # (n,) int64
    n_classes: int  # C
    is_test: np.ndarray  # (n,) bool, the publisher's test part; all False where there is none
    checksum: str  # 16 hex digits of sha256(images, labels), of an own npz also of its shape, parts and clients
    client: np.ndarray | None = None  # (n,) int64, given client ids; only where the publisher says who owns what


def load(name: str | os.PathLike, checksum: str | None = None) -> Dataset:
    """One data set, by a name from `NAMES` (files in the data folder) or by the path of an npz (ours).
    An own npz has `images` (n,h,w) or (n,h,w,c) uint8, c = 1 or 3, `labels` (n,) 0..C-1 or 1..C, optionally `is_test`
    or `is_train` (n,) bool and `client` (n,) integers >= 0. A relative path counts from the working folder, else from
    the data folder. checksum: of the version that is meant, or None: whichever is there.
    Raises FileNotFoundError (no file), ValueError (unknown name, altered file, other arrays, another version).
    >>> digits = load("digits")
    >>> digits.images.shape, int(digits.images.max()), digits.n_classes, digits.checksum
    ((1797, 1, 8, 8), 240, 10, '631cb83de3a2ab62')
    """
    found = _found(str(name), data_home())
    if checksum not in (None, found.checksum):
        raise ValueError(f"data set {name} is not the one that was read first ({checksum}); run again with one of them")
    return found


def _found(given: str, home: Path) -> Dataset:
    """A data set of any version."""
    if given in NAMES:
        return _dataset(given, _parts(given, home))
    if not given.endswith(".npz") or given != given.encode(errors="ignore").decode():  # which no result could name
        raise ValueError(f"unknown data set {given!a}; expected {', '.join(NAMES)}, or an npz by its path in UTF-8")
    path = next(filter(os.path.isfile, (given, home / given)), given)
    return _dataset(given, [files.read(path, files.npz)], own=True)


def _parts(name: str, home: Path) -> list[dict]:
    """The arrays of a listed data set, in one piece or as training and test part."""
    if name == "digits":
        from sklearn.datasets import load_digits  # takes a second to import: only who asks for digits pays
        bunch = load_digits()  # 0..16 times 15 is exact in uint8 and uses its range
        return [{"images": (bunch.images * 15).astype(np.uint8), "labels": bunch.target}]
    if name == "cifar10_jpeg":
        return [files.read(home / file, files.jpegs, file) for file in (f"{name}_train.npz", f"{name}_test.npz")]
    found, folders = {}, [home / folder for folder in FOLDERS.get(name, ())]
    named = [path for folder in folders for path in sorted(folder.glob("*-ubyte*")) if not path.is_dir()]
    for path in sorted(named, key=lambda path: not path.is_file()):  # links to what is not here come last
        found.setdefault(path.name.removesuffix(".gz").replace(".idx", "-idx"), path)  # a dot: 7-Zip, macOS, Kaggle
    path = home / (FEDERATED if name == "mnist_federated" else f"{name}.npz")
    if set(IDX) <= set(found) or set(IDX) & set(found) and not path.is_file():
        arrays = [files.read(found.get(file, home / name / file), files.idx, f"{name}/{file}") for file in IDX]
        return [{"images": arrays[i], "labels": arrays[i + 1]} for i in (0, 2)]
    if name == "mnist" and not path.is_file() and (home / FEDERATED).is_file():
        [whole] = _parts("mnist_federated", home)  # its test part and clients are of its own partition
        return [{"images": whole["images"], "labels": whole["labels"]}]
    return [files.read(path, files.npz, path.name)]


def arrays(name: str, given: dict, first: int | None = None) -> dict[str, np.ndarray]:
    """Arrays of an npz as a Dataset has them, labels as they are; first: so many images are no test part (None: all).
    Raises ValueError: of another shape or type.
    """
    images = given["images"][..., None] if given["images"].ndim == 3 else given["images"]
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] not in (1, 3) or not images.size:
        raise ValueError(f"data set {name} has images of shape {images.shape} and type {images.dtype};"
                         f" expected uint8 of shape (n,h,w) or (n,h,w,c) with c = 1 or 3")
    for what in [what for what in given if what != "images"]:
        array, kinds = given[what], "iu" if what in ("labels", "client") else "b"
        if array.shape != images.shape[:1] or array.dtype.kind not in kinds or array.astype(int).min() < 0:
            raise ValueError(f"data set {name} has {what} of shape {array.shape} and type {array.dtype}; expected"
                             f" {len(images)} {'booleans' if kinds == 'b' else 'integers >= 0'}")
    is_test = given.get("is_test", ~given.get("is_train", np.arange(len(images)) < (first or len(images))))
    whole = {what: given[what].astype(np.int64) for what in ("labels", "client") if what in given}
    return whole | {"images": np.ascontiguousarray(images.transpose(0, 3, 1, 2)), "is_test": is_test}


def _dataset(name: str, parts: list[dict], own: bool = False) -> Dataset:
    """The parts as one, after the checks that hold for every source."""
    given = {what: np.concatenate([part[what] for part in parts]) for what in parts[0]} if parts[1:] else parts[0]
    given = arrays(name, given, len(parts[0]["images"]) if parts[1:] else None)
    images, labels, is_test, client = (given.get(what) for what in ("images", "labels", "is_test", "client"))
    labels -= labels.min()  # some count from 1
    shape = (len(images), *images.shape[2:], images.shape[1])
    told = repr((shape, is_test.tolist(), client is not None and client.tolist())) if own else ""
    checksum = hashlib.sha256(b"".join([images, labels.astype("<i8"), told.encode()])).hexdigest()[:16]
    return Dataset(name, images, labels, int(labels.max()) + 1, is_test, checksum, client)
