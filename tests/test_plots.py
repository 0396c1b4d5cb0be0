"""Figures show the numbers of their rows, in words that fit, in the same bytes every time."""

import itertools
import subprocess
import sys

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text
from scipy import stats

from hfkd import data, matching, methods, paths, plots
from hfkd.plots import style
from hfkd.study.results import COLUMNS, load

SKEWS, ENDPOINTS = (.1, .5), ("personality", "consistency")
RUNS = ["local", "hfkd", "fedmd", "fedproto", "fedproto[readout=plain]", "fedavg", "heterofl", "hfkd[rule=random]"]
WEIGHTS = [f"hfkd[weighting={rule}]" for rule in ("fixed,alpha=0.1", "fixed,alpha=0.05", "fixed,alpha=0.5", "gradient")]


@pytest.fixture(scope="module")
def figures():
    return plots.committed()


def made(runs, seeds=range(4)):
    """Summary rows with random shares, the same for a run however many others there are."""
    found = []
    for (k, run), skew, seed, r in itertools.product(enumerate(runs), SKEWS, seeds, (2, 4)):
        method, _, variant = run.removesuffix("]").partition("[")
        shares = np.random.default_rng([sum(map(ord, run)), int(10 * skew), seed, r]).uniform(.4, .6, 21)
        scene = ("digits", "same", "dirichlet", skew)
        found.append((method, *scene, variant, seed, r, *shares, 1, 1, 1, r, 4000 * k * r, 400 * k * r, run))
    return pd.DataFrame(found, columns=[*COLUMNS, "run"])


def expected(frame, run, metric, skew, base="local"):
    """Mean difference at round 4 and its two limits, from the rows themselves and scipy."""
    rows = frame[(frame["skew"] == skew) & (frame["round"] == 4)]
    table = 100 * rows.pivot(index="seed", columns="run", values=metric)
    reach = stats.t.ppf(.975, len(table) - 1) * stats.sem(table[run] - table[base])
    return np.mean(table[run] - table[base]) + np.array([0, -reach, reach])


def points(axes):
    """All points of the scatters of one panel, sorted."""
    return np.array(sorted(np.concatenate([each.get_offsets() for each in axes.collections]).tolist()))


def has(axes, line):
    """Whether a panel has a line through these points."""
    found = [each.get_xydata() for each in axes.lines]
    return any(each.shape == np.shape(line) and np.allclose(each, line) for each in found)


def test_frontier_has_a_point_with_its_intervals_for_each_method_as_it_was_chosen():
    frame = made(RUNS)
    figure = plots.fig_frontier(frame)
    shown = ["local", "hfkd", "fedmd", "fedproto", "fedavg", "heterofl"]
    for axes, skew in zip(figure.axes, SKEWS, strict=True):
        want = {run: [expected(frame, run, metric, skew) for metric in ENDPOINTS] for run in shown}
        assert np.allclose(points(axes), sorted([x[0], y[0]] for x, y in want.values()))
        for (x, *ends), (y, low, high) in want.values():
            assert has(axes, [(ends[0], y), (ends[1], y)]) and has(axes, [(x, low), (x, high)])
        assert {text.get_text() for text in axes.texts} == {"HFKD", "HeteroFL", "FedAvg", "FedMD"}
        for text in axes.texts:  # each with a line to its own point, in the colour of its family
            (run,) = [run for run in shown if style.look(run)[0] == text.get_text()]
            assert np.allclose(text.xy, [each[0] for each in want[run]]) and text.get_color() == style.look(run)[1]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [entry[0] for entry in style.FAMILIES.values()]
    assert "95 % over 4 seeds" in legend.get_title().get_text()


def test_a_far_point_is_an_arrow_with_its_numbers():
    frame = made([run for run in RUNS if "readout" not in run])
    frame.loc[frame["method"] == "fedproto", "consistency"] = 0
    axes = plots.fig_frontier(frame).axes[0]
    x, y = (expected(frame, "fedproto", metric, .1)[0] for metric in ENDPOINTS)
    assert axes.get_ylim()[0] > y and len(points(axes)) == 5
    assert f"({x:.1f}, {y:.1f})".replace("-", "−") in [text.get_text() for text in axes.texts]


def test_committed_frontier_can_be_read(figures):
    all_methods = load(paths.RESULTS / "40_comparison.csv")["method"].nunique()
    panels = {axes: [text for text in axes.texts if text.get_text()[0] != "("] for axes in figures["40_frontier"].axes}
    assert len(panels) == 3 and 12 <= sum(map(len, panels.values())) <= 18
    for axes, names in panels.items():
        assert len(points(axes)) + len(axes.texts) - len(names) == all_methods
        boxes = [Text.get_window_extent(text) for text in names]  # without the line to its point
        assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
        assert min(text.get_fontsize() for text in names) >= 8  # 12 pixels where a README shows it 830 wide


def test_lines_are_in_order_and_are_means_with_their_band():
    frame = made(["local", *WEIGHTS])
    axes = plots.fig_curve(frame).axes[0]
    want = [[expected(frame, WEIGHTS[k], metric, .1)[0] for metric in ENDPOINTS] for k in (1, 0, 2, 3)]
    assert has(axes, want[:3]) and np.allclose(points(axes), sorted(want))
    for axes, skew in zip(plots.fig_alpha(frame).axes, SKEWS, strict=True):
        rule = frame[frame["variant"].eq("weighting=gradient") & frame["skew"].eq(skew)].groupby("round")["alpha"]
        ends, band = rule.mean() - rule.sem() * stats.t.ppf(.975, 3), axes.collections[0].get_paths()[0].vertices
        assert has(axes, rule.mean().reset_index())
        assert all(np.isclose(band, [r, low]).all(axis=1).any() for r, low in ends.items())
    frame = made(["local", "fedavg", "hfkd"])
    batches, sent = plots.fig_budget(frame, 500).axes[4:6]  # the lower row, at skew .1
    for k, run in enumerate(("local", "fedavg", "hfkd")):
        own = 100 * frame[(frame["run"] == run) & (frame["skew"] == .1)].groupby("round")["consistency"].mean()
        assert has(batches, own.reset_index())
        once = 500 * (run == "hfkd")  # who needs public images has received them
        assert has(sent, [(4400 * k * r + once, each) for r, each in own.items()]) == (run != "local")


def test_effects_are_differences_with_student_intervals():
    metric, frame = "personality_honest", made(["hfkd", "hfkd[peers=False]", "hfkd[fan_in=1]"])
    groups = {"members": {"no peers": "peers=False"}, "teachers": {"one": "fan_in=1"}}
    (axes,) = plots.fig_effects(frame, "hfkd", groups, [metric]).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["members", "no peers", "teachers", "one"]
    numbers = np.concatenate([line.get_xdata() for line in axes.lines])
    for variant, skew in itertools.product(("peers=False", "fan_in=1"), SKEWS):
        want = expected(frame, f"hfkd[{variant}]", metric, skew, "hfkd")
        assert np.isclose(numbers[:, None], want).any(axis=0).all()
    groups = {"two": {"no peers": ("peers=False", "fan_in=1")}}  # against a variant of one's own
    (axes,) = plots.fig_effects(frame, "hfkd", groups, [metric], "one teacher").axes
    want = expected(frame, "hfkd[peers=False]", metric, .5, "hfkd[fan_in=1]")
    assert np.isclose(np.concatenate([line.get_xdata() for line in axes.lines])[:, None], want).any(axis=0).all()
    assert axes.get_xlabel() == "difference to one teacher (points)"


def test_levels_colour_what_is_clear_and_tell_all_numbers():
    frame = made(["local", "hfkd", "fedmd"])
    frame.loc[frame["method"] == "hfkd", "consistency_2"] += .3
    axes = plots.fig_levels(frame).axes[1]
    want = [expected(frame, run, f"consistency_{k}", .1) for run in ("hfkd", "fedmd") for k in (1, 2, 3)]
    assert [float(text.get_text()) for text in axes.texts] == [round(mean) for mean, _, _ in want]
    shown = axes.collections[0].get_array().ravel()
    assert np.allclose(shown, [mean if low > 0 or high < 0 else 0 for mean, low, high in want])
    assert shown[1] > 20 and (shown == 0).any()


def test_coverage_has_a_point_per_student_and_a_line_per_seed():
    rows = [("balanced_local", "", seed, i, 1 + (i == 3), .2, .1 * i) for seed in (0, 1) for i in range(4)]
    rows += [("hfkd", f"rule={rule}", seed, i, 1 + (i == 3), .3 * i + .1 * seed, .1 * i + .2 * i * (1 + seed))
             for rule in ("coverage", "random") for seed in (0, 1) for i in range(4)]
    names = ["method", "variant", "seed", "client", "level", "coverage", "consistency"]
    clients = pd.DataFrame(rows, columns=names).assign(skew=.1)
    both = plots.fig_coverage(pd.concat([clients.assign(partition=name) for name in ("dirichlet", "level_dependent")]))
    for axes, scene in zip(both.axes, ("Dirichlet 0.1", "data by level 0.1"), strict=True):
        dots = [line.get_xydata() for line in axes.lines if line.get_marker() != "None"]  # of students, not of level 2
        assert np.allclose(dots, [[(.3 * i + .1 * seed, 20 * i * (1 + seed)) for seed in (0, 1) for i in range(3)]] * 2)
        assert len(axes.lines) == 4  # slopes of 6.7 and 13.3
        assert axes.get_title().startswith(f"{scene}\n+10.0 points per tenth\n")


def test_ledger_and_floor():
    book = pd.DataFrame({"seed": [0, 0, 1, 0], "round": 5, "kind": ["peer"] * 3 + ["self"], "weight": .25,
                         "revenue": [.2, .4, .7, 9], "skew": .1})  # fmt: skip
    earned, weight = plots.fig_ledger(book).axes  # seeds count alike; nobody pays itself
    assert [line.get_ydata().tolist() for line in earned.lines[1:]] == [[.5]] and len(weight.lines) == 3
    record = [{"what": "a", "seconds": 6.0, "floor": 2.0, "sequential": 9.0}, {"what": "b", "seconds": 1.0}]
    (axes,) = plots.fig_floor(record).axes
    assert [text.get_text() for text in axes.texts] == ["3.0 x floor"]
    assert sorted(np.concatenate([each.get_offsets()[:, 0] for each in axes.collections[1:]]).tolist()) == [2, 6, 9]


def test_matching_shows_every_edge_and_every_share():
    counts, levels = np.random.default_rng(0).multinomial(50, np.full(4, .25), 9), np.array([1, 2, 3] * 3)
    edges = matching.match(counts, levels, fan_in=2)
    (axes,) = plots.fig_matching(counts, levels, edges).axes
    assert len(axes.lines) == edges.sum() and len(axes.texts) == 9
    shares = np.array([bar.get_width() for bar in axes.patches]).reshape(4, 9).T
    assert np.allclose(shares / shares.sum(axis=1, keepdims=True), counts / 50)


@pytest.mark.parametrize("draw", [
    plots.fig_frontier, plots.fig_curve, plots.fig_alpha,
    lambda frame: plots.fig_effects(frame, "hfkd", {"": {"gradient": "weighting=gradient"}}),
])  # fmt: skip
def test_one_seed_has_no_interval_and_is_said(draw):
    figure = draw(made(["local", "hfkd", "fedavg", *WEIGHTS], seeds=[0]))
    assert "One seed, no interval" in figure.legends[0].get_title().get_text() and plt.get_fignums() == []



BASE = made(["local", "hfkd"])


@pytest.mark.parametrize("draw, words", [
    (lambda: plots.fig_frontier(BASE[:0]), "the frame has no rows"),
    (lambda: plots.fig_frontier(BASE.replace("hfkd", "new")), "method 'new' is in no family; add it to METHODS"),
    (lambda: plots.fig_frontier(BASE[(BASE["method"] == "hfkd") | (BASE["seed"] > 0)]), r"seeds \[0\] have no partner"),
    (lambda: plots.fig_criteria(BASE, "alone"), "the frame has no rows"),
    (lambda: plots.fig_coverage(BASE.assign(client=0, level=1)), "no rule, or no balanced_local; `hfkd grid 10`"),
    (lambda: plots.fig_levels(BASE[BASE["method"] == "local"]), "the rows hold local alone"),
    (lambda: plots.fig_curve(BASE), "no rows of hfkd with weighting=fixed"),
    (lambda: plots.fig_alpha(BASE), "no rows of hfkd with a rule"),
    (lambda: plots.fig_effects(BASE, "hfkd", {}), "have no variant of hfkd"),
    (lambda: plots.fig_effects(BASE, "hfkd", plots.GROUPS["doses"]), r"no rows of hfkd\[beta=0.0\]"),
    (lambda: plots.fig_ledger(pd.DataFrame({"kind": ["friend"]})), r"the kinds \['friend'\]; expected some of"),
    (lambda: plots.fig_floor([{"what": "a", "seconds": 1.0}]), "no record has a floor"),
    (lambda: plots.fig_partition([[1, 2]], [1, 2]), r"levels has shape \(2,\); expected one level for each"),
    (lambda: plots.fig_matching([[1, 2]], [1], np.eye(2)), r"edges has shape \(2, 2\); expected \(1, 1\)"),
    (lambda: plots.save(None, "x.png"), "figure path x.png ends in .png"),
])  # fmt: skip
def test_bad_input_is_one_sentence(draw, words):
    with pytest.raises(ValueError, match=words) as caught:
        draw()
    assert "\n" not in str(caught.value) and plt.get_fignums() == []


def test_nothing_is_clipped_and_files_are_small(figures):
    for name, figure in figures.items():
        with style.theme():
            names = [text.get_window_extent() for axes in figure.axes for text in axes.texts]  # not part of the layout
            for box in (figure.get_tightbbox().transformed(figure.dpi_scale_trans), *names):
                assert (box.min > -1).all() and (box.max < figure.bbox.max + 1).all(), name
    files = {path.name: path.stat().st_size for path in paths.FIGURES.iterdir()}
    assert set(files) == {f"fig{name}.{kind}" for name in figures for kind in ("png", "pdf")}
    assert max(files.values()) < 150_000


def test_bytes_are_the_same_in_any_process_and_under_any_style(figures, tmp_path):
    code = ("import sys; from hfkd import paths, plots; from hfkd.study.results import load\n"
            "plots.save(plots.fig_frontier(load(paths.RESULTS / '40_comparison_depth.csv')), sys.argv[1])")  # fmt: skip
    subprocess.run([sys.executable, "-c", code, tmp_path / "there"], check=True, cwd=paths.ROOT)
    with plt.rc_context({"font.size": 20, "lines.linewidth": 9}):
        before, again = dict(plt.rcParams), plots.fig_frontier(load(paths.RESULTS / "40_comparison_depth.csv"))
        for figure in (figures["40_depth"], again):
            for path in plots.save(figure, tmp_path / "here"):
                assert path.read_bytes() == path.with_stem("there").read_bytes()
        assert dict(plt.rcParams) == before and len(list(tmp_path.iterdir())) == 4  # no temporary file is left


def test_every_method_has_a_family_and_each_family_a_look_of_its_own_and_every_partition_words():
    assert set(methods.METHODS) <= set(style.METHODS) and set(style.PARTITIONS) == set(data.PARTITIONS)
    assert all(len(set(column)) == len(style.FAMILIES) for column in zip(*style.FAMILIES.values(), strict=True))
