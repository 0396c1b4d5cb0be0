"""What result rows hold, sorted for drawing: a panel per scene, its title, and the runs in it (ours)."""

from typing import NamedTuple

import pandas as pd

from hfkd.endpoints import SCENE
from hfkd.overview import key
from hfkd.pairing import values
from hfkd.plots.looks import METHODS, look
from hfkd.statistics import Interval, interval

WORDS = {"consistency_corrected": "prior-corrected consistency", "worst20": "personality of the worst 20 %",
         "below_local": "clients below Local", "val_personality": "validation personality",
         "val_consistency": "validation consistency"}
DATASETS = {"fashion_mnist": "Fashion-MNIST", "mnist": "MNIST", "cifar10": "CIFAR-10", "digits": "digits"}


class Panel(NamedTuple):
    """One scene: its title, its conditions, its rows, and the runs in it as (method, variant)."""

    title: str
    where: dict
    rows: pd.DataFrame
    runs: list[tuple[str, str]]


def panels(frame: pd.DataFrame) -> list[Panel]:
    """A panel per scene of the rows, in the order of SCENE; the title names the partition, and what differs.

    Args:
        frame: rows of one experiment.

    Raises:
        ValueError: no rows, or a method without a colour.

    Source: *ours*.

    >>> scene = {"dataset": "digits", "public": "same", "partition": "dirichlet", "method": "hfkd", "variant": ""}
    >>> [panel.title for panel in panels(pd.DataFrame([scene | {"skew": .5}, scene | {"skew": .1}]))]
    ['Dirichlet 0.1', 'Dirichlet 0.5']
    """
    if frame.empty:
        raise ValueError("the frame has no rows; expected result rows, such as `hfkd grid 40` makes")
    scenes = frame[SCENE].drop_duplicates().sort_values(SCENE)
    found = []
    for _, scene in scenes.iterrows():
        rows = frame[(frame[SCENE] == scene).all(axis=1)]
        runs = set(zip(rows["method"], rows["variant"], strict=True))
        for run in runs:
            look(*run)  # an unknown method is an error before anything is drawn
        runs = sorted(runs, key=lambda run: (list(METHODS).index(run[0]), run[1]))
        found.append(Panel(_title(scene, scenes), scene.to_dict(), rows, runs))
    return found


def words(metric: str) -> str:
    """A metric of the rows in words.

    >>> words("worst20"), words("consistency")
    ('personality of the worst 20 %', 'consistency')
    """
    return WORDS.get(metric, metric)


def over_seeds(panel: Panel, run: tuple[str, str], metric: str, level: int | None = None) -> Interval:
    """The mean over seeds of a run's last round in the panel, with its 95 % interval; accuracies in points.

    Source: *ours*.
    """
    return interval(values(panel.rows, key(run), metric, level=level, **panel.where))


def _title(scene: pd.Series, scenes: pd.DataFrame) -> str:
    """The partition; data set and public set only where the figure has several."""
    several = scenes.nunique() > 1
    parts = [DATASETS.get(scene["dataset"], scene["dataset"])] if several["dataset"] else []
    skew = "" if scene["partition"] in ("pathological", "natural") else f" {scene['skew']:g}"
    parts.append(scene["partition"].replace("_", "-").capitalize() + skew)
    parts += [f"public: {DATASETS.get(scene['public'], scene['public'])}"] if several["public"] else []
    return ", ".join(parts)
