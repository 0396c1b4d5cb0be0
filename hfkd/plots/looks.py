"""Names, colours and markers: a method looks the same in every figure (ours).

A hue is a family, a marker is a member of it, and a hollow marker is the balanced loss in place of the published one.
Hues are those of Okabe and Ito, which colour-blind readers tell apart; members of a family differ in lightness too.
"""

import re
from collections.abc import Sequence

from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hfkd.plots.phrases import said

METHODS = {  # name in the rows -> human name, colour, marker; in the order of all figures
    "local": ("Local", "#4d4d4d", "o"),
    "balanced_local": ("Balanced-Local", "#a6a6a6", "s"),
    "fedmd": ("FedMD", "#E69F00", "o"),
    "expertise_mean": ("Expertise mean", "#8F6400", "s"),
    "dsfl": ("DS-FL", "#F5C242", "^"),
    "ktpfl": ("KT-pFL", "#B37A00", "v"),
    "rhfl": ("RHFL", "#FFB52E", "D"),
    "dml": ("DML", "#6B4B00", "P"),
    "fedavg": ("FedAvg", "#009E73", "o"),
    "fedprox": ("FedProx", "#4CC3A0", "s"),
    "feddf": ("FedDF", "#00664A", "^"),
    "heterofl": ("HeteroFL", "#84D8C0", "v"),
    "inclusivefl": ("InclusiveFL", "#2E8568", "D"),
    "fd": ("FD", "#CC79A7", "o"),
    "fedproto": ("FedProto", "#8E3A6B", "s"),
    "fedtgp": ("FedTGP", "#E3A3C6", "^"),
    "fedgh": ("FedGH", "#B3558C", "v"),
    "lg_fedavg": ("LG-FedAvg", "#6A1F4B", "D"),
    "fml": ("FML", "#D55E00", "o"),
    "fedkd": ("FedKD", "#9C3F00", "s"),
    "hfkd": ("HFKD", "#0072B2", "*"),
    "hfkd_ramp": ("HFKD ramp", "#56B4E9", "*"),
    "hfkd_avg": ("HFKD + averaging", "#003B73", "*"),
}
FAMILIES = {  # what a family shares -> its members
    "alone": ("local", "balanced_local"),
    "this work": ("hfkd", "hfkd_ramp", "hfkd_avg"),
    "answers on public images": ("fedmd", "expertise_mean", "dsfl", "ktpfl", "rhfl", "dml"),
    "weights averaged": ("fedavg", "fedprox", "feddf", "heterofl", "inclusivefl"),
    "class means or heads": ("fd", "fedproto", "fedtgp", "fedgh", "lg_fedavg"),
    "small shared network": ("fml", "fedkd"),
}
VARIANTS = {  # words and marker ("": the method's); a variant without a line here is shown by what `said` says
    "": ("", ""),
    "rule=random": (" with random teachers", "v"),
    "rule=all": (" with all teachers", "^"),
    "pooling=log": (", log pooling", "D"),
    "readout=head": (", by its head", "P"),
}
BALANCED = re.compile(r"(?:^|,)hard_loss=balanced(?=,|$)")
OWN = ("balanced_local", "hfkd", "hfkd_ramp", "hfkd_avg")  # their published loss is the balanced one
HOLLOW = "hollow: with the balanced loss in place of the published one"
FIRST = "hfkd"  # the method that stands out
OURS = FAMILIES["this work"]


def look(method: str, variant: str = "", loss: bool = True) -> dict:
    """How a run is shown in every figure: label, color, marker, face (inside of the marker), size (area, points^2).

    Args:
        method: a name of METHODS.
        variant: as in the rows; markers differ only between the variants of VARIANTS and all others.
        loss: whether the label says that the balanced loss is in place of the published one.

    Raises:
        ValueError: a method without a colour.

    Source: *ours*.

    >>> look("fedmd", "hard_loss=balanced")["label"], look("hfkd", "alpha=0.5")["label"], look("hfkd")["color"]
    ('FedMD + balanced loss', 'HFKD (alpha=0.5)', '#0072B2')
    """
    if method not in METHODS:
        raise ValueError(f"method {method!r} has no colour; the figures know {', '.join(METHODS)}; add it to "
                         "METHODS in hfkd/plots/looks.py")
    name, colour, marker = METHODS[method]
    rest = BALANCED.sub("", variant).strip(",")
    hollow = rest != variant
    words, other = VARIANTS.get(rest, (f" ({said(rest)})", "D"))
    return {"label": name + " + balanced loss" * (hollow and loss) + words, "color": colour, "marker": other or marker,
            "face": "white" if hollow else colour, "size": 80 if (other or marker) == "*" else 26}


def dot(run: tuple[str, str], **more) -> dict:
    """Keywords for `axes.scatter` that show a run as `look` says.

    >>> dot(("local", ""))["c"]
    '#4d4d4d'
    """
    style = look(*run)
    return {"s": style["size"], "c": style["face"], "marker": style["marker"], "edgecolors": style["color"],
            "linewidths": 0 if style["face"] == style["color"] else 1.1} | more


def legend(figure: Figure, runs: Sequence[tuple[str, str]], columns: int = 5) -> None:
    """A legend below the panels, sorted by family; its title says what a hollow marker is, if there is one.

    Args:
        figure: not yet finished.
        runs: (method, variant), each once.
        columns: at most so many; a family is never split.

    Source: *ours*.
    """
    blocks = []
    for heading, members in FAMILIES.items():
        found = [run for member in members for run in runs if run[0] == member]
        entries = [(_handle(run), look(*run, loss=False)["label"]) for run in found]
        blocks += [[(_blank(), heading), *entries]] * bool(found)
    tall = max(map(len, blocks))
    while len(packed := _packed(blocks, tall)) > columns:
        tall += 1
    entries = [entry for column in packed for entry in column + [(_blank(), "")] * (tall - len(column))]
    box = figure.legend(*zip(*entries, strict=True), loc="outside lower center", ncols=len(packed), fontsize=6.5,
                        handletextpad=.3, title=HOLLOW if any(BALANCED.search(run[1]) for run in runs) else None)
    for text in box.get_texts():
        text.set_fontweight("bold" if text.get_text() in FAMILIES else "normal")


def _packed(blocks: list[list], tall: int) -> list[list]:
    """The blocks in columns of at most `tall` entries, one below the other in their order."""
    columns = [[]]
    for block in blocks:
        if columns[-1] and len(columns[-1]) + len(block) > tall:
            columns.append([])
        columns[-1] = columns[-1] + block
    return columns


def _handle(run: tuple[str, str]) -> Artist:
    """The marker of a run, without a line."""
    style = look(*run)
    return Line2D([], [], linestyle="", marker=style["marker"], color=style["color"], markerfacecolor=style["face"],
                  markersize=style["size"] ** .5 * .9, markeredgewidth=.9 * (style["face"] == "white"))


def _blank() -> Artist:
    """Nothing, as wide as a marker."""
    return Line2D([], [], linestyle="")
