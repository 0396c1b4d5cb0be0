"""Rounds: accuracy, weights of soft knowledge (RQ2) and earnings of members (RQ3) over them, seconds of one (ours)."""

from collections.abc import Mapping, Sequence

import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from hfkd.plots.rows import CHOICE, better, line, named, over_seeds, panels, rules
from hfkd.plots.style import INK, LOOKS, PALE, finish, look, new, theme
from hfkd.study.compare import select
from hfkd.study.results import PRIMARY

KINDS = {"teacher": "teachers", "feedback": "students' feedback", "peer": "peers", "self": "own answers"}
SECONDS = {"floor": ("arithmetic floor", INK, "|"), "seconds": ("one program for all clients", *LOOKS[0]),
           "sequential": ("one client after the other", *LOOKS[1])}


@theme()
def fig_rounds(frame: pd.DataFrame, baseline: str = "local") -> Figure:
    """Both endpoints in points, by scene. In colour: the baseline, and whom `fig_frontier` names; all others are pale.
    Raises: ValueError, if there are no rows, or an unknown method.
    """
    rows, runs = better(frame)
    shown = [run for run in runs if run in (baseline, *named(rows, runs))]
    figure, parts = panels(rows.assign(**{metric: 100 * rows[metric] for metric in PRIMARY}), 4, 2, sharex=True)
    for column, where, part in parts:
        for axes, metric in zip(column, PRIMARY, strict=True):
            for run in (run for run in runs if run not in shown):
                axes.plot(select(part, run, **where).groupby("round")[metric].mean(), color=PALE, linewidth=.7)
            for run in shown:
                line(axes, select(part, run, **where), metric, *look(run)[1:])
            axes.set_ylabel(f"{metric} (points)")
    return finish(figure, map(look, shown), 6, f"{CHOICE} {over_seeds(rows, 'Bands')} Pale: all others")


@theme()
def fig_alpha(frame: pd.DataFrame, method: str = "hfkd") -> Figure:
    """The weight of soft knowledge, mean over clients: a line per rule of weights (not the fixed ones), by scene.
    Raises: ValueError, if the method has no variant "weighting=RULE,...".
    """
    names = {run: words for run, words in rules(frame, method).items() if "=fixed" not in run}
    if not names:
        raise ValueError(f"no rows of {method} with a rule, weighting=...; `hfkd grid 20` makes them")
    figure, parts = panels(frame, 2.7, sharey=True)
    for (axes,), where, part in parts:
        for run, each in zip(names, LOOKS, strict=False):
            line(axes, select(part, run, **where), "alpha", *each)
        axes.set_ylabel("alpha, mean over clients")
    figure.axes[0].set_ylim(0)
    return finish(figure, [(words, *each) for words, each in zip(names.values(), LOOKS)], 3, over_seeds(frame, "Bands"))


@theme()
def fig_ledger(ledger: pd.DataFrame) -> Figure:
    """What members of a group earn and what say they have (all weights that a client hears sum to 1): a line per kind.

    The ledger has columns seed, round, kind, revenue, weight of one run; skew where there are several.
    Raises: ValueError, if there are no rows, or a kind that is not in KINDS.
    """
    if ledger.empty or not {*ledger["kind"]} <= {*KINDS}:
        raise ValueError(f"the ledger has the kinds {sorted({*ledger['kind']})}; expected some of {', '.join(KINDS)}")
    rows = ledger.assign(skew=ledger.get("skew", 0)).groupby(["skew", "kind", "round", "seed"]).mean(numeric_only=True)
    looks = {kind: each for kind, each in zip(KINDS, LOOKS, strict=False) if kind in {*ledger["kind"]}}
    figure, grid = new(2, len(rows.index.unique("skew")), 3.6, sharex=True, sharey="row")
    for skew, column in zip(rows.index.unique("skew"), grid.T, strict=True):
        column[0].set_title(f"Dirichlet {skew:g}" if skew else "")
        for axes, name in zip(column, ("revenue", "weight"), strict=True):
            axes.axhline(0, color=INK, linewidth=.6, zorder=1)
            for kind, each in looks.items():
                if name == "weight" or kind != "self":  # nobody earns from itself
                    line(axes, rows.loc[skew, kind].reset_index(), name, *each)
            axes.set_ylabel(f"{name} of a member")
    return finish(figure, [(KINDS[kind], *each) for kind, each in looks.items()], 4, over_seeds(ledger, "Bands"))


@theme()
def fig_floor(rounds: Sequence[Mapping]) -> Figure:
    """Seconds of each round on a log scale, from records of `hfkd bench --json`: what, seconds, floor, sequential.

    At the right: seconds over the floor. Raises: ValueError, if no record has a floor.

    >>> figure = fig_floor([{"what": "a round", "seconds": 6.0, "sequential": None, "floor": 2.0}])
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['3.0 x floor']
    """
    rows = pd.DataFrame(rounds, columns=["what", *SECONDS]).astype(dict.fromkeys(SECONDS, float)).dropna(subset="floor")
    if rows.empty:
        raise ValueError("no record has a floor; `hfkd bench --json FILE` measures them")
    figure, ((axes,),) = new(1, 1, .8 + .17 * len(rows))
    axes.hlines(rows["what"], rows["floor"], rows[list(SECONDS)].max(axis=1), color=PALE, linewidth=1, zorder=1)
    for name, (_, hue, mark) in SECONDS.items():
        sns.stripplot(rows, x=name, y="what", color=hue, marker=mark, jitter=False, size=9 if mark == "|" else 5.5,
                      linewidth=1.4 * (mark == "|"), ax=axes, zorder=3)
    for y, ratio in enumerate(rows["seconds"] / rows["floor"]):
        axes.annotate(f"{ratio:.1f} x floor", (1.01, y), xycoords=("axes fraction", "data"), va="center")
    axes.set(xscale="log", xlabel="seconds of a round", ylabel="")
    axes.xaxis.set_major_formatter(EngFormatter("s"))
    return finish(figure, SECONDS.values())
