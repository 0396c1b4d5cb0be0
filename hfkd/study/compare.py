"""One run against another, paired by seed, in one scene: differences in points, intervals, and what was chosen (ours).

A run is named "hfkd", or "hfkd[alpha=0.5]" for a variant; a scene is data set, public set, partition and skew. The unit
of evidence is the seed. Test columns choose nothing: `chosen` reads validation columns alone.
"""

import itertools
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats
from scipy.optimize import linprog

from hfkd.study.results import METRICS, POINTS, PRIMARY, RUN, SCENE

SLACK = 0.5  # points of the other endpoint that do not matter: noise below it chooses no rival
Interval = NamedTuple("Interval", [("mean", float), ("low", float), ("high", float), ("n", int)])


def last(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of the last measured round of each run, never of the best on test data."""
    return frame[frame["round"] == frame.groupby(RUN)["round"].transform("max")]


def runs(frame: pd.DataFrame) -> list[str]:
    """The names of all runs, in the order of the rows."""
    return _names(frame["method"], frame["variant"]).unique().tolist()


def select(frame: pd.DataFrame, *names: str, **scene) -> pd.DataFrame:
    """All rounds of some runs in one scene, with a column "run" that names them. scene: columns of SCENE with the value
    each must have, as many as it takes to leave one scene. Raises ValueError: they leave several, or a run has no rows.
    """
    if unknown := sorted(scene.keys() - {*SCENE}):
        raise ValueError(f"unknown condition {unknown[0]!r}; expected some of {', '.join(SCENE)}")
    rows = frame.assign(run=_names(frame["method"], frame["variant"]))
    for name, value in scene.items():
        rows = rows[rows[name] == value]
    where = "".join(f", {name} {value}" for name, value in scene.items())
    if absent := [name for name in names if name not in set(rows["run"])]:
        raise ValueError(f"no rows of {absent[0]}{where}; the file has {', '.join(runs(frame)) or 'none'}")
    rows = rows[rows["run"].isin(names)]
    for name in SCENE:
        if len(several := sorted(rows[name].unique())) > 1:
            raise ValueError(f"rows of {', '.join(names)}{where} have several values of {name}, {several}; say which")
    return rows


def by_seed(frame: pd.DataFrame, names: list[str], metric: str, **scene) -> pd.DataFrame:
    """`metric` of some runs of one scene at their last round, a row per seed, a column per run; shares in points."""
    if metric not in METRICS:
        raise ValueError(f"metric is {metric!r}; expected one of {', '.join(METRICS)}")
    found = last(select(frame, *names, **scene)).pivot(index="seed", columns="run", values=metric)
    for name in names:
        if alone := found.index[found[name].isna()].tolist():
            raise ValueError(f"seeds {alone} have no partner in {name}, or no {metric}; run all with the same seeds")
    return found[[*dict.fromkeys(names)]] * (100 if metric in POINTS else 1)


def paired(frame: pd.DataFrame, run: str, baseline: str, metric: str, **scene) -> pd.Series:
    """Differences run - baseline in one scene, one per seed, as `by_seed` has them.
    >>> row = {"dataset": "d", "public": "same", "partition": "p", "skew": .1, "variant": "", "round": 5}
    >>> frame = pd.DataFrame([row | {"method": m, "seed": s, "personality": p}
    ...                       for m, s, p in (("local", 0, .5), ("local", 1, .6), ("hfkd", 0, .75), ("hfkd", 1, .8))])
    >>> paired(frame, "hfkd", "local", "personality").tolist()
    [25.0, 20.0]
    """
    found = by_seed(frame, [run, baseline], metric, **scene)
    return (found[run] - found[baseline]).round(9)  # noise of the last bit must not break a tie


def gains(frame: pd.DataFrame, names: list[str], baseline: str, metrics: list[str] = PRIMARY, **scene) -> pd.DataFrame:
    """Each run against the baseline on each metric, a row each, as `paired` has it; low and high are 95 % limits."""
    table = pd.DataFrame(itertools.product(names, metrics), columns=["run", "metric"])
    each = {metric: by_seed(frame, [*names, baseline], metric, **scene) for metric in metrics}
    found = [interval((each[m][run] - each[m][baseline]).round(9)) for run, m in table.to_numpy()]
    return table.assign(seeds=[x.n for x in found], difference=[x.mean for x in found],
                        low=[x.low for x in found], high=[x.high for x in found])


def interval(sample: list[float], level: float = .95) -> Interval:
    """Mean of n seeds with Student's limits, mean -+ t_{n-1} s / sqrt(n) (Student 1908); NaN for one seed.
    Not the percentile bootstrap: on normal samples of 5 its nominal 95 % limits cover the mean 83 % of the time.
    >>> [round(x, 3) for x in interval([1.0, 2.0, 3.0])]            # t_2(.975) = 4.303, s / sqrt(3) = .5774
    [2.0, -0.484, 4.484, 3]
    """
    x = np.asarray(sample, float)
    if x.ndim != 1 or not len(x) or not np.isfinite(x).all():
        raise ValueError(f"sample is {x.tolist()}; expected a list of at least one finite number")
    n, mean = len(x), float(x.mean())
    error = np.nan if n < 2 else x.std(ddof=1) / np.sqrt(n) if np.ptp(x) else 0.0
    reach = float(stats.t.ppf((1 + level) / 2, n - 1) * error)
    return Interval(mean, mean - reach, mean + reach, n)


def student(sample: list[float], expected: float = 0.0) -> float:
    """Two-sided p of Student's test that the mean is `expected`: below .05 where `interval` leaves it out."""
    x, n = np.asarray(sample, float) - expected, interval(sample).n
    if n < 2 or np.ptp(x) == 0:  # one value says nothing; equal values say it for certain
        return float(n < 2 or x[0] == 0)
    return float(stats.ttest_1samp(x, 0).pvalue)


def tost(sample: list[float], margin: float = .5) -> float:
    """p of the two one-sided t tests (Schuirmann 1987): small means that the mean lies within (-margin, margin)."""
    mean, _, _, n = interval(sample)
    p = student(sample, np.copysign(margin, mean)) / 2  # of the nearer limit: the other one-sided p is smaller
    return p if abs(mean) < margin and n > 1 else 1 - p


def holm(p: list[float]) -> np.ndarray:
    """Adjusted p values, in the order given: the k-th smallest of m times m - k + 1, made monotone (Holm 1979)."""
    p = np.asarray(p, float)
    if not np.all((p >= 0) & (p <= 1)):
        raise ValueError(f"p values are {p.tolist()}; expected numbers in [0, 1]")
    order = np.argsort(p, kind="stable")
    return np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1)[np.argsort(order)]


def chosen(frame: pd.DataFrame) -> pd.Series:
    """The best of the runs whose variants differ in their last part alone, by that family: "hfkd[weighting=ramp]" ->
    "hfkd[weighting=ramp,alpha=0.7]". Best is the largest val_personality + val_consistency at the last round, mean over
    scenes and seeds; the first of equals. Raises: ValueError, if they have other scenes or seeds, or no score.
    """
    rows = last(frame)
    family = _names(rows["method"], rows["variant"].str.replace(r"(^|,)[^,]*$", "", regex=True)).rename("family")
    score = (rows["val_personality"] + rows["val_consistency"]).groupby(
        [family, _names(rows["method"], rows["variant"])])
    if (lacking := score.count().groupby("family").agg(lambda n: n.nunique() > 1 or not n.all())).any():
        raise ValueError(f"runs of {lacking.idxmax()} lack a validation score; expected the same scenes and seeds")
    return score.mean().round(9).groupby("family").idxmax().str[1]


def student_gains(clients: pd.DataFrame) -> pd.DataFrame:
    """Every student under every matching rule, with what it gains in consistency over "balanced_local", in points.
    clients: the last row of each client (`experiments.beside`), whose variants name a rule. Students are those below
    the highest level. Raises: ValueError, if there is no rule, or nobody to compare with.
    """
    on = ["partition", "skew", "seed", "client"]
    alone = clients[clients["method"] == "balanced_local"].set_index(on)["consistency"]
    rows = clients.assign(rule=clients["variant"].str.extract(r"rule=(\w+)")[0]).dropna(subset="rule")
    if rows.empty or alone.empty:
        raise ValueError("the clients have no rule, or no balanced_local; `hfkd grid 10` keeps both")
    rows = rows[rows["level"] < rows["level"].max()].join(alone.rename("alone"), on=on)
    return rows.assign(gain=100 * (rows["consistency"] - rows["alone"]))


def slopes(clients: pd.DataFrame) -> pd.Series:
    """By seed the least-squares slope of a student's gain against what its group covers, in points from 0 to 1, in one
    scene.
    >>> rows = [("hfkd", "rule=a", i, 1, i / 2, i / 4) for i in (0, 1, 2)] + [("hfkd", "rule=a", 3, 2, 1., 1.)]
    >>> rows += [("balanced_local", "", i, 1, 0., 0.) for i in range(4)]
    >>> frame = pd.DataFrame(rows, columns=["method", "variant", "client", "level", "coverage", "consistency"])
    >>> slopes(frame.assign(partition="p", skew=.1, seed=0)).round(9).tolist()
    [50.0]
    """
    each = student_gains(clients).groupby("seed")
    return each[["coverage", "gain"]].apply(lambda own: stats.linregress(own["coverage"], own["gain"]).slope)


def over_curve(frame: pd.DataFrame, run: str, pattern: str, metric: str, **scene) -> pd.Series:
    """Differences run - curve on one endpoint by seed, where the curve is at most SLACK worse on the other.
    A curve is a family such as "hfkd[weighting=fixed,alpha=*]". The rival is its point, or the mixture of two, that is
    best on means over these very seeds (it may choose on the rows that judge, the run may not), and taken as given.
    """
    if metric not in PRIMARY:
        raise ValueError(f"metric is {metric!r}; a curve trades consistency against personality")
    (start, _, end), other = pattern.partition("*"), PRIMARY[metric == "personality"]
    curve = [name for name in runs(frame) if name != run and name.startswith(start) and name.endswith(end)]
    if len(curve) < 2:
        raise ValueError(f"curve {pattern!r} has {len(curve)} runs; expected at least two, such as hfkd[alpha=*]")
    points = np.array([[by_seed(frame, [name], m, **scene)[name].mean() for name in curve] for m in (other, metric)])
    bar = min(by_seed(frame, [run], other, **scene)[run].mean() - SLACK, points[0].max())  # nearest, if none reaches it
    shares = linprog(-points[1], A_ub=-points[:1], b_ub=[-bar], A_eq=np.ones((1, len(curve))), b_eq=[1]).x
    return sum(share * paired(frame, run, name, metric, **scene) for share, name in zip(shares, curve) if share)


def _names(method: pd.Series, variant: pd.Series) -> pd.Series:
    return method.where(variant == "", method + "[" + variant + "]").rename("run")
