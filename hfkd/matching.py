"""RQ1, matching: one call for every rule and control that decides who teaches whom, and the groups that follow from it.

Every pair matrix is [student s, teacher t]. The poster asks for the matching and gives no rule; all rules are ours.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from hfkd.assess import affinity, coverage, distributions, similarity, union_gain
from hfkd.constraints import Paths, admissible, load_left, why_alone
from hfkd.coverage import group_value, match_groups
from hfkd.rounds import Part, constant, fill, parts
from hfkd.solvers import largest, stable
from hfkd.tables import counted, dial, paid

__all__ = ["RULES", "Matching", "Paths", "admissible", "describe", "group", "group_value", "match"]

RULES = {
    "coverage": "up to fan_in teachers that together cover what the student lacks (assignment in rounds, one swap)",
    "assignment": "one teacher each, the largest total affinity, exact",
    "stable": "one teacher each, student-proposing deferred acceptance: no pair would rather have each other",
    "milp": "up to fan_in teachers, the largest total affinity under fan_out and the byte budget, exact",
    "random": "control: up to fan_in teachers at random (needs rng)",
    "nearest": "the poster's similarity alone: the fan_in most similar teachers",
    "farthest": "control: the fan_in least similar teachers",
    "uniformity": "the poster's trend toward uniformity alone: the fan_in teachers of largest union gain",
    "complementarity": "the poster's complementarity alone: the fan_in teachers that best cover what the student lacks",
    "all": "control: every admissible edge; fan_in is ignored, fan_out and the byte budget are kept",
    "none": "control: no edge",
}

MEASURES = {  # counts of the students, counts of the teachers -> (R, T); the other rules look at the affinity
    "nearest": lambda n, m: similarity(distributions(n), distributions(m)),
    "farthest": lambda n, m: -similarity(distributions(n), distributions(m)),
    "uniformity": union_gain,
    "complementarity": lambda n, m: coverage(distributions(n), distributions(m)),
}


@dataclass(frozen=True, eq=False)
class Matching:
    """Who teaches whom.

    edges: (N, N) bool [student, teacher], read-only. alone: client -> why it has no teacher. rule: a name in RULES.
    score: what the rule maximises; "coverage": mean `group_value` of the clients with an admissible teacher;
    "assignment", "milp", "all": total affinity of the edges; None for the rules that maximise no total.
    """

    edges: np.ndarray
    alone: dict[int, str]
    rule: str
    score: float | None


def match(counts: np.ndarray, paths: Paths, rule: str = "coverage", personality: float = 0.25,
          rng: np.random.Generator | None = None, revenue: np.ndarray | None = None, share: float = 0.0) -> Matching:
    """Choose the teachers of every student by one rule; deterministic, ties by client id ("milp": by the solver).

    Every limit of `paths` holds for every rule, but "all" ignores fan_in. Where fan_out makes students compete, as many
    as possible get a teacher, then the total counts; "milp" looks at the total alone. A byte budget is used exactly by
    "milp"; the other rules keep the edges of highest gain or affinity.

    Args:
        counts: (N, C) non-negative integers, as released by the clients.
        paths: levels and limits.
        rule: a name in RULES.
        personality: eta in [0, 1]; 1 asks for similar teachers, 0 for those that cover what the student lacks.
        rng: for rule "random" only, which ignores the rest.
        revenue, share: (N, N) in [-1, 1], and in [0, 1]: rules choose by (1 - share) gain + share revenue.

    Returns:
        A Matching; clients without a teacher are in `alone` with the reason.

    Raises:
        ValueError: unknown rule, wrong counts, counts and levels of different length, "random" without rng.

    Source: ours (METHOD 4); deferred acceptance: Gale and Shapley 1962, doi:10.1080/00029890.1962.11989827.

    >>> match([[4, 0], [0, 4], [2, 2]], Paths([1, 2, 2], fan_in=1), personality=0).edges[0].tolist()
    [False, True, False]
    """
    if not isinstance(rule, str) or rule not in RULES:
        raise ValueError(f"rule is {rule!r}; expected one of {', '.join(RULES)}")
    counts, n = counted(counts), len(paths.levels)
    if len(counts) != n:
        raise ValueError(f"counts has {len(counts)} clients, levels has {n}; expected one row of counts per level")
    if rule == "random" and not isinstance(rng, np.random.Generator):
        raise ValueError(f"rule 'random' got rng {rng!r}; expected a numpy Generator, such as np.random.default_rng(0)")
    dial(personality)
    allowed, edges = admissible(paths), np.zeros((n, n), dtype=bool)
    earned = paid(revenue, share, n)
    drawn, total = rng.random((n, n)) if rule == "random" else None, 0.0

    def fit(students, teachers):  # ids -> (R, T), what every rule but "coverage" chooses by
        pair = np.ix_(students, teachers)
        if rule == "random":
            return drawn[pair]
        measure = MEASURES.get(rule, lambda n_s, n_t: affinity(n_s, personality, n_t))
        return (1 - share) * measure(counts[students], counts[teachers]) + earned[pair]

    these = [] if rule == "none" else list(parts(allowed, paths))
    if rule == "coverage":
        groups, gains = match_groups(counts, these, paths.fan_in, personality, earned, share), None
    else:
        gains = [fit(part.students, part.teachers) for part in these]
        groups = _by_gain(rule, gains, fit, these, paths.fan_in)
    for i, part in enumerate(these):
        s, slot = np.nonzero(groups[i] >= 0)
        t = groups[i][s, slot]
        edges[part.students[s], part.teachers[t]] = True
        total += 0.0 if gains is None else gains[i][s, t].sum()
    edges.setflags(write=False)
    left, asked_for = load_left(edges, paths), 'rule "none" asks for no teacher'
    alone = {int(i): asked_for if rule == "none" and allowed[i].any() else why_alone(i, allowed, left, paths)
             for i in np.flatnonzero(~edges.any(axis=1))}
    if rule == "coverage" and allowed.any():
        total = group_value(counts, edges, personality)[allowed.any(axis=1)].mean()
    scored = rule in ("assignment", "milp", "all") or (rule == "coverage" and allowed.any())
    return Matching(edges, alone, rule, float(total) if scored else None)


def _by_gain(rule: str, gains: list, fit: Callable, these: list[Part], fan_in: int) -> list[np.ndarray]:
    """Groups (R, slots) of each part by a rule that looks at a fixed gain (R, T) of each teacher for each student."""
    if rule == "stable":
        return [stable(gain, fit(part.teachers, part.students).T, part) for gain, part in zip(gains, these)]
    if rule == "milp":
        return [largest(gain, part, fan_in) for gain, part in zip(gains, these)]
    fan_in = {"assignment": 1, "all": max((part.allowed.shape[1] for part in these), default=1)}.get(rule, fan_in)
    return [groups for groups, _, _ in fill([constant(gain) for gain in gains], these, fan_in)]


def describe(matching: Matching, paths: Paths) -> list[str]:
    """The matching in words, one fact a line, every client without a teacher included with the reason.

    >>> for line in describe(match([[4, 0], [0, 4]], Paths([1, 2])), Paths([1, 2])): print(line)
    rule coverage: 1 edges, 1 of 2 clients have a teacher, score 0.7500
    level 2 -> level 1: 1 edges
    teachers of a taught client: 1 to 1; students of a teacher: 1 to 1
    alone, level 2 is the most capable: client 1
    """
    edges, levels = matching.edges, paths.levels
    taught = edges.any(axis=1)
    score = "" if matching.score is None else f", score {matching.score:.4f}"
    lines = [f"rule {matching.rule}: {edges.sum()} edges, {taught.sum()} of {len(edges)} clients have a teacher{score}"]
    students, teachers = np.nonzero(edges)
    kinds, numbers = np.unique(np.stack([levels[teachers], levels[students]]), axis=1, return_counts=True)
    lines += [f"level {t} -> level {s}: {k} edges" for (t, s), k in zip(kinds.T, numbers, strict=True)]
    if edges.any():
        into, out = edges.sum(axis=1)[taught], edges.sum(axis=0)[edges.any(axis=0)]
        lines.append(f"teachers of a taught client: {into.min()} to {into.max()}; "
                     f"students of a teacher: {out.min()} to {out.max()}")
    if paths.budget_bytes is not None:
        lines.append(f"bytes per round: {paths.edge_bytes[edges].sum():.0f} of {paths.budget_bytes:.0f}")
    for reason in dict.fromkeys(matching.alone.values()):
        clients = [str(i) for i, why in matching.alone.items() if why == reason]
        lines.append(f"alone, {reason}: client{'s' * (len(clients) > 1)} {', '.join(clients)}")
    return lines


def group(edges: np.ndarray, levels: np.ndarray, feedback: bool = True, peers: bool = True,
          self_: bool = True) -> np.ndarray:
    """Who a client listens to: itself, its teachers, its students (feedback), its peers.

    A peer is a client of the same level that shares at least one teacher.

    Args:
        edges: (N, N) bool [student, teacher].
        levels: (N,) integers.
        feedback, peers, self_: which members besides the teachers.

    Returns:
        (N, N) bool [listener, speaker], the mask for pooling.

    Source: the members of the group are the *poster*'s (RQ3); "shares a teacher" is *ours*.

    >>> group(np.array([[0, 0, 1], [0, 0, 1], [0, 0, 0]], dtype=bool), np.array([1, 1, 2])).astype(int).tolist()
    [[1, 1, 1], [1, 1, 1], [1, 1, 1]]
    """
    edges, levels = np.asarray(edges, dtype=bool), np.asarray(levels)
    itself, mask = np.eye(len(edges), dtype=bool), edges.copy()
    if feedback:
        mask |= edges.T
    if peers:
        sparse = csr_array(edges, dtype=np.int32)
        mask |= ((sparse @ sparse.T).toarray() > 0) & (levels[:, None] == levels[None, :]) & ~itself
    return mask | itself if self_ else mask
