"""A grid: everything is checked before anything runs, rows that are there are not run again, and files are stable."""

import json
import platform
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest

from hfkd import data, federation, grids, paths, progress, provenance, results
from hfkd.config import configure
from hfkd.experiments import GRIDS, run_grid, run_one
from hfkd.ledger import LEDGER, WEIGHTS
from hfkd.methods import METHODS
from hfkd.provenance import plain

SMALL = dict(clients=4, rounds=2, pool_size=400, public_size=40, balanced_size=100, batch=16, eval_every=1)
TINY = dict(profile="lite", dataset="digits", clients=2, rounds=2, eval_every=1)  # lite goes on from what is there


def made_up(rows):
    """Journals of a made-up run: one edge, one weight and one count for every client and seed."""
    who = pd.DataFrame(rows).drop_duplicates(["seed", "client"])[["seed", "client"]].reset_index(drop=True)
    to = who.rename(columns={"client": "to"})
    edges = to.assign(**{"round": 2, "from": 0, "kind": "self", "revenue": 0.0, "weight": 1.0, "bytes": 0})
    signals = dict.fromkeys(("hard", "soft", "own", "other", "cosine"), np.nan)
    weights = who.assign(round=1, weight=.5, closed=0, **signals)[WEIGHTS]
    return edges[LEDGER], weights, who.assign(**{"level": 1, "class": 0, "count": 9})


@pytest.fixture
def calls(monkeypatch):
    """Runs are made up, and the list of (method, skew, seeds) that were run; "stop" in it ends the next but one."""
    asked = []

    def run(config, method, dataset, seeds, public=None, report=None, place=None):
        if "stop" in asked and len(asked) > 1:
            raise KeyboardInterrupt
        asked.append((config.method, config.skew, tuple(seeds)))
        rows = [
            dict(method=config.method, dataset=config.dataset, public=config.public, partition=config.partition,
                 skew=config.skew, seed=seed, round=round, client=client, level=1, samples=9,
                 personality=.5 + seed / 1000, consistency=.25, consistency_corrected=.25, val_personality=.5,
                 val_consistency=.5, alpha=.5, teachers=0, bytes_up=0, bytes_down=0)
            for seed in seeds for round in range(1, config.rounds + 1) for client in range(config.clients)
        ]  # fmt: skip
        report(config.rounds, config.rounds)
        return federation.Outcome(pd.DataFrame(rows), *made_up(rows))

    monkeypatch.setattr(federation, "run", run)
    return asked


def test_only_what_is_missing_is_run(calls, tmp_path):
    out = tmp_path / "a.csv"
    run_one(seeds=(0,), out=out, method="fedmd", jobs=1, **TINY)
    assert calls == [("fedmd", .1, (0,))]
    frame = run_one(seeds=(0, 1, 2), out=out, method="fedmd", jobs=1, **TINY)
    assert calls[1:] == [("fedmd", .1, (1, 2))] and sorted(set(frame["seed"])) == [0, 1, 2]
    before = out.read_bytes()
    again = run_one(seeds=(2, 0), out=out, method="fedmd", jobs=1, **TINY)  # what was asked for, of the file as it is
    assert again.equals(frame[frame["seed"] != 1].reset_index(drop=True))
    assert len(calls) == 2 and out.read_bytes() == before
    run_one(seeds=(0,), out=out, method="local", jobs=1, **TINY)  # another method or skew: another run, the same file
    frame = run_one(seeds=(0,), out=out, method="local", skew=1, jobs=1, **TINY)
    assert calls[2:] == [("local", .1, (0,)), ("local", 1.0, (0,))] and set(frame["skew"]) == {1.0}
    assert len(results.load(out)) == 5 * len(frame) and frame.attrs["path"] == str(out)


def test_fresh_runs_all_of_it_again(calls, tmp_path):
    run_one(seeds=(0, 1), out=tmp_path / "a.csv", method="fedmd", jobs=1, **TINY)
    frame = run_one(seeds=(1,), out=tmp_path / "a.csv", fresh=True, jobs=1, **(TINY | dict(lr=.5)))
    assert calls[1:] == [("hfkd", .1, (1,))] and set(frame["method"]) == {"hfkd"}
    assert json.loads((tmp_path / "a.json").read_text("utf-8"))["parameters"]["lr"] == .5


def test_the_grid_of_40_and_its_cells(calls, tmp_path):
    frame = run_grid("40", seeds=(0,), out=tmp_path / "a.csv", jobs=1, **TINY)
    mine = [name for name in METHODS if name != "inclusivefl"]  # it needs other levels: grid depth
    baselines = [name for name in mine if METHODS[name].LOSS == "plain" and name != "local"]
    assert calls[: 2 * len(mine)] == [(method, skew, (0,)) for method in mine for skew in (.1, .5)]
    cells = frame.drop_duplicates(["method", "partition", "skew", "variant"])
    assert len(cells) == len(calls) and set(frame["experiment"]) == {"40_comparison"}
    scenes = {("dirichlet", .1), ("dirichlet", .5), ("pathological", .1)}
    for methods, variant in (
        (mine, ""), (baselines, "hard_loss=balanced"),
        (["fedproto", "fedtgp"], "readout=head"), (["fedproto", "fedtgp"], "hard_loss=balanced,readout=head"),
        (["hfkd"], ",".join(f"{name}={value}" for name, value in grids.RULED[0].items())),
    ):  # fmt: skip
        there = cells[cells["variant"] == variant]
        assert set(zip(there["method"], there["partition"], there["skew"])) == {
            (method, *scene) for method in methods for scene in scenes
        }
        cells = cells.drop(there.index)
    controls = [("hfkd", "rule=random"), ("hfkd", "rule=all"), ("expertise_mean", "hard_loss=balanced,pooling=log")]
    assert set(zip(cells["method"], cells["variant"], cells["skew"])) == {
        (*one, skew) for one in controls for skew in (.1, .5)
    }
    before = len(calls)
    narrow = run_grid("40", seeds=(0,), out=tmp_path / "b.csv", method="hfkd", skew=.3, jobs=1, **TINY)
    found = calls[before:]  # plain and by the best ramp, on two partitions, and two controls
    assert found == [("hfkd", .3, (0,))] * 6 and set(narrow["skew"]) == {.3}
    run_grid("40", seeds=(0,), out=tmp_path / "a.csv", method="hfkd", skew=.3, jobs=1, **TINY)  # may share a file
    run_grid("40", seeds=(0,), out=tmp_path / "a.csv", jobs=1, **TINY)
    assert len(calls) == before + 6 + 6


def test_an_interrupted_grid_goes_on_where_it_stopped(calls, tmp_path):
    narrow = TINY | dict(method="fedmd", skew=.1, partition="dirichlet")
    calls.append("stop")  # before the second cell
    with pytest.raises(KeyboardInterrupt):
        run_grid("40", seeds=(0, 1), out=tmp_path / "a.csv", jobs=1, **narrow)
    assert calls == ["stop", ("fedmd", .1, (0, 1))] and set(results.load(tmp_path / "a.csv")["variant"]) == {""}
    calls.clear()
    frame = run_grid("40", seeds=(0, 1), out=tmp_path / "a.csv", jobs=1, **narrow)
    assert calls == [("fedmd", .1, (0, 1))] and set(frame["variant"]) == {"", "hard_loss=balanced"}


def test_a_run_cut_off_halfway_is_run_again(calls, tmp_path):
    out = tmp_path / "a.csv"
    whole = run_one(seeds=(0, 1, 2), out=out, method="fedmd", jobs=1, **TINY)
    record = json.loads(out.with_suffix(".json").read_text("utf-8"))
    results.save(whole[(whole["seed"] != 1) | (whole["round"] < 2)], out, record)
    again = run_one(seeds=(0, 1, 2), out=out, method="fedmd", jobs=1, **TINY)
    assert calls[1:] == [("fedmd", .1, (1,))] and again.equals(whole)


def test_smoke_grids_always_start_afresh(calls, tmp_path):
    for _ in range(2):
        narrow = TINY | dict(profile="smoke", method="local", skew=.1)
        run_grid("40", seeds=(0,), out=tmp_path / "a.csv", jobs=1, **narrow)
    assert calls == [("local", .1, (0,))] * 2


def files(folder):
    """Name -> bytes of everything in a folder."""
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(("changed", "sentence"), [
    (dict(lr=.5), "holds another configuration .lr is None there and 0.5 here.; choose another --out, or start over"),
    (dict(clients=3, rounds=9), "clients is 2 there and 3 here; rounds is 2 there and 9 here"),
    (dict(profile="smoke"), "holds another configuration"),
])  # fmt: skip
def test_another_configuration_in_the_way(calls, tmp_path, changed, sentence):
    run_one(seeds=(0,), out=tmp_path / "a.csv", jobs=1, **TINY)
    before = files(tmp_path)
    with pytest.raises(ValueError, match=sentence):
        run_one(seeds=(1,), out=tmp_path / "a.csv", jobs=1, **(TINY | changed))
    assert len(calls) == 1 and files(tmp_path) == before


def test_rows_of_other_code_and_altered_rows_are_in_the_way(calls, tmp_path, monkeypatch):
    out = tmp_path / "a.csv"
    run_one(seeds=(0,), out=out, jobs=1, **TINY)
    with monkeypatch.context() as other, pytest.raises(ValueError, match="was made by other code"):
        other.setattr(provenance, "code_digest", lambda: "0" * 64)
        run_one(seeds=(1,), out=out, jobs=1, **TINY)
    out.write_text(out.read_text("utf-8").replace("0.500000", "0.900000"), "utf-8")
    with pytest.raises(ValueError, match="is not the file that a.json was written for"):
        run_one(seeds=(1,), out=out, jobs=1, **TINY)
    assert len(calls) == 1


AXES = [(grid, axis, value) for grid, axes in (("40", dict(hard_loss="plain")), ("tuning", dict(lr=.02, alpha=.5)))
        for axis, value in axes.items()]  # fmt: skip
BAD = [
    (run_grid, dict(name="41"), f"grid is '41'; expected one of {', '.join(GRIDS)}$"),
    (run_grid, dict(name="40", method="fedsgd"), "method is 'fedsgd'; expected one of local, balanced_local, fedavg, "),
    (run_one, dict(method="fedsgd"), "method is 'fedsgd'; expected one of local, balanced_local, fedavg, "),
    (run_one, dict(rule="best"), "rule is 'best'; expected one of coverage, assignment, stable, "),
    (run_grid, dict(name="40", rule="best"), "rule is an axis of 40_comparison; leave it to the grid"),
    (run_one, dict(profile="huge"), "profile is 'huge'; expected one of smoke, lite, paper"),
    (run_grid, dict(name="40", clients=0), "clients is 0; expected 1 or more"),
    (run_grid, dict(name="40", client=3), "parameter 'client' is unknown; expected one of alpha, "),
    (run_one, dict(seeds=(0, 0)), r"seeds are \[0, 0\]; expected integers >= 0, each once"),
    (run_one, dict(seeds=()), r"seeds are \[\]; expected integers >= 0, each once"),
    (run_grid, dict(name="40", seeds=()), r"seeds are \[\]; expected integers >= 0, each once"),
    (run_grid, dict(name="40", seeds=(1, -1)), r"seeds are \[1, -1\]; expected integers >= 0, each once"),
    (run_one, dict(dataset="digit"), "unknown data set 'digit'; did you mean digits"),
] + [
    (run_grid, dict(name=grid, method=method, **{axis: value}), f"{axis} is an axis of {GRIDS[grid].name}; leave it to")
    for grid, axis, value in AXES for method in (*METHODS, None)
]  # fmt: skip


@pytest.mark.parametrize(("act", "given", "sentence"), BAD)
def test_bad_input_runs_and_writes_nothing(calls, tmp_path, act, given, sentence):
    given = {name: value for name, value in (TINY | given).items() if value is not None or name != "method"}
    with pytest.raises(ValueError, match=sentence):
        act(**given, out=tmp_path / "runs" / "a.csv", jobs=1)
    assert not calls and not list(tmp_path.iterdir())


def test_default_paths_and_seeds(calls, tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "RUNS", tmp_path)
    run_one(jobs=1, **(TINY | dict(profile="smoke")))
    run_grid("tuning", jobs=1, method="local", skew=.1, **TINY)
    assert calls[0] == ("hfkd", .1, (0, 1)) and set(calls[1:]) == {("local", .1, GRIDS["tuning"].seeds)}
    assert not set(GRIDS["tuning"].seeds) & set(range(100))  # seeds that no table uses
    names = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")}
    journals = {f"smoke/run.{name}.csv" for name in ("ledger", "weights", "counts")}  # a grid keeps those it names
    assert names == {"smoke/run.csv", "smoke/run.json", "lite/tuning.csv", "lite/tuning.json"} | journals


def test_record_holds_what_all_rows_share(calls, tmp_path):
    np.savez(tmp_path / "other.npz", images=np.zeros((9, 8, 8), np.uint8), labels=np.arange(9))
    public = str(tmp_path / "other.npz")
    run_grid("40", seeds=(0,), out=tmp_path / "a.csv", method="local", public=public, jobs=1, **TINY)
    record = json.loads((tmp_path / "a.json").read_text("utf-8"))
    shared = plain(asdict(configure(**TINY)))
    own = {"method", "dataset", "public", "partition", "skew"}  # in the rows
    assert record["parameters"] == {name: value for name, value in shared.items() if name not in own}
    checksums = {"digits": "631cb83de3a2ab62", "other": data.load(public).checksum}
    assert record["experiment"] == "40_comparison" and record["checksums"] == checksums
    assert record["threads"] == 1 and record["device"].endswith(platform.machine())
    assert record["methods"] == {"local": {"loss": "plain", "own": {}, "chosen": {"plain": {}}}}
    (command,) = record["commands"]
    assert command.startswith("hfkd grid 40 --profile lite --set ") and " --set method=local " in command


def test_progress_goes_where_it_is_asked_for(calls, tmp_path, monkeypatch):
    monkeypatch.setenv(progress.VARIABLE, str(tmp_path / "line"))
    run_one(seeds=(0,), out=tmp_path / "a.csv", jobs=1, **TINY)
    assert (tmp_path / "line").read_text("utf-8") == "1/1 cells done: about 0 s left\n"


def test_jobs_change_the_time_and_not_one_byte(tmp_path):
    # real runs: two cells, in this process and in two others
    for jobs in (1, 2):
        run_grid("40", seeds=(0, 1), out=tmp_path / f"{jobs}.csv", method="fedmd", skew=.5, jobs=jobs, **SMALL)
    assert (tmp_path / "1.csv").read_bytes() == (tmp_path / "2.csv").read_bytes()
    one, two = (json.loads((tmp_path / f"{jobs}.json").read_text("utf-8")) for jobs in (1, 2))
    assert one | {"seconds": 0} == two | {"seconds": 0}
    rows = results.load(tmp_path / "1.csv")
    assert len(rows) == 2 * 2 * 2 * 4 and rows["personality"].nunique() > 4


def test_a_cell_that_diverges_ends_itself_only_and_the_others_are_saved(monkeypatch, tmp_path):
    grid = grids.Grid("pair", ({"method": ("local", "fedmd"), "skew": (.5,)},), "one diverges")
    monkeypatch.setitem(GRIDS, "pair", grid)
    honest = federation.run

    def run(config, *given):
        if config.method == "local":
            raise ValueError("training diverged (local)")
        return honest(config, *given)

    monkeypatch.setattr(federation, "run", run)
    out = tmp_path / "pair.csv"
    with pytest.raises(ValueError, match=r"training diverged \(local\); the other 1 of 2 are saved in .*pair\.csv"):
        run_grid("pair", seeds=(0,), out=out, jobs=1, **SMALL)
    assert set(results.load(out)["method"]) == {"fedmd"}
