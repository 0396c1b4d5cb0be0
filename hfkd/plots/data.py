"""Figures of the data, the assessment and the matching (RQ1), from arrays and small tables (ours).

N clients, C classes; every pair matrix is [student, teacher].
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hfkd.assess import affinity, coverage, distributions, similarity, union_gain
from hfkd.plots.style import INK, PALE, SCENES, finish, new, theme

LEVELS = ("small", "medium", "large")
HEIGHT = .3  # of a client's bar where the levels are 1 apart
MANY = 30  # with more clients numbers cannot be read


@theme()
def fig_partition(counts: np.ndarray, levels: Sequence[int]) -> Figure:
    """Who holds what: training samples by client and class as a heat, above it each client's sum; clients by level.

    Args:
        counts: (N, C) label counts.
        levels: (N,) integers >= 1.

    Raises:
        ValueError: counts that are none, or levels of another number.

    >>> figure = fig_partition([[3, 1], [0, 4]], [2, 1])
    >>> figure.axes[1].collections[0].get_array().tolist()  # rows: classes, columns: the clients 1 and 0
    [[0.0, 3.0], [4.0, 1.0]]
    """
    counts, order, groups = _sorted(counts, levels)
    few = len(counts) <= MANY
    figure, ((top,), (axes,)) = new(2, 1, 2.1 + .1 * counts.shape[1], height_ratios=[1, 2.2])
    sums = counts[order].sum(axis=1)
    top.bar(np.arange(len(counts)) + .5, sums, .8, color=SCENES[0])
    top.set(ylabel="samples", xlim=(0, len(counts)), xticks=[])
    top.grid(visible=False, axis="x")
    cells = pd.DataFrame(counts[order].T, columns=order)
    numbers = cells.map(lambda count: str(count or "")) if few else False
    sns.heatmap(cells, cmap="Blues", ax=axes, annot=numbers, fmt="", linewidths=.5, cbar=not few,
                annot_kws={"size": 6}, cbar_kws={"label": "samples", "pad": .01})
    axes.set(ylabel="class", xlabel="client")
    axes.tick_params(length=0, rotation=0)
    if not few:
        axes.set_xticks([])
    for name, first, end in groups:
        top.text((first + end) / 2, 1.03, name, transform=top.get_xaxis_transform(), ha="center", fontsize=8)
        for each in (top, axes):
            each.axvline(first, color=INK, linewidth=.8 * (first > 0))
    return finish(figure)


@theme()
def fig_assessment(counts: np.ndarray, levels: Sequence[int], personality: float = .25) -> Figure:
    """The four measures of `hfkd.assess` over all pairs [student, teacher] as heats; clients by level.

    Args:
        counts, levels: as for `fig_partition`.
        personality: eta of the affinity.

    >>> fig_assessment([[4, 0], [0, 4]], [1, 2]).axes[1].collections[0].get_array().tolist()  # union gain
    [[0.0, 1.0], [1.0, 0.0]]
    """
    counts, order, groups = _sorted(counts, levels)
    p = distributions(counts)
    measures = {"similarity": similarity(p), "union gain": union_gain(counts), "coverage": coverage(p),
                "affinity": affinity(counts, personality)}
    figure, (row,) = new(1, 4, 2.5)
    for axes, (name, matrix) in zip(row, measures.items(), strict=True):
        signed = name == "union gain"
        sns.heatmap(matrix[np.ix_(order, order)], vmin=-int(signed), vmax=1, cmap="RdBu" if signed else "Blues",
                    square=True, ax=axes, cbar_kws={"orientation": "horizontal", "ticks": [-int(signed), 0, 1]})
        for _, first, _ in groups[1:]:
            axes.axvline(first, color=INK, linewidth=.8)
            axes.axhline(first, color=INK, linewidth=.8)
        middles, names = [(first + end) / 2 for _, first, end in groups], [name for name, _, _ in groups]
        axes.set(title=name, xlabel="teacher", ylabel="student" if axes is row[0] else "")
        axes.set_xticks(middles, names, rotation=0)
        axes.set_yticks(middles if axes is row[0] else [], names if axes is row[0] else [], rotation=90, va="center")
        axes.tick_params(length=0)
    return finish(figure)


@theme()
def fig_matching(counts: np.ndarray, levels: Sequence[int], edges: np.ndarray) -> Figure:
    """Who teaches whom: a bar of label shares per client, levels one above the other, a line from teacher to student.

    A line has the colour of the teacher's most common class. Students stand in the order of their teachers. A number in brackets is a client
    without a teacher although there is a level above it.

    Args:
        counts, levels: as for `fig_partition`.
        edges: (N, N) bool [student, teacher].

    Raises:
        ValueError: edges of another shape.

    >>> figure = fig_matching([[4, 0], [0, 4], [1, 1]], [1, 2, 1], [[0, 1, 0], [0, 0, 0], [0, 0, 0]])
    >>> [text.get_text() for text in figure.axes[0].texts], len(figure.axes[0].lines)
    (['0', '1', '(2)'], 1)
    """
    counts, _, groups = _sorted(counts, levels)
    edges, levels, p = np.asarray(edges, bool), np.asarray(levels), distributions(counts)
    if edges.shape != 2 * counts.shape[:1]:
        raise ValueError(f"edges has shape {edges.shape}; expected {2 * counts.shape[:1]}, [student, teacher]")
    x, y = _places(levels, edges)
    figure, ((axes,),) = new(1, 1, .3 + .8 * len(groups))
    hues = sns.color_palette("colorblind" if p.shape[1] <= 10 else "husl", p.shape[1])
    for s, t in np.argwhere(edges):
        axes.plot([x[t], x[s]], [y[t] - HEIGHT / 2, y[s] + HEIGHT / 2 + .16], color=hues[p[t].argmax()], linewidth=.9)
    _bars(axes, p, x, y, hues)
    alone = ~edges.any(axis=1) & (levels < levels.max())
    for i in range(len(p)):
        axes.text(x[i], y[i] + HEIGHT / 2 + .02, f"({i})" if alone[i] else str(i), ha="center", va="bottom",
                  fontsize=6.5, color=INK)
    axes.set(xticks=[], xlim=(0, 1), ylim=(-.3, y.max() + .4))
    axes.set_yticks(np.arange(len(groups)), [name for name, _, _ in groups])
    axes.tick_params(length=0)
    axes.grid(visible=False)
    sns.despine(ax=axes, left=True, bottom=True)
    figure.legend(title="class", loc="outside right center")
    return finish(figure)


@theme()
def fig_rules(table: pd.DataFrame) -> Figure:
    """Matching rules side by side, a panel per measure: pale dots are the rows, dark ones their means.

    Args:
        table: index = rule, one column per measure; several rows of a rule (seeds) are allowed.

    Raises:
        ValueError: an empty table.

    >>> table = pd.DataFrame({"coverage": [.5, .75, .25]}, ["coverage", "coverage", "none"])
    >>> fig_rules(table).axes[0].lines[0].get_xdata().tolist()  # means, in the order of the table
    [0.625, 0.25]
    """
    if table.empty:
        raise ValueError("the table has no rows; expected one per rule and a column per measure")
    rows = table.rename_axis("rule").reset_index()
    measures = list(table.columns)
    figure, (row,) = new(1, len(measures), .6 + .2 * table.index.nunique(), sharey=True)
    for axes, measure in zip(row, measures, strict=True):
        sns.stripplot(rows, x=measure, y="rule", color=PALE, size=3, jitter=False, ax=axes, zorder=1)
        sns.pointplot(rows, x=measure, y="rule", color=SCENES[0], linestyle="none", errorbar=None, markersize=5, ax=axes)
        axes.set(title=measure, xlabel="", ylabel="")
    return finish(figure)


def _sorted(counts: np.ndarray, levels: Sequence[int]) -> tuple[np.ndarray, np.ndarray, list]:
    """Checked counts, the clients in the order of their levels, and (name, first, end) of each level in that order."""
    counts, levels = np.asarray(counts), np.asarray(levels)
    distributions(counts)  # a sentence on what is no table of counts
    if levels.shape != counts.shape[:1]:
        raise ValueError(f"levels has shape {levels.shape}; expected one level for each of {len(counts)} clients")
    order = np.argsort(levels, kind="stable")
    found, first = np.unique(levels[order], return_index=True)
    names = [LEVELS[k - 1] if found[-1] <= len(LEVELS) else f"level {k}" for k in found]
    return counts, order, list(zip(names, first.tolist(), [*first[1:].tolist(), len(levels)], strict=True))


def _places(levels: np.ndarray, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """x in 0..1 and row of each client; from the top level down, students stand in the order of their teachers' mean."""
    x, found = np.zeros(len(levels)), np.unique(levels)
    for level in found[::-1]:
        row = np.flatnonzero(levels == level)
        pull = edges[row] @ x / np.maximum(edges[row].sum(axis=1), 1)
        x[row[np.argsort(pull.round(9), kind="stable")]] = (np.arange(len(row)) + .5) / len(row)
    return x, np.searchsorted(found, levels).astype(float)


def _bars(axes: Axes, p: np.ndarray, x: np.ndarray, y: np.ndarray, hues: list) -> None:
    """One horizontal bar per client, parted by its label shares (N, C)."""
    width = .75 / max(np.unique(y, return_counts=True)[1])
    left = x - width / 2
    for c, hue in enumerate(hues):
        axes.barh(y, width * p[:, c], HEIGHT, left, color=hue, linewidth=0, label=str(c), zorder=3)
        left = left + width * p[:, c]
