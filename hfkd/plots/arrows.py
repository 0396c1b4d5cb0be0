"""The figure of a matching: who teaches whom, drawn over the levels (ours)."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from hfkd import matching
from hfkd.assess import distributions
from hfkd.plots.canvas import CYCLE, INK, PAGE, PALE, by_level, checked, finish, new, styled

WIDTH, HEIGHT, STRIP = .72, .34, .1  # a client's box and the strip for its number; clients and levels are 1 apart


@styled
def fig_matching(counts: np.ndarray, levels: Sequence[int], edges: np.ndarray, group: int | None = None) -> Figure:
    """The matching over the levels: a box per client with the bars of its label distribution, arrows to its students.

    The most capable level is on top. Arrows and the frame of their teacher share a colour. A client that has no
    teacher, although there is a level above it, is grey with a dashed frame and the word "alone". Within a level the
    clients stand in an order that shortens the arrows (Sugiyama et al. 1981, doi:10.1109/TSMC.1981.4308636).

    Args:
        counts: (N, C) label counts.
        levels: (N,) integers >= 1.
        edges: (N, N) bool [student, teacher].
        group: a client; its arrows and the boxes of its group (`matching.group`) stay, all else turns pale.

    Raises:
        ValueError: wrong counts, levels or edges of another number, no such client.

    Source: *ours*.

    >>> edges = np.array([[0, 1, 0], [0, 0, 0], [0, 0, 0]])
    >>> figure = fig_matching([[4, 0], [0, 4], [1, 1]], [1, 2, 1], edges)
    >>> [text.get_text() for text in figure.axes[0].texts if text.get_text()]
    ['0', '1', '2, alone']
    """
    counts, levels = checked(counts, levels)
    n = len(counts)
    edges = np.asarray(edges, dtype=bool)
    if edges.shape != (n, n):
        raise ValueError(f"edges has shape {edges.shape}; expected ({n}, {n}), [student, teacher]")
    if group is not None and not 0 <= group < n:
        raise ValueError(f"group is {group!r}; expected a client from 0 to {n - 1}")
    place = _places(levels, edges)
    colours = {}  # teacher -> colour, from left to right in its row
    for level in np.unique(levels):
        row = np.flatnonzero(edges.any(axis=0) & (levels == level))
        colours |= {int(t): CYCLE[k % len(CYCLE)] for k, t in enumerate(row[np.argsort(place[row, 0])])}
    members = np.arange(n) if group is None else np.flatnonzero(matching.group(edges, levels)[group])
    figure, ((axes,),) = new(1, 1, PAGE, 1.15 * len(np.unique(levels)))
    low, high = place.min(axis=0), place.max(axis=0)
    axes.set(xlim=(low[0] - WIDTH / 2 - .02, high[0] + WIDTH / 2 + .02), ylim=(low[1] - .2, high[1] + .2))
    _arrows(axes, edges, place, colours, group)
    alone = ~edges.any(axis=1) & (levels < levels.max())
    _boxes(axes, distributions(counts), place, colours, alone, members, group)
    axes.set_xticks([])
    names = [name for name, _, _ in by_level(levels)[1]]
    axes.set_yticks(np.arange(len(names)), names, fontsize=8)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return finish(figure)


def _places(levels: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Middle (x, y) of each client's box (N, 2): a row per level, ordered to shorten the arrows."""
    rows = [np.flatnonzero(levels == k) for k in np.unique(levels)]
    longest = max(map(len, rows))
    place = np.zeros((len(levels), 2))

    def spread(row, y):
        place[row] = np.stack([(np.arange(len(row)) + .5) * longest / len(row), np.full(len(row), y)], axis=1)

    for y, row in enumerate(rows):
        spread(row, float(y))
    for links, down in ((edges, True), (edges.T, False)) * 4 + ((edges, True),):
        degree = links.sum(axis=1)
        for y in range(len(rows))[::-1 if down else 1]:
            row = rows[y]
            pull = np.where(degree > 0, links @ place[:, 0] / np.maximum(degree, 1), place[:, 0])
            rows[y] = row[np.argsort(pull[row].round(9), kind="stable")]
            spread(rows[y], float(y))
    return place


def _arrows(axes: Axes, edges: np.ndarray, place: np.ndarray, colours: dict, group: int | None) -> None:
    """Arrows from the lower edge of the teacher to the upper edge of the student, side by side."""
    leave, land = np.zeros(edges.shape), np.zeros(edges.shape)
    for client in range(len(edges)):
        for ports, ends in ((leave[:, client], edges[:, client]), (land[client], edges[client])):
            others = np.flatnonzero(ends)
            others = others[np.argsort(place[others, 0], kind="stable")]
            ports[others] = WIDTH * ((np.arange(len(others)) + .5) / max(1, len(others)) - .5) * .9
    for s, t in np.argwhere(edges):
        full = group is None or group in (s, t)
        axes.annotate("", place[s] + (land[s, t], HEIGHT / 2), place[t] + (leave[s, t], -HEIGHT / 2),
                      arrowprops={"arrowstyle": "-|>,head_length=.3,head_width=.13", "lw": .9, "shrinkA": 0,
                                  "shrinkB": 0, "color": colours[t] if full else PALE, "alpha": .9 if full else .4},
                      zorder=2 if full else 1)


def _boxes(axes: Axes, p: np.ndarray, place: np.ndarray, colours: dict, alone: np.ndarray, members: np.ndarray,
           group: int | None) -> None:
    """A box per client: its number, and a bar per class, on one scale for all clients."""
    n_classes = p.shape[1]
    step, room = .92 * WIDTH / n_classes, HEIGHT - STRIP
    heights = .95 * room * p / p.max()
    for i, (x, y) in enumerate(place):
        ink, frame = (INK, colours.get(i, "#888888")) if i in members else (PALE, PALE)
        fill, line = ("#eeeeee", "--") if alone[i] else ("white", "-")
        axes.add_patch(Rectangle((x - WIDTH / 2, y - HEIGHT / 2), WIDTH, HEIGHT, edgecolor=frame, facecolor=fill,
                                 linewidth=2.4 if i == group else 1.2, linestyle=line, zorder=3))
        left = x - .46 * WIDTH + step * np.arange(n_classes)
        axes.bar(left, heights[i], .85 * step, y - HEIGHT / 2, align="edge", color=ink, zorder=4)
        axes.text(x, y + HEIGHT / 2 - STRIP * .55, f"{i}, alone" if alone[i] else str(i), fontsize=6, ha="center",
                  va="center", zorder=4, color=ink)
