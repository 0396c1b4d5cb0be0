"""Direct labels in place of a legend: text beside its point, where it covers least (ours)."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from hfkd.canvas import INK

MARKER = 3.5  # points from the middle of a marker to its edge; all lengths here are typographic points
GAPS = (4, 8, 13, 19, 26, 35, 46, 60)  # from the point to the nearest part of its label
WAYS = [(1, 0), (-1, 0)] + [(x, y) for y in (1, -1) for x in (0, .5, -.5, 1, -1)]  # where the label sits
FAR = 9  # from here on a thin line leads from the label to its point


def place_labels(axes: Axes, xy: np.ndarray, texts: Sequence[str], segments: np.ndarray = ()) -> None:
    """Write each text near its point, clear of markers, lines and other labels as far as that goes.

    Every label takes the cheapest of 96 places, three times in turn. What a place costs: its distance, what it covers,
    each line that it crosses, each other point that it is nearer to than to its own, what juts out of the axes, and other
    labels under the line that leads to it.

    Args:
        axes: with its final limits.
        xy: (n, 2) points in data coordinates.
        texts: n labels.
        segments: (k, 4) horizontal or vertical lines to keep clear of, as (x0, y0, x1, y1) in data coordinates.

    Source: *ours*.

    >>> from hfkd.canvas import new
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
                             fontsize=7, color=INK, annotation_clip=False, zorder=5)
        note.set_path_effects([withStroke(linewidth=1.6, foreground="white")])
        half = np.array([note.get_window_extent().width, note.get_window_extent().height]) / unit / 2
        middles = np.array([np.array(way) * half + gap * np.array(way) / np.hypot(*way) for gap in GAPS for way in WAYS])
        notes.append(note)
        places.append((middles, np.hstack([middles - half, middles + half])))
    chosen = [0] * len(notes)
    for _ in range(3):
        for k, (_, boxes) in enumerate(places):
            boxes = boxes + np.tile(points[k], 2)
            labels = [places[j][1][chosen[j]] + np.tile(points[j], 2) for j in range(len(notes)) if j != k]
            chosen[k] = int(np.argmin(_costs(boxes, k, points, np.array(labels).reshape(-1, 4), lines, frame)))
    for note, (middles, boxes), best in zip(notes, places, chosen, strict=True):
        note.set_position(tuple(middles[best]))
        if GAPS[best // len(WAYS)] >= FAR:
            near = np.clip(0, boxes[best][:2], boxes[best][2:])
            axes.annotate("", note.xy, xytext=tuple(near), textcoords="offset points", annotation_clip=False,
                          arrowprops={"arrowstyle": "-", "lw": .5, "color": INK, "shrinkA": 0, "shrinkB": MARKER})


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
    steps = np.linspace(.2, 1, 12)[:, None, None]  # on the line that leads to a far label
    leader = points[k] + steps * (np.clip(points[k], boxes[:, :2], boxes[:, 2:]) - points[k])
    struck = ((leader[:, :, None] > labels[:, :2] - 1) & (leader[:, :, None] < labels[:, 2:] + 1)).all(3).sum((0, 2))
    return distance[:, k] + 4 * covered + 12 * crossed + 10 * outside + 15 * nearer + 8 * struck


def _shared(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Area that each box shares with each other box (m, n)."""
    low, high = np.maximum(boxes[:, None, :2], others[:, :2]), np.minimum(boxes[:, None, 2:], others[:, 2:])
    return np.prod(np.clip(high - low, 0, None), axis=2)
