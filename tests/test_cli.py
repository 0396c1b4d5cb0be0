"""The command line in this process: what it prints, its exit status, and that bad input writes nothing."""

import math
from pathlib import Path

import pytest
import torch

from hfkd import __version__, benchmarks, claims, compat, data, federation, learning, listing, notebooks, outputs
from hfkd import overhead, paths, plans, results, revenue, transport, weighting
from hfkd.cli import main
from hfkd.config import settings
from hfkd.experiments import GRIDS
from hfkd.matching import RULES
from hfkd.methods import METHODS
from hfkd.partition import PARTITIONS

TINY = [word for name in ("clients=4", "rounds=2", "pool_size=400", "public_size=40", "balanced_size=100", "batch=16")
        for word in ("--set", name)]  # fmt: skip


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Results that nobody gave a place for go into the test's own folder."""
    monkeypatch.setattr(paths, "RUNS", tmp_path / "runs")
    monkeypatch.chdir(tmp_path)


NAMED = {"methods": METHODS, "datasets": data.NAMES, "partitions": PARTITIONS, "rules": RULES, "grids": GRIDS,
         "protocols": compat.PROTOCOLS, "profiles": ["smoke", "lite", "paper"], "settings": settings(),
         "weightings": weighting.RULES, "revenues": revenue.RULES, "schedules": learning.SCHEDULES, "transports": transport.KINDS}  # fmt: skip


@pytest.mark.parametrize("what", NAMED)
def test_list_names_everything_a_line_each(what, capsys):
    assert main(["list", what]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert [line.split()[0] for line in lines] == list(NAMED[what]) and err == ""
    assert all(len(line.split()) > 1 for line in lines)  # and says what it is
    assert len({len(line) - len(line.split(maxsplit=1)[1]) for line in lines}) == 1  # in one column


def test_list_of_claims(monkeypatch, capsys):
    made_up = [claims.Claim(name, f"It is {name}.", "40", "fig1", "a.csv", "above", 0.0, math.nan, "hfkd | personality")
               for name in ("good", "cheap-and-quick")]  # fmt: skip
    monkeypatch.setattr(claims, "read", lambda: made_up)
    assert main(["list", "claims"]) == 0
    assert capsys.readouterr().out == "good             It is good.\ncheap-and-quick  It is cheap-and-quick.\n"
    assert set(listing.LISTS) == {*NAMED, "claims"}  # nothing else is to be listed


def test_run_writes_rows_and_shows_means(capsys, tmp_path):
    assert main(["run", "--method", "fedmd", "--dataset", "digits", "--seeds", "0-1", "--out", "a.csv", *TINY]) == 0
    out, err = capsys.readouterr()
    rows = results.load(tmp_path / "a.csv")
    assert set(rows["method"]) == {"fedmd"} and set(rows["seed"]) == {0, 1} and len(rows) == 2 * 4  # eval_every is 5
    asked = "method dataset partition skew seed round client level personality consistency bytes_up bytes_down".split()
    assert set(asked) <= set(rows.columns)
    assert out.splitlines()[-1] == "means over seeds at the last round, in points; rows in a.csv"
    shown = next(line for line in out.splitlines() if line.startswith("fedmd"))
    assert float(shown.split()[-3]) == pytest.approx(100 * rows["personality"].mean(), abs=.006)  # to two digits
    assert "cells done" in err and "Traceback" not in err
    before = (tmp_path / "a.csv").read_bytes()
    assert main(["run", "--method", "fedmd", "--dataset", "digits", "--seeds", "0-1", "--out", "a.csv", *TINY]) == 0
    assert (tmp_path / "a.csv").read_bytes() == before and "rows in a.csv" in capsys.readouterr().out


def test_method_by_set_and_the_default_place(tmp_path, capsys):
    assert main(["run", "--set", "method=local", "--seeds", "0", *TINY]) == 0
    rows = results.load(tmp_path / "runs" / "smoke" / "run.csv")
    assert set(rows["method"]) == {"local"} and str(tmp_path / "runs" / "smoke" / "run.csv") in capsys.readouterr().out


def test_grid_narrowed_to_a_method(tmp_path, capsys):
    given = "grid 40 --seeds 0 --jobs 1 --set method=fedmd --set skew=0.5".split()
    assert main([*given, *TINY]) == 0
    rows = results.load(tmp_path / "runs" / "smoke" / "40_comparison.csv")
    assert set(zip(rows["method"], rows["skew"])) == {("fedmd", .5)}
    assert set(rows["variant"]) == {"", "hard_loss=balanced"}
    assert "hard_loss=balanced" in capsys.readouterr().out


BAD = {
    "run --method fedsgd": "method is 'fedsgd'; expected one of local, balanced_local, fedavg, ",
    "run --method fedmd --set revenue=realised --set refresh=5": "revenue is 'realised', which method 'fedmd' does not read",
    "run --set method=fedsgd": "method is 'fedsgd'; expected one of local, ",
    "run --method hfkd --set method=local": "method is given by --set and by its own option; expected one of the two",
    "run --dataset digits --set dataset=mnist": "dataset is given by --set and by its own option; expected one of the",
    "run --profile full": "profile is 'full'; expected one of smoke, lite, paper",
    "run --set rule=best": "rule is 'best'; expected one of coverage, assignment, ",
    "run --set clients=two": "clients is 'two'; expected int",
    "run --set clients=2.5": "clients is 2.5; expected int",
    "run --set fan_in=0": "fan_in is 0; expected 1 or more",
    "run --set alpha=2": "alpha is 2.0; expected 0.0 or more, at most 1.0",
    "run --set device=gpu": "device is 'gpu'; expected one of cpu, cuda",
    "run --set alpha": "--set 'alpha' has no '='; expected name=value",
    "run --set learning_rate=1": "parameter 'learning_rate' is unknown; expected one of alpha, ",
    "run --seeds 0-1,5-3": "seeds is '0-1,5-3'; expected numbers and ranges",
    "run --seeds 0,0": "seeds is '0,0'; expected numbers and ranges",
    "run --dataset digit": "unknown data set 'digit'; did you mean digits?",
    "run --dataset none.npz": "none.npz",
    "run --set public=digits": "public is 'digits', which has images of the private digits; expected 'same' or other images",
    "run --set partition=even": "unknown partition 'even'; expected one of dirichlet, ",
    "run --set partition=natural": "data set digits has no client ids",
    "run --set clients=400": "400",
    "run --set public_size=5000": "public_size is 5000, but only",
    "run --set balanced_size=99": "balanced_size is 99; expected a multiple of the 10 classes",
    "run --set level_share=(.5,.6)": "level_share",
    "grid 41": f"grid is '41'; expected one of {', '.join(GRIDS)}",
    "grid 40 --set hard_loss=plain": "hard_loss is an axis of 40_comparison; leave it to the grid, or",
    "grid 40 --set hard_loss=plain --set method=local": "hard_loss is an axis of 40_comparison; leave it to the grid",
    "grid 40 --set method=fedsgd": "method is 'fedsgd'; expected one of local, ",
    "data fetch imagenet": "data set 'imagenet' cannot be fetched; expected one of fashion_mnist, mnist, cifar10",
}


@pytest.mark.parametrize("line", BAD)
def test_bad_input_is_one_sentence_and_nothing_is_written(line, capsys, tmp_path):
    assert main(line.split()) == 2
    out, err = capsys.readouterr()
    complaints = [text for text in err.splitlines() if not text.endswith("starting")]  # progress may come first
    assert len(complaints) == 1 and complaints[0].startswith("hfkd: ") and BAD[line] in complaints[0] and out == ""
    assert not list(tmp_path.rglob("*.csv")) and not list(tmp_path.rglob("*.json"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA GPU")
def test_cuda_asked_for_and_absent(capsys, tmp_path):
    assert main(["run", "--seeds", "0", "--set", "device=cuda", *TINY]) == 2
    said = "hfkd: device is 'cuda' and torch finds none; expected a CUDA GPU, or --set device=cpu\n"
    assert capsys.readouterr().err == said
    assert not list(tmp_path.iterdir())


def test_another_configuration_in_the_way(capsys, tmp_path):
    assert main(["run", "--method", "local", "--seeds", "0", "--out", "a.csv", *TINY]) == 0
    capsys.readouterr()
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert main(["run", "--method", "local", "--seeds", "1", "--out", "a.csv", *TINY, "--set", "lr=0.5"]) == 2
    assert "hfkd: a.csv holds another configuration (lr is None there and 0.5 here)" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


UNKNOWN = ["", "walk", "list", "list colours", "run --alpha 1", "grid", "data put digits", "run --jobs x"]


@pytest.mark.parametrize("line", UNKNOWN)
def test_unknown_words_are_answered_with_the_usage(line, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(line.split())
    assert stopped.value.code == 2 and "usage: hfkd" in capsys.readouterr().err


def test_version_and_help(capsys):
    for word, said in (("--version", f"hfkd {__version__}"), ("--help", "hfkd run --method hfkd --dataset fashion")):
        with pytest.raises(SystemExit) as stopped:
            main([word])
        assert stopped.value.code == 0 and said in capsys.readouterr().out


GOES_ON, ANEW = "what is done is kept, the same command ", "grids of the smoke profile always start over"
STOPPED = {
    "run": f"{GOES_ON}goes on from there",
    "run --fresh": f"{GOES_ON}without --fresh goes on from there",
    "grid 40 --jobs 1": ANEW,
    "grid 40 --jobs 1 --fresh": ANEW,
    "grid 40 --jobs 1 --profile lite --set dataset=digits": f"{GOES_ON}goes on from there",
    "reproduce --only 40": ANEW,
    "reproduce --only 90 --profile lite --fresh": f"{GOES_ON}without --fresh goes on from there",
    "bench --only match": "nothing more is written",
}


@pytest.mark.parametrize("line", STOPPED)
def test_stopped_by_hand(line, monkeypatch, capsys):
    def stop(*_, **__):
        raise KeyboardInterrupt

    for owner, name in ((federation, "run"), (notebooks, "execute"), (benchmarks, "show")):
        monkeypatch.setattr(owner, name, stop)
    assert main([*line.split(), *(["--seeds", "0", *TINY] if line.startswith(("run", "grid")) else [])]) == 130
    assert capsys.readouterr().err.endswith(f"\nhfkd: stopped; {STOPPED[line]}\n")


@pytest.mark.parametrize("more, kept", [("--profile lite", True), ("--profile lite --fresh", False), ("", False)])
def test_who_goes_on_from_a_checkpoint(more, kept, monkeypatch):
    left, found = Path("a.csv.checkpoints", "x.safetensors"), []
    left.parent.mkdir()
    left.write_text("of a cell")

    def look(*_):
        found.append(left.exists())
        raise KeyboardInterrupt

    monkeypatch.setattr(federation, "run", look)
    words = f"grid 40 --jobs 1 --set dataset=digits --out a.csv --seeds 0 {more}"
    assert main([*words.split(), *TINY]) == 130 and found == [kept]


def test_bench_says_what_rules_add(monkeypatch, capsys):
    monkeypatch.setattr(overhead, "costs", lambda *given, levels: [overhead.Cost(f"some rule, {levels}", .25, 1.02)])
    assert main(["bench", "--only", "rules"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2:] == ["mlp         0.250   1.02  some rule, mlp", "cnn         0.250   1.02  some rule, cnn"]


def test_reproduce_afresh_takes_nothing_from_who_works_there(monkeypatch, capsys, tmp_path):
    (home := tmp_path / "runs" / "lite").mkdir(parents=True)
    monkeypatch.setattr(plans, "plan", lambda *_: {})
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    monkeypatch.setattr(claims, "read", list)

    def lying():
        return sorted(str(path.relative_to(home)) for path in home.rglob("*") if path.is_file())

    for name in ("a.csv", "a.json", "b.json"):
        (home / name).write_text(name)
    for name in ("a.csv", "b.csv", "c.csv"):
        (home / f"{name}.checkpoints").mkdir()
        (home / f"{name}.checkpoints" / "x.safetensors").write_text("kept")
    with outputs.alone(home / "c.csv"):  # its first cell is not done yet
        before = lying()
        assert main(["reproduce", "--profile", "lite", "--fresh"]) == 2
        assert "c.csv is taken: another run" in capsys.readouterr().err and lying() == before
    (saved := home / ".b.csv.saved").mkdir()
    (saved / "b.csv").write_text("of a killed process")
    (home / "timings.txt").write_text("no row")
    assert main(["reproduce", "--profile", "lite", "--fresh"]) == 0
    assert lying() == ["timings.txt"] and [path.name for path in home.iterdir()] == ["timings.txt"]
