"""Prior-free knowledge: the weights W by hand and by loops, pooling against numpy, and the two predictions."""

import itertools

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, softmax
from scipy.stats import entropy

from hfkd.knowledge import align, log_prior, mix, pool, predictions, sharpen, teaching_weights, without

S = T = 5
C, M = 4, 7
KINDS = ("log", "arithmetic")


def group(seed=0):
    """A mask with everybody in its own row, counts with zeros, and log-posteriors (T, M, C)."""
    rng = np.random.default_rng(seed)
    mask = (rng.random((S, T)) < 0.5) | np.eye(S, dtype=bool)
    counts = rng.integers(0, 4, (T, C)) * rng.integers(0, 2, (T, C)) * 10
    counts[:, 3] = 0  # nobody has seen the last class
    return mask, counts, torch.from_numpy(log_softmax(rng.normal(0, 2, (T, M, C)), axis=-1))


def test_prior_and_weights_by_hand():
    # (n + 1/2) / (8 + 4/2): 5.5, .5, 3.5, .5 of 10
    found = log_prior(np.array([[5, 0, 3, 0], [0, 0, 0, 0]]))
    np.testing.assert_allclose(found.exp(), [[0.55, 0.05, 0.35, 0.05], [0.25] * 4], rtol=0, atol=1e-15)
    # student 0 hears 0 and 1, student 1 only itself; class 0: 30 and 10 samples, class 1: teacher 1, class 2: nobody
    counts = [[30, 0, 0], [10, 5, 0]]
    w = teaching_weights([[1, 1], [0, 1]], counts)
    np.testing.assert_allclose(w, [[[0.75, 0, 0.5], [0.25, 1, 0.5]], [[0, 0, 0], [1, 1, 1]]], rtol=0, atol=1e-15)


@pytest.mark.parametrize("power", [0.0, 0.5, 2.0])
def test_weights_by_loops_sum_to_one_over_those_who_have_a_say(power):
    for seed in range(5):
        mask, counts, _ = group(seed)
        revenue = np.random.default_rng(seed).uniform(-1, 1, (S, T))
        found = teaching_weights(mask, counts, power, revenue, revenue_temperature=0.5).numpy()
        for s, c in np.ndindex(S, C):
            say = [mask[s, t] * np.exp(2 * revenue[s, t]) * (counts[t, c] > 0) * max(counts[t, c], 1) ** power
                   for t in range(T)]  # fmt: skip
            say = say if sum(say) else mask[s] * np.exp(2 * revenue[s])  # nobody has seen it: all who are heard
            np.testing.assert_allclose(found[s, :, c], say / np.sum(say), rtol=0, atol=1e-12)


def test_without_somebody_is_as_if_it_had_never_been_in_the_group():
    for seed in range(20):
        mask, counts, _ = group(seed)
        gone = np.random.default_rng(seed).random((S, S)) < (0.4 if seed else 1.0)
        left = mask & ~gone
        left |= np.diag(~left.any(1))  # who has nobody left hears itself
        found = without(teaching_weights(mask, counts), mask, gone)
        torch.testing.assert_close(found, teaching_weights(left, counts), rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_pooling_by_loops_and_with_seeds_in_front(kind):
    sets = [group(seed) for seed in range(3)]
    weights = torch.stack([teaching_weights(mask, counts) for mask, counts, _ in sets])
    q = pool(torch.stack([log_p for _, _, log_p in sets]), weights, kind)
    for z, s, u in np.ndindex(3, S, M):
        said = sets[z][2][:, u].numpy()
        each = (weights[z, s].numpy() * (said if kind == "log" else np.exp(said))).sum(0)
        wanted = softmax(each) if kind == "log" else each / each.sum()
        np.testing.assert_allclose(q[z, s, u], wanted, rtol=0, atol=1e-12)
    assert pool(sets[0][2].float(), weights[0], kind).dtype == torch.float32  # the answer has the type of the speech


def test_both_trainings_meet_in_the_posterior_of_bayes():
    # given p(x|y): a plainly trained network says log p(y) p(x|y), a balanced one log p(x|y); the predictions agree
    rng = np.random.default_rng(5)
    likelihood, prior = rng.dirichlet(np.ones(C), (3, 50)), rng.dirichlet(np.ones(C), 3)
    joint, log_p = likelihood * prior[:, None], torch.from_numpy(np.log(prior))
    own, _, free = predictions(torch.from_numpy(np.log(joint)), log_p)  # plainly trained: as it is, and corrected
    everybody, mine, _ = predictions(torch.from_numpy(np.log(likelihood)), log_p)  # balanced: as it is, and with prior
    assert (own.numpy() == joint.argmax(-1)).all() and (free.numpy() == likelihood.argmax(-1)).all()
    assert mine.equal(own) and everybody.equal(free) and not own.equal(free)


def targets(seed=0, classes=C):
    """Soft targets (2, M, classes), as two students hear them, some of which are nearly certain."""
    return torch.from_numpy(softmax(np.random.default_rng(seed).normal(0, 3, (2, M, classes)), axis=-1))


def test_sharpen_and_align_by_loops():
    q, gamma, kappa = targets(), 2.5, 0.5
    for s, u in np.ndindex(2, M):
        wanted = q[s, u].numpy() ** gamma
        np.testing.assert_allclose(sharpen(q, gamma)[s, u], wanted / wanted.sum(), rtol=0, atol=1e-12)
        wanted = q[s, u].numpy() * (1 / C / q[s].numpy().mean(0)) ** kappa
        np.testing.assert_allclose(align(q, kappa)[s, u], wanted / wanted.sum(), rtol=0, atol=1e-12)
    assert (entropy(sharpen(q, 2.0), axis=-1) < entropy(q, axis=-1)).all()
    assert sharpen(q, 1.0) is q and align(q, 0.0) is q  # today's targets, to the bit
    torch.testing.assert_close(sharpen(q, 0.0), torch.full_like(q, 1 / C))
    for way, dim in itertools.product((lambda each: sharpen(each, gamma), lambda each: align(each, kappa)), range(3)):
        torch.testing.assert_close(way(q.flip(dim)), way(q).flip(dim), rtol=0, atol=1e-12)
    for _ in range(300):  # again and again: classes become even
        q = align(q, kappa)
    torch.testing.assert_close(q.mean(-2), torch.full_like(q.mean(-2), 1 / C), rtol=0, atol=1e-6)
    torch.testing.assert_close(align(q * 0 + 1 / C, kappa), q * 0 + 1 / C)  # uniform answers stay


def test_align_of_one_image_and_of_classes_that_nobody_says():
    q, sure = targets(), torch.eye(C)[[0, 0, 1]][None]  # answers without any doubt
    one = align(q[:, :1], 1.0)  # of one image nothing is left: it is taken for what is always said
    torch.testing.assert_close(one, torch.full_like(one, 1 / C))
    for way in (sharpen(sure, 3.0), align(sure, 0.5), align(sure, 1.0)):
        torch.testing.assert_close(way, sure)


def test_mix_is_the_mean_of_neighbours():
    rng = np.random.default_rng(0)
    images, q, share = torch.from_numpy(rng.normal(size=(2, M, 1, 3, 3))), targets(), torch.tensor([0.3, 1.0]).double()
    x, p = mix(images, q, share)
    for b, u in np.ndindex(2, M):
        for found, each in ((x, images), (p, q)):
            wanted = share[b] * each[b, u] + (1 - share[b]) * each[b, u - 1]
            torch.testing.assert_close(found[b, u], wanted, rtol=0, atol=1e-12)
    assert x[1].equal(images[1]) and p[1].equal(q[1])  # all of itself
