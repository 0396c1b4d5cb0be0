"""What a part is worth: differences by variant, epsilon and level; what a budget buys; earnings and seconds (ours)."""

import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, FixedLocator, NullLocator

from hfkd.plots.frontier import as_chosen
from hfkd.plots.style import BAND, INK, LEVELS, LOOKS, METHODS, PALE, finish, line, look, new, over_seeds, scenes, theme
from hfkd.study import compare, results
from hfkd.study.results import PRIMARY

MARGIN = .5  # points: the difference that does not matter
KINDS = {"teacher": "teachers", "feedback": "students' feedback", "peer": "peers", "self": "own answers"}
SECONDS = {"floor": ("arithmetic floor", INK, "|"), "seconds": ("one program for all clients", *LOOKS[0]),
           "sequential": ("one client after the other", *LOOKS[1])}


@theme()
def fig_effects(frame: pd.DataFrame, method: str, groups: dict[str, dict], metrics=PRIMARY, to: str = "") -> Figure:
    """What each variant changes: a row each, a panel per metric, a point per scene with its 95 % interval.
    groups: heading -> words of the row -> variant of the method, whose base configuration is 0, or a pair (variant, the
    variant that is 0), as in `plots.GROUPS`; to: words for what is 0, else the method's name.
    """
    order, zero = {}, {}  # run -> words, from top to bottom; a heading is a row without a run
    for heading, part in groups.items():
        order[heading] = heading
        for words, variant in part.items():
            own, other = (variant, "") if isinstance(variant, str) else variant
            order[run := f"{method}[{own}]"] = words
            zero[run] = f"{method}[{other}]" if other else method
    if not zero:
        raise ValueError(f"groups {dict(groups)} have no variant of {method}; expected heading -> words -> variant")
    figure, (row,) = new(1, len(metrics), .95 + .185 * len(order), sharey=True)
    for axes, metric in zip(row, metrics, strict=True):
        tables = []
        for title, where, rows in scenes(frame):
            found = compare.by_seed(rows, [*zero, *zero.values()], metric, **where)
            gain = pd.DataFrame({run: (found[run] - found[other]).round(9) for run, other in zero.items()})
            tables.append(gain.melt(var_name="run", value_name="points").assign(scene=title))
        looks = dict(zip((each["scene"][0] for each in tables), LOOKS))
        axes.axvspan(-MARGIN, MARGIN, color=PALE, alpha=.35, linewidth=0, zorder=0)
        axes.axvline(0, color=INK, linewidth=.6, zorder=1)
        sns.pointplot(pd.concat(tables), x="points", y="run", hue="scene", order=list(order), ax=axes,
                      palette=[hue for hue, _ in looks.values()], markers=[mark for _, mark in looks.values()],
                      dodge=.4 if len(looks) > 1 else False, linestyle="none", errorbar=BAND, markersize=3.5,
                      linewidth=1.1, legend=False)
        axes.set(title=metric.replace("_", " of the ").replace("the students", "students"), ylabel="",
                 xlabel=f"difference to {to or look(method)[0]} (points)")
        axes.tick_params(axis="y", length=0)
    row[0].set_yticks(range(len(order)), order.values())
    for label, run in zip(row[0].get_yticklabels(), order, strict=True):
        label.set_fontweight("bold" if run in groups else "normal")
    note = f"{over_seeds(frame)} Grey: within ±{MARGIN:g} points"
    return finish(figure, [(title, *each) for title, each in looks.items()], 3, note)


@theme()
def fig_levels(frame: pd.DataFrame, baseline: str = "local") -> Figure:
    """Who gains on which level: differences to the baseline as a heat, white where the 95 % interval holds 0."""
    rows, runs = as_chosen(frame)
    if not (runs := [run for run in runs if run != baseline]):
        raise ValueError(f"the rows hold {baseline} alone; expected other methods to compare with it")
    tables = {name: compare.gains(part, runs, baseline, results.LEVELS, **where) for name, where, part in scenes(rows)}
    table = pd.concat(tables).assign(shown=lambda t: t["difference"].where((t["low"] > 0) | (t["high"] < 0), 0))
    figure, (row,) = new(1, len(tables) * len(PRIMARY), 1 + .15 * len(runs), sharey=True)
    for axes, (scene, metric) in zip(row, [(scene, metric) for scene in tables for metric in PRIMARY], strict=True):
        found, digits = table[table["metric"].str.startswith(metric)], int(metric == "personality")
        top = found["difference"].abs().quantile(.95) or 1
        cells = found.loc[scene].pivot(index="run", columns="metric", values=["difference", "shown"]).loc[runs]
        sns.heatmap(cells["shown"].to_numpy(), vmin=-top, vmax=top, cmap="RdBu", ax=axes, cbar=False, linewidths=.4,
                    annot=cells["difference"].round(digits) + 0.0, fmt=f"+.{digits}f", annot_kws={"size": 6.5},
                    xticklabels=LEVELS, yticklabels=[look(run)[0] for run in runs])
        axes.set_title(f"{scene * (metric == PRIMARY[0])}\n{metric}")
        axes.tick_params(length=0)
    figure.suptitle(f"Differences to {look(baseline)[0]} in points. White: the 95 % interval holds 0", fontsize=7.5)
    return finish(figure)


@theme()
def fig_budget(frame: pd.DataFrame, images: int) -> Figure:
    """Both endpoints in points, round by round, over what a client has spent: batches that it has trained on, and bytes
    sent and received, on a log scale. A curve per method, by scene; images: bytes of the public images, that each
    client that needs them has received once.
    """
    rows = frame[frame["variant"] == ""]
    runs, found = sorted(compare.runs(rows), key=list(METHODS).index), list(scenes(rows))
    colours = [sns.color_palette("colorblind")[k] for k in (7, 8, 3, 1, 0, 2, 9, 4, 6, 5)]  # HFKD as in all figures
    looks = dict(zip(runs, zip(colours, "XP*osv^Dd<", strict=True), strict=False))
    figure, grid = new(2, 2 * len(found), 4.4)
    ticks = [each * 10**power for power in range(3, 10) for each in (1, 2, 5)]
    for k, column in enumerate(grid.T):
        (title, where, part), spent = found[k // 2], ("batches", "bytes")[k % 2]
        for run in runs:
            own = compare.select(part, run, **where).groupby("round").mean(numeric_only=True)
            once = images * (METHODS[run][1] == "answers" or run == "hfkd")
            x = own["batches"] if spent == "batches" else own["bytes_up"] + own["bytes_down"] + once
            for axes, metric in zip(column, PRIMARY, strict=True):
                if k % 2:  # a scene has one scale
                    axes.sharey(grid[PRIMARY.index(metric), k - 1])
                if x.iloc[-1]:  # who is alone sends nothing
                    axes.plot(x, 100 * own[metric], color=looks[run][0], marker=looks[run][1], markeredgewidth=0)
        if spent == "bytes":
            for axes in column:
                axes.set_xscale("log")
                axes.xaxis.set(major_locator=FixedLocator(ticks), major_formatter=EngFormatter("B"),
                               minor_locator=NullLocator())
        column[0].set_title(title if spent == "batches" else "", loc="left")
        column[1].set_xlabel({"batches": "batches of a client", "bytes": "sent and received"}[spent])
    for axes, metric in zip(grid[:, 0], PRIMARY, strict=True):
        axes.set_ylabel(f"{metric} (points)")
    entries = [(look(run)[0], *looks[run]) for run in runs]
    return finish(figure, entries, 4, f"Means over {rows['seed'].nunique()} seeds")


@theme()
def fig_ledger(ledger: pd.DataFrame) -> Figure:
    """What members of a group earn and what say they have (all weights that a client hears sum to 1): a line per kind.
    The ledger has columns seed, round, kind, revenue, weight of one run; skew where there are several.
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
def fig_floor(rounds: list[dict]) -> Figure:
    """Seconds of each round on a log scale, from records of `hfkd bench --json`: what, seconds, floor, sequential.
    At the right: seconds over the floor.

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
