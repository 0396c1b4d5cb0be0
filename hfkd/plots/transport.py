"""The figure of what travels: accuracy against bytes (ours)."""

import re

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, NullLocator

from hfkd.overview import PRIMARY, key
from hfkd.pairing import values
from hfkd.plots.annotate import place_labels
from hfkd.plots.canvas import CYCLE, INK, PAGE, finish, new, styled
from hfkd.plots.looks import look
from hfkd.plots.margins import along, limits
from hfkd.plots.panels import Panel, panels, words
from hfkd.plots.phrases import apart
from hfkd.statistics import compare

CARRIERS = {"": (CYCLE[0], "o"), "spoken": (CYCLE[0], "o"), "wire": (CYCLE[0], "D"), "classwise": (CYCLE[2], "s"),
            "private": (CYCLE[1], "^"), "visit": (CYCLE[1], "v")}  # blue: answers on images; vermilion: networks


@styled
def fig_transport(frame: pd.DataFrame, reference_method: str, baseline: str = "local") -> Figure:
    """What a byte buys: difference to the baseline against all bytes that a client sent and received, on a log scale.

    The base configuration of the method, and its variants that change only what travels: transport, spoken, wire.
    Points are means over clients and seeds at the last round, lines their intervals (cut by the frame if they reach
    far beyond all points); a thin line joins the answers on fewer and more images.

    Args:
        frame: rows of one experiment.
        reference_method: whose variants are drawn, in its base configuration too.
        baseline: a method's name, of the base configuration; it needs no bytes.

    Raises:
        ValueError: no rows, none of the method, a variant that sends nothing, or seeds without a partner.

    Source: *ours* (METHOD sections 7 and 9).

    >>> from hfkd.endpoints import COLUMNS
    >>> rows = pd.DataFrame([dict.fromkeys(COLUMNS, 0) | {"partition": "dirichlet", "variant": "", "method": m,
    ...                      "consistency": c, "bytes_up": b} for m, c, b in (("local", .2, 0), ("hfkd", .5, 4000))])
    >>> fig_transport(rows, "hfkd").axes[0].collections[0].get_offsets().round(9).tolist()
    [[4000.0, 30.0]]
    """
    scenes, metrics = panels(frame), PRIMARY[::-1]
    figure, grid = new(2, len(scenes), PAGE, 4.6, sharex=True, sharey="row")
    drawn = []
    for column, panel in zip(grid.T, scenes, strict=True):
        runs = _carriers(panel, reference_method)
        table = compare(panel.rows, list(map(key, runs)), baseline, metrics, **panel.where)
        table = table[["difference", "low", "high"]].to_numpy().reshape(-1, 2, 3)
        sent = np.array([_bytes(panel, run) for run in runs])
        for axes, found in zip(column, table.transpose(1, 0, 2), strict=True):
            drawn.append((axes, runs, sent, found))
        column[0].set_title(panel.title)
    low, high = np.log10([min(each[2].min() for each in drawn), max(each[2].max() for each in drawn)])
    room = .18 * (high - low) or .5
    grid[0, 0].set(xscale="log", xlim=(10 ** (low - room), 10 ** (high + room)))
    for axes, metric, k in zip(grid[:, 0], metrics, (0, 1), strict=True):
        axes.set_ylim(limits(*np.concatenate([each[3] for each in drawn[k::2]] + [np.zeros((1, 3))]).T))
        axes.set_ylabel(f"{words(metric)},\ndifference to {look(baseline)['label']} (points)")
    for axes in grid[1]:
        axes.set_xlabel("sent and received by a client, all rounds")
        axes.xaxis.set_major_formatter(EngFormatter(unit="B"))
        axes.xaxis.set_minor_locator(NullLocator())
    for each in drawn:
        _spend(*each)
    return finish(figure)


def _carriers(panel: Panel, method: str) -> list[tuple[str, str]]:
    """The base run of the method and those that change only what travels."""
    found = [run for run in panel.runs if run[0] == method and (not run[1] or _carrier(run[1]))]
    if (method, "") not in found:
        raise ValueError(f"{panel.title} has no rows of {method} in its base configuration; `hfkd grid 50` makes them")
    return found


def _carrier(variant: str) -> str:
    """The key of CARRIERS that fits a variant; "" if it is none."""
    found = re.fullmatch(r"(transport|spoken|wire)=(\w+)", variant)
    return "" if not found else found[2] if found[1] == "transport" else found[1]


def _bytes(panel: Panel, run: tuple[str, str]) -> float:
    """Bytes up and down, mean over clients and seeds."""
    total = sum(values(panel.rows, key(run), name, **panel.where).mean() for name in ("bytes_up", "bytes_down"))
    if not total > 0:
        raise ValueError(f"{key(run)} sent nothing in {panel.title}; a log scale of bytes cannot show it")
    return float(total)


def _spend(axes: Axes, runs: list[tuple[str, str]], sent: np.ndarray, found: np.ndarray) -> None:
    """One panel of `fig_transport`, its limits set; found (run, 3)."""
    mean, low, high = found.T
    axes.grid(axis="both")
    axes.axhline(0, color=INK, linewidth=.7, zorder=1)
    kinds = [_carrier(variant) for _, variant in runs]
    images = np.array([sent, mean]).T[[k for k in np.argsort(sent, kind="stable") if kinds[k] in ("", "spoken")]]
    axes.plot(*images.T, color=CYCLE[0], linewidth=.8, alpha=.5, zorder=2)
    for x, y, bottom, top, kind in zip(sent, mean, low, high, kinds, strict=True):
        colour, marker = CARRIERS.get(kind, CARRIERS[""])
        face, size, edge = ("none", 44, 1.1) if kind == "wire" else (colour, 28, 0)  # it may cover another point
        axes.scatter(x, y, size, face, marker=marker, edgecolors=colour, linewidths=edge, zorder=4)
        axes.plot([x, x], [bottom, top], color=colour, linewidth=1, alpha=.7, zorder=3)
    names = [name or "all images" for name in apart([variant for _, variant in runs])]
    left, right = axes.get_xlim()
    lines = np.array([*np.stack([sent, low, sent, high], 1), (left, 0, right, 0), *along(images)])
    place_labels(axes, np.stack([sent, mean], 1), names, lines[np.isfinite(lines).all(axis=1)])
