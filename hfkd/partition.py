"""The federation of one seed: public set, balanced test set, each client's train, validation and test samples (ours).

The order of carving is part of the protocol: balanced test set (first of all where the publisher has no test part),
public set, pool, partition, each client's own split. Each step has its own random stream, so it depends only on (seed,
arguments) and never on the method; METHOD of this artifact, section 9.
"""

from dataclasses import dataclass

import numpy as np

from hfkd.data import Dataset
from hfkd.schemes import dirichlet, level_dependent, natural, pathological, quantity
from hfkd.shares import draw_levels, integer
from hfkd.streams import stream

__all__ = ["PARTITIONS", "Federation", "dirichlet", "draw_levels", "level_dependent", "natural", "pathological",
           "quantity", "split"]

PARTITIONS = {
    "dirichlet": "each class in Dirichlet(skew) shares (label skew)",
    "pathological": "classes_per_client classes each, no skew",
    "quantity": "same labels for all, Dirichlet(skew) sizes",
    "level_dependent": "levels hold .2/.3/.5 of the data, skew doubled per level",
    "natural": "the client ids given with the data set",
}


@dataclass(frozen=True)
class Federation:
    """Who has what: indices into a Dataset (int64), N clients, C classes; `public` is in no other set."""

    public: np.ndarray  # (m,) labels are not used unless a method says so
    train: tuple  # N arrays
    val: tuple  # N arrays, 10 % of what is not test unless val_share says otherwise
    test: tuple  # N arrays, own-distribution test set, 20 % unless test_share says otherwise
    balanced: np.ndarray  # (b,) test set shared by all, b/C of each class
    counts: np.ndarray  # (N, C) label counts of train
    levels: np.ndarray  # (N,) 1..L


def split(dataset: Dataset, *, seed: int, clients: int, partition: str, skew: float, level_share=(.5, .3, .2),
          pool_size: int | None = None, public_size: int, balanced_size: int, classes_per_client: int = 2,
          minimum: int = 40, test_share: float = .2, val_share: float = .1) -> Federation:
    """Everything that a run needs to know about who has what (ours; validation and both test sets as METHOD 1 and 9).

    1. balanced test set: balanced_size / C of each class, from the publisher's test part, or from everything where
       there is none;
    2. public set: public_size random samples of what is left outside the test part;
    3. pool: pool_size random samples of the rest;
    4. the partition of the pool;
    5. each client's samples, shuffled: test_share of them test, val_share of the rest validation, the remainder train,
       at least 1 each; no validation split at all where val_share is 0.

    "natural" with a test part: each client's own test set is its samples in that part, and the balanced set is drawn
    from the union of them: the two test sets overlap there, and nowhere else. pool_size leaves the test part alone.

    Args:
        dataset: see `hfkd.data.load`.
        seed: >= 0.
        clients: N >= 1; for "natural" the number of given clients.
        partition: a name from `PARTITIONS`.
        skew: > 0; concentration of the Dirichlet draw; not used by "pathological" and "natural".
        level_share: (L,) shares of the clients, level 1 first; see `draw_levels`.
        pool_size: private samples of all clients together; None: all that are left.
        public_size: m >= 1.
        balanced_size: a multiple of C, >= C.
        classes_per_client: k of "pathological".
        minimum: least samples per client before they are split, for "dirichlet", "quantity" and "level_dependent".
        test_share: in (0, 1); not used where the publisher gives each client its test samples.
        val_share: in [0, 1).

    Raises:
        ValueError: a value that is out of range, does not fit the data, or leaves a client with fewer than 3 samples.

    >>> from hfkd.data import load
    >>> digits = load("digits")
    >>> fed = split(digits, seed=0, clients=8, partition="dirichlet", skew=.5, public_size=200, balanced_size=300)
    >>> len(fed.public), len(fed.balanced), fed.counts.shape, sum(map(len, fed.train + fed.val + fed.test))
    (200, 300, (8, 10), 1297)
    """
    check_sizes(dataset, clients, balanced_size)
    if partition not in PARTITIONS:
        raise ValueError(f"unknown partition {partition!r}; expected one of {', '.join(PARTITIONS)}")
    if partition == "natural" and dataset.client is None:
        raise ValueError(f"data set {dataset.name} has no client ids; the partition natural needs them, take another")
    free = ~dataset.is_test
    balanced = _balanced(dataset, balanced_size, stream(seed, "balanced"))
    free[balanced] = False
    public = _draw(free, public_size, "public_size", stream(seed, "public"))
    free[public] = False
    pool = np.flatnonzero(free) if pool_size is None else _draw(free, pool_size, "pool_size", stream(seed, "pool"))
    levels = draw_levels(clients, level_share, stream(seed, "levels"))
    draw = stream(seed, "partition")
    owner = _owner(dataset, pool, clients, partition, skew, classes_per_client, minimum, levels, draw)
    given_test = partition == "natural" and dataset.is_test.any()
    parts = []
    for client in range(clients):
        test = np.flatnonzero(dataset.is_test & (dataset.client == client)) if given_test else None
        shares = test_share if test is None else 0, val_share
        parts.append(_cut(pool[owner == client], test, client, stream(seed, "split", client), *shares))
    train, val, test = zip(*parts)
    counts = np.stack([np.bincount(dataset.labels[index], minlength=dataset.n_classes) for index in train])
    return Federation(public, train, val, test, balanced, counts.astype(np.int64), levels)


def check_sizes(dataset: Dataset, clients: int, balanced_size: int) -> None:
    """Refuse more clients than samples, and a balanced set that has not the same number of each class.

    Said before memory is counted: sizes that no data set has would need any amount. Raises ValueError.
    """
    if integer("clients", clients, 1) > len(dataset.labels):
        raise ValueError(f"clients is {clients}; expected at most the {len(dataset.labels)} samples of {dataset.name}")
    if integer("balanced_size", balanced_size, dataset.n_classes) % dataset.n_classes:
        raise ValueError(f"balanced_size is {balanced_size}; expected a multiple of the {dataset.n_classes} classes")


def _balanced(dataset: Dataset, size: int, rng) -> np.ndarray:
    """size / C sorted indices of each class, from the test part, or from everything where there is none."""
    n_classes = dataset.n_classes
    allowed = dataset.is_test if dataset.is_test.any() else np.ones_like(dataset.is_test)
    members = [np.flatnonzero(allowed & (dataset.labels == c)) for c in range(n_classes)]
    least = int(np.argmin([len(index) for index in members]))
    if len(members[least]) < size // n_classes:
        raise ValueError(f"balanced_size is {size}, but class {least} has only {len(members[least])} samples to draw"
                         f" {size // n_classes} from; expected at most {len(members[least]) * n_classes}")
    return np.sort(np.concatenate([rng.choice(index, size // n_classes, replace=False) for index in members]))


def _draw(free: np.ndarray, size: int, name: str, rng) -> np.ndarray:
    """size sorted indices out of the mask."""
    index = np.flatnonzero(free)
    if integer(name, size, 1) > len(index):
        raise ValueError(f"{name} is {size}, but only {len(index)} samples are left; expected at most that")
    return np.sort(rng.choice(index, size, replace=False))


def _owner(dataset, pool, clients, partition, skew, classes_per_client, minimum, levels, rng) -> np.ndarray:
    """The client 0..N-1 of each sample of the pool."""
    labels = dataset.labels[pool]
    if partition == "dirichlet":
        return dirichlet(labels, clients, skew, rng, minimum)
    if partition == "pathological":
        return pathological(labels, clients, classes_per_client, rng)
    if partition == "quantity":
        return quantity(labels, clients, skew, rng, minimum)
    if partition == "level_dependent":
        return level_dependent(labels, levels, skew, rng, minimum=minimum)
    given = natural(dataset.client)
    if given.max() + 1 != clients:
        has = f"data set {dataset.name} has {given.max() + 1} given clients"
        raise ValueError(f"clients is {clients}, but {has}; expected that number")
    return given[pool]


def _cut(index: np.ndarray, test: np.ndarray | None, client: int, rng, test_share: float, val_share: float) -> tuple:
    """One client's train, validation and test samples; `test` where the publisher gives it."""
    index = rng.permutation(index)
    needed = 1 + (test is None) + (val_share > 0)
    if len(index) < needed or (test is not None and len(test) == 0):
        has = f"{len(index)} samples" if test is None else f"{len(index)} training and {len(test)} test samples"
        what = "train, validate and test" if val_share else "train and test"
        raise ValueError(f"client {client} has {has}, too few to {what}; use fewer clients, a larger pool, or a smaller"
                         f" public set")
    n_test = _part(len(index), test_share)
    n_val = _part(len(index) - n_test, val_share)
    own_test = index[:n_test] if test is None else test
    return index[n_test + n_val:], index[n_test:n_test + n_val], own_test


def _part(n: int, share: float) -> int:
    """floor(n share), at least 1; 0 if the share is 0.

    >>> _part(10, .3), _part(3, .1), _part(100, 0)
    (3, 1, 0)
    """
    return max(1, int(n * share + 1e-9)) if share else 0  # 1e-9: 10 * .3 must be 3, whatever its last bit
