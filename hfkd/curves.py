"""A rule against a whole curve of settings, not against one of them: does it reach what no constant on it reaches?

A curve is a family of runs that differ in one number, such as HFKD with each of seven fixed alphas. Turning that number
trades one endpoint for the other, so a rule is compared with the points of the curve, and the mixtures of two of them,
that are at most SLACK worse on the other endpoint (ours).
"""

import fnmatch
import itertools
from collections.abc import Sequence

import numpy as np
import pandas as pd

from hfkd.pairing import paired, values

SLACK = 0.5  # points of the other endpoint that do not matter (METHOD section 9): noise below it chooses no rival
OTHER = {"consistency": "personality", "personality": "consistency"}


def members(frame: pd.DataFrame, pattern: str) -> list[str]:
    """The runs of a frame whose name fits a pattern with *, in the order of the rows.

    Raises:
        ValueError: fewer than two.

    >>> rows = pd.DataFrame({"method": "hfkd", "variant": ["alpha=0.1", "alpha=0.5", "beta=0.0"]})
    >>> members(rows, "hfkd[alpha=*]")
    ['hfkd[alpha=0.1]', 'hfkd[alpha=0.5]']
    """
    runs = frame[["method", "variant"]].drop_duplicates().itertuples(index=False)
    names = [f"{method}[{variant}]" if variant else method for method, variant in runs]
    escaped = pattern.replace("[", "[[]")
    found = [name for name in names if fnmatch.fnmatchcase(name, escaped)]
    if len(found) < 2:
        raise ValueError(f"curve {pattern!r} has {len(found)} runs; expected at least two, such as hfkd[alpha=*]")
    return found


def mixture(x: float, curve: Sequence[tuple[float, float]]) -> np.ndarray:
    """Shares (k,) of the curve's points whose mixture has the largest y among those with at least x.

    At most two points get a share: an owner of the curve could flip a coin between two settings. Where no point
    reaches x, all goes to the one that comes nearest: the rule is then ahead on x by more than was asked.

    Args:
        x: what must be reached. curve: (x, y) per point.

    >>> mixture(0.5, [(0.0, 10.0), (1.0, 8.0), (2.0, 0.0)]).tolist()
    [0.5, 0.5, 0.0]
    """
    points = np.asarray(curve, float)
    shares = np.zeros(len(points))
    reach = points[:, 0] >= x
    if not reach.any():
        shares[points[:, 0].argmax()] = 1.0
        return shares
    shares[np.where(reach, points[:, 1], -np.inf).argmax()] = 1.0  # the best single point that reaches x
    best = float(shares @ points[:, 1])
    for a, b in itertools.product(np.flatnonzero(reach), np.flatnonzero(~reach)):
        part = (x - points[b, 0]) / (points[a, 0] - points[b, 0])  # of a, so that the mixture just reaches x
        if part * points[a, 1] + (1 - part) * points[b, 1] > best + 1e-12:
            best = part * points[a, 1] + (1 - part) * points[b, 1]
            shares = np.zeros(len(points))
            shares[[a, b]] = part, 1 - part
    return shares


def over_curve(frame: pd.DataFrame, method: str, pattern: str, metric: str, **where) -> np.ndarray:
    """Differences method - curve on one endpoint, one per seed, where the curve is at most SLACK worse on the other.

    The curve's rival, a point or a mixture of two, is the best on means over these very seeds, so the curve may choose
    on the rows that judge, and the rule may not. The interval over seeds takes the rival as given. Between its points
    the curve counts as straight.

    Args:
        frame: rows of one experiment. method: as for `pairing.values`. pattern: see `members`.
        metric: consistency or personality. where: as for `pairing.paired`.

    Returns:
        (n,) in points, seeds in rising order.

    Raises:
        ValueError: another metric, no curve, or what `pairing.paired` raises.

    Source: ours.
    """
    runs, shares = _mixed(frame, method, pattern, metric, where)
    return sum(s * paired(frame, method, run, metric, **where) for s, run in zip(shares, runs) if s)


def in_words(frame: pd.DataFrame, method: str, pattern: str, metric: str, **where) -> str:
    """The mixture that `over_curve` compares with, such as "0.73 hfkd[alpha=0.2] + 0.27 hfkd[alpha=0.35]"."""
    runs, shares = _mixed(frame, method, pattern, metric, where)
    return " + ".join(f"{s:.2f} {run}" for s, run in zip(shares, runs) if s > 0.005)


def _mixed(frame, method, pattern, metric, where):
    """Runs of the curve and their shares in what the method is compared with."""
    if metric not in OTHER:
        raise ValueError(f"metric is {metric!r}; a curve trades consistency against personality")
    runs, other = [run for run in members(frame, pattern) if run != method], OTHER[metric]
    curve = [tuple(values(frame, run, m, **where).mean() for m in (other, metric)) for run in runs]
    return runs, mixture(float(values(frame, method, other, **where).mean()) - SLACK, curve)
