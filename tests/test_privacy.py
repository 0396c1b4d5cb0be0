"""The noise on the label counts against its exact law, and against OpenDP; who releases what.

OpenDP is an extra (`pip install -e .[privacy]`); without it the tests that need it are skipped.
"""

import math
import sys

import numpy as np
import pytest
from scipy.stats import chi2_contingency, chisquare, dlaplace

from hfkd.privacy import SMALLEST, messages, release, release_opendp
from hfkd.streams import stream

EPSILONS = (.1, .3, 1., 3., 10.)
HIGH, DRAWS = 10**6, 40_000  # a count that no noise brings down to 0


def noise(epsilon, seed=0):
    """(DRAWS,) what is added."""
    return release(np.full(DRAWS, HIGH), epsilon, np.random.default_rng(seed)) - HIGH


def cuts(epsilon, expected=20):
    """Values at which to cut the noise, so that every bin is expected to hold some draws."""
    far = int(dlaplace(epsilon).isf(expected / DRAWS))
    return np.unique(np.linspace(-far, far, 2 * min(far, 40) + 1).astype(int))


def binned(values, epsilon):
    """How many of the values are <= each cut but above the one before, the two tails included."""
    return np.bincount(np.searchsorted(cuts(epsilon), values), minlength=len(cuts(epsilon)) + 1)


@pytest.mark.parametrize("epsilon", EPSILONS)
def test_the_noise_has_the_law_of_the_discrete_laplace(epsilon):
    law = dlaplace(epsilon)
    a, k = math.exp(-epsilon), np.arange(-50, 51)
    np.testing.assert_allclose(law.pmf(k), (1 - a) / (1 + a) * a ** abs(k), rtol=1e-9)
    found = noise(epsilon)
    if epsilon == 10:  # four draws in 40 000 are expected to differ from 0
        assert 0 < (found != 0).sum() < 20 and abs(found).max() == 1
        return
    expected = np.diff([0, *law.cdf(cuts(epsilon)), 1]) * DRAWS
    assert chisquare(binned(found, epsilon), expected).pvalue > .001
    wrong = np.diff([0, *dlaplace(epsilon * 1.1).cdf(cuts(epsilon)), 1]) * DRAWS
    assert chisquare(binned(found, epsilon), wrong).pvalue < 1e-6  # the test can fail


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
def test_opendp_vouches_for_no_more_than_epsilon(epsilon, monkeypatch):
    dp = pytest.importorskip("opendp.prelude", reason="needs OpenDP: pip install -e .[privacy]")
    made, make = [], dp.m.make_laplace
    monkeypatch.setattr(dp.m, "make_laplace", lambda *space, scale: made.append(make(*space, scale=scale)) or made[-1])
    release_opendp([3, 1], epsilon)
    assert epsilon * (1 - 1e-12) < made[-1].map(1) <= epsilon


def test_without_opendp_one_sentence_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "opendp.prelude", None)  # as if it were not installed
    with pytest.raises(ValueError, match=r"^release_opendp needs OpenDP; expected `pip install -e \.\[privacy\]`"):
        release_opendp([3, 1], 1.)
    assert release_opendp([3, 1], math.inf).tolist() == [3, 1]  # no noise, no mechanism


def test_released_counts_are_whole_and_never_negative_and_infinity_is_no_noise():
    counts = np.arange(60).reshape(3, 20)
    found = release(counts, .1, np.random.default_rng(0))
    assert found.dtype == np.int64 and found.shape == (3, 20) and found.min() == 0 and (found != counts).any()
    exact = release(counts, math.inf, np.random.default_rng(0))
    assert (exact == counts).all() and exact.dtype == np.int64 and not np.shares_memory(exact, counts)
    assert release([5], 40., np.random.default_rng(0)).tolist() == [5]
    assert release(np.zeros((0, 4), int), 1., np.random.default_rng(0)).shape == (0, 4)
    assert release([5], SMALLEST, np.random.default_rng(0)).min() >= 0


def test_every_client_releases_once_from_its_own_stream():
    counts = np.random.default_rng(0).integers(0, 60, (5, 10))
    found = messages(counts, .5, 3)
    for client, n in enumerate(counts):  # alone, in another order: the same
        assert (found[client] == release(n, .5, stream(3, "histogram", client))).all()
    assert (messages(counts, .5, 3) == found).all() and (messages(counts, .5, 4) != found).any()
    added = messages(np.full((40, 25), HIGH), .5, 3) - HIGH
    assert abs(np.corrcoef(added)[~np.eye(40, dtype=bool)]).max() < .9  # nobody shares noise
    true = messages(counts, None, 3)
    assert (true == counts).all() and not np.shares_memory(true, counts)


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
