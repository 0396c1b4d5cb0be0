"""A grid: all is checked before anything runs, a cell is a file, what exists is done, and nothing beside loses work."""

import io
import os
import random
import shlex
import signal
import subprocess
import sys
import time
from contextlib import suppress

import numpy as np
import pandas as pd
import pytest

from hfkd import cli, data, paths
from hfkd.config import PROFILES, configure
from hfkd.engine import record
from hfkd.methods import METHODS
from hfkd.study import experiments, results
from hfkd.study.grids import GRIDS, Grid, cells, checked

TINY = dict(clients=4, rounds=2, pool_size=400, public_size=40, balanced_size=100, batch=16)
PAIR = Grid("pair", ({"method": ("local", "hfkd"), "skew": (0.1, 0.5)},), "two methods in two scenes")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Runs go to the test's own folder."""
    monkeypatch.setattr(paths, "RUNS", tmp_path / "runs")
    monkeypatch.setitem(GRIDS, "pair", PAIR)


@pytest.fixture
def calls(monkeypatch):
    """Every run that really happens, as (method, skew, seeds)."""
    asked, honest = [], record.run

    def run(config, method, dataset, seeds, public=None, report=None):
        asked.append((config.method, config.skew, tuple(seeds)))
        return honest(config, method, dataset, seeds, public, report)

    monkeypatch.setattr(record, "run", run)
    return asked


def pair(**more):
    """The pair of methods in one process."""
    usual = {"profile": "lite", "dataset": "digits", "seeds": "0", "jobs": 1, **TINY}
    return experiments.run_grid("pair", **usual | more)


def files(folder):
    """Name -> bytes of everything in a folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_exists_is_done_and_fresh_runs_what_is_asked_for(calls, tmp_path, monkeypatch):
    frame = pair()
    every = [("local", 0.1, (0,)), ("local", 0.5, (0,)), ("hfkd", 0.1, (0,)), ("hfkd", 0.5, (0,))]
    assert calls == every and frame.attrs["path"] == str(tmp_path / "runs" / "lite" / "pair.csv")
    before = files(tmp_path / "runs")
    assert len(before) == 4 + 2 and {"lite/pair.csv", "lite/pair.json"} < {*before}
    again = pair()
    assert calls == every and files(tmp_path / "runs") == before and again.equals(frame)
    narrow = pair(method="hfkd", out=tmp_path / "hfkd.csv")  # other axes, another file, the same cells
    assert calls == every and set(narrow["method"]) == {"hfkd"} and narrow["below_local"].isna().all()
    assert frame["below_local"].notna().all()
    pair(method="hfkd", skew=0.5, fresh=True)
    assert calls == [*every, ("hfkd", 0.5, (0,))]
    pair(seeds=(0, 1), method="local", skew=0.1)  # other seeds, another cell: all its seeds are one program
    pair(method="local", skew=0.1, lr=0.02)  # another configuration
    assert calls[5:] == [("local", 0.1, (0, 1)), ("local", 0.1, (0,))]
    monkeypatch.setattr(experiments, "finished", lambda *_: (1 / 0 for _ in "1"))  # stopped: what is done has a summary
    with pytest.raises(ZeroDivisionError):
        pair(out=(out := tmp_path / "stopped.csv"))
    assert len(pd.read_csv(out)) == len(frame)


def test_rows_are_means_of_what_a_run_gives_whatever_the_jobs(tmp_path):
    one, two = (pair(jobs=n, profile="smoke", out=tmp_path / str(n) / "rows.csv", fresh=True) for n in (1, 2))
    assert files(tmp_path / "1")["rows.csv"] == files(tmp_path / "2")["rows.csv"] and one.equals(two)
    assert set(one["skew"]) == {0.1}  # smoke takes the first scene alone
    outcomes = [record.run(configure("smoke", method=m, **TINY), METHODS[m], data.load("digits"), (0,))[0]
                for m in ("local", "hfkd")]  # fmt: skip
    plain = results.summarise(pd.concat(outcomes, ignore_index=True).assign(variant=""))
    pd.testing.assert_frame_equal(one.sort_values(results.KEY), plain, check_dtype=False, atol=1e-9)


def test_a_killed_grid_goes_on_and_ends_with_the_same_bytes(tmp_path, monkeypatch):
    words = ["grid", "70", "--seeds", "0-1", "--jobs", "2", "--set", "method=hfkd"]
    words += [word for name, value in (TINY | {"rounds": 12}).items() for word in ("--set", f"{name}={value}")]
    code = f"from pathlib import Path; from hfkd import cli, paths; paths.RUNS = Path(r'{tmp_path / 'killed'}'); "
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    killed = subprocess.Popen([sys.executable, "-c", f"{code}cli.main({words})"], start_new_session=True, **quiet)
    folder = tmp_path / "killed" / "smoke" / "70_privacy"
    while killed.poll() is None and not list(folder.glob("hfkd*.csv")):
        time.sleep(0.05)
    time.sleep(random.uniform(0, 0.5))
    killed.kill()
    killed.wait()
    until = time.monotonic() + 20
    with suppress(ProcessLookupError):
        while time.monotonic() < until:  # its own processes end with it
            os.killpg(killed.pid, 0)
            time.sleep(0.1)
        os.killpg(killed.pid, signal.SIGKILL)
        pytest.fail("processes outlive the one that started them")
    there = files(folder)
    for name in ("killed", "undisturbed"):
        monkeypatch.setattr(paths, "RUNS", tmp_path / name)
        assert cli.main([*words[:5], "1", *words[6:]]) == 0
    one, two = (tmp_path / name / "smoke" / "70_privacy.csv" for name in ("killed", "undisturbed"))
    assert one.read_bytes() == two.read_bytes()
    whole = {name: rows for name, rows in there.items() if not name.startswith(".")}
    assert whole and whole.items() <= files(folder).items()  # with their seconds: none was run again


def test_a_cell_that_diverges_ends_itself_only(tmp_path, monkeypatch):
    monkeypatch.setitem(GRIDS, "rates", Grid("rates", ({"method": ("local",), "lr": (0.01, 1e9)},), "one diverges"))
    with pytest.raises(ValueError, match=r"training diverged \(local, .*; the other 1 of 2 cells are saved in .*rates"):
        experiments.run_grid("rates", seeds=(0,), jobs=1, **TINY)
    assert set(results.load(tmp_path / "runs" / "smoke" / "rates.csv")["variant"]) == {"lr=0.01"}
    with pytest.raises(ValueError, match="^training diverged .* try a smaller lr"):
        experiments.run_grid(None, seeds=(0,), out=tmp_path / "one.csv", method="local", lr=1e9, **TINY)
    assert not (tmp_path / "one.csv").exists()


class Ends:
    """Ends the process that reads it."""

    def __reduce__(self):
        return os._exit, (1,)


def test_a_process_that_dies_is_told_in_a_sentence(tmp_path):
    job = experiments.planned(PAIR, cells(PAIR, "smoke", TINY), (0,), tmp_path)[0]
    with pytest.raises(MemoryError, match="most often for want of memory; what is done is kept"):
        list(experiments.finished([job._replace(ledger=Ends())] * 2, 2))


def test_a_terminal_shows_progress_and_a_notebook_nothing(monkeypatch, capsys):
    pair(method="local", skew=0.1)
    assert capsys.readouterr().err == ""
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)
    pair(method="local", skew=0.1, fresh=True)
    assert "0/2" in terminal.getvalue() and "rounds" in terminal.getvalue()


def test_a_cell_that_was_cut_off_is_named_and_fresh_makes_it_anew(calls, tmp_path):
    frame = pair(method="local", skew=0.1)
    (cell,) = (tmp_path / "runs" / "lite" / "pair").iterdir()
    cell.write_bytes(cell.read_bytes()[:200])
    with pytest.raises(ValueError, match=r"local-dirichlet-0\.1\..*csv cannot be read .*; remove it, or run with --f"):
        pair(method="local", skew=0.1)
    assert pair(method="local", skew=0.1, fresh=True).equals(frame) and len(calls) == 2


def test_the_ledger_of_a_grid_sums_to_one_say_per_listener(tmp_path):
    experiments.run_grid("30", seeds=(0, 1), jobs=1, method="hfkd", **TINY | {"rounds": 6})
    book = experiments.beside("30", "ledger", "smoke")
    assert list(book.columns) == [*experiments.LEDGER, "edges", "revenue", "weight"]
    assert set(book["variant"]) == {"revenue=labelled"} and set(book["round"]) == {5, 6}
    say = (book["edges"] * book["weight"]).groupby([book["seed"], book["round"]]).sum()
    assert say.sub(TINY["clients"]).abs().max() < 1e-5 and book[book["kind"] == "self"]["revenue"].eq(0).all()
    committed = pd.read_csv(paths.RESULTS / "30_group_distillation.ledger.csv", nrows=1)
    assert list(committed.columns) == list(book.columns)


def test_where_clients_stand_at_the_end_is_kept_of_some_variants(tmp_path, monkeypatch):
    blocks = ({"method": ("fedmd", "local"), "skew": (0.5,), "alpha": (0.1, 0.2)},)
    monkeypatch.setitem(GRIDS, "pair", Grid("pair", blocks, "", clients=("alpha=0.1",)))
    table = pair()
    found = experiments.beside("pair", "clients", "lite")
    assert list(found.columns) == experiments.CLIENTS and set(found["variant"]) == {"alpha=0.1"}
    means = found.groupby("method")["consistency"].mean()
    end = table[(table["variant"] == "alpha=0.1") & (table["round"] == table["round"].max())].set_index("method")
    np.testing.assert_allclose(means, end.loc[means.index, "consistency"], atol=1e-6)
    assert (found["coverage"] == 1)[found["method"] == "fedmd"].all()  # everybody is in everybody's group


def test_the_record_says_what_made_the_rows(tmp_path):
    frame = experiments.run_grid(None, seeds=(0,), out=tmp_path / "a.csv", method="fedmd", dataset="digits", **TINY)
    note = results.load_record(tmp_path / "a.csv")
    assert note["seeds"] == [0] and note["threads"] == 1 and note["checksums"] == {"digits": "631cb83de3a2ab62"}
    assert note["parameters"]["clients"] == 4 and "method" not in note["parameters"] and note["seconds"] > 0
    assert note["methods"]["fedmd"] == METHODS["fedmd"].settings | METHODS["fedmd"].tuned
    (command,) = note["commands"]
    assert cli.main([*shlex.split(command)[1:], "--seeds", "0", "--out", str(tmp_path / "b.csv")]) == 0
    assert (tmp_path / "b.csv").read_bytes() == (tmp_path / "a.csv").read_bytes() and len(frame) == 1


def test_the_rows_of_a_notebook_are_read_or_run(calls):
    committed = experiments.rows("40")
    assert committed.equals(results.load(paths.RESULTS / "40_comparison.csv")) and not calls
    assert set(experiments.rows("40", seeds="0-1")["seed"]) == {0, 1}
    for given, said in ((dict(clients=3), "clients is set and profile is 'committed', which is read, not run"),
                        (dict(seeds="77"), r"seeds \[77\] are not among the committed rows of 40")):
        with pytest.raises(ValueError, match=said):
            experiments.rows("40", **given)
    assert len(experiments.rows("70", "smoke", "3", method="local", **TINY)) == 1 and calls == [("local", 0.1, (3,))]


def test_every_grid_is_runnable_and_comparison_pairs_every_loss():
    for name, grid in GRIDS.items():
        found, small = cells(grid, "lite", {"dataset": "digits"}), [own for _, own in cells(grid, "smoke", {})]
        assert len({*found}) == len(found) >= len(small) > 0 and max(own.public_size for own in small) <= 500  # digits
        assert not name.startswith("tuning") or not {*grid.seeds} & {*PROFILES["lite"][1]}  # seeds that no table uses
    one, other = ({(own.method, variant.partition(",")[0], own.partition, own.skew)
                   for variant, own in cells(GRIDS[name], "lite", {})} for name in ("40", "losses"))
    for method in (name for name in METHODS if "depths" not in METHODS[name].needs):
        for scene in (("dirichlet", 0.1), ("dirichlet", 0.5), ("pathological", 0.1)):
            tuned = METHODS[method].tuned.get("hard_loss", "plain")
            choice = METHODS[method].loss != tuned or method == "fedproto"
            loss = {"plain": "balanced", "balanced": "plain"}[tuned]
            assert (method, "", *scene) in one and ((method, f"hard_loss={loss}", *scene) in other) == choice
    assert checked("smoke", method="inclusivefl", levels="depth").levels == "depth"
