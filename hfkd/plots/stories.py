"""The figure of one client's story: its group, its weight, what each partner earned it, before and after (ours)."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hfkd.plots.canvas import CYCLE, INK, LEVELS, PAGE, PALE, finish, new, styled
from hfkd.plots.looks import look
from hfkd.plots.margins import STEP, label_ends
from hfkd.plots.panels import DATASETS

MOST = 14  # partners that are shown
KINDS = {"teacher": CYCLE[0], "feedback": CYCLE[1], "peer": CYCLE[2], "self": "#888888",  # as in `groups`
         "fallback": CYCLE[3], "quarantined": CYCLE[4]}
LACKING = "#f0f0f0"
LETTERS = {"similarity": "S", "gain": "G", "coverage": "K"}
ENDPOINTS = {"personality": "images like its own", "consistency": "all classes alike"}


@styled
def fig_story(story) -> Figure:
    """A page-wide figure: labels of the client and its partners, its weight over the rounds, revenue, before and after.

    Teachers, students (feedback) and peers have a colour each. Classes of which the client has less than a fair share
    are shaded; S, G and K are the similarity, the union gain and the coverage of `assess`.

    Args:
        story: a stories.Story.

    Raises:
        ValueError: the client hears nobody.

    Source: *ours*.
    """
    if story.partners.empty:
        raise ValueError(f"client {story.client} hears nobody under {story.run['method']}; expected one with partners")
    order = np.lexsort([-story.partners["weight"].fillna(0), story.partners["kind"] != "teacher"])
    partners = story.partners.iloc[np.sort(order[:MOST])]  # teachers first, then whoever has most say
    figure, grid = new(2, 3, PAGE, max(3.4, 1 + .23 * len(partners)), width_ratios=[1, 1, 1])
    figure.get_layout_engine().set(w_pad=.07)
    tall = []
    for column in (0, 2):
        tall.append(figure.add_subplot(grid[0, column].get_gridspec()[:, column]))
        grid[0, column].remove()
        grid[1, column].remove()
    _labels(tall[0], story, partners[partners["now"]])
    _weight(grid[0, 1], story)
    _outcome(grid[1, 1], story)
    figure.suptitle(_title(story))
    (_revenue if story.measured else _say)(tall[1], story, partners)
    return finish(figure)


def _title(story) -> str:
    """Whose story it is, and in which run."""
    run, level = story.run, story.levels[story.client]
    size = LEVELS[level - 1] if max(story.levels) <= len(LEVELS) else f"level {level}"
    where = f"{DATASETS.get(run['dataset'], run['dataset'])}, {run['partition'].replace('_', '-').capitalize()}"
    return (f"client {story.client} ({size}, {story.samples} samples): {look(run['method'], run['variant'])['label']}, "
            f"{where} {run['skew']:g}, seed {run['seed']}")


def _labels(axes: Axes, story, partners) -> None:
    """A row of bars per client, itself on top; S, G and K beside each partner."""
    own, classes = story.counts[story.client], story.counts.shape[1]
    rows = [(story.client, "self"), *zip(partners.index, partners["kind"], strict=True)]
    for c in np.flatnonzero(own < own.sum() / classes):
        axes.axvspan(c - .5, c + .5, color=LACKING, linewidth=0, zorder=0)
    for y, (client, kind) in enumerate(rows):
        counts = story.counts[client]
        colour = INK if kind == "self" else KINDS[kind]
        axes.bar(np.arange(classes), -.78 * counts / max(1, counts.max()), .8, y + .4, color=colour, linewidth=0)
        axes.axhline(y + .4, color=colour, linewidth=.5)
    for measure, x in (("similarity", 20), ("gain", 43), ("coverage", 64)):
        for y, text in enumerate([LETTERS[measure], *(f"{value:.2f}" for value in partners[measure])]):
            axes.annotate(text.replace("-", "−"), (1, y + .15), (x, 0), textcoords="offset points", ha="right",
                          va="center", fontsize=6.5, xycoords=("axes fraction", "data"), annotation_clip=False)
    axes.set(title="labels (shaded: it lacks)", xlim=(-.5, classes - .5), xlabel="class",
             ylim=(len(rows) - .4, -.5))
    axes.set_xticks(np.arange(classes) if classes <= 12 else np.arange(0, classes, -(-classes // 10)))
    axes.set_yticks(np.arange(len(rows)) + .15, [_name(*row) for row in rows])
    for text, (_, kind) in zip(axes.get_yticklabels(), rows, strict=True):
        text.set_color(INK if kind == "self" else KINDS[kind])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _weight(axes: Axes, story) -> None:
    """Alpha or beta over the rounds; rounds with a closed gate are shaded."""
    weight, closed = story.rounds["weight"], story.rounds["closed"].to_numpy() > 0
    for at in weight.index[closed]:
        axes.axvspan(at - .5, at + .5, color="#e5e5e5", linewidth=0, zorder=0)
    axes.plot(weight.index, weight, color=INK, marker="o", markersize=2.5)
    letter = "alpha" if (story.partners["kind"] == "teacher").any() else "beta"
    axes.set(title=f"{letter}{' (shaded: gate closed)' if closed.any() else ''}", xlabel="round",
             ylim=(0, 1.12 * weight.max() if weight.any() else 1), xlim=(weight.index[0] - .5, weight.index[-1] + .5))
    axes.grid(axis="y")


def _outcome(axes: Axes, story) -> None:
    """A dumbbell per endpoint and reference: from the reference to the client at its last round."""
    moments = [name for name in story.shares.index if name.startswith("round")]
    now, references = moments[-1], [name for name in story.shares.index if name != moments[-1]]
    ticks, y = [], 0
    for metric, words in ENDPOINTS.items():
        after = 100 * story.shares.loc[now, metric]
        axes.annotate(f"{words}: {after:.1f} %", (0, y), xycoords=("axes fraction", "data"), va="center", fontsize=7,
                      fontweight="bold")
        for reference in references:
            y += 1
            before = 100 * story.shares.loc[reference, metric]
            axes.plot([before, after], [y, y], color=PALE, linewidth=2, zorder=1, solid_capstyle="round")
            colour = KINDS["self"] if reference in moments else look(reference)["color"]
            axes.plot(before, y, "o", color=colour, markerfacecolor="white", zorder=2)
            axes.plot(after, y, "o", color=INK, zorder=3, markersize=3)
            axes.annotate(f"{after - before:+.1f}".replace("-", "−"), (1, y), (22, 0), textcoords="offset points",
                          xycoords=("axes fraction", "data"), fontsize=7, va="center", ha="right",
                          annotation_clip=False)
            ticks.append((y, reference if reference in moments else look(reference)["label"]))
        y += 1
    axes.set_yticks(*zip(*ticks)) if ticks else axes.set_yticks([])
    axes.set(title=f"{now} (dots) against (rings)" if references else now, xlim=(-3, 105), ylim=(y - .4, -.6),
             xlabel="percent right")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")


def _revenue(axes: Axes, story, partners) -> None:
    """The running mean of revenue at the end of each period, a line per partner with its name."""
    axes.axhline(0, color=INK, linewidth=.6)
    ends = []
    for partner, kind in partners["kind"].items():
        line = story.revenue.loc[partner].dropna()
        axes.plot(line.index, line, color=KINDS[kind], marker="o", markersize=3)
        ends.append((line.index[-1], line.iloc[-1]))
    periods = story.revenue.columns
    axes.set_xticks(periods if len(periods) <= 6 else periods[np.linspace(0, len(periods) - 1, 5).round().astype(int)])
    room = .5 * STEP * len(ends) / (72 * (axes.figure.get_figheight() - 1.2))  # for half of the names
    axes.margins(x=.06, y=.02 + room)
    low, high = axes.get_ylim()
    axes.set_yticks([tick for tick in axes.get_yticks() if max(low, -1.001) <= tick <= min(high, 1.001)])
    axes.grid(axis="y")
    axes.set(title="revenue: what they earned it", xlabel="round (end of a period)")
    names = [_name(*row) for row in partners["kind"].items()]
    label_ends(axes, ends, names, [KINDS[kind] for kind in partners["kind"]])


def _say(axes: Axes, story, partners) -> None:
    """Where nobody measured revenue: the weight of each partner in the target."""
    rows = [*partners["kind"].items(), (story.client, "self")]
    widths = [100 * weight for weight in [*partners["weight"].fillna(0), story.own_say]]
    axes.barh(np.arange(len(rows)), widths, .7, color=[KINDS[kind] for _, kind in rows])
    axes.set_yticks(np.arange(len(rows)), [_name(*row) for row in rows])
    axes.set(title="say in its target", xlabel="percent (revenue: none)", ylim=(len(rows) - .4, -.6))
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")


def _name(client: int, kind: str) -> str:
    """A partner in words."""
    return f"itself {client}" if kind == "self" else f"{kind} {client}"
