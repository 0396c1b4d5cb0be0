"""Personality against consistency: all methods, and what a fixed weight trades (RQ2; ours)."""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from hfkd.plots.style import FAMILIES, INK, LOOKS, METHODS, finish, line, look, over_seeds, panels, theme
from hfkd.study import compare
from hfkd.study.results import PRIMARY

RULES = {"fixed": "{alpha}", "ramp": "ramp to {alpha} in {ramp_length} rounds", "loss_ratio": "loss ratio",
         "controller": "own validation loss", "gradient": "gradient cosine"}  # others by their own names
AXIS = "{}, difference to {} (points)"
FAR = 3.0  # quartile distances beyond the middle half: what is farther stands at the edge, an arrow with its numbers


@theme()
def fig_frontier(frame: pd.DataFrame, baseline: str = "local") -> Figure:
    """Personality against consistency of all methods as differences to the baseline, with 95 % intervals, by scene.
    A point is a method as validation chose it; named are this work, public labels, and the best of three families.
    """
    rows, runs = as_chosen(frame)
    figure, parts = panels(rows, 3.8, sharex=True, sharey=True)
    tables, base = [_spread(part, runs, baseline, where) for _, where, part in parts], look(baseline)[0]
    every = pd.concat(tables)
    figure.axes[0].set(xlim=_view(every, "personality", 0, .7), ylim=_view(every, "consistency", 0),
                       ylabel=AXIS.format("consistency", base))
    figure.supxlabel(AXIS.format("personality", base), fontsize=8)
    for axes, table in zip(figure.axes, tables, strict=True):
        axes.axhline(0, color=INK, linewidth=.6, zorder=1)
        axes.axvline(0, color=INK, linewidth=.6, zorder=1)
        axes.locator_params(integer=True, nbins=6)
        for run, row in sorted(table.iterrows(), key=lambda each: look(each[0])[2] == "*"):
            _point(axes, row, *look(run)[1:])
        _write(axes, table.loc[named(rows, runs)].sort_values("consistency"))
    entries = [entry for entry in FAMILIES.values() if entry[1] in {look(run)[1] for run in every.index}]
    return finish(figure, entries, 3, f"{over_seeds(rows)} What a method has to share:")


@theme()
def fig_curve(frame: pd.DataFrame, baseline: str = "local", method: str = "hfkd") -> Figure:
    """Both endpoints as differences to the baseline: fixed alphas as a line, rules of weights as points, by scene."""
    fixed, rules = _rules(frame, method)
    if not fixed:
        raise ValueError(f"no rows of {method} with weighting=fixed,alpha=...; `hfkd grid 20` makes them")
    (first, *_), looks, base = fixed, dict(zip(rules, LOOKS)), look(baseline)[0]
    figure, parts = panels(frame, 3.4)
    for axes, where, part in parts:
        table = _spread(part, [*rules, *fixed], baseline, where)
        table.loc[list(fixed), table.columns.str.contains("_")] = np.nan  # a line has no crosses
        axes.set(xlim=_view(table, "personality"), ylim=_view(table, "consistency"),
                 xlabel=AXIS.format("personality", base), ylabel=AXIS.format("consistency", base))
        axes.plot(table.loc[list(fixed), "personality"], table.loc[list(fixed), "consistency"], color=INK)
        for run, row in table.iterrows():
            _point(axes, row, *looks.get(run, (INK, ".")))
        axes.annotate(fixed[first], table.loc[first, PRIMARY], (5, -4), textcoords="offset points", fontsize=6.5)
    note = f"{over_seeds(frame)} Black: fixed alpha, along the line {', '.join(fixed.values())}"
    return finish(figure, [(rules[run], *each) for run, each in looks.items()], 3, note)


@theme()
def fig_alpha(frame: pd.DataFrame, method: str = "hfkd") -> Figure:
    """The weight of soft knowledge, mean over clients: a line per rule of weights (not the fixed ones), by scene."""
    if not (rules := _rules(frame, method)[1]):
        raise ValueError(f"no rows of {method} with a rule, weighting=...; `hfkd grid 20` makes them")
    figure, parts = panels(frame, 2.7, sharey=True)
    for axes, where, part in parts:
        for run, each in zip(rules, LOOKS):
            line(axes, compare.select(part, run, **where), "alpha", *each)
        axes.set_ylabel("alpha, mean over clients")
    figure.axes[0].set_ylim(0)
    return finish(figure, [(words, *each) for words, each in zip(rules.values(), LOOKS)], 3, over_seeds(frame, "Bands"))


def as_chosen(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The rows of all methods as validation chose them, without variants, and their names in the order of figures."""
    rows = frame[frame["variant"] == ""]
    for run in compare.runs(rows):
        look(run)  # or it has no place
    return rows, [name for name in METHODS if (rows["method"] == name).any()]


def named(frame: pd.DataFrame, runs: list[str]) -> list[str]:
    """Whose names matter most: this work, public labels, then the best of three families, on validation data."""
    last = compare.last(frame).groupby("method")[["val_personality", "val_consistency"]].mean().sum(axis=1)
    best = {METHODS[run][1]: run for run in sorted(runs, key=last.get)}  # the last of a family
    ours = [run for run in runs if run in ("hfkd", "hfkd_nested", "labelled_public")]
    return ours + [best[key] for key in ("nested", "within", "answers") if key in best]


def _write(axes, table: pd.DataFrame) -> None:
    """Names of points, lowest first, one above the other to the right of all, with a line to each point."""
    wanted, (low, high) = table["consistency"].to_numpy(), axes.get_ylim()
    steps = .07 * (high - low) * np.arange(len(wanted))
    heights = np.maximum.accumulate(wanted - steps) + steps  # as wanted, but no nearer than a step to the one below
    heights -= max(0, heights[-1] - high + .04 * (high - low))
    for (run, row), height in zip(table.iterrows(), heights, strict=True):
        name, hue, mark = look(run)
        leader = {"arrowstyle": "-", "color": hue, "linewidth": .5, "relpos": (0, .5), "shrinkA": 1, "shrinkB": 3}
        axes.annotate(name, row[PRIMARY], (.59, height), textcoords=("axes fraction", "data"), fontsize=8, va="center",
                      color=hue, zorder=5, in_layout=False, weight="bold" if mark == "*" else None, arrowprops=leader)


def _rules(frame: pd.DataFrame, method: str) -> tuple[dict, dict]:
    """Run -> its fixed alpha, smallest first, and run -> its rule in words, the method as it is last."""
    fixed, rules = {}, {}
    for variant in frame.loc[frame["method"] == method, "variant"].unique():
        parts = dict(part.split("=") for part in variant.split(",") if part)
        if rule := parts.get("weighting"):
            found = fixed if rule == "fixed" else rules
            found[f"{method}[{variant}]"] = RULES.get(rule, rule).format(**parts)
    if rules and frame.loc[frame["method"] == method, "variant"].eq("").any():
        rules[method] = f"{look(method)[0]} as it is"
    return dict(sorted(fixed.items(), key=lambda each: float(each[1]))), rules


def _spread(rows: pd.DataFrame, runs: list[str], baseline: str, where: dict) -> pd.DataFrame:
    """A row per run of one scene: X, X_low and X_high of both endpoints' differences."""
    table = compare.gains(rows, runs, baseline, PRIMARY, **where).set_index(["run", "metric"])
    table = table[["difference", "low", "high"]].unstack().loc[runs]
    table.columns = [f"{name}_{kind}".removesuffix("_difference") for kind, name in table]
    return table


def _view(table: pd.DataFrame, name: str, held: float = np.nan, right: float = .06) -> tuple[float, float]:
    """Limits of an axis for `held` and all that is not FAR with its intervals, and air where names stand."""
    low, high = table[name].quantile([.25, .75])
    low, high = low - FAR * max(high - low, 1), high + FAR * max(high - low, 1)
    kept = table[table[name].between(low, high)].filter(regex=f"^{name}(_low|_high)?$")
    ends = np.append(kept.clip(low, high), held)  # few seeds have endless intervals
    low, high = np.nanmin(ends), np.nanmax(ends)
    return low - .06 * (high - low or 1), high + right * (high - low or 1)


def _point(axes, row: pd.Series, hue: str, mark: str) -> None:
    """A point with its intervals, or, if it is out of view, an arrow at the edge with its numbers."""
    at, box = row[PRIMARY].tolist(), axes.viewLim
    if box.contains(*at):
        axes.plot(row[["personality_low", "personality_high"]], [at[1]] * 2, color=hue, alpha=.4, linewidth=.9)
        axes.plot([at[0]] * 2, row[["consistency_low", "consistency_high"]], color=hue, alpha=.4, linewidth=.9)
        sns.scatterplot(x=at[:1], y=at[1:], color=hue, marker=mark, s=110 if mark == "*" else 34, linewidth=.5, ax=axes,
                        edgecolor="white", zorder=3)
    else:
        edge = np.clip(at, box.min, box.max)
        mark = "<" if at[0] < box.x0 else ">" if at[0] > box.x1 else "v" if at[1] < box.y0 else "^"
        axes.plot(*edge, mark, color=hue, clip_on=False, markersize=5, markeredgewidth=0)
        axes.annotate(f"({at[0]:.1f}, {at[1]:.1f})".replace("-", "−"), edge, (6, 2 if at[1] < box.y0 else -8),
                      textcoords="offset points", fontsize=6.5)
