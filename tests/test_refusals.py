"""What a user may get wrong on the command line: each is refused in one sentence before anything runs or is written."""

import numpy as np
import pytest
import torch

from hfkd import paths
from hfkd.cli import main
from hfkd.engine import record
from hfkd.study.grids import checked

REFUSED = {
    # settings
    "run --set learning_rate=1": "parameter 'learning_rate' is unknown; expected one of alpha, ",
    "run --set alpha": "--set 'alpha' has no '='; expected name=value",
    "run --set alpha=0.1 --set alpha=0.2": "--set 'alpha=0.2' is there twice",
    "run --set clients=two": "clients is 'two'; expected int",
    "run --set feedback=1": "feedback is 1; expected bool",
    "run --set alpha=2": "alpha is 2.0; expected 0.0 or more, at most 1.0",
    "run --set lr=nan": "lr is 'nan'; expected float | None",
    "run --set device=gpu": "device is 'gpu'; expected one of cpu, cuda, auto",
    "run --set level_share=(.5,.6,.1)": "level_share is (0.5, 0.6, 0.1); expected three shares",
    "run --set weighting=revenue": "weighting is 'revenue'; expected one of fixed, ",
    # settings that do not go together, or not with the method
    "run --set weighting=controller --set val_share=0": "reads the own validation split and val_share is 0",
    "run --set revenue=labelled": "set public_labels=True",
    "run --set spoken=20 --set schedule=top_down": "schedule is 'top_down' with spoken 20; expected simultaneous",
    "run --set liars=0.2 --set schedule=top_down": "schedule is 'top_down' with liars; expected simultaneous",
    "run --set public=none": "method 'hfkd' needs images that everybody may speak about and public is 'none'",
    "run --method inclusivefl": "needs levels that differ in depth only, which levels 'mlp' are not; set levels=depth",
    "run --method fd --set dropout=0.3": "method 'fd' needs every client in every round",
    "run --method fedavg --set liars=0.3": "method 'fedavg' needs weights of all who are there",
    "run --method fedmd --set readout=prototype": "method 'fedmd' has no readout 'prototype'; set readout=plain",
    "run --method fedmd --set revenue=labelled --set public_labels=True --set refresh=2":
        "revenue is 'labelled', which method 'fedmd' does not read; expected none",
    # names
    "run --method fedsgd": "method is 'fedsgd'; expected one of local, balanced_local, ",
    "run --method hfkd --set method=local": "--set 'method=local' is there twice; expected name=value",
    "run --set out=x.csv": "--set out has an option of its own, --out; expected one of the two",
    "run --set rule=best": "rule is 'best'; expected one of coverage, ",
    "run --profile medium": "profile is 'medium'; expected smoke, lite or paper (committed is read, not run)",
    "run --profile committed": "profile is 'committed'; expected smoke, lite or paper (committed is read, not run)",
    "grid 41": "grid is '41'; expected one of 10, classes, 20, ",
    "grid losses --set hard_loss=plain": "hard_loss is an axis of 40_comparison_losses; leave it to the grid, or",
    "grid 50 --set method=fedavg": "method is 'fedavg'; expected one of local, balanced_local, hfkd in 50_ablations",
    "reproduce --only 41": "--only names notebook '41'; expected one of 00, 10, ",
    "reproduce --only 40 -p colour=red": "parameter 'colour' is in no notebook that runs; expected one of ",
    "reproduce -p profile=lite": "-p is 'profile=lite'; expected name=value, and --profile for the profile",
    "list colours": "invalid choice: 'colours'",
    "fetch imagenet": "data set 'imagenet' cannot be fetched; expected one of ",
    "bench --only sweep": "only is 'sweep', repeats is 1; expected one of hfkd, ",
    "bench --json rows.txt": "json is 'rows.txt'; expected a new file whose name ends in .json",
    "walk": "invalid choice: 'walk'",
    # what one message a round cannot carry
    "federate --set schedule=top_down": "schedule is 'top_down', which one message a round cannot carry; expected 'sim",
    "federate --set weighting=gradient": "weighting is 'gradient', which",
    "federate --set rule=best": "rule is 'best'; expected one of coverage, ",
    "federate --set method=fedavg": "method is 'fedavg', which",
    "federate --set spoken=9": "spoken is 9, which", "federate --clients 1": "clients is 1; expected two at least",
    "federate --set revenue=labelled": "revenue is 'labelled', which one message a round cannot carry",
    "federate --set dropout=0.1": "dropout is 0.1, which",
    "federate --clients 4 --set clients=3": "--set 'clients=3' is there twice",
    "federate --set epsilon=1": "expected None; noise is each client's own, --epsilon",
    "member --data a.npz --public a.npz --folder f --level 4": "--level: invalid choice: 4",
    "member --data a.npz --public a.npz --folder f --epsilon 0": "epsilon is 0.0; expected 0.001 or more",
    # seeds and jobs
    "run --seeds 0-1,5-3": "seeds is '0-1,5-3'; expected numbers and ranges",
    "run --seeds 0,0": "seeds is '0,0'; expected numbers and ranges",
    "run --seeds=": "seeds is ''; expected numbers and ranges",
    "run --jobs 0": "jobs is 0; expected an integer >= 1",
    "run --jobs many": "argument --jobs: invalid int value: 'many'",
    # data
    "run --dataset digit": "unknown data set 'digit'",
    "run --dataset none.npz": "none.npz",
    "run --dataset fashion_mnist": "fashion_mnist",
    "run --dataset cut.npz": "cut.npz cannot be read",
    "run --dataset pickled.npz": "pickled.npz cannot be read",
    "run --dataset flat.npz": "has images of shape (20, 64) and type uint8; expected uint8 of shape",
    "run --set public=digits": "public is 'digits', which has images of the private digits; expected 'same' or other",
    "run --set public=wide.npz": "public images of wide.npz are (1, 9, 9); expected (1, 8, 8) as in digits",
    "run --set clients=400": "expected an integer",
    "run --set public_size=5000": "public_size is 5000; expected an integer",
    "run --set balanced_size=99": "balanced_size is 99; expected a multiple of the 10 classes",
    # places
    "run --out rows.txt": "out is 'rows.txt'; expected a name that ends in .csv",
    "grid 40 --out flat.npz/rows.csv": "flat.npz cannot be written (",
    "run --out mine.csv": "mine.csv is there and hfkd did not write it; choose another --out",
    "verify --results nowhere": "results is nowhere; expected a folder with result files, such as data/results",
}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """A folder with some bad files to work in, an empty data folder, and nothing may run."""
    monkeypatch.setattr(paths, "RUNS", tmp_path / "runs")
    monkeypatch.setenv("HFKD_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(record, "run", lambda *_: pytest.fail("it ran"))
    monkeypatch.chdir(tmp_path)
    labels = np.arange(20) % 10
    np.savez("whole.npz", images=np.zeros((20, 8, 8), np.uint8), labels=labels)
    np.savez("flat.npz", images=np.zeros((20, 64), np.uint8), labels=labels)
    np.savez("wide.npz", images=np.arange(20 * 81, dtype=np.uint16).astype(np.uint8).reshape(20, 9, 9), labels=labels)
    np.savez("pickled.npz", images=np.zeros((20, 8, 8), np.uint8), labels=labels.astype(object))
    (tmp_path / "cut.npz").write_bytes((tmp_path / "whole.npz").read_bytes()[:500])
    (tmp_path / "mine.csv").write_text("my own rows")


def refused(words, capsys, folder):
    """What is said of a command line that must be refused: one line; the folder stays as it was."""
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("hfkd: ") and err.count("\n") == 1 and "Traceback" not in err
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    return err


@pytest.mark.parametrize("line", REFUSED)
def test_one_sentence_and_nothing_is_written(line, capsys, tmp_path):
    assert REFUSED[line] in refused(line.split(), capsys, tmp_path)


@pytest.mark.parametrize("line", ["run --set device=cuda", "reproduce --profile paper", "bench --device cuda"])
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA GPU")
def test_cuda_asked_for_and_absent(line, capsys, tmp_path):
    assert "device is 'cuda' and torch finds none; expected a CUDA GPU" in refused(line.split(), capsys, tmp_path)
    assert checked("smoke", device="auto").device == "cpu"


@pytest.mark.parametrize("given", ["--out", "--dataset"])
def test_a_name_that_no_result_could_hold(given, capsys, tmp_path):
    refused(["run", given, "caf\udce9.csv" if given == "--out" else "caf\udce9.npz"], capsys, tmp_path)
