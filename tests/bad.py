"""Bad input through the command line: what holds of every refusal, and small good files for tests to spoil."""

import io
import re
import zipfile

import numpy as np
import pytest

from hfkd import data, paths
from hfkd.cli import main

# A sentence says what would be right, or what to do: one of these words is in each of them.
WAYS = re.compile("expected|did you mean|choose|use |take |give |(?<!data )set |leave|name one|makes|always|restore")
SMALL = ("--seeds 0 --set clients=3 --set rounds=1 --set public_size=20 --set balanced_size=6 --set minimum=10 "
         "--set batch=8 --set eval_every=1").split()  # fmt: skip


def everything(folder) -> dict:
    """What lies in a folder: path -> bytes, or None for a folder."""
    return {p: p.read_bytes() if p.is_file() else None for p in folder.rglob("*") if not p.is_symlink()}


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys):
    """A function of command-line words: `hfkd` must refuse them and write nothing; returns the one sentence it says."""
    monkeypatch.setattr(paths, "RUNS", tmp_path / "runs")
    monkeypatch.setattr(paths, "CHECKSUMS", tmp_path / "checksums.sha256")
    monkeypatch.setattr(data, "DEBIAN", {})
    monkeypatch.setenv("HFKD_DATA", str(tmp_path / "raw"))
    monkeypatch.chdir(tmp_path)

    def run(*words):
        before = everything(tmp_path)
        code = main([str(word) for word in words])
        out, err = capsys.readouterr()
        assert code == 2 and out == "", f"exit {code}, {out!r}"
        assert err.startswith("hfkd: ") and err.endswith("\n") and err.count("\n") == 1, err
        assert "Traceback" not in err and WAYS.search(err), err
        assert everything(tmp_path) == before
        return err.removeprefix("hfkd: ").rstrip("\n")

    return run


def images(n=150, side=4):
    """(images (n,side,side) uint8, labels (n,) of three classes) as an npz of one's own has them."""
    rng = np.random.default_rng(0)
    return {"images": rng.integers(0, 256, (n, side, side), dtype=np.uint8), "labels": np.arange(n) % 3}


def npz(**arrays) -> bytes:
    """An npz as numpy writes it."""
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def npy(header: str, body: bytes = b"", start=b"\x93NUMPY\x01\x00") -> bytes:
    """An array in the npy format with any header."""
    return start + len(header).to_bytes(2, "little") + header.encode() + body


def archive(members, method=zipfile.ZIP_STORED, spoil=None) -> bytes:
    """A zip of (name, bytes); `spoil` changes what its directory says about the first."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as packed:
        for name, content in members:
            packed.writestr(name, content)
        if spoil:
            spoil(packed.infolist()[0])
    return file.getvalue()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a data set, and with x.csv, its record and its journals of one small run."""
    folder, before = tmp_path_factory.mktemp("made"), pytest.MonkeyPatch()
    before.chdir(folder)
    (folder / "own.npz").write_bytes(npz(**images()))
    assert main(["run", "--dataset", "own.npz", "--out", "x.csv", *SMALL]) == 0
    before.undo()
    return folder
