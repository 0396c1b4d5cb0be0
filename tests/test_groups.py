"""What revenue changes: say, matching and the do-no-harm gate; and the ledger that shows it, on a graph by hand."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from hfkd import data, federation, revenue, signals
from hfkd.config import configure
from hfkd.ledger import LEDGER, edge_kinds
from hfkd.matching import group
from hfkd.methods import METHODS

COUNTS = np.array([[8, 2, 0, 0], [2, 3, 0, 0], [0, 3, 0, 5], [0, 1, 0, 5], [6, 0, 0, 0], [4, 4, 0, 4]])
LEVELS = np.array([1, 1, 2, 2, 2, 3])
BY_REVENUE = dict(revenue="realised", refresh=2, revenue_matching=1.0)


def taught(earned, **more):
    """What hfkd decides for COUNTS and LEVELS, given who earned whom how much."""
    return METHODS["hfkd"].teach(federation.Signals(COUNTS, LEVELS, earned), configure("smoke", **more), None)


@pytest.mark.parametrize("tau", [1.0, .2])
def test_higher_revenue_more_say(tau):
    earned = np.zeros((6, 6))
    earned[0, [2, 3]] = .5, -.5
    without = taught(np.zeros((6, 6)), rule="all").weights
    found = taught(earned, rule="all", revenue_temperature=tau).weights
    odds = found[0, 2, [1, 3]] / found[0, 3, [1, 3]] / (without[0, 2, [1, 3]] / without[0, 3, [1, 3]])
    np.testing.assert_allclose(odds, np.exp(1 / tau), rtol=1e-12)
    assert found[0, 2, 1] > without[0, 2, 1] and found[0, 3, 1] < without[0, 3, 1]
    assert (found[1:] == without[1:]).all() and np.allclose(found.sum(1), 1, atol=1e-12)


@pytest.mark.parametrize("rule", ["coverage", "assignment", "nearest", "farthest", "stable", "milp"])
def test_a_matching_by_revenue_alone_takes_the_highest_earners(rule):
    for seed in range(20):
        earned = np.random.default_rng(seed).uniform(-1, 1, (6, 6))
        earned = np.abs(earned) if rule == "milp" else earned  # it takes no edge that costs
        for fan_in in (1, 2):
            edges = taught(earned, rule=rule, fan_in=fan_in, **BY_REVENUE).edges
            for s, teachers in ((0, [2, 3, 4]), (1, [2, 3, 4]), (2, [5]), (3, [5]), (4, [5])):
                size = 1 if rule in ("assignment", "stable") else fan_in
                best = sorted(teachers, key=lambda t: -earned[s, t])[:size]
                assert np.flatnonzero(edges[s]).tolist() == sorted(best)
    if rule != "milp":
        assert not (taught(-earned, rule=rule, fan_in=1, **BY_REVENUE).edges == edges).all()


SMALL = dict(clients=6, rounds=10, eval_every=1, pool_size=700, public_size=40, balanced_size=100, batch=16, lr=.05,
             alpha=.5, public_labels=True, refresh=4, transport="private", revenue="realised")  # fmt: skip
# 0 and 1 are students of 3, which is a student of 5; 2 and 4 have nobody. Feedback and peers as `group` has them.
EDGES = np.zeros((6, 6), bool)
EDGES[[0, 1, 3], [3, 3, 5]] = True
MASK = group(EDGES, np.array([1, 1, 1, 2, 2, 3]))
WHO = {(0, 3): "teacher", (1, 3): "teacher", (3, 5): "teacher", (3, 0): "feedback", (3, 1): "feedback",
       (5, 3): "feedback", (0, 1): "peer", (1, 0): "peer"} | {(i, i): "self" for i in range(6)}  # fmt: skip


def teach(signals, config, rng):
    """The graph by hand, all with the same say."""
    w = torch.from_numpy(MASK).double()
    return federation.Teaching((w / w.sum(1, keepdim=True)).unsqueeze(-1).expand(6, 6, 10), MASK, EDGES)


def run(seeds=(0,), method=None, **more):
    hand = SimpleNamespace(LOSS="balanced", CHOSEN={"balanced": {"alpha": .5}}, OWN={}, teach=teach)
    return federation.run(configure("smoke", **(SMALL | more)), method or hand, data.load("digits"), seeds)


def judged(patch, verdicts, **more):
    """(rounds, N) weights and bytes down of each round when member and pooled revenue are what verdicts[round] says.

    Args:
        verdicts: round -> (N,) revenue of everybody and of the pooled target, else -.1.
    """
    rounds = []

    def measure(books, config, state, lessons, said, ears, round):
        rounds.append(round)
        return np.broadcast_to(np.asarray(verdicts.get(round, np.full(6, -.1)))[None, :, None], (1, 6, 6)).copy()

    def heard(state, config, wanted, books, *rest):
        blank = np.full((1, 6), np.nan)
        own = np.asarray(verdicts.get(rounds[-1], np.full(6, -.1)))[None] if rounds else blank
        return signals.Heard(blank, blank, blank, 1 + own, np.ones((1, 6)), blank)

    patch.setattr(federation, "measure_revenue", measure)
    patch.setattr(federation, "heard", heard)
    out = run(revenue="labelled", transport="public", gate=True, **more)
    by_round = out.rows.pivot(index="round", columns="client", values=["alpha", "bytes_down"])
    assert (out.weights["closed"] * out.weights["weight"] == 0).all()
    return by_round["alpha"].to_numpy(), np.diff(by_round["bytes_down"].to_numpy(), axis=0, prepend=0)


def test_two_strikes_close_a_listener_until_the_refresh_and_closed_it_pays_nothing(monkeypatch):
    # listening from round 2, the graph made anew before rounds 5 and 9; 3 and 5 gain, 0 and 1 never do
    good = np.array([-.1, -.1, -.1, .1, -.1, .1])
    weight, down = judged(monkeypatch, dict.fromkeys(range(2, 11), good))
    assert weight[:, 0].tolist() == weight[:, 1].tolist() == [0, .5, 0, 0, .5, 0, 0, 0, .5, 0]
    assert weight[:, 3].tolist() == weight[:, 5].tolist() == [0] + [.5] * 9 and not weight[:, [2, 4]].any()
    message = 40 * 10 * 4
    assert (down[:, 0] / message).tolist() == [0, 1, 1, 0, 1, 1, 0, 0, 1, 1]  # the second strike is for what it heard
    assert (down[:, 3] / message).tolist() == [0] + [1] * 9 and not down[:, [2, 4]].any()


def test_good_news_between_two_strikes_and_good_news_too_late(monkeypatch):
    good, bad = np.full(6, .1), np.full(6, -.1)
    weight, down = judged(monkeypatch, {2: bad, 3: good, 4: bad, 5: bad, 6: good, 7: good, 8: good}, refresh=20)
    assert weight[:5, 0].tolist() == [0, .5, .5, .5, 0]
    assert not weight[5:, 0].any() and not down[5:, 0].any()  # closed is closed until the refresh (METHOD section 7)


def test_kinds_and_sums_of_a_graph_by_hand():
    assert set(zip(*np.nonzero(MASK))) == set(WHO)
    kinds = edge_kinds(federation.Teaching(None, MASK, EDGES))
    assert {edge: kinds[edge] for edge in WHO} == WHO
    out = run((0, 3))
    ledger = out.ledger
    assert list(ledger) == LEDGER and set(ledger["round"]) == {4, 8, 10}  # what the last period has, too
    for _, period in ledger.groupby(["seed", "round"]):
        assert {(s, t): kind for s, t, kind in zip(period["to"], period["from"], period["kind"])} == WHO
        weight = period.groupby("to")["weight"].sum()
        np.testing.assert_allclose(weight, np.ones(6), rtol=0, atol=1e-12)
        np.testing.assert_allclose(period["weight"], 1 / MASK.sum(1)[period["to"]], rtol=1e-12)
    mine = ledger["kind"] == "self"
    assert not ledger.loc[mine, ["revenue", "bytes"]].any(axis=None) and ledger.loc[~mine, "revenue"].any()


@pytest.mark.parametrize("exploring", [0.0, 1.0])
def test_bytes_of_the_ledger_are_those_of_the_rounds_of_its_period(exploring, monkeypatch):
    # networks come to the listener: over each edge the speaker's parameters, from round 2 on; the sum comes down
    monkeypatch.setattr(revenue, "EXPLORATION", exploring)
    out = run()
    by_level, ledger = {}, out.ledger[out.ledger["kind"] != "self"]
    for level, hidden in ((1, 8), (2, 32), (3, 128)):
        by_level[level] = 4 * (64 * hidden + hidden + hidden * 32 + 32 + 32 * 10 + 10)
    level = out.rows.query("round == 10")["level"].to_numpy()
    for rounds, end in ((3, 4), (4, 8), (2, 10)):
        period = ledger[ledger["round"] == end]
        times = period["bytes"] / [by_level[level[t]] for t in period["from"]]
        if exploring:  # who explores hears one partner a round
            assert set(times.groupby(period["to"]).sum()) == {rounds} and set(times) <= set(range(rounds + 1))
        else:
            assert set(times) == {rounds}
    down = out.rows.query("round == 10").set_index("client")["bytes_down"]
    assert ledger.groupby("to")["bytes"].sum().to_dict() == down[down > 0].to_dict()


@pytest.mark.parametrize("rule", ["none", "labelled", "realised", "shapley"])
def test_a_method_without_groups_has_an_empty_ledger(rule):
    more = dict(transport="public", revenue=rule, gate=rule != "none", peers=False, feedback=False)
    out = run(method=METHODS["local"], rounds=5, **more)
    assert out.ledger.empty and list(out.ledger) == LEDGER and not out.weights[["weight", "closed"]].any(axis=None)


def test_the_last_period_ends_with_the_run():
    assert set(run(revenue="none", refresh=None, rounds=3).ledger["round"]) == {3}
    assert set(run(revenue="none", refresh=3, rounds=3).ledger["round"]) == {3}
    everybody = run(method=METHODS["fedmd"], revenue="none", rounds=2).ledger
    assert set(everybody["kind"]) == {"self", "teacher"} and len(everybody) == 36
