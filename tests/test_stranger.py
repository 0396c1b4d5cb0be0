"""A stranger's machine, files and habits: one table for each kind of thing that once cost somebody work or time."""

import io
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import joblib
import numpy as np
import pytest

from hfkd import cli, data, notebooks, paths
from hfkd.data import datasets, files
from hfkd.study import experiments, results
from hfkd.study.grids import GRIDS, cells

TINY = dict(clients=4, rounds=2, pool_size=400, public_size=40, balanced_size=100, batch=16)
RUN = ["run", "--method", "local", "--seeds", "0", *(word for n, v in TINY.items() for word in ("--set", f"{n}={v}"))]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Runs and files go to the test's own folder."""
    monkeypatch.setattr(paths, "RUNS", tmp_path / "runs")
    monkeypatch.chdir(tmp_path)


class Full(io.StringIO):
    """A disk with no room left."""

    def write(self, text):
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize("words", [["list", "rules"], [*RUN, "--out", "a.csv"]], ids=["list", "run"])
def test_text_that_is_lost_is_told_and_files_are_saved(words, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "stdout", Full())
    assert cli.main(words) == 2 and "hfkd: stdout cannot be written ([Errno 28] " in capsys.readouterr().err
    assert words[0] == "list" or len(results.load(tmp_path / "a.csv")) == 1


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_signal_is_one_sentence(name):
    unheard = f"import signal; signal.signal(signal.{name}, signal.SIG_DFL)"  # pytest may run under nohup
    code = f"{unheard}; from hfkd.cli import main; import sys; sys.exit(main())"
    env = os.environ | {"HFKD_RUNS": os.getcwd()}
    words = [word.replace("rounds=2", "rounds=100000") for word in RUN]
    process = subprocess.Popen([sys.executable, "-c", code, *words], env=env | {"PYTHONPATH": str(paths.ROOT)},
                               text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while not list(Path().glob("smoke/run_local")):  # it has begun
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(getattr(signal, name))
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (130, "") and err.strip().startswith("hfkd: stopped; what is done is kept")
    assert "\n" not in err.strip()


def test_what_is_set_for_other_programs_decides_nothing(monkeypatch):
    foreign = {"PYTHONPATH": "x", "PYTHONHOME": "x", "GIT_DIR": "x", "TQDM_MININTERVAL": "soon", "MPLBACKEND": "none"}
    for name, value in foreign.items():
        monkeypatch.setenv(name, value)
    assert cli.main(["list", "rules"]) == 0 and not foreign.keys() & os.environ.keys()


@pytest.mark.parametrize("what", ["settings", "claims"])
def test_no_docstring_is_needed_at_run_time(what):
    code = "from hfkd.cli import main; import sys; sys.exit(main(sys.argv[1:]))"
    found = subprocess.run([sys.executable, "-OO", "-c", code, "list", what], cwd=paths.ROOT, capture_output=True)
    assert found.returncode == 0 and found.stdout.count(b"\n") > 20 and found.stderr == b""


def test_make_takes_no_orders_from_the_environment(tmp_path):
    if not shutil.which("make"):
        pytest.skip("no make here")
    shutil.copy(paths.ROOT / "Makefile", tmp_path)
    (tmp_path / "requirements.lock").touch()
    show = "include Makefile\nshow:\n\t@env\n"
    (tmp_path / "show.mk").write_text(show)
    foreign = {"PYTHONPATH": "x", "PIP_TARGET": "x", "GIT_DIR": "x", "PYTEST_ADDOPTS": "x", "MPLBACKEND": "x"}
    env = os.environ | foreign | {"PIP_INDEX_URL": "mirror", "PROFILE": "paper", "PYTHON": "nowhere", "PIP_USER": "1"}
    run = lambda *words: subprocess.run(["make", *words], cwd=tmp_path, env=env, text=True, capture_output=True)
    seen = dict(line.split("=", 1) for line in run("-f", "show.mk", "show").stdout.splitlines() if "=" in line)
    assert not foreign.keys() & seen.keys() and (seen["PIP_INDEX_URL"], seen["PIP_USER"]) == ("mirror", "0")
    said = run("-n", "reproduce", "FRESH=0").stdout
    assert "python3 -I -m venv" in said and "--profile committed" in said and "fresh" not in said
    (tmp_path / ".venv").mkdir()  # somebody's own
    (tmp_path / ".venv" / "mine").touch()
    assert "make has not made it" in run("venv").stderr and (tmp_path / ".venv" / "mine").exists()


@pytest.mark.parametrize("name", ["a.json", "a.ledger.csv"])
def test_a_file_beside_the_rows_that_hfkd_did_not_write_stays(name, capsys):
    Path(name).write_text("mine")
    assert cli.main([*RUN, "--out", "a.csv"]) == 2 and Path(name).read_text() == "mine"
    assert f"{name} is there and hfkd did not write it; choose another --out" in capsys.readouterr().err


def test_a_data_set_that_changes_meanwhile_is_not_taken_for_the_first(tmp_path):
    images, labels = np.arange(400 * 64, dtype=np.uint16).astype(np.uint8).reshape(400, 8, 8), np.arange(400) % 10
    np.savez("own.npz", images=images, labels=labels, classes=["a"] * 10)
    settings = TINY | {"dataset": "own.npz", "pool_size": 200, "balanced_size": 50, "method": "local", "minimum": 3}
    (job, *_) = experiments.planned(GRIDS["70"], cells(GRIDS["70"], "smoke", settings), (0,), tmp_path / "cells")
    np.savez("own.npz", images=images[::-1], labels=labels)
    assert "is not the one that was read first" in str(experiments._done(job)[1]) and not (tmp_path / "cells").exists()


@pytest.mark.parametrize("make, said", [
    (lambda path: path.symlink_to("nowhere"), "no file .*train-images-idx3-ubyte; data/README.md lists"),
    (lambda path: path.write_bytes(b"\0\0\x08\x01\0\0\0\0"), "no file .*train-labels-idx1-ubyte; data/README.md lists"),
], ids=["link", "one of four"])
def test_files_that_are_not_here_are_told_by_their_name(make, said, monkeypatch, tmp_path):
    monkeypatch.setenv("HFKD_DATA", str(tmp_path))
    monkeypatch.setattr(paths, "CHECKSUMS", tmp_path / "sums")
    paths.CHECKSUMS.touch()
    make(tmp_path / "train-images-idx3-ubyte")
    for file in datasets.IDX[1:] if "images" in said else ():
        (tmp_path / file).write_bytes(b"\0\0\x08\x01\0\0\0\0")
    with pytest.raises((ValueError, FileNotFoundError), match=said):
        data.load("mnist")


def test_labels_from_one_and_memory_that_runs_out(monkeypatch):
    np.savez("own.npz", images=np.zeros((26, 2, 2), np.uint8), labels=np.arange(26) + 1)
    assert (data.load("own.npz").n_classes, data.load("own.npz").labels.min()) == (26, 0)
    monkeypatch.setattr(files.np, "load", lambda *_, **__: np.empty(2**50))  # numpy's own MemoryError
    with pytest.raises(MemoryError):
        data.load("own.npz")


def test_what_was_allotted_is_asked(monkeypatch):
    monkeypatch.setattr(joblib, "cpu_count", lambda: 3)
    assert " 3 cores " in f" {experiments.machine()}"


@pytest.mark.parametrize("folder, transport", [("x", "ipc"), ("x" * 90, "tcp")])
def test_kernels_need_no_loopback(folder, transport):
    assert notebooks._own_kernel(folder)().transport == transport
