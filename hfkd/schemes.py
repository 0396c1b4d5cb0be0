"""Partition schemes: which client owns which sample, as one array `owner` (n,) with values 0..N-1.

Every sample has exactly one owner. `rng` is a numpy Generator, or a RandomState to repeat published partitions exactly.
"""

import math

import numpy as np

from hfkd.shares import apportion, integer, positive, shares

TRIES = 10_000  # redraws of the Dirichlet shares before the minimum is declared out of reach


def dirichlet(labels: np.ndarray, n_clients: int, skew: float, rng, minimum: int = 40) -> np.ndarray:
    """Label skew: each class is dealt out in shares ~ Dirichlet(skew, ..., skew) (Hsu et al. 2019, arXiv:1909.06335).

    PFLlib's published recipe (arXiv:2312.04992): for each class shuffle its samples, draw shares p, set p = 0 for
    clients that already hold >= n/N samples, renormalise, cut at floor(cumsum(p) * class size); draw everything again
    until the smallest client has `minimum` samples. If no share is left (tiny skew) the class goes to one client with
    room: the limit of the draw for skew -> 0 (ours).

    Args:
        labels: (n,) integers >= 0.
        n_clients: N >= 1.
        skew: > 0; small means few classes per client, large means every client like the whole.
        rng: Generator or RandomState.
        minimum: least samples per client, >= 1.

    Raises:
        ValueError: bad argument, or no draw in 10,000 gives every client `minimum` samples.

    >>> owner = dirichlet(np.repeat(np.arange(10), 100), 5, .5, np.random.default_rng(0))
    >>> np.bincount(owner).tolist()
    [149, 214, 211, 218, 208]
    """
    n = _check(labels, n_clients, minimum)
    positive("skew", skew)
    members = [np.flatnonzero(labels == c) for c in np.unique(labels)]
    for _ in range(TRIES):
        owner, sizes = np.empty(n, np.int64), np.zeros(n_clients, np.int64)
        for index in map(np.copy, members):
            rng.shuffle(index)
            share = rng.dirichlet(np.full(n_clients, float(skew))) * (sizes < n / n_clients)
            if not share.sum() > 0:  # also where a tiny skew made the draw nan
                share = np.zeros(n_clients)
                share[rng.choice(np.flatnonzero(sizes < n / n_clients))] = 1
            cuts = (np.cumsum(share / share.sum()) * len(index)).astype(int)[:-1]
            for client, piece in enumerate(np.split(index, cuts)):
                owner[piece] = client
                sizes[client] += len(piece)
        if sizes.min() >= minimum:
            return owner
    raise ValueError(f"no Dirichlet({skew}) draw in {TRIES} gave each of {n_clients} clients {minimum} of {n} samples;"
                     f" use a smaller minimum, a larger skew or fewer clients")


def pathological(labels: np.ndarray, n_clients: int, classes_per_client: int, rng) -> np.ndarray:
    """Exactly k classes per client, equal parts of a class to its owners (after McMahan et al. 2017, arXiv:1602.05629).

    Ours: each client takes the k classes with the fewest owners so far, ties at random, so the numbers of owners of any
    two classes differ by at most 1 and every class has an owner; client ids are shuffled afterwards.

    Args:
        labels: (n,) integers >= 0, C distinct values.
        n_clients: N >= 1.
        classes_per_client: k, 1..C.
        rng: Generator or RandomState.

    Raises:
        ValueError: k outside 1..C, N k < C (a class would have no owner), or a class with fewer samples than owners.

    >>> labels = np.repeat(np.arange(4), 6)
    >>> owner = pathological(labels, 4, 2, np.random.default_rng(0))
    >>> [len(np.unique(labels[owner == i])) for i in range(4)], np.bincount(owner).tolist()
    ([2, 2, 2, 2], [6, 6, 6, 6])
    """
    n = _check(labels, n_clients, 1)
    classes = np.unique(labels)
    k, n_classes = integer("classes_per_client", classes_per_client, 1), len(classes)
    if k > n_classes or n_clients * k < n_classes:
        raise ValueError(f"{n_clients} clients with {k} classes each cannot own {n_classes} classes;"
                         f" expected classes_per_client between {math.ceil(n_classes / n_clients)} and {n_classes}")
    holds = np.zeros((n_clients, n_classes), bool)
    for client in rng.permutation(n_clients):
        order = rng.permutation(n_classes)
        holds[client, order[np.argsort(holds.sum(0)[order], kind="stable")[:k]]] = True
    owner = np.empty(n, np.int64)
    for column, value in enumerate(classes):
        index, owners = rng.permutation(np.flatnonzero(labels == value)), np.flatnonzero(holds[:, column])
        if len(index) < len(owners):
            raise ValueError(f"class {value} has {len(index)} samples for {len(owners)} clients; use fewer clients")
        owner[index] = np.repeat(owners, apportion(len(index), np.ones(len(owners))))
    return owner


def quantity(labels: np.ndarray, n_clients: int, skew: float, rng, minimum: int = 40) -> np.ndarray:
    """Quantity skew: the same label distribution for all, sizes ~ Dirichlet (Li et al. 2022, arXiv:2102.02079).

    Size of client i = minimum + its share of the other n - N minimum samples. Ours: the minimum is set aside first,
    because at skew .1 practically no plain draw leaves every client enough samples.

    Args:
        labels: (n,) integers >= 0; only their number matters.
        n_clients: N >= 1, with N minimum <= n.
        skew: > 0; small means few big clients.
        rng: Generator or RandomState.
        minimum: least samples per client, >= 1.

    Raises:
        ValueError: bad argument, or more minimum than samples.

    >>> np.bincount(quantity(np.zeros(1000, int), 4, .5, np.random.default_rng(0))).tolist()
    [242, 41, 498, 219]
    """
    n = _check(labels, n_clients, minimum)
    positive("skew", skew)
    share = rng.dirichlet(np.full(n_clients, float(skew)))
    if not share.sum() > 0:  # a tiny skew made the draw nan: its limit is one client that takes all
        share = np.eye(n_clients)[rng.choice(n_clients)]
    sizes = minimum + apportion(n - n_clients * minimum, share)
    return rng.permutation(np.repeat(np.arange(n_clients), sizes))


def level_dependent(labels: np.ndarray, levels: np.ndarray, skew: float, rng, level_data=(.2, .3, .5),
                    minimum: int = 40) -> np.ndarray:
    """More and milder data for more capable levels (authors' code LIFE: .5/.3/.2 of the clients hold .2/.3/.5 of it).

    The samples are dealt to the levels at random in proportion `level_data` (over the levels that occur), then within
    level l by `dirichlet` with skew * 2**(l-1) (ours).

    Args:
        labels: (n,) integers >= 0.
        levels: (N,) integers 1..L.
        skew: > 0, of level 1.
        rng: Generator or RandomState.
        level_data: (L,) positive shares of the data that sum to 1, level 1 first.
        minimum: least samples per client, >= 1.

    Raises:
        ValueError: a level without a share, or the errors of `dirichlet`, with the level named.

    >>> owner = level_dependent(np.repeat(np.arange(10), 100), np.array([1, 1, 2, 3]), 1., np.random.default_rng(0))
    >>> sizes = np.bincount(owner); int(sizes[:2].sum()), sizes[2:].tolist()
    (200, [300, 500])
    """
    positive("skew", skew)
    levels = np.asarray(levels)
    n, share = _check(labels, len(levels), minimum), shares("level_data", level_data)
    present = np.unique(levels)
    if present[0] < 1 or present[-1] > len(share):
        raise ValueError(f"levels reach from {present[0]} to {present[-1]}, but level_data has {len(share)} shares")
    cuts = np.cumsum(apportion(n, share[present - 1]))[:-1]
    owner = np.empty(n, np.int64)
    for level, index in zip(present, np.split(rng.permutation(n), cuts)):
        clients = np.flatnonzero(levels == level)
        try:
            owner[index] = clients[dirichlet(labels[index], len(clients), skew * 2.0 ** (level - 1), rng, minimum)]
        except ValueError as error:
            raise ValueError(f"level {level}: {error}") from None
    return owner


def natural(client: np.ndarray) -> np.ndarray:
    """Given client ids as they are (n,), checked: integers 0..N-1, none without samples (ours).

    Raises:
        ValueError: ids that are no integers, negative, or with a gap.

    >>> natural(np.array([1, 0, 1], np.uint8)).tolist()
    [1, 0, 1]
    """
    client = np.asarray(client)
    if client.ndim != 1 or client.dtype.kind not in "iu" or not client.size or client.min() < 0:
        raise ValueError(f"client ids have shape {client.shape} and type {client.dtype}; expected (n,) integers 0..N-1")
    present = np.unique(client)
    gap = np.flatnonzero(present != np.arange(len(present)))
    if len(gap):
        raise ValueError(f"client {gap[0]} has no sample; expected ids 0..N-1 that all occur")
    return client.astype(np.int64)


def _check(labels, n_clients: int, minimum: int) -> int:
    """The number of samples, if the labels are usable and there are enough of them."""
    integer("clients", n_clients, 1)
    integer("minimum", minimum, 1)
    labels = np.asarray(labels)
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or (labels.size and labels.min() < 0):
        raise ValueError(f"labels have shape {labels.shape} and type {labels.dtype}; expected (n,) integers >= 0")
    if n_clients * minimum > len(labels):
        raise ValueError(f"{n_clients} clients with at least {minimum} samples each need {n_clients * minimum} samples,"
                         f" but there are {len(labels)}; use fewer clients or a smaller minimum")
    return len(labels)
