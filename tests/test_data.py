"""Data sets: every reader against bytes written here by hand, the real files where they are at hand, bad files last."""

import gzip
import hashlib
import io
import os
import re
import struct
import tracemalloc
from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest

from hfkd import paths
from hfkd.data import NAMES, datasets, fetch, files, load

GOOD = {"images": np.arange(36, dtype=np.uint8).reshape(3, 4, 3), "labels": [0, 1, 0]}


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty data folder, no known checksum, no Debian package."""
    monkeypatch.setenv("HFKD_DATA", str(tmp_path / "raw"))
    monkeypatch.setattr(paths, "CHECKSUMS", tmp_path / "checksums.sha256")
    monkeypatch.setitem(datasets.FOLDERS, "fashion_mnist", ("fashion_mnist", ".", str(tmp_path / "debian")))
    monkeypatch.chdir(tmp_path)
    paths.CHECKSUMS.write_text("# a remark\n")
    (tmp_path / "raw").mkdir()
    return tmp_path / "raw"


def write_idx(folder, ending="", dot=False, seed=0):
    """Four IDX files by the format's own words, 6 + 4 random images of 3x2, and what was written."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    images, labels = rng.integers(0, 256, (10, 3, 2), dtype=np.uint8), rng.permutation(10).astype(np.uint8)
    for part, own in (("train", slice(6)), ("t10k", slice(6, 10))):
        for kind, values in (("images-idx3", images[own]), ("labels-idx1", labels[own])):
            content = bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()
            file = folder / (f"{part}-{kind}-ubyte".replace("-idx", ".idx" if dot else "-idx") + ending)
            file.write_bytes(gzip.compress(content) if ending else content)
    return images, labels


def test_digits_are_scikit_learns():
    from sklearn.datasets import load_digits
    digits, bunch = load("digits"), load_digits()
    assert np.array_equal(digits.images[:, 0] / 15, bunch.images) and np.array_equal(digits.labels, bunch.target)
    assert not digits.is_test.any() and digits.images.dtype == np.uint8
    content = digits.images.tobytes() + digits.labels.astype("<i8").tobytes()
    assert digits.checksum == hashlib.sha256(content).hexdigest()[:16]


MNIST = [6903, 7877, 6990, 7141, 6824, 6313, 6876, 7293, 6825, 6958]  # as its authors give them, both parts together
MNIST_TEST = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


@pytest.mark.parametrize("name, shape, whole, test, mean", [  # the mean that is widely used to normalise it
    ("fashion_mnist", (1, 28, 28), [7000] * 10, [1000] * 10, .2860), ("mnist", (1, 28, 28), MNIST, MNIST_TEST, .1307),
    ("cifar10", (3, 32, 32), [6000] * 10, [1000] * 10, .4734)], ids=[name for name in NAMES if name != "digits"])
def test_real_files_have_their_published_counts(name, shape, whole, test, mean):
    try:
        data = load(name)
    except FileNotFoundError as error:
        pytest.skip(str(error))
    assert data.images.shape == (sum(whole), *shape) and np.bincount(data.labels).tolist() == whole
    if data.is_test.any():  # without IDX files MNIST has no test part
        assert np.bincount(data.labels[data.is_test]).tolist() == test and data.is_test[-sum(test):].all()
    assert abs(data.images.mean() / 255 - mean) < 1e-3  # of the training part, which the test part is like


@pytest.mark.parametrize("where, ending, dot", [*product(["mnist", ".", "MNIST/raw"], ["", ".gz"], [False, True])])
def test_idx_under_its_usual_names(home, where, ending, dot):
    (images, labels), mnist = write_idx(home / where, ending, dot), load("mnist")
    assert np.array_equal(mnist.images, images[:, None]) and np.array_equal(mnist.labels, labels)
    assert mnist.labels.dtype == np.int64 and mnist.is_test.tolist() == [False] * 6 + [True] * 4


def test_which_files_come_first(home):
    np.savez(home / datasets.FEDERATED, **GOOD, client=[0, 0, 1], is_test=[True, False, True])
    shipped = load("mnist")
    assert np.array_equal(shipped.images[:, 0], GOOD["images"]) and not shipped.is_test.any()
    np.savez(home / "mnist.npz", **GOOD | {"labels": [1, 1, 0]})
    assert load("mnist").labels.tolist() == [1, 1, 0]
    (home / "mnist" / "train-images-idx3-ubyte").mkdir(parents=True)  # as one archive unpacks
    assert np.array_equal(write_idx(home / "mnist", dot=True)[1], load("mnist").labels)
    for seed, folder in ((1, home.parent / "debian"), (2, home / "fashion_mnist")):  # the nearer one, once it is there
        assert np.array_equal(write_idx(folder, ".gz", seed=seed)[0], load("fashion_mnist").images[:, 0])


@pytest.mark.parametrize("shape", [(4, 5, 6), (4, 5, 6, 1), (4, 5, 6, 3)])
def test_own_npz(home, shape):
    images, parts = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8), [True, True, False, True]
    np.savez(home / "own.npz", images=images, labels=[0, 1, 2, 1], is_test=parts,
             classes=["a", "b"], objects=np.array([print], object))  # which would have to be unpickled
    own = load("own.npz")  # in the data folder
    assert np.array_equal(own.images, np.moveaxis(images.reshape(4, 5, 6, -1), -1, 1)) and own.n_classes == 3
    assert own.is_test.tolist() == parts and own.labels.tolist() == [0, 1, 2, 1]
    np.savez("own.npz", **GOOD)
    assert len(load("own.npz").labels) == 3  # the working folder comes first


def test_a_data_set_is_what_it_holds(home):
    seen = []
    for change in ({}, {"labels": [0, 1, 1]}, {"is_test": [True, False, False]},
                   {"images": GOOD["images"].reshape(3, 3, 4)}, {}):
        np.savez(home / "own.npz", **GOOD | change)
        seen.append(load(home / "own.npz"))
    assert {each.name for each in seen} == {str(home / "own.npz")} and seen[0].checksum == seen[4].checksum
    assert len({each.checksum for each in seen}) == 4
    assert load(home / "own.npz", seen[0].checksum).checksum == seen[0].checksum
    with pytest.raises(ValueError, match="is not the one that was read first"):
        load(home / "own.npz", seen[1].checksum)


def test_listed_content_counts_not_its_wrapper(home):
    write_idx(home / "mnist", ".gz")
    file, before = home / "mnist" / "train-images-idx3-ubyte.gz", load("mnist").checksum
    content = gzip.decompress(file.read_bytes())
    paths.CHECKSUMS.write_text(f"# a remark\n{hashlib.sha256(content).hexdigest()}  mnist/train-images-idx3-ubyte\n")
    for wrapped in (gzip.compress(content, 1, mtime=7), content):  # packed anew; unpacked under the same name
        file.write_bytes(wrapped)
        assert load("mnist").checksum == before
    for altered in (content[:-1], bytes(2**25)):
        file.write_bytes(gzip.compress(altered))
        tracemalloc.start()
        with pytest.raises(ValueError, match=f"{file} cannot be read: its sha256 is not that of mnist/train-images"):
            load("mnist")
        assert tracemalloc.get_traced_memory()[1] < 2**22  # hashed piece by piece: a bomb never lies there unpacked
        tracemalloc.stop()


def test_the_list_is_in_the_format_of_sha256sum_and_names_what_is_read():
    lines = [line for line in paths.CHECKSUMS.read_text().splitlines() if not line.startswith("#")]
    read = {f"{name}/{file}" for name in datasets.FOLDERS for file in datasets.IDX} | {datasets.FEDERATED}
    assert {line[66:] for line in lines} == read
    assert all(re.fullmatch(r"[0-9a-f]{64}  \S+", line) for line in lines)


def npz(**change):
    """Bytes of the good npz with some arrays replaced; None takes one away."""
    np.savez(packed := io.BytesIO(), **{name: array for name, array in (GOOD | change).items() if array is not None})
    return packed.getvalue()


@pytest.mark.parametrize("content, said", [  # the second is a pickle that ends the interpreter of whoever loads it
    (b"", "own.npz cannot be read: it is no npz"), (b"cos\nabort\n(tR.", "it is no npz .pickles are never read"),
    (npz()[:-30], "cannot be read: File is not a zip"), (npz(labels=None), "arrays images; expected images, labels"),
    (npz().replace(GOOD["images"].tobytes(), bytes(36)), "own.npz cannot be read: Bad CRC-32"),
    (npz(labels=np.array([print] * 3, object)), "own.npz cannot be read: Object arrays cannot be loaded"),
    (npz(images=np.zeros((3, 50, 50), np.uint8)), "its arrays take 7780 bytes; expected at most 5000"),
    (npz(images=np.zeros((3, 2, 2))), r"own.npz has images of shape \(3, 2, 2, 1\) and type float64; expected uint8"),
    (npz(images=np.zeros((3, 3, 2, 2), np.uint8)), r"shape \(3, 3, 2, 2\)"), (npz(images=np.uint8(3)), r"shape \(\)"),
    (npz(images=np.zeros((0, 2, 2), np.uint8)), r"shape \(0, 2, 2, 1\)"), (npz(labels=[[0], [1], [0]]), "labels of"),
    (npz(labels=[0, 1]), r"labels of shape \(2,\) and type int64; expected 3"), (npz(labels=["a"] * 3), "of .* <U1;"),
    (npz(labels=[-1, 0, 1]), "labels of .* >= 0"), (npz(labels=np.array([0, 1, 2**63], "u8")), "labels of .* >= 0"),
    (npz(is_test=[1, 0, 0]), "is_test of .* expected 3 booleans"), (npz(is_test=[True]), r"is_test of shape \(1,\)"),
    (npz(labels=[0., 1., 0.]), "labels of .* float64"),
])
def test_bad_npz(home, content, said, monkeypatch):
    monkeypatch.setattr(files, "LARGEST", 5000)
    (home / "own.npz").write_bytes(content)
    with pytest.raises(ValueError, match=f"^[^\n]*{said}[^\n]*$"):
        load("own.npz")


@pytest.mark.parametrize("damage", [lambda raw: raw[:-1], lambda raw: b"", lambda raw: raw[:3],
                                    lambda raw: gzip.compress(raw)[:-9], lambda raw: b"<html>" + raw[:-7]])
def test_damaged_idx(home, damage):
    write_idx(home / "mnist")
    file = home / "mnist" / "train-images-idx3-ubyte"
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(ValueError, match=f"{file} cannot be read: [^\n]+$"):
        load("mnist")


@pytest.mark.parametrize("name", [name for name in NAMES if name != "digits"] + ["own.npz", "fasion", "", "\udce9.npz"])
def test_missing_files_and_unknown_names(home, name):
    os.mkfifo(home / "own.npz")  # a pipe is never waited for
    known = name in NAMES or name == "own.npz"
    said = r"no file .*\.npz; data/README.md lists" if known else "unknown data set .*; expected digits, fashion"
    with pytest.raises(FileNotFoundError if known else ValueError, match=said) as caught:
        load(name)
    assert str(caught.value).encode()  # can be printed


@pytest.mark.parametrize("name, shape", [("fashion_mnist", (1, 28, 28)), ("cifar10", (3, 32, 32))])
def test_fetch_with_a_stand_in_for_openml(home, monkeypatch, name, shape):
    images = np.random.default_rng(0).integers(0, 256, (12, *shape)).astype(np.int16)
    bunch = SimpleNamespace(data=images[0, 0], target=np.arange(12).astype(str))  # data of another shape
    monkeypatch.setattr("sklearn.datasets.fetch_openml", lambda *_, **__: bunch), monkeypatch.setattr(files, "TEST", 4)
    for folder, said in ((paths.CHECKSUMS, r"checksums.sha256 cannot be written \(.*; set HFKD_DATA to a folder that"),
                         (home, f"could not fetch {name} from OpenML .*; try again, or set HFKD_DATA")):
        monkeypatch.setenv("HFKD_DATA", str(folder))
        with pytest.raises((ValueError, FileNotFoundError), match=said):
            fetch(name)
    assert list(home.iterdir()) == []  # nothing is left behind
    bunch.data = images.reshape(12, -1)  # a flat row holds its planes of colour one after the other
    assert fetch(name) == home / f"{name}.npz" and [file.name for file in home.iterdir()] == [f"{name}.npz"]
    assert np.array_equal(load(name).images, images) and load(name).labels.tolist() == list(range(12))
    assert load(name).is_test.tolist() == [False] * 8 + [True] * 4
    monkeypatch.delattr("sklearn.datasets.fetch_openml")
    assert fetch(name) == home / f"{name}.npz"  # what is there is kept
    with pytest.raises(ValueError, match="'digits' cannot be fetched; expected one of fashion_mnist, mnist, cifar10"):
        fetch("digits")
