"""Partition schemes: published counts and closed forms first, then invariants of every scheme, bad input last."""

import numpy as np
import pytest
import scipy.stats

from hfkd import paths
from hfkd.schemes import dirichlet, level_dependent, pathological, quantity
from hfkd.shares import apportion, draw_levels

MNIST = "mnist_dirichlet01_20clients.npz"
LABELS = np.random.default_rng(0).permutation(np.repeat(np.arange(10), 150))


def rng(seed=0):
    return np.random.default_rng(seed)


def table(labels, owner):
    """(N, C) counts, by counting (client, class) pairs."""
    counts = np.zeros((owner.max() + 1, labels.max() + 1), int)
    np.add.at(counts, (owner, labels), 1)
    return counts


# ---- against independent oracles

def test_dirichlet_repeats_the_published_mnist_partition_exactly():
    file = paths.data_home() / MNIST
    if not file.is_file():
        pytest.skip(f"{MNIST} is not in the data folder; set HFKD_DATA to check PFLlib's recipe")
    with np.load(file, allow_pickle=False) as archive:
        labels, client = archive["labels"].astype(int), archive["client"].astype(int)
    owner = dirichlet(labels, 20, .1, np.random.RandomState(1), 40)  # seed 1, skew .1, at least 40: HtFLlib's settings
    assert np.array_equal(table(labels, owner), table(labels, client))


def test_dirichlet_repeats_a_plain_writing_of_the_recipe_with_redraws():
    labels, clients, minimum = LABELS[:600], 8, 60
    random = np.random.RandomState(5)
    smallest, tries = 0, 0
    while smallest < minimum:
        tries += 1
        lists = [[] for _ in range(clients)]
        for label in range(10):
            index = np.where(labels == label)[0]
            random.shuffle(index)
            p = random.dirichlet(np.repeat(.3, clients))
            p = np.array([x * (len(own) < len(labels) / clients) for x, own in zip(p, lists)])
            p = p / p.sum()
            ends = [0, *(np.cumsum(p) * len(index)).astype(int)[:-1], len(index)]
            for i in range(clients):
                lists[i] += list(index[ends[i]:ends[i + 1]])
        smallest = min(map(len, lists))
    assert tries > 1  # otherwise the redraw is not tested
    owner = dirichlet(labels, clients, .3, np.random.RandomState(5), minimum)
    assert [sorted(own) for own in lists] == [np.flatnonzero(owner == i).tolist() for i in range(clients)]


def test_a_large_skew_is_nearly_iid_and_a_small_one_is_not():
    # independence of class and client: at skew 1e6 the shares are 1/N to 3 digits, so the table is flatter than chance
    even = table(LABELS, dirichlet(LABELS, 5, 1e6, rng()))
    assert scipy.stats.chi2_contingency(even).pvalue > .99 and np.abs(even - 30).max() <= 2
    uneven = table(LABELS, dirichlet(LABELS, 5, .1, rng()))
    assert scipy.stats.chi2_contingency(uneven).pvalue < 1e-12


def test_quantity_has_dirichlet_sizes_and_one_label_distribution():
    # the first client's share above the minimum is Beta(skew, (N-1) skew): Kolmogorov-Smirnov over 400 draws
    first = [np.mean(quantity(np.zeros(4000, int), 4, .7, rng(seed), 1) == 0) for seed in range(400)]
    assert scipy.stats.kstest(first, scipy.stats.beta(.7, 3 * .7).cdf).pvalue > .01
    counts = table(LABELS, quantity(LABELS, 6, .5, rng(), 100))
    assert scipy.stats.chi2_contingency(counts).pvalue > .001 and counts.sum(1).min() >= 100


def test_apportion_is_the_largest_remainder():
    # 10 seats for 4.16, 3.38, 2.46 votes (by hand): 4 + 3 + 2, the last seat to the remainder .46
    assert apportion(10, [4.16, 3.38, 2.46]).tolist() == [4, 3, 3]
    assert apportion(20, (.5, .3, .2)).tolist() == [10, 6, 4] and apportion(100, (.2, .3, .5)).tolist() == [20, 30, 50]
    for total in range(60):
        share = rng(total).dirichlet(np.ones(5))
        whole = apportion(total, share)
        assert whole.sum() == total and np.abs(whole - total * share).max() < 1


def test_levels_are_a_permutation_of_a_fixed_composition():
    draws = np.array([draw_levels(20, (.5, .3, .2), rng(seed)) for seed in range(2000)])
    assert (np.sort(draws, 1) == [1] * 10 + [2] * 6 + [3] * 4).all()
    # each client is at level 3 with probability .2: standard error .0089, five of them
    assert np.abs((draws == 3).mean(0) - .2).max() < 5 * np.sqrt(.2 * .8 / 2000)
    assert sorted(draw_levels(3, (.9, .05, .05), rng())) == [1, 2, 3]  # every level present where N >= L
    assert draw_levels(1, (.5, .3, .2), rng()).tolist() == [1]


# ---- invariants

SCHEMES = {
    "dirichlet": lambda r: dirichlet(LABELS, 8, .3, r, 30),
    "pathological": lambda r: pathological(LABELS, 8, 3, r),
    "quantity": lambda r: quantity(LABELS, 8, .3, r, 30),
    "level_dependent": lambda r: level_dependent(LABELS, np.array([1, 3, 1, 2, 1, 1, 2, 3]), .5, r, minimum=30),
}


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
def test_every_sample_has_one_owner_and_the_draw_is_repeatable(scheme):
    owner = scheme(rng(4))
    assert owner.shape == LABELS.shape and owner.dtype == np.int64
    assert np.unique(owner).tolist() == list(range(8)) and np.bincount(owner).min() >= 30
    assert np.array_equal(owner, scheme(rng(4))) and not np.array_equal(owner, scheme(rng(5)))
    assert np.bincount(scheme(np.random.RandomState(4))).min() >= 30  # the old generator does as well


def test_dirichlet_caps_a_client_at_its_even_share_plus_one_class():
    # p = 0 once a client holds >= n/N: it passes n/N only by the class that takes it there, 150 samples (+10: rounding)
    for seed in range(50):
        assert np.bincount(dirichlet(LABELS, 6, .05, rng(seed), 1)).max() <= 1500 / 6 + 150 + 10


@pytest.mark.parametrize("make", [np.random.default_rng, np.random.RandomState])
def test_dirichlet_survives_shares_that_all_vanish(make):
    # at skew 1e-5 a draw is one-hot in floating point (RandomState: nan), so the cap soon leaves nothing
    for seed in range(20):
        counts = table(LABELS, dirichlet(LABELS, 4, 1e-5, make(seed), 1))
        assert counts.sum() == 1500 and ((counts > 0).sum(0) == 1).all()  # each class to one client: the limit


def test_pathological_has_k_classes_each_and_balanced_owners():
    for clients, k in [(8, 3), (10, 1), (5, 2), (20, 2), (7, 10), (13, 4)]:
        for seed in range(5):
            has = table(LABELS, pathological(LABELS, clients, k, rng(seed))) > 0
            assert (has.sum(1) == k).all()
            assert has.sum(0).min() == clients * k // 10 and has.sum(0).max() == -(-clients * k // 10)
    even = table(LABELS, pathological(LABELS, 20, 2, rng()))  # 4 owners of each class of 150: 37 or 38 each
    assert set(even[even > 0]) == {37, 38}


def test_level_dependent_shares_and_milder_skew():
    levels = np.repeat([1, 2, 3], [10, 6, 4])
    sizes = np.bincount(level_dependent(LABELS, levels, .5, rng(), minimum=10))
    assert [sizes[levels == level].sum() for level in (1, 2, 3)] == [300, 450, 750]  # .2, .3, .5 of 1500
    # with 4 clients and as many samples in each level only the concentration differs: .2, .4, .8
    labels, levels = np.repeat(np.arange(10), 600), np.repeat([1, 2, 3], 4)
    spread = []
    for seed in range(30):
        counts = table(labels, level_dependent(labels, levels, .2, rng(seed), (1 / 3, 1 / 3, 1 / 3), 1))
        entropy = scipy.stats.entropy(counts, axis=1)
        spread.append([entropy[levels == level].mean() for level in (1, 2, 3)])
    assert (np.diff(np.mean(spread, 0)) > .1).all()
    # a level without clients gives its data to the others
    two = np.bincount(level_dependent(LABELS, np.array([1, 3, 3]), 5., rng(), minimum=1))
    assert two[0] == 429 and two.sum() == 1500  # 1500 * .2 / .7 = 428.57


# ---- bad input

def test_schemes_refuse_bad_labels_and_levels():
    for wrong in (LABELS.astype(float), LABELS - 1, LABELS[None]):
        with pytest.raises(ValueError, match="labels have shape"):
            dirichlet(wrong, 5, .5, rng())
    with pytest.raises(ValueError, match="levels reach from 0 to 1"):
        level_dependent(LABELS, np.array([0, 1]), .5, rng())
    with pytest.raises(ValueError, match="levels reach from 1 to 4, but level_data has 3 shares"):
        level_dependent(LABELS, np.array([1, 4]), .5, rng())
