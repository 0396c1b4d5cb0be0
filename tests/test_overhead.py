"""What rules add to a round: every rule of the table really runs, and the time is that of the rounds between."""

import inspect
from dataclasses import replace

import pytest

from hfkd import overhead
from hfkd.config import configure
from hfkd.limits import CHOICES

TINY = dict(clients=5, pool_size=600, public_size=40, balanced_size=100, minimum=5)


def test_every_rule_of_weight_and_revenue_is_in_the_table():
    named = [value for fields in overhead.ADDED.values() for value in fields.values()]
    assert set(CHOICES["weighting"]) - {"fixed"} <= set(named) and set(CHOICES["revenue"]) - {"none"} <= set(named)


@pytest.mark.parametrize("added", overhead.ADDED)
def test_every_rule_runs(added):
    base = configure("lite", public_labels=True, refresh=2, rounds=4, alpha=.2, weighting="fixed", **TINY)
    assert overhead.round_seconds(replace(base, **overhead.ADDED[added]), overhead.made_up(3_500)) > 0


def test_costs_are_ratios_of_pairs(monkeypatch):
    monkeypatch.setattr(overhead, "ADDED", {"gate": {"revenue": "labelled", "gate": True}})
    clock = iter([9, 9, 1, 2, 1, 4, 1, 3])  # plain, ruled; the first pair is not counted
    monkeypatch.setattr(overhead, "round_seconds", lambda config, dataset: next(clock))
    assert overhead.costs(repeats=3) == [("gate", 3, 3)]


def test_a_refresh_is_among_the_rounds_that_are_timed():
    rounds = inspect.signature(overhead.costs).parameters["rounds"].default
    made_anew = [round for round in range(2, rounds + 1) if (round - 1) % 5 == 0]
    assert made_anew and 2 <= made_anew[0] <= rounds - 1  # ticks from the end of round 1 to that of the last but one
