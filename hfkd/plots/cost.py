"""The figure of cost: seconds of a round against its arithmetic, and against one client after the other (ours)."""

from collections.abc import Mapping, Sequence

import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from hfkd.plots.style import INK, PALE, SCENES, finish, legend, new, theme

KINDS = {"floor": ("arithmetic floor", INK, "|"), "seconds": ("one program for all clients", SCENES[0], "o"),
         "sequential": ("one client after the other", SCENES[1], "D")}


@theme()
def fig_floor(rounds: Sequence[Mapping]) -> Figure:
    """Seconds of each piece of work on a log scale: its arithmetic alone, one program, one client after the other.

    At the right: seconds over the floor, and how many times faster one program is than one client after the other.

    Args:
        rounds: records of `hfkd bench --json` with what, seconds, floor, sequential (s; None: not measured).

    Raises:
        ValueError: no record with a floor.

    >>> figure = fig_floor([{"what": "a round", "seconds": 6.0, "sequential": 12.0, "floor": 2.0}])
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['over floor', 'faster', '3.0', '2.0']
    """
    rows = pd.DataFrame(rounds, columns=["what", *KINDS]).dropna(subset=["floor"]).reset_index(drop=True)
    if rows.empty:
        raise ValueError("no record has a floor; `hfkd bench --json FILE` measures them")
    figure, ((axes,),) = new(1, 1, .8 + .17 * len(rows))
    axes.hlines(rows["what"], rows["floor"], rows[list(KINDS)].max(axis=1), color=PALE, linewidth=1, zorder=1)
    for name, (_, hue, mark) in KINDS.items():
        sns.stripplot(rows, x=name, y="what", color=hue, marker=mark, jitter=False, size=9 if mark == "|" else 5.5,
                      linewidth=1.4 * (mark == "|"), ax=axes, zorder=3)
    for x, words in ((1.05, "over floor"), (1.16, "faster")):
        axes.annotate(words, (x, 1.01), xycoords="axes fraction", fontsize=6.5, ha="center", va="bottom")
    for y, row in rows.iterrows():
        for x, ratio in ((1.05, row["seconds"] / row["floor"]), (1.16, row["sequential"] / row["seconds"])):
            if ratio > 0:  # not where nothing was measured
                axes.annotate(f"{ratio:.1f}", (x, y), xycoords=("axes fraction", "data"), fontsize=6.5, ha="center",
                              va="center", annotation_clip=False)
    axes.set(xscale="log", xlabel="seconds of a round", ylabel="")
    axes.xaxis.set_major_formatter(EngFormatter("s"))
    axes.tick_params(axis="y", length=0)
    legend(figure, KINDS.values(), 3, None)
    return finish(figure)
