"""RQ1, groups: fill every student with teachers in rounds of exact assignment, then improve by one swap pass.

All of it is ours (METHOD section 4). Pair matrices are [student s, teacher t]; N clients, C classes,
g the teachers of a student.
"""

from collections.abc import Callable

import numpy as np
from scipy.optimize import linear_sum_assignment

from hfkd.assess import distributions, similarity, uniformity
from hfkd.constraints import Paths, load_left

# Order of preference: the objective, then the trend to uniformity, then the client id. Each is scaled well below the
# one before it, and the rounding takes away what only the order of a sum decides.
_BY_UNIFORMITY = 1e-6
_BY_ID = 1e-10
_DECIMALS = 12


def group_value(counts: np.ndarray, edges: np.ndarray, personality: float = 0.25) -> np.ndarray:
    """Value of each client's group g: eta mean_{t in g} S(s, t) + (1 - eta) mean_c min(1, C max_{j in g+s} p_j(c)).

    The second term says how much of the classes the group, the student included, holds: a class counts in full once
    somebody has a fair share 1/C of it. It is monotone and submodular in g. The first is 0 where g is empty.

    Args:
        counts: (N, C) non-negative integers.
        edges: (N, N) bool [student, teacher].
        personality: eta in [0, 1].

    Returns:
        (N,) in [0, 1].

    Raises:
        ValueError: as `hfkd.assess.distributions`.

    Source: ours (METHOD section 4).

    >>> edges = np.array([[False, True], [False, False]])
    >>> group_value([[4, 0], [0, 4]], edges, personality=0.25).tolist()
    [0.75, 0.375]
    """
    p = distributions(counts)
    likeness = (edges * similarity(p)).sum(axis=1) / np.maximum(edges.sum(axis=1), 1)
    return personality * likeness + (1 - personality) * _covered(_best(p, np.arange(len(p)), edges))


def match_groups(counts: np.ndarray, allowed: np.ndarray, paths: Paths, personality: float,
                 earned: np.ndarray, share: float) -> np.ndarray:
    """The "coverage" rule: `fill` on the marginal gains of (1 - share) `group_value` + the sum of `earned` (N, N) over
    the group, then `swap`; returns edges (N, N) bool."""
    everyone = np.arange(len(counts))
    values = _values(counts, personality, earned, share)

    def gains(edges):
        now, after = values(everyone, edges)
        return after - now[:, None]

    return swap(fill(gains, allowed, paths, paths.fan_in), values, allowed, paths)


def fill(gains: Callable, allowed: np.ndarray, paths: Paths, fan_in: int) -> np.ndarray:
    """Give every student one more teacher a round, the rounds solved exactly, until a limit stops it.

    A student is filled up to fan_in even where the mean similarity makes a gain slightly negative: fan_in is a budget
    of voices, more voices lower the noise of the pool, and the objective only orders them. When bytes run short in a
    round, the edges of highest gain are kept.

    Args:
        gains: edges (N, N) bool -> (N, N) gain of adding each teacher, each in [-1, 1].
        allowed: (N, N) bool, the admissible edges.
        paths: fan_out, budget_bytes and edge_bytes are kept.
        fan_in: teachers per student.

    Returns:
        edges (N, N) bool.
    """
    edges = np.zeros_like(allowed)
    while True:
        left = load_left(edges, paths)
        free = allowed & ~edges & (edges.sum(axis=1) < fan_in)[:, None] & (left > 0) & _affordable(edges, paths)
        if not free.any():
            return edges
        gain = np.round(gains(edges), _DECIMALS)
        students, teachers = assign(gain, free, left)
        edges |= keep_best(gain, students, teachers, paths, edges)


def assign(gain: np.ndarray, free: np.ndarray, load: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One teacher for as many students as possible, and among those the largest total gain, exactly.

    Args:
        gain: (N, N) in [-1, 1], rounded.
        free: (N, N) bool, pairs that may be chosen.
        load: (N,) students that each teacher can still take; a teacher's column is repeated that often.

    Returns:
        students (k,), teachers (k,).

    >>> students, teachers = assign(np.array([[.9, .8], [.9, .1]]), np.ones((2, 2), dtype=bool), np.array([1, 1]))
    >>> teachers.tolist()
    [1, 0]
    """
    students, n = np.flatnonzero(free.any(axis=1)), len(gain)
    if (load[free.any(axis=0)] >= len(students)).all():  # nobody competes: each student takes its best, lowest id first
        return students, np.where(free, gain, -np.inf)[students].argmax(axis=1)
    columns = np.repeat(np.arange(n), np.where(free.any(axis=0), np.minimum(load, len(students)), 0))
    order = np.outer(1 - np.arange(n) / n, 1 - np.arange(n) / n)  # low ids are served first, by low ids
    alone = -4.0 * n  # worse than anything that all other students can win by it
    value = np.where(free, gain + _BY_ID * order, alone)[np.ix_(students, columns)]
    rows, chosen = linear_sum_assignment(value, maximize=True)
    students, teachers = students[rows], columns[chosen]
    taught = free[students, teachers]
    return students[taught], teachers[taught]


def swap(edges: np.ndarray, values: Callable, allowed: np.ndarray, paths: Paths) -> np.ndarray:
    """One pass: every student may replace one teacher by another with load left, if that raises its value.

    Students go in the order of what they could win, so that the outcome does not depend on how clients are numbered.
    """
    edges = edges.copy()
    students = np.flatnonzero(edges.any(axis=1))
    hopes = np.array([_best_swap(s, edges, values, allowed, paths)[0] for s in students])
    for s in students[np.argsort(-hopes, kind="stable")]:
        gain, old, new = _best_swap(s, edges, values, allowed, paths)
        if gain > 0:
            edges[s, [old, new]] = False, True
    return edges


def keep_best(gain: np.ndarray, students: np.ndarray, teachers: np.ndarray, paths: Paths,
              before: np.ndarray) -> np.ndarray:
    """Of the edges (students, teachers), those of highest gain that the bytes left by `before` pay for; (N, N) bool."""
    kept = np.zeros_like(before)
    for i in np.lexsort((teachers, students, -gain[students, teachers])):
        if _affordable(before | kept, paths)[students[i], teachers[i]]:
            kept[students[i], teachers[i]] = True
    return kept


def _bytes_left(edges: np.ndarray, paths: Paths) -> float:
    """Bytes of the budget that the edges leave; inf without a budget."""
    return np.inf if paths.budget_bytes is None else paths.budget_bytes - paths.edge_bytes[edges].sum()


def _affordable(edges: np.ndarray, paths: Paths) -> np.ndarray:
    """(N, N) bool: edges that the bytes left still pay for."""
    if paths.budget_bytes is None:
        return np.ones_like(edges)
    return paths.edge_bytes <= _bytes_left(edges, paths)


def _values(counts: np.ndarray, personality: float, earned: np.ndarray, share: float) -> Callable:
    """`group_value` with its tie-break, of given groups and of each group with one more client, for any R groups."""
    n, p = np.asarray(counts, dtype=np.float64), distributions(counts)
    alike = similarity(p)

    def value(likeness, best, pooled):
        trend = uniformity(distributions(pooled.reshape(-1, n.shape[1]))).reshape(likeness.shape)
        return personality * likeness + (1 - personality) * _covered(best) + _BY_UNIFORMITY * trend

    def values(students, groups):  # (R,), (R, N) bool -> (R,), (R, N)
        best, pooled = _best(p, students, groups), n[students] + groups @ n
        size, total = groups.sum(axis=1), (groups * alike[students]).sum(axis=1)
        after = value((total[:, None] + alike[students]) / (size + 1)[:, None],
                      np.maximum(best[:, None], p[None, :]), pooled[:, None] + n[None, :])
        paid = (groups * earned[students]).sum(axis=1)
        now = (1 - share) * value(total / np.maximum(size, 1), best, pooled) + paid
        return now, (1 - share) * after + paid[:, None] + earned[students]

    return values


def _best(p: np.ndarray, students: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """(R, C): the largest share of each class that anybody in g + s holds."""
    return np.maximum(p[students], np.where(groups[:, :, None], p[None, :], 0).max(axis=1))


def _covered(best: np.ndarray) -> np.ndarray:
    """(1/C) sum_c min(1, C best(c)) over the last axis."""
    return np.minimum(1, best.shape[-1] * best).mean(axis=-1)


def _best_swap(s: int, edges: np.ndarray, values: Callable, allowed: np.ndarray,
               paths: Paths) -> tuple[float, int, int]:
    """(gain, old teacher, new teacher) of the best swap of student s; the gain is -inf if none is possible."""
    old = np.flatnonzero(edges[s])
    groups = np.repeat(edges[s][None], len(old), axis=0)
    groups[np.arange(len(old)), old] = False
    now, _ = values(np.array([s]), edges[s][None])
    _, after = values(np.full(len(old), s), groups)
    possible = np.repeat((allowed[s] & ~edges[s] & (load_left(edges, paths) > 0))[None], len(old), axis=0)
    if paths.budget_bytes is not None:
        possible &= paths.edge_bytes[s][None] - paths.edge_bytes[s, old][:, None] <= _bytes_left(edges, paths)
    gain = np.where(possible, np.round(after - now, _DECIMALS), -np.inf)
    slot, new = np.unravel_index(gain.argmax(), gain.shape)
    return gain[slot, new], old[slot], new
