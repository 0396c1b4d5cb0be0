"""The noise on the label counts against its exact law, and against OpenDP; who reads noisy counts, and who the true.

OpenDP is an extra (`pip install -e .[privacy]`); without it the test that needs it is skipped.
"""

import builtins
import math

import numpy as np
import pytest
import torch
from scenes import SMALL, scene
from scipy.stats import chi2_contingency, chisquare, dlaplace

from hfkd import averaging, data, federation, state
from hfkd.config import configure
from hfkd.earning import shares
from hfkd.knowledge import log_prior
from hfkd.matching import Paths, group_value, match
from hfkd.methods import METHODS
from hfkd.privacy import kept, release, release_opendp, told
from hfkd.streams import stream

EPSILONS = (.1, .3, 1., 3., 10.)
HIGH, DRAWS = 10**6, 40_000  # a count that no noise brings down to 0
DIGITS = data.load("digits")


def noise(epsilon, seed=0):
    """(DRAWS,) what is added."""
    return release(np.full(DRAWS, HIGH), epsilon, np.random.default_rng(seed)) - HIGH


def bins(epsilon, expected=20):
    """Values at which to cut the noise, so that every bin is expected to hold some draws."""
    far = int(dlaplace(epsilon).isf(expected / DRAWS))
    return np.unique(np.linspace(-far, far, 2 * min(far, 40) + 1).astype(int))


def binned(values, epsilon):
    """How many of the values are <= each cut but above the one before, the two tails included."""
    return np.bincount(np.searchsorted(bins(epsilon), values), minlength=len(bins(epsilon)) + 1)


@pytest.mark.parametrize("epsilon", EPSILONS)
def test_the_noise_has_the_law_of_the_discrete_laplace(epsilon):
    law = dlaplace(epsilon)
    a, k = math.exp(-epsilon), np.arange(-50, 51)
    np.testing.assert_allclose(law.pmf(k), (1 - a) / (1 + a) * a ** abs(k), rtol=1e-9)
    found = noise(epsilon)
    if epsilon == 10:  # four draws in 40 000 are expected to differ from 0
        assert 0 < (found != 0).sum() < 20 and abs(found).max() == 1
        return
    expected = np.diff([0, *law.cdf(bins(epsilon)), 1]) * DRAWS
    assert chisquare(binned(found, epsilon), expected).pvalue > .001
    wrong = np.diff([0, *dlaplace(epsilon * 1.1).cdf(bins(epsilon)), 1]) * DRAWS
    assert chisquare(binned(found, epsilon), wrong).pvalue < 1e-6  # the test can fail


@pytest.mark.parametrize("epsilon", [.3, 1.])
def test_one_record_changes_the_chance_of_a_message_by_at_most_exp_epsilon(epsilon):
    law, k = dlaplace(epsilon), np.arange(-40, 40)
    assert (law.pmf(k) / law.pmf(k + 1)).max() == pytest.approx(math.exp(epsilon))
    here, there = (np.bincount(release(np.full(DRAWS * 10, n), epsilon, np.random.default_rng(n)), minlength=99)[:99]
                   for n in (1, 2))  # clipped at 0, which is one more message
    often = (here > 2000) & (there > 2000)
    assert often[0] and often.sum() >= 5
    ratio, slack = np.log(here[often] / there[often]), 5 * np.sqrt(1 / here[often] + 1 / there[often])
    assert (abs(ratio) < epsilon + slack).all() and abs(ratio).max() > epsilon - slack.max()


@pytest.mark.parametrize("epsilon", [.1, 1., 3.])
def test_the_twin_is_that_of_opendp(epsilon):
    pytest.importorskip("opendp", reason="needs OpenDP: pip install -e .[privacy]")
    theirs = release_opendp(np.full(DRAWS, HIGH), epsilon) - HIGH
    both = np.stack([binned(noise(epsilon), epsilon), binned(theirs, epsilon)])
    assert chi2_contingency(both).pvalue > .0001  # theirs has no seed: one run in 10 000 fails
    other = np.stack([binned(noise(epsilon * 1.2), epsilon), binned(theirs, epsilon)])
    assert chi2_contingency(other).pvalue < 1e-6
    low = release_opendp(np.zeros((200, 2), int), epsilon)
    assert low.shape == (200, 2) and low.dtype == np.int64 and low.min() == 0 < low.max()


@pytest.mark.parametrize("epsilon", [.1, .3, 1 / 3, 1., 3., 7.])
def test_opendp_vouches_for_no_more_than_epsilon(epsilon):
    pytest.importorskip("opendp", reason="needs OpenDP: pip install -e .[privacy]")
    from hfkd.privacy import _mechanism

    assert epsilon * (1 - 1e-12) < _mechanism(epsilon).map(1) <= epsilon


def test_without_opendp_one_sentence_says_what_to_do(monkeypatch):
    real = builtins.__import__

    def without(name, *rest, **more):
        if name.startswith("opendp"):
            raise ModuleNotFoundError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ValueError, match=r"^release_opendp needs OpenDP, .*`pip install -e \.\[privacy\]`"):
        release_opendp([3, 1], 1.)


def test_released_counts_are_whole_and_never_negative_and_infinity_is_no_noise():
    counts = np.arange(60).reshape(3, 20)
    found = release(counts, .1, np.random.default_rng(0))
    assert found.dtype == np.int64 and found.shape == (3, 20) and found.min() == 0 and (found != counts).any()
    exact = release(counts, math.inf, np.random.default_rng(0))
    assert (exact == counts).all() and exact is not counts
    assert release([5], 40., np.random.default_rng(0)).tolist() == [5]
    assert release(np.zeros((0, 4), int), 1., np.random.default_rng(0)).shape == (0, 4)


@pytest.mark.parametrize(("counts", "epsilon", "words"), [
    ([1, -2], 1., "counts to release hold -2; expected integers >= 0"),
    ([1.5], 1., "counts to release hold float64; expected integers"),
    ([[1, 0]], 0., "epsilon is 0.0; expected 0.001 or more, or inf"),
    ([1], -1., "epsilon is -1.0"), ([1], math.nan, "epsilon is nan"), ([1], None, "epsilon is None"),
    ([1], "1", "epsilon is '1'"),
])  # fmt: skip
def test_bad_input(counts, epsilon, words):
    for release_one in (lambda: release(counts, epsilon, np.random.default_rng(0)),
                        lambda: release_opendp(counts, epsilon)):  # fmt: skip
        with pytest.raises(ValueError, match=words):
            release_one()


@pytest.mark.parametrize("epsilon", [0, -1, math.inf, math.nan, "1"])
def test_configurations_refuse_the_same(epsilon):
    with pytest.raises(ValueError, match="^epsilon is "):
        configure("smoke", epsilon=epsilon)


def test_a_client_releases_the_same_whichever_seeds_and_method_run_beside():
    config = configure("smoke", **SMALL, epsilon=.5)
    both, alone = (federation.start(config, DIGITS, seeds) for seeds in ((3, 1), (1,)))
    assert (both.released[1] == alone.released[0]).all() and (both.released[0] != both.released[1]).any()
    true = alone.splits[0].counts
    for client in range(config.clients):
        assert (alone.released[0, client] == release(true[client], .5, stream(1, "histogram", client))).all()
    assert (alone.released[0] != true).any()
    assert torch.equal(alone.prior, log_prior(true).float())  # of itself everybody knows the truth


def test_without_epsilon_the_true_counts_are_released():
    begun = federation.start(configure("smoke", **SMALL), DIGITS, (0, 1))
    assert all((seen == fed.counts).all() for seen, fed in zip(begun.released, begun.splits, strict=True))


def test_nobody_but_the_client_itself_reads_its_true_counts(monkeypatch):
    """Two federations whose clients hold other labels and release the same decide the same."""
    config, begun, books, lessons, _ = scene(epsilon=.5, revenue_personality=.5)
    before = shares(begun, config, 0), averaging.held(begun, begun.cohorts[0])
    for fed in begun.splits:
        fed.counts[:] = fed.counts[:, ::-1] + 7
    for z, seed in enumerate((0, 1)):
        again = federation._decide(begun, books, z, seed, config, METHODS["hfkd"])
        assert torch.equal(again.weights, lessons[z].weights) and (again.edges == lessons[z].edges).all()
    assert (shares(begun, config, 0) == before[0]).all()
    assert torch.equal(averaging.held(begun, begun.cohorts[0]), before[1])
    begun.released[:] = begun.released[:, :, ::-1]
    other = federation._decide(begun, books, 0, 0, config, METHODS["hfkd"])
    assert not torch.equal(other.weights, lessons[0].weights)


def test_class_means_weigh_by_released_counts_but_only_owners_send_any():
    _, begun, *_ = scene(epsilon=.3)
    true = np.concatenate([fed.counts for fed in begun.splits])
    found = averaging.samples(begun).numpy()
    assert ((found > 0) == (true > 0)).all()
    wanted = np.maximum(begun.released.reshape(true.shape), 1)
    assert (found[true > 0] == wanted[true > 0]).all() and (found != true).any()
    begun.released[:] = 0
    for cohort in begun.cohorts:
        assert (averaging.held(begun, cohort) == 1).all()  # an average over nobody's samples is one over clients


@pytest.mark.parametrize("method", ["hfkd", "hfkd_avg", "expertise_mean", "fedavg", "fedproto", "fd"])
def test_runs_with_much_noise_end_in_numbers(method):
    config = configure("smoke", **(SMALL | {"alpha": None}), method=method, epsilon=.01)
    outcome = federation.run(config, METHODS[method], DIGITS, (0,))
    assert np.isfinite(outcome.rows[["personality", "consistency"]]).all(axis=None)
    assert (outcome.counts["count"] >= 0).all() and outcome.counts["count"].max() > 200
    assert (outcome.rows["samples"].to_numpy() == state.split_of(config, DIGITS, 0).counts.sum(1)).all()


def test_local_training_never_reads_the_noise():
    rows = [federation.run(configure("smoke", **SMALL, method="balanced_local", epsilon=epsilon),
                           METHODS["balanced_local"], DIGITS, (0,)).rows for epsilon in (None, .1)]  # fmt: skip
    assert rows[0].equals(rows[1])


def test_kept_is_the_true_value_of_the_matching_made_in_the_noise():
    rng = np.random.default_rng(0)
    counts, levels = rng.integers(0, 60, (12, 5)) * (rng.random((12, 5)) < .5), np.repeat([1, 2, 3], 4)
    paths = Paths(levels, fan_in=2)
    for seen in (release(counts, .05, rng), np.zeros_like(counts), counts):
        value = [group_value(counts, match(each, paths).edges)[:8].mean() for each in (seen, counts)]
        assert kept(counts, seen, paths) == pytest.approx(value[0] / value[1])
    assert kept(counts, counts, paths) == 1 > kept(counts, np.zeros_like(counts), paths)
    with pytest.raises(ValueError, match="nobody has an admissible teacher"):
        kept(counts, counts, Paths(np.ones(12, int)))


def test_told_is_total_variation():
    counts = np.array([[10, 0], [5, 5], [0, 0]])
    assert told(counts, counts).tolist() == [0, 0, 0]
    assert told(counts, np.array([[0, 3], [1, 3], [4, 0]])).tolist() == [1, .25, .5]
