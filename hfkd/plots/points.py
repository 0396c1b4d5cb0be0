"""A point per run in a panel, with intervals and names, few or many (ours)."""

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes

from hfkd.plots.annotate import place_labels
from hfkd.plots.looks import FIRST, OURS, dot, look
from hfkd.plots.margins import astray, beyond, edge, window

CROWD = 12  # with more runs than this in a panel only those names stand that have room, and a legend has them all
DEAR = 24.0  # what the place of a label may cost then (see `place_labels`): none is nearer to another point
LETTERS = (7, 6.5)  # typographic points: size of the labels, and of those in a crowd
SMALL = 3.0  # points: differences up to here are always in view


def frame_of(points: np.ndarray, runs: Sequence[tuple[str, str]], crowded: bool) -> tuple[np.ndarray, list]:
    """What is out of view (n,) and the limits of each axis; 0 and the methods of this work are always in view.

    Args:
        points: (n, axes, 3) mean, low and high.
        runs: n of (method, variant).
        crowded: up to nearly half of the points may be out of view (`margins.astray`), else few (`margins.beyond`).

    Source: *ours*.

    >>> far = np.array([0, 1, 2, 1, 40.0])[:, None, None] + np.zeros(3)
    >>> [frame_of(far, [("local", "")] * 4 + [(name, "")], True)[0].tolist() for name in ("fedavg", "hfkd")]
    [[False, False, False, False, True], [False, False, False, False, False]]
    """
    own = [run[0] in OURS for run in runs]
    held = [(0, *means) for means in points[own, :, 0].T]
    return window(points, held, SMALL, **({"rule": astray, "slack": 0} if crowded else {"rule": beyond}))


def draw_points(axes: Axes, runs: Sequence[tuple[str, str]], table: np.ndarray, out: np.ndarray, crowded: bool,
                lines: Sequence[tuple], told: Callable[[float, float], str] | None = None) -> None:
    """A marker, a cross of two intervals and a name for each run; one that is out of view is an arrow with its numbers.

    Args:
        axes: with its final limits.
        runs: n of (method, variant).
        table: (n, 2, 3) mean, low and high on both axes; limits may be NaN.
        out: (n,) bool, which are out of view.
        crowded: pale crosses, shorter names, and none where there is no room.
        lines: (x0, y0, x1, y1) that names keep clear of.
        told: the two numbers of a point out of view in words; None: arrows have no names.

    Source: *ours*.

    >>> from hfkd.plots.canvas import new
    >>> _, ((axes,),) = new(1, 1, 2, 2)
    >>> means = np.array([[.5, .5], [9, .5]])
    >>> draw_points(axes, [("local", ""), ("hfkd", "")], means[:, :, None] + np.zeros(3), means[:, 0] > 1, False,
    ...             [], "({:.0f}, {:.1f})".format)
    >>> [text.get_text() for text in axes.texts]
    ['Local', 'HFKD (9, 0.5)']
    """
    xy, texts, most, lines = [], [], [], list(lines)
    for run, ((x, left, right), (y, low, high)), gone in zip(runs, table, out, strict=True):
        style, first = look(*run, loss=not crowded), run[0] == FIRST
        spot = edge(axes, (x, y), style["color"]) if gone else (x, y)
        if gone and told is None:
            continue
        texts.append(f"{style['label']} {told(x, y)}" if gone else style["label"])
        xy.append(spot)
        most.append(np.inf if gone or not crowded else DEAR)
        if gone:
            continue
        axes.scatter(x, y, **dot(run, zorder=4 if first else 3))
        thin = {"linewidth": .7, "alpha": .35} if crowded and not first else {"linewidth": 1, "alpha": .7}
        axes.plot([left, right], [y, y], color=style["color"], **thin)
        axes.plot([x, x], [low, high], color=style["color"], **thin)
        lines += [(left, y, right, y), (x, low, x, high)] * (first or not crowded)
    lines = np.array(lines, float).reshape(-1, 4)
    place_labels(axes, xy, texts, lines[np.isfinite(lines).all(axis=1)], most, LETTERS[crowded])
