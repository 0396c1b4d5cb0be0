"""Memory is predicted: near what a process really takes, growing as it must, and refused in a sentence."""

import multiprocessing
import os
import re

import numpy as np
import pytest
import torch

from hfkd import blocks, cohorts, experiments, federation, levels, memory, peaks, training
from hfkd.bench import rehearsal
from hfkd.config import configure
from hfkd.federation import Signals
from hfkd.methods import METHODS, hfkd
from hfkd.overhead import made_up


def peak(fields, seeds):
    """(bytes before, bytes at the peak) of a run of two rounds, in this process."""
    config, dataset = configure("lite", rounds=2, eval_every=2, warmup=0, **fields), made_up(18_000)
    before = peaks.peak()
    federation.run(config, hfkd, dataset, tuple(range(seeds)))
    return before, peaks.peak()


@pytest.mark.parametrize("seeds", [2, 12])
def test_prediction_is_near_the_peak_of_a_process(seeds):
    fields = {"public_size": 2_000}
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        before, after = pool.apply(peak, (fields, seeds))
    wanted = sum(memory.needed(configure("lite", **fields), made_up(18_000), seeds).values())
    assert wanted / 2 < after - before < wanted * 2
    assert before < memory.LIBRARY * 1.5


def test_each_part_grows_with_what_it_holds():
    dataset = made_up(4_000)
    base, more = configure("lite"), configure("lite", clients=40, public_size=2_000, levels="cnn", balanced_size=4_000)
    few, many = memory.needed(base, dataset, 1), memory.needed(more, dataset, 3)
    assert all(many[name] > few[name] for name in few.keys() - {"images", "blocks"})
    assert memory.needed(base, made_up(8_000), 1)["images"] == 2 * few["images"] == 2 * 4 * 784 * 4_000


def test_a_run_that_does_not_fit_is_refused_before_it_starts(monkeypatch):
    config, dataset = configure("lite", clients=30), made_up(18_000)
    monkeypatch.setattr(memory, "available", lambda device: 1e8)
    monkeypatch.setattr(levels, "initial", None)  # nothing is made
    sentence = r"30 clients and 2 seeds need about 0\.\d GB, 0\.\d of them for \w+, and 0\.1 GB are free; take fewer seeds"
    with pytest.raises(ValueError, match=sentence):
        federation.run(config, hfkd, dataset, (0, 1))
    monkeypatch.setattr(memory, "available", lambda device: 1e12)
    assert memory.check(config, dataset, 2) == sum(memory.needed(config, dataset, 2).values())


def test_methods_without_a_w_are_the_silent_ones():
    signals = Signals(np.ones((6, 3), int), np.array([1, 1, 1, 2, 2, 3]), np.zeros((6, 6)))
    for name, method in METHODS.items():
        lesson = method.teach(signals, configure(method=name, clients=6), np.random.default_rng(0))
        assert (lesson.weights is None) == (name in memory.SILENT | {"feddf"}), name  # whose server hears answers
    few = memory.needed(configure("lite", clients=3_000), made_up(4_000), 1, speaks=False)
    assert few["weights"] == few["answers"] == 0


@pytest.mark.parametrize("level", [1, 2, 3])
def test_weight_zero_is_training_alone_to_the_last_bit_with_convolutions_in_blocks(level, monkeypatch):
    monkeypatch.setattr(blocks, "CACHE", 3 * 2**20)  # a few members a block
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    *alone, lesson = rehearsal("cnn", level, (1, 28, 28), [64] * 6, public=30, batch=32)
    twin, *rest = rehearsal("cnn", level, (1, 28, 28), [64] * 6, public=30, batch=32)[:-1]
    training.train(*alone)
    training.train(twin, *rest, lesson._replace(weight=torch.zeros(6)))
    torch.set_num_threads(before)
    assert all(w.equal(twin.weights[name]) for name, w in alone[0].weights.items())


def test_free_memory_is_that_of_the_machine_or_less():
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert 0 < memory.available() < pages


@pytest.mark.parametrize("room", [1, 2_000_000, 10**9])
def test_blocks_of_any_size_give_the_same_weights(monkeypatch, room):
    ends = []
    for cache in (room, 10**12):
        monkeypatch.setattr(blocks, "CACHE", cache)
        cohort, *rest = rehearsal("mlp", 2, (1, 8, 8), [44, 30, 9, 3], public=30, batch=8)
        training.train(cohort, *rest)
        images = rest[0]
        at = torch.arange(20).expand(4, 20)
        ends.append((cohort.weights, cohort.momentum, cohorts.logits(cohort, images, at)))
    (one, rolling, said), (other, again, heard) = ends
    assert all(one[name].equal(other[name]) and rolling[name].equal(again[name]) for name in one) and said.equal(heard)


def test_blocks_cover_a_cohort_and_hold_at_least_one():
    device = torch.device("cpu")
    for each in (1, blocks.CACHE // 3, 10 * blocks.CACHE):
        parts = blocks.slices(7, each, device)
        assert [i for part in parts for i in range(7)[part]] == list(range(7))
        assert max(part.stop - part.start for part in parts) == max(1, min(7, blocks.CACHE // each))


@pytest.mark.parametrize("threads", [1, 3])
def test_side_by_side_does_all_work_and_hands_on_errors(threads):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        done = []
        blocks.side_by_side(lambda part: done.append((part, torch.get_num_threads())), [1, 2, 3, 4], torch.device("cpu"))
        assert sorted(part for part, _ in done) == [1, 2, 3, 4] and {each for _, each in done} == {1}
        assert torch.get_num_threads() == threads
        with pytest.raises(ZeroDivisionError):
            blocks.side_by_side(lambda part: 1 / part, [1, 0], torch.device("cpu"))
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


def test_a_grid_tells_its_memory_before_it_starts(tmp_path, monkeypatch):
    said, grow = [], memory.needed
    monkeypatch.setattr(memory, "needed", lambda *given: grow(*given) | {"blocks": 1e9})
    monkeypatch.setattr(memory, "available", lambda device: 1e12)
    for expected in (r"1 cells, 1 at once, each takes up to 1\.\d GB beside the libraries", None):  # then nothing is left
        said.clear()
        experiments.run_one(seeds=(0,), out=tmp_path / "X.csv", report=said.append, method="local", rounds=1)
        assert re.fullmatch(expected, said[0]) if expected else not said
