"""RQ1 matching: against the rule written down plainly and brute force, then limits and invariants, then bad input."""

from itertools import product

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.special import entr

from hfkd.assess import coverage, distributions, similarity, union_gain
from hfkd.matching import RULES, admissible, covered, group, match

SEEDS = range(6)
KINDS = ("skewed", "few values", "permuted", "copies", "two classes")
LIMITS = [{}, {"fan_in": 1}, {"fan_out": 2}, {"fan_out": 3, "fan_in": 2, "max_gap": 2}, {"max_gap": 2}]
SINGLE = {"similarity": similarity, "uniformity": union_gain, "complementarity": coverage}
# the example of Fed-CBS (Zhang et al. 2023): client 0 is the student, the others stand one level above
FED_CBS = np.array([[5, 5, 5, 5, 5, 5], [6, 6, 6, 6, 6, 0], [0, 0, 0, 10, 10, 10], [10, 10, 10, 0, 0, 0]])


def federation(kind, seed, n_clients=14, n_classes=8):
    """Counts that tie in several ways, one client possibly without samples; levels 1 to 3."""
    rng = np.random.default_rng(seed)
    row = rng.multinomial(60, rng.dirichlet(np.full(n_classes, 0.4)))
    counts = {
        "skewed": lambda: rng.multinomial(200, rng.dirichlet(np.full(n_classes, 0.3), size=n_clients)),
        "few values": lambda: rng.integers(0, 3, (n_clients, n_classes)) * 5,
        "permuted": lambda: np.array([rng.permutation(row) for _ in range(n_clients)]),
        "copies": lambda: rng.multinomial(60, np.full(n_classes, 1 / n_classes), size=3)[rng.integers(0, 3, n_clients)],
        "two classes": lambda: np.array([rng.permutation([40, 60] + [0] * (n_classes - 2)) for _ in range(n_clients)]),
    }[kind]()
    counts[rng.integers(n_clients)] *= rng.integers(2) if kind != "skewed" else 1
    levels = np.r_[[1, 2, 3], rng.choice([1, 2, 3], n_clients - 3, p=[0.5, 0.3, 0.2])]
    return counts, levels


def two_levels(seed, n_students, n_teachers, n_classes=6):
    """Students 0.. of level 1, then teachers of level 2, every pair admissible."""
    p = np.random.default_rng(seed).dirichlet(np.full(n_classes, 0.3), size=n_students + n_teachers)
    return np.random.default_rng(seed).multinomial(100, p), np.array([1] * n_students + [2] * n_teachers)


def plain_value(n, s, g, eta):
    """Objective and 1e-6 of the trend of one group, by scipy's entropy."""
    own, *others = (row / row.sum() if row.any() else np.full(len(row), 1 / len(row)) for row in n[[s, *g]])
    jensen = [entr((own + q) / 2).sum() - (entr(own).sum() + entr(q).sum()) / 2 for q in others]
    covered = np.minimum(1, n.shape[1] * np.max([own, *others], axis=0)).mean()
    pooled = n[[s, *g]].sum(axis=0)
    trend = entr(pooled / pooled.sum()).sum() / np.log(n.shape[1]) if pooled.any() else 1
    return eta * (1 - np.mean(jensen) / np.log(2) if g else 0) + (1 - eta) * covered, 1e-6 * trend


def plain_gain(n, s, g, others, eta):
    """What student s wins by the group g in place of `others`, rounded."""
    return round(float(np.sum(plain_value(n, s, g, eta)) - np.sum(plain_value(n, s, others, eta))), 12)


def plain_rule(n, levels, eta, max_gap=1, fan_in=4, fan_out=None):
    """The rule "coverage", group by group: rounds of one assignment over all students, then one pass of swaps."""
    count, allowed = len(n), admissible(levels, max_gap)
    students, groups, early = range(count), {s: [] for s in range(count)}, 1 - np.arange(count) / count

    def left(t):
        return (fan_out or np.inf) - sum(t in g for g in groups.values())

    def best(s):
        others = [t for t in np.flatnonzero(allowed[s]) if t not in groups[s] and left(t) > 0]
        return max([(plain_gain(n, s, [t for t in groups[s] if t != old] + [new], groups[s], eta), -old, -new)
                    for old in groups[s] for new in others], default=(-np.inf, 0, 0))

    for _ in range(min(fan_in, count)):
        free = {s: [t for t in np.flatnonzero(allowed[s]) if t not in groups[s] and left(t) > 0] for s in students}
        gains = {s: {t: plain_gain(n, s, [*groups[s], t], groups[s], eta) for t in free[s]}
                 for s in students if free[s]}
        if fan_out is None:
            chosen = {s: max(gain, key=gain.get) for s, gain in gains.items()}
        elif gains:
            rows, columns = list(gains), [t for t in range(count) for _ in range(int(left(t)))]
            value = [[gains[s][t] + 1e-10 * early[s] * early[t] if t in gains[s] else -4 * count for t in columns]
                     for s in rows]
            pairs = zip(*linear_sum_assignment(value, maximize=True), strict=True)
            chosen = {rows[i]: columns[j] for i, j in pairs if columns[j] in gains[rows[i]]}
        for s, t in chosen.items() if gains else ():
            groups[s].append(t)
    for s in sorted(students, key=lambda s: -best(s)[0]):  # the keys are made before the first swap
        gain, old, new = best(s)
        if gain > 0:
            groups[s] = [t for t in groups[s] if t != -old] + [-new]
    return {s: sorted(g) for s, g in groups.items()}


def plain_mutual(n, levels, fan_in=4, fan_out=None):
    """The rule "mutual", edge by edge, where only neighbouring levels meet."""
    fair = np.minimum(1, n.shape[1] * distributions(n))
    order, trend, edges = 1 - np.arange(len(n)) / len(n), union_gain(n), np.zeros((len(n), len(n)), bool)

    def gain(i, others, new):
        return fair[[i, *others, new]].max(0).mean() - fair[[i, *others]].max(0).mean()

    for _ in range(fan_in):
        waiting = {*range(len(n))}
        while True:
            free = admissible(levels) & ~edges & (edges.sum(0) < (fan_out or len(n)))
            worth = {(s, t): gain(s, np.flatnonzero(edges[s]), t) + gain(t, np.flatnonzero(edges[:, t]), s)
                     + 1e-6 * trend[s, t] + 1e-10 * order[s] * order[t] for s, t in np.argwhere(free) if s in waiting}
            if not worth:
                break
            s, t = max(worth, key=lambda edge: round(worth[edge], 12))
            edges[s, t] = True
            waiting.remove(s)
    return edges


def teachers_of(edges):
    return {s: np.flatnonzero(row).tolist() for s, row in enumerate(edges)}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("limits", LIMITS, ids=str)
def test_coverage_is_the_plain_rule(kind, limits):
    for seed in SEEDS:
        (counts, levels), own = federation(kind, seed, 9, 5), {"fan_in": 3} | limits
        eta = (0.25, 0.0, 1.0)[seed % 3]
        found = match(counts, levels, personality=eta, **own)
        assert teachers_of(found) == plain_rule(counts, levels, eta, **own)
        value = [plain_value(counts, s, list(np.flatnonzero(row)), 0)[0] for s, row in enumerate(found)]
        np.testing.assert_allclose(covered(counts, found), value, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("limits", [{}, {"fan_out": 2}, {"fan_in": 2, "fan_out": 3}], ids=str)
def test_mutual_is_the_plain_rule(kind, limits):
    counts, levels = federation(kind, 1, 9, 5)
    np.testing.assert_array_equal(match(counts, levels, "mutual", **limits), plain_mutual(counts, levels, **limits))


def test_students_who_compete_for_the_same_swap_are_the_plain_rule_however_they_are_numbered():
    for seed in range(30):  # places nearly spent
        (counts, levels), limits = two_levels(seed, 6, 5), {"fan_in": 2, "fan_out": 3}
        order, edges = np.random.default_rng(seed).permutation(11), match(counts, levels, personality=0.5, **limits)
        assert teachers_of(edges) == plain_rule(counts, levels, 0.5, **limits)
        moved = match(counts[order], levels[order], personality=0.5, **limits)
        np.testing.assert_array_equal(moved, edges[np.ix_(order, order)])


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("fan_out", [1, 2])
def test_a_round_of_limited_teachers_is_brute_force(seed, fan_out):
    rng = np.random.default_rng(seed)
    n_students, n = (k := int(rng.integers(1, 5))), k + int(rng.integers(1, 4))
    counts, levels = two_levels(seed, n_students, n - n_students)
    fit, best = similarity(counts), (0, 0.0)
    for teachers in product([None, *range(n_students, n)], repeat=n_students):
        edges = [(s, t) for s, t in enumerate(teachers) if t is not None]
        if all(teachers.count(t) <= fan_out for t in range(n)):
            best = max(best, (len(edges), sum(fit[e] for e in edges)))  # most students, then the largest total
    edges = match(counts, levels, "similarity", fan_in=1, fan_out=fan_out)
    assert (edges.sum(), fit[edges].sum()) == pytest.approx(best, abs=1e-8)


@pytest.mark.parametrize("rule", SINGLE)
@pytest.mark.parametrize("kind", KINDS)
def test_single_criteria_are_the_fan_in_teachers_of_largest_value_ties_by_id(rule, kind):
    for seed in SEEDS:
        counts, levels = federation(kind, seed)
        score, allowed = SINGLE[rule](counts).round(12), admissible(levels, 2)
        for s, found in teachers_of(match(counts, levels, rule, max_gap=2, fan_in=3)).items():
            assert found == sorted(sorted(np.flatnonzero(allowed[s]), key=lambda t: (-score[s, t], t))[:3])


def test_the_trend_decides_what_the_objective_leaves_open_and_a_swap_what_rounds_missed():
    # The student is uniform, so every class is covered and only the trend to uniformity decides. Greedy takes client 1
    # (union 11,11,11,11,11,5), then 2 or 3, and ends at {0,1,2}; swapping 1 for 3 gives 15 of each class: {0,2,3}.
    one, two = (match(FED_CBS, [1, 2, 2, 2], personality=0, fan_in=k) for k in (1, 2))
    assert teachers_of(one)[0] == [1] and teachers_of(two)[0] == [2, 3]
    # 1.5e-7 of coverage against 1.9e-7 of trend
    counts = [[10, 0], [0, 30], [0, 30], [50_000_015, 49_999_985]]
    assert teachers_of(match(counts, [1, 2, 2, 2], personality=0, fan_in=1))[0] == [3]


@pytest.mark.parametrize("limits", LIMITS, ids=str)
@pytest.mark.parametrize("rule", RULES)
def test_no_limit_is_broken_and_students_are_filled_while_limits_allow(rule, limits):
    for seed in SEEDS:
        (counts, levels), n = federation(KINDS[seed % 2], seed), 14
        edges = match(counts, levels, rule, rng=np.random.default_rng(seed), **limits)
        allowed = admissible(levels, limits.get("max_gap", 1))
        fan_in, fan_out = (n, n) if rule == "all" else (limits.get("fan_in", 4), limits.get("fan_out", n))
        load = edges.sum(axis=0) < fan_out
        assert not (edges & ~allowed).any() and not edges[levels == 3].any()
        assert edges.sum(axis=1).max() <= fan_in and edges.sum(axis=0).max() <= fan_out
        assert not (allowed & ~edges & (edges.sum(axis=1) < fan_in)[:, None] & load).any()


@pytest.mark.parametrize("limits", LIMITS, ids=str)
@pytest.mark.parametrize("rule", [r for r in RULES if r != "random"])
def test_relabelled_classes_change_nothing_and_permuted_clients_permute_the_result(rule, limits):
    for seed in SEEDS:
        counts, levels = federation("skewed", seed)
        rng = np.random.default_rng(seed + 50)
        edges, order = match(counts, levels, rule, **limits), rng.permutation(14)
        np.testing.assert_array_equal(match(counts[:, rng.permutation(8)], levels, rule, **limits), edges)
        if rule != "complementarity":  # it ties where a teacher covers all or nothing, and ties go by client id
            moved = match(counts[order], levels[order], rule, **limits)
            np.testing.assert_array_equal(moved, edges[np.ix_(order, order)])


@pytest.mark.parametrize("rule", ["coverage", "similarity"])
@pytest.mark.parametrize("fan_out", [None, 1, 2])
def test_ties_go_to_the_lowest_client_ids(rule, fan_out):
    edges = match(np.full((6, 4), 5), [1, 1, 2, 2, 2, 1], rule, fan_in=1, fan_out=fan_out)
    expected = {None: [[0, 2], [1, 2], [5, 2]], 1: [[0, 2], [1, 3], [5, 4]], 2: [[0, 2], [1, 2], [5, 3]]}
    assert np.argwhere(edges).tolist() == expected[fan_out]
    # either student may have either teacher: both permutations have the same total, so the lower id gets the lower id
    edges = match([[8, 2], [8, 2], [8, 2], [2, 8]], [1, 1, 2, 2], rule, 0, fan_in=1, fan_out=1)
    assert np.argwhere(edges).tolist() == [[0, 2], [1, 3]]


def test_random_follows_its_generator():
    a, b, c = (match(*federation("skewed", 0, 20), "random", rng=np.random.default_rng(seed), fan_in=2, fan_out=4)
               for seed in (1, 1, 2))
    assert (a == b).all() and (a != c).any()


@pytest.mark.parametrize("gap", [1, 2])
def test_admissible_is_its_definition_and_without_cycles(gap):
    for seed in SEEDS:
        _, levels = federation("skewed", seed)
        allowed = admissible(levels, gap)
        for s, t in product(range(14), repeat=2):
            assert allowed[s, t] == (0 < levels[t] - levels[s] <= gap)
        assert not np.linalg.matrix_power(allowed.astype(np.int64), 14).any()  # no walk of length N, so no cycle


def test_group_members():
    # 0 and 1 learn from 3, 2 from 4 and 5, 3 from 5; 0 and 1 are peers; 2 and 3 share a teacher but not a level
    edges, levels = np.zeros((6, 6), dtype=bool), np.array([1, 1, 1, 2, 2, 3])
    edges[[0, 1, 2, 2, 3], [3, 3, 4, 5, 5]] = True
    expected = [[0, 1, 3], [0, 1, 3], [2, 4, 5], [0, 1, 3, 5], [2, 4], [2, 3, 5]]
    assert teachers_of(group(edges, levels)) == dict(enumerate(expected))
    np.testing.assert_array_equal(group(edges, levels, feedback=False, peers=False, self_=False), edges)
    np.testing.assert_array_equal(group(edges, levels, peers=False), edges | edges.T | np.eye(6, dtype=bool))


@pytest.mark.parametrize("counts, arguments, sentence", [
    ([[1, 2], [3, 4]], {"rule": "greedy"}, "rule is 'greedy'; expected one of coverage, similarity"),
    ([[1, 2]], {}, "counts has 1 clients, levels has 2"),
    ([[1, 2], [3, -4]], {}, "counts of client 1, class 1 is -4"),
])
def test_bad_calls_are_named(counts, arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        match(counts, [1, 2], **arguments)
