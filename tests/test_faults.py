"""Faults: who is struck is drawn by seed alone, what arrives is what the model says, and nobody else is touched."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from scenes import SMALL, run, scene, weights_of

from hfkd import data, faults
from hfkd.cells import check_names
from hfkd.config import configure
from hfkd.course import Signals
from hfkd.knowledge import pool
from hfkd.learning import soft_targets
from hfkd.methods import METHODS
from hfkd.provenance import plain
from hfkd.state import start

ONE = [name for name in faults.SHARES if name != "liars"]


def test_a_share_is_a_share_and_a_smaller_one_is_part_of_it():
    for n, share, struck in ((20, .3, 6), (20, .2, 4), (12, .2, 3), (5, .01, 1), (30, .1, 3), (7, 1.0, 7), (7, 0.0, 0)):
        assert faults.drawn(3, n, share, "x").sum() == struck
    nested = [faults.drawn(3, 40, share, "x") for share in (0.0, .1, .3, .9, 1.0)]
    assert all((few <= many).all() for few, many in zip(nested, nested[1:]))
    draws = {(seed, what): tuple(faults.drawn(seed, 40, .5, what)) for seed in (0, 1) for what in ("x 1", "x 2", "y 1")}
    assert len(set(draws.values())) == 6
    often = np.mean([faults.drawn(seed, 10, .3, "x") for seed in range(400)], axis=0)
    assert (abs(often - .3) < .1).all()  # 4 deviations of a mean of 400


def test_who_is_struck_in_a_round():
    config = configure("smoke", clients=10, dropout=.3, straggling=.2, offline=.4, liars=.2, exploding=.5, rounds=6)
    rounds = [faults.of_round(config, (4, 5), round) for round in range(1, 7)]
    for name, many in (("absent", 3), ("late", 2), ("offline", 4), ("lying", 2)):
        each = np.stack([getattr(fault, name) for fault in rounds])
        assert each.shape == (6, 2, 10) and (each.sum(2) == many).all()
        assert (each == each[0]).all() == (name == "lying")  # liars are the same in all rounds
    broken = np.stack([fault.broken for fault in rounds])
    assert (broken[:-1] <= broken[1:]).all() and (broken[-1].sum(1) == 5).all()
    assert len({tuple(each) for each in broken.sum(2)}) > 1  # each from a round of its own on
    assert (rounds[0].lying[1] == faults.liars(5, 10, .2)).all()
    assert faults.of_round(configure("smoke"), (0,), 1) is None


def answers(n=200, classes=4, seed=0):
    """(n, c) log-posteriors."""
    return torch.from_numpy(np.random.default_rng(seed).dirichlet(np.ones(classes), n)).log()


def test_what_liars_send():
    p = answers()
    flip = faults.lie(p, "flip", 0, 1, 2)
    assert all(flip[:, (c + 1) % 4].equal(p[:, c]) for c in range(4))
    one, again, later = (faults.lie(p, "random", 0, 1, round) for round in (2, 2, 3))
    assert one.equal(again) and not one.equal(later) and not one.equal(p)
    assert sorted(map(tuple, one.tolist())) == sorted(map(tuple, p.tolist()))  # whole answers of other images
    mine, other = (faults.lie(p, "constant", 0, client, 2) for client in (1, 2))
    assert (mine == mine[0]).all() and mine.equal(faults.lie(answers(seed=1), "constant", 0, 1, 9))
    assert not mine.equal(other)
    one, other = (faults.lie(p, "collude", 0, client, client) for client in (1, 2))
    assert one.equal(other) and len({int(faults.lie(p, "collude", seed, 1, 1)[0].argmax()) for seed in range(20)}) == 4
    assert one[0].exp().sort().values.numpy() == pytest.approx([.01 / 3] * 3 + [.99])
    for kind in faults.LIES:
        assert faults.lie(p, kind, 0, 1, 2).exp().sum(-1).numpy() == pytest.approx(np.ones(200), abs=1e-9)
    with pytest.raises(ValueError, match="^lie is 'white'; expected one of flip, random, constant, collude$"):
        faults.lie(p, "white", 0, 1, 2)


def test_what_arrives():
    config = configure("smoke", clients=4, liars=.1)
    own, before = (torch.stack([answers(30, seed=10 * k + i) for i in range(4)]) for k in (0, 1))
    none = np.zeros((1, 4), bool)
    who = dict(zip(faults.Faults._fields, (none | (np.arange(4) == i) for i in (0, 1, 0, 2, 3))))
    sent, silent, broken = faults.arrive(own, before, faults.Faults(**who), config, (7,), 3)
    assert sent[0].equal(own[0]) and sent[1].equal(before[1]) and sent[2].equal(own[2].roll(1, -1))
    assert (sent[3] == -math.log(4)).all() and silent.tolist() == [[True, False, False, True]]
    assert broken.tolist() == [[False, False, False, True]]
    first = faults.arrive(own, None, faults.Faults(**who), config, (7,), 3)
    assert first[1].tolist() == [[True, True, False, True]] and first[0][1].equal(own[1])
    own[1, 5, 2] = math.inf  # not a fault of the model: found all the same
    sent, silent, broken = faults.arrive(own, own, faults.Faults(*[none] * 5), config, (7,), 3)
    assert broken.tolist() == [[False, True, False, False]] and sent.isfinite().all() and own[1, 5, 2] == math.inf


def test_targets_are_pooled_from_what_arrives_and_from_what_one_thinks_oneself():
    config, state, books, lessons, said = scene()
    books.own, said = said, said.clone()
    said[2], said[9] = said[2].roll(1, -1), said[9].roll(2, -1)
    books.silent = np.zeros((2, 6), bool)
    books.silent[1, 4] = True
    targets = soft_targets(state, books, config, METHODS["hfkd"], lessons, said)
    for z, s in np.ndindex(2, 6):
        view, w = said[6 * z : 6 * z + 6].clone(), lessons[z].weights[s].clone()
        view[s] = books.own[6 * z + s]
        if z == 1 and s != 4:
            w[4] = 0
            left = torch.from_numpy(lessons[1].mask[s] & (np.arange(6) != 4)).double()
            w = torch.where(w.sum(0) > 0, w, left[:, None])
            w = w / w.sum(0)
        torch.testing.assert_close(targets[6 * z + s], pool(view, w[None], "log")[0], rtol=0, atol=1e-5)


def test_who_is_always_absent_stays_as_it_began(monkeypatch):
    out, state = run(watch=monkeypatch, dropout=1.0)
    begun = weights_of(start(configure("smoke", **SMALL), data.load("digits"), (0, 1)))
    assert all(w.equal(begun[i][1][name]) for i, (_, own) in weights_of(state).items() for name, w in own.items())
    assert not out.rows[["alpha", "bytes_up", "bytes_down"]].any(axis=None) and not out.ledger["bytes"].any()


def test_who_is_absent_waits_and_misses_its_batches(monkeypatch):
    seen, settle = [], faults.settle
    monkeypatch.setattr(faults, "settle", lambda state, *rest: settle(state, *rest) or seen.append(weights_of(state)))
    out, state = run(watch=monkeypatch, dropout=.3)
    _, clean = run(watch=monkeypatch)
    for one, other in zip(state.private_streams + state.public_streams, clean.private_streams + clean.public_streams):
        assert one.bit_generator.state == other.bit_generator.state
    config = configure("smoke", **SMALL, dropout=.3)
    for round, (before, after) in enumerate(zip(seen[:-1], seen[1:]), start=2):
        absent = faults.of_round(config, (0, 1), round).absent
        now = out.rows[out.rows["round"] == round]
        for i in range(12):
            waits = all(w.equal(before[i][1][name]) for name, w in after[i][1].items())
            assert waits == absent.reshape(-1)[i] and (now["alpha"].to_numpy()[i] == 0) >= waits


@pytest.mark.parametrize("fault", [dict(offline=1.0), dict(straggling=1.0, rounds=2), dict(liars=1.0, include_self=True,
                                   lie="constant", doubt=True, public_labels=True)])  # fmt: skip
def test_who_can_hear_nobody_learns_alone(fault):
    alone, other = run("balanced_local", **({"rounds": 2} if "rounds" in fault else {})), run(**fault)
    same = ["seed", "round", "client", "personality", "consistency", "val_consistency", "alpha", "bytes_up"]
    pd.testing.assert_frame_equal(other.rows[same], alone.rows[same], check_exact=True)
    assert not run().rows[same].equals(alone.rows[same])


@pytest.mark.parametrize("fault", [dict(straggling=.5), dict(offline=.5), dict(liars=.5)])
def test_before_anybody_listens_only_what_breaks_can_matter(fault):
    one, other = (out.rows[out.rows["round"] == 1].drop(columns="teachers") for out in (run(**fault), run()))
    assert one.equals(other)
    assert not run(**fault).rows.equals(run().rows)
    local, struck = run("local"), run("local", **fault)
    assert struck.rows.equals(local.rows)  # lies are in what is sent


def test_a_student_turns_to_the_next_admissible_teacher():
    rng = np.random.default_rng(0)
    counts, levels, silent = rng.integers(0, 9, (9, 5)), np.array([1, 1, 1, 1, 2, 2, 2, 3, 3]), np.arange(9) == 5
    config = configure("smoke", fan_in=2)
    usual, now = (METHODS["hfkd"].teach(Signals(counts, levels, np.zeros((9, 9)), quiet), config, None)
                  for quiet in (None, silent))
    assert usual.edges[:, 5].any() and not now.edges[:, 5].any()
    assert (usual.edges[:4].sum(1) == 2).all() and (now.edges[:4].sum(1) == 2).all() and now.edges[5].any()


def test_what_is_not_finite_is_quarantined_and_reported():
    out = run(exploding=.4, rounds=6, refresh=2, warmup=0)
    config = configure("smoke", **(SMALL | dict(exploding=.4, rounds=6)))
    struck, ledger, partly = [faults.of_round(config, (0, 1), round).broken for round in range(1, 7)], out.ledger, 0
    usual = run(rounds=6, refresh=2, warmup=0).ledger.set_index(["seed", "round", "to", "from"])["weight"]
    for (seed, round), rows in ledger[ledger["from"] != ledger["to"]].groupby(["seed", "round"]):
        broken = struck[round - 2][seed] * 1 + struck[round - 1][seed]  # rounds of the period
        rounds = broken[rows["from"]]
        lost, shut = (rows["kind"] == "quarantined").to_numpy(), rows["weight"].to_numpy()
        assert (lost == (rounds == 2)).all() and not shut[lost].any()
        own = usual[[(seed, round, to, of) for to, of in zip(rows["to"], rows["from"])]].to_numpy()
        alone = np.array([not broken[r].any() for r in [ledger[(ledger["to"] == to) & (ledger["seed"] == seed)]["from"]
                                                        for to in rows["to"]]])
        assert shut[alone] == pytest.approx(own[alone])  # whose partners are whole hears what it would have heard
        partly += (rounds == 1).sum()
        assert (shut[(rounds == 1) & (own > 0)] > 0).all()
    assert partly
    assert (ledger["kind"] == "quarantined").any() and np.isfinite(out.rows["consistency"]).all()
    sums = ledger.groupby(["seed", "round", "to"])["weight"].sum()
    assert sums.to_numpy() == pytest.approx(np.ones(len(sums)))


def test_who_is_absent_or_broken_stays_as_it_was_and_who_diverged_does_not():
    _, state, *_ = scene()
    before, cohort = faults.networks(state), state.cohorts[0]
    for w in (*cohort.weights.values(), *cohort.momentum.values()):
        w += 1
    next(iter(cohort.weights.values()))[2].view(-1)[0] = math.nan  # training itself has done that
    none = np.zeros((2, 6), bool)
    away, broken = (none.reshape(-1).copy() for _ in range(2))
    away[cohort.members[0]] = broken[cohort.members[1]] = True
    faults.settle(state, before, faults.Faults(away.reshape(2, 6), none, none, none, broken.reshape(2, 6)))
    for now, kept in zip((cohort.weights, cohort.momentum), before[0]):
        for name, w in now.items():
            assert w[:2].equal(kept[name][:2]) and w[3:].equal(kept[name][3:] + 1)
    with pytest.raises(ValueError, match="training diverged"):
        run(lr=80.0, dropout=.2)


@pytest.mark.parametrize(("fault", "sentence"), [
    (dict(dropout=.1, transport="private"), "transport is 'private' with dropout; expected public"),
    (dict(liars=.1, schedule="top_down"), "schedule is 'top_down' with liars; expected simultaneous"),
    (dict(pooling="median", transport="classwise"), "transport is 'classwise' with median; expected public"),
    (dict(straggling=.1, spoken=5), "spoken is 5 with straggling: late answers are about other images; expected None"),
    (dict(doubt=True), "doubt=True reads labels of the public images; set public_labels=True"),
    (dict(method="ktpfl", offline=.2), "offline is 0.2 and method 'ktpfl' does more than pool answers by a W"),
    (dict(method="fedavg", dropout=.2), "dropout is 0.2 and method 'fedavg' does more than pool answers by a W"),
])  # fmt: skip
def test_faults_that_are_not_modelled_are_refused(fault, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}"):
        check_names(configure("smoke", **fault))


def test_a_seed_does_not_depend_on_the_seeds_beside_it_nor_on_time():
    several = dict.fromkeys(faults.SHARES, .2) | dict(doubt=True, public_labels=True, rounds=5)
    both, alone, again = run(seeds=(1, 0), **several), run(seeds=(0,), **several), run(seeds=(0,), **several)
    mine = both.rows[both.rows["seed"] == 0].reset_index(drop=True)
    assert mine.equals(alone.rows) and alone.rows.equals(again.rows) and alone.ledger.equals(again.ledger)


def test_rows_of_the_honest():
    frame = pd.DataFrame({"seed": np.repeat([0, 1], 10), "client": np.tile(range(10), 2), "round": 3})
    kept = faults.honest(pd.concat([frame, frame.assign(round=4)]), .2)
    assert len(kept) == 2 * 16 and plain(kept.groupby("round").size().tolist()) == [16, 16]
    for seed, rows in kept.groupby("seed"):
        assert not faults.liars(seed, 10, .2)[rows["client"]].any()
