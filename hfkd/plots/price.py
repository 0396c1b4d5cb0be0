"""The figure of prices: what a point of accuracy costs in bytes and in seconds (ours)."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullLocator

from hfkd.overview import gains, key, traffic
from hfkd.plots.canvas import INK, PAGE, finish, new, styled
from hfkd.plots.looks import legend, look
from hfkd.plots.margins import limits
from hfkd.plots.panels import panels, words
from hfkd.plots.points import draw_points
from hfkd.plots.ranking import bytes_axis


@styled
def fig_price(frame: pd.DataFrame, rounds: pd.DataFrame, methods: Sequence[str] | None = None,
              baseline: str = "local", metric: str = "consistency") -> Figure:
    """What a point costs: difference to the baseline against bytes per client and round, and against seconds per round.

    A point per run, vertical lines are 95 % intervals over seeds, last round. Seconds are those of the method with its
    published loss (the balanced one takes as long), of all clients and two seeds of the lite profile. Names stand where
    there is room; the legend has them all.

    Args:
        frame: rows of one scene.
        rounds: as `costs.read` returns them; of its table "methods" the seconds are read.
        methods: names, or "name[variant]", such as `overview.chosen_runs` returns. None: all in the frame.
        baseline: a method's name, of the base configuration.
        metric: a name of `endpoints.POINTS`.

    Raises:
        ValueError: rows of several scenes, a method without seconds, or seeds without a partner in the baseline.

    Source: *ours* (METHOD section 9).

    >>> from hfkd.endpoints import COLUMNS
    >>> rows = pd.DataFrame([dict.fromkeys(COLUMNS, 0) | {"partition": "dirichlet", "variant": "", "method": m,
    ...                      "round": 8, "consistency": c, "bytes_up": b} for m, c, b in
    ...                      (("local", .2, 0), ("hfkd", .5, 4000))])
    >>> took = pd.DataFrame([{"table": "methods", "what": m, "seconds": s} for m, s in (("local", .1), ("hfkd", .4))])
    >>> [panel.collections[0].get_offsets().round(9).tolist() for panel in fig_price(rows, took).axes]
    [[[500.0, 30.0]], [[0.4, 30.0]]]
    """
    if len(scenes := panels(frame)) > 1:
        raise ValueError(f"the frame has {len(scenes)} scenes, such as {scenes[0].title}; expected rows of one")
    panel, origin = scenes[0], (baseline, "")
    runs = [run for run in panel.runs if run != origin and (methods is None or key(run) in methods)] + [origin]
    took = rounds[rounds["table"] == "methods"].set_index("what")["seconds"]
    if late := [run[0] for run in runs if run[0] not in took.index]:
        raise ValueError(f"the record has no seconds of {late[0]}; `hfkd bench --only methods` measures them")
    found = gains(panel.rows, list(map(key, runs)), baseline, [(metric, None)])
    y = found[["difference", "low", "high"]].to_numpy()
    sent = traffic(panel.rows, list(map(key, runs))).to_numpy()
    figure, grid = new(1, 2, PAGE, 4.2, sharey=True)
    nothing = bytes_axis(grid[:, :1], sent)
    spent = took[[run[0] for run in runs]].to_numpy()
    grid[0, 1].set(xscale="log", xlim=(spent.min() / 1.4, spent.max() * 1.4), xlabel="seconds of a round\nof all clients, two seeds")
    grid[0, 1].axhline(0, color=INK, linewidth=.7, zorder=1)
    grid[0, 1].grid(axis="both")
    grid[0, 1].xaxis.set_major_locator(LogLocator(10, (1, 2, 5)))
    grid[0, 1].xaxis.set_minor_locator(NullLocator())
    grid[0, 1].xaxis.set_major_formatter(EngFormatter("s"))
    grid[0, 0].set(ylim=limits(*y.T), ylabel=f"{words(metric)}, difference to {look(baseline)['label']} (points)")
    legend(figure, runs)
    for axes, x in zip(grid[0], (np.maximum(sent, nothing), spent), strict=True):
        table = np.stack([np.stack([x, x * np.nan, x * np.nan], axis=1), y], axis=1)
        left, right = axes.get_xlim()
        draw_points(axes, runs, table, np.zeros(len(runs), bool), True, [(left, 0, right, 0)])
    figure.suptitle(panel.title)
    return finish(figure)
