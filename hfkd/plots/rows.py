"""What result rows hold, sorted for drawing: scenes, their titles, and differences seed by seed (ours)."""

import re
from collections.abc import Iterator, Sequence

import pandas as pd

from hfkd.plots.style import METHODS, family
from hfkd.study import compare
from hfkd.study.results import SCENE

OWN = re.compile(r"((hard_loss|readout)=[^,]*(,|$))*")  # variants that are a loss or a readout, and nothing else
DATASETS = {"fashion_mnist": "Fashion-MNIST", "mnist": "MNIST", "cifar10": "CIFAR-10", "digits": "digits"}
PARTITIONS = {"dirichlet": "Dirichlet {skew:g}", "pathological": "two classes each", "quantity": "sizes {skew:g}",
              "level_dependent": "by level, {skew:g}", "natural": "as published"}


def scenes(frame: pd.DataFrame) -> Iterator[tuple[str, dict, pd.DataFrame]]:
    """Title, conditions and rows of each scene; the title names the partition, and what else differs.

    Raises:
        ValueError: no rows, or a method that the figures do not know.

    >>> scene = {"dataset": "digits", "public": "same", "partition": "dirichlet", "method": "hfkd"}
    >>> [title for title, _, _ in scenes(pd.DataFrame([scene | {"skew": .5}, scene | {"skew": .1}]))]
    ['Dirichlet 0.1', 'Dirichlet 0.5']
    """
    if frame.empty:
        raise ValueError("the frame has no rows; expected result rows, such as `hfkd grid 40` makes")
    for method in frame["method"].unique():
        family(method)  # an unknown one is an error before anything is drawn
    for key, rows in frame.groupby(SCENE):
        where = dict(zip(SCENE, key, strict=True))
        parts = [PARTITIONS.get(where["partition"], "{partition} {skew:g}").format(**where)]
        if frame["dataset"].nunique() > 1:
            parts.insert(0, DATASETS.get(where["dataset"], where["dataset"]))
        if frame["public"].nunique() > 1:
            parts.append(f"public images: {where['public']}")
        yield ", ".join(parts), where, rows


def better(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The rows of the methods as they are, and the better of each one's losses and readouts on validation data.

    Controls and ablations (variants with any other setting) are left out. Runs are in the order of METHODS.
    """
    rows = frame[frame["variant"].map(lambda variant: bool(OWN.fullmatch(variant)))]
    runs = compare.chosen_runs(rows, over=("hard_loss", "readout"))
    return rows, sorted(runs, key=lambda run: list(METHODS).index(method_of(run)))


def method_of(run: str) -> str:
    """The method of a run.

    >>> method_of("fedmd[hard_loss=balanced]")
    'fedmd'
    """
    return run.partition("[")[0]


def by_seed(frame: pd.DataFrame, runs: Sequence[str], baseline: str, metrics: Sequence[str]) -> pd.DataFrame:
    """Differences to the baseline at the last round in points, in every scene: columns scene, run, metric, seed, points.

    Raises:
        ValueError: what `compare.paired` raises, such as a run or a seed that a scene lacks.
    """
    tables = []
    for title, where, rows in scenes(frame):
        for run in runs:
            for metric in metrics:
                points = compare.paired(rows, run, baseline, metric, **where)
                tables.append(points.rename("points").reset_index().assign(scene=title, run=run, metric=metric))
    return pd.concat(tables, ignore_index=True)


def limits(sample: pd.Series) -> tuple[float, float]:
    """Student's 95 % limits of a mean over seeds, as seaborn wants its error bars.

    >>> [round(limit, 3) for limit in limits([1.0, 2.0, 3.0])]
    [-0.484, 4.484]
    """
    return compare.interval(sample)[1:3]


def over_seeds(frame: pd.DataFrame, what: str = "Bars") -> str:
    """What the intervals of a figure are, in words.

    >>> over_seeds(pd.DataFrame({"seed": [0, 1, 0]})), over_seeds(pd.DataFrame({"seed": [0]}))
    ('Bars: 95 % over 2 seeds', 'One seed, no interval')
    """
    seeds = frame["seed"].nunique()
    return f"{what}: 95 % over {seeds} seeds" if seeds > 1 else "One seed, no interval"
