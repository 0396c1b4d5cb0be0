"""Revenue against scikit-learn, Shapley against all permutations, and the bookkeeping of a round by hand."""

import itertools

import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from sklearn.metrics import log_loss

from hfkd import revenue
from hfkd.knowledge import pool
from hfkd.revenue import KEEP, LARGEST, RULES, class_losses, coalitions, gate, labelled, realised, running, shapley
from hfkd.revenue import weighed

S, T, M, C = 3, 4, 30, 5


def drawn(seed=0, absent=()):
    """Log-posteriors (T, M, C), labels (M,) without the absent classes, and label shares (S, C)."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.resize([c for c in range(C) if c not in absent], M))
    log_p = log_softmax(rng.normal(0, 2, (T, M, C)), axis=-1)
    return torch.from_numpy(log_p), torch.from_numpy(labels), rng.dirichlet(np.ones(C), S)


def by_permutations(worth, players):
    """Mean over all orders of arrival of what each player adds; a coalition is a sum of powers of 2."""
    value, orders = np.zeros(players), list(itertools.permutations(range(players)))
    for order in orders:
        row = 0
        for player in order:
            value[player] += (worth[row + 2**player] - worth[row]) / len(orders)
            row += 2**player
    return value


def test_every_rule_is_named():
    assert set(RULES) == {"none", "labelled", "realised", "shapley"}
    assert all(callable(getattr(revenue, rule)) for rule in set(RULES) - {"none"})


@pytest.mark.parametrize("absent", [(), (1,), (0, 2, 3)])
def test_weighed_class_losses_are_an_importance_weighted_log_loss(absent):
    log_p, labels, shares = drawn(absent=absent)
    found = weighed(class_losses(log_p, labels), shares)
    images = np.bincount(labels, minlength=C)
    for s, t in itertools.product(range(S), range(T)):
        importance = shares[s][labels] / images[labels]
        wanted = log_loss(labels, log_p[t].exp(), labels=range(C), sample_weight=importance)
        assert found[s, t] == pytest.approx(wanted, rel=1e-12)


def test_class_losses_by_hand_and_nan_for_a_class_without_an_image():
    # class 0: -(ln .5 + ln .25)/2, class 2: -ln .1, class 1: no image
    p = torch.tensor([[.5, .3, .2], [.25, .5, .25], [.8, .1, .1]], dtype=torch.float64)
    found = class_losses(p.log(), torch.tensor([0, 0, 2])).numpy()
    np.testing.assert_allclose(found, [-(np.log(.5) + np.log(.25)) / 2, np.nan, -np.log(.1)], rtol=1e-12)


def test_a_class_that_is_duplicated_in_the_public_set_changes_nothing():
    log_p, labels, shares = drawn()
    again = torch.cat([torch.arange(M), *[torch.nonzero(labels == 2).flatten()] * 3])
    once, often = (weighed(class_losses(log_p[:, rows], labels[rows]), shares) for rows in (torch.arange(M), again))
    np.testing.assert_allclose(often, once, rtol=1e-12)


def test_only_classes_of_the_listener_count():
    log_p, labels, _ = drawn()
    by_class = class_losses(log_p, labels).numpy()
    np.testing.assert_allclose(weighed(by_class, np.eye(C)), by_class.T, rtol=1e-12)
    spoilt = by_class.copy()
    spoilt[1, 4] = 99  # of no interest to whoever has no image of class 4
    assert weighed(spoilt, [[.5, .5, 0, 0, 0]]).tolist() == weighed(by_class, [[.5, .5, 0, 0, 0]]).tolist()


def test_losses_of_one_listener_each_are_the_diagonal_case():
    log_p, labels, shares = drawn(absent=(3,))
    by_class = class_losses(log_p, labels).numpy()
    np.testing.assert_allclose(weighed(np.stack([by_class] * S), shares), weighed(by_class, shares), rtol=1e-12)
    scaled = np.stack([by_class * (s + 1) for s in range(S)])
    np.testing.assert_allclose(weighed(scaled, shares), weighed(by_class, shares) * [[1], [2], [3]], rtol=1e-12)


def test_a_listener_without_a_public_class_is_named():
    by_class = [[1.0, np.nan, 2.0]]
    with pytest.raises(ValueError, match=r"clients \[1, 3\] hold no class of the public images"):
        weighed(by_class, [[.5, .5, 0], [0, 1, 0], [0, .9, .1], [0, 1, 0]])
    assert weighed(by_class, [[.5, .5, 0], [0, .9, .1]]).tolist() == [[1], [2]]


def test_labelled_by_hand_oneself_earns_nothing_and_a_perfect_member_everything():
    # (2 - L)/2, and nobody loses more than all: -3.5 is cut to -1
    assert labelled([[2, 1.5, 1, 0, 3, 9]], [2]).tolist() == [[0, .25, .5, 1, -.5, -1]]
    log_p, labels, shares = drawn()
    log_p[1] = -99.0
    log_p[1, torch.arange(M), labels] = 0.0  # speaker 1 knows
    losses = weighed(class_losses(log_p, labels), shares)
    found = labelled(losses, losses[:, 0])
    assert not found[:, 0].any() and (found[:, 1] == 1).all() and (np.abs(found) <= 1).all()


def test_labelled_is_clipped_rewards_the_better_and_has_no_scale():
    rng = np.random.default_rng(1)
    losses, own = 10 ** rng.uniform(-3, 3, (S, 50)), 10 ** rng.uniform(-3, 3, S)
    found = labelled(losses, own)
    assert (found >= -1).all() and (found <= 1).all() and (found == -1).any()
    np.testing.assert_array_equal(np.sign(found), np.sign(own[:, None] - losses))
    order = np.argsort(losses, axis=1)
    assert (np.diff(np.take_along_axis(found, order, 1), axis=1) <= 0).all()
    np.testing.assert_allclose(labelled(7 * losses, 7 * own), found, rtol=1e-12, atol=1e-15)


def test_a_listener_without_loss_earns_nothing():
    assert labelled([[0, .1, 5]], [0]).tolist() == [[0, -1, -1]]


def test_realised_splits_the_relative_drop_by_say():
    share = np.random.default_rng(0).dirichlet(np.ones(T), 4)
    found = realised([2, 1, 1, 4], [1, 1, 1.5, 0], share)
    np.testing.assert_allclose(found.sum(1), [.5, 0, -.5, 1], rtol=0, atol=1e-12)
    np.testing.assert_allclose(found[0] / found[0].sum(), share[0], rtol=1e-12)
    assert realised([1], [9], [[.75, .25]]).tolist() == [[-.75, -.25]]  # nobody loses more than all


def test_realised_gives_no_credit_where_nothing_is_known():
    assert not realised([np.nan, 1, np.nan, 0], [1, np.nan, np.nan, 1], np.full((4, 2), .5)).any()


def test_coalitions_are_all_subsets_in_binary_order():
    for k in range(LARGEST + 1):
        inside = coalitions(k)
        assert inside.shape == (2**k, k) and inside.dtype == bool
        assert (inside @ 2 ** np.arange(k) == np.arange(2**k)).all()


@pytest.mark.parametrize("players", range(1, LARGEST + 1))
def test_shapley_is_the_mean_over_permutations_and_sums_to_the_total(players):
    worth = np.random.default_rng(players).normal(size=2**players)
    found = shapley(worth)
    np.testing.assert_allclose(found, by_permutations(worth, players), rtol=0, atol=1e-12)
    assert found.sum() == pytest.approx(worth[-1] - worth[0], abs=1e-12)


def test_shapley_axioms():
    rng = np.random.default_rng(0)
    one, two, inside = rng.normal(size=32), rng.normal(size=32), coalitions(5)
    np.testing.assert_allclose(shapley(2 * one - 3 * two), 2 * shapley(one) - 3 * shapley(two), rtol=0, atol=1e-12)
    own = np.array([.1, 0, -.4, .2, .5])  # nobody interacts: each earns its own worth, the dummy 1 nothing
    np.testing.assert_allclose(shapley(inside @ own), own, rtol=0, atol=1e-12)
    dummy = one[np.arange(32) & ~4]  # the worth with player 2 is the worth without it
    assert shapley(dummy)[2] == 0
    by_size = rng.normal(size=6)[inside.sum(1)]  # all equal
    np.testing.assert_allclose(shapley(by_size), np.full(5, (by_size[-1] - by_size[0]) / 5), rtol=0, atol=1e-12)
    assert shapley([3.0]).tolist() == [] and shapley([1.0, 4.0]).tolist() == [3]


def test_shapley_of_a_pooled_target_pays_copies_alike():
    log_p, labels, shares = drawn()
    log_p[3] = log_p[1]
    inside = torch.from_numpy(coalitions(T)[1:]).double()  # who is pooled, with equal say
    q = pool(log_p, (inside / inside.sum(1, keepdim=True))[:, :, None].expand(-1, -1, C))
    losses = weighed(class_losses(q.log(), labels), shares)
    for s in range(S):
        worth = np.append(0.0, labelled(losses[[s]], losses[[s], 0])[0])  # relative to the loss of speaker 0
        found = shapley(worth)
        assert found[1] == pytest.approx(found[3], abs=1e-12) and found.sum() == pytest.approx(worth[-1], abs=1e-12)


def test_large_or_incomplete_groups_are_refused():
    sentence = "a group has 7 partners; the exact Shapley value is computed for up to 6"
    with pytest.raises(ValueError, match=sentence):
        coalitions(7)
    with pytest.raises(ValueError, match=sentence):
        shapley(np.zeros(2**7))
    for length in (0, 3, 63):
        with pytest.raises(ValueError, match=rf"worth has {length} entries; expected 2\^k"):
            shapley(np.zeros(length))


def test_running_mean_by_hand_and_what_is_unknown_keeps_its_place():
    value, known, seen = np.zeros(2), np.array([True, False]), []
    for now in (1.0, 1.0, -1.0):
        value = running(value, np.array([now, np.nan]), known)
        seen.append(value[0])
    assert seen == pytest.approx([.3, .51, .057]) and value[1] == 0  # .7 x .3 + .3, .7 x .51 - .3
    before, now = np.random.default_rng(0).uniform(-1, 1, (2, S, T))
    np.testing.assert_allclose(running(before, now, np.ones(T, bool)), KEEP * before + .3 * now, rtol=1e-12)
    assert np.abs(running(np.ones((S, T)), np.ones((S, T)), np.ones(T, bool))).max() <= 1


def test_gate_counts_resets_and_waits():
    # listeners: harmed by all; helped by the pooled target only; by a member only; one who has heard nobody
    members, pooled = [[0, -.2], [-.1, 0], [.1, -.9], [0, 0]], [-.1, .1, -.5, 0]
    known, strikes = np.array([True, True, True, False]), np.array([0, 1, 2, 1])
    strikes = gate(members, pooled, strikes, known)
    assert strikes.tolist() == [1, 0, 0, 1] and np.issubdtype(strikes.dtype, np.integer)
    assert gate(members, pooled, strikes, known).tolist() == [2, 0, 0, 1]
    assert gate([[0, 0]], [0], np.array([1]), np.array([True])).tolist() == [2]  # no harm is not yet good
    assert gate([[np.nan, 0]], [np.nan], np.array([0]), np.array([True])).tolist() == [1]
