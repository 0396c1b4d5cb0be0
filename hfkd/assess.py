"""RQ1, assessment: how much a teacher's label distribution suits a student's.

The poster names three criteria (similarity, trend toward uniformity, complementarity) and gives no formula; the
formulas are ours. Every pair matrix is [student s, teacher t], float64, of all clients, or of the students in one table
and the teachers in another. Letters: N clients, R students, T teachers, C classes, n counts (N, C), p = n / |n| label
distributions (N, C), H entropy in nats.
"""

import numpy as np

from hfkd.tables import counted, dial, evenness, mixtures, shared, two

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
    n = counted(counts)
    total = n.sum(axis=1, keepdims=True)
    return np.where(total > 0, n / np.maximum(total, 1), 1 / n.shape[1])


def distance(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Total variation, client by client: 1/2 sum_c |p_i(c) - q_i(c)|.

    Args:
        p, q: (N, C) distributions, rows sum to 1.

    Returns:
        (N,) in [0, 1]; 0 for equal rows, 1 where no class is shared.

    >>> distance(np.array([[1, 0], [.5, .5]]), np.array([[0, 1], [1, 0]])).tolist()
    [1.0, 0.5]
    """
    return abs(p - q).sum(axis=1) / 2


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
    return np.clip(evenness(shared(p)), 0, 1)


def similarity(p: np.ndarray, teachers: np.ndarray | None = None) -> np.ndarray:
    """S(s, t) = 1 - JS_2(p_s, p_t), JS_2 = [H((p_s + p_t)/2) - (H(p_s) + H(p_t))/2] / ln 2.

    Symmetric; 1 for equal distributions, 0 (to rounding) exactly where no class is shared. Base 2 keeps it in [0, 1]
    for every C.

    Args:
        p: (R, C) label distributions of the students, rows sum to 1.
        teachers: (T, C) those of the teachers; None: of the same clients.

    Returns:
        (R, T) in [0, 1].

    Raises:
        ValueError: a row is no distribution, or the tables differ in C.

    Source: "similarity" is the *poster*'s word; the measure is *ours* (divergence: Lin 1991, doi:10.1109/18.61115).

    >>> similarity([[1, 0], [0, 1], [.5, .5]])[0].round(6).tolist()
    [1.0, 0.0, 0.688722]
    """
    p, q = two(shared, p, teachers)
    own, others, bits = evenness(p), evenness(q), np.log(p.shape[1]) / np.log(2)
    found = np.empty((len(p), len(q)))
    for s, mixed in mixtures(p / 2, q / 2):
        found[s] = np.clip(1 - bits * (mixed - (own[s, None] + others) / 2), 0, 1)
    return found


def union_gain(counts: np.ndarray, teachers: np.ndarray | None = None) -> np.ndarray:
    """G(s, t) = [U(m) - U(p_s)] / [1 - U(p_s)], m = (n_s + n_t)/|n_s + n_t|: how far t pulls s toward uniformity.

    1: the union is uniform; 0: no change, or the student is uniform already; negative: the union is more skewed.
    Weighted by counts because with equal weights it is the axis of the similarity over again:
    U((p + q)/2) = (U(p) + U(q))/2 + (ln 2/ln C)(1 - S(p, q)), exactly.

    Args:
        counts: (R, C) non-negative integers of the students.
        teachers: (T, C) those of the teachers; None: of the same clients.

    Returns:
        (R, T) in [-1, 1].

    Raises:
        ValueError: as `distributions`, or the tables differ in C.

    Source: "trend toward uniformity" is the *poster*'s; the formula is *ours*.

    >>> union_gain([[4, 0], [0, 4]])[0].tolist()
    [0.0, 1.0]
    """
    n, m = two(counted, counts, teachers)
    own, gain = np.clip(evenness(n), 0, 1)[:, None], np.zeros((len(n), len(m)))
    for s, pooled in mixtures(n, m):
        room = 1 - own[s]
        np.divide(pooled - own[s], room, out=gain[s], where=room > _UNIFORM)
    return np.clip(gain, -1, 1, out=gain)


def coverage(p: np.ndarray, teachers: np.ndarray | None = None) -> np.ndarray:
    """K(s, t) = sum_c d_s(c) min(1, C p_t(c)) / sum_c d_s(c), d_s(c) = max(0, 1/C - p_s(c)): what s lacks and t has.

    1: t holds a fair share 1/C of every class that s lacks; 0: of none, or s lacks nothing. Directional.

    Args:
        p: (R, C) label distributions of the students, rows sum to 1.
        teachers: (T, C) those of the teachers; None: of the same clients.

    Returns:
        (R, T) in [0, 1].

    Raises:
        ValueError: a row is no distribution, or the tables differ in C.

    Source: "complementarity" is the *poster*'s word; the formula is *ours*.

    >>> coverage([[1, 0, 0], [0, 1, 0]])[0].round(6).tolist()
    [0.0, 0.5]
    """
    p, q = two(shared, p, teachers)
    n_classes = p.shape[1]
    deficit = np.maximum(0, 1 / n_classes - p)
    total = deficit.sum(axis=1, keepdims=True)
    covered = deficit @ np.minimum(1, n_classes * q).T
    return np.where(total > _UNIFORM, np.clip(covered / np.where(total > _UNIFORM, total, 1), 0, 1), 0.0)


def affinity(counts: np.ndarray, personality: float = 0.25, teachers: np.ndarray | None = None) -> np.ndarray:
    """A = eta S + (1 - eta) [K/2 + (1 + G)/4]: the three criteria in one number, eta = `personality`.

    eta = 1 asks only for teachers like the student (personality), eta = 0 only for what it lacks (consistency).

    Args:
        counts: (R, C) non-negative integers of the students.
        personality: eta in [0, 1].
        teachers: (T, C) counts of the teachers; None: of the same clients.

    Returns:
        (R, T) in [0, 1].

    Raises:
        ValueError: as `union_gain`, or eta outside [0, 1].

    Source: ours (METHOD section 3).

    >>> float(affinity([[4, 0], [0, 4]], personality=0.25)[0, 1])
    0.75
    """
    dial(personality)
    n, m = two(counted, counts, teachers)
    p, q = distributions(n), distributions(m)
    lacking = coverage(p, q) / 2 + (1 + union_gain(n, m)) / 4
    return personality * similarity(p, q) + (1 - personality) * lacking
