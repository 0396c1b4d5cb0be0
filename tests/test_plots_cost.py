"""The figures of cost draw the numbers of the record, each in its place."""

import json

import numpy as np
import pandas as pd
import pytest
from bench_record import TOOK, record

from hfkd import costs, plots
from hfkd.endpoints import COLUMNS
from hfkd.plots import looks

SENT = {"local": 0, "fedmd": 4_000, "hfkd": 4_000, "fedavg": 90_000}


@pytest.fixture
def found(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(record()))
    return costs.read(tmp_path / "a.json")


def test_floor_draws_every_round_once_in_its_place(found):
    (axes,) = plots.fig_floor(found.rounds).axes
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["FedAvg, 20 clients, batch 32", "FML, 20 clients, batch 10",
                     *(f"MLP level {k}, batch 32, 60 clients" for k in (1, 2))]  # methods: no floor
    drawn = np.array([dots.get_offsets()[0] for dots in axes.collections]).reshape(4, 3, 2)  # floor, batched, plain
    assert (drawn[:, :, 1] == axes.get_yticks()[:, None]).all()
    np.testing.assert_array_equal(drawn[:, :2, 0], [[11, 27.5], [14, 28], [.5, 1], [.5, 1]])
    np.testing.assert_array_equal(drawn[1:, 2, 0], [70, 8, 3.5])
    with pytest.raises(ValueError, match="no round with a floor"):
        plots.fig_floor(found.rounds[found.rounds["table"] == "methods"])


def test_scale_draws_clients_in_order(found):
    left, middle, right = plots.fig_scale(found.rounds, found.matched).axes
    lines = {line.get_label(): line.get_xydata().tolist() for line in left.lines}
    assert lines["in proportion to clients"] == [[100, 1], [10_000, 100]]
    np.testing.assert_allclose(lines["one program"], [[100, 1], [1_000, 1_000**1.5 / 1e3], [10_000, 1_000]])
    assert lines["one after the other"] == [[100, 10], [1_000, 100], [10_000, 1_000]]
    assert middle.lines[0].get_ydata().tolist() == [4e8] * 3
    assert right.lines[1].get_xydata().tolist() == [[100, .5], [10_000, 50]]
    assert {note.get_text() for note in right.texts} == {"60 s", "coverage", "coverage, 8 students each"}
    with pytest.raises(ValueError, match="no matching"):
        plots.fig_scale(found.rounds, found.matched[:0])
    with pytest.raises(ValueError, match="1 rounds of many clients, expected two"):
        plots.fig_scale(found.rounds[found.rounds["clients"].isna() | (found.rounds["clients"] == 100)], found.matched)


def test_price_pairs_gain_with_bytes_and_seconds(found):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame([dict.fromkeys(COLUMNS, 0) | {
        "partition": "dirichlet", "skew": .1, "variant": "", "method": m, "seed": s, "round": 5, "bytes_up": 5 * sent,
        "consistency": rng.uniform(.2, .6)} for m, sent in SENT.items() for s in range(3)])
    means = 100 * frame.groupby("method")["consistency"].mean()
    by_bytes, by_seconds = plots.fig_price(frame, found.rounds).axes
    runs = [name for name in looks.METHODS if name in SENT and name != "local"] + ["local"]
    for axes, cost in ((by_bytes, SENT), (by_seconds, TOOK)):
        drawn = np.array([dots.get_offsets()[0] for dots in axes.collections])
        np.testing.assert_allclose(drawn[:, 1], [means[name] - means["local"] for name in runs], atol=1e-9)
        np.testing.assert_allclose(drawn[:-1, 0], [cost[name] for name in runs[:-1]])
    with pytest.raises(ValueError, match="no seconds of fedavg"):
        plots.fig_price(frame, found.rounds[found.rounds["what"] != "fedavg"])
    with pytest.raises(ValueError, match="2 scenes"):
        plots.fig_price(pd.concat([frame, frame.assign(skew=.5)]), found.rounds)
