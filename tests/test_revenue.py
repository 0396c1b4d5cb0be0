"""Revenue against scikit-learn, its running mean in a federation, and how it enters the weights W."""

import itertools

import numpy as np
import pytest
import torch
from scenes import N, begun
from scipy.special import log_softmax
from sklearn.metrics import log_loss

from hfkd.engine import faults, signals, state
from hfkd.revenue import KEEP, class_losses, labelled, running, weighed

S, T, M, C = 3, 4, 30, 5


def drawn(absent=()):
    """Log-posteriors (T, M, C), labels (M,) without the absent classes, and label shares (S, C)."""
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.resize([c for c in range(C) if c not in absent], M))
    log_p = log_softmax(rng.normal(0, 2, (T, M, C)), axis=-1)
    return torch.from_numpy(log_p), torch.from_numpy(labels), rng.dirichlet(np.ones(C), S)


def loss(p, labels, share):
    """scikit-learn's log loss, each class with that share of all, however many images it has."""
    importance = (share / np.bincount(labels, minlength=len(share)))[labels]
    return log_loss(labels, p / p.sum(1, keepdims=True), labels=range(len(share)), sample_weight=importance)


@pytest.mark.parametrize("absent", [(), (1,), (0, 2, 3)])
def test_weighed_class_losses_are_an_importance_weighted_log_loss(absent):
    log_p, labels, shares = drawn(absent)
    by_class = class_losses(log_p, labels)
    found = weighed(by_class, shares)
    with np.errstate(divide="ignore"):
        for s, t in itertools.product(range(S), range(T)):
            assert found[s, t] == pytest.approx(loss(log_p[t].exp().numpy(), labels.numpy(), shares[s]), rel=1e-12)
    again = torch.cat([torch.arange(M), *[(labels == 4).nonzero().flatten()] * 3])  # a class four times: no difference
    np.testing.assert_allclose(weighed(class_losses(log_p[:, again], labels[again]), shares), found, rtol=1e-12)


def test_class_losses_by_hand_and_what_is_impossible_or_absent():
    # class 0: -(ln .5 + ln .25)/2, class 2: -ln .1, class 1: no image; a probability of 0 elsewhere does not matter
    p = torch.tensor([[0.5, 0.5, 0], [0.25, 0.75, 0], [0.9, 0, 0.1]], dtype=torch.float64)
    found = class_losses(p.log(), torch.tensor([0, 0, 2])).numpy()
    np.testing.assert_allclose(found, [-(np.log(0.5) + np.log(0.25)) / 2, np.nan, -np.log(0.1)], rtol=1e-12)
    with pytest.raises(ValueError, match=r"clients \[1, 3\] hold no class of the public images"):
        weighed(found[None], [[0.5, 0.5, 0], [0, 1, 0], [0, 0.9, 0.1], [0, 1, 0]])


def test_labelled_by_hand_clipped_and_without_a_scale():
    # (2 - L)/2: oneself earns nothing, a perfect member everything, and nobody loses more than all: -3.5 is cut to -1
    assert labelled([[2, 1.5, 1, 0, 3, 9]], [2]).tolist() == [[0, 0.25, 0.5, 1, -0.5, -1]]
    assert labelled([[0, 0.1, 5]], [0]).tolist() == [[0, -1, -1]]  # who has no loss can only lose
    rng = np.random.default_rng(1)
    losses, own = 10 ** rng.uniform(-3, 3, (S, 50)), 10 ** rng.uniform(-3, 3, S)
    found = labelled(losses, own)
    assert found.min() == -1 and (np.sign(found) == np.sign(own[:, None] - losses)).all()
    np.testing.assert_allclose(labelled(7 * losses, 7 * own), found, rtol=1e-12, atol=1e-15)
    value, known = np.zeros(2), np.array([True, False])
    for now, wanted in ((1.0, 0.3), (1.0, 0.51), (-1.0, 0.057)):  # the running mean: .7 x .3 + .3, .7 x .51 - .3
        value = running(value, np.array([now, np.nan]), known)
        assert value == pytest.approx([wanted, 0])


@pytest.mark.parametrize("dial", [1.0, 0.3])
def test_what_everybody_would_have_saved_everybody_by_scikit_learn(dial):
    more = dict(revenue="labelled", refresh=2, public_labels=True, public_size=100, revenue_personality=dial)
    config, _, fed = begun(**more)
    said = state.speak(fed, config, 1)
    arrived, none = said.roll(1, -1), np.zeros((2, N), bool)  # others hear something else than what is thought
    absent, links = none.copy(), np.ones((2, N, N), bool)
    absent[0, 3], links[:, :, 5], fed.revenue[:] = True, False, 0.5
    present = faults.Presence(absent, none, ~none, ~none)
    found = signals.earned(fed, config, said, arrived, links, present, 1)
    for z, s, t in np.ndindex(2, N, N):
        own, labels = fed.splits[z], fed.labels[fed.splits[z].public].numpy()
        share = dial * own.counts[s] / own.counts[s].sum() + (1 - dial) / 10
        mine, theirs = (loss(p[z, i].exp().double().numpy(), labels, share) for p, i in ((said, s), (arrived, t)))
        unknown = s == t or t == 5 or absent[z, s]  # oneself, who has sent nothing, who is not there to measure
        wanted = 0.5 if unknown else KEEP * 0.5 + (1 - KEEP) * max(-1, (mine - theirs) / mine)
        assert found[z, s, t] == pytest.approx(wanted, abs=1e-5)
