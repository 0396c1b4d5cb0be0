"""With all methods in a frame every figure still shows each run once, cuts no text, and lets no two names overlap."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from hfkd import overview, plots, ranking
from hfkd.endpoints import COLUMNS
from hfkd.pairing import paired
from hfkd.plots import looks, points
from hfkd.statistics import interval

SWAP = "hard_loss=balanced"
RUNS = [(method, "") for method in looks.METHODS] + [
    (method, SWAP) for method in looks.METHODS if method not in ("local", *looks.OWN)] + [
    ("fedproto", "readout=head"), ("fedproto", f"{SWAP},readout=head"),
    ("hfkd", "weighting=ramp,ramp_length=10,alpha=0.35")]
NAMES = [overview.key(run) for run in RUNS]
SILENT, LOST = ("local", "balanced_local"), ("fedavg", "fedprox", "feddf", "inclusivefl")


@pytest.fixture(scope="module")
def frame():
    """Random rows: all methods, 2 scenes, 4 seeds, 2 rounds, 6 clients; some lose 20 points of personality."""
    rng = np.random.default_rng(0)
    rows = []
    for k, (method, variant) in enumerate(RUNS):
        up = 0 if method in SILENT else int(10 ** (2 + k % 5))
        gain = .3 * (method in looks.OURS) + .1 * (variant != "") + .01 * (k % 7)
        rows += [dict.fromkeys(COLUMNS, 0) | {
                     "experiment": "x", "method": method, "partition": "dirichlet", "skew": skew, "variant": variant,
                     "seed": seed, "round": r, "client": client, "level": client % 3 + 1, "bytes_up": up * r,
                     "bytes_down": up * r, "personality": .8 - .2 * (method in LOST) + rng.uniform(-.02, .02),
                     "consistency": .3 + gain + rng.uniform(-.02, .02), "val_personality": .8,
                     "val_consistency": .3 + gain + .001 * k}
                 for skew in (.1, .5) for seed in range(4) for r in (5, 10) for client in range(6)]
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def figures(frame):
    chosen = overview.chosen_runs(frame, over=("hard_loss", "readout"))
    return {"frontier": plots.fig_frontier(frame), "levels": plots.fig_levels(frame), "rounds": plots.fig_rounds(frame),
            "ranks": plots.fig_ranks(frame), "bytes": plots.fig_bytes(frame, chosen)}


def test_each_loss_has_its_row_and_what_is_far_is_an_arrow_with_its_numbers(frame, figures):
    panels = figures["frontier"].axes
    assert [panel.get_title() for panel in panels] == [
        f"Dirichlet {skew}, {loss} loss" for loss in ("published", "balanced") for skew in (.1, .5)]
    swapped = [run for run in RUNS if SWAP in run[1]]
    own = [run for run in RUNS if run[0] in looks.OWN]
    for panel, runs in zip(panels[::2], ([run for run in RUNS if run not in swapped], swapped + own), strict=True):
        runs = {run for run in runs if run != ("local", "")} | {("local", "")}
        assert len(panel.collections) == len(runs)
        told = [text.get_text() for text in panel.texts]
        found = {tuple(np.round(dots.get_offsets()[0], 6)) for dots in panel.collections}
        for run in runs - {("local", "")}:
            x, y = (paired(frame, overview.key(run), "local", metric, skew=.1).mean()
                    for metric in ("personality", "consistency"))
            if run[0] in LOST:
                assert x < panel.get_xlim()[0]
                assert f"{looks.look(*run, loss=False)['label']} (−{-x:.0f}, {y:.0f})" in told
            else:
                assert (round(x, 6), round(y, 6)) in found


def test_names_stand_apart_and_inside(figures):
    for figure in (figures["frontier"], figures["bytes"]):
        for panel in figure.axes:
            boxes = [text.get_window_extent() for text in panel.texts if text.get_text()]
            assert len(boxes) > 5
            assert not [1 for i, a in enumerate(boxes) for b in boxes[:i] if a.overlaps(b)]
            assert all(panel.bbox.x0 - 1 <= box.x0 and box.x1 <= panel.bbox.x1 + 1 for box in boxes)


def test_the_legend_has_every_method_under_its_family(figures):
    (box,) = figures["frontier"].legends
    words = [text.get_text() for text in box.get_texts() if text.get_text()]
    labels = [looks.look(*run)["label"] for run in RUNS if SWAP not in run[1]]
    assert sorted(words) == sorted([*labels, *looks.FAMILIES])
    assert not box.get_title().get_text() and figures["bytes"].legends[0].get_title().get_text() == looks.HOLLOW


def test_this_work_is_never_out_of_view():
    far = np.array([0, 1, 2, 1, 1, 90.0])[:, None, None] + np.zeros(3)
    out, (limits,) = points.frame_of(far, [("fedavg", "")] * 5 + [("hfkd_ramp", "")], True)
    assert not out.any() and limits[1] > 90


def test_ranks_stand_in_their_order_and_bars_are_the_groups(frame, figures):
    for panel, metric in zip(figures["ranks"].axes, ("personality", "consistency"), strict=True):
        found = ranking.ranks(frame, NAMES, metric)
        drawn = np.array([dots.get_offsets()[0] for dots in panel.collections])
        np.testing.assert_allclose(drawn, np.stack([found.mean, np.arange(len(RUNS))], axis=1))
        labels = [tick.get_text() for tick in panel.get_yticklabels()]
        runs = [RUNS[NAMES.index(name)] for name in found.mean.index]
        mean = dict(zip([looks.look(*run)["label"] for run in runs], found.mean, strict=True))
        assert sorted(labels) == sorted(mean) and [mean[label] for label in labels] == found.mean.tolist()  # ties aside
        bars = [line.get_xdata().tolist() for line in panel.lines if line.get_linewidth() > 2]
        assert bars == [[found.mean.iloc[a], found.mean.iloc[b]] for a, b in ranking.alike(found)]
        assert f"critical difference {found.distance:.1f}" in {text.get_text() for text in panel.texts}


def test_bytes_are_those_of_a_round_and_the_silent_stand_at_the_edge(frame, figures):
    panel = figures["bytes"].axes[0]  # consistency, Dirichlet 0.1
    found = {tuple(np.round(dots.get_offsets()[0], 6)) for dots in panel.collections}
    chosen = overview.chosen_runs(frame, over=("hard_loss", "readout"))
    assert len(panel.collections) == len(chosen)
    left = panel.get_xticks()[0]
    for name in chosen:
        up = 10 ** (2 + NAMES.index(name) % 5)
        wanted = interval(paired(frame, name, "local", "consistency", skew=.1)).mean if name != "local" else 0
        x = left if name in SILENT else 2 * up
        assert (round(x, 6), round(wanted, 6)) in found
    assert left < 200 and panel.xaxis.get_major_formatter()(left) == "0" and panel.get_xscale() == "log"
    beyond = [text.get_text() for text in figures["bytes"].axes[2].texts if text.get_text().startswith("beyond")]
    assert len(beyond) == 1 and all(looks.METHODS[method][0] in beyond[0] for method in LOST)


def test_of_many_curves_the_best_by_validation_are_named(frame, figures):
    panel = figures["rounds"].axes[0]
    named = [line.get_label() for line in panel.lines if line.get_color() != looks.METHODS["local"][1]
             and not line.get_label().startswith("_") and "other runs" not in line.get_label()]
    score = overview.scores(frame)["score"].drop(["local", *looks.OWN], level="method")
    best = score.groupby(level="method").max().nlargest(4).index
    runs = [score.xs(method, level="method", drop_level=False).idxmax() for method in best]
    assert {*named} == {looks.METHODS["balanced_local"][0], "HFKD"} | {
        looks.look(*dict(zip(score.index.names, run)).values())["label"] for run in runs}
    assert len(panel.lines) == len(RUNS)


def test_levels_fit_in_one_table_and_no_text_is_cut(figures, tmp_path):
    labels = [tick.get_text() for tick in figures["levels"].axes[0].get_yticklabels()]
    assert len(labels) == len(RUNS) + 2 and labels.count("FedKD") == 2
    for name, figure in figures.items():
        one, two = (plots.save(figure, tmp_path / str(k) / name) for k in range(2))
        assert [a.read_bytes() for a in one] == [b.read_bytes() for b in two], name
        drawn, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
        assert min(drawn.x0, drawn.y0) >= -.02 and drawn.x1 <= width + .02 and drawn.y1 <= height + .02, name
    assert plt.get_fignums() == []


@pytest.mark.parametrize(("draw", "words"), [
    (lambda f: plots.fig_ranks(f.iloc[:0]), "the frame has no rows"),
    (lambda f: plots.fig_ranks(f, ["hfkd", "local"]), "expected three or more"),
    (lambda f: plots.fig_bytes(f.iloc[:0]), "the frame has no rows"),
    (lambda f: plots.fig_bytes(f, SILENT), "nobody sends anything"),
    (lambda f: plots.fig_bytes(f[f["method"] != "local"]), "no rows of local"),
])  # fmt: skip
def test_wrong_questions_are_refused(frame, draw, words):
    with pytest.raises(ValueError, match=words):
        draw(frame)
