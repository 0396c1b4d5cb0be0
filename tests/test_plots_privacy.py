"""The figures of privacy draw the means of their tables, are saved to the byte, and refuse what they cannot show."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from hfkd import plots
from hfkd.endpoints import COLUMNS
from hfkd.pairing import paired

SKEWS, EPSILONS, SEEDS, ROUNDS = (.1, .5), (.1, 1., 10.), range(4), (1, 2, 5)
SCENES = [{"dataset": "digits", "public": "same", "partition": "dirichlet", "skew": skew} for skew in SKEWS]
RUNS = [("fedmd", ""), ("fedmd", "hard_loss=balanced"), ("hfkd", ""), ("hfkd", "hard_loss=plain"),
        ("hfkd", "epsilon=0.1")]  # fmt: skip


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(0)
    return pd.DataFrame([
        dict.fromkeys(COLUMNS, 0) | scene | {"experiment": "x", "method": "hfkd", "variant": variant, "seed": seed,
        "client": client, "personality": rng.uniform(.7, .8), "consistency": rng.uniform(.4, .5)}
        for scene in SCENES for variant in ("", *(f"epsilon={e}" for e in EPSILONS)) for seed in SEEDS
        for client in range(2)])  # fmt: skip


@pytest.fixture(scope="module")
def matching():
    rng = np.random.default_rng(1)
    return pd.DataFrame([scene | {"seed": seed, "fan_in": fan_in, "epsilon": e, "kept": rng.uniform(.8, 1),
                                  "told": rng.uniform(0, .1), "most": .2, "guessed": rng.uniform(0, .1)}
                         for scene in SCENES for seed in SEEDS for fan_in in (1, 2, 4) for e in (.001, *EPSILONS)])


@pytest.fixture(scope="module")
def leaks():
    rng = np.random.default_rng(2)
    return pd.DataFrame([scene | {"method": method, "variant": variant, "seed": seed, "round": r, "attacker": attacker,
                                  "distance": .7 if attacker == "nothing" else rng.uniform(.2, .6), "correlation": .5,
                                  "auc": .5 if attacker == "nothing" else rng.uniform(.5, .9)}
                         for scene in SCENES for method, variant in RUNS for seed in SEEDS for r in ROUNDS
                         for attacker in ("nothing", "log", "together")])


def drawn(axes, label):
    return next(line.get_xydata() for line in axes.lines if line.get_label() == label)


def test_epsilon_draws_paired_differences_and_the_table_of_the_matching(frame, matching):
    first, second, lost, told = plots.fig_epsilon(frame, matching).axes
    for skew in SKEWS:
        title = f"Dirichlet {skew:g}"
        for axes, metric in ((first, "personality"), (second, "consistency")):
            wanted = [paired(frame, f"hfkd[epsilon={e}]", "hfkd", metric, skew=skew).mean() for e in EPSILONS]
            np.testing.assert_allclose(drawn(axes, title), np.stack([EPSILONS, wanted], 1))
        rows = matching[(matching["skew"] == skew) & (matching["epsilon"] > .001)]
        for fan_in, label in ((4, title), (1, f"{title}, 1 teacher at most")):
            means = rows[rows["fan_in"] == fan_in].groupby("epsilon")["kept"].mean()
            np.testing.assert_allclose(drawn(lost, label)[:, 1], 100 * (1 - means))
        means = rows[rows["fan_in"] == 4].groupby("epsilon")["told"].mean()
        np.testing.assert_allclose(drawn(told, title)[:, 1], means)
    assert len(first.collections) == 2 and len(lost.collections) == 4  # a band for every line
    assert [label.get_text() for label in told.get_xticklabels()] == ["0.1", "1", "10"]
    alone = matching[(matching["skew"] == .1) & (matching["epsilon"] == .001) & (matching["fan_in"] == 4)]
    assert drawn(lost, f"Dirichlet 0.1, noise alone, {alone['fan_in'].max()} teachers")[0, 1] == pytest.approx(100 * (1 - alone["kept"].mean()))


def test_leak_draws_one_attacker_against_one_who_has_heard_nothing(leaks, matching):
    figure = plots.fig_leak(leaks, matching)
    for column, skew in enumerate(SKEWS):
        for axes, measure in zip((figure.axes[column], figure.axes[2 + column]), ("distance", "auc"), strict=True):
            rows = leaks[(leaks["skew"] == skew) & (leaks["attacker"] == "together")]
            names = ("FedMD, plain loss", "FedMD, balanced loss", "HFKD, balanced loss", "HFKD, plain loss",
                     "HFKD, balanced loss, epsilon 0.1")  # fmt: skip
            for (method, variant), label in zip(RUNS, names, strict=True):
                own = rows[(rows["method"] == method) & (rows["variant"] == variant)].groupby("round")[measure].mean()
                np.testing.assert_allclose(drawn(axes, label), np.stack([own.index, own], 1))
            assert drawn(axes, "has heard nothing")[0, 1] == pytest.approx({"distance": .7, "auc": .5}[measure])
        near = matching[(matching["skew"] == skew) & (matching["epsilon"] == .1)]["guessed"].mean()
        assert drawn(figure.axes[column], "has heard counts at epsilon 0.1")[0, 1] == pytest.approx(near)
    other = plots.fig_leak(leaks, attacker="log").axes[0]
    assert not np.allclose(drawn(other, "FedMD, plain loss"), drawn(figure.axes[0], "FedMD, plain loss"))


def test_files_are_stable_and_no_text_is_cut_or_left_open(frame, matching, leaks, tmp_path):
    one_seed = frame[frame["seed"] == 0], matching[matching["seed"] == 0]
    for name, given in (("epsilon", (frame, matching)), ("leak", (leaks, matching)), ("epsilon", one_seed),
                        ("leak", (leaks[leaks["seed"] == 0],))):  # fmt: skip
        figure, again = (getattr(plots, f"fig_{name}")(*given) for _ in range(2))
        one, two = (plots.save(each, tmp_path / str(k) / name) for k, each in enumerate((figure, again)))
        assert [a.read_bytes() for a in one] == [b.read_bytes() for b in two], name
        box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
        assert min(box.x0, box.y0) >= -.01 and box.x1 <= width + .01 and box.y1 <= height + .01, name
    assert plt.get_fignums() == []


@pytest.mark.parametrize(("draw", "words"), [
    (lambda f, m, t: plots.fig_epsilon(f[f["variant"] == ""], m), "Dirichlet 0.1 has no hfkd with epsilon"),
    (lambda f, m, t: plots.fig_epsilon(f, m[m["skew"] == .1]), "no rows of Dirichlet 0.5"),
    (lambda f, m, t: plots.fig_epsilon(f[(f["seed"] > 0) | (f["variant"] == "")], m), r"seeds \[0\] of Dirichlet 0.1"),
    (lambda f, m, t: plots.fig_epsilon(f.iloc[:0], m), "the frame has no rows"),
    (lambda f, m, t: plots.fig_leak(t.iloc[:0]), "the frame has no rows"),
    (lambda f, m, t: plots.fig_leak(t, attacker="me"), "attacker is 'me'; expected one of log, nothing, together"),
    (lambda f, m, t: plots.fig_leak(t, m[m["skew"] == .1]), "no rows of Dirichlet 0.5"),
])  # fmt: skip
def test_wrong_frames_are_refused(frame, matching, leaks, draw, words):
    with pytest.raises(ValueError, match=words):
        draw(frame, matching, leaks)
