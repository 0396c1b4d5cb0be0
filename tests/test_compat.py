"""`--compat pflib`: shares of the split, batches in the given order, no validation data, and its arithmetic by hand."""

import numpy as np
import pandas as pd
import pytest

from hfkd import compat, data, endpoints, experiments, federation, learning, results, state, training
from hfkd.cli import main
from hfkd.config import Config, configure
from hfkd.data import Dataset
from hfkd.methods import METHODS
from hfkd.partition import _cut, _part, split

PFLIB = compat.PROTOCOLS["pflib"]
SMALL = dict(clients=4, rounds=3, public_size=40, balanced_size=100)
DIGITS = data.load("digits")


def cut(dataset=DIGITS, **more):
    """The split of four clients."""
    given = dict(seed=0, clients=4, partition="dirichlet", skew=.5, public_size=100, balanced_size=100)
    return split(dataset, **(given | more))


@pytest.fixture
def federated():
    """Three clients with a test part given: of the samples of each, the last quarter."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (600, 1, 8, 8), dtype=np.uint8)
    return Dataset("given", images, np.arange(600) % 10, 10, np.arange(600) % 200 >= 150, "none", np.arange(600) // 200)


@pytest.mark.parametrize("test_share, val_share", [(.25, 0.), (.25, .1), (.4, .3)])
def test_shares_of_the_split(test_share, val_share):
    fed, whole = cut(test_share=test_share, val_share=val_share), cut()
    for one, usual in zip(zip(fed.train, fed.val, fed.test), zip(whole.train, whole.val, whole.test)):
        train, val, test = map(len, one)
        n = train + val + test
        assert test == int(n * test_share + 1e-9) and val == int((n - test) * val_share + 1e-9)
        assert sorted(np.concatenate(one)) == sorted(np.concatenate(usual))  # the same samples, cut elsewhere
    np.testing.assert_array_equal(fed.counts.sum(1), list(map(len, fed.train)))


def test_default_shares_are_a_fifth_and_a_tenth():
    for n in range(3, 3000):
        test = _part(n, Config.test_share)
        assert (test, _part(n - test, Config.val_share)) == (max(1, n // 5), max(1, (n - n // 5) // 10))


def test_a_test_part_that_is_given_is_the_own_test_split(federated):
    fed = cut(federated, clients=3, partition="natural", public_size=30, test_share=.9, val_share=0.)
    for client in range(3):
        given = np.flatnonzero(federated.is_test & (federated.client == client))
        np.testing.assert_array_equal(np.sort(fed.test[client]), given)
        assert len(fed.val[client]) == 0
    assert sum(map(len, fed.train)) == 450 - 30


def test_two_samples_are_enough_without_validation():
    pair, rng = np.array([3, 8]), np.random.default_rng(0)
    with pytest.raises(ValueError, match="client 5 has 2 samples, too few to train, validate and test"):
        _cut(pair, None, 5, rng, .25, .1)
    with pytest.raises(ValueError, match="client 5 has 1 samples, too few to train and test"):
        _cut(pair[:1], None, 5, rng, .25, 0.)
    assert list(map(len, _cut(pair, None, 5, rng, .25, 0.))) == [1, 0, 1]
    assert list(map(len, _cut(pair[:1], pair, 5, rng, 0, 0.))) == [1, 0, 2]


@pytest.mark.parametrize("n, size, epochs", [(25, 10, 1), (30, 10, 2), (10, 10, 3), (7, 10, 2), (1, 4, 1), (19, 1, 1)])
def test_batches_in_the_given_order_are_full_and_the_rest_is_left_out(n, size, epochs):
    rows = learning.in_order(n, size, epochs)
    assert rows.shape == (epochs * max(1, n // size), size)
    if n >= size:  # what a loader with drop_last and without shuffling gives
        kept = np.arange(n // size * size).reshape(-1, size)
        np.testing.assert_array_equal(rows, np.tile(kept, (epochs, 1)))
    else:
        np.testing.assert_array_equal(rows.ravel(), np.arange(rows.size) % n)


@pytest.mark.parametrize("shuffle", [True, False])
def test_every_round_takes_the_same_batches_only_without_shuffling(shuffle, monkeypatch):
    met = []

    def watched(cohort, images, labels, private, steps, *rest):
        met.append((cohort.members.tolist(), private, list(steps)))

    monkeypatch.setattr(training, "train", watched)
    config = configure("smoke", **(SMALL | PFLIB | dict(shuffle=shuffle, rounds=2)))
    federation.run(config, METHODS["local"], DIGITS, (0,))
    fed, half = state.split_of(config, DIGITS, 0), len(met) // 2
    for (members, private, steps), (_, again, _) in zip(met[:half], met[half:]):
        assert (private == again).all().item() is not shuffle
        for row, k, i in zip(private, steps, members):
            own = fed.train[i]
            assert k == (-(-len(own) // 10) if shuffle else max(1, len(own) // 10))
            if not shuffle and len(own) >= 10:
                np.testing.assert_array_equal(row[:k].ravel(), own[: 10 * k])


@pytest.fixture(scope="module")
def rows():
    config = configure("smoke", method="fedproto", **SMALL, **PFLIB)
    found = federation.run(config, METHODS["fedproto"], DIGITS, (0, 1)).rows
    return config, found.assign(experiment="run", variant="")[endpoints.COLUMNS]


def test_without_validation_data_its_columns_are_missing_and_nothing_else(rows, tmp_path):
    found = rows[1]
    assert found[["val_personality", "val_consistency"]].isna().all(axis=None)
    assert found.drop(columns=["val_personality", "val_consistency"]).notna().all(axis=None)
    with pytest.raises(ValueError, match="has no validation accuracy; expected one per client, or use round 'last'"):
        endpoints.at_round(found, "validation")
    with pytest.raises(ValueError, match="val_share is 0"):
        endpoints.chosen(found.assign(variant="lr=0.01"))
    with pytest.raises(ValueError, match="val_personality of fedproto is missing for seed 0"):
        results.values(found, "fedproto", "val_personality")
    results.save(found, tmp_path / "a.csv", {})
    pd.testing.assert_frame_equal(results.load(tmp_path / "a.csv")[["val_personality"]], found[["val_personality"]])


def test_test_samples_are_counted(rows):
    config, found = rows
    tested = experiments.tested("smoke", (0, 1), **SMALL, **PFLIB)
    for seed in (0, 1):
        assert tested[seed].tolist() == [len(own) for own in state.split_of(config, DIGITS, seed).test]
        mine = found[found["seed"] == seed].merge(tested[seed].rename("n"), left_on="client", right_index=True)
        right = mine["personality"] * mine["n"]
        assert (abs(right - right.round()) < 1e-9).all()  # an accuracy is a whole number of its test samples
        best = (right.groupby(mine["round"]).sum() / tested[seed].sum()).max()
        table = compat.reported(found, tested).set_index("seed")
        assert table.loc[seed, "best"] == pytest.approx(best, abs=1e-9)
        assert table.loc[seed, "last"] == pytest.approx(mine.loc[mine["round"] == 3, "personality"].mean())


def test_weighting_and_best_round_by_hand():
    cell = dict.fromkeys(["experiment", *endpoints.CELL], "")
    table = {(0, 1): (.5, .1), (0, 2): (.4, .9), (0, 3): (.3, .2)}
    table |= {(1, 1): (1., 1.), (1, 2): (1., 1.), (1, 3): (1., 0.)}
    found = pd.DataFrame([cell | {"seed": s, "round": r, "client": i, "personality": a}
                          for (s, r), each in table.items() for i, a in enumerate(each)])  # fmt: skip
    tested = pd.Series({(0, 0): 30, (0, 1): 10, (1, 0): 5, (1, 1): 15}).rename_axis(["seed", "client"])
    read = compat.reported(found.sample(frac=1, random_state=0), tested).set_index("seed")
    assert read.loc[0, ["last", "weighted", "best", "round"]].tolist() == pytest.approx([.25, .275, .525, 2])
    assert read.loc[1, ["last", "weighted", "best", "round"]].tolist() == pytest.approx([.5, .25, 1., 1])  # first tie
    with pytest.raises(ValueError, match="client 1 of seed 1 has no count of test samples"):
        compat.reported(found, tested.iloc[:3])


WORDS = [word for name, value in SMALL.items() for word in ("--set", f"{name}={value}")]


def test_the_command_shows_both_readings_and_says_which_is_optimistic(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("hfkd.paths.RUNS", tmp_path)
    assert main(["run", "--method", "local", "--compat", "pflib", "--seeds", "0", *WORDS]) == 0
    out = capsys.readouterr().out
    found = results.load(tmp_path / "smoke" / "run_pflib.csv")
    read = compat.reported(found, experiments.tested("smoke", (0,), **SMALL, **PFLIB)).iloc[0]
    shown = [line for line in out.splitlines() if line.startswith("local")]
    assert float(shown[0].split()[-3]) == float(shown[1].split()[-5]) == pytest.approx(100 * read["last"], abs=.006)
    points = [float(word) for word in shown[1].split()[-4:-2]]
    assert points == pytest.approx([100 * read["weighted"], 100 * read["best"]], abs=.006)
    assert "The test data choose that round: best is optimistic, and never used in our tables." in out
    assert set(found["round"]) == {1, 2, 3}  # all of them, for the best


REFUSED = {
    "--compat pflib --set lr=0.1": "lr is 0.01 by --compat pflib; leave --set lr out, or --compat",
    "--compat pflib --set shuffle=True": "shuffle is False by --compat pflib; leave --set shuffle out, or --compat",
    "--compat fedml": "compat is 'fedml'; expected one of pflib",
    "--compat pflib --set weighting=revenue": "weighting=revenue reads the own validation split and val_share is 0",
    "--set val_share=0 --set beta_weighting=gradient": "beta_weighting=gradient reads the own validation split",
    "--set val_share=0 --set revenue=realised --set refresh=5": "revenue=realised reads the own validation split",
    "--set test_share=0": "test_share is 0.0; expected 0.01 or more, at most 0.9",
    "--set shuffle=no": "shuffle is 'no'; expected bool",
}


@pytest.mark.parametrize("line", REFUSED)
def test_a_conflict_is_one_sentence_and_nothing_is_written(line, capsys, tmp_path):
    assert main(["run", "--out", str(tmp_path / "a.csv"), *line.split()]) == 2
    out, err = capsys.readouterr()
    assert len(err.splitlines()) == 1 and err.startswith("hfkd: ") and REFUSED[line] in err and out == ""
    assert not list(tmp_path.iterdir())


def test_the_protocol_is_listed_with_what_it_sets(capsys):
    assert main(["list", "protocols"]) == 0
    assert capsys.readouterr().out.split() == ["pflib", *(f"{k}={v}" for k, v in PFLIB.items())]
    configure("smoke", **PFLIB)  # every field of it is one of Config
