"""Faults: who is struck is drawn by seed alone, what arrives is what the model says, and nobody else is touched."""

import math

import numpy as np
import pytest
import torch
from scenes import N, SEEDS, begun, last, run, same, settings, weights_of

from hfkd.config import configure
from hfkd.engine import faults, federation, state
from hfkd.knowledge import align, pool, sharpen, without


def test_a_share_is_a_share_and_a_smaller_one_is_part_of_it():
    shares = {0.0: 0, 0.001: 1, 0.07: 7, 0.14: 14, 0.29: 29, 0.291: 30, 1.0: 100}  # .07 x 100 is a little more than 7
    nested = [faults.drawn(3, 100, share, "x") for share in shares]
    assert [each.sum() for each in nested] == [*shares.values()]
    assert all((few <= many).all() for few, many in zip(nested, nested[1:]))
    assert len({tuple(faults.drawn(seed, 40, 0.5, what)) for seed in (0, 1) for what in ("x 1", "x 2", "y 1")}) == 6


def answers(*shape, seed=0):
    """Log-posteriors (*shape, 4)."""
    return torch.from_numpy(np.random.default_rng(seed).dirichlet(np.ones(4), shape)).log()


def test_what_liars_send():
    p = answers(200)
    flip = faults.lie(p, "flip", 0, 1, 2)
    assert all(flip[:, (c + 1) % 4].equal(p[:, c]) for c in range(4))
    one, again, later = (faults.lie(p, "random", 0, 1, round) for round in (2, 2, 3))
    assert one.equal(again) and not one.equal(later) and not one.equal(p)
    assert sorted(map(tuple, one.tolist())) == sorted(map(tuple, p.tolist()))  # whole answers of other images
    mine, other = (faults.lie(p, "constant", 0, client, 2) for client in (1, 2))
    assert (mine == mine[0]).all() and mine.equal(faults.lie(p + 1, "constant", 0, 1, 9)) and not mine.equal(other)
    one, other = (faults.lie(p, "collude", 0, client, client) for client in (1, 2))
    assert one.equal(other) and len({int(faults.lie(p, "collude", seed, 1, 1)[0].argmax()) for seed in range(20)}) == 4
    assert one[0].exp().sort().values.numpy() == pytest.approx([0.01 / 3] * 3 + [0.99])


def test_what_arrives_and_who_is_there_round_by_round():
    config = configure(clients=10, dropout=0.3, straggling=0.2, liars=0.2, exploding=0.5, rounds=6)
    seeds, carry, before, broke = (4, 5), faults.channel(config, (4, 5)), None, []
    for round in range(1, 7):
        said = answers(2, 10, 30, seed=round) if round > 1 else None  # nobody is asked in the first round
        arrived, present = carry(said, round)
        broke.append(present.broken)
        for z, t in np.ndindex(2, 10):
            away, late, lies = (faults.drawn(seeds[z], 10, getattr(config, name), what)[t] for name, what in (
                ("dropout", f"dropout {round}"), ("straggling", f"straggling {round}"), ("liars", "liars")))
            assert present.absent[z, t] == away
            if said is None:
                continue
            sent = not away and (not late or before is not None)
            assert present.sent[z, t] == sent and present.heard[z, t] == (sent and not present.broken[z, t])
            thought = before[z, t] if late and before is not None else said[z, t]
            thought = faults.lie(thought, "flip", seeds[z], t, round) if lies else thought
            wanted = torch.full_like(thought, -math.log(4)) if present.broken[z, t] else thought
            assert arrived[z, t].equal(wanted)
        before = said
    assert all((one <= two).all() for one, two in zip(broke, broke[1:])) and (broke[-1].sum(1) == 5).all()
    assert len({tuple(each.sum(1)) for each in broke}) > 2  # each from a round of its own on
    said[1, 5, 2] = math.inf  # not a fault of the model: found all the same, where there are any
    arrived, present = faults.channel(configure(clients=10, liars=0.1), seeds)(said, 1)
    assert np.argwhere(~present.heard).tolist() == [[1, 5]] and arrived.isfinite().all() and said[1, 5, 2].isinf().all()
    arrived, present = faults.channel(configure(clients=10), seeds)(said, 1)
    assert arrived is said and present.heard.all() and not present.absent.any()


def test_targets_are_pooled_from_what_arrives_and_from_what_one_thinks_oneself():
    config, method, fed = begun()
    said, graph = state.speak(fed, config, 2), federation.decide(fed, config, method, SEEDS)
    arrived, none = said.clone(), np.zeros((2, N), bool)
    arrived[0, 2], arrived[1, 3], gone = said[0, 2].roll(1, -1), said[1, 3].roll(2, -1), none.copy()
    gone[1, 4] = True
    heard = federation.among(graph, faults.Presence(gone, none, ~gone, ~gone))
    q = federation.targets(fed, config, method, heard, arrived, said)
    for z, s in np.ndindex(2, N):
        view, lost = arrived[z].clone(), np.tile(gone[z], (N, 1)) & ~np.eye(N, dtype=bool)
        view[s] = said[z, s]
        w = without(graph.weights[z], graph.mask[z], lost)
        torch.testing.assert_close(heard.weights[z], w, rtol=0, atol=1e-12)
        wanted = align(sharpen(pool(view, w[s : s + 1])[0], config.gamma), config.kappa)
        torch.testing.assert_close(q[z, s], wanted, rtol=0, atol=1e-5)
        assert heard.mask[z, s].tolist() == (graph.mask[z, s] & ~lost[s]).tolist()


@pytest.mark.parametrize("fault", [dict(dropout=0.4), dict(exploding=0.5)])
def test_who_is_absent_or_broken_waits_and_misses_its_batches(fault):
    config, method, digits = settings(**fault)
    before, waited, clean = weights_of(begun()[2]), 0, last().fed
    for now in federation.rounds(config, method, digits, SEEDS):
        present, after = faults.channel(config, SEEDS)(None, now.number)[1], weights_of(now.fed)
        for i in after:
            at, waits = divmod(i, N), same({i: after[i]}, before)
            assert waits == (present.absent | present.broken)[at]
            met = now.links[at].any() or now.links[at[0], :, at[1]].any()
            assert not (present.absent[at] and (now.weight[at] or met))
            waited += waits
        before = after
    assert 0 < waited < 3 * 2 * N
    for one, other in zip(now.fed.private_streams, clean.private_streams, strict=True):
        assert one.bit_generator.state == other.bit_generator.state


@pytest.mark.parametrize("fault", [dict(dropout=1.0), dict(straggling=1.0, rounds=2)])
def test_who_can_hear_nobody_learns_alone_or_not_at_all(fault):
    (rows, _), end = run(**fault), last(**fault)
    assert not rows[["alpha", "bytes_up", "bytes_down"]].any(axis=None) and not end.links.any()
    alone = begun()[2] if "dropout" in fault else last("balanced_local", rounds=2).fed
    assert same(weights_of(end.fed), weights_of(alone))


def test_liars_are_heard_and_what_is_not_finite_is_not():
    honest, lied, broken = last(), last(liars=0.3), last(exploding=0.3, rounds=6, warmup=0)
    moved, usual = weights_of(lied.fed), weights_of(honest.fed)
    assert not any(same({i: moved[i]}, usual) for i in moved) and lied.weight.all()
    assert run("local", liars=0.5, straggling=0.5)[0].equals(run("local")[0])  # lies are in what is sent
    struck = faults.channel(settings(exploding=0.3, rounds=6)[0], SEEDS)(None, 6)[1].broken
    others = ~np.eye(N, dtype=bool)
    for z in range(2):
        assert struck[z].sum() == 2 and broken.links[z][:, struck[z]].any()  # it has sent what nobody hears
        assert not (broken.heard.weights[z].numpy() * others[..., None])[:, struck[z]].any()
        np.testing.assert_allclose(broken.heard.weights[z].sum(1), np.ones((N, 10)), rtol=0, atol=1e-12)


@pytest.mark.parametrize("method, more", [("dml", {}), ("hfkd", {"include_self": False})])
def test_ledger_weights_sum_to_one_where_who_has_nobody_left_hears_itself(method, more):
    _, ledger = run(method, dropout=0.5, warmup=0, **more)
    sums = ledger.groupby(["seed", "round", "to"])["weight"].sum()
    np.testing.assert_allclose(sums, np.ones(len(sums)), rtol=1e-12)
