"""The round: HFKD written down once more, a client after the other; what W means; what is paired, counted, refused."""

import functools
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from scenes import DIGITS, METHODS, N, SEEDS, begun, doubled, last, network, run, same, settings, weights_of

from hfkd.engine import client, federation, record, state, training
from hfkd.engine.method import Graph, nobody
from hfkd.knowledge import log_prior, mix, teaching_weights
from hfkd.matching import match
from hfkd.privacy import messages
from hfkd.streams import stream

FIRST = dict(gamma=1.0, kappa=0.0, digest=0, mixup=0.0, weighting="fixed", epochs=1)  # the first edition of the method
MESSAGE = 40 * 10 * 4  # bytes of what one client says of the public images: m C float32


@contextmanager
def exact(change=lambda fed: fed):
    """Federations in float64, after some change before the first round."""
    start = state.begin
    with pytest.MonkeyPatch.context() as patch:
        for module in (federation, state):
            patch.setattr(module, "begin", lambda *given: change(doubled(start(*given))))
        torch.set_default_dtype(torch.float64)
        try:
            yield
        finally:
            torch.set_default_dtype(torch.float32)


def plain_weights(mask, counts, earned, config):
    """W (s, t, c) by loops."""
    found = np.zeros((N, N, 10))
    for s, c in np.ndindex(N, 10):
        voice = mask[s] * np.exp(earned[s] / config.revenue_temperature)
        say = voice * counts[:, c] if (mask[s] * counts[:, c]).any() else voice
        found[s, :, c] = say / say.sum()
    return found


def plain_pool(said, w, config):
    """q (s, u, c) of what is said (t, u, c), sharpened and aligned."""
    each = np.einsum("stc,tuc->suc", w, said if config.pooling == "log" else np.exp(said))
    each = np.exp(each) if config.pooling == "log" else each
    each = (each / each.sum(-1, keepdims=True)) ** config.gamma
    each = each / each.sum(-1, keepdims=True)
    each = each * (0.1 / each.mean(1, keepdims=True)) ** config.kappa
    return torch.from_numpy(each / each.sum(-1, keepdims=True))


def plain_batches(rng, images, q, steps, config):
    """Public batches (images, targets) of a stream, mixed up."""
    rows = training.batches(rng, len(images), steps, 16)
    shares = rng.beta(config.mixup, config.mixup, steps) if config.mixup else np.ones(steps)
    return [mix(images[at], q[at], torch.tensor(share)) for at, share in zip(rows, shares)]


def plain_earned(said, counts, labels):
    """Rev (s, t): what t would save s, on labelled public images that count by the labels of s."""
    by_class = np.stack([-said[:, labels == c, c].mean(1) for c in range(10)], axis=-1)
    losses = counts / counts.sum(1, keepdims=True) @ by_class.T
    return np.clip((np.diag(losses)[:, None] - losses) / np.diag(losses)[:, None], -1, 1)


def plainly(config, fed, z, seed):
    """(networks, W of every round, targets of the last) of hfkd for one seed, without a federation."""
    own, first, labels = fed.splits[z], weights_of(fed), fed.labels
    images = state.shown(fed, z, range(len(labels)))
    nets = [network(*first[z * N + i]) for i in range(N)]
    sgd = [torch.optim.SGD(net.parameters(), lr=config.lr, momentum=config.momentum) for net in nets]
    private, public = ([stream(seed, name, i) for i in range(N)] for name in ("batches", "public batches"))
    edges, alike = match(own.counts, own.levels, fan_in=config.fan_in), own.levels[:, None] == own.levels
    shared = np.array([[(edges[s] & edges[t]).any() for t in range(N)] for s in range(N)])
    mask = edges | np.eye(N, dtype=bool) | config.feedback * edges.T | config.peers * (alike & shared)
    weight = np.where(edges.any(1), config.alpha, np.where(mask.sum(1) > 1, config.beta or config.alpha, 0))
    prior = fed.prior[z * N : z * N + N] * (config.hard_loss == "balanced")
    earned, kept, q, size = np.zeros((N, N)), [], None, config.spoken or config.public_size
    for r in range(1, config.rounds + 1):
        at = own.public[np.arange(r * size, r * size + size) % config.public_size if config.spoken else np.arange(size)]
        speak = lambda at=at: torch.stack([client.speak(net, images[at], config.temperature) for net in nets]).numpy()
        said, taught, ramp = speak(), r > config.warmup, 1.0
        if config.weighting == "ramp":
            ramp = min(1.0, max(0, r - config.warmup) / config.ramp_length)
        if taught and config.revenue == "labelled":
            earned = 0.7 * earned + 0.3 * plain_earned(said, own.counts, labels[at].numpy())
        if r == 1 or config.refresh and (r - 1) % config.refresh == 0:
            w = plain_weights(mask, own.counts, earned, config)
        kept.append(w)
        turns = [own.levels == level for level in (1, 2, 3)]
        turns = {"simultaneous": [own.levels > 0], "bottom_up": turns, "top_down": turns[::-1]}[config.schedule]
        for turn in turns:  # each hears what those before it have learned
            q = plain_pool(said, w, config)
            for i in np.flatnonzero(turn):
                steps = -(-config.epochs * len(own.train[i]) // 16)
                rows = own.train[i][training.batches(private[i], len(own.train[i]), steps, 16)]
                how = (config.temperature, config.kl_direction)
                if taught and config.digest and weight[i]:
                    fresh = torch.optim.SGD(nets[i].parameters(), lr=config.lr, momentum=config.momentum)
                    passes = config.digest * -(-size // 16)
                    client.digest(nets[i], fresh, plain_batches(public[i], images[at], q[i], passes, config), *how)
                heard = plain_batches(public[i], images[at], q[i], steps, config) if taught else None
                how = (ramp * weight[i], *how)
                client.train(nets[i], sgd[i], [(images[k], labels[k]) for k in rows], prior[i], heard, *how)
            said[turn] = speak()[turn]
    return nets, kept, q


@pytest.mark.parametrize("more", [
    {}, FIRST, dict(gamma=1.5, kappa=1.0, digest=2, mixup=0.0), FIRST | dict(mixup=0.4, weighting="ramp"),
    dict(schedule="top_down", kl_direction="student_first"), dict(feedback=False, peers=False, fan_in=1),
    FIRST | dict(schedule="bottom_up", temperature=2.0, hard_loss="plain", beta=0.1),
    dict(pooling="arithmetic", epochs=1, spoken=9),
    dict(revenue="labelled", public_labels=True, refresh=2, revenue_temperature=0.2, rounds=5, public_size=60),
])  # fmt: skip
def test_hfkd_is_what_its_formulas_say_client_by_client(more):
    with exact():
        config, _, start = begun(**more)
        *_, end = ends = list(federation.rounds(*settings(**more), SEEDS))
        for z, seed in enumerate(SEEDS):
            nets, kept, q = plainly(config, start, z, seed)
            np.testing.assert_allclose(torch.stack([each.graph.weights[z] for each in ends]), kept, rtol=0, atol=1e-9)
            if config.schedule == "simultaneous":
                torch.testing.assert_close(end.targets[z], q, rtol=0, atol=1e-9)
            for i, net in enumerate(nets):
                for found, wanted in zip(weights_of(end.fed)[z * N + i][1].values(), net.parameters(), strict=True):
                    torch.testing.assert_close(found, wanted.detach(), rtol=0, atol=1e-9)


def test_local_hears_nobody_and_so_does_everybody_with_the_identity_for_w():
    alone, end = last("balanced_local"), last(replace(METHODS["hfkd"], decide=nobody), epochs=1)
    assert all(each.answers is each.targets is None and not each.links.any() for each in (alone, end))
    assert same(weights_of(end.fed), weights_of(alone.fed)) and not same(weights_of(last().fed), weights_of(alone.fed))
    for loss in ("balanced", "plain"):  # which is all that tells Local from Balanced-Local
        assert same(weights_of(last("local", hard_loss=loss).fed), weights_of(alone.fed)) == (loss == "balanced")


# 0 and 1 are students of 3, which is a student of 5; 2 and 4 have nobody. Feedback and a pair of peers beside.
EDGES = np.zeros((N, N), bool)
EDGES[[0, 1, 3], [3, 3, 5]] = True
WHO = {(0, 3): "teacher", (1, 3): "teacher", (3, 5): "teacher", (3, 0): "feedback", (3, 1): "feedback",
       (5, 3): "feedback", (0, 1): "peer", (1, 0): "peer"} | {(i, i): "self" for i in range(N)}  # fmt: skip
MASK = np.array([[(s, t) in WHO for t in range(N)] for s in range(N)])


@pytest.mark.parametrize("beta, deaf", [(0.2, ()), (0.0, (5,))])
def test_ledger_and_bytes_of_a_graph_by_hand(beta, deaf):
    asked, graph = [], Graph(teaching_weights(MASK, np.ones((N, 10))), MASK, EDGES)
    method = replace(METHODS["hfkd"], decide=lambda *given: asked.append(given) or graph)
    rows, ledger = run(method, refresh=2, rounds=5, alpha=0.5, beta=beta, weighting="fixed")
    assert len(asked) == 2 * 3 and sorted(set(ledger["round"])) == [2, 4, 5]  # decided for rounds 1, 3 and 5, two seeds
    for _, period in ledger.groupby(["seed", "round"]):
        assert {(s, t): kind for s, t, kind in zip(period["to"], period["from"], period["kind"])} == WHO
        np.testing.assert_allclose(period["weight"], 1 / MASK.sum(1)[period["to"]], rtol=1e-12)
        np.testing.assert_allclose(period.groupby("to")["weight"].sum(), np.ones(N), rtol=1e-12)
    hears, speaks = [1, 1, 0, 1, 0, 5 not in deaf] * 2, [1, 1, 0, 1, 0, 1] * 2
    for r, part in rows.groupby("round"):
        assert part["bytes_down"].tolist() == [each * (r - 1) * MESSAGE for each in hears]
        assert part["bytes_up"].tolist() == [each * (r - 1) * MESSAGE for each in speaks]
        assert part["alpha"].tolist() == [*([0.5, 0.5, 0, 0.5, 0, beta] if r > 1 else [0] * N)] * 2
        assert part["teachers"].tolist() == [1, 1, 0, 1, 0, 0] * 2


def test_rows_are_tidy_the_same_twice_and_whenever_they_are_measured():
    told = []
    (rows, ledger), again, seldom = run(rule="random"), run(rule="random"), run(rule="random", eval_every=2)
    run("local", rounds=2, report=lambda *at: told.append(at))
    assert told == [(1, 2), (2, 2)] and list(rows) == record.CLIENT_COLUMNS and list(ledger) == record.LEDGER
    order = [(round, seed, client) for round in (1, 2, 3) for seed in SEEDS for client in range(N)]
    assert list(zip(rows["round"], rows["seed"], rows["client"])) == order
    for one, other in zip((rows, ledger), again):
        pd.testing.assert_frame_equal(one, other, check_exact=True)
    kept = rows[rows["round"] > 1].reset_index(drop=True)  # the last round is always measured
    pd.testing.assert_frame_equal(seldom[0], kept, check_exact=True)


@functools.cache
def honest(method):
    """The end of a run of seeds 1 and 0, never changed."""
    with exact():
        return last(method, (1, 0), epochs=1).fed


HONEST = [name for name in METHODS if name != "labelled_public"]  # which trains on other images, and on other labels


@pytest.mark.parametrize("method", HONEST)
def test_split_first_weights_and_batches_are_the_same_for_all_methods(method):
    local, end, (config, _, digits) = honest("local"), honest(method), settings(method)
    with exact():
        plain = settings("local", levels=config.levels)[0]
        start, first = (state.begin(each, digits, (1, 0)) for each in (config, plain))
    assert same(weights_of(start), weights_of(first))
    assert all(getattr(end, part).equal(getattr(start, part)) for part in ("images", "labels", "prior"))
    for fed in (end, start):
        assert np.array_equal(fed.levels, local.levels) and np.array_equal(fed.counts, local.counts)
        for one, other in zip(fed.splits, local.splits, strict=True):
            parts = [(own.public, *own.train, *own.val, *own.test, own.balanced) for own in (one, other)]
            assert all(map(np.array_equal, *parts))
    drawn = [[str(rng.bit_generator.state) for rng in fed.private_streams] for fed in (end, local)]
    assert drawn[0] == drawn[1] and len(set(drawn[0])) == 2 * N  # as many draws, from streams of each client's own
    counted, each = end.batches, [3 * -(-len(mine) // 16) for own in end.splits for mine in own.train]
    listens = METHODS[method].decide is not nobody  # two rounds of one digest, three batches each
    wanted = METHODS[method].networks * np.reshape(each, (2, N)) + listens * (2 * 3 + np.reshape(each, (2, N)) * 2 // 3)
    assert method in ("alternating", "dml") or np.array_equal(counted, wanted)


@pytest.mark.parametrize("method", HONEST)
def test_a_seed_learns_the_same_whatever_runs_beside_it_and_only_from_its_own_training_labels(method):
    def spoiled(fed):
        """Labels of public, validation and test images are wrong, and the images of the test parts are noise."""
        for own in fed.splits:
            tested = np.concatenate([*own.test, *own.val, own.balanced])
            fed.labels[np.concatenate([tested, own.public])] = 0
            noise = np.random.default_rng(0).integers(0, 256, (len(tested), 1, 8, 8), np.uint8)
            fed.images[tested] = torch.from_numpy(noise)
        return fed

    both = weights_of(honest(method))
    with exact(spoiled):
        now, again = (weights_of(last(method, (0,), epochs=1).fed) for _ in "12")
    assert same(now, again)  # to the bit where the same clients stand side by side
    for i, (_, own) in now.items():
        for name, w in own.items():
            torch.testing.assert_close(w, both[N + i][1][name], rtol=0, atol=1e-8)


def test_who_stops_early_leaves_nothing_behind():
    threads, generator = torch.get_num_threads(), torch.random.get_rng_state()
    before = weights_of(last(rounds=2).fed)
    stopped = federation.rounds(*settings(), SEEDS)
    assert next(stopped).number == 1
    stopped.close()
    assert same(weights_of(last(rounds=2).fed), before)
    assert torch.get_num_threads() == threads and torch.random.get_rng_state().equal(generator)


def test_public_images_of_another_origin():
    digits = DIGITS()
    other = replace(digits, name="flipped", images=digits.images[:60, :, ::-1].copy(), labels=digits.labels[:60])
    fed, n = last("fedmd", public=other).fed, len(digits.labels)
    drawn = [own.public for own in fed.splits]
    assert all(len({*at}) == 40 and {*at} <= {*range(n, n + 60)} for at in drawn) and {*drawn[0]} != {*drawn[1]}
    for z, at in enumerate(drawn):  # by them all images are standardised, those of others as well
        pixels = other.images[at - n].astype(float)
        wanted = (digits.images[7] - pixels.mean()) / pixels.std()
        np.testing.assert_allclose(state.shown(fed, z, [7])[0], wanted, rtol=0, atol=1e-5)
    assert (fed.labels[n:] == -1).all()  # nobody can learn from its labels
    for public, sentence in (
        (replace(other, images=other.images[:, :, 1:]), r"of flipped are \(1, 7, 8\); expected \(1, 8, 8\)"),
        (replace(other, labels=other.labels[:39]), "public_size is 40; expected at most the 39 images of flipped"),
        (replace(digits, name="copy"), "public is 'copy', which has images of the private digits; expected 'same'"),
    ):
        with pytest.raises(ValueError, match=sentence):
            last("fedmd", public=public)


def test_others_know_released_counts_and_a_run_that_fails_says_so_in_a_sentence():
    fed = begun(epsilon=1.0)[2]
    true = np.stack([own.counts for own in fed.splits])
    assert all((messages(n, 1.0, seed) == fed.counts[z]).all() for z, (n, seed) in enumerate(zip(true, SEEDS)))
    assert not (fed.counts == true).all() and fed.prior.equal(log_prior(true).flatten(0, 1).float())  # its own it knows
    sentence = r"training diverged \(hfkd, skew 0.1, round \d, level \d\): weights are not finite; try a smaller lr"
    with pytest.raises(ValueError, match=sentence):
        run(lr=1e9)
