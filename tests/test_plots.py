"""The figures draw the numbers that numpy finds, look the same everywhere, and are saved to the byte."""

import subprocess
import sys

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgba

from hfkd import assess, paths, plots
from hfkd.endpoints import COLUMNS
from hfkd.plots import canvas, looks

COUNTS = np.random.default_rng(3).integers(0, 40, (6, 4))
LEVELS = np.array([1, 3, 1, 2, 2, 1])
EDGES = np.zeros((6, 6), bool)
EDGES[[0, 2, 3], [3, 4, 1]] = True  # 3 teaches 0, 4 teaches 2, 1 teaches 3; 4 and 5 stay alone
RUNS = [("local", ""), ("balanced_local", ""), ("fedmd", ""), ("fedmd", "hard_loss=balanced"), ("hfkd", ""),
        ("hfkd", "alpha=0.5")]


@pytest.fixture(scope="module")
def frame():
    """Random rows: 6 runs, 2 skews, 3 seeds, 2 rounds, 6 clients of 3 levels."""
    rng = np.random.default_rng(0)
    rows = [dict.fromkeys(COLUMNS, 0) | dict(
                experiment="40_comparison", method=method, dataset="digits", public="same", partition="dirichlet",
                skew=skew, variant=variant, seed=seed, round=r, client=client, level=client % 3 + 1,
                personality=rng.uniform(.7, .9), consistency=rng.uniform(.2, .6))
            for method, variant in RUNS for skew in (.1, .5) for seed in (4, 5, 6) for r in (5, 10)
            for client in range(6)]
    return pd.DataFrame(rows)


def mean_of(frame, metric, **where):
    """Mean over clients, a number per seed, in points; by pandas alone."""
    keep = np.logical_and.reduce([frame[column] == value for column, value in where.items()])
    return 100 * frame[keep].groupby("seed")[metric].mean().to_numpy()


def student(differences):
    """Mean and 95 % limits for three seeds: t with 2 degrees of freedom has its .975 quantile at 4.30265 (tables)."""
    error = 4.30265 * np.std(differences, ddof=1) / np.sqrt(3)
    return np.mean(differences) + np.array([0, -error, error])


@pytest.fixture(scope="module")
def figures(frame):
    """Every figure once, by name."""
    rows = [{"level": k, "parameters": 10**k} for k in (1, 2, 3)]
    return {
        "partition": plots.fig_partition(COUNTS, LEVELS), "sizes": plots.fig_sizes({"mlp": rows}),
        "assessment": plots.fig_assessment(COUNTS, LEVELS), "matching": plots.fig_matching(COUNTS, LEVELS, EDGES),
        "rules": plots.fig_rules(pd.DataFrame({"edges": [3.0, 0.0]}, ["coverage", "none"])),
        "frontier": plots.fig_frontier(frame), "levels": plots.fig_levels(frame), "rounds": plots.fig_rounds(frame),
    }  # fmt: skip


def test_frontier_draws_the_paired_differences(frame, figures):
    axes = figures["frontier"].axes
    assert [panel.get_title() for panel in axes] == ["Dirichlet 0.1", "Dirichlet 0.5"]
    for panel, skew in zip(axes, (.1, .5), strict=True):
        drawn = np.array([dots.get_offsets()[0] for dots in panel.collections])
        for k, (method, variant) in enumerate(RUNS[1:]):
            for axis, metric in enumerate(("personality", "consistency")):
                where = dict(skew=skew, round=10)  # the last round, not the mean over rounds
                gain = mean_of(frame, metric, method=method, variant=variant, **where) - mean_of(
                    frame, metric, method="local", **where)
                mean, *limits = student(gain)
                assert drawn[k, axis] == pytest.approx(mean, abs=1e-6)
                np.testing.assert_allclose(panel.lines[2 * k + axis].get_xydata()[:, axis], limits, rtol=1e-4)
        assert drawn[-1].tolist() == [0, 0]  # Local
        assert "points" in panel.get_xlabel() and "points" in axes[0].get_ylabel()


def test_frontier_names_every_point_once_and_apart(figures):
    for panel in figures["frontier"].axes:
        notes = [text for text in panel.texts if text.get_text()]
        assert sorted(note.get_text() for note in notes) == sorted(
            ["Balanced-Local", "FedMD", "FedMD + balanced loss", "HFKD", "HFKD (alpha=0.5)", "Local"])
        boxes = [note.get_window_extent() for note in notes]
        assert not [1 for i, a in enumerate(boxes) for b in boxes[:i] if a.overlaps(b)]
        assert all(panel.bbox.x0 <= box.x0 and box.x1 <= panel.bbox.x1 for box in boxes)


def test_frontier_of_one_seed_has_points_and_no_crosses(frame):
    panel = plots.fig_frontier(frame[frame["seed"] == 4]).axes[0]
    assert np.isfinite([dots.get_offsets()[0] for dots in panel.collections]).all()
    assert np.isnan(panel.lines[0].get_xdata()).all()
    assert np.isfinite([*panel.get_xlim(), *panel.get_ylim()]).all()


def test_levels_write_the_paired_differences(frame, figures):
    for panel, skew in zip(figures["levels"].axes, (.1, .5), strict=True):
        written = {(round(text.get_position()[0], 2), text.get_position()[1]): text for text in panel.texts}
        columns = sorted({x for x, y in written if isinstance(y, int)})
        names = [tick.get_text() for tick in panel.get_xticklabels()]
        assert names == ["small", "medium", "large"] * 2 + ["worst 20 %", "below Local"] and len(columns) == 8
        rows = [tick.get_text() for tick in figures["levels"].axes[0].get_yticklabels()]
        assert rows == ["Local itself", "published loss", "Balanced-Local", "FedMD", "HFKD", "HFKD (alpha=0.5)",
                        "balanced loss", "FedMD"]
        places = dict(zip([RUNS[0], RUNS[1], RUNS[2], RUNS[4], RUNS[5], RUNS[3]], (0, 2, 3, 4, 5, 7), strict=True))
        filled = {(patch.get_x() + .5, patch.get_y() + .5) for patch in panel.patches}
        for k, (metric, level) in enumerate((m, n) for m in ("personality", "consistency") for n in (1, 2, 3)):
            where = dict(skew=skew, level=level, round=10)
            local = mean_of(frame, metric, method="local", **where)
            assert written[columns[k], 0].get_text() == f"{local.mean():.1f}"
            for method, variant in RUNS[1:]:
                mean, low, high = student(mean_of(frame, metric, method=method, variant=variant, **where) - local)
                text = written[columns[k], places[method, variant]]
                number = f"{mean:+.1f}" if abs(mean) < 9.95 else f"{mean:+.0f}"
                assert text.get_text() == ("0.0" if number in ("+0.0", "-0.0") else number.replace("-", "−"))
                at = any(np.allclose((columns[k], places[method, variant]), each, atol=.01) for each in filled)
                assert at == (low > 0 or high < 0) == (text.get_color() != "#8c8c8c")


def test_levels_compare_clients_below_local_with_one_half(frame, figures):
    last = frame[(frame["round"] == 10) & (frame["skew"] == .1)].set_index(["seed", "client"])
    local = last.loc[last["method"] == "local", "personality"]
    mine = last.loc[(last["method"] == "hfkd") & (last["variant"] == ""), "personality"]
    panel = figures["levels"].axes[0]
    x = max(text.get_position()[0] for text in panel.texts)
    (text,) = [text for text in panel.texts if text.get_position() == (x, 4)]
    assert text.get_text() == f"{100 * (mine < local).mean():.0f}"
    one = plots.fig_levels(frame[frame["seed"] == 4])
    assert not one.axes[0].patches  # one seed: no interval, nothing is clear


def test_rounds_draw_the_means(frame, figures):
    panel = figures["rounds"].axes[3]  # consistency, skew .5
    for line, (method, variant) in zip(panel.lines, RUNS, strict=True):
        where = dict(method=method, variant=variant, skew=.5)
        expected = [mean_of(frame, "consistency", round=r, **where).mean() for r in (5, 10)]
        assert line.get_xdata().tolist() == [5, 10] and line.get_label() == looks.look(method, variant)["label"]
        np.testing.assert_allclose(line.get_ydata(), expected)
    assert len(panel.collections) == len(RUNS)  # a band each
    assert not plots.fig_rounds(frame[frame["seed"] < 6]).axes[3].collections  # two seeds: none


def test_named_runs_have_colours_and_the_others_are_pale(frame):
    panel = plots.fig_rounds(frame, "consistency", named=["hfkd", "fedmd[hard_loss=balanced]"]).axes[0]
    colours = [line.get_color() for line in panel.lines]
    assert colours == [looks.METHODS["fedmd"][1], looks.METHODS["hfkd"][1]] + [canvas.PALE] * 4
    assert len(panel.collections) == 2 and panel.lines[2].get_label() == "4 other runs"
    with pytest.raises(ValueError, match="no rows of fedavg"):
        plots.fig_rounds(frame, named=["fedavg"])


def test_a_method_has_one_colour_everywhere(figures):
    colours = [entry[1] for entry in looks.METHODS.values()]
    assert len(set(colours)) == len(colours)
    assert sorted(m for members in looks.FAMILIES.values() for m in members) == sorted(looks.METHODS)
    for members in looks.FAMILIES.values():
        assert members == looks.OURS or len({looks.METHODS[m][2] for m in members}) == len(members)
    for k, (method, variant) in enumerate(RUNS):
        wanted = to_rgba(looks.METHODS[method][1])
        assert to_rgba(figures["rounds"].axes[0].lines[k].get_color()) == wanted
        if k:
            dots = figures["frontier"].axes[1].collections[k - 1]
            assert tuple(dots.get_edgecolor()[0]) == wanted
            hollow = variant == "hard_loss=balanced"
            assert tuple(dots.get_facecolor()[0]) == (to_rgba("white") if hollow else wanted)


def test_a_subset_of_methods_keeps_its_colours(frame):
    few = plots.fig_rounds(frame[frame["method"].isin(["local", "hfkd"])], "consistency").axes[0].lines
    assert [line.get_color() for line in few] == [looks.METHODS[m][1] for m in ("local", "hfkd", "hfkd")]


def test_partition_stacks_the_counts_in_the_order_of_the_levels(figures):
    panel = figures["partition"].axes[0]
    heights = np.array([bar.get_height() for bar in panel.patches]).reshape(4, 6).T  # client, class
    order = [0, 2, 5, 3, 4, 1]  # level 1: 0, 2, 5; level 2: 3, 4; level 3: 1
    np.testing.assert_array_equal(heights, COUNTS[order])
    tops = np.array([bar.get_y() for bar in panel.patches]).reshape(4, 6).T
    np.testing.assert_array_equal(tops, np.cumsum(COUNTS[order], axis=1) - COUNTS[order])
    assert [tick.get_text() for tick in panel.get_xticklabels()] == [str(i) for i in order]
    written = [text.get_text() for text in panel.texts]
    assert written == [str(total) for total in COUNTS[order].sum(axis=1)] + ["small", "medium", "large"]


def test_assessment_shows_the_matrices_of_assess(figures):
    p, order = assess.distributions(COUNTS), [0, 2, 5, 3, 4, 1]
    matrices = (assess.similarity(p), assess.union_gain(COUNTS), assess.coverage(p), assess.affinity(COUNTS))
    for panel, matrix, low in zip(figures["assessment"].axes[:4], matrices, (0, -1, 0, 0), strict=True):
        (image,) = panel.images
        np.testing.assert_array_equal(image.get_array(), matrix[order][:, order])
        assert image.get_clim() == (low, 1)


def test_matching_draws_each_edge_from_teacher_to_student(figures):
    panel = figures["matching"].axes[0]
    boxes = {}  # client -> middle of its box; a box is the patch that is wider than a bar
    frames = [patch for patch in panel.patches if patch.get_width() > .5]
    for i, patch in enumerate(frames):
        boxes[i] = np.array([patch.get_x() + patch.get_width() / 2, patch.get_y() + patch.get_height() / 2])
    assert [boxes[i][1] for i in range(6)] == pytest.approx([0, 2, 0, 1, 1, 0])  # a row per level
    found = set()
    for arrow in (text for text in panel.texts if text.get_text() == ""):
        ends = [min(boxes, key=lambda i: np.hypot(*(boxes[i] - end))) for end in (arrow.xy, arrow.xyann)]
        found.add(tuple(ends))
    assert found == set(map(tuple, np.argwhere(EDGES)))
    words = {text.get_text() for text in panel.texts} - {""}
    assert words == {"0", "1", "2", "3", "4, alone", "5, alone"}
    assert [patch.get_linestyle() for patch in frames] == ["-"] * 4 + ["--"] * 2
    assert frames[3].get_edgecolor() == to_rgba(canvas.CYCLE[0])  # the first teacher of its row


def test_matching_bars_are_the_label_distributions():
    panel = plots.fig_matching(COUNTS, LEVELS, EDGES).axes[0]
    bars = np.array([patch.get_height() for patch in panel.patches if patch.get_width() < .5]).reshape(6, 4)
    p = COUNTS / COUNTS.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(bars / bars.max(), p / p.max())


def test_matching_of_a_group_pales_the_rest():
    panel = plots.fig_matching(COUNTS, LEVELS, EDGES, group=3).axes[0]
    pale = to_rgba(canvas.PALE)[:3]
    frames = [patch for patch in panel.patches if patch.get_width() > .5]
    # 3 listens to its teacher 1 and its student 0; its own frame is the thick one
    assert [i for i, patch in enumerate(frames) if patch.get_edgecolor()[:3] != pale] == [0, 1, 3]
    assert [patch.get_linewidth() > 2 for patch in frames] == [i == 3 for i in range(6)]


@pytest.mark.parametrize("n", [12, 20])
def test_no_text_is_cut_off(n):
    rng = np.random.default_rng(n)
    counts, levels = rng.integers(0, 90, (n, 10)), rng.integers(1, 4, n)
    edges = (levels[None] - levels[:, None] == 1) & (rng.random((n, n)) < .4)
    for figure in (plots.fig_partition(counts, levels, [f"class {c}" for c in range(10)]),
                   plots.fig_matching(counts, levels, edges), plots.fig_assessment(counts, levels)):
        drawn, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
        assert min(drawn.x0, drawn.y0) >= -.01 and drawn.x1 <= width + .01 and drawn.y1 <= height + .01


def test_rules_draw_rows_and_means():
    table = pd.DataFrame({"gain": [.2, .4, .1], "edges": [3, 5, 0]}, index=["coverage", "coverage", "none"])
    gain, edges = plots.fig_rules(table).axes
    assert gain.lines[0].get_xdata().tolist() == [.2, .4, .1] and gain.lines[0].get_ydata().tolist() == [0, 0, 1]
    np.testing.assert_allclose(gain.lines[1].get_xdata(), [.3, .1])
    np.testing.assert_allclose(edges.lines[1].get_xdata(), [4, 0])
    assert [tick.get_text() for tick in gain.get_yticklabels()] == ["coverage", "none"]


def test_saving_twice_gives_the_same_bytes(frame, figures, tmp_path):
    again = {"frontier": plots.fig_frontier(frame), "matching": plots.fig_matching(COUNTS, LEVELS, EDGES),
             "levels": figures["levels"], "assessment": figures["assessment"]}  # drawn anew, or only saved anew
    for name, second in again.items():
        one, two = (plots.save(drawn, tmp_path / str(k) / name) for k, drawn in enumerate((figures[name], second)))
        assert [path.name for path in one] == [f"{name}.pdf", f"{name}.png"]
        for a, b in zip(one, two, strict=True):
            assert a.read_bytes() == b.read_bytes(), f"{a.name} differs"
    text = (tmp_path / "0" / "frontier.pdf").read_bytes()
    assert b"CreationDate" not in text and str(paths.ROOT).encode() not in text
    assert sorted(path.suffix for path in (tmp_path / "0").iterdir()) == [".pdf"] * 4 + [".png"] * 4  # no leftovers


def test_png_has_160_dots_per_inch(figures, tmp_path):
    _, png = plots.save(figures["partition"], tmp_path / "a")
    assert plt.imread(png).shape[1] == int(160 * canvas.PAGE)


def test_a_failed_save_leaves_nothing_and_keeps_the_old_file(figures, tmp_path, monkeypatch):
    pdf, _ = plots.save(figures["sizes"], tmp_path / "a")
    before = pdf.read_bytes()

    def fail(name, format, **_):
        name.write_bytes(b"half")
        if format == "png":
            raise OSError("disk full")

    monkeypatch.setattr(figures["sizes"], "savefig", fail)
    with pytest.raises(OSError, match="disk full"):
        plots.save(figures["sizes"], tmp_path / "a")
    assert pdf.read_bytes() == before and sorted(p.name for p in tmp_path.iterdir()) == ["a.pdf", "a.png"]


def test_nothing_stays_in_the_state_of_matplotlib(figures, tmp_path):
    before = dict(matplotlib.rcParams)
    plots.save(plots.fig_partition(COUNTS, LEVELS), tmp_path / "a")
    assert plt.get_fignums() == [] and dict(matplotlib.rcParams) == before


def test_settings_of_the_user_do_not_change_a_figure(figures, tmp_path):
    with matplotlib.rc_context({"font.size": 20, "lines.linewidth": 9, "axes.facecolor": "red"}):
        mine = plots.save(plots.fig_assessment(COUNTS, LEVELS), tmp_path / "a")[0].read_bytes()
    assert mine == plots.save(figures["assessment"], tmp_path / "b")[0].read_bytes()


@pytest.mark.parametrize("draw", [plots.fig_frontier, plots.fig_levels, plots.fig_rounds])
def test_wrong_frames_are_refused(frame, draw):
    with pytest.raises(ValueError, match="the frame has no rows; expected result rows"):
        draw(frame.iloc[:0])
    with pytest.raises(ValueError, match="method 'fedmdd' has no colour"):
        draw(frame.assign(method=frame["method"].replace("fedmd", "fedmdd")))


@pytest.mark.parametrize(("call", "words"), [
    (lambda: plots.fig_partition(COUNTS, LEVELS[:5]), r"levels has shape \(5,\); expected one level for each of 6"),
    (lambda: plots.fig_partition(-COUNTS, LEVELS), "expected a non-negative integer"),
    (lambda: plots.fig_partition(COUNTS, LEVELS, ["a"]), "class_names has 1 names; counts has 4 classes"),
    (lambda: plots.fig_matching(COUNTS, LEVELS, EDGES[:5]), r"edges has shape \(5, 6\)"),
    (lambda: plots.fig_matching(COUNTS, LEVELS, EDGES, group=6), "group is 6; expected a client from 0 to 5"),
    (lambda: plots.fig_sizes({}), "tables is empty"),
    (lambda: plots.fig_rules(pd.DataFrame()), "table is empty"),
    (lambda: plots.save(None, "x.png"), "ends in .png"),
])  # fmt: skip
def test_wrong_arguments_are_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_seeds_without_a_partner_are_refused(frame):
    with pytest.raises(ValueError, match="have no partner"):
        plots.fig_frontier(frame[(frame["method"] != "local") | (frame["seed"] < 6)])


def test_titles_say_what_differs(frame):
    two = pd.concat([frame, frame.assign(dataset="fashion_mnist", public="mnist", partition="pathological")])
    titles = [panel.get_title() for panel in plots.fig_frontier(two[two["skew"] == .1]).axes]
    assert titles == ["digits, Dirichlet 0.1, public: same", "Fashion-MNIST, Pathological, public: MNIST"]


def test_plots_do_not_import_torch():
    code = "import sys, hfkd.plots; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=paths.ROOT)
