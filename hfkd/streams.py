"""Random streams: one independent generator for every (seed, purpose, client).

A stream never depends on the method, so two methods run with the same seed see the same partition, the same levels, the
same first weights and the same stream of batches, however many each takes of it: comparisons are paired (ours).
"""

import zlib

import numpy as np


def stream(seed: int, purpose: str, client: int = -1) -> np.random.Generator:
    """A fresh generator (PCG64) of `purpose`, such as "batches", for one client (-1: for the whole federation).

    The same arguments give the same numbers on every platform. seed: an integer >= 0, or numpy's ValueError.

    >>> bool(stream(0, "levels").integers(100) == stream(0, "levels").integers(100))
    True
    >>> bool(stream(0, "levels").random() == stream(0, "partition").random())
    False
    """
    return np.random.default_rng([seed, zlib.crc32(purpose.encode()), client + 1])
