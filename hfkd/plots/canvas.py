"""What all figures share: style, an empty figure, saving (ours).

A figure is made inside `styled`, from `new`, and returned through `finish`. Nothing of it stays in matplotlib's state.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from hfkd.assess import distributions

PAGE, COLUMN = 7.16, 3.5  # inches: text width and column width of a two-column page
INK, PALE = "#222222", "#bbbbbb"
CYCLE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C564B")  # for what is no method
LEVELS = ("small", "medium", "large")

# "default" first: a matplotlibrc of the user must not change a figure
styled = plt.style.context(["default", str(Path(__file__).with_name("hfkd.mplstyle"))])


def new(rows: int, columns: int, width: float, height: float, **options) -> tuple[Figure, np.ndarray]:
    """A figure of width x height inches, its axes (rows, columns); options as for `plt.subplots`.

    It comes from pyplot and is closed at once: a notebook shows a figure only if pyplot has started its backend, and
    shows an open one twice. A closed figure can still be drawn on, shown and saved.

    Source: *ours*.

    >>> new(1, 2, PAGE, 2)[1].shape, plt.get_fignums()
    ((1, 2), [])
    """
    figure, axes = plt.subplots(rows, columns, figsize=(width, height), squeeze=False, **options)
    plt.close(figure)
    return figure, axes


def finish(figure: Figure) -> Figure:
    """The figure with its layout fixed, so that screen, PDF and PNG agree.

    Source: *ours*.
    """
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    return figure


def by_level(levels: Sequence[int]) -> tuple[np.ndarray, list[tuple[str, int, int]]]:
    """Clients in the order of their levels, and (name, first, end) of each level in that order.

    Args:
        levels: (N,) integers >= 1; three levels or fewer are called small, medium, large.

    Source: *ours*.

    >>> by_level([2, 1, 1])[0].tolist(), by_level([2, 1, 1])[1]
    ([1, 2, 0], [('small', 0, 2), ('medium', 2, 3)])
    """
    levels = np.asarray(levels)
    order = np.argsort(levels, kind="stable")
    found, first = np.unique(levels[order], return_index=True)
    names = [LEVELS[k - 1] if found[-1] <= len(LEVELS) else f"level {k}" for k in found]
    return order, list(zip(names, first.tolist(), [*first[1:].tolist(), len(levels)], strict=True))


def checked(counts: np.ndarray, levels: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Counts (N, C) and levels (N,) as arrays.

    Raises:
        ValueError: what `assess.distributions` does not take, or another number of levels than of clients.

    Source: *ours*.
    """
    counts, levels = np.asarray(counts), np.asarray(levels)
    distributions(counts)
    if levels.shape != counts.shape[:1]:
        raise ValueError(f"levels has shape {levels.shape}; expected one level for each of {len(counts)} clients")
    return counts, levels


@styled
def save(figure: Figure, path: str | Path) -> tuple[Path, Path]:
    """Write path.pdf and path.png (160 dots per inch); the same figure gives the same bytes.

    Args:
        figure: of any function of this package.
        path: without suffix; its folder is made.

    Returns:
        the two paths, PDF first.

    Raises:
        ValueError: the path ends in .pdf or .png.

    Source: *ours* (HOUSE: no date, nothing of the machine in the file).
    """
    path = Path(path)
    if path.suffix in (".pdf", ".png"):
        raise ValueError(f"figure path {path} ends in {path.suffix}; expected it without, both kinds are written")
    blank = {"pdf": {"CreationDate": None, "Creator": None, "Producer": None}, "png": {"Software": None}}
    path.parent.mkdir(parents=True, exist_ok=True)
    targets = [path.with_name(f"{path.name}.{kind}") for kind in blank]
    hidden = [target.with_name(f".{target.name}.{os.getpid()}.tmp") for target in targets]
    try:
        for name, kind in zip(hidden, blank, strict=True):
            figure.savefig(name, format=kind, metadata=blank[kind])
        for name, target in zip(hidden, targets, strict=True):
            os.replace(name, target)
    finally:
        for name in hidden:
            name.unlink(missing_ok=True)
    return tuple(targets)
