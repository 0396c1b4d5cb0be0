"""What holds for every method alike: same rows twice, each seed by itself, nobody's data touched; and what Local is."""

import functools

import numpy as np
import pytest
import torch
from scenes import weights_of

from hfkd import data, federation
from hfkd.config import configure
from hfkd.methods import METHODS
from hfkd.needs import data_free

SMALL = dict(clients=5, rounds=3, eval_every=3, pool_size=300, public_size=40, balanced_size=100, batch=32, lr=.05)
FITS = {"inclusivefl": {"levels": "depth"}}
MARKS = ["seed", "round", "client", "personality", "consistency", "val_personality", "val_consistency"]


def ends(method, seeds=(0,), **more):
    """(rows, flat id -> name -> weights, state) of a small run."""
    config = configure("smoke", **(SMALL | FITS.get(method, {}) | dict(method=method) | more))
    states, start = [], federation.start
    with pytest.MonkeyPatch.context() as watch:
        watch.setattr(federation, "start", lambda *given: states.append(start(*given)) or states[-1])
        rows = federation.run(config, METHODS[method], data.load("digits"), seeds).rows
    return rows, {i: w for i, (_, w) in weights_of(states[0]).items()}, states[0]


both = functools.cache(lambda method: ends(method, (1, 0)))  # never changed


def same(one, other):
    """Whether two clients have the same weights bit for bit, as far as both have them."""
    return all(one[name].equal(other[name]) for name in one.keys() & other.keys() if not name.startswith("small."))


@pytest.mark.parametrize("method", METHODS)
def test_a_seed_gives_the_same_bytes_whatever_runs_beside_it(method):
    # a run again with another seed beside it: the same rows twice, too
    rows, weights, _ = both(method)
    alone, own, _ = ends(method)
    assert alone.to_csv() == rows[rows["seed"] == 0].reset_index(drop=True).to_csv()
    assert all(w[name].equal(weights[5 + i][name]) for i, w in own.items() for name in w)


@pytest.mark.parametrize("method", METHODS)
def test_data_stays_as_it_was(method):
    state = both(method)[2]
    begun = federation.start(configure("smoke", **SMALL), data.load("digits"), (1, 0))
    assert state.images.equal(begun.images) and state.labels.equal(begun.labels) and state.prior.equal(begun.prior)
    for one, other in zip(state.splits, begun.splits):
        for part in ("train", "val", "test"):
            assert all(map(np.array_equal, getattr(one, part), getattr(other, part)))
        assert np.array_equal(one.public, other.public) and np.array_equal(one.counts, other.counts)


@pytest.mark.parametrize("method", METHODS)
def test_only_own_training_labels_are_learned_from(method, monkeypatch):
    # labels of public, validation and test images are wrong, and the images of the test parts are noise
    start = federation.start

    def spoiled(*given):
        state = start(*given)
        (fed,) = state.splits
        tested = np.concatenate([*fed.test, *fed.val, fed.balanced])
        state.labels[np.concatenate([tested, fed.public])] = 0
        state.images[tested] = torch.randn(len(tested), 1, 8, 8, generator=torch.Generator().manual_seed(0))
        return state

    honest = both(method)[1]
    monkeypatch.setattr(federation, "start", spoiled)
    found = ends(method)[1]
    assert all(w[name].equal(honest[5 + i][name]) for i, w in found.items() for name in w)


@pytest.mark.parametrize("method", [name for name in METHODS if data_free(name)])
def test_without_public_images_a_data_free_method_gives_the_very_same_rows(method):
    rows = ends(method, (1, 0), public="none")[0]
    assert set(rows["public"]) == {"none"}
    assert rows.assign(public="same").to_csv() == both(method)[0].to_csv()


without_the_term = functools.cache(lambda twin, loss: ends(twin, hard_loss=loss))


@pytest.mark.parametrize(("method", "twin", "loss"), [
    ("fml", "local", "plain"), ("fedkd", "local", "plain"), ("fd", "local", "balanced"), ("fedproto", "local", "plain"),
    ("fedtgp", "local", "balanced"), ("fedprox", "fedavg", "plain"), ("fedprox", "fedavg", "balanced"),
    ("feddf", "fedavg", "plain"),
])  # fmt: skip
def test_strength_zero_is_training_without_the_term_bit_for_bit(method, twin, loss):
    head = {"readout": "head"} if "features" in METHODS[method].NEEDS else {}
    rows, weights, _ = ends(method, hard_loss=loss, strength=0.0, **head)
    plain, wanted, _ = without_the_term(twin, loss)
    assert all(map(same, weights.values(), wanted.values())) and rows[MARKS].equals(plain[MARKS])
    assert not all(map(same, ends(method, hard_loss=loss, strength=0.3)[1].values(), wanted.values()))


@pytest.mark.parametrize("method", ["fedmd", "expertise_mean", "dsfl", "ktpfl", "rhfl", "dml", "fd"])
def test_alone_it_is_local_training_bit_for_bit(method):
    rows, weights, _ = ends(method, clients=1, hard_loss="plain")
    plain, wanted, _ = ends("local", clients=1)
    assert same(weights[0], wanted[0]) and rows[MARKS].equals(plain[MARKS]) and not rows["bytes_down"].any()


@pytest.mark.parametrize("method", ["fedavg", "heterofl", "inclusivefl", "lg_fedavg"])
def test_alone_and_without_momentum_an_average_is_local_training_bit_for_bit(method):
    # with momentum it is not: that of what has been averaged away restarts in each round
    lone = dict(clients=1, momentum=0.0, **FITS.get(method, {}))
    rows, weights, _ = ends(method, **lone)
    plain, wanted, _ = ends("local", **lone)
    assert same(weights[0], wanted[0]) and rows[MARKS].equals(plain[MARKS])
    assert not same(ends(method, **lone | dict(momentum=.9))[1][0], ends("local", **lone | dict(momentum=.9))[1][0])
