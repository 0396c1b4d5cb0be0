"""Robust pooling: weighted medians and trimmed means against copies of the teachers, and what a minority can do."""

import numpy as np
import pytest
import torch
from scipy.special import softmax
from scipy.stats import trim_mean

from hfkd import knowledge
from hfkd.knowledge import TRIM, pool, teaching_weights, without

S, T, M, C = 3, 6, 4, 5


def group(seed=0, copies=10):
    """Whole numbers of copies (S, T, C) that sum to `copies` for each student and class, and answers."""
    rng = np.random.default_rng(seed)
    times = rng.multinomial(copies, [.3, .3, .2, .1, .1, 0], (S, C)).transpose(0, 2, 1)
    return times, torch.from_numpy(rng.dirichlet(np.ones(C), (T, M))).log()


@pytest.mark.parametrize(("kind", "middle"), [("median", np.median), ("trimmed", lambda x: trim_mean(x, TRIM))])
@pytest.mark.parametrize("seed", range(5))
def test_weights_are_copies_of_a_teacher(kind, middle, seed):
    times, log_p = group(seed)
    q = pool(log_p, torch.from_numpy(times / 10), kind).numpy()
    for s, u in np.ndindex(S, M):
        each = [middle(np.repeat(log_p[:, u, c].numpy(), times[s, :, c])) for c in range(C)]
        np.testing.assert_allclose(q[s, u], softmax(each), rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", ["median", "trimmed"])
def test_blocks_and_leading_axes_change_nothing(kind, monkeypatch):
    sets = [group(seed) for seed in range(2)]
    w, log_p = torch.stack([torch.from_numpy(t / 10) for t, _ in sets]), torch.stack([p for _, p in sets])
    whole = pool(log_p, w, kind)
    monkeypatch.setattr(knowledge, "BLOCK", 1)
    assert pool(log_p, w, kind).allclose(whole, rtol=0, atol=1e-15) and whole.shape == (2, S, M, C)
    for z in range(2):
        assert pool(log_p[z], w[z], kind).allclose(whole[z], rtol=0, atol=1e-15)
    assert pool(log_p.float(), w, kind).dtype == torch.float32


@pytest.mark.parametrize(("kind", "share"), [("median", .49), ("trimmed", TRIM)])
def test_a_minority_by_weight_cannot_leave_the_range_of_the_others(kind, share):
    _, log_p = group()
    w = torch.full((1, T, C), (1 - share) / (T - 1), dtype=torch.float64)
    w[:, 2] = share
    others = torch.cat([log_p[:2], log_p[3:]])
    for lie in (-1e6, 1e6):
        log_p[2] = lie
        q = pool(log_p, w, kind)[0]
        ratio, low, high = q[:, :1].log() - q.log(), others.amin(0), others.amax(0)
        assert (ratio <= high[:, :1] - low + 1e-9).all() and (ratio >= low[:, :1] - high - 1e-9).all()
    log_p[2, :, 0] = -1e6
    assert pool(log_p, w, "log")[0, :, 0].max() == 0 and pool(log_p, w, kind)[0, :, 0].min() > 0


def test_between_trimming_nothing_and_everything(monkeypatch):
    times, log_p = group()
    w = torch.from_numpy(times / 10)
    monkeypatch.setattr(knowledge, "TRIM", 0.0)
    torch.testing.assert_close(pool(log_p, w, "trimmed"), pool(log_p, w, "log"), rtol=0, atol=1e-12)
    monkeypatch.setattr(knowledge, "TRIM", .4999999)
    torch.testing.assert_close(pool(log_p, w, "trimmed"), pool(log_p, w, "median"), rtol=0, atol=1e-6)


def test_weights_without_some_by_loops():
    rng = np.random.default_rng(1)
    mask = rng.random((7, 7)) < .6
    np.fill_diagonal(mask, True)
    counts = rng.integers(0, 3, (7, C))
    w, gone = teaching_weights(mask, counts), rng.random((7, 7)) < .6
    gone[2] = True  # everybody, itself too
    found = without(w, mask, gone).numpy()
    for s, c in np.ndindex(7, C):
        left = [t for t in range(7) if mask[s, t] and not gone[s, t]] or [s]
        own = np.array([w[s, t, c] * (not gone[s, t]) for t in range(7)])
        wanted = own / own.sum() if own.sum() else np.isin(np.arange(7), left) / len(left)
        np.testing.assert_allclose(found[s, :, c], wanted, rtol=0, atol=1e-12)
    assert without(w, mask, np.zeros((7, 7), bool)).allclose(w, rtol=0, atol=1e-15)
