"""Who has what: published counts and plain rewritings first, then what every split keeps, bad arguments last."""

import dataclasses
import hashlib
from itertools import product

import numpy as np
import pytest
import scipy.stats

from hfkd import paths
from hfkd.data import PARTITIONS, Dataset, datasets, load, partition, split
from hfkd.data.partition import apportion, dirichlet, draw_levels, level_dependent, pathological
from hfkd.streams import stream

LABELS = np.random.default_rng(0).permutation(np.repeat(np.arange(10), 150))
rng = np.random.default_rng


def table(labels, owner):
    """(N, C) counts, by counting (client, class) pairs."""
    counts = np.zeros((owner.max() + 1, labels.max() + 1), int)
    np.add.at(counts, (owner, labels), 1)
    return counts


def test_dirichlet_repeats_the_published_mnist_partition_exactly():
    file = paths.data_home() / datasets.FEDERATED
    if not file.is_file():
        pytest.skip(f"{file.name} is not in the data folder; set HFKD_DATA to check PFLlib's recipe")
    with np.load(file, allow_pickle=False) as archive:
        labels, client = archive["labels"].astype(int), archive["client"].astype(int)
    owner = dirichlet(labels, 20, .1, np.random.RandomState(1), 40)  # seed 1, skew .1, at least 40: HtFLlib's settings
    assert np.array_equal(table(labels, owner), table(labels, client))


def test_dirichlet_repeats_a_plain_writing_of_the_recipe_with_redraws():
    labels, clients, minimum, random = LABELS[:600], 8, 60, np.random.RandomState(5)
    smallest, tries = 0, 0
    while smallest < minimum:
        tries += 1
        lists = [[] for _ in range(clients)]
        for label in range(10):
            index = np.where(labels == label)[0]
            random.shuffle(index)
            p = random.dirichlet(np.repeat(.3, clients))
            p = np.array([x * (len(own) < len(labels) / clients) for x, own in zip(p, lists)])
            ends = [0, *(np.cumsum(p / p.sum()) * len(index)).astype(int)[:-1], len(index)]
            for i in range(clients):
                lists[i] += list(index[ends[i]:ends[i + 1]])
        smallest = min(map(len, lists))
    assert tries > 1  # otherwise the redraw is not tested
    owner = dirichlet(labels, clients, .3, np.random.RandomState(5), minimum)
    assert [sorted(own) for own in lists] == [np.flatnonzero(owner == i).tolist() for i in range(clients)]


def test_dirichlet_has_the_distribution_it_names():
    # two classes, where the cap takes nobody out of the first: the first client's share of it is Beta(a, (N-1) a)
    labels = np.repeat([0, 1], [100, 900])
    first = [np.mean(dirichlet(labels, 4, .7, rng(seed), 1)[:100] == 0) for seed in range(400)]
    assert abs(np.mean(first) - .25) < 4 * np.std(first) / 20  # four standard errors
    assert abs(np.var(first) - .25 * .75 / (4 * .7 + 1)) < .015  # the closed form of the variance
    # independence of class and client: at skew 1e6 the shares are 1/N to 3 digits, so the table is flatter than chance
    even = table(LABELS, dirichlet(LABELS, 5, 1e6, rng(0)))
    assert scipy.stats.chi2_contingency(even).pvalue > .99 and np.abs(even - 30).max() <= 2
    assert scipy.stats.chi2_contingency(table(LABELS, dirichlet(LABELS, 5, .1, rng(0)))).pvalue < 1e-12


def test_levels_are_the_largest_remainder_at_random():
    # 10 seats for 4.16, 3.38, 2.46 votes (by hand): 4 + 3 + 2, the last seat to the remainder .46
    assert apportion(10, [4.16, 3.38, 2.46]).tolist() == [4, 3, 3]
    for total in range(60):
        share = rng(total).dirichlet(np.ones(5))
        whole = apportion(total, share)
        assert whole.sum() == total and np.abs(whole - total * share).max() < 1
    draws = np.array([draw_levels(20, (.5, .3, .2), rng(seed)) for seed in range(2000)])
    assert (np.sort(draws, 1) == [1] * 10 + [2] * 6 + [3] * 4).all()
    # each client is at level 3 with probability .2: standard error .0089, five of them
    assert np.abs((draws == 3).mean(0) - .2).max() < 5 * np.sqrt(.2 * .8 / 2000)
    # every level present where N >= L
    assert sorted(draw_levels(3, (.9, .05, .05), rng(0))) == [1, 2, 3] and draw_levels(1, (.7, .3), rng(0)) == [1]
    assert set(draw_levels(6, (0., .9, .1), rng(0))) == {2, 3} and set(draw_levels(4, (0., 0., 1.), rng(0))) == {3}


@pytest.mark.parametrize("clients", [5, 7, 13, 20])
def test_pathological_has_two_classes_each_and_balanced_owners(clients):
    for seed in range(5):
        counts = table(LABELS, pathological(LABELS, clients, rng(seed)))
        owners = (counts > 0).sum(0)
        assert ((counts > 0).sum(1) == 2).all()
        assert owners.min() == clients * 2 // 10 and owners.max() == -(-clients * 2 // 10)
        assert set(counts[counts > 0]) <= {150 // k for k in owners} | {-(-150 // k) for k in owners}  # equal parts


@pytest.mark.parametrize("seed", range(20))
def test_dirichlet_is_capped_and_survives_shares_that_all_vanish(seed):
    # p = 0 once a client holds >= n/N: it passes n/N only by the class that takes it there, 150 samples (+10: rounding)
    assert np.bincount(dirichlet(LABELS, 6, .05, rng(seed), 1)).max() <= 1500 / 6 + 150 + 10
    for make in (rng, np.random.RandomState):  # at skew 1e-5 a draw is one-hot in floating point, or nan
        counts = table(LABELS, dirichlet(LABELS, 4, 1e-5, make(seed), 1))
        assert counts.sum() == 1500 and ((counts > 0).sum(0) == 1).all()  # each class to one client: the limit


def test_level_dependent_shares_and_milder_skew():
    levels = np.repeat([1, 2, 3], [10, 6, 4])
    sizes = np.bincount(level_dependent(LABELS, levels, .5, rng(0), minimum=10))
    assert [sizes[levels == level].sum() for level in (1, 2, 3)] == [300, 450, 750]  # .2, .3, .5 of 1500
    # with 4 clients and as many samples in each level only the concentration differs: .2, .4, .8
    labels, levels, spread = np.repeat(np.arange(10), 600), np.repeat([1, 2, 3], 4), []
    for seed in range(30):
        counts = table(labels, level_dependent(labels, levels, .2, rng(seed), 1, [1 / 3] * 3))
        spread.append(scipy.stats.entropy(counts, axis=1).reshape(3, 4).mean(1))
    assert (np.diff(np.mean(spread, 0)) > .1).all()
    # a level without clients gives its data to the others: 1500 * .2 / .7 = 428.57
    assert np.bincount(level_dependent(LABELS, np.array([1, 3, 3]), 5., rng(0), minimum=1))[0] == 429


def made(n=1200, n_classes=4, test=400):
    """A small data set: the first n - test samples for training, the rest the publisher's test part."""
    labels = rng(1).permutation(np.arange(n) % n_classes).astype(np.int64)
    return Dataset("made", np.zeros((n, 1, 2, 2), np.uint8), labels, n_classes, np.arange(n) >= n - test, "0")


BASE = dict(seed=3, clients=5, partition="dirichlet", skew=.5, public_size=100, balanced_size=40, minimum=20)


@pytest.mark.parametrize("name, test, pool", [*product(PARTITIONS, [0, 400], [None, 500])])
def test_sets_are_disjoint_complete_and_of_the_size_asked_for(name, test, pool):
    data = made(test=test)
    fed = split(data, **BASE | dict(partition=name, pool_size=pool))
    used = np.concatenate([fed.public, *fed.train, *fed.val, *fed.test, fed.balanced])
    assert len(np.unique(used)) == len(used) and len(fed.public) == 100
    # nothing is lost: without a test part all samples, with one the training part
    assert len(used) == 40 + (100 + pool if pool else 800 if test else 1160)
    assert np.bincount(data.labels[fed.balanced]).tolist() == [10] * 4
    assert data.is_test[fed.balanced].all() == bool(test) and data.is_test[used].sum() == (40 if test else 0)
    assert fed.counts.tolist() == [np.bincount(data.labels[index], minlength=4).tolist() for index in fed.train]
    assert sorted(fed.levels) == [1, 1, 1, 2, 3]  # 5 * (.5, .3, .2) = 2.5, 1.5, 1: floors 2, 1, 1, the tie to level 1
    for i, (train, val, own) in enumerate(zip(fed.train, fed.val, fed.test)):
        n = len(train) + len(val) + len(own)
        assert n >= 20 and len(val) == max(1, (len(train) + len(val)) // 10) and len(own) == int(n * .2 + 1e-9)
        if name == "pathological":  # and the own test set has the client's own distribution
            assert set(data.labels[own]) == set(np.flatnonzero(fed.counts[i])) and (fed.counts[i] > 0).sum() == 2
    assert {array.dtype for array in (fed.public, fed.balanced, fed.levels, fed.counts, *fed.train)} == {np.dtype("i8")}


def test_split_depends_on_seed_and_arguments_only():
    first = split(made(), **BASE)
    np.random.seed(0)  # the global generator has no say
    again, other = split(made(), **BASE), split(made(), **BASE | dict(seed=4))
    for field in dataclasses.fields(first):
        assert all(map(np.array_equal, getattr(first, field.name), getattr(again, field.name)))
    assert not np.array_equal(first.public, other.public) and not np.array_equal(first.balanced, other.balanced)
    # separate streams: another skew, pool or share moves neither the public set, nor the balanced set, nor the levels
    for change in (dict(skew=5.), dict(pool_size=600), dict(partition="pathological"), dict(val_share=0)):
        moved = split(made(), **BASE | change)
        assert np.array_equal(first.public, moved.public) and np.array_equal(first.balanced, moved.balanced)
        assert np.array_equal(first.levels, moved.levels) and not np.array_equal(first.counts, moved.counts)
    moved = split(made(), **BASE | dict(public_skew=.3))  # of the same size, of other classes; nothing else of a client
    held = [np.bincount(made().labels[own.public], minlength=4) for own in (first, moved)]
    assert held[0].sum() == held[1].sum() == 100 and held[0].max() < 40 < held[1].max()
    moved = split(made(), **BASE | dict(val_share=0))
    assert not any(map(len, moved.val)) and np.array_equal(first.test[0], moved.test[0])  # no validation split at all
    assert np.array_equal(first.levels, draw_levels(5, (.5, .3, .2), stream(3, "levels")))  # from their own stream


def test_split_of_digits_is_pinned():
    # no derivation: the value of the first run, kept so that a change of any stream or order is noticed
    fed = split(load("digits"), seed=0, clients=12, partition="dirichlet", skew=.1, public_size=300, balanced_size=300)
    arrays = (fed.balanced, fed.public, *fed.train, *fed.val, *fed.test, fed.levels)
    content = b"".join(array.astype("<i8").tobytes() for array in arrays)
    assert hashlib.sha256(content).hexdigest()[:16] == "b146f3a4c8a113cf"


@pytest.mark.parametrize("change, said", [
    ({"partition": "dirichlett"}, "unknown partition 'dirichlett'; expected one of dirichlet, pathological"),
    ({"clients": 0}, "clients is 0; expected an integer >= 1 and, with this data, <= 1200"),
    ({"clients": 5.}, "clients is 5.0"), ({"clients": 1201}, "clients is 1201"),
    ({"public_size": 0}, "public_size is 0"), ({"public_size": 801}, "public_size is 801; .* <= 800"),
    ({"pool_size": 701}, "pool_size is 701; .* <= 700"),
    ({"balanced_size": 42}, "balanced_size is 42; expected a multiple of the 4 classes"),
    ({"balanced_size": 0}, "balanced_size is 0; expected an integer >= 4"), ({"balanced_size": 404}, ".* <= 352"),
    ({"minimum": 0}, "minimum is 0"), ({"minimum": 141}, "minimum is 141; expected an integer >= 1 and, .* <= 140"),
    ({"minimum": 139, "skew": .01}, "10 draws with skew 0.01 left a client under 139 samples"),
    ({"minimum": 60, "partition": "level_dependent"}, "minimum is 60; .* <= 46"),
    ({"partition": "pathological", "clients": 1}, "clients is 1; expected an integer >= 2"),
    ({"partition": "pathological", "clients": 400}, "class . has .* samples for 200 clients; use fewer clients"),
    ({"partition": "pathological", "clients": 300}, "client .* has 2 samples, too few; expected fewer clients"),
])
def test_bad_arguments(change, said, monkeypatch):
    monkeypatch.setattr(partition, "TRIES", 10)
    with pytest.raises(ValueError, match=f"^{said}[^\n]*$"):
        split(made(), **BASE | change)


def test_labels_that_leave_one_out_are_refused():
    letters = dataclasses.replace(made(), labels=made().labels + 1, n_classes=5)
    with pytest.raises(ValueError, match=r"made has 4 labels in 1\.\.4 to test on; expected every label 0\.\.C-1"):
        split(letters, **BASE)
