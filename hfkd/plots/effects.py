"""What a part is worth: differences to a base run, by variant, by level, and over epsilon (ours)."""

import itertools
from collections.abc import Mapping, Sequence

import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from hfkd.plots.rows import better, by_seed, limits, method_of, over_seeds
from hfkd.plots.style import INK, MARKS, METHODS, SCENES, finish, legend, new, theme
from hfkd.study.compare import interval
from hfkd.study.results import PRIMARY

MARGIN = .5  # points: the difference that does not matter (METHOD section 9)
LEVELS = {1: "small", 2: "medium", 3: "large"}


@theme()
def fig_effects(frame: pd.DataFrame, baseline: str, groups: Mapping[str, Mapping[str, str]],
                metrics: Sequence[str] = PRIMARY) -> Figure:
    """What each variant changes: a row each, its difference to the base run at the last round, paired by seed.

    A point per scene with its 95 % interval, a panel per metric; the band is the margin that does not matter.

    Args:
        frame: rows of one grid.
        baseline: a method, whose base configuration is 0.
        groups: heading -> words of the row -> variant of the method, as in `plots.GROUPS`.
        metrics: shares of the rows, such as personality_honest.

    Raises:
        ValueError: no variant, or one without rows in some scene.

    >>> from hfkd.study.results import COLUMNS
    >>> rows = pd.DataFrame([dict.fromkeys(COLUMNS, 0) | {"partition": "dirichlet", "method": "hfkd", "variant": v,
    ...                      "consistency": c} for v, c in (("", .5), ("peers=False", .4))])
    >>> axes = fig_effects(rows, "hfkd", {"members": {"without peers": "peers=False"}}).axes[1]
    >>> axes.lines[-1].get_xdata().round(9).tolist(), [label.get_text() for label in axes.get_yticklabels()]
    ([-10.0], ['members', 'without peers'])
    """
    lines = [line for heading, part in groups.items() for line in
             ((heading, heading), *((words, f"{baseline}[{variant}]") for words, variant in part.items()))]
    runs = [run for words, run in lines if run not in groups]
    if not runs:
        raise ValueError(f"groups {dict(groups)} have no variant; expected heading -> words -> variant")
    table = by_seed(frame, runs, baseline, metrics)
    titles = list(table["scene"].unique())
    figure, (row,) = new(1, len(metrics), .95 + .185 * len(lines), sharey=True)
    for axes, metric in zip(row, metrics, strict=True):
        axes.axvspan(-MARGIN, MARGIN, color="#ececec", linewidth=0, zorder=0)
        axes.axvline(0, color=INK, linewidth=.6, zorder=1)
        sns.pointplot(table[table["metric"] == metric], x="points", y="run", hue="scene", order=[run for _, run in lines],
                      hue_order=titles, palette=SCENES[:len(titles)], markers=list(MARKS[:len(titles)]), ax=axes,
                      dodge=.4 if len(titles) > 1 else False, linestyle="none", errorbar=limits, markersize=3.5,
                      linewidth=1.1, legend=False)
        axes.set(title=metric.replace("_honest", " of the honest"), ylabel="",
                 xlabel=f"difference to {METHODS[baseline][0]} (points)")
        axes.set_yticks(range(len(lines)), [words for words, _ in lines])
        axes.tick_params(axis="y", length=0)
    for label, (_, run) in zip(row[0].get_yticklabels(), lines, strict=True):
        label.set_fontweight("bold" if run in groups else "normal")
    legend(figure, zip(titles, SCENES, MARKS), len(titles), f"{over_seeds(frame)}. Grey: within ±{MARGIN:g} points")
    return finish(figure)


@theme()
def fig_levels(frame: pd.DataFrame, baseline: str = "local") -> Figure:
    """Who gains on which level: a row per method, a column per level, differences to the baseline in points as a heat.

    Last round, paired by seed, each method by the better of its losses on validation data. Blue gains, red loses; white
    is a number whose 95 % interval holds 0, or which comes from one seed.

    Args:
        frame: summary rows of one grid; variants that are more than a loss or a readout are left out.

    Raises:
        ValueError: no rows, no method but the baseline, or a level that has no client.

    >>> from hfkd.study.results import COLUMNS
    >>> rows = pd.DataFrame([dict.fromkeys(COLUMNS, 0) | {"partition": "dirichlet", "variant": "", "method": m,
    ...                      "consistency_1": c} for m, c in (("local", .5), ("hfkd", .75))])
    >>> [text.get_text() for text in fig_levels(rows).axes[1].texts]
    ['+25', '0.0', '0.0']
    """
    rows, runs = better(frame)
    runs = [run for run in runs if run != baseline]
    if not runs:
        raise ValueError(f"the rows hold {baseline} alone; expected other methods to compare with it")
    columns = {metric: {f"{metric}_{level}": word for level, word in LEVELS.items()} for metric in PRIMARY}
    table = by_seed(rows, runs, baseline, [name for part in columns.values() for name in part])
    found = table.groupby(["metric", "scene", "run"])["points"]
    means, clear = (found.agg(fold).unstack("metric") for fold in ("mean", _clear))
    panels = list(itertools.product(table["scene"].unique(), PRIMARY))
    figure, (row,) = new(1, len(panels), 1 + .15 * len(runs), sharey=True)
    for axes, (scene, metric) in zip(row, panels, strict=True):
        cells, sure = (each.loc[scene].loc[runs, list(columns[metric])] for each in (means, clear))
        top = means[list(columns[metric])].abs().stack().quantile(.95) or 1
        cells = cells.set_axis([METHODS[method_of(run)][0] for run in runs]).rename(columns=columns[metric])
        sns.heatmap(cells.where(sure.to_numpy(), 0), vmin=-top, vmax=top, cmap="RdBu", ax=axes, cbar=False, fmt="",
                    annot=cells.map(_short), annot_kws={"size": 6.5}, linewidths=.4)
        axes.set(title=f"{scene}\n{metric}" if metric == PRIMARY[0] else f"\n{metric}", xlabel="", ylabel="")
        axes.tick_params(length=0)
    figure.suptitle(f"Differences to {METHODS[baseline][0]} in points by level. Blue gains, red loses, white: the 95 % interval holds 0", fontsize=7.5)
    return finish(figure)


@theme()
def fig_epsilon(frame: pd.DataFrame, method: str = "hfkd") -> Figure:
    """What noise on the released label counts costs: both endpoints over epsilon, as differences to true counts.

    Args:
        frame: rows of the method in its base configuration, which releases true counts, and with "epsilon=...".

    Raises:
        ValueError: no variant with epsilon, or seeds without a partner.

    >>> from hfkd.study.results import COLUMNS
    >>> rows = pd.DataFrame([dict.fromkeys(COLUMNS, 0) | {"partition": "dirichlet", "variant": v, "method": "hfkd",
    ...                      "personality": p} for v, p in (("", .5), ("epsilon=0.1", .4), ("epsilon=1.0", .5))])
    >>> fig_epsilon(rows).axes[0].lines[1].get_xydata().round(9).tolist()  # after the line at 0
    [[0.1, -10.0], [1.0, 0.0]]
    """
    variants = sorted(frame.loc[(frame["method"] == method) & frame["variant"].str.startswith("epsilon="), "variant"].unique())
    if not variants:
        raise ValueError(f"no rows of {method} with epsilon=...; `hfkd grid 70` makes them")
    table = by_seed(frame, [f"{method}[{variant}]" for variant in variants], method, PRIMARY)
    table["epsilon"] = table["run"].str.extract(r"epsilon=([^\]]+)")[0].astype(float)
    titles, ticks = list(table["scene"].unique()), sorted(table["epsilon"].unique())
    figure, (row,) = new(1, len(PRIMARY), 2.5)
    for axes, metric in zip(row, PRIMARY, strict=True):
        axes.axhspan(-MARGIN, MARGIN, color="#ececec", linewidth=0, zorder=0)
        axes.axhline(0, color=INK, linewidth=.6, zorder=1)
        for title, hue, mark in zip(titles, SCENES, MARKS, strict=False):
            sns.lineplot(table[(table["scene"] == title) & (table["metric"] == metric)], x="epsilon", y="points", ax=axes,
                         errorbar=limits, color=hue, marker=mark, markeredgewidth=0)
        axes.set(xscale="log", title=metric, xlabel="epsilon of the released label counts, less is more private",
                 ylabel="difference to true counts (points)")
        axes.set_xticks(ticks, [f"{epsilon:g}" for epsilon in ticks])
    legend(figure, zip(titles, SCENES, MARKS), len(titles), f"{over_seeds(frame, 'Bands')}. Grey: within ±{MARGIN:g} points")
    return finish(figure)


def _clear(sample: pd.Series) -> bool:
    """Whether the 95 % interval leaves out 0; never for one seed.

    >>> _clear([1, 2, 1.5]), _clear([1])
    (True, False)
    """
    _, low, high, _ = interval(sample)
    return bool(low > 0 or high < 0)


def _short(value: float) -> str:
    """A difference in at most four characters.

    >>> _short(-12.3), _short(0.25), _short(-0.01)
    ('−12', '+0.2', '0.0')
    """
    text = f"{value:+.1f}" if abs(value) < 9.95 else f"{value:+.0f}"
    return "0.0" if text in ("+0.0", "-0.0") else text.replace("-", "−")
