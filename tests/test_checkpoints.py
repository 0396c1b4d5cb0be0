"""Checkpoints: a tree comes back as it was, and a run that is stopped after any round ends with the same bytes."""

from dataclasses import asdict, fields

import numpy as np
import pandas as pd
import pytest
import torch

from hfkd import checkpoints, data, federation
from hfkd.checkpoints import Place, load, pack, save, unpack
from hfkd.config import configure
from hfkd.course import changing
from hfkd.books import Books, opened
from hfkd.methods import METHODS
from hfkd.provenance import plain
from hfkd.revenue import EXPLORATION
from hfkd.state import State
from hfkd.training import Cohort

SMALL = dict(clients=5, rounds=4, eval_every=2, pool_size=300, public_size=40, balanced_size=100, batch=32, lr=.05)
LABELS, ALONE = dict(public_labels=True), dict(peers=False, fan_in=3, fan_out=3)
CASES = [(method, dict(levels="depth") if method == "inclusivefl" else {}) for method in METHODS] + [
    ("hfkd", case) for case in (
        dict(weighting="loss_ratio", **LABELS), dict(weighting="revenue"), dict(weighting="gradient"),
        dict(weighting="uncertainty"), dict(weighting="revenue", beta_weighting="ramp"), dict(prior_power=1.0),
        dict(revenue="labelled", refresh=2, gate=True, **LABELS), dict(revenue="realised", refresh=3, gate=True),
        dict(revenue="shapley", refresh=2, gate=True, **LABELS, **ALONE), dict(rule="random", refresh=2),
        dict(dropout=.3, straggling=.3, liars=.2, doubt=True, recall=True, **LABELS), dict(offline=.3, exploding=.4, pooling="median"),
        dict(transport="classwise"), dict(transport="private"), dict(transport="visit"), dict(wire="fp16", spoken=15),
        dict(schedule="top_down"), dict(schedule="bottom_up"), dict(levels="cnn"), dict(shuffle=False),
    )
]  # fmt: skip


def tree():
    """One of everything, tensors that lie oddly in memory among them."""
    block = torch.arange(24, dtype=torch.float64).reshape(2, 3, 4)
    frame = pd.DataFrame({"seed": [3, 1], "kind": ["peer", "é"], "of": [np.nan, .1 + .2], "on": [True, False]})
    return {
        "odd": [block.transpose(0, 2), block[:, 1], block[0, 0].expand(5, 4), torch.zeros(0, 3), torch.tensor(7)],
        "odd.0": torch.ones(2, dtype=torch.bool), "none": None, "pairs": [(1, .1 + .2), ()], "nan": float("nan"),
        "numbers": {"whole": np.arange(6).reshape(2, 3).T, "no": np.zeros((0, 2)), "one": np.array(2.5)},
        "frames": [frame, frame[:0]], "stream": np.random.default_rng(4), "text": "è\n", "yes": True,
    }  # fmt: skip


def alike(one, other):
    """Whether two trees are the same, to the bit and in the memory."""
    if isinstance(one, torch.Tensor):
        return one.equal(other) and one.dtype == other.dtype and (one.stride() == other.stride() or not one.numel())
    if isinstance(one, np.ndarray):
        return np.array_equal(one, other) and one.dtype == other.dtype and one.shape == other.shape
    if isinstance(one, pd.DataFrame):
        pd.testing.assert_frame_equal(one, other, check_exact=True)
        return True
    if isinstance(one, np.random.Generator):
        return one.bit_generator.state == other.bit_generator.state
    if isinstance(one, dict):
        return list(one) == list(other) and all(alike(one[name], other[name]) for name in one)
    if isinstance(one, (list, tuple)):
        return type(one) is type(other) and len(one) == len(other) and all(map(alike, one, other))
    return type(one) is type(other) and repr(one) == repr(other)


def test_a_tree_comes_back_as_it_was(tmp_path):
    assert alike(unpack(*pack(tree())), tree())
    place = Place(tmp_path / "new" / "x.safetensors", {"seeds": [0]})
    save(place, tree())
    found = load(place)
    assert alike(found, tree()) and [path.name for path in place.path.parent.iterdir()] == ["x.safetensors"]
    ours, theirs = tree()["stream"], found["stream"]
    assert (ours.permutation(9) == theirs.permutation(9)).all() and not alike(found, tree())  # it has drawn
    found["odd"][0].add_(1)
    assert alike(load(place)["odd"], tree()["odd"])


def test_what_comes_back_shares_no_memory():
    here = {"a": torch.zeros(2), "b": np.zeros(2)}
    again = unpack(*pack(here))
    again["a"] += 1
    again["b"] += 1
    assert not here["a"].any() and not here["b"].any()


@pytest.mark.parametrize(("value", "kind"), [
    ({1: 2}, "dict"), ({2}, "set"), (np.array(["a"]), "ndarray"), (np.float32(1), "float32"), (len, "builtin"),
    (np.random.Generator(np.random.MT19937(0)), "Generator"),
])  # fmt: skip
def test_what_cannot_be_kept_is_named_and_nothing_written(tmp_path, value, kind):
    with pytest.raises(ValueError, match=f"^memory.odd.0 is a {kind}.*, which a checkpoint cannot hold; expected"):
        save(Place(tmp_path / "x.safetensors", {}), {"memory": {"odd": [value]}})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("spoil", [
    lambda b: b"", lambda b: b[:4], lambda b: b[:40], lambda b: b[:-1], lambda b: b + b"\0", lambda b: b[:-1] + b"\7",
    lambda b: b.replace(b"lesson", b"lessen"), lambda b: b"\0" * len(b), lambda b: b'\x02\0\0\0\0\0\0\0{}',
])  # fmt: skip
def test_a_broken_checkpoint_is_none_and_is_removed(tmp_path, spoil):
    place = Place(tmp_path / "x.safetensors", {})
    save(place, {"lesson": "lesson", "sent": np.arange(9)})
    place.path.write_bytes(spoil(place.path.read_bytes()))
    assert load(place) is None and not place.path.exists() and load(place) is None


def test_that_of_another_origin_is_none_and_is_removed(tmp_path):
    origin = {"code": "a", "seeds": [0, 1]}
    for other in ({"code": "b", "seeds": [0, 1]}, {"code": "a", "seeds": [0]}, {"code": "a"}):
        save(Place(tmp_path / "x.safetensors", origin), {"a": 1})
        assert load(Place(tmp_path / "x.safetensors", origin)) == {"a": 1}
        assert load(Place(tmp_path / "x.safetensors", other)) is None and not list(tmp_path.iterdir())


def test_the_place_of_a_cell(tmp_path):
    grid, config = Place(tmp_path, {"code": "a"}, 5.0), asdict(configure("smoke"))
    one = checkpoints.of_cell(grid, "", config, seeds=(0, 1), checksums={"digits": "b"})
    assert one.path.parent == tmp_path and one.seconds == 5.0
    more = {"seeds": [0, 1], "checksums": {"digits": "b"}}
    assert one.origin == plain({"code": "a", "variant": "", "config": config} | more)
    assert checkpoints.of_cell(grid, "", config, seeds=(3,)).path == one.path  # the same cell, another origin
    for variant, other in (("a=1", config), ("", config | {"lr": .5}), ("", config | {"skew": .5})):
        assert checkpoints.of_cell(grid, variant, other).path != one.path


class Stopped(Exception):
    """Stands in for the kill."""


def run(method, case, place=None, stop=None, seeds=(1, 0)):
    """(outcome, rounds that were run) of a small run; `stop`: the round after which it is stopped."""
    rounds = []

    def report(round, _):
        rounds.append(round)
        if round == stop:
            raise Stopped

    config = configure("smoke", **(SMALL | dict(method=method) | case))
    try:
        return federation.run(config, METHODS[method], data.load("digits"), seeds, report=report, place=place), rounds
    except Stopped:
        return None, rounds


@pytest.mark.parametrize(("method", "case"), CASES, ids=lambda part: part if isinstance(part, str) else "-".join(
    f"{name}={value}" for name, value in part.items()))  # fmt: skip
def test_stopped_after_any_round_a_run_ends_with_the_same_bytes(method, case, tmp_path):
    place = Place(tmp_path / "x.safetensors", {}, 0.0)
    whole, rounds = run(method, case)
    assert rounds == [1, 2, 3, 4]
    for stop, expected in ((1, [1]), (2, [1, 2]), (3, [2, 3]), (4, [3, 4])):  # the report comes before the checkpoint
        assert run(method, case, place, stop) == (None, expected)
    again, rounds = run(method, case, place)
    assert rounds == [4]
    for one, other in zip(whole, again, strict=True):
        pd.testing.assert_frame_equal(one, other, check_exact=True)


@pytest.mark.parametrize("method", ["local", "hfkd"])
def test_a_checkpoint_that_is_not_yet_due_is_not_written(method, tmp_path):
    place = Place(tmp_path / "x.safetensors", {}, 1e9)
    assert run(method, {}, place, 4)[1] == [1, 2, 3, 4] and not list(tmp_path.iterdir())


def test_all_that_rounds_change_is_in_the_tree():
    # whoever adds a field to these has to say here whether rounds change it
    once = {"splits", "images", "labels", "prior", "released", "parameters"}
    kept = {"cohorts", "memory", "sent", "private_streams", "public_streams"}
    assert {field.name for field in fields(State)} == once | kept
    assert {field.name for field in fields(Cohort)} == {"level", "module", "members"} | {"weights", "momentum"}
    course = federation._begun(configure("smoke", **SMALL, alpha=.1), METHODS["hfkd"], data.load("digits"), (0,), None)
    assert changing(course).keys() == kept | {"round", "rows", "books", "lessons"}
    assert changing(course)["books"].keys() == {field.name for field in fields(Books)}


def test_streams_of_exploration_go_on(tmp_path):
    # the one signal that is drawn and not computed: after a stop the same clients explore
    books = opened((0,), 5)
    drawn = [rng.random(2) for rng in books.streams[0]]
    kept = unpack(*pack(vars(books)))
    assert all((a.random(2) == b.random(2)).all() for a, b in zip(kept["streams"][0], books.streams[0]))
    assert len({tuple(each) for each in drawn}) == 5 and 0 < EXPLORATION < 1
