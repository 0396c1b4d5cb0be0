"""Paired statistics against enumeration, scipy, and the closed testing principle."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from hfkd import results, statistics


def rows(seeds):
    """Result rows of three methods, three levels, with random accuracies."""
    rng = np.random.default_rng(7)
    blank = dict.fromkeys(results.COLUMNS, 0) | {"experiment": "40_comparison", "variant": ""}
    return pd.DataFrame([blank | {"method": method, "seed": seed, "client": client, "level": 1 + client % 3,
                                  "personality": rng.random(), "consistency": rng.random()}
                         for method in ("local", "fedmd", "hfkd") for seed in seeds for client in range(6)])


def test_bootstrap_against_all_resamples():
    # with n = 5 there are 5^5 = 3125 equally likely resamples: the percentile interval without Monte Carlo error
    sample = np.array([.3, 2.0, -1.1, .7, 4.0])
    means = sample[np.array(list(itertools.product(range(5), repeat=5)))].mean(1)
    found = statistics.bootstrap(sample, draws=20_000)
    assert found.mean == pytest.approx(5.9 / 5) and found.n == 5
    # the means lie on a lattice, so compare probabilities; four standard errors: 4 sqrt(.025 * .975 / 20000) = .0044
    tie = 1e-9
    assert np.mean(means < found.low - tie) - .0044 <= .025 <= np.mean(means <= found.low + tie) + .0044
    assert np.mean(means > found.high + tie) - .0044 <= .025 <= np.mean(means >= found.high - tie) + .0044


def test_bootstrap_against_scipy():
    sample = np.random.default_rng(4).normal(5, 2, 12)
    theirs = stats.bootstrap((sample,), np.mean, n_resamples=20_000, method="percentile").confidence_interval
    ours = statistics.bootstrap(sample, draws=20_000)
    # a quantile of 20 000 normal draws has standard error sqrt(.025 * .975 / 20000) / phi(1.96) = .019 standard errors
    # of the mean (about .58): twice, four times and sqrt(2) give .06
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=.065)


def test_bootstrap_covers_the_truth_about_as_often_as_it_says():
    # n = 20 normal differences: the percentile interval covers a bit less than its level (about .92 for .95).
    # 400 trials: standard error .013, so [.87, .97] is wider than three of them.
    rng = np.random.default_rng(0)
    found = [statistics.bootstrap(rng.normal(3, 1, 20), draws=500, seed=k) for k in range(400)]
    assert .87 < np.mean([f.low <= 3 <= f.high for f in found]) < .97


def test_bootstrap_repeats_shifts_and_scales():
    sample = np.random.default_rng(1).normal(size=9)
    first = statistics.bootstrap(sample)
    assert statistics.bootstrap(sample) == first != statistics.bootstrap(sample, seed=1)
    moved = statistics.bootstrap(10 + 2 * sample)
    assert (moved.low, moved.high) == pytest.approx((10 + 2 * first.low, 10 + 2 * first.high))
    narrow = statistics.bootstrap(sample, level=.8)
    assert first.low < narrow.low < narrow.mean < narrow.high < first.high


def test_bootstrap_edges():
    one = statistics.bootstrap([2.5])
    assert (one.mean, one.n) == (2.5, 1) and math.isnan(one.low) and math.isnan(one.high)
    assert statistics.bootstrap([0.0, 0.0]) == statistics.Interval(0.0, 0.0, 0.0, 2)
    for bad in ([], [1, math.nan], [[1, 2]], [math.inf]):
        with pytest.raises(ValueError, match="expected a list of at least one finite number"):
            statistics.bootstrap(bad)
    with pytest.raises(ValueError, match="level is 95"):
        statistics.bootstrap([1, 2], level=95)


def test_wilcoxon_against_all_sign_flips():
    # under the null every sign is a fair coin: 2^n equally likely rank sums
    sample = np.array([1.2, -.4, 2.2, .9, 3.1, -1.5, 2.7])
    ranks = stats.rankdata(np.abs(sample))
    centre = ranks.sum() / 2
    sums = [np.dot(ranks, signs) for signs in itertools.product([0, 1], repeat=7)]
    extreme = np.mean(np.abs(np.array(sums) - centre) >= abs(ranks[sample > 0].sum() - centre))
    assert statistics.wilcoxon(sample) == pytest.approx(extreme)
    assert statistics.wilcoxon(-sample) == pytest.approx(extreme)


def test_wilcoxon_edges():
    assert statistics.wilcoxon([0, 0, 0]) == 1.0
    assert statistics.wilcoxon([3.0]) == 1.0
    assert statistics.wilcoxon([0, 1, 2, 3, 4, 5, 6]) == statistics.wilcoxon([1, 2, 3, 4, 5, 6]) == 2 / 2**6
    assert statistics.wilcoxon([1, 2, 3, 4, 5]) == 2 / 2**5  # five seeds cannot reach .05
    assert 0 < statistics.wilcoxon([1.0, 1.0, 1.0, -1.0, 2.0, 2.0]) <= 1  # ties, without a warning


def test_holm_against_closed_testing():
    # Holm = closed testing with Bonferroni: the adjusted p of i is the largest, over all families S that contain i, of
    # |S| * min p in S, cut at 1
    p = np.random.default_rng(2).random(6) ** 3
    families = [s for k in range(1, 7) for s in itertools.combinations(range(6), k)]
    expected = [max(min(1, len(s) * p[list(s)].min()) for s in families if i in s) for i in range(6)]
    np.testing.assert_allclose(statistics.holm(p), expected, rtol=1e-12)


def test_holm_by_hand():
    # sorted .005 .01 .03 .04 -> 4*.005 = .02, 3*.01 = .03, 2*.03 = .06, max(.06, 1*.04) = .06
    np.testing.assert_allclose(statistics.holm([.01, .04, .03, .005]), [.03, .06, .06, .02])
    np.testing.assert_allclose(statistics.holm([.5, .6]), [1, 1])  # 2 * .5 = 1, and no smaller after it
    assert statistics.holm([.2]).tolist() == [.2] and statistics.holm([]).tolist() == []
    with pytest.raises(ValueError, match="numbers in \\[0, 1\\]"):
        statistics.holm([.1, math.nan])


@pytest.mark.parametrize("mean", [0.0, .3, -.45, .8])
def test_tost_against_scipy(mean):
    sample = np.random.default_rng(3).normal(mean, .3, 8)
    p = max(stats.ttest_1samp(sample, -.5, alternative="greater").pvalue,
            stats.ttest_1samp(sample, .5, alternative="less").pvalue)
    assert statistics.tost(sample) == pytest.approx(p, rel=1e-9)
    # p < .05 says the same as: the 90 % t interval lies within the margin
    half = stats.t.ppf(.95, 7) * sample.std(ddof=1) / math.sqrt(8)
    assert (p < .05) == (abs(sample.mean()) + half < .5)


def test_tost_edges():
    assert statistics.tost([.1]) == 1.0
    assert statistics.tost([.1, .1]) == 0.0 and statistics.tost([.5, .5]) == 1.0
    with pytest.raises(ValueError, match="margin is 0"):
        statistics.tost([1, 2], margin=0)


def test_compare_is_one_holm_family_in_the_order_asked():
    frame = rows(seeds=range(8))
    lift = frame["method"] == "hfkd"
    frame.loc[lift, "consistency"] = .9 + .01 * frame.loc[lift, "consistency"]
    table = statistics.compare(frame, ["hfkd", "fedmd"], "local", ["personality", "consistency"])
    assert list(zip(table["method"], table["metric"], strict=True)) == [
        ("hfkd", "personality"), ("hfkd", "consistency"), ("fedmd", "personality"), ("fedmd", "consistency")]
    raw = []
    for line in table.itertuples():
        differences = results.paired(frame, line.method, "local", line.metric)
        raw.append(stats.wilcoxon(differences).pvalue)
        assert line.difference == pytest.approx(differences.mean()) and line.low <= line.difference <= line.high
        assert line.seeds == 8
    np.testing.assert_allclose(table["p_holm"], statistics.holm(raw))
    assert table["p_holm"][1] == pytest.approx(4 * 2 / 2**8)  # all eight seeds better, four tests
    one = statistics.compare(frame, ["hfkd"], "local", ["consistency"], level=1)
    assert one["difference"][0] == pytest.approx(results.paired(frame, "hfkd", "local", "consistency", level=1).mean())
    with pytest.raises(ValueError, match="baseline 'local' is among the methods"):
        statistics.compare(frame, ["local", "hfkd"], "local", ["personality"])
