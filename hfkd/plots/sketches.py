"""Figures of the data, the levels, the assessment and the matching (RQ1), each from arrays or small tables (ours).

Letters as in `assess`: N clients, C classes, every pair matrix is [student, teacher].
"""

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from hfkd.assess import affinity, coverage, distributions, similarity, union_gain
from hfkd.plots.canvas import COLUMN, CYCLE, INK, PAGE, PALE, by_level, checked, finish, new, styled

FAMILIES = {"mlp": "MLP", "cnn": "CNN", "depth": "MLP, by depth"}
MEASURES = {"similarity": (0, 1, "viridis"), "union gain": (-1, 1, "RdBu"), "coverage": (0, 1, "viridis"),
            "affinity": (0, 1, "viridis")}  # name -> lowest, highest, colours


@styled
def fig_partition(counts: np.ndarray, levels: Sequence[int], class_names: Sequence[str] | None = None) -> Figure:
    """Training samples of every client, stacked by class; the clients in the order of their levels.

    Args:
        counts: (N, C) label counts.
        levels: (N,) integers >= 1.
        class_names: C words for the legend; None: the numbers 0..C-1.

    Raises:
        ValueError: wrong counts, or levels or names of another number.

    Source: *ours*.

    >>> len(fig_partition([[3, 1], [0, 4]], [1, 2]).axes[0].patches)  # 2 clients x 2 classes
    4
    """
    counts, levels = checked(counts, levels)
    n, n_classes = counts.shape
    names = [str(c) for c in range(n_classes)] if class_names is None else list(class_names)
    if len(names) != n_classes:
        raise ValueError(f"class_names has {len(names)} names; counts has {n_classes} classes")
    order, groups = by_level(levels)
    figure, ((axes,),) = new(1, 1, PAGE, 2.5)
    colours = matplotlib.colormaps["viridis"](np.linspace(0, 1, n_classes))
    bottom = np.zeros(n)
    for c in range(n_classes):
        axes.bar(np.arange(n), counts[order, c], .8, bottom, color=colours[c], label=names[c], edgecolor="white",
                 linewidth=.3)
        bottom += counts[order, c]
    if n <= 40:  # more would not be readable
        for x, total in enumerate(bottom):
            axes.annotate(f"{total:.0f}", (x, total), (0, 1.5), textcoords="offset points", ha="center", fontsize=6)
    for name, first, end in groups:
        axes.annotate(name, ((first + end - 1) / 2, 1), (0, 4), xycoords=("data", "axes fraction"), ha="center",
                      textcoords="offset points", fontsize=8)
        if first:
            axes.axvline(first - .5, color=INK, linewidth=.6, linestyle=":")
    axes.set(xlim=(-.6, n - .4), ylim=(0, 1.06 * max(1, bottom.max())), ylabel="training samples", xlabel="client")
    axes.set_xticks(np.arange(n) if n <= 40 else [], order if n <= 40 else [])
    axes.tick_params(axis="x", length=0)
    axes.legend(reverse=True, title="class", alignment="left", loc="center left", bbox_to_anchor=(1, .5),
                ncols=-(-n_classes // 12))
    return finish(figure)


@styled
def fig_sizes(tables: Mapping[str, Sequence[Mapping]]) -> Figure:
    """Parameters of the network at each level, a line per family, on a log scale.

    Args:
        tables: family -> rows with `level` and `parameters`, as `levels.sizes` returns them.

    Raises:
        ValueError: no table.

    Source: *ours*.

    >>> rows = [{"level": k, "parameters": 10 ** k} for k in (1, 2, 3)]
    >>> fig_sizes({"mlp": rows}).axes[0].lines[0].get_ydata().tolist()
    [10, 100, 1000]
    """
    if not tables:
        raise ValueError("tables is empty; expected family -> rows of levels.sizes")
    figure, ((axes,),) = new(1, 1, COLUMN, 2.2)
    for (family, rows), colour, marker in zip(tables.items(), CYCLE, "osD^vPX", strict=False):
        x, y = [row["level"] for row in rows], [row["parameters"] for row in rows]
        axes.plot(x, y, color=colour, marker=marker, label=FAMILIES.get(family, family))
    axes.set(yscale="log", ylabel="parameters", xlabel="level")
    axes.set_xticks(x, [name for name, _, _ in by_level(x)[1]])
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.margins(x=.12)
    axes.grid(axis="y")
    axes.legend(loc="upper left")
    return finish(figure)


@styled
def fig_assessment(counts: np.ndarray, levels: Sequence[int], personality: float = .25) -> Figure:
    """The four matrices of `assess` over all pairs: similarity, union gain, coverage, affinity, [student, teacher].

    Args:
        counts: (N, C) label counts.
        levels: (N,) integers >= 1; clients are in the order of their levels, lines separate the levels.
        personality: eta of the affinity.

    Raises:
        ValueError: wrong counts, levels of another number, eta outside [0, 1].

    Source: *ours* (METHOD section 3).

    >>> fig_assessment([[4, 0], [0, 4]], [1, 2]).axes[1].images[0].get_array().tolist()  # union gain
    [[0.0, 1.0], [1.0, 0.0]]
    """
    counts, levels = checked(counts, levels)
    p = distributions(counts)
    order, groups = by_level(levels)
    figure, (row,) = new(1, 4, PAGE, 2.55)
    matrices = (similarity(p), union_gain(counts), coverage(p), affinity(counts, personality))
    for axes, matrix, (name, (low, high, colours)) in zip(row, matrices, MEASURES.items(), strict=True):
        image = axes.imshow(matrix[np.ix_(order, order)], cmap=colours, vmin=low, vmax=high)
        bar = figure.colorbar(image, ax=axes, orientation="horizontal", ticks=[low, (low + high) / 2, high], pad=.02,
                              aspect=14, shrink=.9)
        bar.outline.set_visible(False)
        middles, names = [(a + b - 1) / 2 for _, a, b in groups], [name for name, _, _ in groups]
        for _, first, _ in groups[1:]:
            axes.axvline(first - .5, color="white", linewidth=1.2)
            axes.axhline(first - .5, color="white", linewidth=1.2)
        axes.set(title=name[0].upper() + name[1:], xlabel="teacher")
        axes.set_xticks(middles, names)
        axes.set_yticks([])
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
    row[0].set_yticks(middles, names, rotation=90, va="center")
    row[0].set_ylabel("student")
    return finish(figure)


@styled
def fig_rules(table: pd.DataFrame) -> Figure:
    """Matching rules side by side: a dot per rule, a panel per measure.

    Args:
        table: index = rule, one column per measure; a rule may have several rows (one per seed), then the small dots
            are the rows and the large dot is their mean.

    Raises:
        ValueError: an empty table.

    Source: *ours*.

    >>> table = pd.DataFrame({"coverage of the group": [.5, .7, .2]}, ["coverage", "coverage", "none"])
    >>> fig_rules(table).axes[0].lines[-1].get_xdata().round(6).tolist()  # means, in the order of the table
    [0.6, 0.2]
    """
    if table.empty:
        raise ValueError("table is empty; expected a row per rule and a column per measure")
    means = table.groupby(level=0, sort=False).mean()
    rules = means.index.tolist()
    y = np.arange(len(rules))
    figure, (row,) = new(1, len(means.columns), max(COLUMN, PAGE * len(means.columns) / 4), .5 + .19 * len(rules),
                         sharey=True)
    for axes, measure in zip(row, means.columns, strict=True):
        if len(table) > len(means):
            axes.plot(table[measure], [rules.index(rule) for rule in table.index], "o", color=PALE, markersize=2.5)
        axes.plot(means[measure], y, "o", color=CYCLE[0])
        axes.set_title(measure)
        axes.grid(axis="both")
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.margins(x=.08)
    row[0].set_yticks(y, rules)
    row[0].set_ylim(len(rules) - .5, -.5)
    return finish(figure)
