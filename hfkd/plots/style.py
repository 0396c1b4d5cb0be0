"""How all figures look: theme, a colour and a marker for each family of methods, saving to the byte (ours).

A family is what its methods have to share (METHOD section 9). Hues are those of Okabe and Ito, which colour-blind readers
tell apart, and no two families have the same marker either.
"""

import io
from collections.abc import Iterable
from contextlib import contextmanager
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image

from hfkd import paths

PAGE = 7.2  # inches, the text width of a two-column page
INK, PALE = "#222222", "#c4c4c4"
SCENES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00")  # colours for what is no family: scenes, rules, kinds
MARKS = ("o", "s", "D", "^", "v")
FAMILIES = {  # what the methods share, colour, marker; in the order of all legends
    "ours": ("this work", "#D55E00", "*"),
    "answers": ("answers on public images", "#0072B2", "o"),
    "within": ("weights within a level", "#009E73", "s"),
    "nested": ("weights across nested levels", "#B0478A", "D"),
    "means": ("class means, heads or a small network", "#E69F00", "^"),
    "alone": ("nothing, each alone", "#777777", "X"),
}
METHODS = {  # name in the rows -> name in the figures, family; in the order of all figures
    "local": ("Local", "alone"),
    "balanced_local": ("Balanced-Local", "alone"),
    "hfkd": ("HFKD", "ours"),
    "hfkd_ramp": ("HFKD ramp", "ours"),
    "hfkd_avg": ("HFKD + averaging", "ours"),
    "hfkd_nested": ("HFKD nested", "ours"),
    "fedmd": ("FedMD", "answers"),
    "dsfl": ("DS-FL", "answers"),
    "ktpfl": ("KT-pFL", "answers"),
    "rhfl": ("RHFL", "answers"),
    "dml": ("DML", "answers"),
    "expertise_mean": ("Expertise mean", "answers"),
    "fedavg": ("FedAvg", "within"),
    "fedprox": ("FedProx", "within"),
    "feddf": ("FedDF", "within"),
    "heterofl": ("HeteroFL", "nested"),
    "inclusivefl": ("InclusiveFL", "nested"),
    "fd": ("FD", "means"),
    "fedproto": ("FedProto", "means"),
    "fedtgp": ("FedTGP", "means"),
    "fedgh": ("FedGH", "means"),
    "lg_fedavg": ("LG-FedAvg", "means"),
    "fml": ("FML", "means"),
    "fedkd": ("FedKD", "means"),
}
RC = {  # sizes in points at print size
    "font.size": 8, "axes.titlesize": 8.5, "axes.labelsize": 8, "xtick.labelsize": 7.5, "ytick.labelsize": 7.5,
    "legend.fontsize": 7.5, "legend.title_fontsize": 7.5, "legend.frameon": False, "legend.handletextpad": .4,
    "legend.columnspacing": 1.4, "legend.labelspacing": .35, "axes.linewidth": .6, "axes.edgecolor": INK,
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.color": "#e9e9e9",
    "grid.linewidth": .5, "xtick.major.width": .6, "ytick.major.width": .6, "xtick.major.size": 2.5,
    "ytick.major.size": 2.5, "xtick.minor.size": 0, "ytick.minor.size": 0, "lines.linewidth": 1.3,
    "lines.markersize": 4.5, "figure.dpi": 130, "savefig.dpi": 200, "svg.hashsalt": "hfkd", "pdf.fonttype": 42,
}  # fmt: skip


@contextmanager
def theme():
    """Seaborn's theme with our sizes, for the time of one figure; also a decorator, `@theme()`."""
    with plt.rc_context():
        plt.rcdefaults()  # a matplotlibrc of the user must not change a figure
        sns.set_theme(context="paper", style="ticks", font="DejaVu Sans", color_codes=False, rc=RC)
        yield


def family(method: str) -> str:
    """What a method has to share, a key of FAMILIES.

    Raises:
        ValueError: a method that the figures do not know.

    >>> family("heterofl")
    'nested'
    """
    if method not in METHODS:
        raise ValueError(f"method {method!r} is in no family; add it to METHODS in hfkd/plots/style.py, beside "
                         + ", ".join(METHODS))
    return METHODS[method][1]


def colour(method: str) -> str:
    """The colour of a method is that of its family.

    >>> colour("fedmd")
    '#0072B2'
    """
    return FAMILIES[family(method)][1]


def new(rows: int, columns: int, height: float, width: float = PAGE, **options) -> tuple[Figure, np.ndarray]:
    """An empty figure of width x height inches and its axes (rows, columns); options as for `plt.subplots`.

    It is closed at once: a notebook would show an open one twice, and a closed one can still be drawn on and saved.

    >>> new(1, 2, 2)[1].shape, plt.get_fignums()
    ((1, 2), [])
    """
    figure, axes = plt.subplots(rows, columns, figsize=(width, height), squeeze=False, layout="constrained", **options)
    plt.close(figure)
    return figure, axes


def finish(figure: Figure) -> Figure:
    """The figure with its layout fixed, so that screen, PDF and PNG agree."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    return figure


def legend(figure: Figure, entries: Iterable[tuple[str, str, str]], columns: int, note: str) -> None:
    """A legend above all panels: entries (words, colour, marker), a note as its title."""
    handles = [Line2D([], [], linestyle="", color=hue, marker=mark, markersize=8 if mark == "*" else 5,
                      markeredgewidth=0, label=words) for words, hue, mark in entries]
    figure.legend(handles=handles, loc="outside upper center", ncols=columns, title=note)


def arrow(axes: Axes, x: float, y: float, hue: str, text: str) -> None:
    """What is out of view, at the nearest edge with its numbers."""
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    mark = "<" if x < left else ">" if x > right else "v" if y < low else "^"
    at = min(max(x, left), right), min(max(y, low), high)
    axes.plot(*at, mark, color=hue, clip_on=False, markersize=5, markeredgewidth=0)
    axes.annotate(text.replace("-", "−"), at, (6, 5), textcoords="offset points", va="center", fontsize=6.5, color=INK,
                  in_layout=False)


@theme()
def save(figure: Figure, path: str | Path) -> list[Path]:
    """Write path.png (200 dots per inch) and path.pdf; the same figure gives the same bytes.

    Args:
        path: without suffix; its folder is made.

    Raises:
        ValueError: the path ends in .png or .pdf.
    """
    path = Path(path)
    if path.suffix in (".png", ".pdf"):
        raise ValueError(f"figure path {path} ends in {path.suffix}; expected it without, both kinds are written")
    targets = []
    for kind, blank in (("png", ("Software",)), ("pdf", ("CreationDate", "Creator", "Producer"))):
        drawn = io.BytesIO()
        figure.savefig(drawn, format=kind, metadata=dict.fromkeys(blank))  # no date, nothing of the machine
        if kind == "png":  # 256 colours are enough for a chart, in a third of the bytes
            few, drawn = Image.open(drawn).convert("RGB").quantize(256, dither=Image.Dither.NONE), io.BytesIO()
            few.save(drawn, format=kind, optimize=True)
        targets.append(paths.write(path.with_name(f"{path.name}.{kind}"), drawn.getvalue()))
    return targets
