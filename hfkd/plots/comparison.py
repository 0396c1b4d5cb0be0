"""Figures of results, each a function of result rows as `results.load` returns them (ours).

Accuracies are in points, intervals are the 95 % intervals over seeds of `statistics`; there is a panel per scene (data
set, public set, partition, skew), and a method has the same colour in all figures. Nothing here imports torch.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator

from hfkd.pairing import paired, select
from hfkd.plots.annotate import place_labels
from hfkd.plots.canvas import INK, PAGE, by_level, finish, look, new, styled
from hfkd.plots.margins import limits
from hfkd.plots.panels import Panel, key, over_seeds, panels, words
from hfkd.statistics import compare, interval

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
    ...                      "personality": p, "consistency": c} for m, p, c in (("local", .9, .2), ("hfkd", .8, .5))])
    >>> fig_frontier(rows).axes[0].collections[0].get_offsets().round(9).tolist()
    [[-10.0, 30.0]]
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
    row[0].set(xlim=limits(*every[:, 0].T), ylim=limits(*every[:, 1].T))
    row[0].set_ylabel(f"{words(metrics[1])}, difference to {name} (points)")
    for axes, (runs, table) in zip(row, tables, strict=True):  # after all are drawn: the axes are shared
        (x, left, right), (y, low, high) = table.transpose(1, 2, 0)
        crosses = np.concatenate([np.stack([left, y, right, y], 1), np.stack([x, low, x, high], 1)])
        place_labels(axes, np.append(table[:, :, 0], [[0, 0]], axis=0), [look(*run)["label"] for run in runs] + [name],
                     np.append(crosses[np.isfinite(crosses).all(axis=1)], [[-99, 0, 99, 0], [0, -99, 0, 99]], axis=0))
    return finish(figure)


@styled
def fig_levels(frame: pd.DataFrame, metric: str | Sequence[str] = BOTH, baseline: str = "local") -> Figure:
    """Who gains: per level, the difference of every method to the baseline at the last round, paired by seed.

    A bar is the mean over the clients of the level and the seeds, with its interval over the seeds; the baseline's own
    value stands below each level. An interval that reaches far beyond all bars (few seeds) is cut by the frame.

    Args:
        frame: rows of one experiment.
        metric: a name of `endpoints.POINTS`, or several: a row of panels each.
        baseline: a method's name, of the base configuration.

    Raises:
        ValueError: no rows, an unknown metric, no rows of the baseline, or a run without a client of some level.

    Source: *ours* (METHOD section 9).

    >>> from hfkd.endpoints import COLUMNS
    >>> rows = pd.DataFrame([dict.fromkeys(COLUMNS, 0) | {"partition": "dirichlet", "variant": "", "method": method,
    ...                      "client": k, "level": k, "consistency": c} for method, k, c in
    ...                      (("local", 1, .5), ("local", 2, .5), ("hfkd", 1, .75), ("hfkd", 2, 1))])
    >>> [float(bar.get_height()) for bar in fig_levels(rows, "consistency").axes[0].patches]
    [25.0, 50.0]
    """
    scenes, metrics = panels(frame), [metric] if isinstance(metric, str) else list(metric)
    figure, grid = new(len(metrics), len(scenes), PAGE, .8 + 1.5 * len(metrics), sharey="row")
    drawn = {name: [(0.0, 0.0, 0.0)] for name in metrics}
    for axes, name, panel in _cells(grid, metrics, scenes):
        drawn[name] += _bars(axes, panel, name, baseline)
    for axes, name in zip(grid[:, 0], metrics, strict=True):
        axes.set_ylabel(f"{words(name)},\ndifference (points)")
        axes.set_ylim(limits(*np.transpose(drawn[name])))
    return _with_legend(figure, grid)


def _bars(axes: Axes, panel: Panel, metric: str, baseline: str) -> list[tuple]:
    """Draws one panel of `fig_levels`; returns (mean, low, high) of each bar."""
    levels, drawn = sorted(panel.rows["level"].unique()), []
    rivals = [run for run in panel.runs if run != (baseline, "")]
    width = .84 / max(1, len(rivals))
    for k, run in enumerate(rivals):
        style = look(*run)
        gains = [paired(panel.rows, key(run), baseline, metric, level=level, **panel.where) for level in levels]
        mean, low, high = np.array([(i.mean, i.low, i.high) for i in map(interval, gains)]).T
        x = np.arange(len(levels)) + (k - (len(rivals) - 1) / 2) * width
        axes.bar(x, mean, width, edgecolor="white", linewidth=.4, **{k: style[k] for k in ("color", "hatch", "label")})
        axes.vlines(x, low, high, color=INK, linewidth=.7)
        drawn += zip(mean, low, high, strict=True)
    own = [over_seeds(panel, (baseline, ""), metric, level=level).mean for level in levels]
    names = [name for name, _, _ in by_level(levels)[1]]
    ticks = [f"{name}\n({look(baseline)['label']} {value:.1f})" for name, value in zip(names, own, strict=True)]
    axes.set_xticks(np.arange(len(levels)), ticks)
    axes.tick_params(axis="x", length=0)
    axes.grid(axis="y")
    axes.axhline(0, color=INK, linewidth=.7)
    return drawn


@styled
def fig_rounds(frame: pd.DataFrame, metric: str | Sequence[str] = BOTH) -> Figure:
    """Curves over the evaluated rounds: the mean over clients and seeds, with its interval over the seeds as a band.

    With one seed or two there is no band (Student's interval of two is 13 times as wide as their distance), and one
    that reaches far beyond all curves is cut by the frame.

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
        axes.set_ylim(limits(*np.transpose(drawn)[1:]))
        axes.grid(axis="both")
        axes.xaxis.set_major_locator(FixedLocator(sorted({each[0] for each in drawn}), nbins=8))
    for axes in grid[-1]:
        axes.set_xlabel("round")
    return _with_legend(figure, grid)


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
