"""RQ1, matching: who teaches whom, under limits on the paths of knowledge, and the groups that follow.

The poster asks for matching and path constraints and gives no rule; the rules are ours. Every student gets one more
teacher a round, up to fan_in: even where the mean similarity makes a gain slightly negative, for more voices lower the
noise of the pool. Where teachers may run out of places (fan_out) a round is an assignment: of as many students as
possible, then of the largest total gain. Ties go by the trend toward uniformity, then by client id.
Letters: N clients, R students and T teachers in a part of them; every pair matrix is [student s, teacher t].
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_array
from scipy.spatial.distance import cdist

from hfkd.assess import affinity, counted, coverage, dial, distributions, evenness, similarity, union_gain

RULES = {
    "coverage": "up to fan_in teachers that together cover what the student lacks (rounds, then one pass of swaps)",
    "similarity": "the poster's similarity alone: the fan_in most similar teachers",
    "uniformity": "the poster's trend toward uniformity alone: the fan_in teachers of largest union gain",
    "complementarity": "the poster's complementarity alone: the fan_in teachers that best cover what the student lacks",
    "assignment": "one teacher each, the largest total affinity, exact",
    "random": "control: up to fan_in teachers at random (needs rng)",
    "all": "control: every admissible edge; fan_in is ignored, fan_out is kept",
    "none": "control: no edge",
}
_FIT = {  # counts of students, eta, counts of teachers -> (R, T): what a rule looks at; the others, at the affinity
    "similarity": lambda n, eta, m: similarity(distributions(n), distributions(m)),
    "uniformity": lambda n, eta, m: union_gain(n, m),
    "complementarity": lambda n, eta, m: coverage(distributions(n), distributions(m)),
}
_TREND, _ID = 1e-6, 1e-10  # weights of trend and client id, each far below what comes before it
_SLACK, _DECIMALS = 1.1e-6, 12  # more than both can turn; finer than that is only the order of a sum


@dataclass(frozen=True, eq=False)
class Paths:
    """Levels of the clients and the limits on who teaches whom (ours).

    levels: (N,) integers >= 1, the largest the most capable. max_gap: a teacher stands 1 to max_gap levels above its
    student (1: the authors' code). fan_in: teachers per student, at most. fan_out: students per teacher, at most; None:
    no limit. links: (N, N) bool, True where an edge may be: says topology, byte budgets, size ratios or memory.

    Raises:
        ValueError: a limit that cannot hold; the sentence names it, and the client.

    >>> Paths([1, 2], fan_in=0)
    Traceback (most recent call last):
    ValueError: fan_in is 0; expected an integer >= 1
    """

    levels: np.ndarray
    max_gap: int = 1
    fan_in: int = 4
    fan_out: int | None = None
    links: np.ndarray | None = None

    def __post_init__(self):
        levels, links = np.array(self.levels), None if self.links is None else np.array(self.links)
        if levels.ndim != 1 or levels.size == 0 or levels.dtype.kind not in "iu":
            raise ValueError(f"levels is {levels.dtype} of shape {levels.shape}; expected an integer for each client")
        if levels.min() < 1:
            raise ValueError(f"level of client {levels.argmin()} is {levels.min()}; expected an integer >= 1")
        if links is not None and (links.dtype != bool or links.shape != 2 * levels.shape):
            raise ValueError(f"links is {links.dtype} of shape {links.shape}; expected bool {2 * levels.shape}")
        for name in ("max_gap", "fan_in") + ("fan_out",) * (self.fan_out is not None):
            value = getattr(self, name)
            if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < 1:
                raise ValueError(f"{name} is {value!r}; expected an integer >= 1")
        object.__setattr__(self, "levels", levels)
        object.__setattr__(self, "links", links)


@dataclass(frozen=True, eq=False)
class Matching:
    """Who teaches whom: edges (N, N) bool, read-only; alone: client -> why it has no teacher; rule: in RULES; score: mean
    `group_value` of the clients with an admissible teacher, whatever the rule; None if there is no such client."""

    edges: np.ndarray
    alone: dict[int, str]
    rule: str
    score: float | None


def admissible(paths: Paths) -> np.ndarray:
    """Edges t -> s with 1 <= l_t - l_s <= max_gap and a link: (N, N) bool.

    >>> admissible(Paths([1, 2, 3])).astype(int).tolist()
    [[0, 1, 0], [0, 0, 1], [0, 0, 0]]
    """
    levels = paths.levels
    mask = (levels > levels[:, None]) & (levels <= levels[:, None] + paths.max_gap)
    return mask if paths.links is None else mask & paths.links


def match(counts: np.ndarray, paths: Paths, rule: str = "coverage", personality: float = 0.25,
          rng: np.random.Generator | None = None) -> Matching:
    """Choose the teachers of every student by one rule (ours), within all limits of `paths`; deterministic.

    Args:
        counts: (N, C) non-negative integers, as released by the clients.
        rule: a name in RULES.
        personality: eta in [0, 1]; 1 asks for similar teachers, 0 for those that cover what the student lacks.
        rng: for rule "random" only.

    Raises:
        ValueError: unknown rule, wrong counts, counts and levels of different length, "random" without rng.

    >>> match([[4, 0], [0, 4], [2, 2]], Paths([1, 2, 2], fan_in=1), personality=0).edges[0].tolist()
    [False, True, False]
    """
    counts, n = counted(counts), len(paths.levels)
    if not isinstance(rule, str) or rule not in RULES:
        raise ValueError(f"rule is {rule!r}; expected one of {', '.join(RULES)}")
    if len(counts) != n:
        raise ValueError(f"counts has {len(counts)} clients, levels has {n}; expected one row of counts per level")
    if rule == "random" and not isinstance(rng, np.random.Generator):
        raise ValueError(f"rule 'random' got rng {rng!r}; expected a numpy Generator, such as np.random.default_rng(0)")
    dial(personality)
    allowed, edges = admissible(paths), np.zeros((n, n), dtype=bool)
    learns, drawn = allowed.any(axis=1), rng.random((n, n)) if rule == "random" else None
    fan_in = {"assignment": 1, "all": n}.get(rule, paths.fan_in)
    # a part: students who compete with nobody else, those of a level or, if levels share limited teachers, all
    part = paths.levels if paths.fan_out is None or paths.max_gap == 1 else np.zeros(n)
    for each in np.unique(part[learns]) if rule != "none" else ():
        students = np.flatnonzero((part == each) & learns)
        teachers = np.flatnonzero(allowed[students].any(axis=0))
        pairs, asked = np.ix_(students, teachers), (counts[students], personality, counts[teachers])
        if rule == "coverage":
            worth = _covering(*asked)
        else:
            fit = _FIT.get(rule, affinity)(*asked) if drawn is None else drawn[pairs]
            worth = lambda s, g, fit=fit: (0.0, lambda: fit[s], lambda t: 0.0)
        load = np.full(len(teachers), n if paths.fan_out is None else paths.fan_out)
        groups = _rounds(worth, allowed[pairs], load, fan_in, _ID * np.outer(1 - students / n, 1 - teachers / n))
        for s, g in enumerate(_swapped(worth, allowed[pairs], load, groups) if rule == "coverage" else groups):
            edges[students[s], teachers[g]] = True
    edges.setflags(write=False)
    score = float(group_value(counts, edges, personality)[learns].mean()) if learns.any() else None
    alone = {int(i): _why(i, allowed, paths, rule) for i in np.flatnonzero(~edges.any(axis=1))}
    return Matching(edges, alone, rule, score)


def group_value(counts: np.ndarray, edges: np.ndarray, personality: float = 0.25) -> np.ndarray:
    """Value (N,) of each client's group g: eta mean_{t in g} S(s, t) + (1 - eta) mean_c min(1, C max_{j in g+s} p_j(c)).

    In [0, 1]. The second term says how much of the classes the group, the student included, holds: a class counts in
    full once somebody has a fair share 1/C of it; it is monotone and submodular in g. The first is 0 where g is empty.

    >>> group_value([[4, 0], [0, 4]], np.array([[False, True], [False, False]]), personality=0.25).tolist()
    [0.75, 0.375]
    """
    p = distributions(counts)
    fair, found = np.minimum(1, p.shape[1] * p), np.empty(len(p))
    for s, g in enumerate(np.asarray(edges, dtype=bool)):
        likeness = similarity(p[[s]], p[g]).mean() if g.any() else 0
        found[s] = personality * likeness + (1 - personality) * np.maximum(fair[s], fair[g].max(0, initial=0)).mean()
    return found


def describe(matching: Matching, paths: Paths) -> list[str]:
    """The matching in words, one fact a line, every client without a teacher included with the reason.

    >>> for line in describe(match([[4, 0], [0, 4]], Paths([1, 2])), Paths([1, 2])): print(line)
    rule coverage: 1 edges, 1 of 2 clients have a teacher, score 0.7500
    level 2 -> level 1: 1 edges
    teachers of a taught client: 1 to 1; students of a teacher: 1 to 1
    alone, level 2 is the most capable: client 1
    """
    edges, n = matching.edges, len(matching.edges)
    into, out = (many[many > 0] for many in (edges.sum(axis=1), edges.sum(axis=0)))
    score = "" if matching.score is None else f", score {matching.score:.4f}"
    lines = [f"rule {matching.rule}: {edges.sum()} edges, {len(into)} of {n} clients have a teacher{score}"]
    kinds, numbers = np.unique(paths.levels[np.argwhere(edges)], axis=0, return_counts=True)
    lines += [f"level {t} -> level {s}: {k} edges" for (s, t), k in zip(kinds, numbers, strict=True)]
    if len(into):
        lines.append(f"teachers of a taught client: {into.min()} to {into.max()}; "
                     f"students of a teacher: {out.min()} to {out.max()}")
    for reason in dict.fromkeys(matching.alone.values()):
        clients = [str(i) for i, why in matching.alone.items() if why == reason]
        lines.append(f"alone, {reason}: client{'s' * (len(clients) > 1)} {', '.join(clients)}")
    return lines


def group(edges: np.ndarray, levels: np.ndarray, feedback: bool = True, peers: bool = True,
          self_: bool = True) -> np.ndarray:
    """Who a client listens to: its teachers, its students (feedback), its peers, itself: (N, N) bool, the pooling mask.

    A peer is a client of the same level with a teacher in common. The members are the poster's (RQ3), this is ours.

    >>> group(np.array([[0, 0, 1], [0, 0, 1], [0, 0, 0]]), [1, 1, 2], self_=False).astype(int).tolist()
    [[0, 1, 1], [1, 0, 1], [1, 1, 0]]
    """
    edges, levels = np.asarray(edges, dtype=bool), np.asarray(levels)
    itself, mask = np.eye(len(edges), dtype=bool), edges.copy()
    if feedback:
        mask |= edges.T
    if peers:
        sparse = csr_array(edges, dtype=np.int32)
        mask |= ((sparse @ sparse.T).toarray() > 0) & (levels[:, None] == levels) & ~itself
    return mask | itself if self_ else mask


def _why(i: int, allowed: np.ndarray, paths: Paths, rule: str) -> str:
    """The limit that leaves client i without a teacher."""
    gap = paths.levels - paths.levels[i]
    if gap.max() == 0:
        return f"level {paths.levels[i]} is the most capable"
    if not ((gap >= 1) & (gap <= paths.max_gap)).any():
        return f"no admissible teacher within max_gap {paths.max_gap}"
    if not allowed[i].any():
        return "no admissible teacher that links allow"
    return 'rule "none" asks for no teacher' if rule == "none" else "no teacher had load left (fan_out)"


def _covering(n_s: np.ndarray, personality: float, n_t: np.ndarray) -> Callable:
    """worth(s, g): what the teachers g (places) are worth to student s by `group_value` and trend, and two functions:
    after() (T,) with one more teacher each, without the trend, and trend(t) (k,) of some of these."""
    p, q = distributions(n_s), distributions(n_t)
    own, fair, alike = np.minimum(1, p.shape[1] * p), np.minimum(1, q.shape[1] * q), similarity(p, q)
    held = fair.sum(axis=1)

    def worth(s, g):
        best, pooled, likes = np.maximum(own[s], fair[g].max(0, initial=0)), n_s[s] + n_t[g].sum(0), alike[s, g].sum()
        now = personality * likes / max(len(g), 1) + (1 - personality) * best.mean() + _TREND * evenness(pooled)

        def after():  # max(a, b) = (a + b + |a - b|)/2
            covered = (best.sum() + held + cdist(best[None], fair, "cityblock")[0]) / (2 * len(best))
            return personality * (likes + alike[s]) / (len(g) + 1) + (1 - personality) * covered

        return now, after, lambda t: _TREND * evenness(pooled + n_t[t])

    return worth


def _near_best(now: float, after: Callable, trend: Callable, free: np.ndarray, places: np.ndarray, asking: int):
    """Teachers (k,) that a student may get in an exact round, and what each adds.

    Where its best teachers have places for all who ask, one of them has a place left, and it gets none that is worse.
    """
    t = np.flatnonzero(free)
    rise = after()[t] - now
    order = np.argsort(-rise)
    last = order[: 1 + np.searchsorted(np.cumsum(places[t[order]]), asking)][-1]
    near = rise >= rise[last] - _SLACK
    return t[near], np.round(rise[near] + trend(t[near]), _DECIMALS)


def _assigned(near: list[tuple], load: np.ndarray) -> np.ndarray:
    """A teacher, or -1, for each of `near` (teachers, gains): for as many as possible, then the largest total gain."""
    wanted = np.bincount(np.concatenate([t for t, _ in near]), minlength=len(load))
    if (wanted <= load).all():
        return np.array([t[gain.argmax()] for t, gain in near])
    nobody = 4.0 * len(near)  # worse than anything that all other students can win by it
    loss = np.full((len(near), len(load)), nobody)
    for i, (t, gain) in enumerate(near):
        loss[i, t] = -gain
    columns = np.repeat(np.arange(len(load)), np.minimum(load, wanted))  # a teacher's column as often as it has places
    i, column = linear_sum_assignment(loss[:, columns])
    found = np.full(len(near), -1)
    found[i] = np.where(loss[i, columns[column]] < nobody, columns[column], -1)
    return found


def _rounds(worth: Callable, may: np.ndarray, load: np.ndarray, fan_in: int, by_id: np.ndarray) -> list[list]:
    """Groups of up to fan_in of the teachers that each student `may` (R, T) have; takes places from `load` (T,)."""
    if fan_in >= len(load) and load.min() >= len(may):  # nobody has to choose
        return [list(np.flatnonzero(row)) for row in may]
    groups, free = [[] for _ in may], may.copy()
    while len(asking := np.flatnonzero(free.any(axis=1))):
        places = np.where(load < free.sum(axis=0), load, len(asking))
        near = [_near_best(*worth(s, groups[s]), free[s], places, len(asking)) for s in asking]
        if (load[free.any(axis=0)] < len(asking)).any():  # rivals: low ids first, by low ids
            near = [(t, gain + by_id[s, t]) for s, (t, gain) in zip(asking, near, strict=True)]
        for s, t in zip(asking, _assigned(near, load), strict=True):
            if t >= 0:
                groups[s].append(t)
                load[t] -= 1
                free[s] &= (np.arange(len(load)) != t) & (len(groups[s]) < fan_in)
        free &= load > 0
    return groups


def _swapped(worth: Callable, may: np.ndarray, load: np.ndarray, groups: list[list]) -> list[list]:
    """One pass: a student may replace one teacher by another with a place left, if that raises the value of its group.

    Students go in the order of what they could win at first, so that their numbers do not matter.
    """
    def best(s):  # gain, old and new teacher
        now, found, free = worth(s, groups[s])[0], (-np.inf, None, None), may[s] & (load > 0)
        free[groups[s]] = False
        for old in sorted(groups[s]) if free.any() else ():
            _, after, trend = worth(s, [t for t in groups[s] if t != old])
            t, gain = _near_best(now, after, trend, free, np.ones(len(load)), 1)
            found = max(found, (gain.max(), old, t[gain.argmax()]), key=lambda swap: swap[0])
        return found

    swaps, before = [best(s) for s in range(len(groups))], load > 0
    for s in np.argsort([-gain for gain, _, _ in swaps], kind="stable"):
        gain, old, new = swaps[s] if ((load > 0) == before).all() else best(s)
        if gain > 0:
            groups[s] = [t for t in groups[s] if t != old] + [new]
            load[[old, new]] += 1, -1
    return groups
