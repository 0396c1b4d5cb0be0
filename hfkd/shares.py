"""Whole numbers out of shares, the levels of the clients, and the checks of numbers (ours)."""

import math

import numpy as np


def apportion(total: int, shares) -> np.ndarray:
    """Whole numbers that sum to `total`, in proportion to `shares` (L,), by the largest remainder (Hamilton's method).

    >>> apportion(12, [.5, .3, .2]).tolist()
    [6, 4, 2]
    """
    exact = total * np.asarray(shares, float) / np.sum(shares)
    whole = np.floor(exact + 1e-9).astype(np.int64)  # 1e-9: 20 * .3 must be 6, whatever its last bit
    ranked = np.argsort(-(exact - whole), kind="stable")
    whole[ranked[: total - whole.sum()]] += 1
    return whole


def draw_levels(n_clients: int, level_share, rng) -> np.ndarray:
    """Capacity level 1..L of each client (N,): a random permutation of a fixed composition (ours; 5:3:2 authors' code).

    The composition is `apportion(N, level_share)`; where N >= L a level left empty takes a client from the largest one,
    so every level is present.

    Args:
        n_clients: N >= 1.
        level_share: (L,) positive shares that sum to 1, level 1 (the least capable) first.
        rng: its own stream, so that a client's level never follows from its data.

    Raises:
        ValueError: N < 1, or shares that are not positive or do not sum to 1.

    >>> np.bincount(draw_levels(20, (.5, .3, .2), np.random.default_rng(0)))[1:].tolist()
    [10, 6, 4]
    """
    integer("clients", n_clients, 1)
    share = shares("level_share", level_share)
    composition = apportion(n_clients, share)
    while n_clients >= len(share) and (composition == 0).any():
        composition[np.argmin(composition)] += 1
        composition[np.argmax(composition)] -= 1
    return rng.permutation(np.repeat(np.arange(1, len(share) + 1), composition))


def integer(name: str, value, low: int) -> int:
    """The value, if it is an integer >= low."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)) or value < low:
        raise ValueError(f"{name} is {value!r}; expected an integer >= {low}")
    return int(value)


def positive(name: str, value) -> None:
    """Refuse what is not a finite number > 0."""
    if not isinstance(value, (int, float, np.integer, np.floating)) or not 0 < value < math.inf:
        raise ValueError(f"{name} is {value!r}; expected a finite number > 0")


def shares(name: str, value) -> np.ndarray:
    """Shares as an array, if they are positive and sum to 1."""
    fits = all(isinstance(each, (int, float, np.number)) and 0 < each <= 1 for each in value)
    if not fits or not abs(sum(value) - 1) <= 1e-9:
        raise ValueError(f"{name} is {value!r}; expected positive shares that sum to 1, level 1 first")
    return np.asarray(value, float)
