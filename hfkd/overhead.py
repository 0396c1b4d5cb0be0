"""`hfkd bench --only rules`: what rules of weight and revenue add to a round, in one run, pair by pair.

A round is everything but measuring accuracies: speaking, pooling, revenue, weights, learning. The data are made up, of
the size of the lite profile with two seeds, because time does not depend on what the images show.
"""

import statistics
import time
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from hfkd import federation
from hfkd.config import configure
from hfkd.data import Dataset
from hfkd.methods import hfkd
from hfkd.streams import stream

ADDED = {  # what is added to HFKD with fixed alpha and no revenue
    "weighting ramp": {"weighting": "ramp"},
    "weighting loss_ratio": {"weighting": "loss_ratio"},
    "weighting revenue": {"weighting": "revenue"},
    "weighting gradient": {"weighting": "gradient"},
    "weighting uncertainty": {"weighting": "uncertainty"},
    "prior_power 1": {"prior_power": 1.0},
    "revenue labelled": {"revenue": "labelled"},
    "revenue labelled, gate": {"revenue": "labelled", "gate": True},
    "revenue realised": {"revenue": "realised"},
    "revenue shapley, groups up to 6": {"revenue": "shapley", "peers": False, "fan_in": 3, "fan_out": 3},
}


class Cost(NamedTuple):
    """Median seconds of a round, and the median over pairs of its ratio to the same round without the rule."""

    added: str
    seconds: float
    ratio: float


def costs(device: str = "cpu", threads: int = 1, repeats: int = 5, rounds: int = 8, **overrides) -> list[Cost]:
    """Times every rule against the plain round in turn, `repeats` times.

    Args:
        rounds: of each timed run; with refresh 5 the sixth, which is timed, makes the graph anew.
        overrides: fields of Config, such as levels="cnn".

    Returns:
        One Cost per rule. A rule that changes the graph is held against the plain round on that graph.

    Source: ours.
    """
    base = configure("lite", public_labels=True, refresh=5, warmup=0, rounds=rounds, eval_every=rounds, alpha=0.2,
                     weighting="fixed", device=device, threads=threads, **overrides)  # fmt: skip
    dataset = made_up()
    found = []
    for added, fields in ADDED.items():
        graph = {name: value for name, value in fields.items() if name in ("peers", "fan_in", "fan_out")}
        both = [replace(base, **graph | own) for own in ({}, fields)]
        pairs = [[round_seconds(config, dataset) for config in both] for _ in range(repeats + 1)]
        plain, ruled = zip(*pairs[1:])
        ratio = statistics.median(b / a for a, b in zip(plain, ruled))
        found.append(Cost(added, statistics.median(ruled), ratio))
    return found


def show(device, threads, repeats, families=("mlp", "cnn")) -> None:
    """Print `costs` for each family of networks."""
    print("\nwhat a rule adds to a round of lite, 2 seeds (medians, ratio pair by pair)")
    print("family  s a round  ratio  added")
    for family in families:
        for row in costs(device, threads, repeats, levels=family):
            print(f"{family:7} {row.seconds:9.3f}  {row.ratio:5.2f}  {row.added}", flush=True)


def round_seconds(config, dataset, seeds=(0, 1), method=hfkd):
    """Mean seconds of a round: from the end of the first to the end of the last but one, which are not measured."""
    ticks = []
    federation.run(config, method, dataset, seeds, report=lambda *_: ticks.append(time.perf_counter()))
    return (ticks[-2] - ticks[0]) / (len(ticks) - 2)


def made_up(size: int = 16_000):
    """Images of Fashion-MNIST's shape in ten classes, none of it meaningful; by default as many as lite takes."""
    rng = stream(0, "bench data")
    images = rng.integers(0, 256, (size, 1, 28, 28), dtype=np.uint8)
    return Dataset("made up", images, np.arange(size) % 10, 10, np.arange(size) >= size - max(2_500, size // 7), "none")
