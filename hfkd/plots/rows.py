"""What summary rows hold, sorted for drawing: a panel per scene, the runs to show, differences seed by seed (ours)."""

import itertools
import itertools
import re
from collections.abc import Iterator, Sequence

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hfkd.plots.style import METHODS, look, new
from hfkd.study import compare
from hfkd.study.results import SCENE

OWN = re.compile(r"((hard_loss|readout)=[^,]*(,|$))*")  # variants that are a loss or a readout, and nothing else
CHOICE = "Each method by the better of its losses on validation data."
FIRST = ("hfkd", "hfkd_nested")  # always named; then the best of each family that shares something
RULES = {"fixed": "{alpha}", "ramp": "ramp to {alpha} in {ramp_length} rounds", "loss_ratio": "loss ratio",
         "controller": "own validation loss", "gradient": "gradient cosine"}  # others by their own names
PARTITIONS = {"dirichlet": "Dirichlet {skew:g}", "pathological": "two classes each", "natural": "as published"}


def scenes(frame: pd.DataFrame) -> Iterator[tuple[str, dict, pd.DataFrame]]:
    """Title, conditions and rows of each scene. Raises: ValueError, if there are no rows, or an unknown method."""
    if frame.empty:
        raise ValueError("the frame has no rows; expected summary rows, such as `hfkd grid 40` makes")
    for method in frame["method"].unique():
        look(method)  # an unknown one is an error before anything is drawn
    for key, rows in frame.groupby(SCENE):
        where = dict(zip(SCENE, key, strict=True))
        title = PARTITIONS.get(where["partition"], "{partition} {skew:g}").format(**where)
        yield ", ".join([title, *(where[name] for name in SCENE[:2] if frame[name].nunique() > 1)]), where, rows


def panels(frame: pd.DataFrame, height: float, rows: int = 1, **options) -> tuple[Figure, list]:
    """A figure with a titled column of axes per scene, and a list of (axes, conditions, rows)."""
    found = list(scenes(frame))
    figure, grid = new(rows, len(found), height, **options)
    for axes, (title, _, _) in zip(grid[0], found, strict=True):
        axes.set_title(title)
    return figure, [(column, where, part) for column, (_, where, part) in zip(grid.T, found, strict=True)]


def better(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The rows of the methods as they are, and the better of each one's losses and readouts on validation data.

    Controls and ablations (variants with any other setting) are left out; runs are in the order of METHODS.
    """
    next(scenes(frame))  # no rows, or an unknown method
    rows = frame[frame["variant"].map(lambda variant: bool(OWN.fullmatch(variant)))]
    runs = compare.chosen_runs(rows, over=("hard_loss", "readout"))
    return rows, sorted(runs, key=lambda run: list(METHODS).index(run.partition("[")[0]))


def named(frame: pd.DataFrame, runs: Sequence[str]) -> list[str]:
    """Whose names matter most: this work, then the best of each family that shares something, on validation data."""
    last = compare.last(frame)
    score = (last["val_personality"] + last["val_consistency"]).groupby([last["method"], last["variant"]], sort=False)
    score = dict(zip(compare.runs(last), score.mean(), strict=True))
    best = {METHODS[run.partition("[")[0]][1]: run for run in sorted(runs, key=score.get)}  # the last of a family
    return [run for run in runs if run in FIRST] + [best[key] for key in ("nested", "within", "answers") if key in best]


def rules(frame: pd.DataFrame, method: str) -> dict[str, str]:
    """Run -> its fixed alpha, or its rule in words, for all runs of the method with a weighting."""
    found = {}
    for variant in frame.loc[frame["method"] == method, "variant"].unique():
        parts = dict(part.split("=") for part in variant.split(",") if part)
        if rule := parts.get("weighting"):
            found[f"{method}[{variant}]"] = RULES.get(rule, rule).format(**parts)
    return found


def by_seed(frame: pd.DataFrame, runs: Sequence[str], baseline: str, metrics: Sequence[str]) -> pd.DataFrame:
    """Differences to the baseline as `compare.paired` has them: columns scene, run, metric, seed, points."""
    tables = []
    for (title, where, rows), metric in itertools.product(scenes(frame), metrics):
        found = compare.by_seed(rows, [*runs, baseline], metric, **where)
        gain = found[list(runs)].sub(found[baseline], axis=0).round(9).rename_axis(columns="run")
        tables.append(gain.T.stack().rename("points").reset_index().assign(scene=title, metric=metric))
    return pd.concat(tables, ignore_index=True)


def limits(sample: pd.Series) -> tuple[float, float]:
    """Student's 95 % limits of a mean over seeds, as seaborn wants its error bars; NaN for one seed."""
    return compare.interval(sample)[1:3]


def line(axes: Axes, rows: pd.DataFrame, y: str, hue: str, mark: str) -> None:
    """Means over seeds by round as a line, with their 95 % limits as a band."""
    sns.lineplot(rows, x="round", y=y, errorbar=limits, color=hue, marker=mark, markeredgewidth=0, ax=axes,
                 markersize=8 if mark == "*" else 4.5)
    axes.set_xticks(sorted(rows["round"].unique()))


def over_seeds(frame: pd.DataFrame, what: str = "Bars") -> str:
    """What the intervals of a figure are, in words."""
    seeds = frame["seed"].nunique()
    return f"{what}: 95 % over {seeds} seeds." if seeds > 1 else "One seed, no interval."
