"""RQ2: what a fixed weight of soft knowledge gives, where the rules land, and what weights they give (ours)."""

import re

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hfkd.plots.frontier import cross, spread, view
from hfkd.plots.rows import limits, over_seeds, scenes
from hfkd.plots.style import INK, METHODS, SCENES, arrow, finish, legend, new, theme
from hfkd.study.results import PRIMARY

LOOKS = (*zip(SCENES, "sD^vP", strict=True), ("#56B4E9", "X"), ("#8C564B", "<"))  # a colour and a marker for each rule
RULES = {"ramp": "ramp to {alpha} in {ramp_length} rounds", "loss_ratio": "loss ratio", "gradient": "gradient cosine",
         "controller": "own validation loss", "revenue": "own validation loss", "uncertainty": "uncertainty"}


@theme()
def fig_curve(frame: pd.DataFrame, baseline: str = "local", method: str = "hfkd") -> Figure:
    """Both endpoints over the fixed alphas, joined, and beside them each rule of weights: differences to the baseline.

    Last round, paired by seed, bars are 95 % intervals. A value far from all others stands at the edge with its number.

    Args:
        frame: rows with variants "weighting=fixed,alpha=..." and "weighting=RULE,..." of the method.

    Raises:
        ValueError: no fixed weights of the method, or seeds without a partner in the baseline.

    >>> from hfkd.study.results import COLUMNS
    >>> rows = pd.DataFrame([dict.fromkeys(COLUMNS, 0) | {"partition": "dirichlet", "variant": v, "method": m,
    ...                      "personality": p} for m, v, p in (("local", "", .5), ("hfkd", "weighting=fixed,alpha=0.1",
    ...                      .6), ("hfkd", "weighting=fixed,alpha=0.05", .4))])
    >>> fig_curve(rows).axes[0].lines[1].get_ydata().round(9).tolist()  # alpha .05, alpha .1
    [-10.0, 10.0]
    """
    names = _names(frame, method)
    fixed = sorted((run for run in names if "=fixed" in run), key=lambda run: float(names[run]))
    if not fixed:
        raise ValueError(f"no rows of {method} with weighting=fixed,alpha=...; `hfkd grid 20` makes them")
    rules = {run: look for run, look in zip((run for run in names if run not in fixed), LOOKS, strict=False)}
    table = spread(frame, [*fixed, *rules], baseline, PRIMARY)
    titles = list(table["scene"].unique())
    figure, (row,) = new(1, len(titles), 3.4)
    for axes, title in zip(row, titles, strict=True):
        part = table[table["scene"] == title].set_index("run")
        axes.set(xlim=view(part, "personality", zero=False), ylim=view(part, "consistency", zero=False), title=title)
        _curve(axes, part.loc[fixed], names)
        for run, (hue, mark) in rules.items():
            cross(axes, part.loc[run], *PRIMARY, hue)
            sns.scatterplot(part.loc[[run]], x="personality", y="consistency", color=hue, marker=mark, s=36, ax=axes,
                            zorder=4)
        axes.set(xlabel=f"personality, difference to {METHODS[baseline][0]} (points)",
                 ylabel=f"consistency, difference to {METHODS[baseline][0]} (points)")
    alphas = " ".join(f"{float(names[run]):g}" for run in fixed)
    entries = [(f"fixed alpha, along the line\n{alphas}", INK, "o"), *((names[run], *look) for run, look in rules.items())]
    legend(figure, entries, 4, over_seeds(frame))
    return finish(figure)


def _curve(axes: Axes, part: pd.DataFrame, names: dict) -> None:
    """The fixed weights as a line, the first and the last in view with their numbers."""
    sns.lineplot(part, x="personality", y="consistency", sort=False, estimator=None, color=INK, marker="o", ax=axes,
                 markeredgewidth=0, linewidth=1, markersize=4)
    (left, _), (low, _) = axes.get_xlim(), axes.get_ylim()
    seen = part[(part["personality"] >= left) & (part["consistency"] >= low)]
    for run in seen.index[[0, -1]]:
        axes.annotate(names[run], part.loc[run, list(PRIMARY)], (0, -8), textcoords="offset points", fontsize=6.5,
                      ha="center", va="center", color=INK)
    for run, (x, y) in part.drop(seen.index)[list(PRIMARY)].iterrows():
        arrow(axes, x, y, INK, f"{names[run]} at ({x:.0f}, {y:.0f})")


@theme()
def fig_alpha(frame: pd.DataFrame, method: str = "hfkd") -> Figure:
    """The weight of soft knowledge over the measured rounds, a line per rule: mean over clients, with 95 % over seeds.

    Args:
        frame: rows as for `fig_curve`; fixed weights are left out.

    Raises:
        ValueError: no rule.

    >>> from hfkd.study.results import COLUMNS
    >>> rows = pd.DataFrame([dict.fromkeys(COLUMNS, 0) | {"partition": "dirichlet", "variant": "weighting=gradient",
    ...                      "method": "hfkd", "round": r, "alpha": a} for r, a in ((5, .2), (10, .1))])
    >>> fig_alpha(rows).axes[0].lines[0].get_xydata().round(9).tolist()
    [[5.0, 0.2], [10.0, 0.1]]
    """
    names = {run: name for run, name in _names(frame, method).items() if "=fixed" not in run}
    if not names:
        raise ValueError(f"no rows of {method} with a rule, weighting=...; `hfkd grid 20` makes them")
    rows = frame.assign(run=frame["method"] + "[" + frame["variant"] + "]")
    rows = rows[rows["run"].isin(list(names))]
    rows = rows.assign(rule=rows["run"].map(names))
    parts = list(scenes(rows))
    looks = dict(zip(names.values(), LOOKS, strict=False))
    figure, (row,) = new(1, len(parts), 2.7, sharey=True)
    for axes, (title, _, part) in zip(row, parts, strict=True):
        for name, (hue, mark) in looks.items():
            sns.lineplot(part[part["rule"] == name], x="round", y="alpha", errorbar=limits, color=hue, marker=mark,
                         markeredgewidth=0, ax=axes)
        axes.set(title=title, xticks=sorted(part["round"].unique()), ylabel="alpha, mean over clients")
    row[0].set_ylim(0)
    legend(figure, [(name, *look) for name, look in looks.items()], 3, over_seeds(rows, "Bands"))
    return finish(figure)


def _names(frame: pd.DataFrame, method: str) -> dict[str, str]:
    """Run -> its fixed alpha, or its rule in words, for all runs of the method with a weighting."""
    found = {}
    for variant in frame.loc[frame["method"] == method, "variant"].unique():
        if re.match(r"weighting=", variant):
            parts = dict(part.split("=") for part in variant.split(","))
            words = "{alpha}" if parts["weighting"] == "fixed" else RULES.get(parts["weighting"], parts["weighting"])
            found[f"{method}[{variant}]"] = words.format(**parts)
    return found
