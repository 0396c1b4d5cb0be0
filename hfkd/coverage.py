"""RQ1, groups: what a group of teachers is worth to its student, and the swap pass that improves it.

All of it is ours (METHOD section 4). Letters and places as in `hfkd.rounds`; g the teachers of a student s.
"""

from collections.abc import Callable

import numpy as np
from scipy.spatial.distance import cdist

from hfkd.assess import distributions, similarity
from hfkd.rounds import BY_UNIFORMITY, DECIMALS, SLACK, Part, Values, fill
from hfkd.tables import blocks, evenness


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
    fair, found = _fair(p), np.empty(len(p))
    for s, row in enumerate(np.asarray(edges, dtype=bool)):
        g = np.flatnonzero(row)
        likeness = similarity(p[[s]], p[g]).mean() if len(g) else 0
        found[s] = personality * likeness + (1 - personality) * fair[[s, *g]].max(axis=0).mean()
    return found


def match_groups(counts: np.ndarray, these: list[Part], fan_in: int, personality: float, earned: np.ndarray,
                 share: float) -> list[np.ndarray]:
    """The "coverage" rule: `fill` on the marginal gains of (1 - share) `group_value` + the sum of `earned` (N, N) over
    the group, then `swap`; returns groups (R, slots) of each part."""
    values = [group_values(counts, part, personality, earned, share) for part in these]
    filled = fill(values, these, fan_in)
    return [swap(*state, value, part) for state, value, part in zip(filled, values, these, strict=True)]


def group_values(counts: np.ndarray, part: Part, personality: float, earned: np.ndarray, share: float) -> Callable:
    """groups (R, slots) -> Values: `group_value` with its tie-break, of groups and of each with one more teacher."""
    n, p = np.asarray(counts, dtype=np.float64), distributions(counts)
    (own, fair), (n_s, n_t) = ((table[part.students], table[part.teachers]) for table in (_fair(p), n))
    alike, row = similarity(p[part.students], p[part.teachers]), np.arange(len(own))[:, None]

    def worth(likeness, covered, paid):
        return (1 - share) * (personality * likeness + (1 - personality) * covered) + paid

    def values(groups):
        taken = groups >= 0
        paid = earned[part.students[:, None], part.teachers[groups]]
        size, total, paid = (np.where(taken, x, 0).sum(axis=1) for x in (1, alike[row, groups], paid))
        best, pooled = own.copy(), n_s.copy()
        for t, there in zip(groups.T, taken.T, strict=True):
            best[there], pooled[there] = np.maximum(best[there], fair[t[there]]), pooled[there] + n_t[t[there]]

        def after(s):  # max(a, b) = (a + b + |a - b|)/2, summed over classes without an array (r, T, C)
            covered = best[s].sum(axis=1)[:, None] + fair.sum(axis=1) + cdist(best[s], fair, "cityblock")
            likeness = (total[s, None] + alike[s]) / (size[s, None] + 1)
            more = earned[np.ix_(part.students[s], part.teachers)]
            return worth(likeness, covered / (2 * fair.shape[1]), paid[s, None] + more)

        def trend(s, t):
            pieces = (evenness(pooled[s[k]] + n_t[t[k]]) for k in blocks(len(s), n_t.shape[1]))
            return (1 - share) * BY_UNIFORMITY * np.concatenate([*pieces, np.zeros(0)])

        now = worth(total / np.maximum(size, 1), best.mean(axis=1), paid)
        return Values(now + (1 - share) * BY_UNIFORMITY * evenness(pooled), after, trend)

    return values


def swap(groups: np.ndarray, load: np.ndarray, budget: float, values: Callable, part: Part) -> np.ndarray:
    """One pass: every student may replace one teacher by another with load left, if that raises its value.

    Students go in the order of what they could win, so that the outcome does not depend on how clients are numbered.
    What a swap is worth depends on the student's own group alone, so each swap is valued once; whether load and budget
    allow it is asked when it is the student's turn.
    """
    groups, load = np.sort(groups, axis=1), load.copy()
    hopes, (student, slot, new, gain) = _swaps(groups, load, budget, values, part)
    first = np.searchsorted(student, np.arange(len(groups) + 1))
    more = part.cost[student, new] - part.cost[student, groups[student, slot]]
    for s in np.argsort(-hopes, kind="stable"):
        k = np.arange(first[s], first[s + 1])
        k = k[(load[new[k]] > 0) & (more[k] <= budget)]
        if len(k):
            best = k[gain[k].argmax()]
            old, groups[s, slot[best]] = groups[s, slot[best]], new[best]
            load[old] += 1
            load[new[best]] -= 1
            budget -= more[best]
    return groups


def _swaps(groups: np.ndarray, load: np.ndarray, budget: float, values: Callable, part: Part) -> tuple:
    """hopes (R,): the best gain of a swap that load and budget allow now; and every swap of positive gain, allowed now
    or not: students, slots, new teachers, gains, in that order."""
    now, n_teachers = values(groups).now, len(load)
    hopes, found, other = np.full(len(groups), -np.inf), [], part.allowed.copy()
    s, slot = np.nonzero(groups >= 0)
    other[s, groups[s, slot]] = False
    for slot, old in enumerate(groups.T):
        without = values(np.where(np.arange(groups.shape[1]) == slot, -1, groups))
        for rows in blocks(len(groups), n_teachers):
            cost = part.cost[rows]
            more = cost - np.take_along_axis(cost, old[rows, None], axis=1)
            able = other[rows] & (old[rows, None] >= 0)
            open_ = able & (load > 0) & (more <= budget)
            rise = without.after(rows) - now[rows, None]
            top = np.where(open_, rise, -np.inf).max(axis=1, keepdims=True)
            s, t = np.nonzero((able & (rise > -SLACK)) | (open_ & (rise >= top - SLACK)))
            gain = np.round(rise[s, t] + without.trend(s + rows.start, t), DECIMALS)
            np.maximum.at(hopes, s + rows.start, np.where(open_[s, t], gain, -np.inf))
            k = gain > 0
            found.append((s[k] + rows.start, np.full(k.sum(), slot), t[k], gain[k]))
    student, slot, new, gain = map(np.concatenate, zip(*found, strict=True))
    order = np.lexsort((new, slot, student))
    return hopes, (student[order], slot[order], new[order], gain[order])


def _fair(p: np.ndarray) -> np.ndarray:
    """min(1, C p): how much of a fair share 1/C of each class everybody has."""
    return np.minimum(1, p.shape[1] * p)
