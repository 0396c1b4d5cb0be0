"""Matching against its formulas written down plainly, all pairs and classes at once: the same edges, also in ties."""

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.special import entr

from hfkd import rounds, tables
from hfkd.assess import affinity, coverage, distributions, similarity, union_gain
from hfkd.coverage import group_value
from hfkd.matching import Paths, admissible, match
from hfkd.rounds import Values, _near_best, constant, parts

KINDS = ("skewed", "few values", "permuted", "copies")
LIMITS = [{}, {"fan_out": 2, "fan_in": 2}, {"fan_out": 1, "max_gap": 2}, {"max_gap": 2}]


def plain_similarity(p):
    """S over all pairs, from an array (N, N, C)."""
    h = entr(p).sum(axis=-1)
    mixed = entr((p[:, None] + p[None, :]) / 2).sum(axis=-1)
    return 1 - (mixed - (h[:, None] + h[None, :]) / 2) / np.log(2)


def plain_uniformity(n):
    """U of counts (..., C)."""
    total = n.sum(axis=-1, keepdims=True)
    p = np.where(total > 0, n / np.maximum(total, 1), 1 / n.shape[-1])
    return entr(p).sum(axis=-1) / np.log(n.shape[-1])


def plain_value(n, s, group, eta):
    """Objective and trend of one group."""
    total = n.sum(axis=1, keepdims=True)
    p = np.where(total > 0, n / np.maximum(total, 1), 1 / n.shape[1])
    likeness = np.mean(plain_similarity(p)[s, group]) if group else 0
    covered = np.minimum(1, n.shape[1] * p[[s, *group]].max(axis=0)).mean()
    return eta * likeness + (1 - eta) * covered + 1e-6 * plain_uniformity(n[[s, *group]].sum(axis=0))


def plain_coverage_rule(n, paths, eta):
    """The rule "coverage", group by group: rounds of one assignment over all, then one swap pass."""
    count, allowed = len(n), admissible(paths)
    groups = [[] for _ in n]
    order = np.outer(1 - np.arange(count) / count, 1 - np.arange(count) / count)

    def left():
        return (count if paths.fan_out is None else paths.fan_out) - np.bincount(sum(groups, []), minlength=count)

    while True:
        free = [[t for t in np.flatnonzero(allowed[s]) if t not in groups[s] and left()[t] > 0 and
                 len(groups[s]) < paths.fan_in] for s in range(count)]
        asking = [s for s in range(count) if free[s]]
        if not asking:
            break
        gain = np.full((count, count), -4.0 * count)
        for s in asking:
            for t in free[s]:
                gain[s, t] = round(plain_value(n, s, groups[s] + [t], eta) - plain_value(n, s, groups[s], eta), 12)
        if all(left()[t] >= len(asking) for s in asking for t in free[s]):
            chosen = [(s, gain[s].argmax()) for s in asking]
        else:
            columns = np.repeat(np.arange(count), np.maximum(left(), 0))
            value = np.where(gain > -2, gain + 1e-10 * order, gain)[np.ix_(asking, columns)]
            chosen = [(asking[i], columns[j]) for i, j in zip(*linear_sum_assignment(value, maximize=True))]
        for s, t in chosen:
            if t in free[s]:
                groups[s].append(t)
    return plain_swaps(n, groups, left, allowed, eta)


def plain_swaps(n, groups, left, allowed, eta):
    """One pass of swaps, students in the order of what they could win at its beginning."""
    def best(s):
        now, found = plain_value(n, s, groups[s], eta), (-np.inf, None, None)
        for old in sorted(groups[s]):
            rest = [t for t in groups[s] if t != old]
            for new in np.flatnonzero(allowed[s] & (left() > 0)):
                gain = round(plain_value(n, s, rest + [new], eta) - now, 12)
                if new not in groups[s] and gain > found[0]:
                    found = gain, old, new
        return found

    hopes = np.array([best(s)[0] if groups[s] else -np.inf for s in range(len(n))])
    for s in np.argsort(-hopes, kind="stable"):
        gain, old, new = best(s) if groups[s] else (0, None, None)
        if gain > 0:
            groups[s] = [t for t in groups[s] if t != old] + [new]
    edges = np.zeros_like(allowed)
    for s, group in enumerate(groups):
        edges[s, group] = True
    return edges


def instance(kind, seed, n_clients=9, n_classes=5):
    """Counts that tie in several ways, levels 1 to 3, one client without samples."""
    rng = np.random.default_rng(seed)
    row = rng.multinomial(60, rng.dirichlet(np.full(n_classes, 0.4)))
    counts = {
        "skewed": lambda: rng.multinomial(90, rng.dirichlet(np.full(n_classes, 0.2), size=n_clients)),
        "few values": lambda: rng.integers(0, 3, (n_clients, n_classes)) * 5,
        "permuted": lambda: np.array([rng.permutation(row) for _ in range(n_clients)]),
        "copies": lambda: rng.multinomial(60, np.full(n_classes, 1 / n_classes), size=3)[rng.integers(0, 3, n_clients)],
    }[kind]()
    counts[rng.integers(n_clients)] *= rng.integers(2)
    return counts, rng.choice([1, 1, 2, 2, 3], n_clients)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("limits", LIMITS, ids=str)
def test_coverage_is_the_plain_rule(kind, limits):
    for seed in range(5):
        counts, levels = instance(kind, seed)
        paths, eta = Paths(levels, **{"fan_in": 3} | limits), (0.25, 0.0, 1.0)[seed % 3]
        found, expected = match(counts, paths, personality=eta), plain_coverage_rule(counts.astype(float), paths, eta)
        np.testing.assert_array_equal(found.edges, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_measures_and_score_are_the_plain_formulas(kind):
    counts, levels = instance(kind, 3, 14, 7)
    p, u = distributions(counts), plain_uniformity(counts)
    np.testing.assert_allclose(similarity(p), plain_similarity(p), rtol=0, atol=1e-12)
    pooled, room = plain_uniformity(counts[:, None] + counts[None, :]), np.maximum(1 - u, 1e-12)[:, None]
    gain = np.where(1 - u[:, None] > 1e-12, np.clip((pooled - u[:, None]) / room, -1, 1), 0)
    np.testing.assert_allclose(union_gain(counts), gain, rtol=0, atol=1e-12)
    paths = Paths(levels)
    found, taught = match(counts, paths), admissible(paths).any(axis=1)
    expected = [plain_value(counts.astype(float), s, list(np.flatnonzero(found.edges[s])), 0.25)
                - 1e-6 * plain_uniformity(counts[s] + counts[found.edges[s]].sum(axis=0)) for s in range(14)]
    np.testing.assert_allclose(group_value(counts, found.edges), expected, rtol=0, atol=1e-12)
    assert found.score == pytest.approx(np.mean(np.array(expected)[taught]), abs=1e-12)


@pytest.mark.parametrize("function", [similarity, union_gain, coverage, affinity])
@pytest.mark.parametrize("block", [1, 50, 10**6])
def test_tables_of_students_and_teachers_are_corners_of_the_whole_whatever_the_block(function, block, monkeypatch):
    counts, _ = instance("skewed", 1, 11, 6)
    table = counts if function in (union_gain, affinity) else distributions(counts)
    whole = function(table)
    monkeypatch.setattr(tables, "BLOCK", block)
    np.testing.assert_allclose(function(table[:4], teachers=table[3:]), whole[:4, 3:], rtol=0, atol=1e-15)
    with pytest.raises(ValueError, match="students have 6 classes, teachers 5; expected as many"):
        function(np.eye(6, dtype=int), teachers=np.eye(5, dtype=int))


@pytest.mark.parametrize("rule", ["coverage", "nearest", "stable", "all"])
def test_blocks_change_no_edge(rule, monkeypatch):
    for seed in range(6):
        counts, levels = instance("skewed", seed, 30)
        paths = Paths(levels, fan_out=(None, 3)[seed % 2])
        edges = match(counts, paths, rule).edges
        with monkeypatch.context() as patch:
            patch.setattr(tables, "BLOCK", 40)
            np.testing.assert_array_equal(match(counts, paths, rule).edges, edges)


def test_a_round_looks_at_enough_pairs():
    # against the assignment over every free pair: the same total, and far fewer pairs where places are plenty
    rng, fewer = np.random.default_rng(0), 0
    for _ in range(60):
        students, teachers = rng.integers(1, 9, 2)
        load = rng.integers(0, 4, teachers)
        gain = rng.integers(0, 9, (students, teachers)) / 9 + rng.random(teachers) / 50
        free = (rng.random((students, teachers)) < 0.9) & (load > 0)
        if not free.any():
            continue
        s, t, near = _near_best(constant(gain)(None), free, load)
        chosen = rounds.assign(s, t, near, load)
        loss = np.where(free, -gain, 100.0)[:, np.repeat(np.arange(teachers), load)]
        rows, columns = linear_sum_assignment(loss)
        taught = loss[rows, columns] < 100
        assert len(chosen) == taught.sum()
        assert near[chosen].sum() == pytest.approx(-loss[rows, columns][taught].sum(), abs=1e-9)
        fewer += free.sum() - len(s)
    assert fewer > 150  # 200 and a few; which of equal gains are near is numpy's choice


def test_the_trend_is_asked_only_where_it_may_decide():
    asked = []
    gain = np.array([[0.5, 0.5 - 5e-7, 0.3], [0.1, 0.2, 0.9]])
    values = Values(np.zeros(2), lambda s: gain[s], lambda s, t: asked.extend(zip(s, t)) or np.zeros(len(s)))
    _near_best(values, np.ones((2, 3), dtype=bool), np.full(3, 2))
    assert asked == [(0, 0), (0, 1), (1, 2)]


def test_parts_hold_every_admissible_edge_once():
    rng = np.random.default_rng(0)
    for limits in ({}, {"fan_out": 2}, {"max_gap": 2}, {"budget_bytes": 50, "edge_bytes": 1}):
        paths = Paths(rng.choice([1, 2, 3], 20), topology=rng.random((20, 20)) < 0.5, **limits)
        found = np.zeros((20, 20), dtype=int)
        for part in parts(admissible(paths), paths):
            found[np.ix_(part.students, part.teachers)] += part.allowed
        np.testing.assert_array_equal(found, admissible(paths))


def test_milp_out_of_reach_is_told():
    with pytest.raises(ValueError, match="rule 'milp' has 1210000 admissible edges .* expected at most 1000000"):
        match(np.ones((2200, 2), dtype=int), Paths([1] * 1100 + [2] * 1100), "milp")
