"""Figures of cost: seconds against the arithmetic, and against clients (ours)."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullLocator

from hfkd.costs import crowds
from hfkd.plots.canvas import CYCLE, INK, PAGE, PALE, finish, new, styled
from hfkd.plots.margins import label_ends

PUBLISHED = {"fml-round": "FML, 20 clients, batch 10", "fedavg-round": "FedAvg, 20 clients, batch 32"}
BLOCKS = {"published rounds": r".*-round$", "rounds of HFKD": "hfkd ", "a level, a joint round": "(mlp|cnn) level "}
BATCHED, PLAIN = CYCLE[:2]
MATCHING_LIMIT = 60  # seconds, what the matching of 10,000 clients may take


@styled
def fig_floor(rounds: pd.DataFrame) -> Figure:
    """Seconds of a round on a log scale: its arithmetic alone (floor), one program for all clients, one by one.

    The numbers at the right are seconds over the floor, and how many times faster one program is than one client after
    the other. Rounds without a count of operations, and those of many clients (`fig_scale`), are left out.

    Args:
        rounds: as `costs.read` returns them.

    Raises:
        ValueError: no round with a floor.

    Source: *ours*.

    >>> row = {"table": "fml-round", "what": "fml-round", "seconds": 6.0, "sequential": 12.0, "floor": 2.0}
    >>> more = {"ratio": 3.0, "faster": 2.0, "clients": np.nan}
    >>> [text.get_text() for text in fig_floor(pd.DataFrame([row | more])).axes[0].texts][-2:]
    ['3.0', '2.0']
    """
    rows = rounds[rounds["floor"].notna() & rounds["clients"].isna()]
    blocks = {title: rows[rows["what"].str.match(kind)].sort_values("floor") for title, kind in BLOCKS.items()}
    blocks = {title: block for title, block in blocks.items() if len(block)}
    if not blocks:
        raise ValueError("the record has no round with a floor; `hfkd bench --json FILE` without --only measures them")
    lines = sum(map(len, blocks.values())) + 1.5 * len(blocks)
    figure, ((axes,),) = new(1, 1, PAGE, .6 + .165 * lines)
    axes.set(xscale="log", ylim=(lines - .4, -.2), xlabel="seconds of a round")
    ticks, at = {}, 0.0
    for title, block in blocks.items():
        axes.annotate(title, (0, at + .7), (4, 0), ("axes fraction", "data"), "offset points", fontweight="bold",
                      fontsize=7, va="center")
        at += .5
        for row in block.itertuples():
            at += 1
            _bar(axes, at, row)
            ticks[at] = _named(row.what)
        at += 1
    for x, text in ((1.04, "over floor"), (1.15, "faster")):
        axes.annotate(text, (x, 1), (0, 2), "axes fraction", textcoords="offset points", fontsize=6.5, ha="center")
    for y, row in zip(ticks, pd.concat(blocks.values()).itertuples(), strict=True):
        for x, value in ((1.04, row.ratio), (1.15, row.faster)):
            axes.annotate(f"{value:.1f}" if np.isfinite(value) else "", (x, y), xycoords=("axes fraction", "data"),
                          fontsize=6.5, ha="center", va="center", annotation_clip=False)
    axes.set_yticks(list(ticks), ticks.values(), fontsize=6.5)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_formatter(EngFormatter("s"))
    axes.grid(axis="x")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=3)
    return finish(figure)


def _named(what: str) -> str:
    """A piece of work in words.

    >>> _named("hfkd paper, 1 seeds"), _named("mlp level 1, batch 32, 60 members")
    ('paper, 1 seed', 'MLP level 1, batch 32, 60 clients')
    """
    for said, shown in {"hfkd ": "", ", 1 seeds": ", 1 seed", "mlp": "MLP", "cnn": "CNN", "members": "clients"}.items():
        what = what.replace(said, shown)
    return PUBLISHED.get(what, what)


def _bar(axes: Axes, y: float, row: tuple) -> None:
    """One round: floor, batched, sequential, joined by a thin line."""
    first = not axes.get_legend_handles_labels()[0]
    told = ("arithmetic floor", "one program for all clients", "one client after the other")
    names = told if first else ("_", "_", "_")  # a leading underscore keeps it out of the legend
    axes.plot([row.floor, np.nanmax([row.seconds, row.sequential])], [y, y], color=PALE, linewidth=1, zorder=1)
    axes.scatter(row.floor, y, 40, INK, marker="|", linewidths=1.4, zorder=3, label=names[0])
    axes.scatter(row.seconds, y, 26, BATCHED, linewidths=0, zorder=4, label=names[1])
    axes.scatter(row.sequential, y, 22, "white", edgecolors=PLAIN, linewidths=1.1, zorder=3, label=names[2])


@styled
def fig_scale(rounds: pd.DataFrame, matched: pd.DataFrame) -> Figure:
    """Cost against clients, all axes logarithmic: seconds of a round, its peak memory, seconds of the matching.

    The grey line grows in proportion to clients, from the first point. The dotted line is a minute, the limit that was
    set for matching 10,000 clients.

    Args:
        rounds, matched: as `costs.read` returns them.

    Raises:
        ValueError: fewer than two rounds of many clients, or no matching.

    Source: *ours*.

    >>> rounds = pd.DataFrame({"clients": [10, 100], "seconds": [.1, 2], "sequential": [.4, 4], "memory": [3e8, 4e8]})
    >>> matched = pd.DataFrame([{"clients": 100, "classes": 10, "case": "coverage", "seconds": .1}])
    >>> fig_scale(rounds, matched).axes[0].lines[0].get_ydata().tolist()  # ten times the clients, ten times the seconds
    [0.1, 1.0]
    """
    crowd = crowds(rounds)
    if matched.empty:
        raise ValueError("the record has no matching; `hfkd bench --json FILE` without --only measures it")
    figure, ((left, middle, right),) = new(1, 3, PAGE, 2.5, width_ratios=[1.2, .8, 1])
    ends = crowd["clients"].iloc[[0, -1]].to_numpy()
    left.plot(ends, crowd["seconds"].iloc[0] * ends / ends[0], color=PALE, label="in proportion to clients")
    left.plot(crowd["clients"], crowd["sequential"], color=PLAIN, marker="o", mfc="white", label="one after the other")
    left.plot(crowd["clients"], crowd["seconds"], color=BATCHED, marker="o", label="one program")
    figure.legend(*left.get_legend_handles_labels(), loc="outside upper left", ncols=3, handlelength=1.8)
    left.set(ylabel="seconds of a round", title="a round of HFKD")
    middle.plot(crowd["clients"], crowd["memory"], color=BATCHED, marker="o")
    middle.set(ylabel="peak memory", title="its memory")
    right.axhline(MATCHING_LIMIT, color=INK, linewidth=.7, linestyle=":", zorder=1)
    right.annotate(f"{MATCHING_LIMIT} s", (0, MATCHING_LIMIT), (3, -8), ("axes fraction", "data"), "offset points",
                   fontsize=7)
    groups = list(matched.sort_values("clients").groupby("case", sort=False))
    colours = [CYCLE[k % len(CYCLE)] for k in range(len(groups))]
    for (_, group), colour in zip(groups, colours, strict=True):
        right.plot(group["clients"], group["seconds"], color=colour, marker="o")
    classes = "/".join(f"{n}" for n in sorted(set(matched["classes"])))
    right.set(ylabel="seconds of the matching", title=f"matching, {classes} classes")
    for axes in (left, middle, right):
        axes.set(xscale="log", yscale="log", xlabel="clients")
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.yaxis.set_major_formatter(EngFormatter("B" if axes is middle else "s"))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_minor_locator(NullLocator())
        axes.grid(axis="both")
    middle.set_ylim(crowd["memory"].min() / 1.5, crowd["memory"].max() * 1.5)
    middle.yaxis.set_major_locator(LogLocator(10, (1, 2, 5), numticks=9))
    last = [tuple(group[["clients", "seconds"]].iloc[-1]) for _, group in groups]
    label_ends(right, last, [case for case, _ in groups], colours)
    return finish(figure)
