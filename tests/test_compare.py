"""Paired statistics against enumeration, scipy and the closed testing principle."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from hfkd.study import compare
from hfkd.study.results import COLUMNS


def rows(runs, skew=.1, round=5):
    """Summary rows: (method, variant) -> personality and consistency of each seed; validation is consistency."""
    blank = dict.fromkeys(COLUMNS, 0.0) | {"dataset": "d", "public": "same", "partition": "dirichlet", "skew": skew}
    return pd.DataFrame([
        blank | {"method": method, "variant": variant, "seed": seed, "round": round, "personality": p, "consistency": c,
                 "val_personality": 0.5, "val_consistency": c, "bytes_up": 100 * c}
        for (method, variant), pairs in runs.items() for seed, (p, c) in enumerate(pairs)
    ])  # fmt: skip


# --- reading

def test_differences_are_paired_by_seed_in_points_at_the_last_round():
    frame = pd.concat([rows({("local", ""): [(.5, .1)] * 2, ("hfkd", "a=1"): [(.9, .9)] * 2}),
                       rows({("local", ""): [(.5, .2), (.6, .3)], ("hfkd", "a=1"): [(.7, .5), (.7, .4)]}, round=10)])
    frame = frame.sample(frac=1, random_state=1)
    assert compare.paired(frame, "hfkd[a=1]", "local", "consistency").to_dict() == {0: 30.0, 1: 10.0}
    assert compare.by_seed(frame, ["hfkd[a=1]"], "bytes_up")["hfkd[a=1]"].tolist() == [50.0, 40.0]  # bytes are no points
    assert sorted(compare.runs(frame)) == ["hfkd[a=1]", "local"] and set(compare.last(frame)["round"]) == {10}
    table = compare.gains(frame, ["hfkd[a=1]"], "local", ["personality", "consistency"])
    assert table["difference"].tolist() == [15.0, 20.0] and table["seeds"].tolist() == [2, 2]
    assert table["low"].tolist() == pytest.approx([15 - 5 * 12.7062, 20 - 10 * 12.7062], abs=1e-3)


@pytest.mark.parametrize("read, sentence", [
    (lambda f: compare.paired(f, "hfkd", "local", "personality"), "several values of skew"),
    (lambda f: compare.paired(f[(f["skew"] > .1) | (f["method"] == "local")], "hfkd", "local", "personality", skew=.1),
     "no rows of hfkd, skew 0.1"),
    (lambda f: compare.paired(f[(f["skew"] > .1) == (f["method"] == "local")], "hfkd", "local", "personality"),
     "several values of skew"),
    (lambda f: compare.paired(f, "hfkd", "local", "personality", skew=.5), r"seeds \[1\] have no partner in local"),
    (lambda f: compare.by_seed(f, ["hfkd"], "accuracy", skew=.1), "metric is 'accuracy'"),
    (lambda f: compare.by_seed(f, ["hfkd"], "worst20", skew=.1), r"seeds \[0, 1\] have no partner in hfkd, or no worst20"),
    (lambda f: compare.by_seed(f, ["hfkd"], "personality", level=1), "unknown condition 'level'"),
    (lambda f: compare.over_curve(f, "hfkd", "local[a=*]", "personality", skew=.1), "has 0 runs; expected at least"),
    (lambda f: compare.over_curve(f, "hfkd", "local", "alpha", skew=.1), "a curve trades consistency"),
])
def test_what_is_ambiguous_unknown_or_missing_is_named(read, sentence):
    frame = pd.concat([rows({("local", ""): [(.5, .1)] * 2, ("hfkd", ""): [(.9, .9)] * 2}),
                       rows({("local", ""): [(.5, .2)], ("hfkd", ""): [(.9, .9)] * 2}, skew=.5)])
    with pytest.raises(ValueError, match=sentence):
        read(frame.assign(worst20=np.nan))


# --- statistics

def test_interval_covers_the_truth_as_often_as_it_says_and_the_percentile_bootstrap_does_not():
    # 2000 samples of n = 5 normal differences: standard error of a share of .95 is .0049, four of them .02
    rng = np.random.default_rng(0)
    samples = rng.normal(3, 1, (2000, 5))
    ours = [compare.interval(sample) for sample in samples]
    assert np.mean([f.low <= 3 <= f.high for f in ours]) == pytest.approx(.95, abs=.02)
    means = samples[:, rng.integers(0, 5, (500, 5))].mean(2)
    low, high = np.quantile(means, [.025, .975], axis=1)
    assert np.mean((low <= 3) & (3 <= high)) < .90


@pytest.mark.parametrize("mean", [-1.2, -.3, 0.0, .4, .6])
def test_student_interval_and_tost_say_the_same_as_scipy(mean):
    sample = np.random.default_rng(3).normal(mean, .4, 9)
    wanted = stats.ttest_1samp(sample, 0).confidence_interval(.95)
    assert compare.interval(sample)[1:3] == pytest.approx((wanted.low, wanted.high))
    assert compare.student(sample, .1) == pytest.approx(stats.ttest_1samp(sample, .1).pvalue)
    sides = (stats.ttest_1samp(sample, edge, alternative=way).pvalue for edge, way in ((-.5, "greater"), (.5, "less")))
    assert compare.tost(sample, .5) == pytest.approx(max(sides))
    wide = compare.interval(sample, .90)
    assert (compare.tost(sample, .5) < .05) == (-.5 < wide.low and wide.high < .5)


def test_edges_of_the_statistics():
    one = compare.interval([2.5])
    assert (one.mean, one.n) == (2.5, 1) and math.isnan(one.low) and compare.student([2.5]) == 1.0
    assert compare.interval([0.0, 0.0]) == (0.0, 0.0, 0.0, 2)
    assert compare.student([1.0, 1.0]) == 0.0 and compare.student([1.0, 1.0], 1.0) == 1.0
    assert compare.tost([.2, .2]) == 0.0 and compare.tost([.7, .7]) == 1.0 and compare.tost([.1]) >= .5
    for bad in ([], [1, math.nan], [[1, 2]]):
        with pytest.raises(ValueError, match="expected a list of at least one finite number"):
            compare.interval(bad)
    with pytest.raises(ValueError, match=r"expected numbers in \[0, 1\]"):
        compare.holm([.5, 1.5])


def test_holm_against_closed_testing():
    # Holm is closed testing with Bonferroni: i's adjusted p is the largest, over families with i, of size x smallest p
    p = np.random.default_rng(5).random(6) ** 3
    families = [family for k in range(1, 7) for family in itertools.combinations(range(6), k)]
    wanted = [max(min(1, len(f) * min(p[j] for j in f)) for f in families if i in f) for i in range(6)]
    np.testing.assert_allclose(compare.holm(p), wanted)


# --- what is chosen, and curves

def test_choices_read_validation_columns_alone():
    scores = {"": .3, "readout=plain": .4, "lr=1,alpha=0.1": .9, "lr=1,alpha=0.2": .8, "lr=2,alpha=0.2": .7,
              "lr=2,alpha=0.3": .7}
    frame = rows({("fedmd", variant): [(0, score)] for variant, score in scores.items()} | {("local", ""): [(0, .1)]})
    frame[["personality", "consistency"]] = frame[["personality", "consistency"]].to_numpy()[::-1]
    best = {"fedmd": "fedmd[readout=plain]", "fedmd[lr=1]": "fedmd[lr=1,alpha=0.1]", "local": "local",
            "fedmd[lr=2]": "fedmd[lr=2,alpha=0.2]"}  # the first of equals
    assert compare.chosen(frame).to_dict() == best
    with pytest.raises(ValueError, match="runs of fedmd lack a validation score"):
        compare.chosen(pd.concat([frame, rows({("fedmd", ""): [(0, .4)]}, skew=.5)]))
    with pytest.raises(ValueError, match="runs of fedmd lack a validation score"):
        compare.chosen(frame.assign(val_personality=np.nan))


@pytest.mark.parametrize("seed", range(10))
def test_a_curve_is_the_best_mixture_of_two_points_that_costs_at_most_half_a_point(seed):
    rng = np.random.default_rng(seed)
    points, (p, c) = rng.uniform(.4, .6, (5, 2)), rng.uniform(.4, .62, 2)  # sometimes none reaches it
    frame = rows({("hfkd", f"alpha={k}"): [point] for k, point in enumerate(points)} | {("hfkd", ""): [(p, c)]})
    t = np.linspace(0, 1, 20_001)[:, None]
    mixed = np.concatenate([t * one + (1 - t) * other for one, other in itertools.combinations(points, 2)])
    reach = mixed[mixed[:, 0] >= min(p - .005, points[:, 0].max()) - 1e-12]
    found = compare.over_curve(frame, "hfkd", "hfkd[alpha=*]", "consistency")
    assert found.tolist() == pytest.approx([100 * (c - reach[:, 1].max())], abs=2e-3)


def test_difference_to_a_curve_by_hand():
    # 90 - 10 w reaches 85 - .5 points of personality at w = .55 of alpha 0.5, with 51 and 53 of consistency
    frame = rows({("hfkd", "alpha=0.1"): [(.90, .40), (.90, .42)], ("hfkd", "alpha=0.5"): [(.80, .60), (.80, .62)],
                  ("hfkd", ""): [(.85, .55), (.85, .53)]})
    found = [compare.over_curve(frame, "hfkd", "hfkd[alpha=*]", name) for name in ("consistency", "personality")]
    # 54 - .5 points of consistency on average: 41 + 20 w = 53.5, so w = .625 of alpha 0.5, and 90 - 10 w = 83.75
    np.testing.assert_allclose(found, [[4, 0], [1.25, 1.25]], atol=1e-6)
