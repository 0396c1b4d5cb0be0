"""Curves over the measured rounds: the methods' accuracy, and what members of a group earn (RQ3; ours)."""

import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from hfkd.plots.frontier import named
from hfkd.plots.rows import better, limits, method_of, over_seeds, scenes
from hfkd.plots.style import FAMILIES, INK, MARKS, METHODS, PALE, SCENES, family, finish, legend, new, theme
from hfkd.study.results import PRIMARY

KINDS = {"teacher": "teachers", "feedback": "students' feedback", "peer": "peers", "self": "own answers"}
EARNED = {"revenue": "revenue of a member", "weight": "weight of a member"}


@theme()
def fig_rounds(frame: pd.DataFrame, baseline: str = "local") -> Figure:
    """Both endpoints over the measured rounds, a row of panels each: means over clients and seeds, in points.

    In colour with a 95 % band: the baseline and whoever `frontier.named` picks; all others are pale lines.

    Args:
        frame: summary rows of one grid; variants that are more than a loss or a readout are left out.

    Raises:
        ValueError: no rows, or an unknown method.

    >>> from hfkd.study.results import COLUMNS
    >>> rows = pd.DataFrame([dict.fromkeys(COLUMNS, 0) | {"partition": "dirichlet", "variant": "", "method": "local",
    ...                      "round": k, "consistency": k / 10} for k in (2, 4)])
    >>> fig_rounds(rows).axes[1].lines[0].get_xydata().tolist()
    [[2.0, 20.0], [4.0, 40.0]]
    """
    rows, runs = better(frame)
    shown = [run for run in runs if run == baseline or run in named(rows, runs)]
    rows = rows.assign(run=rows["method"] + rows["variant"].map(lambda variant: f"[{variant}]" if variant else ""))
    rows = rows.assign(**{metric: 100 * rows[metric] for metric in PRIMARY})
    parts = list(scenes(rows))
    figure, grid = new(len(PRIMARY), len(parts), 4, sharex=True)
    for (title, _, part), column in zip(parts, grid.T, strict=True):
        column[0].set_title(title)
        for axes, metric in zip(column, PRIMARY, strict=True):
            for run in set(runs) - {*shown}:
                sns.lineplot(part[part["run"] == run], x="round", y=metric, errorbar=None, color=PALE, linewidth=.7, ax=axes)
            for run in shown:
                _, hue, mark = FAMILIES[family(method_of(run))]
                sns.lineplot(part[part["run"] == run], x="round", y=metric, errorbar=limits, color=hue, marker=mark,
                             markersize=8 if mark == "*" else 4.5, markeredgewidth=0, ax=axes)
            axes.set(ylabel=f"{metric} (points)", xticks=sorted(part["round"].unique()))
    entries = [(METHODS[method_of(run)][0], *FAMILIES[family(method_of(run))][1:]) for run in shown]
    legend(figure, entries, 6, f"{over_seeds(rows, 'Bands')}. Pale: all other methods")
    return finish(figure)


@theme()
def fig_ledger(ledger: pd.DataFrame) -> Figure:
    """What members of a group earn and what say they have, over the measured rounds: a line per kind of member.

    Means over all members of a kind, then over seeds with a 95 % band. The weights of all that a client hears sum to 1.

    Args:
        ledger: columns seed, round, kind, revenue, weight; skew where there are several; of one method and variant.

    Raises:
        ValueError: no rows, or a kind of member that is not in KINDS.

    >>> book = pd.DataFrame([{"seed": 0, "round": r, "kind": "peer", "weight": .25, "revenue": v}
    ...                      for r, v in ((5, .25), (5, .75), (10, 1))])
    >>> fig_ledger(book).axes[0].lines[1].get_xydata().tolist()  # after the line at 0
    [[5.0, 0.5], [10.0, 1.0]]
    """
    if ledger.empty or not {*ledger["kind"]} <= {*KINDS}:
        raise ValueError(f"the ledger has the kinds {sorted({*ledger['kind']})}; expected some of {', '.join(KINDS)}")
    skews = ledger["skew"] if "skew" in ledger else pd.Series("", ledger.index)
    rows = ledger.assign(skew=skews).groupby(["skew", "kind", "round", "seed"])[list(EARNED)].mean().reset_index()
    kinds = {kind: look for kind, look in zip(KINDS, zip(SCENES, MARKS, strict=True), strict=False) if kind in {*rows["kind"]}}
    figure, grid = new(len(EARNED), rows["skew"].nunique(), 3.6, sharex=True, sharey="row")
    for (skew, part), column in zip(rows.groupby("skew"), grid.T, strict=True):
        column[0].set_title(f"Dirichlet {skew:g}" if skew else "")
        for axes, (name, words) in zip(column, EARNED.items(), strict=True):
            axes.axhline(0, color=INK, linewidth=.6, zorder=1)
            for kind, (hue, mark) in kinds.items():
                if name == "weight" or kind != "self":
                    sns.lineplot(part[part["kind"] == kind], x="round", y=name, errorbar=limits, color=hue, marker=mark,
                                 markeredgewidth=0, ax=axes)
            axes.set(ylabel=words, xticks=sorted(part["round"].unique()))
    legend(figure, [(KINDS[kind], *look) for kind, look in kinds.items()], 4, over_seeds(rows, "Bands"))
    return finish(figure)
