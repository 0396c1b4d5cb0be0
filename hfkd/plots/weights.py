"""Figures of the weights (RQ2): what a fixed alpha trades, where the rules land, what weights they give (ours)."""

import re
from textwrap import fill

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FixedLocator

from hfkd.endpoints import CELL
from hfkd.overview import PRIMARY, key
from hfkd.plots.annotate import place_labels
from hfkd.plots.canvas import INK, PAGE, finish, new, styled
from hfkd.plots.looks import METHODS, look
from hfkd.plots.margins import along, draw_means, label_ends, window
from hfkd.plots.panels import Panel, panels, words
from hfkd.plots.phrases import apart
from hfkd.statistics import compare

FIXED = re.compile(r"weighting=fixed,alpha=([\d.]+)")
SMALL = 3.0  # points: differences up to here are always in view
RAMP = ("hfkd_ramp", "")  # the method whose rule is the ramp
RULES = {"ramp": (METHODS["hfkd_ramp"][1], "D"), "loss_ratio": ("#D55E00", "s"), "revenue": ("#009E73", "^"),
         "gradient": ("#CC79A7", "v"), "uncertainty": ("#8C564B", "P")}  # colour, marker


@styled
def fig_curve(frame: pd.DataFrame, baseline: str = "local", method: str = "hfkd") -> Figure:
    """The fixed weights as one line in the order of alpha, every rule as a point: personality against consistency.

    Both are differences to the baseline at the last round, in points, paired by seed; a rule has its two intervals
    (cut by the frame if they reach far beyond all points). Points that would squash the others lie outside the frame,
    and a note says where; the baseline is the origin, which may lie below it.

    Args:
        frame: rows with variants "weighting=fixed,alpha=..." and "weighting=<rule>..." of the method; the method
            hfkd_ramp, if there, is one more rule.
        baseline: a method's name, of the base configuration; the origin.
        method: whose variants are drawn.

    Raises:
        ValueError: no rows, no fixed weights of the method, or seeds without a partner in the baseline.

    Source: *ours* (METHOD sections 6 and 9).

    >>> from hfkd.endpoints import COLUMNS
    >>> rows = pd.DataFrame([dict.fromkeys(COLUMNS, 0) | {"partition": "dirichlet", "variant": v, "method": m,
    ...                      "personality": p, "consistency": c} for m, v, p, c in (("local", "", .9, .2), ("hfkd",
    ...                      "weighting=fixed,alpha=0.5", .7, .6), ("hfkd", "weighting=fixed,alpha=0.1", .8, .5))])
    >>> fig_curve(rows).axes[0].lines[2].get_xydata().round(9).tolist()  # alpha 0.1, alpha 0.5
    [[-10.0, 30.0], [-20.0, 40.0]]
    """
    scenes = panels(frame)
    figure, (row,) = new(1, len(scenes), PAGE, 3.7)
    runs = [_fixed(panel, method) + _ruled(panel, method) for panel in scenes]
    tables = [compare(panel.rows, list(map(key, each)), baseline, PRIMARY, **panel.where)
              for panel, each in zip(scenes, runs, strict=True)]
    tables = [table[["difference", "low", "high"]].to_numpy().reshape(-1, 2, 3) for table in tables]  # run, metric
    name = look(baseline)["label"]
    for axes, panel, each, table in zip(row, scenes, runs, tables, strict=True):
        out, ((left, right), (low, high)) = window(table, [(0,), ()], SMALL)
        axes.set(xlim=(left, right), ylim=(low - .06 * (high - low), high))  # air for the note
        axes.axhline(0, color=INK, linewidth=.6, zorder=1)
        axes.axvline(0, color=INK, linewidth=.6, zorder=1)
        axes.scatter(0, 0, 28, look(baseline)["color"], linewidths=0, zorder=3)
        axes.grid(axis="both")
        axes.set(title=panel.title, xlabel=f"{words(PRIMARY[0])}, difference to {name} (points)")
        _curve(axes, each, table, out, name)
    row[0].set_ylabel(f"{words(PRIMARY[1])}, difference to {name} (points)")
    return finish(figure)


def _fixed(panel: Panel, method: str) -> list[tuple[str, str]]:
    """The runs with a fixed weight, in the order of alpha."""
    found = [run for run in panel.runs if run[0] == method and FIXED.fullmatch(run[1])]
    if not found:
        raise ValueError(f"{panel.title} has no {method} with weighting=fixed,alpha=...; `hfkd grid 20` makes them")
    return sorted(found, key=lambda run: _alpha(run))


def _alpha(run: tuple[str, str]) -> float:
    """The fixed alpha of a run."""
    return float(FIXED.fullmatch(run[1])[1])


def _ruled(panel: Panel, method: str) -> list[tuple[str, str]]:
    """The runs whose weight follows a rule; the ramp's own method last."""
    found = [run for run in panel.runs if run[0] == method and run[1].startswith("weighting=")]
    return [run for run in found if not FIXED.fullmatch(run[1])] + [RAMP] * (RAMP in panel.runs)


def _style(run: tuple[str, str]) -> tuple[str, str]:
    """Colour and marker of a rule; one that has none is drawn as its method."""
    rule = re.match(r"weighting=(\w+)", run[1])
    return RULES.get(rule and rule[1], (look(*run)["color"], look(*run)["marker"]))


def _names(runs: list[tuple[str, str]]) -> list[str]:
    """The label of each rule."""
    return [words or look(*run)["label"] for run, words in zip(runs, apart([v for _, v in runs]), strict=True)]


def _curve(axes: Axes, runs: list[tuple[str, str]], table: np.ndarray, out: np.ndarray, name: str) -> None:
    """One panel of `fig_curve`, its limits set: the line, the rules, all labels, and a note of what is not in view."""
    rules = [run for run in runs if not FIXED.fullmatch(run[1])]
    k = len(runs) - len(rules)
    colour, line = look(runs[0][0])["color"], table[:k, :, 0]
    axes.plot(*line.T, color=colour, linewidth=1.4, zorder=2)
    axes.scatter(*line.T, 13, colour, edgecolors="white", linewidths=.5, zorder=5)
    crosses = []
    for run, ((x, left, right), (y, low, high)) in zip(rules, table[k:], strict=True):
        shade, marker = _style(run)
        axes.scatter(x, y, 30, shade, marker=marker, linewidths=0, zorder=4)
        crosses += [(left, y, right, y), (x, low, x, high)]
        for x0, y0, x1, y1 in crosses[-2:]:
            axes.plot([x0, x1], [y0, y1], color=shade, linewidth=1, alpha=.7, zorder=2)
    alphas = [f"{_alpha(run):g}" for run in runs[:k]]
    labels = [f"fixed alpha {alphas[0]}", *alphas[1:], *_names(rules), name]
    xy = np.append(table[:, :, 0], [[0, 0]], axis=0)
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    seen = np.append(~out, low < 0 < high)
    if out.any():
        gone = [f"{'alpha ' * (i < k)}{labels[i].removeprefix('fixed alpha ')} at ({x:.0f}, {y:.0f})"
                for i, (x, y) in enumerate(xy[:-1]) if out[i]]
        note = fill("beyond the frame: " + ", ".join(gone).replace("(-", "(−").replace(" -", " −"), 70)
        axes.annotate(note, (0, 0), (3, 3), xycoords="axes fraction", textcoords="offset points", fontsize=6.5,
                      color="#555555", path_effects=[withStroke(linewidth=2, foreground="white")])
    foot = low + .03 * (high - low)
    keep = np.array([*along(line), *crosses, (left, 0, right, 0), (0, low, 0, high), (left, foot, right, foot)])
    keep = keep[np.isfinite(keep).all(axis=1)]
    place_labels(axes, xy[seen], [label for label, ok in zip(labels, seen, strict=True) if ok], keep)
    for note in axes.texts:
        if note.get_text() in labels[:k]:
            note.set_color(colour)


@styled
def fig_alpha(frame: pd.DataFrame, method: str = "hfkd") -> Figure:
    """The weight of soft knowledge over the evaluated rounds, a line per rule: mean over clients and seeds.

    Only clients that ever listen count. With three seeds or more a band shows the interval over the seeds.

    Args:
        frame: rows as for `fig_curve`; fixed weights are left out.
        method: whose variants are drawn.

    Raises:
        ValueError: no rows, or no rule in a panel.

    Source: *ours* (METHOD section 6).

    >>> from hfkd.endpoints import COLUMNS
    >>> rows = pd.DataFrame([dict.fromkeys(COLUMNS, 0) | {"partition": "dirichlet", "variant": "weighting=gradient",
    ...                      "method": "hfkd", "round": r, "client": k, "alpha": a} for r, k, a in
    ...                      ((5, 0, .2), (5, 1, .4), (5, 2, 0), (10, 0, .1), (10, 1, .2), (10, 2, 0))])
    >>> fig_alpha(rows).axes[0].lines[0].get_xydata().round(9).tolist()  # client 2 listens to nobody
    [[5.0, 0.3], [10.0, 0.15]]
    """
    scenes = panels(frame)
    figure, (row,) = new(1, len(scenes), PAGE, 2.6, sharex=True, sharey=True)
    ends = []
    for axes, panel in zip(row, scenes, strict=True):
        if not (runs := _ruled(panel, method)):
            raise ValueError(f"{panel.title} has no {method} with a rule, weighting=...; `hfkd grid 20` makes them")
        ends.append(([], _names(runs), [_style(run)[0] for run in runs]))
        for run in runs:
            ends[-1][0].append(_weights(axes, panel.rows, run))
        axes.grid(axis="both")
        axes.set(title=panel.title, xlabel="round")
        axes.xaxis.set_major_locator(FixedLocator(sorted(panel.rows["round"].unique()), nbins=8))
    row[0].set(ylabel="weight of soft knowledge\n(mean over clients that listen)", ylim=(0, None))
    for axes, each in zip(row, ends, strict=True):
        label_ends(axes, *each)
    return finish(figure)


def _weights(axes: Axes, rows: pd.DataFrame, run: tuple[str, str]) -> tuple[float, float]:
    """Draws one line of `fig_alpha`; returns its end."""
    rows = rows[(rows["method"] == run[0]) & (rows["variant"] == run[1])]
    ever = rows.assign(on=(rows["alpha"] > 0) | (rows["teachers"] > 0)).groupby([*CELL, "client"])["on"]
    table = rows[ever.transform("any")].groupby(["round", "seed"])["alpha"].mean().unstack("seed")
    colour, marker = _style(run)
    return draw_means(axes, table, colour, marker=marker, linestyle="--" if run == RAMP else "-")
