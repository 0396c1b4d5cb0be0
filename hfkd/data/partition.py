"""Who has which sample; every step has its own random stream, of the seed and never of the method (ours)."""

from dataclasses import dataclass

import numpy as np

from hfkd.streams import stream

PARTITIONS = {  # each gives every sample one owner 0..N-1
    "dirichlet": "each class in Dirichlet(skew) shares (label skew)",
    "pathological": "two classes each, no skew",
    "level_dependent": "levels hold .2/.3/.5 of the data, skew doubled per level"}
TRIES = 10_000  # redraws of the Dirichlet shares before the minimum is declared out of reach
CLASSES = 2  # of each client (pathological)


@dataclass(frozen=True)
class Split:
    """Indices into a Dataset (int64), N clients, C classes; `public` is in no other set."""
    public: np.ndarray  # (m,) labels are not used unless a method says so
    train: tuple  # N arrays
    val: tuple  # N arrays
    test: tuple  # N arrays, own-distribution test sets
    balanced: np.ndarray  # (b,) test set shared by all, b/C of each class
    counts: np.ndarray  # (N, C) label counts of train
    levels: np.ndarray  # (N,) 1..L


def split(dataset, *, seed: int, clients: int, partition: str, skew: float, level_share=(.5, .3, .2),
          pool_size: int | None = None, public_size: int, public_skew: float | None = None, balanced_size: int,
          minimum: int = 40, test_share: float = .2, val_share: float = .1) -> Split:
    """The federation of one seed (ours). The order of carving is part of the protocol:
    balanced test set, of the publisher's test part, or of all where there is none; public set and pool (None: all) of
    the rest outside the test part; `partition` of the pool; each client's test and validation samples (0: none), at
    least 1 each. Raises ValueError where a value does not fit the data.
    >>> from hfkd.data import load
    >>> fed = split(load("digits"), seed=0, clients=8, partition="dirichlet", skew=1, public_size=200, balanced_size=90)
    >>> len(fed.public), len(fed.balanced), fed.counts.shape, sum(map(len, fed.train + fed.val + fed.test))
    (200, 90, (8, 10), 1507)
    """
    if partition not in PARTITIONS:
        raise ValueError(f"unknown partition {partition!r}; expected one of {', '.join(PARTITIONS)}")
    members, rng = _members(dataset, clients, balanced_size), stream(seed, "balanced")
    balanced = np.sort([rng.choice(index, balanced_size // len(members), replace=False) for index in members], None)
    left, taken = np.setdiff1d(np.flatnonzero(~dataset.is_test), balanced), []
    for what, size in (("public", public_size), ("pool", pool_size)):
        size = len(left) if size is None else _integer(f"{what}_size", size, 1, len(left))
        skewed = what == "public" and public_skew is not None
        share = _chances(dataset.labels[left], public_skew, stream(seed, "public classes")) if skewed else None
        taken.append(np.sort(stream(seed, what).choice(left, size, replace=False, p=share)))
        left = np.setdiff1d(left, taken[-1])
    public, pool = taken
    levels = draw_levels(clients, level_share, stream(seed, "levels"))
    labels, rng = dataset.labels[pool], stream(seed, "partition")
    if partition == "dirichlet":
        owner = dirichlet(labels, clients, skew, rng, minimum)
    elif partition == "pathological":
        owner = pathological(labels, clients, rng)
    else:
        owner = level_dependent(labels, levels, skew, rng, minimum)
    parts = [_cut(i, pool[owner == i], stream(seed, "split", i), test_share, val_share) for i in range(clients)]
    counts = np.stack([np.bincount(dataset.labels[train], minlength=dataset.n_classes) for train, _, _ in parts])
    return Split(public, *zip(*parts), balanced, counts, levels)


def _chances(labels, skew, rng) -> np.ndarray:
    """(n,) chance of each image, so that classes share a draw by Dirichlet(skew); none is 0: there may be too few."""
    classes, at, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    chance = np.maximum((rng.dirichlet(np.full(len(classes), skew)) / sizes)[at], 1e-12)
    return chance / chance.sum()


def _members(dataset, clients: int, balanced_size: int) -> list[np.ndarray]:
    """The samples of each class that the balanced set may take. Raises ValueError where they, or all, are too few."""
    allowed = dataset.is_test | ~dataset.is_test.any()
    present = np.unique(dataset.labels[allowed])
    if len(present) < max(2, dataset.n_classes):
        raise ValueError(f"data set {dataset.name} has {len(present)} labels in {present[0]}..{present[-1]} to test on;"
                         f" expected every label 0..C-1, C >= 2, as in np.unique(labels, return_inverse=True)[1]")
    members = [np.flatnonzero(allowed & (dataset.labels == c)) for c in present]
    _integer("clients", clients, 1, len(dataset.labels))
    if _integer("balanced_size", balanced_size, len(members), min(map(len, members)) * len(members)) % len(members):
        raise ValueError(f"balanced_size is {balanced_size}; expected a multiple of the {len(members)} classes")
    return members


def _cut(client: int, index: np.ndarray, rng, test_share: float, val_share: float) -> tuple:
    """One client's training, validation and test samples."""
    n_test = max(1, int(len(index) * test_share + 1e-9))  # 1e-9: 10 * .3 must be 3
    n_val = max(1, int((len(index) - n_test) * val_share + 1e-9)) if val_share else 0
    test, val, train = np.split(rng.permutation(index), [n_test, n_test + n_val])
    if not len(train):
        raise ValueError(f"client {client} has {len(index)} samples, too few; expected fewer clients, or a larger pool")
    return train, val, test


def dirichlet(labels: np.ndarray, n_clients: int, skew: float, rng, minimum: int = 40) -> np.ndarray:
    """Label skew: each class is dealt out in shares ~ Dirichlet(skew, ..., skew) (Hsu et al. 2019, arXiv:1909.06335).
    PFLlib's published recipe (arXiv:2312.04992): clients that hold >= n/N samples already get no more; everything is
    drawn again until the smallest has `minimum` samples. `rng` may be a RandomState, to repeat it exactly."""
    n, minimum = len(labels), _integer("minimum", minimum, 1, len(labels) // n_clients)
    for _ in range(TRIES):
        owner, sizes = np.empty(n, np.int64), np.zeros(n_clients, np.int64)
        for label in np.unique(labels):
            index = np.flatnonzero(labels == label)
            rng.shuffle(index)
            room = sizes < n / n_clients
            share = rng.dirichlet(np.full(n_clients, float(skew))) * room
            if not share.sum() > 0:  # a tiny skew draws zeros, or nan; its limit: one of them has all
                share = np.arange(n_clients) == rng.choice(np.flatnonzero(room))
            cuts = (np.cumsum(share / share.sum()) * len(index)).astype(int)[:-1]
            parts = np.diff(cuts, prepend=0, append=len(index))
            owner[index] = np.repeat(np.arange(n_clients), parts)
            sizes += parts
        if sizes.min() >= minimum:
            return owner
    raise ValueError(f"{TRIES} draws with skew {skew} left a client under {minimum} samples; expected a lower minimum")


def pathological(labels: np.ndarray, n_clients: int, rng) -> np.ndarray:
    """CLASSES classes per client, equal parts of a class to its owners (after McMahan et al. 2017, arXiv:1602.05629).
    Ours: a client takes the classes with the fewest owners so far, ties at random: they differ by at most 1 owner."""
    classes = np.unique(labels)
    _integer("clients", n_clients, -(-len(classes) // CLASSES), len(labels))  # or a class would have no owner
    holds = np.zeros((n_clients, len(classes)), bool)
    for client in rng.permutation(n_clients):
        order = rng.permutation(len(classes))
        holds[client, order[np.argsort(holds.sum(0)[order], kind="stable")[:CLASSES]]] = True
    owner = np.empty(len(labels), np.int64)
    for label, has in zip(classes, holds.T):
        index, owners = rng.permutation(np.flatnonzero(labels == label)), np.flatnonzero(has)
        if len(index) < len(owners):
            raise ValueError(f"class {label} has {len(index)} samples for {len(owners)} clients; use fewer clients")
        owner[index] = np.repeat(owners, apportion(len(index), np.ones(len(owners))))
    return owner


def level_dependent(labels, levels, skew: float, rng, minimum: int = 40, level_data=(.2, .3, .5)) -> np.ndarray:
    """More and milder data for more capable levels (authors' code LIFE: .5/.3/.2 of the clients hold .2/.3/.5 of it).
    Dealt at random to the levels that occur by `level_data`, within level l by `dirichlet`, skew * 2**(l-1) (ours)."""
    present, owner = np.unique(levels), np.empty(len(labels), np.int64)
    cuts = np.cumsum(apportion(len(labels), np.asarray(level_data)[present - 1]))[:-1]
    for level, index in zip(present, np.split(rng.permutation(len(labels)), cuts)):
        clients = np.flatnonzero(levels == level)
        owner[index] = clients[dirichlet(labels[index], len(clients), skew * 2.0 ** (level - 1), rng, minimum)]
    return owner


def draw_levels(n_clients: int, level_share, rng) -> np.ndarray:
    """Capacity level 1..L of each client (N,): `apportion(N, level_share)` at random (ours; 5:3:2 authors' code).
    Where N >= L a level with a share but left empty takes a client from the largest."""
    composition, wanted = apportion(n_clients, level_share), np.array(level_share) > 0
    while n_clients >= len(composition) and (wanted & (composition == 0)).any():
        composition[np.flatnonzero(wanted & (composition == 0))[0]] += 1
        composition[np.argmax(composition)] -= 1
    return rng.permutation(np.repeat(np.arange(1, len(composition) + 1), composition))


def apportion(total: int, shares) -> np.ndarray:
    """Whole numbers that sum to `total`, in proportion to `shares` (L,), by the largest remainder (Hamilton)."""
    exact = total * np.asarray(shares, float) / np.sum(shares)
    whole = np.floor(exact + 1e-9).astype(np.int64)  # 1e-9: 20 * .3 must be 6, whatever its last bit
    whole[np.argsort(-(exact - whole), kind="stable")[: total - whole.sum()]] += 1
    return whole


def _integer(name: str, value: int, low: int, high: int) -> int:
    if not isinstance(value, (int, np.integer)) or not low <= value <= high:
        raise ValueError(f"{name} is {value!r}; expected an integer >= {low} and, with this data, <= {high}")
    return value
