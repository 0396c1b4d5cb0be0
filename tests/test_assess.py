"""RQ1 assessment: against scipy and plain loops first, then invariants, then edges and bad input."""

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy

from hfkd.assess import affinity, coverage, distributions, similarity, uniformity, union_gain

SEEDS = range(5)
MATRICES = {"similarity": lambda n: similarity(distributions(n)), "union_gain": union_gain,
            "coverage": lambda n: coverage(distributions(n)), "affinity": affinity}


def sample(seed, n_clients=12, n_classes=10, skew=0.2):
    """Random skewed counts with many zeros, one uniform client and one client without samples."""
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(300, rng.dirichlet(np.full(n_classes, skew), size=n_clients))
    counts[0], counts[1] = 30, 0
    return counts


@pytest.mark.parametrize("seed", SEEDS)
def test_uniformity_is_scipys_entropy_over_its_maximum(seed):
    p = distributions(sample(seed))
    assert uniformity(p) == pytest.approx(entropy(p, axis=1) / np.log(10), abs=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
def test_similarity_is_one_minus_scipys_squared_distance(seed):
    p = distributions(sample(seed))
    expected = [[1 - jensenshannon(a, b, base=2) ** 2 for b in p] for a in p]
    np.testing.assert_allclose(similarity(p), expected, atol=1e-7)  # scipy's square root loses half the digits near 0


@pytest.mark.parametrize("seed", SEEDS)
def test_union_gain_and_coverage_are_their_formulas_pair_by_pair(seed):
    counts = sample(seed)
    p = distributions(counts)
    gain, covered = union_gain(counts), coverage(p)
    for s in range(1, len(p)):
        for t in range(len(p)):
            both = counts[s] + counts[t]
            before = entropy(p[s]) / np.log(10)
            if s > 1:  # client 1 has no samples: uniform by definition, below
                after = entropy(both) / np.log(10)
                assert gain[s, t] == pytest.approx(np.clip((after - before) / (1 - before), -1, 1), abs=1e-9)
                lack = [max(0, 0.1 - x) for x in p[s]]
                has = [min(1, 10 * x) for x in p[t]]
                assert covered[s, t] == pytest.approx(np.dot(lack, has) / sum(lack), abs=1e-12)


@pytest.mark.parametrize("n_classes", [2, 3, 10, 62])
def test_uniformity_of_an_equal_mixture_is_the_similarity_over_again(n_classes):
    # U((p+q)/2) = (U(p)+U(q))/2 + (ln 2/ln C)(1 - S(p,q)): why the trend to uniformity must weigh by counts
    p = np.random.default_rng(n_classes).dirichlet(np.full(n_classes, 0.3), size=40)
    u, s = uniformity(p), similarity(p)
    mixture = uniformity(((p[:, None] + p[None, :]) / 2).reshape(-1, n_classes)).reshape(40, 40)
    expected = (u[:, None] + u[None, :]) / 2 + np.log(2) / np.log(n_classes) * (1 - s)
    np.testing.assert_allclose(mixture, expected, rtol=0, atol=1e-10)


def test_a_hand_computed_pair():
    # student [6, 2], teacher [2, 6]: p = (3/4, 1/4), q = (1/4, 3/4), union (1/2, 1/2) so G = 1;
    # H_2(p) = 2 - (3/4) log2 3 = .811278, H_2(m) = 1, so S = 1 - .188722 = .811278;
    # student lacks 1/4 of class 1 only, teacher has min(1, 2 * 3/4) = 1 of it: K = 1; A = .25 S + .75 (1/2 + 2/4)
    counts = [[6, 2], [2, 6]]
    assert union_gain(counts)[0, 1] == pytest.approx(1)
    assert similarity(distributions(counts))[0, 1] == pytest.approx(0.811278, abs=1e-6)
    assert coverage(distributions(counts))[0, 1] == 1
    assert affinity(counts)[0, 1] == pytest.approx(0.25 * 0.811278 + 0.75, abs=1e-6)


def test_union_gain_weighs_by_counts():
    # 10 samples of the student against 1000 of a one-class teacher: the union is almost one class, U falls, G < 0
    assert union_gain([[6, 4], [0, 1000]])[0, 1] < -0.9
    assert union_gain([[600, 400], [0, 10]])[0, 1] > 0
    assert union_gain([[6, 4], [0, 1000]]).min() >= -1


def test_union_gain_and_coverage_are_zero_for_a_uniform_or_empty_student():
    counts = sample(0)
    assert (union_gain(counts)[:2] == 0).all()
    assert (coverage(distributions(counts))[:2] == 0).all()
    almost = np.full(3, 1 / 3)
    almost[0] = np.nextafter(1 / 3, 0)  # a share that rounding left below 1/C is no deficit
    assert coverage([almost, [1, 0, 0]])[0].tolist() == [0, 0]
    assert not union_gain([[7] * 62, [5] + [0] * 61])[0].any()


def test_ends_of_uniformity_and_similarity():
    eye = np.eye(6)
    assert uniformity(eye).tolist() == [0] * 6
    assert uniformity(np.full((1, 6), 1 / 6)) == pytest.approx(1)
    np.testing.assert_allclose(similarity(eye), eye, rtol=0, atol=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
def test_similarity_is_symmetric_one_on_itself_and_zero_only_where_disjoint(seed):
    p = distributions(sample(seed, skew=0.05))
    s = similarity(p)
    disjoint = ~((p[:, None] > 0) & (p[None, :] > 0)).any(axis=2)
    assert disjoint.any() and (~disjoint).any()
    assert (s == s.T).all() and (np.diagonal(s) == 1).all()
    assert (s[disjoint] < 1e-12).all() and (s[~disjoint] > 1e-4).all()


@pytest.mark.parametrize("n_classes", [2, 3, 10])
def test_coverage_ends(n_classes):
    one_hot, uniform = np.eye(n_classes), np.full((1, n_classes), 1 / n_classes)
    k = coverage(np.vstack([one_hot, uniform]))
    assert k[:-1, -1] == pytest.approx(1)  # whatever is lacking, a uniform teacher has a fair share of it
    assert (k[-1] == 0).all()  # a uniform student lacks nothing
    # e_a lacks the other C - 1 classes by 1/C each; e_b has one of them in full
    off = ~np.eye(n_classes, dtype=bool)
    assert k[:-1, :-1][off] == pytest.approx(1 / (n_classes - 1))
    assert (np.diagonal(k) == 0).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_affinity_is_the_stated_sum_within_bounds_and_eta_moves_between_its_ends(seed):
    counts = sample(seed)
    p = distributions(counts)
    s, lacking = similarity(p), coverage(p) / 2 + (1 + union_gain(counts)) / 4
    np.testing.assert_array_equal(affinity(counts, 1), s)
    np.testing.assert_array_equal(affinity(counts, 0), lacking)
    np.testing.assert_allclose(affinity(counts), 0.25 * s + 0.75 * lacking)
    assert affinity(counts).min() >= 0 and affinity(counts).max() <= 1


@pytest.mark.parametrize("name", MATRICES)
@pytest.mark.parametrize("seed", SEEDS)
def test_relabelled_classes_change_nothing_and_permuted_clients_permute_the_result(name, seed):
    counts, rng = sample(seed), np.random.default_rng(seed + 100)
    matrix, classes, clients = MATRICES[name], rng.permutation(10), rng.permutation(12)
    np.testing.assert_allclose(matrix(counts[:, classes]), matrix(counts), atol=1e-12)
    np.testing.assert_allclose(matrix(counts[clients]), matrix(counts)[np.ix_(clients, clients)], atol=1e-12)


def test_a_client_without_samples_counts_as_uniform():
    np.testing.assert_array_equal(distributions([[0, 0, 0, 0], [1, 0, 0, 3]]), [[.25] * 4, [.25, 0, 0, .75]])


@pytest.mark.parametrize("counts, sentence", [
    ([[1, 2], [3, -1]], "counts of client 1, class 1 is -1; expected a non-negative integer"),
    ([[1, 2.5]], "counts of client 0, class 1 is 2.5; expected a non-negative integer"),
    ([[1, 2], [np.nan, 1]], "counts of client 1, class 0 is nan"),
    ([[1, np.inf]], "counts of client 0, class 1 is inf"),
    ([1, 2, 3], r"counts has shape \(3,\); expected \(clients, classes\)"),
    ([[1], [2]], r"counts has shape \(2, 1\)"),
    (np.zeros((0, 3)), r"counts has shape \(0, 3\)"),
    ([[1, 2], [3]], "counts is no table of numbers"),
    ([["a", "b"]], "counts is no table of numbers"),
])
@pytest.mark.parametrize("function", [distributions, union_gain, affinity])
def test_bad_counts_are_named(function, counts, sentence):
    with pytest.raises(ValueError, match=sentence):
        function(counts)


@pytest.mark.parametrize("p, sentence", [
    ([[.5, .5], [.6, .5]], "p of client 1 sums to 1.1; expected 1"),
    ([[1.5, -.5]], "p of client 0, class 0 is 1.5; expected a share from 0 to 1"),
    ([[-.5, .5]], "p of client 0, class 0 is -0.5; expected a share from 0 to 1"),
    ([[.5, np.nan]], "p of client 0, class 1 is nan"),
    ([.5, .5], r"p has shape \(2,\)"),
])
@pytest.mark.parametrize("function", [uniformity, similarity, coverage])
def test_bad_distributions_are_named(function, p, sentence):
    with pytest.raises(ValueError, match=sentence):
        function(p)


@pytest.mark.parametrize("personality", [-0.1, 1.1, float("nan")])
def test_personality_outside_its_range(personality):
    with pytest.raises(ValueError, match="personality is .*; expected a number from 0"):
        affinity([[1, 2], [3, 4]], personality)
