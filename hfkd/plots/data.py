"""Figures of the data, the assessment and the matching (RQ1), from arrays and small tables (ours).
counts: (N, C) label counts of N clients; levels: (N,) integers >= 1; every pair matrix is [student, teacher].
"""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from hfkd.assess import coverage, distributions, similarity, union_gain
from hfkd.plots.style import INK, LEVELS, LOOKS, PARTITIONS, finish, new, theme
from hfkd.study import compare


@theme()
def fig_partition(counts: np.ndarray, levels: np.ndarray) -> Figure:
    """Who holds what: training samples by client and class as a heat, above it each client's sum; clients by level.

    >>> fig_partition([[3, 1], [0, 4]], [2, 1]).axes[1].collections[0].get_array().tolist()  # clients 1 and 0
    [[0, 3], [4, 1]]
    """
    counts, order, names, starts, middles = _by_level(counts, levels)
    few = len(counts) <= 30  # the numbers of more cannot be read
    figure, ((top,), (axes,)) = new(2, 1, 2.1 + .1 * counts.shape[1], height_ratios=[1, 2.2])
    top.bar(np.arange(len(counts)) + .5, counts[order].sum(axis=1), .8, color=LOOKS[0][0])
    cells = pd.DataFrame(counts[order].T, columns=order)
    sns.heatmap(cells, cmap="Blues", ax=axes, annot=cells.map(lambda count: str(count or "")) if few else False, fmt="",
                linewidths=.5, cbar=False, annot_kws={"size": 6}, xticklabels=few)
    top.set(ylabel="samples", xlim=(0, len(counts)), xticks=[])
    axes.set(ylabel="class", xlabel="client")
    axes.tick_params(length=0, rotation=0)
    for name, start, middle in zip(names, starts, middles, strict=True):
        top.text(middle, 1.03, name, transform=top.get_xaxis_transform(), ha="center")
        for each in (top, axes):
            each.axvline(start, color=INK, linewidth=.8 * (start > 0))
    return finish(figure)


@theme()
def fig_assessment(counts: np.ndarray, levels: np.ndarray) -> Figure:
    """The three criteria of `hfkd.assess` over all pairs as heats, clients by level.

    >>> fig_assessment([[4, 0], [0, 4]], [1, 2]).axes[1].collections[0].get_array().tolist()  # union gain
    [[0.0, 1.0], [1.0, 0.0]]
    """
    counts, order, names, starts, middles = _by_level(counts, levels)
    measures = {"similarity": similarity(counts), "union gain": union_gain(counts), "coverage": coverage(counts)}
    figure, (row,) = new(1, 3, 2.5, sharey=True)
    for axes, (name, matrix) in zip(row, measures.items(), strict=True):
        low = -1 if name == "union gain" else 0
        sns.heatmap(matrix[np.ix_(order, order)], vmin=low, vmax=1, cmap="RdBu" if low else "Blues", square=True,
                    ax=axes, cbar_kws={"orientation": "horizontal", "ticks": [low, 0, 1]})
        for start in starts[1:]:
            axes.axvline(start, color=INK, linewidth=.8)
            axes.axhline(start, color=INK, linewidth=.8)
        axes.set(title=name, xlabel="teacher")
        axes.set_xticks(middles, names, rotation=0)
        axes.tick_params(length=0)
    row[0].set_yticks(middles, names, rotation=90, va="center")
    row[0].set_ylabel("student")
    return finish(figure)


@theme()
def fig_matching(counts: np.ndarray, levels: np.ndarray, edges: np.ndarray) -> Figure:
    """Who teaches whom: a bar of label shares per client, levels one above the other, lines from teachers to students.
    A line has the colour of the teacher's most common class; (2) is a client without a teacher below the top level.
    edges: (N, N) bool.

    >>> figure = fig_matching([[4, 0], [0, 4], [1, 1]], [1, 2, 1], [[0, 1, 0], [0, 0, 0], [0, 0, 0]])
    >>> [text.get_text() for text in figure.axes[0].texts], len(figure.axes[0].lines)
    (['0', '1', '(2)'], 1)
    """
    counts, _, names, _, _ = _by_level(counts, levels)
    p, levels, edges = distributions(counts), np.asarray(levels), np.asarray(edges, bool)
    if edges.shape != 2 * counts.shape[:1]:
        raise ValueError(f"edges has shape {edges.shape}; expected {2 * counts.shape[:1]}, [student, teacher]")
    x, y = np.zeros(len(p)), np.searchsorted(np.unique(levels), levels)
    for level in reversed(range(len(names))):
        row = np.flatnonzero(y == level)
        pull = edges[row] @ x / np.maximum(edges[row].sum(axis=1), 1)  # students stand in the order of their teachers
        x[row[np.argsort(pull.round(9), kind="stable")]] = (np.arange(len(row)) + .5) / len(row)
    hues = sns.color_palette("colorblind" if p.shape[1] <= 10 else "husl", p.shape[1])
    figure, ((axes,),) = new(1, 1, .3 + .8 * len(names))
    for s, t in np.argwhere(edges):
        axes.plot([x[t], x[s]], [y[t] - .15, y[s] + .31], color=hues[p[t].argmax()], linewidth=.9)
    width = .75 / np.bincount(y).max()
    for c, (left, hue) in enumerate(zip((p.cumsum(axis=1) - p).T, hues, strict=True)):
        axes.barh(y, width * p[:, c], .3, x - width / 2 + width * left, color=hue, linewidth=0, label=c, zorder=3)
    for i, taught in enumerate(edges.any(axis=1) | (y == y.max())):
        axes.text(x[i], y[i] + .17, str(i) if taught else f"({i})", ha="center", fontsize=6.5)
    axes.set(xticks=[], xlim=(0, 1), yticks=range(len(names)), yticklabels=names, ylim=(-.3, y.max() + .4))
    axes.tick_params(length=0, grid_linewidth=0)
    sns.despine(ax=axes, left=True, bottom=True)
    figure.legend(title="class; of a line\nits teacher's main", loc="outside right center")
    return finish(figure)


@theme()
def fig_coverage(clients: pd.DataFrame) -> Figure:
    """What every student gains in consistency over training alone with the same loss, against the share of the classes
    that its group covers: a point per student, seed and rule; a line per seed, by scene.
    clients: as `compare.slopes` wants them.
    """
    parts = {PARTITIONS[name].format(skew=skew): part for (name, skew), part in clients.groupby(["partition", "skew"])}
    figure, (row,) = new(1, len(parts), 3, sharex=True, sharey=True)
    looks = dict(zip(sorted(compare.student_gains(clients)["rule"].unique()), LOOKS, strict=False))
    for axes, (name, part) in zip(row, parts.items(), strict=True):
        gains = compare.student_gains(part)
        for rule, (hue, mark) in looks.items():
            own = gains[gains["rule"] == rule]
            axes.plot(own["coverage"], own["gain"], mark, color=hue, markersize=2.2, alpha=.6, markeredgewidth=0)
        for _, own in gains.groupby("seed"):
            sns.regplot(own, x="coverage", y="gain", scatter=False, ci=None, color=INK, line_kws={"linewidth": .8},
                        ax=axes)
        slope = compare.interval(compare.slopes(part) / 10)
        axes.set(title=f"{name}\n{slope.mean:+.1f} points per tenth\n({slope.low:.1f} to {slope.high:.1f})",
                 xlabel="classes covered", ylabel="gain in consistency (points)" if axes is row[0] else "")
    return finish(figure, [(rule, *each) for rule, each in looks.items()], 5, "A point per student, a line per seed")


def _by_level(counts: np.ndarray, levels: np.ndarray) -> tuple:
    """Checked counts, the clients in the order of their levels, and each level's name, start and middle among them."""
    counts, levels = np.asarray(counts), np.asarray(levels)
    distributions(counts)  # a sentence on what is no table of counts
    if levels.shape != counts.shape[:1]:
        raise ValueError(f"levels has shape {levels.shape}; expected one level for each of {len(counts)} clients")
    order = np.argsort(levels, kind="stable")
    found, starts, sizes = np.unique(levels[order], return_index=True, return_counts=True)
    names = [LEVELS[k - 1] if found[-1] <= len(LEVELS) else f"level {k}" for k in found]
    return counts, order, names, starts, starts + sizes / 2
