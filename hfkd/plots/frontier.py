"""Personality against consistency: all methods, what a byte buys, what a fixed weight trades (RQ2; ours)."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import EngFormatter, LogLocator, NullLocator

from hfkd.plots.rows import CHOICE, better, named, over_seeds, panels, rules
from hfkd.plots.style import FAMILIES, INK, LOOKS, finish, look, theme
from hfkd.study import compare
from hfkd.study.results import PRIMARY

LABELS = 12  # names in all panels together; more cannot be read at the width of a README
BESIDE = {"HFKD": (11, 2), "HeteroFL": (7, 4), "FedDF": (-6, 6), "Expertise mean": (6, -9), "FedAvg": (-6, 6),
          "InclusiveFL": (4, -13), "FedMD": (7, 1)}  # where a name stands from its point; left of it if negative
BYTES = {"HFKD": (-8, 3), "HeteroFL": (8, 6), "FedDF": (8, -6), "Expertise mean": (-7, -5)}
FAR = 3.0  # quartile distances beyond the middle half: what is farther stands at the edge, an arrow with its numbers


@theme()
def fig_frontier(frame: pd.DataFrame, baseline: str = "local") -> Figure:
    """Personality against consistency of all methods, both as differences to the baseline, by scene.

    A point is a method by the better of its losses and readouts on validation data, with its two 95 % intervals; colour
    and marker say what it has to share. Named are this work and the best of each family, at most LABELS in all panels.
    Raises: ValueError, if there are no rows, an unknown method, or seeds without a partner in the baseline.
    """
    return _methods(frame, baseline, "personality", "personality, difference to {} (points)", BESIDE)


@theme()
def fig_bytes(frame: pd.DataFrame, baseline: str = "local") -> Figure:
    """Consistency as in `fig_frontier`, against the bytes that a client sends and receives in a round, on a log scale.

    Methods that send nothing are left out. Raises: ValueError, if that are all, or what `fig_frontier` raises.
    """
    return _methods(frame, baseline, "bytes", "sent and received by a client in a round", BYTES)


@theme()
def fig_curve(frame: pd.DataFrame, baseline: str = "local", method: str = "hfkd") -> Figure:
    """Both endpoints as differences to the baseline: fixed alphas as a line, rules of weights as points, by scene.

    The frame has variants "weighting=fixed,alpha=..." and "weighting=RULE,..." of the method.
    Raises: ValueError, if there are no fixed weights of the method, or seeds without a partner in the baseline.
    """
    names = rules(frame, method)
    fixed = sorted((run for run in names if "=fixed" in run), key=lambda run: float(names[run]))
    if not fixed:
        raise ValueError(f"no rows of {method} with weighting=fixed,alpha=...; `hfkd grid 20` makes them")
    looks = dict(zip((run for run in names if run not in fixed), LOOKS, strict=False))
    figure, parts = panels(frame, 3.4)
    for (axes,), where, part in parts:
        table = _spread(part, list(names), baseline, where)
        table.loc[fixed, table.columns.str.contains("_")] = np.nan  # a line has no crosses
        axes.set(xlim=_view(table, "personality"), ylim=_view(table, "consistency"))
        sns.lineplot(table.loc[fixed], x="personality", y="consistency", sort=False, estimator=None, color=INK, ax=axes)
        for run, row in table.iterrows():
            _point(axes, row, "personality", *looks.get(run, (INK, ".")))
        axes.annotate(names[fixed[0]], table.loc[fixed[0], list(PRIMARY)], (5, -4), textcoords="offset points",
                      fontsize=6.5)
        axes.set(**{f"{side}label": f"{metric}, difference to {look(baseline)[0]} (points)"
                    for side, metric in zip("xy", PRIMARY)})
    note = f"{over_seeds(frame)} Black: fixed alpha, along the line {', '.join(names[run] for run in fixed)}"
    return finish(figure, [(names[run], *each) for run, each in looks.items()], 3, note)


def _methods(frame: pd.DataFrame, baseline: str, x: str, words: str, offsets: Mapping[str, tuple]) -> Figure:
    """Consistency against a column of `_spread` by scene, this work on top, the first names beside their points."""
    rows, runs = better(frame)
    figure, parts = panels(rows, 3.4, sharex=True, sharey=True)
    tables = [_spread(part, runs, baseline, where) for _, where, part in parts]
    tables = [table[table[x] > 0] for table in tables] if x == "bytes" else tables
    if (every := pd.concat(tables)).empty:
        raise ValueError(f"none of {', '.join(runs)} sends anything; a log scale of bytes cannot show it")
    wide = {"xscale": "log", "xlim": (every[x].min() / 2, every[x].max() * 20)} if x == "bytes" else {}
    figure.axes[0].set(**{"xlim": _view(every, x, 0, .28), "ylim": _view(every, "consistency", 0)} | wide,
                       ylabel=f"consistency, difference to {look(baseline)[0]} (points)")
    figure.supxlabel(words.format(look(baseline)[0]), fontsize=8)
    for axes, table in zip(figure.axes, tables, strict=True):
        axes.axhline(0, color=INK, linewidth=.6, zorder=1)
        if x == "bytes":
            axes.xaxis.set(major_locator=LogLocator(), minor_locator=NullLocator(), major_formatter=EngFormatter("B"))
        else:
            axes.axvline(0, color=INK, linewidth=.6, zorder=1)
            axes.locator_params(integer=True, nbins=6)
        for run, row in sorted(table.iterrows(), key=lambda each: look(each[0])[2] == "*"):
            _point(axes, row, x, *look(run)[1:])
        for run in [run for run in named(rows, runs) if run in table.index][:LABELS // len(parts)]:
            name, hue, mark = look(run)
            offset = offsets.get(name, (7, 4))
            axes.annotate(name, table.loc[run, [x, "consistency"]], offset, textcoords="offset points", fontsize=8,
                          ha="left" if offset[0] > 0 else "right", va="center", color=hue, zorder=5, in_layout=False,
                          weight="bold" if mark == "*" else None,
                          path_effects=[withStroke(linewidth=2, foreground="white")])
    entries = [entry for entry in FAMILIES.values() if entry[1] in {look(run)[1] for run in every.index}]
    return finish(figure, entries, 3, f"{CHOICE} {over_seeds(rows)} What it has to share:")


def _spread(rows: pd.DataFrame, runs: Sequence[str], baseline: str, where: dict) -> pd.DataFrame:
    """A row per run of one scene: each endpoint's difference X, its limits X_low and X_high, bytes of a round."""
    rows = compare.last(rows).assign(bytes=lambda last: (last["bytes_up"] + last["bytes_down"]) / last["round"])
    table = compare.gains(rows, runs, baseline, PRIMARY, **where).set_index(["run", "metric"])
    table = table[["difference", "low", "high"]].unstack().loc[list(runs)]
    table.columns = [f"{name}_{kind}".removesuffix("_difference") for kind, name in table]
    return table.assign(bytes=[compare.select(rows, run)["bytes"].mean() for run in runs])


def _view(table: pd.DataFrame, name: str, held: float = np.nan, right: float = .06) -> tuple[float, float]:
    """Limits of an axis for `held` and all that is not FAR with its intervals, and air where names stand."""
    low, high = table[name].quantile([.25, .75])
    reach = FAR * max(high - low, 1)
    kept = table[table[name].between(low - reach, high + reach)].filter(regex=f"^{name}(_low|_high)?$")
    ends = np.append(np.clip(kept.to_numpy(), low - reach, high + reach), held)  # few seeds have endless intervals
    low, high = float(np.nanmin(ends)), float(np.nanmax(ends))
    return low - .06 * (high - low or 1), high + right * (high - low or 1)


def _point(axes: Axes, row: pd.Series, x: str, hue: str, mark: str) -> None:
    """A point with its intervals, or, if it is out of view, an arrow at the edge with its numbers."""
    at, box = row[[x, "consistency"]].tolist(), axes.viewLim
    if box.contains(*at):
        for ends in (([row.get(f"{x}_low", at[0]), row.get(f"{x}_high", at[0])], [at[1]] * 2),
                     ([at[0]] * 2, row[["consistency_low", "consistency_high"]].tolist())):
            axes.plot(*ends, color=hue, alpha=.4, linewidth=.9)
        sns.scatterplot(x=at[:1], y=at[1:], color=hue, marker=mark, s=110 if mark == "*" else 34, linewidth=.5, ax=axes,
                        edgecolor="white", zorder=3)
    else:
        edge = np.clip(at, box.min, box.max)
        mark = "<" if at[0] < box.x0 else ">" if at[0] > box.x1 else "v" if at[1] < box.y0 else "^"
        axes.plot(*edge, mark, color=hue, clip_on=False, markersize=5, markeredgewidth=0)
        axes.annotate(f"({at[0]:.1f}, {at[1]:.1f})".replace("-", "−"), edge, (6, 2 if at[1] < box.y0 else -8),
                      textcoords="offset points", fontsize=6.5)
