"""RQ2: how much soft against hard knowledge, per client and round. Weights are numbers without gradient.

Students learn with alpha, teachers with beta: a client that has teachers weighs its target by alpha, a client that only
hears its students (feedback) by beta, a client that hears nobody by 0.
"""

import numpy as np

RULES = {
    "fixed": "the same weight in every round after the first",
    "ramp": "authors' code: alpha_max ((r - r0)/B)^power, from 0 at round r0",
}


def fixed(alpha, round: int, warmup: int = 1):
    """alpha after `warmup` rounds of training alone, 0 before: a network that has learned nothing has nothing to say.

    Args:
        alpha: in [0, 1], a number or one per client (N,).

    Source: poster (alpha), ours (warmup).

    >>> [fixed(0.3, r) for r in (1, 2, 3)]
    [0.0, 0.3, 0.3]
    """
    return alpha * (round > warmup)


def ramp(alpha, round: int, start: int = 1, length: int = 50, power: float = 1.0):
    """alpha_max ((r - r0)/B)^power, held at alpha_max from round r0 + B on; in [0, alpha_max].

    The authors' default r0 = 0 switches their ramp off, so r0 >= 1 here. Before r0 the weight is 0.

    Args:
        alpha: alpha_max in [0, 1], a number or one per client (N,).
        round: r >= 1.
        start: r0 >= 1.
        length: B >= 1 rounds.
        power: > 0.

    Source: authors' code (defaults .5 / 50 / 1).

    >>> [round_alpha for round_alpha in (ramp(0.5, 1), ramp(0.5, 26), ramp(0.5, 99))]
    [0.0, 0.25, 0.5]
    """
    if start < 1:
        raise ValueError(f"ramp_start is {start}; expected at least 1 (0 switches the authors' ramp off)")
    done = min(1.0, max(0.0, (round - start) / length))
    return alpha * done**power


def by_role(mask, edges, alpha: float, beta: float) -> np.ndarray:
    """The weight of each client by its role: alpha with teachers, beta with others to hear but no teachers, else 0.

    Args:
        mask: (N, N) bool [listener, speaker], who is pooled for whom (with or without oneself).
        edges: (N, N) bool [student, teacher], the matching; a listener with a row in it is a student.

    Returns:
        (N,) float64.

    >>> by_role([[1, 1], [1, 1]], [[0, 1], [0, 0]], 0.5, 0.1).tolist()
    [0.5, 0.1]
    """
    mask, edges = np.array(mask, bool), np.asarray(edges, bool)
    np.fill_diagonal(mask, False)
    return np.where(edges.any(1), alpha, np.where(mask.any(1), beta, 0.0))
