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
    "mnist": "MNIST, 60,000 + 10,000 of 28x28, IDX or `hfkd fetch mnist`, else HtFLlib's file without its parts",
    "cifar10": "CIFAR-10, 50,000 + 10,000 of 32x32 colour, 10 classes, `hfkd fetch cifar10`"}
FEDERATED = "mnist_dirichlet01_20clients.npz"  # MNIST as HtFLlib ships it, in another order
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
    checksum: str  # 16 hex digits of sha256(images, labels), of an own npz also of its shape and test part


def load(name: str | os.PathLike, checksum: str | None = None) -> Dataset:
    """One data set, by a name from `NAMES` (files in the data folder) or by the path of an npz (ours).
    An own npz has `images` (n,h,w) or (n,h,w,c) uint8, c = 1 or 3, `labels` (n,) 0..C-1 or 1..C, optionally `is_test`
    (n,) bool. A relative path counts from the working folder, else from the data folder. checksum: of the version that
    is meant, or None: whichever is there.
    Raises FileNotFoundError (no file), ValueError (unknown name, altered file, other arrays, another version).
    >>> digits = load("digits")
    >>> digits.images.shape, int(digits.images.max()), digits.n_classes, digits.checksum
    ((1797, 1, 8, 8), 240, 10, '631cb83de3a2ab62')
    """
    name, home, listed = str(name), data_home(), name in NAMES
    if not listed and (not name.endswith(".npz") or name != name.encode(errors="ignore").decode()):
        raise ValueError(f"unknown data set {name!a}; expected {', '.join(NAMES)}, or an npz by its path in UTF-8")
    path = next(filter(os.path.isfile, (name, home / name)), name)
    given = _listed(name, home) if listed else files.read(path, files.npz)
    images, labels, is_test = arrays(name, given).values()
    labels -= labels.min()  # some count from 1
    told = "" if listed else repr((images.shape, is_test.tolist()))
    found = hashlib.sha256(b"".join([images, labels.astype("<i8"), told.encode()])).hexdigest()[:16]
    if checksum not in (None, found):
        raise ValueError(f"data set {name} is not the one that was read first ({checksum}); run again with one of them")
    return Dataset(name, images, labels, int(labels.max()) + 1, is_test, found)


def arrays(name: str, given: dict) -> dict[str, np.ndarray]:
    """Images, labels (all 0 where there are none) and is_test of an npz as a Dataset has them, labels as they are.
    Raises ValueError: of another shape or type.
    """
    images = given["images"][..., None] if given["images"].ndim == 3 else given["images"]
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] not in (1, 3) or not images.size:
        raise ValueError(f"data set {name} has images of shape {images.shape} and type {images.dtype};"
                         f" expected uint8 of shape (n,h,w) or (n,h,w,c) with c = 1 or 3")
    n = len(images)
    given = {"labels": np.zeros(n, int), "is_test": np.zeros(n, bool)} | given
    for what, kinds, wanted in (("labels", "iu", "integers >= 0"), ("is_test", "b", "booleans")):
        array = given[what]
        if array.shape != (n,) or array.dtype.kind not in kinds or array.astype(int).min() < 0:
            raise ValueError(f"data set {name} has {what} of shape {array.shape} and type {array.dtype}; expected"
                             f" {n} {wanted}")
    return {"images": np.ascontiguousarray(images.transpose(0, 3, 1, 2)), "labels": given["labels"].astype(np.int64),
            "is_test": given["is_test"]}


def _listed(name: str, home: Path) -> dict[str, np.ndarray]:
    """The arrays of a listed data set."""
    if name == "digits":
        from sklearn.datasets import load_digits  # takes a second to import: only who asks for digits pays
        bunch = load_digits()  # 0..16 times 15 is exact in uint8 and uses its range
        return {"images": (bunch.images * 15).astype(np.uint8), "labels": bunch.target}
    found = {}
    for folder in FOLDERS.get(name, ()):
        for path in filter(Path.is_file, sorted((home / folder).glob("*-ubyte*"))):
            file = path.name.removesuffix(".gz").replace(".idx", "-idx")  # a dot: 7-Zip, macOS, Kaggle
            found.setdefault(file, path)
    path, shipped = home / f"{name}.npz", home / FEDERATED
    if set(IDX) <= set(found) or set(IDX) & set(found) and not path.is_file():
        train, labels, test, more = (
            files.read(found.get(file, home / name / file), files.idx, f"{name}/{file}") for file in IDX)
        return {"images": np.concatenate([train, test]), "labels": np.concatenate([labels, more]),
                "is_test": np.arange(len(train) + len(test)) >= len(train)}
    if name == "mnist" and not path.is_file() and shipped.is_file():
        return files.read(shipped, lambda file: files.npz(file, optional=()), FEDERATED)  # its parts are its clients'
    return files.read(path, files.npz, path.name)
