"""The split of a data set: who has what is disjoint, complete and repeatable; bad arguments last."""

import dataclasses
import hashlib

import numpy as np
import pytest

from hfkd import schemes
from hfkd.data import Dataset, load
from hfkd.partition import PARTITIONS, draw_levels, natural, split
from hfkd.streams import stream


def made(n=1200, n_classes=4, test=400, clients=None):
    """A small data set: the first n - test samples for training, the rest the publisher's test part."""
    labels = np.random.default_rng(1).permutation(np.arange(n) % n_classes).astype(np.int64)
    owner = None if clients is None else np.random.default_rng(2).integers(0, clients, n)
    return Dataset("made", np.zeros((n, 1, 2, 2), np.uint8), labels, n_classes, np.arange(n) >= n - test, "0", owner)


BASE = dict(seed=3, clients=5, partition="dirichlet", skew=.5, public_size=100, balanced_size=40, minimum=20)


def everything(fed):
    return np.concatenate([fed.public, *fed.train, *fed.val, *fed.test])


@pytest.mark.parametrize("partition", PARTITIONS)
@pytest.mark.parametrize("test", [0, 400])
def test_split_sets_are_disjoint_and_complete(partition, test):
    dataset = made(test=test, clients=5)
    fed = split(dataset, **(BASE | dict(partition=partition)))
    given = partition == "natural" and test
    used = everything(fed)
    assert len(np.unique(used)) == len(used)  # public, train, val, test of all clients
    assert not np.isin(fed.balanced, np.concatenate([fed.public, *fed.train, *fed.val])).any()
    assert given or not np.isin(fed.balanced, np.concatenate(fed.test)).any()
    # nothing is lost: without a test part all but the balanced set, with one the training part, and natural uses both
    assert len(used) == (1200 if given else 1200 - 40 if not test else 800)
    assert np.bincount(dataset.labels[fed.balanced]).tolist() == [10] * 4
    assert dataset.is_test[fed.balanced].all() or not test
    assert not dataset.is_test[np.concatenate([fed.public, *fed.train, *fed.val])].any()
    assert fed.counts.tolist() == [np.bincount(dataset.labels[index], minlength=4).tolist() for index in fed.train]
    assert sorted(fed.levels) == [1, 1, 1, 2, 3]  # 5 * (.5, .3, .2) = 2.5, 1.5, 1: floors 2, 1, 1, the tie to level 1
    for train, val, own in zip(fed.train, fed.val, fed.test):
        n = len(train) + len(val) + (0 if given else len(own))
        assert given or len(own) == int(n * .2 + 1e-9)
        assert len(val) == max(1, (len(train) + len(val)) // 10)
    arrays = (fed.public, fed.balanced, fed.levels, fed.counts, *fed.train, *fed.val, *fed.test)
    assert all(array.dtype == np.int64 for array in arrays)


def test_own_test_split_has_the_clients_own_distribution():
    # 5 clients of two classes each: the own test set holds those two and no other
    fed = split(made(), **(BASE | dict(partition="pathological")))
    labels = made().labels
    for row, own in zip(fed.counts, fed.test):
        assert set(labels[own]) == set(np.flatnonzero(row)) and (row > 0).sum() == 2


def test_natural_keeps_the_given_clients_and_their_test_samples():
    dataset = made(clients=5)
    fed = split(dataset, **(BASE | dict(partition="natural", pool_size=500)))
    for client in range(5):
        assert (dataset.client[np.concatenate([fed.train[client], fed.val[client], fed.test[client]])] == client).all()
        assert fed.test[client].tolist() == np.flatnonzero(dataset.is_test & (dataset.client == client)).tolist()
    assert sum(map(len, fed.train + fed.val)) == 500
    assert np.isin(fed.balanced, np.concatenate(fed.test)).all()


def same(one, two):
    return all(np.array_equal(a, b) if isinstance(a, np.ndarray) else all(map(np.array_equal, a, b))
               for a, b in zip(dataclasses.astuple(one), dataclasses.astuple(two)))


def test_split_depends_on_seed_and_arguments_only():
    dataset = made()
    first = split(dataset, **BASE)
    np.random.seed(0)  # the global generator has no say
    assert same(first, split(dataset, **BASE))
    other = split(dataset, **(BASE | dict(seed=4)))
    assert not np.array_equal(first.public, other.public) and not np.array_equal(first.balanced, other.balanced)
    # separate streams: another skew moves neither the public set, nor the balanced set, nor the levels
    skewed = split(dataset, **(BASE | dict(skew=5.)))
    assert np.array_equal(first.public, skewed.public) and np.array_equal(first.balanced, skewed.balanced)
    assert np.array_equal(first.levels, skewed.levels) and not np.array_equal(first.counts, skewed.counts)
    # levels are drawn from their own stream
    assert np.array_equal(first.levels, draw_levels(5, (.5, .3, .2), stream(3, "levels")))


def test_split_of_digits_is_pinned():
    # no derivation: the value of the first run, kept so that a change of any stream or order is noticed
    fed = split(load("digits"), seed=0, clients=12, partition="dirichlet", skew=.1, public_size=300, balanced_size=300)
    content = b"".join(array.astype("<i8").tobytes() for array in (fed.balanced, everything(fed), fed.levels))
    assert hashlib.sha256(content).hexdigest()[:16] == "b146f3a4c8a113cf"


# ---- bad input

@pytest.mark.parametrize("change, said", [
    ({"partition": "dirichlett"}, "unknown partition 'dirichlett'; expected one of dirichlet, pathological"),
    ({"clients": 0}, "clients is 0; expected an integer >= 1"),
    ({"clients": 5.}, "clients is 5.0"),
    ({"clients": True}, "clients is True"),
    ({"seed": -1}, "seed is -1"),
    ({"skew": 0}, "skew is 0; expected a finite number > 0"),
    ({"skew": -.1}, "skew is -0.1"),
    ({"skew": float("nan")}, "skew is nan"),
    ({"skew": float("inf")}, "skew is inf"),
    ({"skew": "0.1"}, "skew is '0.1'"),
    ({"skew": 0, "partition": "quantity"}, "skew is 0"),
    ({"skew": float("nan"), "partition": "level_dependent"}, "skew is nan"),
    ({"public_size": 801}, "public_size is 801, but only 800 samples are left"),
    ({"public_size": 0}, "public_size is 0"),
    ({"pool_size": 701}, "pool_size is 701, but only 700 samples are left"),
    ({"balanced_size": 42}, "balanced_size is 42; expected a multiple of the 4 classes"),
    ({"balanced_size": 0}, "balanced_size is 0; expected an integer >= 4"),
    ({"balanced_size": 404}, "balanced_size is 404, but class .* expected at most"),
    ({"minimum": 0}, "minimum is 0"),
    ({"minimum": 141}, "5 clients with at least 141 samples each need 705 samples, but there are 700"),
    ({"minimum": 139, "skew": .01}, "no Dirichlet.0.01. draw in 10 .* smaller minimum, a larger skew or fewer clients"),
    ({"minimum": 60, "partition": "level_dependent"}, "level 1: 3 clients with at least 60 samples each"),
    ({"partition": "pathological", "classes_per_client": 0}, "classes_per_client is 0"),
    ({"partition": "pathological", "classes_per_client": 5}, "5 clients with 5 classes each cannot own 4 classes"),
    ({"partition": "pathological", "clients": 2, "classes_per_client": 1}, "between 2 and 4"),
    ({"partition": "pathological", "clients": 400}, "use fewer clients"),
    ({"partition": "natural"}, "data set made has no client ids"),
    ({"partition": "quantity", "minimum": 2}, "client . has 2 samples, too few"),
    ({"level_share": (.5, .5, .5)}, "level_share is .* sum to 1"),
    ({"level_share": (1., 0.)}, "positive shares"),
])
def test_bad_arguments(change, said, monkeypatch):
    monkeypatch.setattr(schemes, "TRIES", 10)
    with pytest.raises(ValueError, match=said) as caught:
        split(made(), **(BASE | {"skew": .05 if change.get("minimum") == 2 else .5} | change))
    assert "\n" not in str(caught.value)


def test_natural_refuses_bad_ids():
    with pytest.raises(ValueError, match="clients is 4, but data set made has 5 given clients"):
        split(made(clients=5), **(BASE | dict(partition="natural", clients=4)))
    with pytest.raises(ValueError, match="client 1 has no sample"):
        natural(np.array([0, 2, 2]))
    for wrong in ([0, -1], [0., 1.], [], [[0]]):
        with pytest.raises(ValueError, match="expected .n,. integers"):
            natural(np.array(wrong))
    lonely = made(clients=4)
    lonely.client[0] = 4  # one sample, in the training part
    with pytest.raises(ValueError, match="client 4 has . training and 0 test samples"):
        split(lonely, **(BASE | dict(partition="natural")))
