"""RQ1, assessment: how much a teacher's label distribution suits a student's.

The poster names three criteria (similarity, trend toward uniformity, complementarity) and gives no formula; all are
ours. N clients, C classes, n counts (N, C), p = n / |n| label distributions (N, C), H entropy in nats. Every criterion
reads counts and gives a pair matrix [student s, teacher t], float64 (N, N), or (R, T) of R students in the first table
and T in the second, `teachers`. It raises ValueError as `distributions` does, or where the tables differ in C.
"""

import numpy as np

_UNIFORM = 1e-12  # a distance to uniform below this is rounding, not information
_BLOCK = 2**16  # numbers in a temporary array: none has (R, T, C), and these stay in the processor's cache


def distributions(counts: np.ndarray) -> np.ndarray:
    """Label distributions p_i = n_i / |n_i| (N, C); uniform for a client whose released counts are all zero (ours).
    Raises ValueError: not two dimensions, C < 2, or an entry that is no whole number >= 0 (client and class are named).

    >>> distributions([[3, 1], [0, 0]]).tolist()
    [[0.75, 0.25], [0.5, 0.5]]
    """
    n = counted(counts)
    total = n.sum(axis=1, keepdims=True)
    return np.where(total > 0, n / np.maximum(total, 1), 1 / n.shape[1])


def uniformity(m: np.ndarray) -> np.ndarray:
    """U = H(m / |m|) / ln C of arrays (..., C) >= 0: 1 for the uniform distribution, 0 where one class has everything.
    1 where all of m is 0. The word is the *poster*'s, the normalised Shannon entropy *ours*.

    >>> uniformity(np.array([[2., 2.], [3., 1.], [0., 0.]])).round(6).tolist()
    [1.0, 0.811278, 1.0]
    """
    total = m.sum(axis=-1, keepdims=True)
    q = m / np.where(total > 0, total, 1)
    logs = np.maximum(q, 1e-300)  # 0 ln 0 = 0
    spread = -np.einsum("...c,...c->...", q, np.log(logs, out=logs))
    return np.where(total[..., 0] > 0, spread / np.log(m.shape[-1]), 1.0)


def similarity(counts: np.ndarray, teachers: np.ndarray | None = None) -> np.ndarray:
    """S(s, t) = 1 - JS_2(p_s, p_t) in [0, 1], JS_2 = [H((p_s + p_t)/2) - (H(p_s) + H(p_t))/2] / ln 2.

    Symmetric; 1 for equal distributions, 0 (to rounding) exactly where no class is shared. The word is the *poster*'s,
    the measure *ours* (divergence: Lin 1991, doi:10.1109/18.61115).

    >>> similarity([[4, 0], [0, 4], [2, 2]])[0].round(6).tolist()
    [1.0, 0.0, 0.688722]
    """
    p, q = map(distributions, _two(counts, teachers))
    own, others, bits = uniformity(p), uniformity(q), np.log(p.shape[1]) / np.log(2)
    found = _mixed(p / 2, q / 2)
    for s, u in enumerate(own):  # row by row and in place: the matrix may be large
        found[s] = np.clip(1 - bits * (found[s] - (u + others) / 2), 0, 1)
    return found


def union_gain(counts: np.ndarray, teachers: np.ndarray | None = None) -> np.ndarray:
    """G(s, t) = [U(m) - U(p_s)] / [1 - U(p_s)] in [-1, 1], m = (n_s + n_t)/|n_s + n_t|: how far t evens out s.

    1: the union is uniform; 0: no change, or the student is uniform already; negative: the union is more skewed.
    Weighted by counts because with equal weights it is the axis of the similarity over again:
    U((p + q)/2) = (U(p) + U(q))/2 + (ln 2/ln C)(1 - S(p, q)), exactly. "Trend toward uniformity" is the *poster*'s, the
    formula *ours*.

    >>> union_gain([[4, 0], [0, 4]])[0].tolist()
    [0.0, 1.0]
    """
    n, m = _two(counts, teachers)
    found = _mixed(n, m)
    for s, u in enumerate(np.clip(uniformity(n), 0, 1)):
        found[s] = np.clip((found[s] - u) / (1 - u), -1, 1) if 1 - u > _UNIFORM else 0
    return found


def coverage(counts: np.ndarray, teachers: np.ndarray | None = None) -> np.ndarray:
    """K(s, t) = sum_c d_s(c) min(1, C p_t(c)) / sum_c d_s(c) in [0, 1], d_s(c) = max(0, 1/C - p_s(c)).

    What s lacks and t has. 1: t holds a fair share 1/C of every class that s lacks; 0: of none, or s lacks nothing.
    "Complementarity" is the *poster*'s, the formula *ours*.

    >>> coverage([[1, 0, 0], [0, 1, 0]])[0].round(6).tolist()
    [0.0, 0.5]
    """
    p, q = map(distributions, _two(counts, teachers))
    deficit = np.maximum(0, 1 / p.shape[1] - p)
    total = deficit.sum(axis=1, keepdims=True)
    covered = deficit @ np.minimum(1, p.shape[1] * q).T
    return np.clip(np.divide(covered, total, out=np.zeros_like(covered), where=total > _UNIFORM), 0, 1)


def counted(counts: np.ndarray) -> np.ndarray:
    """`counts` as float64 whole numbers (N >= 1, C >= 2), or a ValueError that says what they are instead."""
    try:
        found = np.asarray(counts)
    except ValueError:  # rows of unequal length
        found = np.empty(0, dtype=object)
    if found.dtype.kind not in "biuf":
        raise ValueError("counts is no table of numbers; expected shape (clients, classes)")
    if found.ndim != 2 or found.shape[0] < 1 or found.shape[1] < 2:
        raise ValueError(f"counts has shape {found.shape}; expected (clients, classes) with at least 1 and 2")
    n = found.astype(np.float64)
    whole = (n >= 0) & (n <= 2.0**53) & (n == np.floor(n))  # float64 holds every integer up to 2**53
    for i, c in np.argwhere(~whole)[:1]:
        raise ValueError(f"counts of client {i}, class {c} is {n[i, c]:g}; expected a non-negative integer up to 2**53")
    return n


def _two(counts: np.ndarray, teachers: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Both tables of counts, checked; the first stands for both where there is no second."""
    n = counted(counts)
    m = n if teachers is None else counted(teachers)
    if n.shape[1] != m.shape[1]:
        raise ValueError(f"students have {n.shape[1]} classes, teachers {m.shape[1]}; expected as many")
    return n, m


def _mixed(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """`uniformity` of x_s + y_t for every pair (R, T), a block of teachers at a time."""
    found, step = np.empty((len(x), len(y))), max(1, _BLOCK // y.shape[1])
    for s, one in enumerate(x):
        for t in range(0, len(y), step):
            found[s, t : t + step] = uniformity(one + y[t : t + step])
    return found
