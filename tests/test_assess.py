"""RQ1 assessment: against scipy and plain loops first, then invariants, then edges and bad input."""

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy

from hfkd import assess
from hfkd.assess import coverage, distributions, similarity, uniformity, union_gain

SEEDS = range(5)
CRITERIA = (similarity, union_gain, coverage)


def sample(seed, n_clients=12, n_classes=10, skew=0.2):
    """Random skewed counts with many zeros, one uniform client and one client without samples."""
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(300, rng.dirichlet(np.full(n_classes, skew), size=n_clients))
    counts[0], counts[1] = 30, 0
    return counts


@pytest.mark.parametrize("seed", SEEDS)
def test_every_criterion_is_scipys_or_its_formula_pair_by_pair(seed):
    counts = sample(seed)
    p, gain, covered = distributions(counts), union_gain(counts), coverage(counts)
    assert uniformity(p) == pytest.approx(entropy(p, axis=1) / np.log(10), abs=1e-12)
    expected = [[1 - jensenshannon(a, b, base=2) ** 2 for b in p] for a in p]
    np.testing.assert_allclose(similarity(counts), expected, atol=1e-7)  # scipy's square root loses half the digits
    for s in range(2, len(p)):  # 0 and 1 are uniform: below
        for t in range(len(p)):
            before, after = (entropy(n) / np.log(10) for n in (p[s], counts[s] + counts[t]))
            assert gain[s, t] == pytest.approx(np.clip((after - before) / (1 - before), -1, 1), abs=1e-9)
            lack, has = [max(0, 0.1 - x) for x in p[s]], [min(1, 10 * x) for x in p[t]]
            assert covered[s, t] == pytest.approx(np.dot(lack, has) / sum(lack), abs=1e-12)


def test_a_hand_computed_pair():
    # student [6, 2], teacher [2, 6]: p = (3/4, 1/4), q = (1/4, 3/4), union (1/2, 1/2) so G = 1;
    # H_2(p) = 2 - (3/4) log2 3 = .811278, H_2(m) = 1, so S = 1 - .188722 = .811278;
    # student lacks 1/4 of class 1 only, teacher has min(1, 2 * 3/4) = 1 of it: K = 1
    counts = [[6, 2], [2, 6]]
    assert [each(counts)[0, 1] for each in CRITERIA] == pytest.approx([0.811278, 1, 1], abs=1e-6)
    # weighed by counts: 10 samples against 1000 of a one-class teacher make the union almost one class
    assert -1 <= union_gain([[6, 4], [0, 1000]])[0, 1] < -0.9 and union_gain([[600, 400], [0, 10]])[0, 1] > 0


def test_a_uniform_or_empty_student_gains_and_lacks_nothing():
    counts = sample(0)
    assert (union_gain(counts)[:2] == 0).all() and (coverage(counts)[:2] == 0).all()
    almost = [3 * 10**15, 3 * 10**15 - 1, 3 * 10**15]  # a share that is below 1/C by rounding alone is no deficit
    assert coverage([almost, [1, 0, 0], [0, 1, 0]])[0].tolist() == [0, 0, 0]
    assert not union_gain([[7] * 62, [5] + [0] * 61])[0].any()
    np.testing.assert_array_equal(distributions([[0, 0, 0, 0], [1, 0, 0, 3]]), [[.25] * 4, [.25, 0, 0, .75]])


@pytest.mark.parametrize("matrix", CRITERIA)
@pytest.mark.parametrize("seed", SEEDS)
def test_relabelled_classes_change_nothing_and_permuted_clients_permute_the_result(matrix, seed, monkeypatch):
    counts, rng = sample(seed), np.random.default_rng(seed + 100)
    classes, clients = rng.permutation(10), rng.permutation(12)
    np.testing.assert_allclose(matrix(counts[:, classes]), matrix(counts), atol=1e-12)
    np.testing.assert_allclose(matrix(counts[clients]), matrix(counts)[np.ix_(clients, clients)], atol=1e-12)
    whole = matrix(counts)
    monkeypatch.setattr(assess, "_BLOCK", 50)  # five teachers at a time
    np.testing.assert_allclose(matrix(counts[:5], counts[3:]), whole[:5, 3:], rtol=0, atol=1e-12)


@pytest.mark.parametrize("table, sentence", [
    ([[1, 2], [3, -1]], "counts of client 1, class 1 is -1; expected a non-negative integer"),
    ([[1, 2.5]], "counts of client 0, class 1 is 2.5; expected a non-negative integer"),
    ([[1, 2], [np.nan, 1]], "counts of client 1, class 0 is nan"), ([[2.0**54, 1]], "class 0 is 1.80144e.16"),
    ([1, 2, 3], r"counts has shape \(3,\); expected \(clients, classes\)"), ([[1], [2]], r"shape \(2, 1\)"),
    ([[1, 2], [3]], "counts is no table of numbers"), ([["a", "b"]], "counts is no table of numbers"),
])
def test_bad_tables_are_named(table, sentence):
    for function in (distributions, *CRITERIA, lambda n: similarity([[1, 2]], n)):
        with pytest.raises(ValueError, match=sentence):
            function(table)
    with pytest.raises(ValueError, match="students have 6 classes, teachers 5; expected as many"):
        coverage(np.eye(6, dtype=int), np.eye(5, dtype=int))
