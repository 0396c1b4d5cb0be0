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


def test_interval_by_hand():
    # mean 3, s = sqrt(((-2)^2 + (-1)^2 + 0 + 1 + 2^2) / 4) = sqrt(2.5), s / sqrt(5) = sqrt(.5); t_4(.975) = 2.7764
    found = statistics.interval([1.0, 2.0, 3.0, 4.0, 5.0])
    assert (found.mean, found.n) == (3.0, 5)
    assert (found.low, found.high) == pytest.approx((3 - 2.7764 * math.sqrt(.5), 3 + 2.7764 * math.sqrt(.5)), abs=1e-4)


def test_interval_covers_the_truth_as_often_as_it_says_and_the_percentile_bootstrap_does_not():
    # 2000 samples of n = 5 normal differences: standard error of a share of .95 is .0049, four of them .02
    rng = np.random.default_rng(0)
    samples = rng.normal(3, 1, (2000, 5))
    ours = [statistics.interval(sample) for sample in samples]
    assert np.mean([f.low <= 3 <= f.high for f in ours]) == pytest.approx(.95, abs=.02)
    means = samples[:, rng.integers(0, 5, (500, 5))].mean(2)
    low, high = np.quantile(means, [.025, .975], axis=1)
    assert np.mean((low <= 3) & (3 <= high)) < .90


def test_interval_shifts_and_scales():
    sample = np.random.default_rng(1).normal(size=9)
    first, moved = statistics.interval(sample), statistics.interval(10 + 2 * sample)
    assert (moved.low, moved.high) == pytest.approx((10 + 2 * first.low, 10 + 2 * first.high))
    narrow = statistics.interval(sample, level=.8)
    assert first.low < narrow.low < narrow.mean < narrow.high < first.high


def test_interval_edges():
    one = statistics.interval([2.5])
    assert (one.mean, one.n) == (2.5, 1) and math.isnan(one.low) and math.isnan(one.high)
    assert statistics.interval([0.0, 0.0]) == statistics.Interval(0.0, 0.0, 0.0, 2)
    for bad in ([], [1, math.nan], [[1, 2]], [math.inf]):
        with pytest.raises(ValueError, match="expected a list of at least one finite number"):
            statistics.interval(bad)
    with pytest.raises(ValueError, match="level is 95"):
        statistics.interval([1, 2], level=95)


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
