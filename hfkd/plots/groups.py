"""Figures of groups and ablations (RQ3): what each part changes, and what members earn (ours)."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator

from hfkd.overview import PRIMARY, key
from hfkd.plots.canvas import CYCLE, INK, PAGE, finish, new, styled
from hfkd.plots.looks import METHODS, look
from hfkd.plots.margins import draw_means, label_ends, window
from hfkd.plots.panels import panels, words
from hfkd.plots.phrases import apart
from hfkd.statistics import compare

MARGIN = .5  # points: the difference that does not matter (METHOD section 9)
ROW = .21  # inches
KINDS = {"teacher": ("teachers", CYCLE[0]), "feedback": ("students' feedback", CYCLE[1]), "peer": ("peers", CYCLE[2]),
         "self": ("own answers", "#888888"), "fallback": ("fallback", CYCLE[3]),
         "quarantined": ("quarantined", CYCLE[4])}
EARNED = {"revenue": "revenue of a member", "weight": "weight of a member"}


@styled
def fig_effects(frame: pd.DataFrame, reference: str, variants: Sequence[str] | None = None,
                groups: Mapping[str, Sequence[str]] | None = None, metrics: Sequence[str] = PRIMARY) -> Figure:
    """What each variant changes: a row per variant, its difference to the reference at the last round, paired by seed.

    A point per scene with its 95 % interval; the band is the margin within which a difference does not matter. Points
    that would squash the others stand at the edge as an arrow with their number, -+ half of the interval. Intervals
    that reach far beyond all points are cut by the frame.

    Args:
        frame: rows of one experiment.
        reference: "hfkd_ramp", or with a variant "hfkd_ramp[peers=False]".
        variants: of the reference's method, in the order of the rows; a method's name stands for that method. None:
            all variants that there are.
        groups: heading -> variants, in place of `variants`.
        metrics: names of `endpoints.POINTS`, a column of axes each.

    Raises:
        ValueError: no rows, both variants and groups, a variant without rows in some scene, the reference among them.

    Source: *ours* (METHOD section 9).

    >>> from hfkd.endpoints import COLUMNS
    >>> rows = pd.DataFrame([dict.fromkeys(COLUMNS, 0) | {"partition": "dirichlet", "method": "hfkd", "variant": v,
    ...                      "consistency": c} for v, c in (("", .5), ("peers=False", .4))])
    >>> axes = fig_effects(rows, "hfkd", metrics=["consistency"]).axes[0]
    >>> axes.get_yticklabels()[0].get_text(), axes.lines[-1].get_xdata().round(9).tolist()
    ('without peers', [-10.0])
    """
    scenes, base = panels(frame), _run(reference)
    if variants is not None and groups is not None:
        raise ValueError("both variants and groups are given; expected one of them")
    if groups is None:
        found = sorted({run[1] for panel in scenes for run in panel.runs if run[0] == base[0]} - {base[1]})
        groups = {"": found if variants is None else variants}
    rows = _rows(groups, base[0])
    at = [y for y, (_, run) in enumerate(rows) if run]
    runs = [key(run) for _, run in rows if run]
    tables = [compare(panel.rows, runs, reference, metrics, **panel.where) for panel in scenes]
    tables = np.stack([table[["difference", "low", "high"]].to_numpy().reshape(len(runs), -1, 3) for table in tables])
    figure, (row,) = new(1, len(metrics), PAGE, .95 + ROW * len(rows), sharey=True)
    row[0].set_ylim(len(rows) - .4, -.6)
    for axes, metric, table in zip(row, metrics, tables.transpose(2, 0, 1, 3), strict=True):
        _forest(axes, at, table, [panel.title for panel in scenes])
        axes.set_title(words(metric))
    figure.supxlabel(f"difference to {look(*base)['label']} (points)", fontsize=8)
    _row_names(row[0], rows)
    handles, labels = row[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=4)
    return finish(figure)


def _run(name: str) -> tuple[str, str]:
    """"hfkd[alpha=0.5]" as (method, variant)."""
    method, _, variant = name.removesuffix("]").partition("[")
    return method, variant


def _rows(groups: Mapping[str, Sequence[str]], method: str) -> list[tuple[str, tuple | None]]:
    """(words, run) from top to bottom; a heading has no run."""
    runs = [[(v, "") if v in METHODS else (method, v) for v in variants] for variants in groups.values()]
    flat = [run for part in runs for run in part]
    if not flat:
        raise ValueError(f"{method} has no variant to compare; expected at least one")
    names = {run: name or look(*run)["label"] for run, name in zip(flat, apart([v for _, v in flat]), strict=True)}
    rows = []
    for heading, part in zip(groups, runs, strict=True):
        rows += [(heading, None)] * bool(heading) + [(names[run], run) for run in part]
    return rows


def _forest(axes: Axes, at: Sequence[int], table: np.ndarray, titles: Sequence[str]) -> None:
    """One column of `fig_effects`; table (scene, run, 3)."""
    far, (sides,) = window(table.reshape(-1, 1, 3), [(-MARGIN, MARGIN)], 2 * MARGIN)
    far = far.reshape(table.shape[:2])
    axes.set_xlim(sides)
    axes.tick_params(axis="y", length=0)
    axes.locator_params(axis="x", nbins=6)
    axes.axvspan(-MARGIN, MARGIN, color="#ececec", linewidth=0, zorder=0, label=f"within ±{MARGIN:g} points")
    axes.axvline(0, color=INK, linewidth=.7, zorder=1)
    axes.hlines(at, *sides, color="#e5e5e5", linewidth=.5, linestyle=":", zorder=.5)
    for s, (title, colour, marker) in enumerate(zip(titles, CYCLE, "osD^vPX", strict=False)):
        y = np.array(at) + ((s + .5) / len(titles) - .5) * .74
        mean, low, high = table[s, ~far[s]].T
        axes.hlines(y[~far[s]], low, high, color=colour, linewidth=1.1, alpha=.7)
        for k in np.flatnonzero(far[s]):
            value, half = table[s, k, 0], (table[s, k, 2] - table[s, k, 1]) / 2
            right = bool(value > 0)
            axes.plot(sides[right], y[k], marker=">" if right else "<", color=colour, markersize=4.5, clip_on=False)
            text = f"{value:+.1f}" + (f" ± {half:.1f}" if np.isfinite(half) else "")
            axes.annotate(text.replace("-", "−"), (sides[right], y[k]), (-5 if right else 5, 0), fontsize=6,
                          textcoords="offset points", ha="right" if right else "left", va="center_baseline")
        axes.plot(mean, y[~far[s]], marker, color=colour, markersize=3.8, markeredgewidth=0, label=title)


def _row_names(axes: Axes, rows: list[tuple[str, tuple | None]]) -> None:
    """The words of the rows, from the left, headings bold."""
    axes.set_yticks(range(len(rows)), [name for name, _ in rows])
    labels = axes.get_yticklabels()
    for label, (_, run) in zip(labels, rows, strict=True):
        label.set(fontweight="normal" if run else "bold", ha="left")
    axes.figure.draw_without_rendering()
    axes.tick_params(axis="y", pad=5 + 72 * max(each.get_window_extent().width for each in labels) / axes.figure.dpi)


@styled
def fig_ledger(ledger: pd.DataFrame) -> Figure:
    """What members of a group earn and what say they have, over the periods: a line per kind of member.

    A value is the mean over all members of that kind, then over seeds; with three seeds or more a band shows the
    interval over the seeds. The weights of all that a client hears, itself included, sum to 1.

    Args:
        ledger: rows of one method and variant, as `journals.load(path, "ledger")` returns them.

    Raises:
        ValueError: no rows, or rows of several methods or variants.

    Source: *ours* (METHOD section 7).

    >>> row = dict.fromkeys(("dataset", "public", "partition", "skew", "seed"), 0) | {"partition": "dirichlet",
    ...     "method": "hfkd", "variant": "", "kind": "peer", "weight": .25}
    >>> book = pd.DataFrame([row | {"round": r, "revenue": v} for r, v in ((5, .25), (5, .75), (10, 1))])
    >>> fig_ledger(book).axes[0].lines[0].get_xydata().tolist()
    [[5.0, 0.5], [10.0, 1.0]]
    """
    scenes = panels(ledger)
    if len(runs := sorted({key(run) for panel in scenes for run in panel.runs})) > 1:
        raise ValueError(f"the ledger holds {', '.join(runs)}; expected the rows of one")
    figure, grid = new(2, len(scenes), PAGE, 3.9, sharex=True, sharey="row")
    ends = []
    for (axes, column), panel in ((cell, panel) for k, panel in enumerate(scenes) for cell in zip(grid[:, k], EARNED)):
        kinds = [kind for kind in KINDS if kind in set(panel.rows["kind"]) and (kind != "self" or column == "weight")]
        rows = panel.rows.groupby(["kind", "round", "seed"])[column].mean()
        ends.append((axes, [draw_means(axes, rows[k].unstack("seed"), KINDS[k][1], marker="o") for k in kinds], kinds))
        axes.grid(axis="both")
        axes.xaxis.set_major_locator(FixedLocator(sorted(panel.rows["round"].unique()), nbins=8))
    for axes, panel in zip(grid[0], scenes, strict=True):
        axes.axhline(0, color=INK, linewidth=.7, zorder=1)
        axes.set_title(panel.title)
    for axes, text in zip(grid[:, 0], EARNED.values(), strict=True):
        axes.set_ylabel(text)
    for axes in grid[1]:
        axes.set(xlabel="round", ylim=(0, None))
    for axes, last, kinds in ends:
        label_ends(axes, last, *zip(*(KINDS[kind] for kind in kinds), strict=True))
    return finish(figure)
