"""Figures of the data, the assessment and the matching (RQ1), from arrays and small tables (ours).

counts: (N, C) label counts of N clients; levels: (N,) integers >= 1; every pair matrix is [student, teacher].
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from hfkd.assess import affinity, coverage, distributions, similarity, union_gain
from hfkd.plots.style import INK, LOOKS, PALE, finish, new, theme

LEVELS = ("small", "medium", "large")
HEIGHT = .3  # of a client's bar where the levels are 1 apart


@theme()
def fig_partition(counts: np.ndarray, levels: Sequence[int]) -> Figure:
    """Who holds what: training samples by client and class as a heat, above it each client's sum; clients by level.
    Raises: ValueError, if these are no counts, or levels of another number.

    >>> fig_partition([[3, 1], [0, 4]], [2, 1]).axes[1].collections[0].get_array().tolist()  # clients 1 and 0
    [[0, 3], [4, 1]]
    """
    counts, order, groups = _by_level(counts, levels)
    few = len(counts) <= 30  # the numbers of more cannot be read
    figure, ((top,), (axes,)) = new(2, 1, 2.1 + .1 * counts.shape[1], height_ratios=[1, 2.2])
    top.bar(np.arange(len(counts)) + .5, counts[order].sum(axis=1), .8, color=LOOKS[0][0])
    cells = pd.DataFrame(counts[order].T, columns=order)
    sns.heatmap(cells, cmap="Blues", ax=axes, annot=cells.map(lambda count: str(count or "")) if few else False, fmt="",
                linewidths=.5, cbar=False, annot_kws={"size": 6}, xticklabels=few)
    top.set(ylabel="samples", xlim=(0, len(counts)), xticks=[])
    axes.set(ylabel="class", xlabel="client")
    axes.tick_params(length=0, rotation=0)
    for name, first, end in groups:
        top.text((first + end) / 2, 1.03, name, transform=top.get_xaxis_transform(), ha="center")
        for each in (top, axes):
            each.axvline(first, color=INK, linewidth=.8 * (first > 0))
    return finish(figure)


@theme()
def fig_assessment(counts: np.ndarray, levels: Sequence[int], personality: float = .25) -> Figure:
    """The four measures of `hfkd.assess` over all pairs as heats, clients by level; personality: eta of the affinity.
    Raises: ValueError, as `fig_partition`, or if eta is outside [0, 1].

    >>> fig_assessment([[4, 0], [0, 4]], [1, 2]).axes[1].collections[0].get_array().tolist()  # union gain
    [[0.0, 1.0], [1.0, 0.0]]
    """
    counts, order, groups = _by_level(counts, levels)
    p = distributions(counts)
    measures = {"similarity": similarity(p), "union gain": union_gain(counts), "coverage": coverage(p),
                "affinity": affinity(counts, personality)}
    figure, (row,) = new(1, 4, 2.5, sharey=True)
    for axes, (name, matrix) in zip(row, measures.items(), strict=True):
        low = -1 if name == "union gain" else 0
        sns.heatmap(matrix[np.ix_(order, order)], vmin=low, vmax=1, cmap="RdBu" if low else "Blues", square=True,
                    ax=axes, cbar_kws={"orientation": "horizontal", "ticks": [low, 0, 1]})
        middles, names = [(first + end) / 2 for _, first, end in groups], [name for name, _, _ in groups]
        for _, first, _ in groups[1:]:
            axes.axvline(first, color=INK, linewidth=.8)
            axes.axhline(first, color=INK, linewidth=.8)
        axes.set(title=name, xlabel="teacher")
        axes.set_xticks(middles, names, rotation=0)
        axes.tick_params(length=0)
    row[0].set_yticks(middles, names, rotation=90, va="center")
    row[0].set_ylabel("student")
    return finish(figure)


@theme()
def fig_matching(counts: np.ndarray, levels: Sequence[int], edges: np.ndarray) -> Figure:
    """Who teaches whom: a bar of label shares per client, levels one above the other, lines from teachers to students.

    A line has the colour of the teacher's most common class. Students stand in the order of their teachers. A number in
    brackets is a client without a teacher below the top level. edges: (N, N) bool [student, teacher].
    Raises: ValueError, as `fig_partition`, or if edges have another shape.

    >>> figure = fig_matching([[4, 0], [0, 4], [1, 1]], [1, 2, 1], [[0, 1, 0], [0, 0, 0], [0, 0, 0]])
    >>> [text.get_text() for text in figure.axes[0].texts], len(figure.axes[0].lines)
    (['0', '1', '(2)'], 1)
    """
    counts, _, groups = _by_level(counts, levels)
    p, levels, edges = distributions(counts), np.asarray(levels), np.asarray(edges, bool)
    if edges.shape != 2 * counts.shape[:1]:
        raise ValueError(f"edges has shape {edges.shape}; expected {2 * counts.shape[:1]}, [student, teacher]")
    x, y = np.zeros(len(p)), np.searchsorted(np.unique(levels), levels)
    for level in np.unique(levels)[::-1]:
        row = np.flatnonzero(levels == level)
        pull = edges[row] @ x / np.maximum(edges[row].sum(axis=1), 1)
        x[row[np.argsort(pull.round(9), kind="stable")]] = (np.arange(len(row)) + .5) / len(row)
    hues = sns.color_palette("colorblind" if p.shape[1] <= 10 else "husl", p.shape[1])
    figure, ((axes,),) = new(1, 1, .3 + .8 * len(groups))
    for s, t in np.argwhere(edges):
        axes.plot([x[t], x[s]], [y[t] - HEIGHT / 2, y[s] + HEIGHT / 2 + .16], color=hues[p[t].argmax()], linewidth=.9)
    width = .75 / max(end - first for _, first, end in groups)
    for c, (left, hue) in enumerate(zip((p.cumsum(axis=1) - p).T, hues, strict=True)):
        axes.barh(y, width * p[:, c], HEIGHT, x - width / 2 + width * left, color=hue, linewidth=0, label=c, zorder=3)
    for i, taught in enumerate(edges.any(axis=1) | (levels == levels.max())):
        axes.text(x[i], y[i] + HEIGHT / 2 + .02, str(i) if taught else f"({i})", ha="center", fontsize=6.5)
    axes.set(xticks=[], xlim=(0, 1), ylim=(-.3, y.max() + .4))
    axes.set_yticks(range(len(groups)), [name for name, _, _ in groups])
    axes.tick_params(length=0)
    axes.grid(visible=False)
    sns.despine(ax=axes, left=True, bottom=True)
    figure.legend(title="class", loc="outside right center")
    return finish(figure)


@theme()
def fig_rules(table: pd.DataFrame) -> Figure:
    """Matching rules (the index) side by side, a panel per column: pale are the rows (seeds), dark their means.
    Raises: ValueError, if the table is empty.

    >>> table = pd.DataFrame({"coverage": [.5, .75, .25]}, ["coverage", "coverage", "none"])
    >>> fig_rules(table).axes[0].lines[0].get_xdata().tolist()  # means, in the order of the table
    [0.625, 0.25]
    """
    if table.empty:
        raise ValueError("the table has no rows; expected one per rule and a column per measure")
    rows = table.rename_axis("rule").reset_index()
    figure, (row,) = new(1, table.shape[1], .6 + .2 * rows["rule"].nunique(), sharey=True)
    for axes, measure in zip(row, table, strict=True):
        sns.stripplot(rows, x=measure, y="rule", color=PALE, size=3, jitter=False, ax=axes, zorder=1)
        sns.pointplot(rows, x=measure, y="rule", color=LOOKS[0][0], linestyle="none", errorbar=None, ax=axes,
                      markersize=4)
        axes.set(title=measure, xlabel="", ylabel="")
    return finish(figure)


def _by_level(counts: np.ndarray, levels: Sequence[int]) -> tuple[np.ndarray, np.ndarray, list]:
    """Checked counts, the clients in the order of their levels, and (name, first, end) of each level in that order."""
    counts, levels = np.asarray(counts), np.asarray(levels)
    distributions(counts)  # a sentence on what is no table of counts
    if levels.shape != counts.shape[:1]:
        raise ValueError(f"levels has shape {levels.shape}; expected one level for each of {len(counts)} clients")
    order = np.argsort(levels, kind="stable")
    found, first = np.unique(levels[order], return_index=True)
    names = [LEVELS[k - 1] if found[-1] <= len(LEVELS) else f"level {k}" for k in found]
    return counts, order, list(zip(names, first.tolist(), [*first[1:].tolist(), len(levels)], strict=True))
