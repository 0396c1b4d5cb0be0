"""Figures of privacy: what noise on the label counts costs, and what answers give away at least (ours)."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from hfkd.endpoints import SCENE
from hfkd.overview import PRIMARY
from hfkd.pairing import values
from hfkd.plots.canvas import CYCLE, INK, PAGE, finish, new, styled
from hfkd.plots.looks import METHODS, OWN, look
from hfkd.plots.margins import draw_means
from hfkd.plots.panels import Panel, panels, words

MEASURES = {"distance": "distance of the guess\n(total variation)", "auc": "telling owned classes\nfrom others (AUC)"}


@styled
def fig_epsilon(frame: pd.DataFrame, matching: pd.DataFrame, method: str = "hfkd") -> Figure:
    """Over epsilon: both endpoints as differences to true counts, what the matching loses, how far the message is off.

    Means over seeds at the last round, a line per scene; with three seeds or more a band shows the 95 % interval. The
    loss of the matching is 1 - kept (`privacy.kept`) with the most teachers of the table, dashed with the fewest; the
    distance is the mean total variation between a client's true and released label distribution (`privacy.told`). A
    matching from noise alone (the smallest epsilon of the table) is what the dotted lines are.

    Args:
        frame: rows of grid 70: the method in its base configuration, which releases the true counts, and with epsilon.
        matching: as `disclosure.write` makes it, of the same scenes.
        method: whose variants are drawn.

    Raises:
        ValueError: no rows, no variant with epsilon, or seeds without a partner.

    Source: *ours* (METHOD section 8).

    >>> from hfkd.endpoints import COLUMNS
    >>> rows = pd.DataFrame([dict.fromkeys(COLUMNS, 0) | {"partition": "dirichlet", "variant": v, "method": "hfkd",
    ...                      "consistency": c} for v, c in (("", .5), ("epsilon=0.1", .4), ("epsilon=1.0", .5))])
    >>> table = pd.DataFrame([dict.fromkeys(["dataset", "public", "skew", "seed"], 0) | {"partition": "dirichlet",
    ...                      "fan_in": 4, "epsilon": e, "kept": e, "told": 1 - e} for e in (.001, .1, 1)])
    >>> fig_epsilon(rows, table).axes[1].lines[1].get_xydata().round(9).tolist()  # after the line at 0
    [[0.1, -10.0], [1.0, 0.0]]
    """
    scenes = panels(frame)
    figure, grid = new(2, 2, PAGE, 3.9, sharex=True)
    found = [sorted((float(v.removeprefix("epsilon=")), v) for m, v in panel.runs
                    if m == method and v.startswith("epsilon=")) for panel in scenes]  # fmt: skip
    for panel, each in zip(scenes, found, strict=True):
        if not each:
            raise ValueError(f"{panel.title} has no {method} with epsilon=...; `hfkd grid 70` makes them")
    for axes, metric in zip(grid[0], PRIMARY, strict=True):
        axes.axhline(0, color=INK, linewidth=.7, zorder=1)
        axes.set_ylabel(f"{words(metric)}, difference\nto true counts (points)")
        for panel, each, colour in zip(scenes, found, CYCLE):
            base = values(panel.rows, method, metric, **panel.where)
            rows = {epsilon: values(panel.rows, f"{method}[{variant}]", metric, **panel.where) - base
                    for epsilon, variant in each}  # fmt: skip
            draw_means(axes, _whole(pd.DataFrame(rows).T, panel), colour, marker="o", label=panel.title)
    for panel, colour in zip(scenes, CYCLE):
        _noise(grid[1], panel, matching, colour)
    grid[1, 0].set(ylabel="value of the matching\nlost to noise (%)", ylim=(min(0, grid[1, 0].get_ylim()[0]), None))
    grid[1, 1].set(ylabel="total variation, released\nto true distribution", ylim=(0, None))
    ticks = sorted({epsilon for each in found for epsilon, _ in each})
    for axes in grid.flat:
        axes.grid(axis="both")
        axes.set_xscale("log")
        axes.xaxis.set(major_locator=FixedLocator(ticks), minor_locator=NullLocator(),
                       major_formatter=FuncFormatter(lambda x, _: f"{x:g}"))  # fmt: skip
    for axes in grid[1]:
        axes.set_xlabel("epsilon of the released label counts")
    figure.legend(*zip(*sorted(zip(*_entries(grid)), key=lambda entry: entry[1])), loc="outside lower center",
                  ncols=len(scenes))  # fmt: skip
    return finish(figure)


def _whole(table: pd.DataFrame, panel: Panel) -> pd.DataFrame:
    """A row per epsilon, a column per seed; or a ValueError, if a seed has no partner."""
    if table.isna().any(axis=None):
        lone = table.columns[table.isna().any()].tolist()
        raise ValueError(f"seeds {lone} of {panel.title} have no partner; run every epsilon with the same seeds")
    return table


def _rows(matching: pd.DataFrame, panel: Panel) -> pd.DataFrame:
    """The rows of the matching in one scene."""
    rows = matching[(matching[SCENE] == pd.Series(panel.where)[SCENE]).all(axis=1)]
    if rows.empty:
        raise ValueError(f"the table of the matching has no rows of {panel.title}; `hfkd privacy` makes them")
    return rows


def _noise(row: list[Axes], panel: Panel, matching: pd.DataFrame, colour: str) -> None:
    """The lower panels of `fig_epsilon`, of one scene."""
    rows = _rows(matching, panel)
    few, most = int(rows["fan_in"].min()), int(rows["fan_in"].max())
    for fan_in, column, axes in ((most, "told", row[1]), *((each, "kept", row[0]) for each in sorted({few, most}))):
        table = rows[rows["fan_in"] == fan_in].pivot(index="epsilon", columns="seed", values=column)
        table = 100 * (1 - table) if column == "kept" else table
        drowned, style = table.iloc[0].mean(), "--" if fan_in < most else "-"
        if fan_in == most:
            alone = f"{panel.title}, noise alone, {most} teachers"
            axes.axhline(drowned, color=colour, linewidth=.9, linestyle=":", label=alone)
        label = f"{panel.title}, {fan_in} teacher{'s' * (fan_in > 1)} at most" if fan_in < most else panel.title
        draw_means(axes, table.iloc[1:], colour, marker="o", linestyle=style, label=label)


def _entries(grid) -> tuple[list, list]:
    """Handles and labels of all axes, each label once."""
    entries = {label: handle for axes in grid.flat
               for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}  # fmt: skip
    return list(entries.values()), list(entries)


@styled
def fig_leak(leaks: pd.DataFrame, matching: pd.DataFrame | None = None, attacker: str = "together") -> Figure:
    """What an attacker learns of the clients' label distributions from their answers, over the rounds of training.

    Means over seeds, bands as in `fig_epsilon`; solid lines are the plain loss, dashed ones the balanced loss, those of
    dots and dashes a run whose counts are noisy. The grey line is an attacker who has heard nothing and guesses the
    federation's mean. With `matching`, a dotted line shows how near one comes who hears the released counts in place of
    the answers (`leak.denoised`), at the smallest epsilon above noise alone. Another attacker may learn more.

    Args:
        leaks: as `disclosure.write` makes it.
        matching: the other table, or None.
        attacker: a name in the table.

    Raises:
        ValueError: no rows, or no such attacker.

    Source: *ours* (METHOD section 8: logits leak too).

    >>> scene = {"dataset": "digits", "public": "same", "partition": "dirichlet", "skew": .1}
    >>> guesses = [(r, a, d / r) for r in (1, 2) for a, d in (("nothing", .7), ("together", .5))]
    >>> table = pd.DataFrame([scene | {"method": "hfkd", "variant": "", "seed": 0, "round": r, "attacker": a,
    ...                       "distance": d, "auc": .5} for r, a, d in guesses])
    >>> fig_leak(table).axes[0].lines[1].get_xydata().tolist()  # after the attacker who has heard nothing
    [[1.0, 0.5], [2.0, 0.25]]
    """
    scenes = panels(leaks)
    if attacker not in set(leaks["attacker"]):
        raise ValueError(f"attacker is {attacker!r}; expected one of {', '.join(sorted(leaks['attacker'].unique()))}")
    figure, grid = new(2, len(scenes), PAGE, 4.3, sharex=True, sharey="row")
    for column, panel in zip(grid.T, scenes, strict=True):
        column[0].set_title(panel.title)
        column[1].set_xlabel("rounds of training behind the answers")
        for axes, measure in zip(column, MEASURES, strict=True):
            _overhear(axes, panel, measure, attacker)
        if matching is not None:
            rows = _rows(matching, panel)
            epsilon = sorted(rows["epsilon"].unique())[1]
            near = rows.loc[rows["epsilon"] == epsilon, "guessed"].mean()
            told = f"has heard counts at epsilon {epsilon:g}"
            column[0].axhline(near, color=INK, linewidth=.9, linestyle=":", label=told)
    for axes, label in zip(grid[:, 0], MEASURES.values(), strict=True):
        axes.set_ylabel(label)
    grid[0, 0].set_ylim(0, None)
    figure.legend(*_entries(grid), loc="outside lower center", ncols=3)
    return finish(figure)


def _overhear(axes: Axes, panel: Panel, measure: str, attacker: str) -> None:
    """One panel of `fig_leak`."""
    blind = panel.rows[panel.rows["attacker"] == "nothing"][measure].mean()
    axes.axhline(blind, color="#8c8c8c", linewidth=1.2, label="has heard nothing")
    for method, variant in panel.runs:
        rows = panel.rows[(panel.rows["method"] == method) & (panel.rows["variant"] == variant)]
        table = rows[rows["attacker"] == attacker].pivot(index="round", columns="seed", values=measure)
        style, (_, _, epsilon) = look(method), variant.partition("epsilon=")
        free = variant == "hard_loss=balanced" or method in OWN and variant != "hard_loss=plain"
        dashes, loss = "-." if epsilon else "--" if free else "-", "balanced" if free else "plain"
        draw_means(axes, table, style["color"], marker=style["marker"], markevery=max(1, len(table) // 5),
                   markerfacecolor="white" if free else style["color"], linestyle=dashes,
                   label=f"{METHODS[method][0]}, {loss} loss{f', epsilon {epsilon}' if epsilon else ''}")  # fmt: skip
    axes.grid(axis="both")
    axes.xaxis.set_major_locator(FixedLocator(sorted(panel.rows["round"].unique()), nbins=8))
