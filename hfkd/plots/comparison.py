"""The figure of learning curves, a function of result rows as `results.load` returns them (ours).

Accuracies are in points, intervals are the 95 % intervals over seeds of `statistics`; there is a panel per scene (data
set, public set, partition, skew), and a method has the same colour in all figures. Nothing here imports torch.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator

from hfkd.endpoints import per_seed
from hfkd.overview import PRIMARY, key, scores
from hfkd.plots.canvas import PAGE, PALE, finish, new, styled
from hfkd.plots.looks import FIRST, OURS, look
from hfkd.plots.margins import astray, limits
from hfkd.plots.panels import Panel, panels, words
from hfkd.plots.points import CROWD
from hfkd.statistics import interval

ALWAYS = ("local", "balanced_local", FIRST)  # the named ones, if nobody says which, and the BEST others
BEST = 4


@styled
def fig_rounds(frame: pd.DataFrame, metric: str | Sequence[str] = PRIMARY,
               named: Sequence[str] | None = None) -> Figure:
    """Curves over the evaluated rounds: the mean over clients and seeds, with its interval over the seeds as a band.

    With one seed or two there is no band (Student's interval of two is 13 times as wide as their distance), and one
    that reaches far beyond all curves is cut by the frame. Runs that are not named are pale lines without a band; those
    that end far from all others may lie outside the frame.

    Args:
        frame: rows of one experiment.
        metric: a name of `endpoints.POINTS`, or several: a row of panels each.
        named: names, or "name[variant]", to be shown in colour. None: all up to CROWD runs; of more, those of ALWAYS
            and the BEST other methods by validation score (`overview.scores`), each with its better variant.

    Raises:
        ValueError: no rows, an unknown metric, or a named run that no scene has.

    Source: *ours* (METHOD section 9).

    >>> from hfkd.endpoints import COLUMNS
    >>> rows = pd.DataFrame([dict.fromkeys(COLUMNS, 0) | {"partition": "dirichlet", "variant": "", "method": "local",
    ...                      "round": k, "consistency": k / 10} for k in (2, 4)])
    >>> fig_rounds(rows, "consistency").axes[0].lines[0].get_xydata().tolist()
    [[2.0, 20.0], [4.0, 40.0]]
    """
    scenes, metrics = panels(frame), [metric] if isinstance(metric, str) else list(metric)
    every = list(dict.fromkeys(run for panel in scenes for run in panel.runs))
    shown = _named(frame, every, named)
    figure, grid = new(len(metrics), len(scenes), PAGE, .8 + 1.5 * len(metrics), sharex=True)
    for axes, panel in zip(grid[0], scenes, strict=True):
        axes.set_title(panel.title)
    for row, name in zip(grid, metrics, strict=True):
        row[0].set_ylabel(f"{words(name)} (points)")
        for axes, panel in zip(row, scenes, strict=True):
            _curves(axes, panel, name, shown, len(every) - len(shown))
    for axes in grid[-1]:
        axes.set_xlabel("round")
    entries = {label: handle for axes in grid.flat for handle, label in zip(*axes.get_legend_handles_labels())}
    figure.legend(entries.values(), entries.keys(), loc="outside lower center", ncols=4)
    return finish(figure)


def _named(frame: pd.DataFrame, every: list[tuple[str, str]], named: Sequence[str] | None) -> list[tuple[str, str]]:
    """The runs in colour."""
    if named is not None:
        if missing := sorted(set(named) - set(map(key, every))):
            raise ValueError(f"no rows of {missing[0]}; the frame has {', '.join(map(key, every))}")
        return [run for run in every if key(run) in named]
    if len(every) <= CROWD:
        return every
    best = {}
    for run in scores(frame)["score"].sort_values(ascending=False, kind="stable").index:
        if run[0] not in (*ALWAYS, *OURS):
            best.setdefault(run[0], run)
    chosen = [(method, "") for method in ALWAYS] + list(best.values())[:BEST]
    return [run for run in every if run in chosen]


def _curves(axes: Axes, panel: Panel, metric: str, shown: list[tuple[str, str]], others: int) -> None:
    """One panel of `fig_rounds`."""
    parts = [per_seed(rows, metric).assign(round=r) for r, rows in panel.rows.groupby("round")]
    table = pd.concat(parts).set_index(["method", "variant"])
    found = {}
    for run in panel.runs:
        groups = table.loc[[run]].groupby("round")[metric]
        found[run] = np.array([(r, 100 * i.mean, 100 * i.low, 100 * i.high, i.n)
                               for r, i in ((r, interval(each)) for r, each in groups)]).T
    for run in (run for run in panel.runs if run in shown):
        style, (rounds, mean, low, high, n) = look(*run), found[run]
        axes.plot(rounds, mean, color=style["color"], marker=style["marker"], markerfacecolor=style["face"],
                  markersize=6 if style["marker"] == "*" else 3.5, label=style["label"], zorder=3,
                  linestyle="--" if run[1] else "-")
        if n[0] > 2:
            axes.fill_between(rounds, low, high, color=style["color"], alpha=.1, linewidth=0)
    pale = [run for run in panel.runs if run not in shown]
    for k, run in enumerate(pale):
        axes.plot(*found[run][:2], color=PALE, linewidth=.6, zorder=1.5,
                  label=f"{others} other runs" if k == 0 else None)
    far = dict(zip(found, astray(np.array([curve[1, -1] for curve in found.values()])), strict=True))
    held = np.concatenate([found[run][1:4] if run in shown else found[run][[1, 1, 1]]
                           for run in found if run in shown or not far[run]], axis=1)
    axes.set_ylim(limits(*held))
    axes.grid(axis="both")
    axes.xaxis.set_major_locator(FixedLocator(sorted(panel.rows["round"].unique()), nbins=8))
