"""Figures of faults: what each costs under each defence, and what say and revenue liars are left with (ours)."""

import re

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator

from hfkd.faults import honest, trust
from hfkd.overview import PRIMARY, gains, key
from hfkd.plots.canvas import CYCLE, INK, PAGE, finish, new, styled
from hfkd.plots.margins import draw_means, limits
from hfkd.plots.panels import Panel, panels, words

FAULT = re.compile(r"(?:^|,)(?:(?:dropout|straggling|offline|exploding|liars)=[^,]*(?:,lie=[^,]*)?)")
FAULTS = {"": "no fault", "dropout": "absent", "straggling": "late answers", "offline": "offline as teachers",
          "exploding": "not finite"}  # in the order of the rows; then lies
DEFENCES = {
    "": "no defence", "revenue=labelled": "revenue", "revenue=labelled,gate=True": "revenue and gate",
    "revenue=labelled,revenue_temperature=0.2,revenue_personality=0.0": "sharp revenue, all classes alike",
    "pooling=median": "median pooling", "pooling=trimmed": "trimmed pooling", "doubt=True": "doubt",
    "doubt=True,revenue=labelled": "doubt and revenue", "recall=True": "recall of last answers",
}  # fmt: skip
STYLES = dict(zip(DEFENCES, zip((INK, *CYCLE, "#8c8c8c"), "osD^vPX*<"), strict=True))
MARGIN = 1.0  # points: what a fault may cost


def parted(variant: str) -> tuple[str, str]:
    """A variant as (fault, defence).

    >>> parted("liars=0.2,lie=flip,revenue=labelled"), parted("dropout=0.3"), parted("pooling=median")
    (('liars=0.2,lie=flip', 'revenue=labelled'), ('dropout=0.3', ''), ('', 'pooling=median'))
    """
    found = FAULT.search(variant)
    return (found[0].strip(","), FAULT.sub("", variant).strip(",")) if found else ("", variant)


@styled
def fig_faults(frame: pd.DataFrame, method: str = "hfkd", share: float = 0.2) -> Figure:
    """What faults cost: a row per fault, a point per defence, its difference to the method without either.

    Differences are paired by seed at the last round, over the clients that are honest at the given share in every
    variant; a line is the 95 % interval, the band is a loss or gain of up to one point.

    Args:
        frame: rows of grid faults.
        method: whose variants are drawn.
        share: of liars in the grid.

    Raises:
        ValueError: no rows, or no variant with a fault.

    Source: *ours* (METHOD section 9).

    >>> from hfkd.endpoints import COLUMNS
    >>> rows = pd.DataFrame([dict.fromkeys(COLUMNS, 0) | {"partition": "dirichlet", "variant": v, "method": "hfkd",
    ...                      "consistency": c} for v, c in (("", .5), ("dropout=0.3", .4))])
    >>> rows = pd.concat([rows, rows.assign(client=1)])  # of two, one would lie
    >>> fig_faults(rows).axes[1].lines[-1].get_xydata().round(9).tolist()
    [[-10.0, 1.0]]
    """
    scenes = panels(honest(frame, share))
    parts = {run: parted(run[1]) for panel in scenes for run in panel.runs if run[0] == method}
    rows = _ordered({fault for fault, _ in parts.values()})
    if len(rows) < 2:
        raise ValueError(f"no variant of {method} has a fault; `hfkd grid faults` makes them")
    shown = [defence for defence in DEFENCES if any(found[1] == defence for found in parts.values())]
    figure, grid = new(len(scenes), 2, PAGE, .9 + .42 * len(rows) * len(scenes), sharey=True)
    for panel, row in zip(scenes, grid, strict=True):
        for axes, metric in zip(row, PRIMARY, strict=True):
            _forest(axes, panel, metric, method, parts, rows, shown)
        row[0].set_ylabel(panel.title)
    for axes, metric in zip(grid[0], PRIMARY, strict=True):
        axes.set_title(words(metric))
    figure.supxlabel("difference to no fault and no defence (points)", fontsize=8)
    figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
    return finish(figure)


def _ordered(found: set) -> list[str]:
    """Faults in the order of FAULTS, lies last."""
    rank = {name: place for place, name in enumerate(FAULTS)}
    return sorted(found, key=lambda fault: (rank.get(fault.partition("=")[0], len(rank)), fault))


def _forest(axes: Axes, panel: Panel, metric: str, method: str, parts: dict, rows: list, shown: list) -> None:
    """One panel of `fig_faults`."""
    axes.axvspan(-MARGIN, MARGIN, color="#ececec", linewidth=0, zorder=0)
    axes.axvline(0, color=INK, linewidth=.7, zorder=1)
    for defence in shown:
        axes.plot([], [], STYLES[defence][1], color=STYLES[defence][0], markersize=3.8, label=DEFENCES[defence])
    runs = {found: key(run) for run, found in parts.items() if run[1] and run in panel.runs and found[1] in shown}
    table = gains(panel.rows, list(runs.values()), method, [(metric, None)], **panel.where).set_index("method")
    axes.set_xlim(limits(*table.loc[list(runs.values()), ["difference", "low", "high"]].to_numpy().T))
    for (fault, defence), run in runs.items():
        beside = [each for each in shown if (fault, each) in runs or (not fault and not each)]
        y = rows.index(fault) + .8 * ((beside.index(defence) + .5) / len(beside) - .5)
        colour, marker = STYLES[defence]
        axes.hlines(y, table.at[run, "low"], table.at[run, "high"], color=colour, linewidth=1.1, alpha=.7)
        axes.plot(table.at[run, "difference"], y, marker, color=colour, markersize=3.8, markeredgewidth=0)
    axes.set_yticks(range(len(rows)), [_named(fault) for fault in rows])
    axes.set_ylim(len(rows) - .5, -.5)
    axes.hlines([y + .5 for y in range(len(rows) - 1)], *axes.get_xlim(), color="#e5e5e5", linewidth=.5, zorder=.5)


def _named(fault: str) -> str:
    """A fault in words.

    >>> _named("dropout=0.3"), _named("liars=0.2,lie=flip"), _named("")
    ('30 % absent', '20 % lie: flip', 'no fault')
    """
    name, _, rest = fault.partition("=")
    share, _, lie = rest.partition(",lie=")
    percent = f"{100 * float(share or 0):g} % "
    return FAULTS[""] if not name else f"{percent}lie: {lie}" if name == "liars" else percent + FAULTS[name]


@styled
def fig_trust(ledger: pd.DataFrame, share: float = 0.2) -> Figure:
    """What a liar and what an honest client earn their honest listeners, and what say they have, over the periods.

    Revenue is the mean over edges, say the mean over all others of the weight that a listener gives them, 0 where there
    is no edge; a line per kind of speaker and variant, with three seeds or more a band is the interval over seeds.

    Args:
        ledger: rows of variants with liars, as `journals.load(path, "ledger")` returns them.
        share: of liars in these rows.

    Raises:
        ValueError: no rows.

    Source: *ours* (METHOD section 7).

    >>> from hfkd.faults import liars
    >>> row = dict.fromkeys(("dataset", "public", "partition", "skew", "seed"), 0) | {"partition": "dirichlet",
    ...     "method": "hfkd", "variant": "liars=0.5,revenue=labelled", "kind": "peer", "round": 5}
    >>> t, = liars(0, 2, .5).nonzero()[0].tolist()  # who lies to the other
    >>> book = pd.DataFrame([row | {"from": t, "to": 1 - t, "revenue": -1, "weight": .25},
    ...                      row | {"from": 1 - t, "to": 1 - t, "revenue": 0, "weight": .75}])
    >>> fig_trust(book, .5).axes[1].lines[-1].get_xydata().tolist()
    [[5.0, 0.25]]
    """
    scenes = panels(ledger)
    figure, grid = new(2, len(scenes), PAGE, 3.9, sharex=True, sharey="row")
    for panel, column in zip(scenes, grid.T, strict=True):
        column[0].set_title(panel.title)
        column[0].axhline(0, color=INK, linewidth=.7, zorder=1)
        for (_, variant), style, marker in zip(panel.runs, ("-", "--", ":"), "osD", strict=False):
            for lying, colour, who in ((False, CYCLE[0], "honest"), (True, CYCLE[1], "liars")):
                tables = trust(panel.rows[panel.rows["variant"] == variant], share, lying)
                for axes, table in zip(column, tables, strict=True):
                    if len(table):
                        label = f"{who}: {DEFENCES.get(parted(variant)[1], parted(variant)[1])}"
                        draw_means(axes, table, colour, marker=marker, linestyle=style, label=label)
        for axes in column:
            axes.grid(axis="both")
            axes.xaxis.set_major_locator(FixedLocator(sorted(panel.rows["round"].unique()), nbins=8))
        column[1].set(xlabel="round", ylim=(0, None))
    grid[0, 0].set_ylabel("revenue of an edge")
    grid[1, 0].set_ylabel("say of one client")
    figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=2, handlelength=3)
    return finish(figure)
