"""How all figures look: theme, a colour and a marker for each family of methods, saving to the byte (ours)."""

import io
from contextlib import contextmanager
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image

from hfkd import paths
from hfkd.study import compare
from hfkd.study.results import SCENE

INK, PALE = "#222222", "#c4c4c4"  # all hues are Okabe and Ito's, for colour-blind readers
LEVELS = ("small", "medium", "large")
LOOKS = tuple(zip(("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"), "osD^vX", strict=True))
FAMILIES = {  # what the methods share, colour, marker; in the order of all legends
    "ours": ("this work", "#D55E00", "*"), "answers": ("answers on public images", "#0072B2", "o"),
    "within": ("weights within a level", "#009E73", "s"), "nested": ("weights across nested levels", "#B0478A", "D"),
    "means": ("class means, heads or a small network", "#E69F00", "^"), "alone": ("nothing, alone", "#444444", "X"),
}  # fmt: skip
METHODS = {  # name in the rows -> name in the figures, family; in the order of all figures
    "local": ("Local", "alone"), "balanced_local": ("Balanced-Local", "alone"),
    "labelled_public": ("Public labels", "alone"), "hfkd": ("HFKD", "ours"),
    "hfkd_nested": ("HFKD nested", "ours"), "fedmd": ("FedMD", "answers"), "dsfl": ("DS-FL", "answers"),
    "ktpfl": ("KT-pFL", "answers"), "rhfl": ("RHFL", "answers"), "dml": ("DML", "answers"),
    "expertise_mean": ("Expertise mean", "answers"), "scarlet": ("SCARLET", "answers"), "suwa": ("sUWA", "answers"),
    "fedavg_ft": ("FedAvg, fine-tuned", "within"), "fedrod": ("FedRoD", "within"),
    "fedavg": ("FedAvg", "within"), "fedprox": ("FedProx", "within"), "feddf": ("FedDF", "within"),
    "heterofl": ("HeteroFL", "nested"), "feddf_nested": ("FedDF nested", "nested"),
    "inclusivefl": ("InclusiveFL", "nested"), "fd": ("FD", "means"),
    "fedproto": ("FedProto", "means"), "fedtgp": ("FedTGP", "means"), "fedgh": ("FedGH", "means"),
    "lg_fedavg": ("LG-FedAvg", "means"),
    "alternating": ("Alternating", "means"), "fml": ("FML", "means"), "fedkd": ("FedKD", "means"),
}  # fmt: skip
BAND = lambda sample: compare.interval(sample)[1:3]  # as seaborn wants its error bars; NaN for one seed
PARTITIONS = {"dirichlet": "Dirichlet {skew:g}", "pathological": "two classes each",
              "level_dependent": "data by level {skew:g}"}
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
    """An empty figure as wide as a page, `height` inches high, and its axes (rows, columns); as `plt.subplots`."""
    figure, axes = plt.subplots(rows, columns, figsize=(7.2, height), squeeze=False, layout="constrained", **options)
    plt.close(figure)  # a notebook would show an open one twice, and a closed one can still be drawn on and saved
    return figure, axes


def scenes(frame: pd.DataFrame):
    """Title, conditions and rows of each scene. Raises: ValueError, if there are no rows."""
    if frame.empty:
        raise ValueError("the frame has no rows; expected summary rows, such as `hfkd grid 40` makes")
    for key, rows in frame.groupby(SCENE):
        where = dict(zip(SCENE, key, strict=True))
        title = PARTITIONS[where["partition"]].format(**where)
        yield ", ".join([title, *(where[name] for name in SCENE[:2] if frame[name].nunique() > 1)]), where, rows


def panels(frame: pd.DataFrame, height: float, **options) -> tuple[Figure, list]:
    """A figure with titled axes per scene, and a list of (axes, conditions, rows)."""
    found = list(scenes(frame))
    figure, (row,) = new(1, len(found), height, **options)
    for axes, (title, *_) in zip(row, found, strict=True):
        axes.set_title(title)
    return figure, [(axes, *rest) for axes, (_, *rest) in zip(row, found, strict=True)]


def line(axes, rows: pd.DataFrame, y: str, hue: str, mark: str) -> None:
    """Means over seeds by round as a line, with their 95 % limits as a band."""
    sns.lineplot(rows, x="round", y=y, errorbar=BAND, color=hue, marker=mark, markeredgewidth=0, ax=axes,
                 markersize=8 if mark == "*" else 4.5)
    axes.set_xticks(sorted(rows["round"].unique()))


def over_seeds(frame: pd.DataFrame, what: str = "Bars") -> str:
    """What the intervals of a figure are, in words."""
    seeds = frame["seed"].nunique()
    return f"{what}: 95 % over {seeds} seeds." if seeds > 1 else "One seed, no interval."


def finish(figure: Figure, entries=(), columns: int = 3, note: str | None = None) -> Figure:
    """The figure with a legend above it, of (words, colour, marker) and a note as title, and its layout fixed."""
    handles = [Line2D([], [], linestyle="", color=hue, marker=mark, markersize={"*": 8, "|": 7}.get(mark, 5),
                      markeredgewidth=1.4 * (mark == "|"), label=words) for words, hue, mark in entries]
    if handles:
        figure.legend(handles=handles, loc="outside upper center", ncols=columns, title=note)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # so that screen, PDF and PNG agree
    return figure


@theme()
def save(figure: Figure, path: str | Path) -> list[Path]:
    """Write path.png (200 dots per inch, 256 colours) and path.pdf; the same figure gives the same bytes.
    Raises: ValueError, if the path ends in .png or .pdf.
    """
    if str(path).endswith((".png", ".pdf")):
        raise ValueError(f"figure path {path} ends in {str(path)[-4:]}; expected it without, both kinds are written")
    drawn, png, pdf = io.BytesIO(), io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png")
    few = Image.open(drawn).convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    few.save(png, format="png", optimize=True)
    figure.savefig(pdf, format="pdf", metadata=dict.fromkeys(("CreationDate", "Creator", "Producer")))
    return [paths.write(f"{path}.{kind}", file.getvalue()) for kind, file in (("png", png), ("pdf", pdf))]
