"""The books under faults: who is credited, who is judged, what is written down and read back."""

import numpy as np
import pytest
from scenes import SMALL, run, scene

from hfkd import experiments, explaining, journals, revenue
from hfkd.books import tally
from hfkd.cli import main
from hfkd.earning import measure_revenue

LABELS = {"public_labels": True, "revenue": "labelled", "refresh": 3}


def test_a_drop_is_credited_to_who_was_heard_before_it():
    config, state, books, lessons, said = scene(revenue="realised", refresh=3)
    books.listened[:], books.before, books.loss = True, np.full((2, 6), 1.0), np.full((2, 6), .8)
    tally(books, lessons)
    heard = books.shares.copy()
    books.silent, books.shut = np.ones((2, 6), bool), np.zeros((2, 6), bool)  # today nobody is heard
    found = measure_revenue(books, config, state, lessons, said, np.ones((2, 6), bool), 2)
    for z in range(2):
        wanted = revenue.realised(books.before[z], books.loss[z], heard[z]) * ~np.eye(6, dtype=bool)
        np.testing.assert_allclose(found[z], wanted)
        assert wanted.any()


def test_the_gate_does_not_judge_who_heard_nobody():
    more = {"rounds": 6, "gate": True, "eval_every": 6} | LABELS
    assert not run(offline=1.0, **more).weights["closed"].any()
    assert run(liars=1.0, lie="collude", **more).weights["closed"].any()
    absent = run(dropout=.8, **more)
    assert not absent.weights["closed"].any() or absent.rows["bytes_down"].any()


def test_what_is_recalled_comes_down_and_does_not_go_up():
    lost, kept = (run(dropout=.7, rounds=6, **more).rows for more in ({}, {"recall": True}))
    assert (kept["bytes_down"] >= lost["bytes_down"]).all() and (kept["bytes_down"] > lost["bytes_down"]).any()


@pytest.mark.parametrize("fault", [
    {"exploding": .4}, {"offline": .4, "fan_in": 1, "clients": 9}, {"liars": .5, "lie": "constant", "doubt": True},
])  # fmt: skip
def test_a_run_with_faults_goes_on_and_tells_its_story(tmp_path, capsys, fault):
    out = tmp_path / "x.csv"
    asked = SMALL | LABELS | fault | {"rounds": 6, "eval_every": 3}
    for seeds in ((0,), (0, 1)):
        experiments.run_one("lite", seeds, out, dataset="digits", minimum=3, **asked)
    ledger = journals.load(out, "ledger")
    assert set(ledger["seed"]) == {0, 1} and {"fallback", "quarantined"} & set(ledger["kind"])
    sums = ledger.groupby(["seed", "round", "to"])["weight"].sum()
    assert sums.to_numpy() == pytest.approx(np.ones(len(sums)), abs=1e-4)
    assert set(ledger["kind"]) <= set(journals.KINDS)
    told = [explaining.page(explaining.story(out, client)) for client in range(asked["clients"])]
    assert main(["explain", str(out), "--client", "0"]) == 0 and capsys.readouterr().out
    assert any(kind in page for page in told for kind in ("fallback", "quarantined"))
