"""RQ1, assessment: how much a teacher's label distribution suits a student's.

The poster names three criteria (similarity, trend toward uniformity, complementarity) and gives no formula; the
formulas are ours. Every pair matrix is [student s, teacher t]. Everything is float64 and vectorised over all pairs.
Letters: N clients, C classes, n counts (N, C), p = n / |n| label distributions (N, C), H entropy in nats.
"""

import numpy as np
from scipy.special import entr

_MOST = 2.0**53  # float64 holds every integer up to here
_UNIFORM = 1e-12  # a distance to uniform below this is rounding, not information


def distributions(counts: np.ndarray) -> np.ndarray:
    """Label distributions p_i = n_i / |n_i|; uniform for a client whose released counts are all zero.

    Args:
        counts: (N, C) non-negative integers (a float dtype is fine), C >= 2.

    Returns:
        (N, C) float64, rows sum to 1.

    Raises:
        ValueError: not two dimensions, or an entry that is no non-negative integer (client and class are named).

    Source: ours (METHOD section 1).

    >>> distributions([[3, 1], [0, 0]]).tolist()
    [[0.75, 0.25], [0.5, 0.5]]
    """
    n = _numbers(counts, "counts")
    wrong = ~((n >= 0) & (n <= _MOST) & (n == np.floor(n)))
    if wrong.any():
        i, c = np.argwhere(wrong)[0]
        raise ValueError(f"counts of client {i}, class {c} is {n[i, c]:g}; expected a non-negative integer up to 2**53")
    total = n.sum(axis=1, keepdims=True)
    return np.where(total > 0, n / np.maximum(total, 1), 1 / n.shape[1])


def uniformity(p: np.ndarray) -> np.ndarray:
    """U(p) = H(p) / ln C: 1 for the uniform distribution, 0 where one class has everything.

    Args:
        p: (N, C) label distributions, rows sum to 1.

    Returns:
        (N,) in [0, 1].

    Raises:
        ValueError: a row of p is no distribution.

    Source: "uniformity" is the *poster*'s word; the normalised Shannon entropy is *ours*.

    >>> uniformity([[.5, .5, 0, 0], [.25, .25, .25, .25]]).round(6).tolist()
    [0.5, 1.0]
    """
    p = _shares(p)
    return np.clip(entr(p).sum(axis=1) / np.log(p.shape[1]), 0, 1)


def similarity(p: np.ndarray) -> np.ndarray:
    """S(s, t) = 1 - JS_2(p_s, p_t), JS_2 = [H((p_s + p_t)/2) - (H(p_s) + H(p_t))/2] / ln 2.

    Symmetric; 1 for equal distributions, 0 exactly where no class is shared. Base 2 keeps it in [0, 1] for every C.

    Args:
        p: (N, C) label distributions, rows sum to 1.

    Returns:
        (N, N) in [0, 1].

    Raises:
        ValueError: a row of p is no distribution.

    Source: "similarity" is the *poster*'s word; the measure is *ours* (divergence: Lin 1991, doi:10.1109/18.61115).

    >>> similarity([[1, 0], [0, 1], [.5, .5]])[0].round(6).tolist()
    [1.0, 0.0, 0.688722]
    """
    p = _shares(p)
    entropy = entr(p).sum(axis=1)
    mixed = entr((p[:, None] + p[None, :]) / 2).sum(axis=2)
    return np.clip(1 - (mixed - (entropy[:, None] + entropy[None, :]) / 2) / np.log(2), 0, 1)


def union_gain(counts: np.ndarray) -> np.ndarray:
    """G(s, t) = [U(m) - U(p_s)] / [1 - U(p_s)], m = (n_s + n_t)/|n_s + n_t|: how far t pulls s toward uniformity.

    1: the union is uniform; 0: no change, or the student is uniform already; negative: the union is more skewed.
    Weighted by counts because with equal weights it is the axis of the similarity over again:
    U((p + q)/2) = (U(p) + U(q))/2 + (ln 2/ln C)(1 - S(p, q)), exactly.

    Args:
        counts: (N, C) non-negative integers.

    Returns:
        (N, N) in [-1, 1].

    Raises:
        ValueError: as `distributions`.

    Source: "trend toward uniformity" is the *poster*'s; the formula is *ours*.

    >>> union_gain([[4, 0], [0, 4]])[0].tolist()
    [0.0, 1.0]
    """
    p = distributions(counts)
    n = np.asarray(counts, dtype=np.float64)
    own = uniformity(p)
    union = (n[:, None] + n[None, :]).reshape(-1, n.shape[1])
    pooled = uniformity(distributions(union)).reshape(len(n), len(n))
    room = (1 - own)[:, None]
    gain = (pooled - own[:, None]) / np.where(room > _UNIFORM, room, 1)
    return np.where(room > _UNIFORM, np.clip(gain, -1, 1), 0.0)


def coverage(p: np.ndarray) -> np.ndarray:
    """K(s, t) = sum_c d_s(c) min(1, C p_t(c)) / sum_c d_s(c), d_s(c) = max(0, 1/C - p_s(c)): what s lacks and t has.

    1: t holds a fair share 1/C of every class that s lacks; 0: of none, or s lacks nothing. Directional.

    Args:
        p: (N, C) label distributions, rows sum to 1.

    Returns:
        (N, N) in [0, 1].

    Raises:
        ValueError: a row of p is no distribution.

    Source: "complementarity" is the *poster*'s word; the formula is *ours*.

    >>> coverage([[1, 0, 0], [0, 1, 0]])[0].round(6).tolist()
    [0.0, 0.5]
    """
    p = _shares(p)
    n_classes = p.shape[1]
    deficit = np.maximum(0, 1 / n_classes - p)
    total = deficit.sum(axis=1, keepdims=True)
    covered = deficit @ np.minimum(1, n_classes * p).T
    return np.where(total > _UNIFORM, np.clip(covered / np.where(total > _UNIFORM, total, 1), 0, 1), 0.0)


def affinity(counts: np.ndarray, personality: float = 0.25) -> np.ndarray:
    """A = eta S + (1 - eta) [K/2 + (1 + G)/4]: the three criteria in one number, eta = `personality`.

    eta = 1 asks only for teachers like the student (personality), eta = 0 only for what it lacks (consistency).

    Args:
        counts: (N, C) non-negative integers.
        personality: eta in [0, 1].

    Returns:
        (N, N) in [0, 1].

    Raises:
        ValueError: as `distributions`, or eta outside [0, 1].

    Source: ours (METHOD section 3).

    >>> float(affinity([[4, 0], [0, 4]], personality=0.25)[0, 1])
    0.75
    """
    if not isinstance(personality, (int, float, np.number)) or not 0 <= personality <= 1:
        raise ValueError(f"personality is {personality!r}; expected a number from 0 (consistency) to 1 (personality)")
    p = distributions(counts)
    lacking = coverage(p) / 2 + (1 + union_gain(counts)) / 4
    return personality * similarity(p) + (1 - personality) * lacking


def _numbers(values: np.ndarray, name: str) -> np.ndarray:
    """`values` as a float64 table (N >= 1, C >= 2), or an error that says what it is instead."""
    try:
        table = np.asarray(values)
        table = table.astype(np.float64) if table.dtype.kind in "biufO" else None
    except (TypeError, ValueError, OverflowError):
        table = None
    if table is None:
        raise ValueError(f"{name} is no table of numbers; expected shape (clients, classes)")
    if table.ndim != 2 or table.shape[0] < 1 or table.shape[1] < 2:
        raise ValueError(f"{name} has shape {table.shape}; expected (clients, classes) with at least 1 and 2")
    return table


def _shares(p: np.ndarray) -> np.ndarray:
    """`p` as float64 label distributions, or an error that names the client."""
    p = _numbers(p, "p")
    wrong = ~((p >= 0) & (p <= 1 + 1e-6))
    if wrong.any():
        i, c = np.argwhere(wrong)[0]
        raise ValueError(f"p of client {i}, class {c} is {p[i, c]:g}; expected a share from 0 to 1")
    off = np.abs(p.sum(axis=1) - 1) > 1e-6
    if off.any():
        i = int(np.argmax(off))
        raise ValueError(f"p of client {i} sums to {p[i].sum():g}; expected 1 (make it with distributions(counts))")
    return p
