"""Figures of results, each a function of result rows (`results.load`); those of data and matching come along (ours).

Accuracies are in points, intervals are the 95 % intervals over seeds of `statistics`; there is a panel per scene (data
set, public set, partition, skew), and a method has the same colour in all figures. Nothing here imports torch.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator

from hfkd.arrows import fig_matching
from hfkd.canvas import INK, PAGE, by_level, finish, look, new, save, styled
from hfkd.annotate import place_labels
from hfkd.pairing import select
from hfkd.panels import Panel, key, over_seeds, panels, words
from hfkd.sketches import fig_assessment, fig_partition, fig_rules, fig_sizes
from hfkd.statistics import compare

__all__ = ["fig_assessment", "fig_frontier", "fig_levels", "fig_matching", "fig_partition", "fig_rounds", "fig_rules",
           "fig_sizes", "save"]

BOTH = ("personality", "consistency")  # the two co-primary endpoints


@styled
def fig_frontier(frame: pd.DataFrame, baseline: str = "local", metrics: tuple[str, str] = BOTH) -> Figure:
    """Personality against consistency, both as differences to the baseline at the last round, paired by seed.

    A point is a method or variant, its cross the two intervals; the baseline is the origin. With one seed there is no
    cross, and one that reaches far beyond all points (few seeds) is cut by the frame.

    Args:
        frame: rows of one experiment.
        baseline: a method's name, of the base configuration.
        metrics: what is on x and y, names of `endpoints.POINTS`.

    Raises:
        ValueError: no rows, an unknown method, or seeds without a partner in the baseline.

    Source: *ours* (METHOD section 9).

    >>> from hfkd.endpoints import COLUMNS
    >>> rows = pd.DataFrame([dict.fromkeys(COLUMNS, 0) | {"partition": "dirichlet", "variant": "", "method": m,
    ...                      "personality": p, "consistency": c} for m, p, c in (("local", .9, .2), ("hfkd", .875, .5))])
    >>> fig_frontier(rows).axes[0].collections[0].get_offsets().tolist()
    [[-2.5, 30.0]]
    """
    scenes = panels(frame)
    name = look(baseline)["label"]
    figure, (row,) = new(1, len(scenes), PAGE, 3.2, sharex=True, sharey=True)
    tables = []
    for axes, panel in zip(row, scenes, strict=True):
        runs = [run for run in panel.runs if run != (baseline, "")]
        table = compare(panel.rows, [key(run) for run in runs], baseline, metrics, **panel.where)
        table = table[["difference", "low", "high"]].to_numpy().reshape(-1, 2, 3)  # run, metric, column
        for run, ((x, left, right), (y, low, high)) in zip(runs, table, strict=True):
            style = look(*run)
            axes.scatter(x, y, 28, style["color"], marker=style["marker"], linewidths=0, zorder=3)
            axes.plot([left, right], [y, y], color=style["color"], linewidth=1, alpha=.7)
            axes.plot([x, x], [low, high], color=style["color"], linewidth=1, alpha=.7)
        axes.scatter(0, 0, 28, look(baseline)["color"], linewidths=0, zorder=3)
        axes.axhline(0, color=INK, linewidth=.6, zorder=1)
        axes.axvline(0, color=INK, linewidth=.6, zorder=1)
        axes.grid(axis="both")
        axes.set(title=panel.title, xlabel=f"{words(metrics[0])}, difference to {name} (points)")
        tables.append((runs, table))
    every = np.concatenate([table for _, table in tables] + [np.zeros((1, 2, 3))])
    row[0].set(xlim=_limits(*every[:, 0].T), ylim=_limits(*every[:, 1].T))
    row[0].set_ylabel(f"{words(metrics[1])}, difference to {name} (points)")
    for axes, (runs, table) in zip(row, tables, strict=True):  # after all are drawn: the axes are shared
        (x, left, right), (y, low, high) = table.transpose(1, 2, 0)
        crosses = np.concatenate([np.stack([left, y, right, y], 1), np.stack([x, low, x, high], 1)])
        place_labels(axes, np.append(table[:, :, 0], [[0, 0]], axis=0), [look(*run)["label"] for run in runs] + [name],
                     np.append(crosses[np.isfinite(crosses).all(axis=1)], [[-99, 0, 99, 0], [0, -99, 0, 99]], axis=0))
    return finish(figure)


@styled
def fig_levels(frame: pd.DataFrame, metric: str | Sequence[str] = BOTH) -> Figure:
    """Bars per level and method: the mean over the clients of the level and the seeds, last round, with intervals.

    Args:
        frame: rows of one experiment.
        metric: a name of `endpoints.POINTS`, or several: a row of panels each.

    Raises:
        ValueError: no rows, an unknown metric, or a run without a client of some level.

    Source: *ours* (METHOD section 9).

    >>> from hfkd.endpoints import COLUMNS
    >>> rows = pd.DataFrame([dict.fromkeys(COLUMNS, 0) | {"partition": "dirichlet", "variant": "", "method": "local",
    ...                      "level": k, "consistency": k / 5} for k in (1, 2)])
    >>> [bar.get_height() for bar in fig_levels(rows, "consistency").axes[0].patches]
    [20.0, 40.0]
    """
    scenes, metrics = panels(frame), [metric] if isinstance(metric, str) else list(metric)
    figure, grid = new(len(metrics), len(scenes), PAGE, .8 + 1.4 * len(metrics), sharex=True, sharey="row")
    for axes, metric, panel in _cells(grid, metrics, scenes):
        levels = sorted(panel.rows["level"].unique())
        width = .84 / len(panel.runs)
        for k, run in enumerate(panel.runs):
            style = look(*run)
            found = [over_seeds(panel, run, metric, level=level) for level in levels]
            x = np.arange(len(levels)) + (k - (len(panel.runs) - 1) / 2) * width
            mean, low, high = np.array([(i.mean, i.low, i.high) for i in found]).T
            axes.bar(x, mean, width, color=style["color"], hatch=style["hatch"], edgecolor="white", linewidth=.4,
                     label=style["label"])
            axes.vlines(x, low, high, color=INK, linewidth=.7)
        axes.set_xticks(np.arange(len(levels)), [name for name, _, _ in by_level(levels)[1]])
        axes.tick_params(axis="x", length=0)
        axes.grid(axis="y")
        axes.set_ylim(0, 100)
    return _with_legend(figure, grid)


@styled
def fig_rounds(frame: pd.DataFrame, metric: str | Sequence[str] = BOTH) -> Figure:
    """Curves over the evaluated rounds: the mean over clients and seeds, with its interval over the seeds as a band.

    With one seed or two there is no band (Student's interval of two is 13 times as wide as their distance), and one that reaches far beyond all curves is cut by the frame.

    Args:
        frame: rows of one experiment.
        metric: a name of `endpoints.POINTS`, or several: a row of panels each.

    Raises:
        ValueError: no rows or an unknown metric.

    Source: *ours* (METHOD section 9).

    >>> from hfkd.endpoints import COLUMNS
    >>> rows = pd.DataFrame([dict.fromkeys(COLUMNS, 0) | {"partition": "dirichlet", "variant": "", "method": "local",
    ...                      "round": k, "consistency": k / 10} for k in (2, 4)])
    >>> fig_rounds(rows, "consistency").axes[0].lines[0].get_xydata().tolist()
    [[2.0, 20.0], [4.0, 40.0]]
    """
    scenes, metrics = panels(frame), [metric] if isinstance(metric, str) else list(metric)
    figure, grid = new(len(metrics), len(scenes), PAGE, .8 + 1.5 * len(metrics), sharex=True)
    for axes, metric, panel in _cells(grid, metrics, scenes):
        drawn = []
        for run in panel.runs:
            style = look(*run)
            rounds = sorted(select(panel.rows, [key(run)], **panel.where)["round"].unique())
            found = [over_seeds(panel._replace(rows=panel.rows[panel.rows["round"] == r]), run, metric) for r in rounds]
            mean, low, high = np.array([(i.mean, i.low, i.high) for i in found]).T
            axes.plot(rounds, mean, color=style["color"], marker=style["marker"], markersize=3.5, label=style["label"],
                      linestyle="--" if run[1] else "-")
            if found[0].n > 2:
                axes.fill_between(rounds, low, high, color=style["color"], alpha=.1, linewidth=0)
            drawn += zip(rounds, mean, low, high, strict=True)
        axes.set_ylim(_limits(*np.transpose(drawn)[1:]))
        axes.grid(axis="both")
        axes.xaxis.set_major_locator(FixedLocator(sorted({each[0] for each in drawn}), nbins=8))
    for axes in grid[-1]:
        axes.set_xlabel("round")
    return _with_legend(figure, grid)


def _limits(means: np.ndarray, lows: np.ndarray, highs: np.ndarray) -> tuple[float, float]:
    """Axis limits that hold all means, and the intervals as far as they reach no further than half the means' range."""
    low, high = means.min(), means.max()
    room = (high - low) / 2 or 1.0
    low, high = np.nanmin([low, *np.maximum(lows, low - room)]), np.nanmax([high, *np.minimum(highs, high + room)])
    return low - .12 * room, high + .12 * room


def _cells(grid: np.ndarray, metrics: Sequence[str], scenes: Sequence[Panel]) -> list[tuple[Axes, str, Panel]]:
    """Axes, metric and panel of each cell of a grid (metric, panel), with titles on top and units on the left."""
    for axes, panel in zip(grid[0], scenes, strict=True):
        axes.set_title(panel.title)
    for axes, metric in zip(grid[:, 0], metrics, strict=True):
        axes.set_ylabel(f"{words(metric)} (points)")
    return [(grid[i, j], metric, panel) for i, metric in enumerate(metrics) for j, panel in enumerate(scenes)]


def _with_legend(figure: Figure, grid: np.ndarray) -> Figure:
    """The figure, finished, with one legend of all methods below the panels."""
    entries = {label: handle for axes in grid.flat for handle, label in zip(*axes.get_legend_handles_labels())}
    figure.legend(entries.values(), entries.keys(), loc="outside lower center", ncols=4)
    return finish(figure)
