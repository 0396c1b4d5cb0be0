"""The figures of RQ2 and RQ3 draw what `pairing.paired` finds, show what is clipped, and are saved to the byte."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from hfkd import plots
from hfkd.endpoints import COLUMNS
from hfkd.pairing import paired, values
from hfkd.plots import margins, phrases
from hfkd.statistics import interval

FIXED = [f"weighting=fixed,alpha={alpha}" for alpha in ("0.05", "0.1", "0.5", "1.0")]
RULES = ["weighting=gradient,alpha=0.5", "weighting=loss_ratio,alpha=0.5"]
PARTS = ["feedback=False,peers=False", "peers=False", "spoken=10", "transport=classwise", "transport=visit",
         "wire=fp16"]
RUNS = [("local", ""), ("hfkd_ramp", ""), *(("hfkd", v) for v in FIXED + RULES), *(("hfkd_ramp", v) for v in PARTS)]
BOTH, SKEWS = ("personality", "consistency"), (.1, .5)


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(0)  # random rows; alpha 1.0 and classwise answers collapse
    rows = [dict.fromkeys(COLUMNS, 0) | {
                "experiment": "x", "method": method, "partition": "dirichlet", "skew": skew, "variant": variant,
                "seed": seed, "round": r, "client": client, "alpha": rng.uniform(.1, .3) * (client > 0),
                "teachers": client, "bytes_up": rng.integers(1e4, 1e5), "bytes_down": rng.integers(1e5, 1e6),
                "personality": rng.uniform(.78, .8) - .5 * variant.endswith(("alpha=1.0", "classwise")),
                "consistency": rng.uniform(.48, .5)}
            for method, variant in RUNS for skew in SKEWS for seed in range(4) for r in (5, 10) for client in range(3)]
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def ledger():
    rng = np.random.default_rng(1)
    return pd.DataFrame([
        {"method": "hfkd_ramp", "dataset": "digits", "public": "same", "partition": "dirichlet", "skew": skew,
         "variant": "peers=False", "seed": seed, "round": r, "kind": kind, "revenue": rng.normal(), "weight": .1 + skew}
        for skew in SKEWS for seed in range(3) for r in (5, 10) for kind in ("teacher", "peer", "self", "feedback")
        for _ in range(2)])


def gain(frame, method, metric, skew, baseline="local"):
    found = interval(paired(frame, method, baseline, metric, skew=skew))
    return found.mean, found.low, found.high


def test_curve_joins_the_fixed_weights_shows_every_rule_and_names_what_is_outside(frame):
    for panel, skew in zip(plots.fig_curve(frame).axes, SKEWS, strict=True):
        wanted = [[gain(frame, f"hfkd[{v}]", metric, skew)[0] for metric in BOTH] for v in FIXED]
        np.testing.assert_allclose(panel.lines[2].get_xydata(), wanted)
        for k, run in enumerate((*(f"hfkd[{v}]" for v in RULES), "hfkd_ramp")):
            dot = panel.collections[2 + k].get_offsets()[0]  # after Local and the dots of the line
            for axis, metric in enumerate(BOTH):
                mean, *ends = gain(frame, run, metric, skew)
                assert dot[axis] == pytest.approx(mean)
                np.testing.assert_allclose(panel.lines[3 + 2 * k + axis].get_xydata()[:, axis], ends)
        (x, y), words = wanted[-1], {text.get_text() for text in panel.texts}  # alpha 1 collapses
        assert x < -40 < panel.get_xlim()[0]
        assert {f"beyond the frame: alpha 1 at ({x:.0f}, {y:.0f})".replace("-", "−"), "fixed alpha 0.05", "0.1", "0.5",
                "gradient cosine", "loss ratio", "HFKD ramp"} <= words


def test_alpha_is_the_mean_over_clients_that_listen(frame):
    panel = plots.fig_alpha(frame).axes[1]
    for line, (method, variant) in zip(panel.lines, [*(("hfkd", v) for v in RULES), ("hfkd_ramp", "")], strict=True):
        rows = frame[(frame["skew"] == .5) & (frame["method"] == method) & (frame["variant"] == variant)]
        rows = rows[rows["client"] > 0]  # 0 has neither a weight nor a teacher
        np.testing.assert_allclose(line.get_ydata(), rows.groupby("round")["alpha"].mean())
    assert len(panel.collections) == 3  # a band each


def test_effects_are_paired_and_clipped_points_carry_their_number(frame):
    figure = plots.fig_effects(frame, "hfkd_ramp", groups={"members": PARTS[:2], "transport": PARTS[2:]})
    panel = figure.axes[0]
    assert [label.get_text() for label in panel.get_yticklabels()] == [
        "members", "teachers only", "without peers", "transport", "10 images a round", "answers per class",
        "network on visit", "half precision"]
    kept = [v for v in PARTS if not v.endswith("classwise")]
    lines = [line for line in panel.lines if line.get_label().startswith("Dirichlet")]
    numbers = [text.get_text() for text in panel.texts]
    for k, skew in enumerate(SKEWS):
        wanted = [gain(frame, f"hfkd_ramp[{v}]", "personality", skew, "hfkd_ramp") for v in kept]
        np.testing.assert_allclose(lines[k].get_xdata(), [mean for mean, _, _ in wanted])
        bars = panel.collections[1 + k].get_segments()
        np.testing.assert_allclose([bar[:, 0] for bar in bars], [ends for _, *ends in wanted])
        mean, low, high = gain(frame, "hfkd_ramp[transport=classwise]", "personality", skew, "hfkd_ramp")
        assert mean < panel.get_xlim()[0] and numbers[k] == f"−{-mean:.1f} ± {(high - low) / 2:.1f}"
    assert not figure.axes[1].texts
    labels = plots.fig_effects(frame, "hfkd_ramp[peers=False]").axes[0].get_yticklabels()  # all that there are
    assert [label.get_text() for label in labels][:2] == ["HFKD ramp", "teachers only"] and len(labels) == len(PARTS)


def test_ledger_draws_means_over_members_then_seeds(ledger):
    cells = [(column, skew) for column in ("revenue", "weight") for skew in SKEWS]
    for panel, (column, skew) in zip(plots.fig_ledger(ledger).axes, cells, strict=True):
        kinds = ["teacher", "feedback", "peer", "self"][:4 if column == "weight" else 3]
        for line, kind in zip(panel.lines, kinds, strict=False):
            rows = ledger[(ledger["skew"] == skew) & (ledger["kind"] == kind)]
            np.testing.assert_allclose(line.get_ydata(), rows.groupby("round")[column].mean())
        assert len(panel.texts) == len(panel.collections) == len(kinds)


def test_transport_draws_differences_over_bytes(frame):
    axes = plots.fig_transport(frame, "hfkd_ramp").axes
    runs = ["hfkd_ramp", *(f"hfkd_ramp[{v}]" for v in PARTS[2:])]
    for panel, (metric, skew) in zip(axes, [(m, s) for m in BOTH[::-1] for s in SKEWS], strict=True):
        for dot, run in zip(panel.collections, runs, strict=True):
            sent = sum(values(frame, run, name, skew=skew).mean() for name in ("bytes_up", "bytes_down"))
            np.testing.assert_allclose(dot.get_offsets()[0], [sent, gain(frame, run, metric, skew)[0]])
        assert panel.get_xscale() == "log" and "all images" in {text.get_text() for text in panel.texts}


def test_files_are_stable_and_no_text_is_cut_or_left_open(frame, ledger, tmp_path):
    for name, *given in (("curve", frame), ("alpha", frame), ("effects", frame, "hfkd_ramp"), ("ledger", ledger),
                         ("transport", frame, "hfkd_ramp")):
        figure, again = (getattr(plots, f"fig_{name}")(*given) for _ in range(2))
        one, two = (plots.save(each, tmp_path / str(k) / name) for k, each in enumerate((figure, again)))
        assert [a.read_bytes() for a in one] == [b.read_bytes() for b in two], name
        drawn, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
        assert min(drawn.x0, drawn.y0) >= -.01 and drawn.x1 <= width + .01 and drawn.y1 <= height + .01, name
    assert plt.get_fignums() == []


@pytest.mark.parametrize(("draw", "words"), [
    (lambda f: plots.fig_curve(f, method="local"), "Dirichlet 0.1 has no local with weighting=fixed"),
    (lambda f: plots.fig_alpha(f[f["method"] == "local"]), "has no hfkd with a rule"),
    (plots.fig_ledger, "the ledger holds .*expected the rows of one"),
    (lambda f: plots.fig_transport(f, "hfkd"), "no rows of hfkd in its base configuration"),
    (lambda f: plots.fig_transport(f.assign(bytes_up=0, bytes_down=0), "hfkd_ramp"), "sent nothing in Dirichlet 0.1"),
    (lambda f: plots.fig_effects(f, "hfkd_ramp", ["gate=True"]), "no rows of hfkd_ramp.gate=True"),
    (lambda f: plots.fig_effects(f, "hfkd_ramp", [], {}), "both variants and groups"),
    *((lambda f, draw=draw, more=more: draw(f.iloc[:0], *more), "the frame has no rows") for draw, *more in (
        (plots.fig_curve,), (plots.fig_alpha,), (plots.fig_ledger,), (plots.fig_transport, "hfkd"),
        (plots.fig_effects, "hfkd"))),
])  # fmt: skip
def test_wrong_frames_are_refused(frame, draw, words):
    with pytest.raises(ValueError, match=words):
        draw(frame)


def test_one_seed_is_drawn_without_intervals_and_words_are_told_apart(frame):
    one = frame[frame["seed"] == 0]
    for figure in (plots.fig_curve(one), plots.fig_transport(one, "hfkd_ramp"), plots.fig_effects(one, "hfkd_ramp")):
        assert np.isfinite([*figure.axes[0].get_xlim(), *figure.axes[0].get_ylim()]).all()
    assert phrases.apart(["", "weighting=gradient", "weighting=gradient,alpha=1.0"]) == [
        "", "gradient cosine (weighting=gradient)", "gradient cosine (weighting=gradient,alpha=1.0)"]
    assert margins.beyond(np.array([0, 0, 0, 0, .4]), floor=.5).tolist() == [False] * 5
