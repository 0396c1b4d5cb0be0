"""RQ1, rounds: every student gets one more teacher a round, and each round is solved exactly. Ours (METHOD section 4).

Students compete where `fan_out` or a byte budget limits teachers, and clients of different levels rarely do. So a
federation falls into parts, of which each is a smaller problem. In a part, R students and T teachers go by their
places, pair matrices are [student s, teacher t], groups are (R, slots) places of teachers, -1 where a slot is empty.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from hfkd.constraints import Paths
from hfkd.tables import blocks

# Order of preference: the objective, then the trend to uniformity, then the client id. Each is scaled well below the
# one before it, and the rounding takes away what only the order of a sum decides.
BY_UNIFORMITY = 1e-6
_BY_ID = 1e-10
DECIMALS = 12
SLACK = 1.1e-6  # more than the trend and the client id together can turn


class Part(NamedTuple):
    """Students who compete with nobody outside the part, and all their teachers."""

    students: np.ndarray  # (R,) client ids, ascending
    teachers: np.ndarray  # (T,) client ids, ascending
    early: tuple  # of the students and of the teachers: 1 for client 0, towards 0 for the last one
    allowed: np.ndarray  # (R, T) bool
    load: np.ndarray  # (T,) students that each teacher can take
    cost: np.ndarray  # (R, T) bytes of an edge; 0 without a budget
    budget: float  # bytes for all edges; inf without a budget


class Values(NamedTuple):
    """What groups are worth, and what one more teacher would make of them."""

    now: np.ndarray  # (R,)
    after: Callable  # slice of students -> (r, T), without the trend
    trend: Callable  # students (k,), teachers (k,) -> (k,), what the trend adds to `after`


def constant(gain: np.ndarray) -> Callable:
    """Values for `fill` where a teacher is worth `gain` (R, T) to a student, whoever else teaches it."""
    return lambda _: Values(np.zeros(len(gain)), lambda s: gain[s], lambda s, t: np.zeros(len(s)))


def parts(allowed: np.ndarray, paths: Paths) -> Iterator[Part]:
    """The parts: the students of a level, or all together where they share a budget or teachers.

    >>> [part.students.tolist() for part in parts(~np.eye(3, dtype=bool)[[0, 1, 1]], Paths([1, 2, 3]))]
    [[0], [1], [2]]
    """
    n, money = len(allowed), paths.budget_bytes is not None
    key = np.zeros(n) if money or paths.max_gap > 1 else paths.levels
    early = 1 - np.arange(n) / n
    for k in np.unique(key):
        students = np.flatnonzero((key == k) & allowed.any(axis=1))
        teachers = np.flatnonzero(allowed[students].any(axis=0))
        if len(students):
            square = np.ix_(students, teachers)
            cost = paths.edge_bytes[square] if money else np.broadcast_to(0.0, (len(students), len(teachers)))
            load = np.full(len(teachers), n if paths.fan_out is None else paths.fan_out)
            yield Part(students, teachers, (early[students], early[teachers]), allowed[square], load, cost,
                       paths.budget_bytes if money else np.inf)


def fill(values: list[Callable], these: list[Part], fan_in: int) -> list[tuple[np.ndarray, np.ndarray, float]]:
    """Give every student one more teacher a round, the rounds solved exactly, until a limit stops it.

    A student is filled up to fan_in even where the mean similarity makes a gain slightly negative: fan_in is a budget
    of voices, more voices lower the noise of the pool, and the objective only orders them. When bytes run short in a
    round, the edges of highest gain are kept. The parts go round by round together, because ids weigh in wherever a
    teacher has fewer places left than students of all parts ask for one.

    Args:
        values: of each part, groups -> Values; after - now is in [-1, 1].
        these: the parts; their limits are kept.
        fan_in: teachers per student.

    Returns:
        Of each part: groups (R, slots), the load left (T,), the budget left.
    """
    if all(fan_in >= len(p.teachers) and np.isinf(p.budget) and (p.load >= len(p.students)).all() for p in these):
        return [(np.where(p.allowed, np.arange(len(p.teachers)), -1), p.load, p.budget) for p in these]
    states = [(np.full((len(p.students), min(fan_in, len(p.teachers))), -1), p.load, p.budget) for p in these]
    while True:
        asked = [_free(part, *state) for part, state in zip(these, states, strict=True)]
        asking = sum(free.any(axis=1).sum() for free in asked)
        if asking == 0:
            return states
        rivals = any((load[free.any(axis=0)] < asking).any() for free, (_, load, _) in zip(asked, states, strict=True))
        for i, free in enumerate(asked):
            if free.any():
                states[i] = _round(values[i], these[i], free, rivals, *states[i])


def _free(part: Part, groups: np.ndarray, load: np.ndarray, budget: float) -> np.ndarray:
    """(R, T) bool: who may be added to which group."""
    free = part.allowed & (load > 0) & (part.cost <= budget) & (groups < 0).any(axis=1)[:, None]
    s, slot = np.nonzero(groups >= 0)
    free[s, groups[s, slot]] = False
    return free


def _round(values: Callable, part: Part, free: np.ndarray, rivals: bool, groups: np.ndarray, load: np.ndarray,
           budget: float) -> tuple[np.ndarray, np.ndarray, float]:
    """One more teacher for everybody who may have one."""
    s, t, gain = _near_best(values(groups), free, load)
    rank = gain + rivals * _BY_ID * part.early[0][s] * part.early[1][t]  # low ids first, by low ids
    chosen = assign(s, t, rank, load)
    kept = chosen[keep_best(gain[chosen], part.cost[s[chosen], t[chosen]], budget)]
    s, t, groups = s[kept], t[kept], groups.copy()
    groups[s, (groups[s] < 0).argmax(axis=1)] = t
    return groups, load - np.bincount(t, minlength=len(load)), budget - part.cost[s, t].sum()


def _near_best(values: Values, free: np.ndarray, load: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The free pairs that an exact round has to look at: students, teachers, gains, the students in order.

    Where a student's best teachers have places for all students together, one of them has a place left, and in the best
    round the student has none that is worse. Without competition that is its one best teacher, and the trend to
    uniformity is computed only for those between whom it may decide.
    """
    many, n_teachers = free.any(axis=1).sum(), len(load)
    places = np.where(load < free.sum(axis=0), load, many)
    found = []
    for rows in blocks(len(free), n_teachers):
        gain = values.after(rows) - values.now[rows, None]
        ranked = np.where(free[rows], gain, -np.inf)
        order = np.argsort(-ranked, axis=1)
        last = np.minimum((np.cumsum(places[order], axis=1) < many).sum(axis=1, keepdims=True), n_teachers - 1)
        floor = np.take_along_axis(ranked, np.take_along_axis(order, last, axis=1), axis=1)
        s, t = np.nonzero(free[rows] & (gain >= floor - SLACK))
        found.append((s + rows.start, t, gain[s, t]))
    s, t, gain = map(np.concatenate, zip(*found, strict=True))
    return s, t, np.round(gain + values.trend(s, t), DECIMALS)


def assign(students: np.ndarray, teachers: np.ndarray, gain: np.ndarray, load: np.ndarray) -> np.ndarray:
    """One teacher for as many students as possible, and among those the largest total gain, exactly.

    Args:
        students, teachers, gain: (k,) the pairs that may be chosen, in the order of students, then teachers; gain in
            [-1, 1].
        load: (T,) students that each teacher can still take; a teacher's column is repeated that often.

    Returns:
        (j,) which of the pairs, the students in order.

    >>> assign(np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1]), np.array([.9, .8, .9, .1]), np.array([1, 1])).tolist()
    [1, 2]
    """
    wanted = np.bincount(teachers, minlength=len(load))
    if (wanted <= load).all():  # everybody takes its best, lowest id first
        order = np.lexsort((teachers, -gain, students))
        return order[np.unique(students[order], return_index=True)[1]]
    rows, at = np.unique(students, return_inverse=True)
    alone = 4.0 * len(rows)  # worse than anything that all other students can win by it
    loss = np.full((len(rows), len(load)), alone)
    loss[at, teachers] = -gain
    columns = np.repeat(np.arange(len(load)), np.minimum(load, wanted))
    at, chosen = linear_sum_assignment(np.take(loss, columns, axis=1))
    taught = loss[at, columns[chosen]] < alone
    key = rows[at] * len(load) + columns[chosen]
    return np.searchsorted(students * len(load) + teachers, key[taught])


def keep_best(gain: np.ndarray, cost: np.ndarray, budget: float) -> np.ndarray:
    """Which edges are kept, those of highest gain first, as long as the budget pays for them; ties in the given order.

    >>> keep_best(np.array([.1, .9, .5]), np.array([1., 2., 3.]), 4).tolist()
    [1, 0]
    """
    if np.isinf(budget):
        return np.arange(len(gain))
    kept = []
    for i in np.argsort(-gain, kind="stable"):
        if cost[i] <= budget:
            kept.append(i)
            budget -= cost[i]
    return np.array(kept, dtype=np.int64)
