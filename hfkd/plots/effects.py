"""What a part is worth: differences at the last round by variant, over epsilon, and by level, paired by seed (ours)."""

import itertools
from collections.abc import Mapping, Sequence

import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from hfkd.plots.rows import better, by_seed, limits, over_seeds
from hfkd.plots.style import INK, LOOKS, PALE, finish, look, new, theme
from hfkd.study.results import PRIMARY

MARGIN = .5  # points: the difference that does not matter (METHOD section 9)
LEVELS = {"_1": "small", "_2": "medium", "_3": "large"}


@theme()
def fig_effects(frame: pd.DataFrame, baseline: str, groups: Mapping[str, Mapping[str, str]],
                metrics: Sequence[str] = PRIMARY) -> Figure:
    """What each variant changes: a row each, a panel per metric, a point per scene with its 95 % interval.

    Args:
        baseline: a method, whose base configuration is 0.
        groups: heading -> words of the row -> variant of the method, as in `plots.GROUPS`.
        metrics: shares of the rows, such as personality_honest.
    Raises: ValueError, if there is no variant, or one without rows in some scene.
    """
    order = {}  # run -> words, from top to bottom; a heading is a row without a run
    for heading, part in groups.items():
        order |= {heading: heading} | {f"{baseline}[{variant}]": words for words, variant in part.items()}
    if not (runs := [run for run in order if run not in groups]):
        raise ValueError(f"groups {dict(groups)} have no variant of {baseline}; expected heading -> words -> variant")
    table = by_seed(frame, runs, baseline, metrics)
    looks = dict(zip(table["scene"].unique(), LOOKS, strict=False))
    figure, (row,) = new(1, len(metrics), .95 + .185 * len(order), sharey=True)
    for axes, metric in zip(row, metrics, strict=True):
        axes.axvspan(-MARGIN, MARGIN, color=PALE, alpha=.35, linewidth=0, zorder=0)
        axes.axvline(0, color=INK, linewidth=.6, zorder=1)
        sns.pointplot(table[table["metric"] == metric], x="points", y="run", hue="scene", order=list(order), ax=axes,
                      palette=[hue for hue, _ in looks.values()], markers=[mark for _, mark in looks.values()],
                      dodge=.4 if len(looks) > 1 else False, linestyle="none", errorbar=limits, markersize=3.5,
                      linewidth=1.1, legend=False)
        axes.set(title=metric.replace("_honest", " of the honest"), ylabel="",
                 xlabel=f"difference to {look(baseline)[0]} (points)")
        axes.tick_params(axis="y", length=0)
    row[0].set_yticks(range(len(order)), order.values())
    for label, run in zip(row[0].get_yticklabels(), order, strict=True):
        label.set_fontweight("bold" if run in groups else "normal")
    note = f"{over_seeds(frame)} Grey: within ±{MARGIN:g} points"
    return finish(figure, [(title, *each) for title, each in looks.items()], 3, note)


def fig_epsilon(frame: pd.DataFrame, method: str = "hfkd") -> Figure:
    """What noise on the released label counts costs: `fig_effects` of all variants "epsilon=...", 0 are true counts."""
    found = frame.loc[(frame["method"] == method) & frame["variant"].str.startswith("epsilon="), "variant"].unique()
    rows = {f"epsilon {each[8:]}": each for each in sorted(found, key=lambda each: float(each[8:]))}
    return fig_effects(frame, method, {"released label counts": rows})


@theme()
def fig_levels(frame: pd.DataFrame, baseline: str = "local") -> Figure:
    """Who gains on which level, as a heat: differences to the baseline by method, level, scene and endpoint.

    Each method by the better of its losses on validation data. White: the 95 % interval holds 0, or there is one seed.
    Raises: ValueError, if there are no rows, no method but the baseline, or a level has no client.
    """
    rows, runs = better(frame)
    if not (runs := [run for run in runs if run != baseline]):
        raise ValueError(f"the rows hold {baseline} alone; expected other methods to compare with it")
    table = by_seed(rows, runs, baseline, [metric + level for metric in PRIMARY for level in LEVELS])
    found = table.groupby(["scene", "run", "metric"])["points"]
    means, clear = found.mean(), found.agg(lambda sample: limits(sample)[0] > 0 or limits(sample)[1] < 0) == 1
    panels = list(itertools.product(table["scene"].unique(), PRIMARY))
    figure, (row,) = new(1, len(panels), 1 + .15 * len(runs), sharey=True)
    for axes, (scene, metric) in zip(row, panels, strict=True):
        names, digits = [metric + level for level in LEVELS], int(metric == "personality")
        cells, sure = (each[scene].unstack().loc[runs, names].to_numpy() for each in (means, clear))
        top = means.unstack()[names].abs().stack().quantile(.95) or 1
        sns.heatmap(cells * sure, vmin=-top, vmax=top, cmap="RdBu", ax=axes, cbar=False, linewidths=.4,
                    annot=cells.round(digits) + 0.0, fmt=f"+.{digits}f", annot_kws={"size": 6.5},
                    xticklabels=LEVELS.values(), yticklabels=[look(run)[0] for run in runs])
        axes.set_title(f"{scene * (metric == PRIMARY[0])}\n{metric}")
        axes.tick_params(length=0)
    figure.suptitle(f"Differences to {look(baseline)[0]} in points. White: the 95 % interval holds 0", fontsize=7.5)
    return finish(figure)
