"""RQ1, matching: who teaches whom, under limits on the paths of knowledge, and the groups that follow.

The poster asks for matching and path constraints and gives no rule; the rules are ours. Every student gets one more
teacher a round, up to fan_in: even where the mean similarity makes a gain slightly negative, for more voices lower the
noise of the pool. Where teachers may run out of places (fan_out) a round is an assignment: of as many students as
possible, then of the largest total gain. Ties go by the trend toward uniformity, then by client id. N clients, of whom
R students and T teachers form a part of the federation; every pair matrix is [student s, teacher t]."""

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_array

from hfkd.assess import counted, coverage, distributions, similarity, uniformity, union_gain

RULES = {
    "coverage": "up to fan_in teachers that together cover what the student lacks (rounds, then one pass of swaps)",
    "similarity": "the poster's similarity alone: the fan_in most similar teachers",
    "uniformity": "the poster's trend toward uniformity alone: the fan_in teachers of largest union gain",
    "complementarity": "the poster's complementarity alone: the fan_in teachers that best cover what the student lacks",
    "mutual": "what both sides gain where knowledge flows back: a student's cover by its teacher, the teacher's by it",
    "random": "control: up to fan_in teachers at random (needs rng)",
    "all": "control: every admissible edge; fan_in and fan_out are ignored"}
# Those of RULES that look at one teacher at a time: (R, C), (T, C) counts -> (R, T), larger is better.
_CRITERIA = {"similarity": similarity, "uniformity": union_gain, "complementarity": coverage}
_TREND, _ID, _DECIMALS = 1e-6, 1e-10, 12  # weights of trend and client id; finer is only the order of a sum


def admissible(levels: np.ndarray, max_gap: int = 1) -> np.ndarray:
    """Edges t -> s with 1 <= l_t - l_s <= max_gap: (N, N) bool (ours; max_gap = 1 is the authors' code).
    >>> admissible([1, 2, 3]).astype(int).tolist()
    [[0, 1, 0], [0, 0, 1], [0, 0, 0]]
    """
    levels = np.asarray(levels)
    return (levels > levels[:, None]) & (levels <= levels[:, None] + max_gap)


def match(counts: np.ndarray, levels: np.ndarray, rule="coverage", personality=0.25, rng=None, max_gap=1, fan_in=4,
          fan_out=None) -> np.ndarray:
    """Edges (N, N) bool, read-only: the teachers of every student, from the counts (N, C) as released, within limits:
    teachers stand 1 to max_gap of the levels (N,) higher, at most fan_in a student, at most fan_out students a teacher.
    rule: a name in RULES; "random" draws from rng. personality: eta in [0, 1]; 1 asks for similar teachers, 0 for
    complementary ones: "coverage" seeks eta mean_{t in g} S(s, t) + (1 - eta) `covered`, its first term 0 without any.
    At 0.25 one teacher, where all hold few classes, is the most similar one: each covers little of what is lacked.
    Raises ValueError: unknown rule, wrong counts, counts and levels of different length.
    >>> match([[4, 0], [0, 4], [2, 2]], [1, 2, 2], personality=0, fan_in=1)[0].tolist()
    [False, True, False]
    """
    counts, levels = counted(counts), np.asarray(levels)
    if rule not in RULES:
        raise ValueError(f"rule is {rule!r}; expected one of {', '.join(RULES)}")
    if len(counts) != (n := len(levels)):
        raise ValueError(f"counts has {len(counts)} clients, levels has {n}; expected one row of counts per level")
    allowed = admissible(levels, max_gap)
    learns, drawn = allowed.any(axis=1), rng.random((n, n)) if rule == "random" else None
    edges = allowed.copy() if rule == "all" else np.zeros((n, n), dtype=bool)
    # a part: students who compete with nobody else, those of a level or, if levels share limited teachers, all
    part = levels if fan_out is None or max_gap == 1 else np.zeros(n)
    for each in np.unique(part[learns]) if rule != "all" else ():
        students = np.flatnonzero((part == each) & learns)
        teachers = np.flatnonzero(allowed[students].any(axis=0))
        pairs, given = np.ix_(students, teachers), (counts[students], counts[teachers])
        by_id = _ID * np.outer(1 - students / n, 1 - teachers / n)
        limits = allowed[pairs], np.full(len(teachers), fan_out or n), fan_in, by_id
        if rule == "mutual":
            groups = _mutual(*given, *limits)
        elif rule == "coverage":
            worth = _covering(*given, personality)
            groups = _swapped(worth, *limits[:2], _rounds(worth, *limits))
        else:
            groups = _rounds(_ranking(drawn[pairs] if rule == "random" else _CRITERIA[rule](*given)), *limits)
        for s, g in enumerate(groups):
            edges[students[s], teachers[g]] = True
    edges.setflags(write=False)
    return edges


def covered(counts: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """How much of the classes each client's group g holds: (N,) mean_c min(1, C max_{j in g+s} p_j(c)), in [0, 1].
    A class counts in full once somebody has a fair share 1/C of it; monotone and submodular in g.
    >>> covered([[4, 0], [0, 4]], np.array([[False, True], [False, False]])).tolist()
    [1.0, 0.5]
    """
    n, edges = counted(counts), np.asarray(edges, dtype=bool)
    fair = np.minimum(1, n.shape[1] * distributions(n))
    return np.array([np.maximum(fair[s], fair[g].max(0, initial=0)).mean() for s, g in enumerate(edges)])


def group(edges: np.ndarray, levels: np.ndarray, feedback=True, peers=True, self_=True) -> np.ndarray:
    """Who a client listens to: its teachers, its students (feedback), its peers, itself: (N, N) bool, the pooling mask.
    A peer is a client of the same level with a teacher in common. The members are the poster's (RQ3), this is ours.
    >>> group(np.array([[0, 0, 1], [0, 0, 1], [0, 0, 0]]), [1, 1, 2], self_=False).astype(int).tolist()
    [[0, 1, 1], [1, 0, 1], [1, 1, 0]]
    """
    edges, levels = np.asarray(edges, dtype=bool), np.asarray(levels)
    itself, mask = np.eye(len(edges), dtype=bool), edges | edges.T if feedback else edges.copy()
    if peers:
        sparse = csr_array(edges, dtype=np.int32)
        mask |= ((sparse @ sparse.T).toarray() > 0) & (levels[:, None] == levels) & ~itself
    return mask | itself if self_ else mask


def _mutual(n_s: np.ndarray, n_t: np.ndarray, may: np.ndarray, load: np.ndarray, fan_in: int, by_id) -> list[list]:
    """Groups of up to fan_in teachers, edge by edge, the one first that adds most to the cover of both: the student's
    by its teachers, the teacher's by its students. Greedy: with fan_out a student may find all its teachers taken."""
    fair, give = (np.minimum(1, n.shape[1] * distributions(n)) for n in (n_s, n_t))
    groups, own, theirs, left = [[] for _ in may], fair.copy(), give.copy(), may.copy()
    up = lambda s: np.maximum(own[s, None], give).mean(-1) - own[s].mean(-1, keepdims=True)  # what students gain
    down = lambda t: np.maximum(theirs[t], fair[:, None]).mean(-1) - theirs[t].mean(-1)  # what teachers gain
    gain = np.concatenate([up(np.array([s])) for s in range(len(own))]) + down(slice(None)) + by_id
    gain += _TREND * union_gain(n_s, n_t)
    for _ in range(fan_in):
        open_ = left & (load > 0)
        while open_.any():
            s, t = np.unravel_index(np.where(open_, np.round(gain, _DECIMALS), -np.inf).argmax(), gain.shape)
            groups[s].append(int(t))
            before = up(np.array([s]))[0], down([t])[:, 0]
            own[s], theirs[t] = np.maximum(own[s], give[t]), np.maximum(theirs[t], fair[s])
            gain[s] += up(np.array([s]))[0] - before[0]
            gain[:, t] += down([t])[:, 0] - before[1]
            left[s, t], open_[s], load[t] = False, False, load[t] - 1
            open_ &= load > 0
    return groups


def _ranking(fit: np.ndarray):
    """worth(s, g, free, rivals), as `_covering` has it, of a criterion (R, T) that looks at one teacher at a time."""
    return lambda s, g, free, rivals: (0.0, np.where(free, fit[s], -np.inf))


def _covering(n_s: np.ndarray, n_t: np.ndarray, personality: float):
    """worth(s, g, free, rivals): what teachers g (places) are worth to student s, by objective and trend, and what
    each teacher adds (T,), -inf if it is not free; without rivals exact for the best only."""
    p, q = distributions(n_s), distributions(n_t)
    own, fair, alike = np.minimum(1, p.shape[1] * p), np.minimum(1, q.shape[1] * q), similarity(n_s, n_t)
    def worth(s, g, free, rivals):
        best, pooled, likes = np.maximum(own[s], fair[g].max(0, initial=0)), n_s[s] + n_t[g].sum(0), alike[s, g].sum()
        now = personality * likes / max(len(g), 1) + (1 - personality) * best.mean() + _TREND * uniformity(pooled)
        after = personality * (likes + alike[s]) / (len(g) + 1) + (1 - personality) * np.maximum(best, fair).mean(1)
        gain = np.where(free, after - now, -np.inf)
        near = np.flatnonzero(free if rivals else gain >= gain.max() - 1.1 * _TREND)  # the rest is out
        gain[near] += _TREND * uniformity(pooled + n_t[near])
        return now, gain
    return worth


def _rounds(worth, may: np.ndarray, load: np.ndarray, fan_in: int, by_id: np.ndarray) -> list[list]:
    """Groups of up to fan_in of the teachers that each student `may` (R, T) have; takes places from `load` (T,)."""
    groups, free = [[] for _ in may], may.copy()
    while len(students := np.flatnonzero(free.any(axis=1))) and fan_in:
        rivals = (load[free.any(axis=0)] < len(students)).any()
        gain = np.round([worth(s, groups[s], free[s], rivals)[1] for s in students], _DECIMALS)
        teachers = gain.argmax(axis=1)
        if rivals:
            nobody = 4.0 * len(students)  # worse than anything that all other students can win by it
            places = np.repeat(np.arange(len(load)), np.minimum(load, len(students)))
            loss = np.where(gain > -np.inf, -gain - by_id[students], nobody)[:, places]
            row, place = linear_sum_assignment(loss)
            taught = loss[row, place] < nobody
            students, teachers = students[row[taught]], places[place[taught]]
        for s, t in zip(students, teachers, strict=True):
            groups[s].append(t)
            load[t] -= 1
            free[s, t] = False
        free &= load > 0
        fan_in -= 1
    return groups


def _swapped(worth, may: np.ndarray, load: np.ndarray, groups: list[list]) -> list[list]:
    """One pass, by the gain at first: a student may replace one teacher by another with a place left, if that pays."""
    def best(s):  # gain, old and new teacher
        free, olds = may[s] & (load > 0), sorted(groups[s])
        free[olds] = False
        if not olds or not free.any():
            return -np.inf, None, None
        after = [np.add(*worth(s, [t for t in olds if t != old], free, False)) for old in olds]
        gain = np.round(after - worth(s, olds, free, False)[0], _DECIMALS)
        old, new = np.unravel_index(gain.argmax(), gain.shape)
        return gain[old, new], olds[old], new
    swaps, places = [best(s) for s in range(len(groups))], load > 0
    for s in np.argsort([-gain for gain, _, _ in swaps], kind="stable"):
        gain, old, new = swaps[s] if ((load > 0) == places).all() else best(s)
        if gain > 0:
            groups[s] = [t for t in groups[s] if t != old] + [new]
            load[[old, new]] += 1, -1
    return groups
