"""Personality against consistency: all methods, what a byte buys, and what a fixed weight trades (ours)."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import EngFormatter, LogLocator, NullLocator

from hfkd.plots.rows import better, method_of, over_seeds, scenes
from hfkd.plots.style import FAMILIES, INK, METHODS, arrow, colour, family, finish, legend, new, theme
from hfkd.study import compare
from hfkd.study.results import PRIMARY

LABELS = 12  # names in all panels together; more cannot be read at the width of a README
FIRST = ("hfkd", "hfkd_nested")  # always named; then the best of each family that shares something
BESIDE = {"hfkd": (8, 4), "heterofl": (7, 4), "feddf": (-6, 6), "expertise_mean": (6, -7)}  # where a name stands from
BYTES = {"hfkd": (-8, 3), "heterofl": (8, 6), "feddf": (8, -6), "expertise_mean": (-7, -5)}  # its point, in points
FAR = 3.0  # quartile distances beyond the middle half: what is farther stands at the edge as an arrow with its numbers
CHOICE = "Each method by the better of its losses on validation data"


@theme()
def fig_frontier(frame: pd.DataFrame, baseline: str = "local") -> Figure:
    """Personality against consistency at the last round, both as differences to the baseline, a panel per scene.

    A point is a method by the better of its losses and readouts on validation data, its cross the two 95 % intervals,
    its colour what the method has to share. Named are this work and the best of each family, at most LABELS in all.

    Args:
        frame: summary rows of one grid; variants that are more than a loss or a readout are left out.
        baseline: a method, the origin.

    Raises:
        ValueError: no rows, an unknown method, or seeds without a partner in the baseline.

    >>> from hfkd.study.results import COLUMNS
    >>> rows = pd.DataFrame([dict.fromkeys(COLUMNS, 0) | {"partition": "dirichlet", "variant": "", "method": m,
    ...                      "personality": p, "consistency": c} for m, p, c in (("local", .9, .2), ("hfkd", .8, .5))])
    >>> fig_frontier(rows).axes[0].collections[-1].get_offsets().round(9).tolist()
    [[-10.0, 30.0]]
    """
    rows, runs = better(frame)
    table = spread(rows, runs, baseline, PRIMARY)
    titles, shown = table["scene"].unique(), named(rows, runs)
    figure, (row,) = new(1, len(titles), 3.4, sharex=True, sharey=True)
    row[0].set(xlim=view(table, PRIMARY[0], right=.28), ylim=view(table, PRIMARY[1]))
    for axes, title in zip(row, titles, strict=True):
        axes.axhline(0, color=INK, linewidth=.6, zorder=1)
        axes.axvline(0, color=INK, linewidth=.6, zorder=1)
        part = table[table["scene"] == title]
        _points(axes, part, *PRIMARY)
        _names(axes, part[part["run"].isin(shown[:LABELS // len(titles)])], *PRIMARY, BESIDE)
        axes.set(title=title, xlabel="", ylabel=f"consistency, difference to {METHODS[baseline][0]} (points)")
        axes.locator_params(integer=True, nbins=6)
    figure.supxlabel(f"personality, difference to {METHODS[baseline][0]} (points)", fontsize=8)
    _families(figure, table, f"{CHOICE}. {over_seeds(rows)}. What it has to share:")
    return finish(figure)


@theme()
def fig_bytes(frame: pd.DataFrame, baseline: str = "local", metric: str = "consistency") -> Figure:
    """Difference to the baseline against the bytes that a client sends and receives in a round, on a log scale.

    Points, names and intervals as in `fig_frontier`; methods that send nothing are left out, 0 is the baseline.

    Raises:
        ValueError: nobody sends anything, or what `fig_frontier` raises.

    >>> from hfkd.study.results import COLUMNS
    >>> rows = pd.DataFrame([dict.fromkeys(COLUMNS, 0) | {"partition": "dirichlet", "variant": "", "method": m,
    ...                      "round": 8, "consistency": c, "bytes_up": b} for m, c, b in
    ...                      (("local", .2, 0), ("hfkd", .5, 4000))])
    >>> fig_bytes(rows).axes[0].collections[-1].get_offsets().round(9).tolist()
    [[500.0, 30.0]]
    """
    rows, runs = better(frame)
    table = spread(rows, runs, baseline, (metric,))
    sent = [sum(compare.values(rows, run, f"bytes_{way}", **where).mean() for way in ("up", "down"))
            / compare.select(rows, run, **where)["round"].max() for _, where, rows in scenes(rows) for run in runs]
    table = table.assign(sent=sent)[np.array(sent) > 0]
    if table.empty:
        raise ValueError(f"none of {', '.join(runs)} sends anything; a log scale of bytes cannot show it")
    titles, shown = table["scene"].unique(), named(rows, runs)
    figure, (row,) = new(1, len(titles), 2.9, sharex=True, sharey=True)
    row[0].set(xscale="log", xlim=(table["sent"].min() / 2, table["sent"].max() * 20), ylim=view(table, metric))
    for axes, title in zip(row, titles, strict=True):
        axes.axhline(0, color=INK, linewidth=.6, zorder=1)
        part = table[table["scene"] == title]
        _points(axes, part, "sent", metric)
        _names(axes, part[part["run"].isin(shown[:LABELS // len(titles)])], "sent", metric, BYTES)
        axes.set(title=title, xlabel="", ylabel=f"{metric}, difference to {METHODS[baseline][0]} (points)")
        axes.xaxis.set(major_locator=LogLocator(), minor_locator=NullLocator(), major_formatter=EngFormatter("B"))
    figure.supxlabel("sent and received by a client in a round", fontsize=8)
    _families(figure, table, f"{CHOICE}. {over_seeds(rows)}. What it has to share:")
    return finish(figure)


def named(frame: pd.DataFrame, runs: Sequence[str]) -> list[str]:
    """Whose names matter most: this work, then the best of each family that shares something, on validation data."""
    last = compare.last(frame)
    score = (last["val_personality"] + last["val_consistency"]).groupby([last["method"], last["variant"]]).mean()
    found = {run: score[method_of(run), run.partition("[")[2].removesuffix("]")] for run in runs}
    best = {family(method_of(run)): run for run in sorted(runs, key=found.get)}  # the last of a family stays
    return [run for run in runs if run in FIRST] + [best[key] for key in ("nested", "within", "answers") if key in best]


def spread(frame: pd.DataFrame, runs: Sequence[str], baseline: str, metrics: Sequence[str]) -> pd.DataFrame:
    """A row per scene and run: its method and family; mean, low and high of each metric's difference."""
    tables = []
    for title, where, rows in scenes(frame):
        found = compare.gains(rows, runs, baseline, metrics, **where)
        wide = found.pivot(index="run", columns="metric", values=["difference", "low", "high"]).loc[list(runs)]
        wide.columns = [name if kind == "difference" else f"{name}_{kind}" for kind, name in wide.columns]
        tables.append(wide.reset_index().assign(scene=title))
    table = pd.concat(tables, ignore_index=True)
    table["method"] = table["run"].map(method_of)
    return table.assign(family=table["method"].map(family))


def _points(axes: Axes, part: pd.DataFrame, x: str, y: str) -> None:
    """Points in the colour and marker of their family with their intervals; what is out of view is an arrow."""
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    seen = part[part[x].between(left, right) & part[y].between(low, high)]
    for _, row in seen.iterrows():
        cross(axes, row, x, y, colour(row["method"]))
    for row in part.drop(seen.index).to_dict("records"):
        arrow(axes, row[x], row[y], colour(row["method"]), f"({row[x]:.1f}, {row[y]:.1f})")
    for key, (_, hue, mark) in reversed(FAMILIES.items()):
        sns.scatterplot(seen[seen["family"] == key], x=x, y=y, color=hue, marker=mark, s=110 if key == "ours" else 34,
                        linewidth=.5, edgecolor="white", legend=False, ax=axes, zorder=3)


def _names(axes: Axes, part: pd.DataFrame, x: str, y: str, offsets: dict) -> None:
    """The name of each point beside it, left of it where the offset is negative."""
    for row in part.to_dict("records"):
        dx, dy = offsets.get(row["method"], (7, 4))
        axes.annotate(METHODS[row["method"]][0], (row[x], row[y]), (dx, dy), textcoords="offset points", fontsize=8,
                      ha="right" if dx < 0 else "left", va="center", color=colour(row["method"]), in_layout=False,
                      fontweight="bold" if row["family"] == "ours" else "normal", zorder=5,
                      path_effects=[withStroke(linewidth=2, foreground="white")])


def _families(figure: Figure, table: pd.DataFrame, note: str) -> None:
    """The legend of the families that are there."""
    legend(figure, [look for key, look in FAMILIES.items() if key in set(table["family"])], 3, note)


def cross(axes: Axes, row: pd.Series, x: str, y: str, hue: str) -> None:
    """The intervals of a point, where the row has them."""
    line = {"color": hue, "alpha": .4, "linewidth": .9}
    axes.plot([row.get(f"{x}_low", row[x]), row.get(f"{x}_high", row[x])], [row[y]] * 2, **line)
    axes.plot([row[x]] * 2, [row[f"{y}_low"], row[f"{y}_high"]], **line)


def view(table: pd.DataFrame, name: str, zero: bool = True, right: float = .06) -> tuple[float, float]:
    """Limits of an axis that hold all that is not FAR with its intervals, and air at both ends, more where names stand.

    >>> view(pd.DataFrame({"x": [0, 1, 2, 1, 40.0]}), "x", right=.1)
    (-0.12, 2.2)
    """
    low, high = table[name].quantile([.25, .75])
    reach = FAR * max(high - low, 1)
    kept = table[table[name].between(low - reach, high + reach)]
    ends = np.append(kept.filter(regex=f"^{name}(_low|_high)?$").to_numpy(), [0] * zero)
    low, high = np.nanmin(ends), np.nanmax(ends)
    return low - .06 * (high - low or 1), high + right * (high - low or 1)
