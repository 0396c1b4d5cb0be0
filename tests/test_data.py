"""Data sets: every reader against bytes written here by hand, bad files last."""

import dataclasses
import gzip
import hashlib
import io
import pickle
import re
import struct
import subprocess
import sys
import tarfile

import numpy as np
import pytest

from hfkd import data, download, formats, paths
from hfkd.data import NAMES, load

SIZES = {"train": 6, "t10k": 4}


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty data folder, no known checksum, no Debian package."""
    monkeypatch.setenv("HFKD_DATA", str(tmp_path / "raw"))
    monkeypatch.setattr(paths, "CHECKSUMS", tmp_path / "checksums.sha256")
    monkeypatch.setattr(data, "DEBIAN", {"fashion_mnist": tmp_path / "debian"})
    (tmp_path / "raw").mkdir()
    return tmp_path / "raw"


def idx(values):
    """IDX bytes of an array, by the format's own words: 0, 0, type 8, axes, lengths big-endian, values."""
    return bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()


def write_idx(folder, packed=False, seed=0):
    """Four IDX files of random 3x2 images; returns the images and labels that were written."""
    folder.mkdir(parents=True, exist_ok=True)
    rng, images, labels = np.random.default_rng(seed), [], []
    for part, n in SIZES.items():
        images.append(rng.integers(0, 256, (n, 3, 2), dtype=np.uint8))
        labels.append(rng.integers(0, 10, n, dtype=np.uint8))
        for kind, values in (("images-idx3", images[-1]), ("labels-idx1", labels[-1])):
            name, content = f"{part}-{kind}-ubyte", idx(values)
            (folder / (name + ".gz" * packed)).write_bytes(gzip.compress(content) if packed else content)
    return np.concatenate(images), np.concatenate(labels)


def real(file):
    """Skip where a real data file is not at hand."""
    if not (paths.data_home() / file).is_file():
        pytest.skip(f"{file} is not in the data folder; set HFKD_DATA to check it")


# ---- against independent oracles

def test_digits_are_scikit_learns():
    from sklearn.datasets import load_digits
    digits, bunch = load("digits"), load_digits()
    assert np.array_equal(digits.images[:, 0] / 15, bunch.images) and np.array_equal(digits.labels, bunch.target)
    assert not digits.is_test.any() and digits.client is None and digits.images.dtype == np.uint8
    by_hand = hashlib.sha256(digits.images.tobytes() + digits.labels.astype("<i8").tobytes()).hexdigest()
    assert digits.checksum == by_hand[:16]


def test_fashion_mnist_has_its_published_class_counts():
    real("fashion_mnist/train-images-idx3-ubyte.gz")
    fashion = load("fashion_mnist")
    # the paper (arXiv:1708.07747): 6,000 training and 1,000 test images of each class
    assert np.bincount(fashion.labels[~fashion.is_test]).tolist() == [6000] * 10
    assert np.bincount(fashion.labels[fashion.is_test]).tolist() == [1000] * 10
    assert fashion.images.shape == (70000, 1, 28, 28)
    # mean and deviation that are widely used to normalise its training part: .2860, .3530
    share, value = np.bincount(fashion.images[:60000].ravel(), minlength=256) / (60000 * 784), np.arange(256) / 255
    mean = share @ value
    assert abs(mean - .2860) < 1e-4 and abs(np.sqrt(share @ (value - mean) ** 2) - .3530) < 1e-4


def test_federated_mnist_has_its_published_class_counts():
    real(data.FEDERATED)
    given = load("mnist_federated")
    # MNIST's class counts over its 70,000 images, as its authors give them for the two parts (5923+980, 6742+1135, ...)
    assert np.bincount(given.labels).tolist() == [6903, 7877, 6990, 7141, 6824, 6313, 6876, 7293, 6825, 6958]
    assert given.is_test.sum() == 70000 - 52492 and np.unique(given.client).tolist() == list(range(20))


def test_mnist_falls_back_to_the_federated_file_without_its_parts(home):
    images = np.random.default_rng(0).integers(0, 256, (4, 3, 2), dtype=np.uint8)
    np.savez(home / data.FEDERATED, images=images, labels=[5, 6, 7, 5], client=[0, 0, 1, 1],
             is_train=[True, False, True, False])
    given, plain = load("mnist_federated"), load("mnist")
    assert given.is_test.tolist() == [False, True, False, True] and given.client.tolist() == [0, 0, 1, 1]
    assert not plain.is_test.any() and plain.client is None and np.array_equal(plain.images[:, 0], images)
    assert plain.checksum == given.checksum and plain.name == "mnist" and plain.n_classes == 10
    _, labels = write_idx(home / "mnist")  # the publisher's own files come first
    assert np.array_equal(load("mnist").labels, labels)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("where", ["raw/mnist", "raw"])
def test_idx_plain_and_gzipped(home, packed, where):
    images, labels = write_idx(home.parent / where, packed)
    mnist = load("mnist")
    assert np.array_equal(mnist.images[:, 0], images) and np.array_equal(mnist.labels, labels)
    assert mnist.images.shape == (10, 1, 3, 2) and mnist.labels.dtype == np.int64 and mnist.n_classes == 10
    assert mnist.is_test.tolist() == [False] * 6 + [True] * 4
    assert load("mnist").checksum == mnist.checksum


def test_debians_folder_comes_after_the_data_folder(home):
    _, labels = write_idx(home.parent / "debian", packed=True, seed=1)
    assert np.array_equal(load("fashion_mnist").labels, labels)
    _, nearer = write_idx(home / "fashion_mnist", seed=2)
    assert np.array_equal(load("fashion_mnist").labels, nearer) and not np.array_equal(labels, nearer)


def cifar_files(monkeypatch):
    """Six binary files of two records each, built byte by byte; and what must be read from them."""
    monkeypatch.setattr(formats, "CIFAR_RECORDS", 2)
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (12, 3, 32, 32), dtype=np.uint8), rng.integers(0, 10, 12, dtype=np.uint8)
    records = [bytes([label]) + b"".join(plane.tobytes() for plane in image) for label, image in zip(labels, images)]
    files = {name: records[2 * i] + records[2 * i + 1] for i, name in enumerate(formats.CIFAR_FILES)}
    return files, images, labels


@pytest.mark.parametrize("form", ["folder", "tar"])
def test_cifar_binary(home, monkeypatch, form):
    files, images, labels = cifar_files(monkeypatch)
    if form == "folder":
        for name, content in files.items():
            (home / name).write_bytes(content)
    else:
        with tarfile.open(home / "cifar-10-binary.tar.gz", "w:gz") as archive:
            for name, content in reversed(files.items()):  # the order inside the archive must not matter
                member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    cifar = load("cifar10")
    assert np.array_equal(cifar.images, images) and np.array_equal(cifar.labels, labels)
    assert cifar.is_test.tolist() == [False] * 10 + [True] * 2
    assert form == "folder" or [file.name for file in home.iterdir()] == ["cifar-10-binary.tar.gz"]  # nothing extracted


def write_jpegs(home):
    """Two npz of JPEG images: flat colours, which JPEG keeps to within a few steps."""
    from PIL import Image
    colours = np.random.default_rng(0).integers(0, 256, (5, 3), dtype=np.uint8)
    for part, chosen in (("train", colours[:3]), ("test", colours[3:])):
        pieces = []
        for colour in chosen:
            packed = io.BytesIO()
            Image.fromarray(np.broadcast_to(colour, (32, 32, 3)).copy()).save(packed, "JPEG", quality=95)
            pieces.append(packed.getvalue())
        np.savez(home / f"cifar10_jpeg_{part}.npz", jpeg=np.frombuffer(b"".join(pieces), np.uint8),
                 offsets=np.cumsum([0, *map(len, pieces)]), labels=np.arange(len(pieces), dtype=np.uint8))
    return colours


def test_cifar_jpeg_is_close_and_never_taken_for_cifar(home):
    colours = write_jpegs(home)
    lossy = load("cifar10_jpeg")
    assert lossy.name == "cifar10_jpeg" and lossy.is_test.tolist() == [False] * 3 + [True] * 2
    assert np.abs(lossy.images - colours[:, :, None, None].astype(float)).max() <= 6
    with pytest.raises(FileNotFoundError, match="cifar10_jpeg lies there"):
        load("cifar10")


@pytest.mark.parametrize("shape", [(4, 5, 6), (4, 5, 6, 1), (4, 5, 6, 3)])
def test_own_npz(home, tmp_path, shape):
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    np.savez(tmp_path / "own.npz", images=images, labels=[0, 1, 2, 1], client=[0, 1, 1, 0],
             is_train=[True, True, False, True])
    own = load(tmp_path / "own.npz")
    channels_last = images if images.ndim == 4 else images[..., None]
    assert np.array_equal(own.images, np.moveaxis(channels_last, -1, 1)) and own.n_classes == 3 and own.name == "own"
    assert own.is_test.tolist() == [False, False, True, False] and own.client.tolist() == [0, 1, 1, 0]
    with pytest.raises(dataclasses.FrozenInstanceError):
        own.name = "other"


def test_npz_may_name_its_classes_and_lie_in_the_data_folder(home):
    np.savez(home / "own.npz", images=np.zeros((2, 3, 3), np.uint8), labels=[1, 4], n_classes=7)
    assert load("own.npz").n_classes == 7


# ---- bad files, each with one sentence that names the file and the way out

@pytest.mark.parametrize("name", [name for name in NAMES if name != "digits"])
def test_missing_files_say_how_to_get_them(home, name):
    with pytest.raises(FileNotFoundError, match="HFKD_DATA") as caught:
        load(name)
    assert str(home) in str(caught.value) and "\n" not in str(caught.value)
    assert ("hfkd data fetch" in str(caught.value)) == (name in download.OPENML)


def test_altered_file_is_refused(home):
    write_idx(home / "mnist")
    name = "train-labels-idx1-ubyte"
    digest = hashlib.sha256((home / "mnist" / name).read_bytes()).hexdigest()
    paths.CHECKSUMS.write_text(f"# a remark\n{digest}  mnist/{name}\n")
    load("mnist")
    content = bytearray((home / "mnist" / name).read_bytes())
    content[-1] ^= 1
    (home / "mnist" / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"{name} has sha256 .* altered or truncated; delete it and run `hfkd"):
        load("mnist")


def test_another_data_set_under_the_same_file_names_is_refused(home):
    write_idx(home)
    digest = hashlib.sha256((home / "train-images-idx3-ubyte").read_bytes()).hexdigest()
    paths.CHECKSUMS.write_text(f"{digest}  fashion_mnist/train-images-idx3-ubyte\n")
    load("fashion_mnist")
    with pytest.raises(ValueError, match="is the file fashion_mnist/train-images-idx3-ubyte, not mnist/train-images"):
        load("mnist")


@pytest.mark.parametrize("damage, said", [
    (lambda raw: raw[:-1], r"promises 36 values of shape \(6, 3, 2\), but 35 are there"),
    (lambda raw: raw + b"x", "but more are there"),
    (lambda raw: gzip.compress(raw)[:-9], "end-of-stream"),
    (lambda raw: b"<html>" + raw, "begins with bytes 3c68746d"),
    (lambda raw: b"", "begins with bytes none"),
    (lambda raw: raw[:6], "begins with bytes 00000803"),
])
def test_truncated_idx(home, damage, said):
    write_idx(home / "mnist")
    file = home / "mnist" / "train-images-idx3-ubyte"
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(ValueError, match=f"train-images-idx3-ubyte cannot be read: .*{said}.*; delete it and run"):
        load("mnist")


def test_one_of_four_missing_and_labels_out_of_range(home):
    write_idx(home / "mnist")
    file = home / "mnist" / "t10k-labels-idx1-ubyte"
    file.write_bytes(idx(np.array([1, 2, 10, 3], np.uint8)))
    with pytest.raises(ValueError, match=r"label 10; expected labels 0\.\.9"):
        load("mnist")
    file.unlink()
    with pytest.raises(FileNotFoundError, match="t10k-labels-idx1-ubyte"):
        load("mnist")


def test_truncated_cifar(home, monkeypatch):
    files, _, _ = cifar_files(monkeypatch)
    for name, content in files.items():
        (home / name).write_bytes(content)
    (home / "test_batch.bin").write_bytes(files["test_batch.bin"][:-1])
    with pytest.raises(ValueError, match="test_batch.bin cannot be read: it has 6145 bytes; expected 2 records"):
        load("cifar10")
    for name in files:
        (home / name).unlink()
    with tarfile.open(home / "cifar-10-binary.tar.gz", "w:gz"):
        pass
    with pytest.raises(ValueError, match="data_batch_1.bin, .* is missing in it"):
        load("cifar10")


class _Trap:
    """Its pickle would end the interpreter if anything ever loaded it."""

    def __reduce__(self):
        return sys.exit, (99,)


def test_nothing_is_unpickled(home, tmp_path):
    (home / "data_batch_1").write_bytes(pickle.dumps(_Trap()))
    with pytest.raises(FileNotFoundError, match="pickles are never read"):
        load("cifar10")
    (tmp_path / "renamed.npz").write_bytes(pickle.dumps(_Trap()))
    with pytest.raises(ValueError, match="it is not an npz archive"):
        load(tmp_path / "renamed.npz")
    np.savez(tmp_path / "objects.npz", images=np.zeros((1, 2, 2), np.uint8), labels=np.array([_Trap()], object))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        load(tmp_path / "objects.npz")


GOOD = {"images": np.zeros((3, 2, 2), np.uint8), "labels": [0, 1, 0]}


@pytest.mark.parametrize("change, said", [
    ({"images": np.zeros((3, 2, 2))}, "type float64; expected uint8"),
    ({"images": np.zeros((3, 3, 2, 2), np.uint8)}, r"shape \(3, 3, 2, 2\)"),
    ({"labels": [0, 1]}, r"3 images and labels of shape \(2,\)"),
    ({"labels": [0., 1., 0.]}, "one integer label per image"),
    ({"labels": [-1, 0, 1]}, r"labels -1\.\.1 of which 3 occur"),
    ({"labels": [1, 2, 1]}, r"labels 1\.\.2 of which 2 occur; expected every label 0\.\.C-1"),
    ({"labels": [0, 1, 10**15]}, "expected every label"),
    ({"labels": [0, 1, 2], "n_classes": 2}, r"label 2; expected labels 0\.\.1"),
    ({"n_classes": 0}, "expected one integer >= 2"),
    ({"is_test": [1, 0, 0]}, "expected 3 booleans"),
    ({"is_train": [True]}, "expected 3 booleans"),
    ({"is_test": [True] * 3, "is_train": [False] * 3}, "at most one"),
    ({"client": [0, 1, -1]}, "expected 3 integers >= 0"),
    ({"client": [0., 1., 1.]}, "expected 3 integers >= 0"),
])
def test_bad_npz(home, tmp_path, change, said):
    np.savez(tmp_path / "own.npz", **GOOD)
    load(tmp_path / "own.npz")
    np.savez(tmp_path / "own.npz", **(GOOD | change))
    with pytest.raises(ValueError, match=said):
        load(tmp_path / "own.npz")


def test_truncated_npz_and_missing_arrays(home, tmp_path):
    np.savez(tmp_path / "own.npz", images=GOOD["images"])
    with pytest.raises(ValueError, match="has arrays images; expected images and labels"):
        load(tmp_path / "own.npz")
    (tmp_path / "own.npz").write_bytes((tmp_path / "own.npz").read_bytes()[:-30])
    with pytest.raises(ValueError, match="own.npz cannot be read"):
        load(tmp_path / "own.npz")
    write_jpegs(home)
    arrays = dict(np.load(home / "cifar10_jpeg_test.npz"))
    np.savez(home / "cifar10_jpeg_test.npz", **(arrays | {"jpeg": arrays["jpeg"][:-1]}))
    with pytest.raises(ValueError, match="cifar10_jpeg_test.npz cannot be read: its 3 offsets do not cut"):
        load("cifar10_jpeg")


@pytest.mark.parametrize("name, said", [
    ("fasion_mnist", "did you mean fashion_mnist"), ("imagenet", "expected one of digits"),
    ("", "unknown data set ''"), ("data.pkl", "unknown data set")])
def test_unknown_name(name, said):
    with pytest.raises(ValueError, match=said):
        load(name)


def test_checksum_list_is_in_the_format_of_sha256sum():
    lines = [line for line in paths.CHECKSUMS.read_text().splitlines() if not line.startswith("#")]
    assert lines and all(re.fullmatch(r"[0-9a-f]{64}  \S+", line) for line in lines)
    assert len(formats.known_checksums()) == len(lines)  # no file twice


def test_importing_the_data_module_does_not_import_scikit_learn():
    code = "import sys, hfkd.data; print('sklearn' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=paths.ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]
