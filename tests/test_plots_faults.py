"""The figures of faults draw what `pairing.paired` finds among the honest, and what the ledger says of liars."""

import numpy as np
import pandas as pd
import pytest

from hfkd import plots
from hfkd.cells import cells
from hfkd.endpoints import COLUMNS
from hfkd.faults import honest, liars
from hfkd.grids import GRIDS
from hfkd.pairing import paired
from hfkd.plots.faults import DEFENCES, fig_faults, fig_trust, parted
from hfkd.statistics import interval

VARIANTS = ["", "dropout=0.3", "liars=0.2,lie=flip", "doubt=True", "liars=0.2,lie=flip,doubt=True",
            "liars=0.2,lie=collude,pooling=median"]  # fmt: skip


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(0)
    return pd.DataFrame([
        dict.fromkeys(COLUMNS, 0) | {"experiment": "x", "method": "hfkd", "partition": "dirichlet", "skew": skew,
                                     "variant": v, "seed": seed, "round": r, "client": client,
                                     "personality": rng.uniform(.8, .9), "consistency": rng.uniform(.4, .6)}
        for v in VARIANTS for skew in (.1, .5) for seed in range(3) for r in (5, 10) for client in range(10)])


def test_a_point_per_fault_and_defence_of_the_honest(frame):
    figure, kept = fig_faults(frame), honest(frame, .2)
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == [
        "no fault", "30 % absent", "20 % lie: collude", "20 % lie: flip"]  # fmt: skip
    for axes, (skew, metric) in zip(figure.axes, [(s, m) for s in (.1, .5) for m in ("personality", "consistency")]):
        dots = {round(float(line.get_ydata()[0])): [] for line in axes.lines if len(line.get_ydata()) == 1}
        for line in axes.lines:
            if len(line.get_xdata()) == 1:
                dots[round(float(line.get_ydata()[0]))].append(float(line.get_xdata()[0]))
        for y, variants in enumerate((VARIANTS[3:4], VARIANTS[1:2], VARIANTS[5:], [VARIANTS[2], VARIANTS[4]])):
            wanted = [interval(paired(kept, f"hfkd[{v}]", "hfkd", metric, skew=skew)).mean for v in variants]
            assert sorted(dots[y]) == pytest.approx(sorted(wanted))


def test_every_cell_of_the_grid_has_a_place_in_the_figure():
    variants = {variant for variant, config in cells(GRIDS["faults"], "lite", {}) if config.method == "hfkd"}
    faults, defences = zip(*map(parted, variants))
    assert set(defences) == set(DEFENCES) and len(set(faults)) == 9
    assert len(variants) == len(set(zip(faults, defences)))
    for variant in GRIDS["faults"].journals:
        assert variant in variants


def test_rows_without_faults_are_refused(frame):
    with pytest.raises(ValueError, match="no variant of hfkd has a fault; `hfkd grid faults` makes them"):
        fig_faults(frame[frame["variant"].isin(["", "doubt=True"])])
    with pytest.raises(ValueError, match="the frame has no rows"):
        fig_faults(frame[:0].assign(client=0, seed=0))


def test_trust_by_loops():
    rng = np.random.default_rng(1)
    book = pd.DataFrame([
        {"method": "hfkd", "dataset": "digits", "public": "same", "partition": "dirichlet", "skew": .1,
         "variant": "liars=0.2,lie=flip,revenue=labelled", "seed": seed, "round": r, "from": t, "to": s,
         "kind": "peer", "revenue": rng.normal(), "weight": rng.random()}
        for seed in range(3) for r in (5, 10) for s in range(10) for t in range(10) if (s * t) % 3 or s == t])
    top, bottom = fig_trust(book).axes
    earned = [line.get_ydata() for line in top.lines[1:]]  # after the line at 0
    say = [line.get_ydata() for line in bottom.lines]
    for k, lying in enumerate((False, True)):
        for place, r in enumerate((5, 10)):
            revenues, says = [], []
            for seed in range(3):
                lies, rows = liars(seed, 10, .2), book[(book["seed"] == seed) & (book["round"] == r)]
                found = [row for _, row in rows.iterrows()
                         if row["from"] != row["to"] and not lies[row["to"]] and lies[row["from"]] == lying]
                revenues.append(np.mean([row["revenue"] for row in found]))
                says.append(sum(row["weight"] for row in found) / (8 * (2 if lying else 7)))
            assert earned[k][place] == pytest.approx(np.mean(revenues))
            assert say[k][place] == pytest.approx(np.mean(says))


def test_saved_twice_the_bytes_are_the_same(frame, tmp_path):
    one, other = (plots.save(fig_faults(frame), tmp_path / name) for name in "ab")
    assert [a.read_bytes() == b.read_bytes() for a, b in zip(one, other)] == [True, True]
