"""The same command gives the same bytes; seeds and methods beside a run change none of them; clients have no rank."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from scenes import weights_of

from hfkd import data, federation, grids
from hfkd.config import configure
from hfkd.experiments import GRIDS, run_grid, run_one
from hfkd.methods import METHODS
from hfkd.provenance import rows_digest

SMALL = dict(clients=6, rounds=4, pool_size=400, public_size=40, balanced_size=100, eval_every=2, lr=.05)
EARNING = [dict(method="hfkd", revenue="realised", refresh=2, gate=True, weighting="revenue"),
           dict(method="hfkd", revenue="labelled", public_labels=True, weighting="gradient", rule="random", refresh=3),
           dict(method="hfkd", transport="visit", schedule="bottom_up"), dict(method="fedtgp")]  # fmt: skip


def files(folder):
    """Name -> bytes; of a JSON all but the seconds."""
    found = {path.name: path.read_bytes() for path in folder.iterdir()}
    return found | {"a.json": json.loads(found["a.json"]) | {"seconds": 0}}


@pytest.mark.parametrize("case", EARNING)
def test_the_same_command_gives_the_same_bytes_whatever_seeds_run_together(case, tmp_path):
    calls = {"once": [(0, 1)], "again": [(0, 1)], "apart": [(1,), (0,)], "turned": [(1, 0)]}
    for name, seeds in calls.items():
        for each in seeds:
            run_one(seeds=each, out=tmp_path / name / "a.csv", jobs=1, **SMALL, **case)
    once = files(tmp_path / "once")
    assert once.keys() == {"a.csv", "a.json", "a.ledger.csv", "a.weights.csv", "a.counts.csv"}
    assert all(files(tmp_path / name) == once for name in calls)
    record = once["a.json"]
    assert record["rows_sha256"] == rows_digest(once["a.csv"])
    assert record["journals"] == {name: rows_digest(once[f"a.{name}.csv"]) for name in ("ledger", "weights", "counts")}


def test_a_method_is_untouched_by_those_beside_it_in_a_grid(tmp_path, monkeypatch):
    alone = {}
    for methods in (("hfkd",), ("fedmd",), ("fedmd", "hfkd"), ("fedtgp", "hfkd", "local", "fedmd")):
        monkeypatch.setitem(GRIDS, "some", grids.Grid("some", ({"method": methods},), "some", journals=("",)))
        run_grid("some", "lite", (0, 1), tmp_path / f"{methods}.csv", jobs=1, dataset="digits", **SMALL)
        for part in ("", ".ledger", ".weights", ".counts"):
            lines = (tmp_path / f"{methods}{part}.csv").read_bytes().splitlines()
            for method in {"hfkd", "fedmd"} & set(methods):
                own = [line for line in lines if f"{method},digits".encode() in line]
                assert own == alone.setdefault((method, part), own) and len(own) >= 12


def shuffled(state, order):
    """The same federation, but client j is who was order[j]; a cohort's rows are sorted as `start` sorts them."""
    (fed,) = state.splits
    new = np.argsort(order)  # of old numbers
    parts = {name: tuple(getattr(fed, name)[i] for i in order) for name in ("train", "val", "test")}
    state.splits = [replace(fed, counts=fed.counts[order], levels=fed.levels[order], **parts)]
    held = state.splits[0].counts.sum(1)
    for cohort in state.cohorts:
        now = new[cohort.members.numpy()]
        rows = torch.from_numpy(np.lexsort((now, -held[now])))
        cohort.members = torch.from_numpy(now)[rows]
        for kept in (cohort.weights, cohort.momentum):
            kept.update({name: w[rows] for name, w in kept.items()})
    for name in ("released", "parameters", "sent"):
        setattr(state, name, getattr(state, name)[:, order])
    state.prior = state.prior[order]
    for name in ("private_streams", "public_streams"):
        setattr(state, name, [getattr(state, name)[i] for i in order])
    return state


def turned(levels):
    """An order of the clients in which the first of each level, and of it and those above, stays the first.

    Methods that average start from the weights of one of those.
    """
    def firsts(of):
        return [np.flatnonzero(mask)[0] for level in set(levels) for mask in (of == level, of >= level)]

    for seed in range(10_000):
        order = np.random.default_rng(seed).permutation(len(levels))
        if order[firsts(levels[order])].tolist() == firsts(levels) and (order != np.arange(len(levels))).sum() > 3:
            return order
    raise AssertionError("no such order")


@pytest.mark.parametrize("method", METHODS)
def test_clients_in_another_order_learn_the_same(method, monkeypatch):
    # sums over clients run in another order: equal to rounding, and to the bit where nobody hears anybody
    levels = "depth" if method == "inclusivefl" else "mlp"
    config = configure("smoke", **(SMALL | dict(clients=9, method=method, levels=levels)))
    start, states, orders = federation.start, [], []

    def other(*given):
        states.append(start(*given))
        if len(states) == 2:
            orders.append(turned(states[0].splits[0].levels))
            shuffled(states[1], orders[0])
        return states[-1]

    monkeypatch.setattr(federation, "start", other)
    rows, moved = (federation.run(config, METHODS[method], data.load("digits"), (0,)).rows for _ in range(2))
    (before, after), (order,) = map(weights_of, states), orders
    alone = method in ("local", "balanced_local")
    for j, i in enumerate(order.tolist()):
        assert after[j][0] == before[i][0]
        for name, w in after[j][1].items():
            assert w.equal(before[i][1][name]) if alone else torch.allclose(w, before[i][1][name], rtol=0, atol=1e-4)
    rows, moved = (frame.set_index(["round", "client"]) for frame in (rows, moved))
    for round in (2, 4):
        one, two = rows.loc[round].loc[order].reset_index(drop=True), moved.loc[round].reset_index(drop=True)
        assert np.allclose(one["val_consistency"], two["val_consistency"], rtol=0, atol=1e-12) or not alone  # a mean
        counted = ["level", "samples", "teachers", "bytes_up", "bytes_down"]
        exact = list(one.drop(columns="val_consistency")) if alone else counted
        assert one[exact].equals(two[exact])
