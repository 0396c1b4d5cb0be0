"""Direct labels in place of a legend: text beside its point, where it covers least (ours)."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from hfkd.plots.canvas import INK

MARKER = 3.5  # points from the middle of a marker to its edge; all lengths here are typographic points
GAPS = (4, 8, 13, 19, 26, 35, 46, 60)  # from the point to the nearest part of its label
WAYS = [(1, 0), (-1, 0)] + [(x, y) for y in (1, -1) for x in (0, .5, -.5, 1, -1)]  # where the label sits
FAR = 9  # from here on a thin line leads to the point; a slanted one, because an upright one looks like an interval
STARTS = 6  # of the orders in which many labels take their places
MANY = 12
PLACES = [(gap, np.array(way)) for gap in GAPS for way in WAYS if gap < FAR or all(way)]


def place_labels(axes: Axes, xy: np.ndarray, texts: Sequence[str], segments: np.ndarray = (),
                 most: float | Sequence[float] = np.inf, size: float = 7) -> None:
    """Write each text near its point, clear of markers, lines and other labels as far as that goes.

    What a place costs: its distance, what it covers, each line that it crosses, each other point that it is nearer to
    than to its own, what juts out of the axes, and each label under the line that leads to it. The labels take their
    cheapest places in turn, once from each label on (of more than MANY labels, from STARTS of them); the cheapest
    outcome stays.

    Args:
        axes: with its final limits.
        xy: (n, 2) points in data coordinates.
        texts: n labels.
        segments: (k, 4) horizontal or vertical lines to keep clear of, as (x0, y0, x1, y1) in data coordinates.
        most: a label whose every place costs more is left away (where a legend has it too); one number, or n.
        size: of the letters.

    Source: *ours*.

    >>> from hfkd.plots.canvas import new
    >>> _, ((axes,),) = new(1, 1, 2, 2)
    >>> place_labels(axes, [(.5, .5)], ["middle"])
    >>> axes.texts[0].get_text(), float(axes.texts[0].get_position()[1])  # to the right of its point
    ('middle', 0.0)
    """
    axes.figure.draw_without_rendering()
    unit = axes.figure.dpi / 72
    points = axes.transData.transform(np.asarray(xy, float).reshape(-1, 2)) / unit
    ends = np.asarray(segments, float).reshape(-1, 2, 2)
    lines = axes.transData.transform(ends.reshape(-1, 2)).reshape(-1, 4) / unit
    frame = axes.bbox.extents / unit
    notes, places = [], []
    for text, data in zip(texts, np.asarray(xy, float).reshape(-1, 2), strict=True):
        note = axes.annotate(text, data, xytext=(0, 0), textcoords="offset points", ha="center", va="center",
                             fontsize=size, color=INK, annotation_clip=False, zorder=5)
        note.set_path_effects([withStroke(linewidth=1.6, foreground="white")])
        half = np.array([note.get_window_extent().width, note.get_window_extent().height]) / unit / 2
        middles = np.array([way * half + gap * way / np.hypot(*np.trunc(way)) for gap, way in PLACES])
        notes.append(note)
        places.append((middles, np.hstack([middles - half, middles + half])))
    where = [boxes + np.tile(point, 2) for (_, boxes), point in zip(places, points, strict=True)]
    most = np.broadcast_to(most, len(notes))
    step = 1 if len(notes) <= MANY else -(-len(notes) // STARTS)
    starts = [np.roll(np.arange(len(notes)), shift) for shift in range(0, len(notes), step)]
    chosen = min((_settle(order, where, points, lines, frame, most) for order in starts), key=lambda found: found[0])[1]
    for note, (middles, boxes), best in zip(notes, places, chosen, strict=True):
        if best < 0:
            note.remove()
            continue
        note.set_position(tuple(middles[best]))
        if PLACES[best][0] >= FAR:
            start = _start(boxes[best][None])[0]
            axes.annotate("", note.xy, xytext=tuple(start), textcoords="offset points", annotation_clip=False,
                          arrowprops={"arrowstyle": "-", "lw": .5, "color": INK, "shrinkA": 0, "shrinkB": MARKER})


def _settle(order: np.ndarray, where: list[np.ndarray], points: np.ndarray, lines: np.ndarray, frame: np.ndarray,
            most: np.ndarray) -> tuple[float, list[int]]:
    """The labels take their cheapest place in this order, three times in turn: total cost, and the place of each.

    A label k without a place (-1) costs most[k].
    """
    chosen, paid = [-1] * len(where), [0.0] * len(where)
    for k in [*order, *order, *order]:
        labels = [boxes[best] for j, (boxes, best) in enumerate(zip(where, chosen)) if j != k and best >= 0]
        costs = _costs(where[k], k, points, np.array(labels).reshape(-1, 4), lines, frame)
        best = int(np.argmin(costs))
        chosen[k], paid[k] = (best, float(costs[best])) if costs[best] < most[k] else (-1, most[k])
    return sum(paid), chosen


def _costs(boxes: np.ndarray, k: int, points: np.ndarray, labels: np.ndarray, lines: np.ndarray,
           frame: np.ndarray) -> np.ndarray:
    """The cost of each box (m,) as a place for the label of point k."""
    markers = np.hstack([points - MARKER, points + MARKER])
    sizes = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    covered = _shared(boxes, np.concatenate([markers, labels])).sum(axis=1)
    crossed = (_shared(boxes + [-1, -1, 1, 1], lines + [-.1, -.1, .1, .1]) > 0).sum(axis=1)
    outside = sizes - _shared(boxes, frame[None])[:, 0]
    apart = np.clip(np.maximum(boxes[:, None, :2] - points, points - boxes[:, None, 2:]), 0, None)
    distance = np.hypot(*apart.transpose(2, 0, 1))
    nearer = (distance < distance[:, [k]] + 2).sum(axis=1) - 1  # itself is always among them
    start = _start(boxes - np.tile(points[k], 2)) + points[k]
    leader = points[k] + np.linspace(.2, 1, 12)[:, None, None] * (start - points[k])
    struck = ((leader[:, :, None] > labels[:, :2] - 1) & (leader[:, :, None] < labels[:, 2:] + 1)).all(3).any(0).sum(1)
    return distance[:, k] + 4 * covered + 16 * crossed + 10 * outside + 25 * nearer + 25 * struck


def _start(boxes: np.ndarray) -> np.ndarray:
    """Where on each box (m, 4), relative to its point, the leading line starts (m, 2)."""
    low, high = boxes[:, :2], boxes[:, 2:]
    return np.where((low < 0) & (high > 0), (low + high) / 4, np.clip(0, low, high))


def _shared(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Area that each box shares with each other box (m, n)."""
    low, high = np.maximum(boxes[:, None, :2], others[:, :2]), np.minimum(boxes[:, None, 2:], others[:, 2:])
    return np.prod(np.clip(high - low, 0, None), axis=2)
