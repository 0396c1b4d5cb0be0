"""Journals lie beside the result file, whole or not at all, and whoever alters one is noticed."""

import functools
import json

import numpy as np
import pandas as pd
import pytest

from hfkd import data, experiments, federation, journals, results
from hfkd.config import configure
from hfkd.experiments import run_grid, run_one
from hfkd.grids import Grid
from hfkd.journals import NAMES, RUN, load, path_of
from hfkd.ledger import LEDGER, WEIGHTS
from hfkd.methods import METHODS
from hfkd.provenance import rows_digest

TINY = dict(profile="lite", dataset="digits", clients=5, rounds=4, eval_every=2, pool_size=500, public_size=40,
            balanced_size=100, minimum=10, batch=16, alpha=.5, public_labels=True, refresh=2)  # fmt: skip
EARNING = TINY | dict(revenue="labelled", weighting="uncertainty")
COLUMNS = {"ledger": LEDGER, "weights": WEIGHTS, "counts": ["seed", "client", "level", "class", "count"]}


run_here, grid_here = (functools.partial(act, jobs=1, report=lambda line: None) for act in (run_one, run_grid))


def files(folder):
    """Name -> text of all files of a folder, without what differs from run to run."""
    found = {path.name: path.read_text("utf-8") for path in folder.iterdir()}
    return {name: json.loads(text) | {"seconds": 0} if name.endswith(".json") else text for name, text in found.items()}


def test_journals_of_a_run_appear_beside_it_and_come_back_as_they_were(tmp_path):
    out = tmp_path / "a.csv"
    run_here(seeds=(0, 3), out=out, **EARNING)
    assert set(files(tmp_path)) == {"a.csv", "a.json", "a.ledger.csv", "a.weights.csv", "a.counts.csv"}
    record = json.loads((tmp_path / "a.json").read_text("utf-8"))
    assert record["journals"] == {name: rows_digest(path_of(out, name).read_bytes()) for name in NAMES}
    config = configure(**EARNING)
    outcome = federation.run(config, METHODS["hfkd"], data.load("digits"), (0, 3))
    for name in NAMES:
        found, wanted = load(out, name), getattr(outcome, name)
        assert list(found) == [*RUN, *COLUMNS[name]]
        assert set(found[RUN].itertuples(index=False, name=None)) == {("hfkd", "digits", "same", "dirichlet", .1, "")}
        keys = journals.KEYS[name]
        wanted = wanted.sort_values(keys).reset_index(drop=True)
        pd.testing.assert_frame_equal(found[COLUMNS[name]], wanted, check_dtype=False, rtol=1e-5)
        assert found.duplicated([*RUN, *keys]).sum() == 0 and len(found) == len(wanted)


def test_what_was_released_is_what_is_held(tmp_path):
    run_here(seeds=(0, 3), out=tmp_path / "a.csv", **TINY)
    counts, rows = load(tmp_path / "a.csv", "counts"), results.load(tmp_path / "a.csv")
    dataset = data.load("digits")
    state = federation.start(configure(**TINY), dataset, (0, 3))
    for seed, fed in zip((0, 3), state.splits):
        table = counts[counts["seed"] == seed].pivot(index="client", columns="class", values="count").to_numpy()
        assert (table == [np.bincount(dataset.labels[own], minlength=10) for own in fed.train]).all()
        at = rows[(rows["seed"] == seed) & (rows["round"] == 4)]
        assert (at["samples"].to_numpy() == table.sum(1)).all()
        assert counts[counts["seed"] == seed].groupby("client")["level"].unique().map(list).tolist() == [
            [level] for level in at["level"]
        ]


@pytest.mark.parametrize("name", NAMES)
def test_an_altered_or_missing_journal_is_refused(tmp_path, name):
    out = tmp_path / "a.csv"
    run_here(seeds=(0,), out=out, **TINY)
    before = path_of(out, name).read_bytes()
    path_of(out, name).write_bytes(before.replace(b"\n", b"\r\n"))  # git may change line ends
    load(out, name)
    path_of(out, name).write_bytes(before[:-2] + b"7\n")
    sentence = rf"a\.{name}\.csv is not the file that the JSON of a\.csv was written for; restore both$"
    with pytest.raises(ValueError, match=sentence):
        load(out, name)
    kept = files(tmp_path)
    with pytest.raises(ValueError, match=sentence):  # nor is it gone on from
        run_here(seeds=(0, 1), out=out, **TINY)
    assert files(tmp_path) == kept
    path_of(out, name).unlink()
    with pytest.raises(FileNotFoundError, match=rf"has no a\.{name}\.csv beside it; `hfkd run \.\.\. --out a\.csv` "):
        load(out, name)


def test_journals_of_other_rows_are_refused(tmp_path):
    run_here(seeds=(0,), out=tmp_path / "a.csv", **TINY)
    run_here(seeds=(1,), out=tmp_path / "b.csv", **TINY)
    for name in NAMES:
        path_of(tmp_path / "a.csv", name).replace(path_of(tmp_path / "b.csv", name))
        with pytest.raises(ValueError, match="is not the file that the JSON of b.csv was written for"):
            load(tmp_path / "b.csv", name)


def test_resumed_journals_are_those_of_an_undisturbed_run(tmp_path):
    once, twice = tmp_path / "once", tmp_path / "twice"
    for method in ("local", "hfkd"):  # a method without groups has an empty ledger
        run_here(seeds=(0, 1, 2), out=once / "a.csv", method=method, **EARNING)
    run_here(seeds=(2, 0), out=twice / "a.csv", method="local", **EARNING)
    run_here(seeds=(1,), out=twice / "a.csv", method="hfkd", **EARNING)
    run_here(seeds=(0, 1, 2), out=twice / "a.csv", method="hfkd", **EARNING)
    run_here(seeds=(0, 1, 2), out=twice / "a.csv", method="local", **EARNING)
    assert files(once) == files(twice)
    assert set(load(once / "a.csv", "ledger")["method"]) == {"hfkd"}
    assert set(load(once / "a.csv", "weights")["method"]) == {"local", "hfkd"}


def test_a_run_cut_off_halfway_leaves_no_trace_in_the_journals(tmp_path):
    out = tmp_path / "a.csv"
    run_here(seeds=(0, 1), out=out, **EARNING)
    whole = files(tmp_path)
    rows, record = results.load(out), json.loads(out.with_suffix(".json").read_text("utf-8"))
    texts = {name: (path_of(out, name), path_of(out, name).read_text("utf-8")) for name in NAMES}
    results.save(rows[(rows["seed"] != 1) | (rows["round"] < 4)], out, record, texts)
    cut = (rows[["method", "dataset", "public", "partition", "skew", "variant", "seed"]]
           .query("seed == 0").itertuples(index=False, name=None))  # fmt: skip
    assert all(set(frame["seed"]) == {0} for frame in journals.there(out, set(cut)).values())
    run_here(seeds=(0, 1), out=out, **EARNING)
    assert files(tmp_path) == whole


@pytest.mark.parametrize("skew", [.1, .3, 1.0, 100.0])
def test_runs_are_told_apart_by_skew_and_variant(tmp_path, skew):
    config = configure(**TINY, skew=skew)
    outcome = federation.run(config, METHODS["local"], data.load("digits"), (0,))
    given = ("local", "digits", "same", "dirichlet", skew)
    both = journals.joined(journals.of_run(outcome, (*given, "")), journals.of_run(outcome, (*given, "a=1,b=2")))
    again = journals.joined(both, journals.of_run(outcome, (*given, "")))  # a run that is in both is there once
    one, two = (journals.texts(tmp_path / "a.csv", frames) for frames in (both, again))
    assert one == two and one["counts"][1].count("\n") == 1 + 2 * 5 * 10
    assert {row.split(",")[4] for row in one["weights"][1].splitlines()[1:]} == {f"{skew:g}"}  # as in the result file


def test_a_grid_keeps_the_journals_that_it_names(tmp_path, monkeypatch):
    block = {"method": ("hfkd",), "skew": (.1, .5), "schedule": ("simultaneous", "top_down")}
    grid = Grid("9_made_up", (block,), "two schedules", journals=("schedule=top_down",), base=dict(revenue="labelled"))
    monkeypatch.setitem(experiments.GRIDS, "9", grid)
    rows = grid_here("9", seeds=(0,), out=tmp_path / "a.csv", **TINY)
    assert set(rows["variant"]) == {"schedule=simultaneous", "schedule=top_down"}
    for name in NAMES:
        frame = load(tmp_path / "a.csv", name)
        assert set(zip(frame["variant"], frame["skew"])) == {("schedule=top_down", .1), ("schedule=top_down", .5)}
    monkeypatch.setitem(experiments.GRIDS, "9", grid._replace(journals=()))
    grid_here("9", seeds=(0,), out=tmp_path / "b.csv", **TINY)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("b.") and path.name.count(".") > 1]
    assert "journals" not in json.loads((tmp_path / "b.json").read_text("utf-8"))


def test_a_file_that_keeps_no_journals_goes_on_where_another_one_with_journals_stood(tmp_path, monkeypatch):
    out, grid = tmp_path / "a.csv", Grid("9_made_up", ({"method": ("local",), "skew": (.1,)},), "one cell")
    monkeypatch.setitem(experiments.GRIDS, "9", grid)
    run_here(seeds=(0,), out=out, method="local", **TINY)
    grid_here("9", seeds=(0,), out=out, fresh=True, **TINY)
    assert set(grid_here("9", seeds=(0, 1), out=out, **TINY)["seed"]) == {0, 1}
