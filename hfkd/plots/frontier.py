"""The figure of the two endpoints: personality against consistency, a point per run (ours)."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from hfkd.overview import PRIMARY, gains, key
from hfkd.plots.canvas import INK, PAGE, finish, new, styled
from hfkd.plots.looks import BALANCED, OWN, legend, look
from hfkd.plots.panels import Panel, panels, words
from hfkd.plots.points import CROWD, draw_points, frame_of


@styled
def fig_frontier(frame: pd.DataFrame, baseline: str = "local", metrics: tuple[str, str] = PRIMARY) -> Figure:
    """Personality against consistency, both as differences to the baseline at the last round, paired by seed.

    A point is a method or variant, its cross the two intervals; the baseline is the origin. With one seed there is no
    cross, and one that reaches far beyond all points (few seeds) is cut by the frame. A point that would squash the
    others stands at the edge as an arrow with its two numbers. With more than CROWD runs there is a row of panels with
    the published losses and one with the balanced loss (methods whose own loss is the balanced one are in both), names
    stand where there is room, and a legend has them all.

    Args:
        frame: rows of one experiment.
        baseline: a method's name, of the base configuration.
        metrics: what is on x and y, names of `endpoints.POINTS`.

    Raises:
        ValueError: no rows, an unknown method, or seeds without a partner in the baseline.

    Source: *ours* (METHOD section 9).

    >>> from hfkd.endpoints import COLUMNS
    >>> rows = pd.DataFrame([dict.fromkeys(COLUMNS, 0) | {"partition": "dirichlet", "variant": "", "method": m,
    ...                      "personality": p, "consistency": c} for m, p, c in (("local", .9, .2), ("hfkd", .8, .5))])
    >>> fig_frontier(rows).axes[0].collections[0].get_offsets().round(9).tolist()
    [[-10.0, 30.0]]
    """
    scenes = panels(frame)
    parts = _parts(scenes)
    crowded = len(parts) > 1 or max(len(panel.runs) for panel in scenes) > CROWD
    name = look(baseline)["label"]
    height = (3.2, 4.6)[len(parts) - 1] + 1.3 * crowded
    figure, grid = new(len(parts), len(scenes), PAGE, height, sharex=True, sharey=True)
    drawn, comma = [], "\n" if len(scenes) > 2 else " "  # narrow panels have labels of two lines
    for row, (heading, chosen) in zip(grid, parts.items(), strict=True):
        for axes, panel, runs in zip(row, scenes, chosen, strict=True):
            runs = [*(run for run in runs if run != (baseline, "")), (baseline, "")]
            table = gains(panel.rows, list(map(key, runs)), baseline, [(each, None) for each in metrics], **panel.where)
            table = table[["difference", "low", "high"]].to_numpy().reshape(2, -1, 3).transpose(1, 0, 2)
            drawn.append((axes, runs, table))
            axes.set_title(f"{panel.title}, {heading}" if heading else panel.title)
        row[0].set_ylabel(f"{words(metrics[1])},{comma}difference to {name} (points)")
    for axes in grid[-1]:
        axes.set_xlabel(f"{words(metrics[0])},{comma}difference to {name} (points)")
    every = [run for _, runs, _ in drawn for run in runs]
    far, limits = frame_of(np.concatenate([table for _, _, table in drawn]), every, crowded)
    grid[0, 0].set(xlim=limits[0], ylim=limits[1])
    if crowded:
        legend(figure, [run for run in dict.fromkeys(every) if len(parts) == 1 or not BALANCED.search(run[1])])
    for axes, runs, table in drawn:  # after all limits are set: the axes are shared
        out, far = far[:len(runs)], far[len(runs):]
        draw_points(axes, runs, table, out, crowded, [(-99, 0, 99, 0), (0, -99, 0, 99)], _told)
        axes.axhline(0, color=INK, linewidth=.6, zorder=1)
        axes.axvline(0, color=INK, linewidth=.6, zorder=1)
        axes.grid(axis="both")
    return finish(figure)


def _told(x: float, y: float) -> str:
    """The two numbers of a point that is out of view."""
    return f"({x:.0f}, {y:.0f})".replace("-", "−")


def _parts(scenes: list[Panel]) -> dict[str, list[list[tuple[str, str]]]]:
    """Heading of each row of panels -> the runs of each scene."""
    every = [panel.runs for panel in scenes]
    if max(map(len, every)) <= CROWD or not any(BALANCED.search(run[1]) for runs in every for run in runs):
        return {"": every}
    swapped = [[run for run in runs if BALANCED.search(run[1])] for runs in every]
    published = [[run for run in runs if run not in other] for runs, other in zip(every, swapped, strict=True)]
    own = [[run for run in runs if run[0] in OWN and "hard_loss=" not in run[1]] for runs in every]
    return {"published loss": published, "balanced loss": [a + b for a, b in zip(swapped, own, strict=True)]}
