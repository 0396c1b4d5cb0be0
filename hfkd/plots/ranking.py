"""Figures of many methods at once: average ranks with the critical difference, and accuracy against bytes (ours)."""

from collections.abc import Sequence
from textwrap import fill

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import EngFormatter, FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from hfkd.overview import PRIMARY, gains, key, traffic
from hfkd.plots.canvas import INK, PAGE, finish, new, styled
from hfkd.plots.looks import BALANCED, FIRST, HOLLOW, dot, legend, look
from hfkd.plots.panels import panels, words
from hfkd.plots.points import CROWD, draw_points, frame_of
from hfkd.ranking import Ranks, alike, ranks

ROW = .135  # inches
NOTHING = .6  # of a decade: from the least that anybody sends to where those stand who send nothing


@styled
def fig_ranks(frame: pd.DataFrame, methods: Sequence[str] | None = None, metrics: Sequence[str] = PRIMARY,
              alpha: float = .05) -> Figure:
    """Critical-difference diagrams: average ranks over (scene, seed) at the last round, best on top.

    A grey bar starts at a run and covers all below it that Nemenyi's test cannot separate from it; bars that lie within
    another one are left out. What the tests take for granted is said in `hfkd.ranking.ranks`.

    Args:
        frame: rows of one experiment; every run in all scenes with the same seeds.
        methods: names, or "name[variant]", three or more. None: all in the frame.
        metrics: names of `endpoints.METRICS`, a panel each.
        alpha: of the critical difference.

    Raises:
        ValueError: no rows, or what `ranking.ranks` raises.

    Source: Demsar 2006 (JMLR 7:1-30), the diagram of section 3.2.4; a row per method, so that many can be read, *ours*.

    >>> from hfkd.endpoints import COLUMNS
    >>> rows = pd.DataFrame([dict.fromkeys(COLUMNS, 0) | {"partition": "dirichlet", "variant": "", "method": m,
    ...                      "personality": p, "seed": s} for m, p in (("local", .5), ("fedmd", .6), ("hfkd", .7))
    ...                      for s in range(9)])
    >>> axes = fig_ranks(rows, metrics=["personality"]).axes[0]
    >>> [label.get_text() for label in axes.get_yticklabels()], axes.collections[0].get_offsets().tolist()
    (['HFKD', 'FedMD', 'Local'], [[1.0, 0.0]])
    """
    runs = {key(run): run for panel in panels(frame) for run in panel.runs}
    if methods is not None:
        runs = {name: runs.get(name, (name, "")) for name in methods}
    figure, (row,) = new(1, len(metrics), PAGE, .95 + ROW * len(runs))
    for axes, metric in zip(row, metrics, strict=True):
        found = ranks(frame, list(runs), metric, alpha=alpha)
        _diagram(axes, found, [runs[name] for name in found.mean.index])
        p = f"p = {found.p:.2g}" if found.p >= .001 else "p < .001"
        axes.set_title(f"{words(metric)} (Friedman {p})")
    hollow = any(BALANCED.search(run[1]) for run in runs.values())
    figure.supxlabel(f"average rank over {found.blocks} pairs of scene and seed, 1 is best; bars join what Nemenyi's "
                     f"test at {alpha:g} cannot separate" + f"\n{HOLLOW}" * hollow, fontsize=7)
    return finish(figure)


def _diagram(axes: Axes, found: Ranks, runs: list[tuple[str, str]]) -> None:
    """One panel of `fig_ranks`; runs in the order of their ranks."""
    mean = found.mean.to_numpy()
    axes.set(ylim=(len(runs) - .4, -1.6), xlim=(.5, 1.02 * len(runs) + .5))
    for y, (x, run) in enumerate(zip(mean, runs, strict=True)):
        axes.plot([.5, x], [y, y], color="#e5e5e5", linewidth=.5, zorder=.5)
        axes.scatter(x, y, **dot(run, zorder=3))
    for first, last in alike(found):
        axes.plot(mean[[first, last]], [first, first], color="#b5b5b5", linewidth=2.6, zorder=2, solid_capstyle="butt")
    axes.plot([1, 1 + found.distance], [-.95, -.95], color=INK, linewidth=1, marker="|", markersize=4)
    axes.annotate(f"critical difference {found.distance:.1f}", (1 + found.distance, -.95), (4, 0), fontsize=6.5,
                  textcoords="offset points", va="center_baseline", in_layout=False)
    names = [look(*run, loss=False)["label"] for run in runs]
    names = [look(*run)["label"] if names.count(name) > 1 else name for run, name in zip(runs, names, strict=True)]
    axes.set_yticks(range(len(runs)), names, fontsize=6.5)
    for label, run in zip(axes.get_yticklabels(), runs, strict=True):
        label.set_fontweight("bold" if run[0] == FIRST else "normal")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes.grid(axis="x")


@styled
def fig_bytes(frame: pd.DataFrame, methods: Sequence[str] | None = None, baseline: str = "local",
              metrics: Sequence[str] = PRIMARY[::-1]) -> Figure:
    """What a byte buys: difference to the baseline against the bytes that a client sends and receives in a round.

    Bytes are on a log scale; those who send nothing stand at the left edge, before the break. Lines are 95 % intervals
    over seeds, last round. A point that would squash the others stands at the edge as an arrow with its number. With
    more than CROWD runs names stand where there is room, and a legend has them all.

    Args:
        frame: rows of one experiment.
        methods: names, or "name[variant]", such as `overview.chosen_runs` returns. None: all in the frame.
        baseline: a method's name, of the base configuration.
        metrics: names of `endpoints.POINTS`, a row of panels each.

    Raises:
        ValueError: no rows, nobody who sends anything, or seeds without a partner in the baseline.

    Source: *ours* (METHOD sections 7 and 9).

    >>> from hfkd.endpoints import COLUMNS
    >>> rows = pd.DataFrame([dict.fromkeys(COLUMNS, 0) | {"partition": "dirichlet", "variant": "", "method": m,
    ...                      "round": 8, "consistency": c, "bytes_up": b} for m, c, b in
    ...                      (("local", .2, 0), ("hfkd", .5, 4000))])
    >>> fig_bytes(rows).axes[0].collections[0].get_offsets().round(9).tolist()
    [[500.0, 30.0]]
    """
    scenes, origin = panels(frame), (baseline, "")
    chosen = [[*(run for run in panel.runs if run != origin and (methods is None or key(run) in methods)), origin]
              for panel in scenes]
    sent = [traffic(panel.rows, list(map(key, runs)), **panel.where).to_numpy()
            for panel, runs in zip(scenes, chosen, strict=True)]
    every, crowded = [run for runs in chosen for run in runs], max(map(len, chosen)) > CROWD
    height = .8 + 1.1 * crowded + 2 * len(metrics)
    figure, grid = new(len(metrics), len(scenes), PAGE, height, sharex=True, sharey="row")
    left = bytes_axis(grid, np.concatenate(sent))
    drawn = []
    for row, metric in zip(grid, metrics, strict=True):
        for panel, runs, each in zip(scenes, chosen, sent, strict=True):
            found = gains(panel.rows, list(map(key, runs)), baseline, [(metric, None)], **panel.where)
            x = np.stack([np.maximum(each, left), *[np.full(len(runs), np.nan)] * 2], axis=1)
            drawn.append(np.stack([x, found[["difference", "low", "high"]].to_numpy()], axis=1))
        _, (limits,) = frame_of(np.concatenate(drawn[-len(scenes):])[:, 1:], every, crowded)
        row[0].set_ylim(limits)
        row[0].set_ylabel(f"{words(metric)},\ndifference to {look(baseline)['label']} (points)")
    for axes, panel in zip(grid[0], scenes, strict=True):
        axes.set_title(panel.title)
    if crowded:
        legend(figure, list(dict.fromkeys(every)))
    for axes, runs, table in zip(grid.flat, chosen * len(metrics), drawn, strict=True):
        (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
        out = (table[:, 1, 0] < low) | (table[:, 1, 0] > high)
        kept = _note(axes, [run for run, gone in zip(runs, out, strict=True) if gone], table[out, 1, 0])
        draw_points(axes, runs, table, out, crowded, [(left, 0, right, 0), *kept])
    return finish(figure)


def _note(axes: Axes, runs: list[tuple[str, str]], values: np.ndarray) -> list[tuple]:
    """Names and numbers of what is out of view, at the foot of a panel; lines through it, to be kept clear of."""
    if not runs:
        return []
    parts = [f"{look(*run, loss=False)['label']} {values[k]:.0f}".replace(" -", " −") for k, run in enumerate(runs)]
    note = axes.annotate(fill("beyond: " + ", ".join(parts), 32), (0, 0), (3, 3), xycoords="axes fraction",
                         fontsize=6.5, textcoords="offset points", color="#555555", in_layout=False,
                         path_effects=[withStroke(linewidth=2, foreground="white")])
    axes.figure.draw_without_rendering()
    (left, low), (right, high) = axes.transData.inverted().transform(note.get_window_extent().get_points())
    return [(left, y, right, y) for y in np.linspace(low, high, 6)]


def bytes_axis(grid: np.ndarray, sent: np.ndarray) -> float:
    """A log scale of bytes for all panels (rows, columns); returns where those stand who send nothing, left of a break.

    Args:
        sent: bytes of each run.

    Raises:
        ValueError: all of them are 0.

    Source: *ours*.

    >>> from hfkd.plots.canvas import new
    >>> round(bytes_axis(new(1, 1, 2, 2)[1], np.array([0, 1000, 8000])))  # 0.6 of a decade below 1000
    251
    """
    if not (some := sent[sent > 0]).size:
        raise ValueError("nobody sends anything; a log scale of bytes cannot show it")
    left = 10 ** (np.log10(some.min()) - NOTHING)
    grid[0, 0].set(xscale="log", xlim=(left / 10 ** .3, some.max() * 10 ** .4))
    powers = 10.0 ** np.arange(np.ceil(np.log10(some.min())), np.log10(some.max()) + .4)
    for axes in grid.flat:
        axes.grid(axis="both")
        axes.axhline(0, color=INK, linewidth=.7, zorder=1)
        axes.axvline(left * 10 ** (NOTHING / 2), color=INK, linewidth=.5, linestyle=":", zorder=1)
        axes.xaxis.set_major_locator(FixedLocator([left, *powers]))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: "0" if x == left else EngFormatter("B")(x)))
        axes.xaxis.set_minor_locator(NullLocator())
    for axes in grid[-1]:
        axes.set_xlabel("sent and received\nby a client in a round")
    return left
