"""Prior-free knowledge: properties of the weights W, of pooling, and of the two predictions."""

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, softmax

from hfkd.knowledge import POOLINGS, log_prior, pool, predictions, teaching_weights

S = T = 5
C, M = 4, 7


def group(seed=0):
    """A mask with everybody in its own row, counts with zeros, and log-posteriors (T, M, C)."""
    rng = np.random.default_rng(seed)
    mask = (rng.random((S, T)) < .5) | np.eye(S, dtype=bool)
    counts = rng.integers(0, 4, (T, C)) * rng.integers(0, 2, (T, C)) * 10
    counts[:, 3] = 0  # nobody has seen the last class
    return mask, counts, torch.from_numpy(log_softmax(rng.normal(0, 2, (T, M, C)), axis=-1))


def test_log_prior_by_hand():
    # (n + 1/2) / (8 + 4/2): 5.5, .5, 3.5, .5 of 10
    found = log_prior(np.array([[5, 0, 3, 0], [0, 0, 0, 0]]))
    np.testing.assert_allclose(found.exp(), [[.55, .05, .35, .05], [.25] * 4], rtol=0, atol=1e-15)
    assert found.dtype == torch.float64 and found.isfinite().all()
    many = log_prior(np.random.default_rng(0).integers(0, 99, (2, 3, C)))
    np.testing.assert_allclose(many.exp().sum(-1), np.ones((2, 3)), rtol=0, atol=1e-15)


def test_weights_by_hand():
    # student 0 hears 0 and 1, student 1 only itself; class 0: 30 and 10 samples, class 1: teacher 1, class 2: nobody
    counts = [[30, 0, 0], [10, 5, 0]]
    w = teaching_weights([[1, 1], [0, 1]], counts)
    np.testing.assert_allclose(w[0], [[.75, 0, .5], [.25, 1, .5]], rtol=0, atol=1e-15)
    np.testing.assert_allclose(w[1], [[0, 0, 0], [1, 1, 1]], rtol=0, atol=1e-15)
    squared, alike = (teaching_weights([[1, 1]], counts, power=power)[0] for power in (2, 0))
    np.testing.assert_allclose(squared[:, 0], [.9, .1], rtol=0, atol=1e-15)  # 900 : 100
    np.testing.assert_allclose(alike, [[.5, 0, .5], [.5, 1, .5]], rtol=0, atol=1e-15)


@pytest.mark.parametrize("power", [0.0, .5, 1.0, 2.0])
def test_weights_sum_to_one_over_teachers_and_stay_in_the_group(power):
    for seed in range(5):
        mask, counts, _ = group(seed)
        w = teaching_weights(mask, counts, power=power, revenue=np.random.default_rng(seed).uniform(-1, 1, (S, T)))
        np.testing.assert_allclose(w.sum(1), np.ones((S, C)), rtol=0, atol=1e-12)
        assert w.shape == (S, T, C) and w.dtype == torch.float64 and (w >= 0).all() and not w[~mask].any()


def test_without_a_sample_no_say_unless_nobody_has_one():
    for seed in range(5):
        mask, counts, _ = group(seed)
        w = teaching_weights(mask, counts).numpy()
        for s in range(S):
            for c in range(C):
                seen = mask[s] & (counts[:, c] > 0)
                wanted = np.where(seen, counts[:, c], 0) if seen.any() else mask[s]
                np.testing.assert_allclose(w[s, :, c], wanted / wanted.sum(), rtol=0, atol=1e-12)


def test_what_it_says_of_a_class_it_has_not_seen_is_not_heard():
    _, counts, log_p = group()
    counts[:, 2] = [10, 0, 10, 10, 10]
    changed = log_p.clone()
    changed[1, :, 2] -= 3.0  # teacher 1 has no sample of class 2
    w = teaching_weights(np.ones((S, T)), counts)
    for kind in POOLINGS:
        torch.testing.assert_close(pool(log_p, w, kind), pool(changed, w, kind), rtol=0, atol=1e-12)
    changed[0, :, 2] -= 3.0  # teacher 0 has
    for kind in POOLINGS:
        assert (pool(log_p, w, kind) - pool(changed, w, kind)).abs().max() > .01


def test_revenue_shifts_the_weights():
    # Rev = .5 against 0 at tau_R = .25: a factor exp(2) on the ratio of two teachers with equal counts
    w = teaching_weights([[1, 1]], [[7, 0], [7, 0]], revenue=[[.5, 0.0]], revenue_temperature=.25)
    np.testing.assert_allclose(w[0, 0] / w[0, 1], [np.exp(2)] * 2, rtol=1e-12)  # also where nobody has seen the class
    mask, counts, _ = group()
    for same in (np.zeros((S, T)), np.full((S, T), .7)):  # only differences count
        torch.testing.assert_close(teaching_weights(mask, counts, revenue=same), teaching_weights(mask, counts))


@pytest.mark.parametrize("kind", POOLINGS)
def test_identical_teachers_give_their_own_answer_back(kind):
    mask, counts, log_p = group()
    log_p = log_p[:1].expand(T, M, C)
    q = pool(log_p, teaching_weights(mask, counts), kind)
    torch.testing.assert_close(q, log_p[:1].exp().expand(S, M, C), rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", POOLINGS)
def test_order_of_teachers_does_not_matter(kind):
    mask, counts, log_p = group()
    order = np.array([3, 0, 4, 1, 2])
    q = pool(log_p, teaching_weights(mask, counts), kind)
    same = pool(log_p[order], teaching_weights(mask[:, order], counts[order]), kind)
    torch.testing.assert_close(q, same, rtol=0, atol=1e-12)
    moved = pool(log_p, teaching_weights(mask[order], counts), kind)  # and students only change places
    torch.testing.assert_close(q[order], moved, rtol=0, atol=1e-12)


def test_pooling_by_loops():
    mask, counts, log_p = group()
    w = teaching_weights(mask, counts)
    for kind in ("log", "arithmetic"):  # the others: test_robust
        q, said = pool(log_p, w, kind).numpy(), (log_p if kind == "log" else log_p.exp()).numpy()
        for s in range(S):
            for u in range(M):
                each = np.array([sum(float(w[s, t, c]) * said[t, u, c] for t in range(T)) for c in range(C)])
                wanted = softmax(each) if kind == "log" else each / each.sum()
                np.testing.assert_allclose(q[s, u], wanted, rtol=0, atol=1e-12)
        np.testing.assert_allclose(q.sum(-1), np.ones((S, M)), rtol=0, atol=1e-12)


def test_uniform_weights_are_the_consensus_of_fedmd():
    # the normalisation of log softmax is the same number for every class, so it falls out of the softmax of the mean
    logits = np.random.default_rng(3).normal(0, 3, (T, M, C))
    w = torch.full((S, T, C), 1 / T, dtype=torch.float64)
    q = pool(torch.from_numpy(log_softmax(logits, axis=-1)), w)
    np.testing.assert_allclose(q[2], softmax(logits.mean(0), axis=-1), rtol=0, atol=1e-12)
    q = pool(torch.from_numpy(log_softmax(logits, axis=-1)), w, "arithmetic")
    np.testing.assert_allclose(q[2], softmax(logits, axis=-1).mean(0), rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", POOLINGS)
def test_leading_axes(kind):
    sets = [group(seed) for seed in range(3)]
    weights = torch.stack([teaching_weights(mask, counts) for mask, counts, _ in sets])
    together = pool(torch.stack([log_p for _, _, log_p in sets]), weights, kind)
    apart = torch.stack([pool(log_p, w, kind) for (_, _, log_p), w in zip(sets, weights)])
    torch.testing.assert_close(together, apart, rtol=0, atol=1e-12)
    one_w = pool(torch.stack([log_p for _, _, log_p in sets]), weights[0], kind)  # one W for all
    torch.testing.assert_close(one_w[0], apart[0], rtol=0, atol=1e-12)


def test_the_answer_has_the_type_of_the_speech():
    mask, counts, log_p = group()
    assert pool(log_p.float(), teaching_weights(mask, counts)).dtype == torch.float32


def test_predictions_of_both_trainings():
    prior = torch.tensor([.7, .2, .1]).log()
    logits = torch.tensor([[0.0, 1.0, .9], [0.0, 2.0, 0.0], [0.0, 0.0, 3.0]])
    # + log prior: (-.36, -.61, -1.40), (-.36, .39, -2.30), (-.36, -1.61, .70)
    own, free = predictions(logits, prior, balanced=True)
    assert own.tolist() == [0, 1, 2] and free.tolist() == [1, 1, 2]
    # - log prior: (.36, 2.61, 3.20), (.36, 3.61, 2.30), (.36, 1.61, 5.30)
    own, free = predictions(logits, prior, balanced=False)
    assert own.tolist() == [1, 1, 2] and free.tolist() == [2, 1, 2]


def test_both_trainings_meet_in_the_posterior_of_bayes():
    # given p(x|y): a plainly trained network says log p(y) p(x|y), a balanced one log p(x|y); the predictions agree
    rng = np.random.default_rng(5)
    likelihood, prior = rng.dirichlet(np.ones(C), (3, 50)), rng.dirichlet(np.ones(C), 3)
    joint = torch.from_numpy(np.log(likelihood * prior[:, None]))
    plain = predictions(joint, torch.from_numpy(np.log(prior)), balanced=False)
    balanced = predictions(torch.from_numpy(np.log(likelihood)), torch.from_numpy(np.log(prior)), balanced=True)
    for own, free in (plain, balanced):
        assert own.equal(torch.from_numpy((likelihood * prior[:, None]).argmax(-1)))
        assert free.equal(torch.from_numpy(likelihood.argmax(-1))) and not own.equal(free)


def test_bad_input():
    with pytest.raises(ValueError, match=r"students \[1\] listen to nobody"):
        teaching_weights([[1, 1], [0, 0]], [[1, 2], [3, 4]])
    mask, counts, log_p = group()
    with pytest.raises(ValueError, match="pooling is 'mode'; expected one of log, arithmetic, median, trimmed"):
        pool(log_p, teaching_weights(mask, counts), "mode")
