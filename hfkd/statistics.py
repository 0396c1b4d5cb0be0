"""Paired statistics over seeds: Student's interval, Wilcoxon with Holm, and the equivalence test (METHOD section 9).

The unit of evidence is the seed: one difference per seed, never one per client. With five seeds the smallest two-sided
Wilcoxon p is 2 / 2^5 = .0625, so a claim stands on the interval and the p value accompanies it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from hfkd.results import paired


@dataclass(frozen=True)
class Interval:
    """A mean over seeds with its confidence limits, in the unit of the differences."""

    mean: float
    low: float  # NaN with one seed: one number says nothing about its spread
    high: float
    n: int  # seeds


def interval(differences: Sequence[float], level: float = .95) -> Interval:
    """The mean of paired differences with Student's t limits: mean -+ t_{n-1} s / sqrt(n).

    Not the percentile bootstrap: with few seeds that is too short. On normal differences, 4000 samples each, its
    nominal 95 % limits cover the mean 51, 83, 90 and 92 % of the time for n = 2, 5, 10 and 20, Student's 95 %.

    Args:
        differences: (n,), one per seed; n >= 1.
        level: confidence in (0, 1).

    Returns:
        Interval. Limits are NaN for n = 1 and equal the mean if all differences are equal.

    Raises:
        ValueError: no differences, a missing one, or a level outside (0, 1).

    Source: Student 1908 (doi:10.1093/biomet/6.1.1), through scipy.

    >>> found = interval([1.0, 2.0, 3.0])            # t_2(.975) = 4.303, s / sqrt(3) = .5774
    >>> round(found.low, 3), found.mean, round(found.high, 3)
    (-0.484, 2.0, 4.484)
    """
    sample = _sample(differences)
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; expected a confidence between 0 and 1, such as .95")
    mean, n = float(sample.mean()), len(sample)
    if n == 1 or np.ptp(sample) == 0:
        return Interval(mean, *([math.nan] * 2 if n == 1 else [mean] * 2), n)
    limits = stats.ttest_1samp(sample, 0).confidence_interval(level)
    return Interval(mean, float(limits.low), float(limits.high), n)


def wilcoxon(differences: Sequence[float]) -> float:
    """Two-sided p of the Wilcoxon signed-rank test that the differences are symmetric about 0.

    Args:
        differences: (n,), one per seed; zeros are left out, as Wilcoxon did.

    Returns:
        p in (0, 1]; 1 if all differences are 0. At least 2 / 2^n: six seeds are needed for p < .05.

    Source: Wilcoxon 1945 (doi:10.2307/3001968), through scipy.

    >>> wilcoxon([1, 2, 3, 4, 5, 6])
    0.03125
    """
    sample = _sample(differences)
    sample = sample[sample != 0]
    if len(sample) < 2:  # one difference has two equally likely signs: p = 1
        return 1.0
    return float(stats.wilcoxon(sample).pvalue)


def holm(p_values: Sequence[float]) -> np.ndarray:
    """Holm's step-down adjustment: the k-th smallest of m p values times m - k + 1, made monotone and cut at 1.

    Args:
        p_values: (m,) in [0, 1], the whole family.

    Returns:
        adjusted p values (m,), in the order given; those <= .05 keep the family-wise error at .05.

    Raises:
        ValueError: a value missing or outside [0, 1].

    Source: Holm 1979, Scand. J. Statist. 6:65-70.

    >>> holm([.01, .04, .03, .005]).round(2).tolist()
    [0.03, 0.06, 0.06, 0.02]
    """
    p = np.asarray(p_values, float)
    if p.ndim != 1 or not np.all((p >= 0) & (p <= 1)):
        raise ValueError(f"p values are {p.tolist()}; expected a list of numbers in [0, 1]")
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1)
    return adjusted


def tost(differences: Sequence[float], margin: float = .5) -> float:
    """p of the two one-sided t tests: small means that the mean difference lies within (-margin, margin).

    p = max(P(t > (mean + margin)/se), P(t < (mean - margin)/se)) with n - 1 degrees of freedom, se = sd/sqrt(n).

    Args:
        differences: (n,), one per seed.
        margin: the largest difference that does not matter, > 0, in the same unit (.5 point in METHOD section 9).

    Returns:
        p in [0, 1]; 1 for one seed; 0 or 1 if all differences are equal, by whether they are within the margin.

    Raises:
        ValueError: no differences, a missing one, or a margin that is not positive.

    Source: Schuirmann 1987 (doi:10.1007/BF01068419).

    >>> round(tost([-.1, .1, .2, 0.0, -.2], margin=.5), 5)
    0.00106
    """
    sample = _sample(differences)
    if not margin > 0:
        raise ValueError(f"margin is {margin}; expected a positive number of points")
    mean, n = sample.mean(), len(sample)
    if n == 1:
        return 1.0
    if np.ptp(sample) == 0:
        return 0.0 if abs(mean) < margin else 1.0
    error = sample.std(ddof=1) / math.sqrt(n)
    return float(max(stats.t.sf((mean + margin) / error, n - 1), stats.t.cdf((mean - margin) / error, n - 1)))


def compare(frame: pd.DataFrame, methods: Sequence[str], baseline: str, metrics: Sequence[str],
            **where) -> pd.DataFrame:
    """Each method against the baseline on each metric, paired by seed; one table is one Holm family.

    Args:
        frame: result rows of one experiment.
        methods: names, or "name[variant]"; without the baseline.
        metrics: names of `results.METRICS`.
        where: conditions, `which` and `level` as for `results.paired`.

    Returns:
        columns method, metric, seeds, difference, low, high (95 %), p_holm (Wilcoxon, adjusted over the whole
        table), p_tost (margin .5); accuracies in points. Rows in the order asked.

    Raises:
        ValueError: the baseline among the methods, or what `results.paired` raises.

    Source: *ours* (METHOD section 9).
    """
    if baseline in methods:
        raise ValueError(f"baseline {baseline!r} is among the methods; expected methods that differ from it")
    rows, raw = [], []
    for method in methods:
        for metric in metrics:
            differences = paired(frame, method, baseline, metric, **where)
            found = interval(differences)
            rows.append((method, metric, found.n, found.mean, found.low, found.high, tost(differences)))
            raw.append(wilcoxon(differences))
    table = pd.DataFrame(rows, columns=["method", "metric", "seeds", "difference", "low", "high", "p_tost"])
    table.insert(6, "p_holm", holm(raw))
    return table


def _sample(differences: Sequence[float]) -> np.ndarray:
    """The differences as floats (n,), or a ValueError."""
    sample = np.asarray(differences, float)
    if sample.ndim != 1 or not len(sample) or not np.isfinite(sample).all():
        raise ValueError(f"differences are {sample.tolist()}; expected a list of at least one finite number")
    return sample
