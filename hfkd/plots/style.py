"""How all figures look: theme, a colour and a marker for each family of methods, saving to the byte (ours).

A family is what its methods have to share (METHOD section 9); hues are Okabe and Ito's, for colour-blind readers.
"""

import io
from collections.abc import Iterable
from contextlib import contextmanager
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image

from hfkd import paths

PAGE = 7.2  # inches, the text width of a page
INK, PALE = "#222222", "#c4c4c4"
LOOKS = tuple(zip(("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"), "osD^vX", strict=True))
FAMILIES = {  # what the methods share, colour, marker; in the order of all legends
    "ours": ("this work", "#D55E00", "*"), "answers": ("answers on public images", "#0072B2", "o"),
    "within": ("weights within a level", "#009E73", "s"), "nested": ("weights across nested levels", "#B0478A", "D"),
    "means": ("class means, heads or a small network", "#E69F00", "^"), "alone": ("nothing, alone", "#444444", "X"),
}  # fmt: skip
METHODS = {  # name in the rows -> name in the figures, family; in the order of all figures
    "local": ("Local", "alone"), "balanced_local": ("Balanced-Local", "alone"), "hfkd": ("HFKD", "ours"),
    "hfkd_ramp": ("HFKD ramp", "ours"), "hfkd_avg": ("HFKD + averaging", "ours"),
    "hfkd_nested": ("HFKD nested", "ours"), "fedmd": ("FedMD", "answers"), "dsfl": ("DS-FL", "answers"),
    "ktpfl": ("KT-pFL", "answers"), "rhfl": ("RHFL", "answers"), "dml": ("DML", "answers"),
    "expertise_mean": ("Expertise mean", "answers"),
    "fedavg": ("FedAvg", "within"), "fedprox": ("FedProx", "within"), "feddf": ("FedDF", "within"),
    "heterofl": ("HeteroFL", "nested"), "inclusivefl": ("InclusiveFL", "nested"), "fd": ("FD", "means"),
    "fedproto": ("FedProto", "means"), "fedtgp": ("FedTGP", "means"), "fedgh": ("FedGH", "means"),
    "lg_fedavg": ("LG-FedAvg", "means"), "fml": ("FML", "means"), "fedkd": ("FedKD", "means"),
}  # fmt: skip
RC = {  # sizes in points at print size; without hinting, words are as wide on the screen as in print
    "font.size": 8, "axes.titlesize": 8.5, "axes.labelsize": 8, "xtick.labelsize": 7.5, "ytick.labelsize": 7.5,
    "legend.fontsize": 7.5, "legend.title_fontsize": 7.5, "legend.frameon": False, "legend.handletextpad": .4,
    "axes.linewidth": .6, "axes.edgecolor": INK, "axes.spines.top": False, "axes.spines.right": False,
    "axes.grid": True, "grid.color": "#e9e9e9", "grid.linewidth": .5, "xtick.major.width": .6, "ytick.major.width": .6,
    "xtick.major.size": 2.5, "ytick.major.size": 2.5, "lines.linewidth": 1.3, "lines.markersize": 4.5,
    "figure.dpi": 120, "savefig.dpi": 200, "svg.hashsalt": "hfkd", "pdf.fonttype": 42, "text.hinting": "no_hinting",
}  # fmt: skip


@contextmanager
def theme():
    """Seaborn's theme with our sizes, for the time of one figure; also a decorator, `@theme()`."""
    with plt.rc_context():
        plt.rcdefaults()  # a matplotlibrc of the user must not change a figure
        sns.set_theme(context="paper", style="ticks", font="DejaVu Sans", color_codes=False, rc=RC)
        yield


def look(run: str) -> tuple[str, str, str]:
    """Name of a run's method, colour and marker of its family. Raises: ValueError, if the figures do not know it.

    >>> look("fedmd[hard_loss=balanced]")
    ('FedMD', '#0072B2', 'o')
    """
    method = run.partition("[")[0]
    if method not in METHODS:
        raise ValueError(f"method {method!r} is in no family; add it to METHODS in hfkd/plots/style.py")
    name, family = METHODS[method]
    return name, *FAMILIES[family][1:]


def new(rows: int, columns: int, height: float, **options) -> tuple[Figure, np.ndarray]:
    """An empty figure as wide as a page, `height` inches high, and its axes (rows, columns); as `plt.subplots`.

    It is closed at once: a notebook would show an open one twice, and a closed one can still be drawn on and saved.
    """
    figure, axes = plt.subplots(rows, columns, figsize=(PAGE, height), squeeze=False, layout="constrained", **options)
    plt.close(figure)
    return figure, axes


def finish(figure: Figure, entries: Iterable[tuple[str, str, str]] = (), columns: int = 3, note: str = "") -> Figure:
    """The figure with a legend above it, of (words, colour, marker) and a note as title, and its layout fixed."""
    handles = [Line2D([], [], linestyle="", color=hue, marker=mark, markersize={"*": 8, "|": 7}.get(mark, 5),
                      markeredgewidth=1.4 * (mark == "|"), label=words) for words, hue, mark in entries]
    if handles:
        figure.legend(handles=handles, loc="outside upper center", ncols=columns, title=note or None)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # so that screen, PDF and PNG agree
    return figure


@theme()
def save(figure: Figure, path: str | Path) -> list[Path]:
    """Write path.png (200 dots per inch, 256 colours) and path.pdf; the same figure gives the same bytes.
    Raises: ValueError, if the path ends in .png or .pdf.
    """
    path = Path(path)
    if path.suffix in (".png", ".pdf"):
        raise ValueError(f"figure path {path} ends in {path.suffix}; expected it without, both kinds are written")
    drawn, png, pdf = io.BytesIO(), io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png")
    few = Image.open(drawn).convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    few.save(png, format="png", optimize=True)
    figure.savefig(pdf, format="pdf", metadata=dict.fromkeys(("CreationDate", "Creator", "Producer")))
    return [paths.write(path.with_name(f"{path.name}.{kind}"), content.getvalue())
            for kind, content in (("png", png), ("pdf", pdf))]
