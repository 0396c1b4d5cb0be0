"""Parts of panels: limits, what lies beyond them, lines of means over seeds and the labels at their ends (ours)."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from scipy.optimize import isotonic_regression

from hfkd.plots.canvas import INK
from hfkd.statistics import interval

INSET = .015  # of a frame: from its edge to an arrow
STEP = 8.5  # typographic points between two labels, one below the other


def beyond(values: np.ndarray, floor: float = 0.0) -> np.ndarray:
    """Which values would squash all others: those further than 3 interquartile ranges outside the quartiles.

    Args:
        values: of any shape.
        floor: values up to this size are never beyond.

    Source: Tukey 1977, Exploratory Data Analysis ("far out").

    >>> beyond(np.array([0.0, .2, .5, 1, -40])).tolist()
    [False, False, False, False, True]
    """
    low, high = np.quantile(values, (.25, .75))
    reach = 3 * (high - low)
    return ((values < low - reach) | (values > high + reach)) & (abs(values) > floor)


def astray(values: np.ndarray, floor: float = 0.0) -> np.ndarray:
    """Which values would squash all others if nearly half of them do: those further from the median than 3 scaled MADs.

    Args:
        values: of any shape.
        floor: values up to this size are never astray.

    Source: Davies and Gather 1993 (doi:10.1080/01621459.1993.10476339), the Hampel identifier.

    >>> astray(np.array([0.0, .2, .5, .7, 1, -15, -10, -40])).tolist()
    [False, False, False, False, False, True, True, True]
    """
    middle = np.median(values)
    return (abs(values - middle) > 3 * 1.4826 * np.median(abs(values - middle))) & (abs(values) > floor)


def limits(means: np.ndarray, lows: np.ndarray, highs: np.ndarray) -> tuple[float, float]:
    """Axis limits that hold all means, and intervals as far as they reach no further than half the means' range.

    Args:
        means, lows, highs: of one shape; limits may be NaN (one seed).

    Source: *ours*.

    >>> limits(np.array([0.0, 2]), np.array([-.5, -99]), np.array([.5, 99]))  # 1 is half the range; 0.12 is air
    (-1.12, 3.12)
    """
    low, high = np.min(means), np.max(means)
    room = (high - low) / 2 or 1.0
    reach = np.nanmin([low, *np.ravel(lows)]), np.nanmax([high, *np.ravel(highs)])
    return float(max(reach[0], low - room) - .12 * room), float(min(reach[1], high + room) + .12 * room)


def window(points: np.ndarray, hold: Sequence[Sequence[float]], floor: float, rule=beyond,
           slack: float = .2) -> tuple[np.ndarray, list]:
    """A frame around all points but those that would squash the others.

    Args:
        points: (n, axes, 3) mean, low, high; the frame cuts intervals as `limits` does.
        hold: per axis, values that must be in view.
        floor: see `beyond`.
        rule: `beyond` or `astray`.
        slack: what lies no further outside than this share of the frame is let in after all, again and again.

    Returns:
        which points are outside (n,), and [low, high] of the frame for each axis.

    Source: *ours*.

    >>> outside, frame = window(np.array([[[v, v, v]] for v in (0.0, 1, 1, 2, 40)]), [()], floor=3)
    >>> outside.tolist(), frame
    ([False, False, False, False, True], [[-0.12, 2.12]])
    """
    means = points[:, :, 0]
    far = np.any([rule(column, floor) for column in means.T], axis=0)
    while True:
        held = [np.transpose([values] * 3).reshape(-1, 3) for values in hold]
        frame = np.array([limits(*np.append(points[~far, k], each, axis=0).T) for k, each in enumerate(held)])
        room = slack * np.ptp(frame, axis=1)
        out = ((means < frame[:, 0] - room) | (means > frame[:, 1] + room)).any(axis=1)
        if not (far & ~out).any():
            return far, frame.tolist()
        far &= out


def along(line: np.ndarray, steps: int = 12) -> np.ndarray:
    """A slanted line (n, 2) as short pieces (k, 4), for `place_labels` to keep clear of.

    >>> along(np.array([[0, 0], [2, 4]]), 2).tolist()
    [[0.0, 0.0, 1.0, 2.0], [1.0, 2.0, 2.0, 4.0]]
    """
    points = np.linspace(line[:-1], line[1:], steps + 1)
    return np.concatenate([points[:-1], points[1:]], axis=2).reshape(-1, 4)


def draw_means(axes: Axes, table: pd.DataFrame, color: str, **style) -> tuple[float, float]:
    """A line of the means over seeds; with three seeds or more a band is their interval.

    Args:
        table: index = round, a column per seed; a seed without a value in a round does not count there.
        color, style: as for `axes.plot`.

    Returns:
        the last point.

    Source: *ours*.
    """
    found = [interval(row.dropna()) for _, row in table.iterrows()]
    mean, low, high = np.array([(i.mean, i.low, i.high) for i in found]).T
    axes.plot(table.index, mean, color=color, markersize=3.5, **style)
    if found[0].n > 2:
        axes.fill_between(table.index, low, high, color=color, alpha=.12, linewidth=0)
    return float(table.index[-1]), float(mean[-1])


def edge(axes: Axes, point: Sequence[float], colour: str) -> tuple[float, float]:
    """Draw an arrow at the edge of the axes that points to a point out of view; returns where it stands.

    Args:
        axes: with its final limits.
        point: (x, y) in data coordinates.

    Source: *ours*.

    >>> from hfkd.plots.canvas import new
    >>> _, ((axes,),) = new(1, 1, 2, 2)
    >>> [round(value, 9) for value in edge(axes, (-8, .5), "red")]
    [0.015, 0.5]
    """
    at = axes.transAxes.inverted().transform(axes.transData.transform(point))
    axis = int(np.argmax(abs(at - .5)))
    x, y = axes.transData.inverted().transform(axes.transAxes.transform(np.clip(at, INSET, 1 - INSET)))
    axes.scatter(x, y, 22, colour, marker=("<>", "v^")[axis][int(at[axis] > .5)], linewidths=0, zorder=3)
    return float(x), float(y)


def label_ends(axes: Axes, ends: Sequence[tuple[float, float]], texts: Sequence[str], colours: Sequence[str]) -> None:
    """Write each text to the right of the axes, level with the end of its line, as near as the other texts let it.

    Args:
        axes: with its final limits and no line to the right of the ends.
        ends: (x, y) of each line's last point.
        texts, colours: of each line; a thin line of its colour leads from the end to the text.

    Source: *ours*; the least shift in squares that keeps them apart is an isotonic regression.

    >>> from hfkd.plots.canvas import new
    >>> _, ((axes,),) = new(1, 1, 2, 2)
    >>> label_ends(axes, [(1, .5), (1, .5)], "ab", ["red", "blue"])
    >>> [round(float(note.xyann[1]), 2) for note in axes.texts]  # 8.5 points apart
    [0.46, 0.54]
    """
    axes.figure.draw_without_rendering()
    height = axes.bbox.height / axes.figure.dpi * 72
    tops = axes.transAxes.inverted().transform(axes.transData.transform(np.asarray(ends, float)))[:, 1] * height
    order = np.argsort(tops, kind="stable")
    steps = STEP * np.arange(len(order))
    places = isotonic_regression(tops[order] - steps).x + steps
    for k, place in zip(order, places, strict=True):
        axes.annotate(texts[k], ends[k], (1.06, place / height), textcoords="axes fraction", fontsize=7, color=INK,
                      va="center", annotation_clip=False, arrowprops={
                          "arrowstyle": "-", "lw": .7, "color": colours[k], "shrinkA": 1, "shrinkB": 3,
                          "relpos": (0, .5)})
