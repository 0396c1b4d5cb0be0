"""The figure of all numbers: who gains on which level, a row per run, a column per level and share (ours)."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from hfkd.overview import LOWER, PRIMARY, by_seed, gains, key
from hfkd.plots.canvas import CYCLE, INK, PAGE, by_level, finish, new, styled
from hfkd.plots.looks import BALANCED, FIRST, look
from hfkd.plots.panels import Panel, panels, words
from hfkd.statistics import interval

SHARES = ("worst20", "below_local")
SHORT = {"worst20": "worst 20 %", "below_local": "below Local"}
EVEN = {"below_local": 50.0}  # what says nothing, where it is not a difference of 0
ROW, GAP = .132, .35  # inches; of a column, between groups of columns
GREY = "#8c8c8c"
LETTERS = 5.6  # points


@styled
def fig_levels(frame: pd.DataFrame, metric: str | Sequence[str] = PRIMARY, baseline: str = "local",
               shares: Sequence[str] = SHARES) -> Figure:
    """Who gains: per level, the difference of every run to the baseline at the last round, paired by seed, as a table.

    A number is the mean over the clients of the level and over seeds, in points; blue is better than the baseline and
    vermilion worse, darker the more, on one scale per metric that ends at its 90 % quantile. Grey on white: the 95 %
    interval over seeds contains 0, or there is one seed. The first row holds the baseline's own values. On the right,
    over all levels, the worst fifth of the clients, as a difference too, and the share of clients below Local, which is
    compared with one half.

    Args:
        frame: rows of one experiment; a run that a scene lacks is left blank there.
        metric: a name of `endpoints.POINTS`, or several, each with a column per level.
        baseline: a method's name, of the base configuration.
        shares: further metrics, one column each; "below_local" needs rows of Local.

    Raises:
        ValueError: no rows, an unknown metric, no rows of the baseline, or a run without a client of some level.

    Source: *ours* (METHOD section 9).

    >>> from hfkd.endpoints import COLUMNS
    >>> rows = pd.DataFrame([dict.fromkeys(COLUMNS, 0) | {"partition": "dirichlet", "variant": "", "method": method,
    ...                      "client": k, "level": k, "consistency": c} for method, k, c in
    ...                      (("local", 1, .5), ("local", 2, .5), ("hfkd", 1, .75), ("hfkd", 2, 1))])
    >>> [text.get_text() for text in fig_levels(rows, "consistency", shares=()).axes[0].texts[:4]]
    ['50.0', '50.0', '+25', '+50']
    """
    scenes, metrics = panels(frame), [metric] if isinstance(metric, str) else list(metric)
    levels = sorted(int(level) for level in frame["level"].unique())
    columns = [(name, level) for name in metrics for level in levels] + [(name, None) for name in shares]
    tables = [_numbers(panel, columns, baseline) for panel in scenes]
    rows = _rows([run for panel in scenes for run in panel.runs], baseline)
    figure, (row,) = new(1, len(scenes), PAGE, .75 + ROW * len(rows), sharey=True)
    scale = _scale(columns, tables)
    for axes, panel, table in zip(row, scenes, tables, strict=True):
        _table(axes, rows, columns, table, scale, baseline)
        _heads(axes, columns, levels, panel.title)
    row[0].set_ylim(len(rows) - .5, -.5)
    row[0].set_yticks(range(len(rows)), [text for text, _ in rows], fontsize=6.5)
    for label, (text, run) in zip(row[0].get_yticklabels(), rows, strict=True):
        label.set_fontweight("bold" if run is None or run[0] == FIRST else "normal")
    return finish(figure)


def _numbers(panel: Panel, columns: Sequence[tuple], baseline: str) -> dict[tuple, np.ndarray]:
    """Run -> (column, 3): mean, low and high of what is written, for the baseline its own mean in all three."""
    own = by_seed(panel.rows, [baseline], columns, **panel.where)
    found = {(baseline, ""): np.array([[table.to_numpy().mean()] * 3 for table in own])}
    rivals = [run for run in panel.runs if run != (baseline, "")]
    table = gains(panel.rows, list(map(key, rivals)), baseline, columns, **panel.where)
    table = table[["difference", "low", "high"]].to_numpy(copy=True).reshape(len(columns), len(rivals), 3)
    for k, (name, level) in enumerate(columns):
        if name in EVEN:  # the share itself
            shares = by_seed(panel.rows, list(map(key, rivals)), [(name, level)], **panel.where)[0]
            table[k] = [(i.mean, i.low, i.high) for i in (interval(shares[key(run)]) for run in rivals)]
    return found | dict(zip(rivals, table.transpose(1, 0, 2), strict=True))


def _rows(runs: Sequence[tuple[str, str]], baseline: str) -> list[tuple[str, tuple | None]]:
    """(words, run) from top to bottom; a heading has no run."""
    runs = [run for run in dict.fromkeys(runs) if run != (baseline, "")]
    swapped = [run for run in runs if BALANCED.search(run[1])]
    rows = [(look(baseline)["label"] + " itself", (baseline, ""))] + [("published loss", None)] * bool(swapped)
    rows += [(look(*run)["label"], run) for run in runs if run not in swapped]
    rows += [("balanced loss", None)] * bool(swapped)
    return rows + [(look(*run, loss=False)["label"], run) for run in swapped]


def _scale(columns: Sequence[tuple], tables: Sequence[dict]) -> dict[str, float]:
    """Metric -> the deviation that has the full colour."""
    means = np.array([table[:, 0] for each in tables for table in list(each.values())[1:]]).reshape(-1, len(columns))
    sizes = {name: [] for name, _ in columns}
    for k, (name, _) in enumerate(columns):
        sizes[name].extend(abs(means[:, k] - EVEN.get(name, 0)))
    return {name: max(1e-9, float(np.quantile(each, .9))) if each else 1.0 for name, each in sizes.items()}


def _table(axes: Axes, rows: Sequence[tuple], columns: Sequence[tuple], table: dict, scale: dict,
           baseline: str) -> None:
    """The cells of one panel."""
    for y, (_, run) in enumerate(rows):
        for x, (name, _), (mean, low, high) in zip(_places(columns), columns, table.get(run, ())):
            if run == (baseline, ""):
                if name not in EVEN:
                    axes.text(x, y, f"{mean:.1f}", fontsize=LETTERS, ha="center", va="center_baseline", color=INK,
                              in_layout=False)
                continue
            off = mean - EVEN.get(name, 0)
            clear = low - mean > -off or high - mean < -off  # False if the limits are NaN
            if clear:
                hue = to_rgb(CYCLE[0] if (off > 0) != (name in LOWER) else CYCLE[1])
                strength = .08 + .62 * min(1, abs(off) / scale[name]) ** .7
                axes.add_patch(Rectangle((x - .5, y - .5), 1, 1, color=1 - strength * (1 - np.array(hue)), linewidth=0))
            axes.text(x, y, _short(mean, name), fontsize=LETTERS, ha="center", va="center_baseline",
                      color=INK if clear else GREY, in_layout=False)


def _places(columns: Sequence[tuple]) -> np.ndarray:
    """Middle of each column; a gap stands between metrics."""
    names = [name for name, _ in columns]
    fresh = [a != b for a, b in zip(names, names[1:], strict=False)]
    return np.arange(len(names)) + GAP * np.concatenate([[0], np.cumsum(fresh)])


def _heads(axes: Axes, columns: Sequence[tuple], levels: Sequence[int], title: str) -> None:
    """Words above the columns of one panel, and its limits."""
    x, names = _places(columns), dict(zip(levels, [name for name, _, _ in by_level(levels)[1]], strict=True))
    axes.set_xlim(x[0] - .5, x[-1] + .5)
    axes.xaxis.tick_top()
    texts = [names[level] if level else SHORT.get(name, words(name)) for name, level in columns]
    axes.set_xticks(x, texts, rotation=90, fontsize=6.5)
    axes.tick_params(length=0, pad=2)
    axes.spines[:].set_visible(False)
    for name in dict.fromkeys(name for name, level in columns if level):
        middle = np.mean([at for at, column in zip(x, columns, strict=True) if column[0] == name])
        axes.annotate(words(name), (middle, 1), (0, 32), xycoords=axes.get_xaxis_transform(), fontsize=7,
                      textcoords="offset points", ha="center", annotation_clip=False)
    axes.set_title(title, pad=3)


def _short(value: float, name: str) -> str:
    """A number of at most four characters; a difference has its sign.

    >>> _short(-12.3, "personality"), _short(0.25, "personality"), _short(35.2, "below_local")
    ('−12', '+0.2', '35')
    """
    text = f"{value:.0f}" if name in EVEN else f"{value:+.1f}" if abs(value) < 9.95 else f"{value:+.0f}"
    return "0.0" if text in ("+0.0", "-0.0") else text.replace("-", "−")
