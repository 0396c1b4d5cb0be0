"""Who is better, and how surely: probability of improvement, average ranks, Friedman's and Nemenyi's tests (no torch).

The unit of evidence stays the pair of runs that share a scene and a seed (METHOD section 9). Differences and their
intervals come first (`statistics`, `overview`); ranks are the summary of many methods, not a replacement.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from hfkd.endpoints import SCENE
from hfkd.overview import LOWER, by_seed
from hfkd.pairing import paired


@dataclass(frozen=True)
class Improvement:
    """The share of seeds where one method is better than another, with its exact limits."""

    share: float
    low: float
    high: float
    p: float  # two-sided sign test; ties say nothing
    n: int  # seeds


@dataclass(frozen=True)
class Ranks:
    """Average ranks over blocks, 1 is best."""

    mean: pd.Series  # index = methods, best first
    blocks: int
    chi2: float  # Friedman's statistic, corrected for ties; k - 1 degrees of freedom
    p: float
    distance: float  # Nemenyi's critical difference


def improvement(frame: pd.DataFrame, method: str, baseline: str, metric: str, level: float = .95,
                **where) -> Improvement:
    """How often a method is better than the baseline: (seeds where it is better + ties / 2) / seeds.

    Agarwal et al. compare every run of one method with every run of the other. Here the two runs of a seed share
    partition, first weights and batches, so each is compared with its own partner only. The limits are those of Clopper
    and Pearson, the lower with ties as losses and the upper with ties as wins: never too short.

    Args:
        frame: rows of one experiment.
        method, baseline: names, or "name[variant]".
        metric: a name of `endpoints.METRICS`; of LOWER, less is better.
        level: confidence in (0, 1).
        where: conditions, `which` as for `pairing.paired`; the clients of one level cannot be asked for.

    Returns:
        Improvement. With ten seeds of which all are better the share is 1 with limits .69 and 1.

    Raises:
        ValueError: what `pairing.paired` raises, or a level outside (0, 1).

    Source: Agarwal et al. 2021 (arXiv:2108.13264), probability of improvement; Clopper and Pearson 1934
    (doi:10.1093/biomet/26.4.404); pairing and ties *ours*.

    >>> from hfkd.endpoints import COLUMNS
    >>> rows = pd.DataFrame([dict.fromkeys(COLUMNS, 0) | {"method": m, "variant": "", "seed": s, "personality": p}
    ...                      for m, shares in (("local", (.5, .5, .5, .5)), ("hfkd", (.6, .7, .5, .4)))
    ...                      for s, p in enumerate(shares)])
    >>> found = improvement(rows, "hfkd", "local", "personality")       # better, better, equal, worse
    >>> found.share, found.p, found.n
    (0.625, 1.0, 4)
    """
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; expected a confidence between 0 and 1, such as .95")
    gains = paired(frame, method, baseline, metric, **where) * (-1 if metric in LOWER else 1)
    n, wins, losses = len(gains), int((gains > 0).sum()), int((gains < 0).sum())
    low = stats.binomtest(wins, n).proportion_ci(level, "exact").low
    high = stats.binomtest(n - losses, n).proportion_ci(level, "exact").high
    p = stats.binomtest(wins, wins + losses).pvalue if wins + losses else 1.0
    return Improvement((n + wins - losses) / (2 * n), float(low), float(high), float(p), n)


def nemenyi(methods: int, blocks: int, alpha: float = .05) -> float:
    """The critical difference of average ranks: q_alpha sqrt(k (k + 1) / (6 N)), q_alpha = studentized range / sqrt(2).

    Args:
        methods: k >= 2.
        blocks: N >= 1.
        alpha: family-wise error over all pairs, in (0, 1).

    Raises:
        ValueError: fewer methods or blocks, or an alpha outside (0, 1).

    Source: Nemenyi 1963 (thesis, Princeton); Demsar 2006 (JMLR 7:1-30), table 5.

    >>> round(nemenyi(4, 14, .10), 2)  # Demsar's example in section 3.2.2: q = 2.291
    1.12
    """
    if methods < 2 or blocks < 1 or not 0 < alpha < 1:
        raise ValueError(f"methods, blocks and alpha are {methods}, {blocks} and {alpha}; expected at least two methods"
                         ", one block, and a number between 0 and 1")
    q = stats.studentized_range.ppf(1 - alpha, methods, np.inf) / np.sqrt(2)
    return float(q * np.sqrt(methods * (methods + 1) / (6 * blocks)))


def ranks(frame: pd.DataFrame, methods: Sequence[str], metric: str, scenes: Sequence[Mapping] | None = None,
          alpha: float = .05) -> Ranks:
    """Average ranks of the methods over blocks = (scene, seed) at the last round, with Friedman's and Nemenyi's tests.

    What the tests take for granted and what holds here. Blocks should be independent draws, as Demsar's are data sets.
    Here they are repetitions: seeds draw partition, first weights and batches anew, but all scenes of a data set draw
    from the same images, and the scenes of one seed also share first weights. So p and the critical difference speak
    of new draws in these scenes, not of new data sets, and are somewhat too small where a seed is good for the same
    methods in all scenes; one scene alone (`scenes=[...]`) has blocks by seed only. Ranks forget how large a difference
    is, and those of two methods depend on who else is ranked (Benavoli et al. 2016): intervals of paired differences
    come first.

    Args:
        frame: rows of one experiment.
        methods: three or more names, or "name[variant]".
        metric: a name of `endpoints.METRICS`; of LOWER, less is better.
        scenes: conditions for `pairing.select`, one mapping per scene; None: all scenes of the frame.
        alpha: of the critical difference.

    Returns:
        Ranks; equal values share the mean of their ranks.

    Raises:
        ValueError: fewer than three methods, one twice, or a method that lacks a scene or a seed.

    Source: Friedman 1937 (doi:10.1080/01621459.1937.10503522); Demsar 2006 (JMLR 7:1-30); Benavoli et al. 2016
    (JMLR 17(5):1-10).

    >>> from hfkd.endpoints import COLUMNS
    >>> rows = pd.DataFrame([dict.fromkeys(COLUMNS, 0) | {"method": m, "variant": "", "seed": s, "personality": p}
    ...                      for m, p in (("local", .5), ("fedmd", .6), ("hfkd", .7)) for s in range(6)])
    >>> found = ranks(rows, ["local", "fedmd", "hfkd"], "personality")
    >>> found.mean.to_dict(), found.blocks, found.chi2, round(found.p, 4)
    ({'hfkd': 1.0, 'fedmd': 2.0, 'local': 3.0}, 6, 12.0, 0.0025)
    """
    methods = list(methods)
    if len(methods) < 3 or len(set(methods)) < len(methods):
        raise ValueError(f"methods are {methods}; expected three or more, each once; for two see `improvement`")
    if scenes is None:
        scenes = frame[SCENE].drop_duplicates().to_dict("records")
    blocks = np.concatenate([by_seed(frame, methods, [(metric, None)], **scene)[0] for scene in scenes])
    places = stats.rankdata(blocks if metric in LOWER else -blocks, axis=1)
    tied = (places == places[:, :1]).all()  # nobody differs from anybody: Friedman's statistic is 0 / 0
    chi2, p = (0.0, 1.0) if tied else stats.friedmanchisquare(*blocks.T)
    mean = pd.Series(places.mean(axis=0), methods, name="rank").sort_values(kind="stable")
    return Ranks(mean, len(blocks), float(chi2), float(p), nemenyi(len(methods), len(blocks), alpha))


def alike(found: Ranks) -> list[tuple[int, int]]:
    """The largest groups of neighbours in `found.mean` that are closer than the critical difference: (first, last).

    Source: Demsar 2006 (JMLR 7:1-30), the bars of the diagram.

    >>> alike(Ranks(pd.Series([1.0, 1.5, 2.2, 4.0]), 9, 0, 0, 1.0))
    [(0, 1), (1, 2)]
    """
    mean, groups = found.mean.to_numpy(), []
    for first in range(len(mean)):
        last = int(np.flatnonzero(mean - mean[first] < found.distance)[-1])
        if last > first and (not groups or last > groups[-1][1]):
            groups.append((first, last))
    return groups
