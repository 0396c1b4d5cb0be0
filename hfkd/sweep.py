"""What `hfkd bench` measures, each in a process of its own: published rounds, the HFKD round of each profile, a sweep.

The data of the HFKD rounds are made up, of the size that the profile takes. Their FLOPs are counted as the difference
between a run of three rounds and one of two, so that neither the start nor the measurement is in them.
"""

from dataclasses import replace
from functools import partial
from unittest.mock import patch

import numpy as np
import torch

from hfkd import bench, data, federation, floor, training
from hfkd.config import configure, seeds_of
from hfkd.methods import METHODS, hfkd
from hfkd.overhead import made_up, round_seconds
from hfkd.streams import stream
from hfkd.workloads import published

IMAGES = {"lite": 16_000, "paper": 70_000}  # made up; smoke takes the embedded digits
CLIENTS = (10, 30, 100, 300, 1_000)
GROUPED = {"partition": "pathological", "public_size": 200, "balanced_size": 200, "fan_out": 4, "minimum": 5}
EACH = 60  # training images per client in the sweep over clients


TABLES = ("fml-round", "fedavg-round", "hfkd-round", "sweep", "methods")


def plan(only: str, device: str) -> list:
    """The pieces of work of one table: functions of (device, threads, repeats) that return a Figure.

    Args:
        only: a name in TABLES.
    """
    if only in ("fml-round", "fedavg-round"):
        return [partial(published_round, only)]
    if only == "hfkd-round":
        return [partial(profile_round, profile, None) for profile in ("smoke", "lite", "paper")]
    if only == "methods":
        fit = [name for name, method in METHODS.items() if "depths" not in method.NEEDS]  # lite's levels are of width
        return [partial(method_round, name) for name in fit]
    kinds = [("mlp", level, 32) for level in (1, 2, 3)] + [("cnn", level, 32) for level in (1, 2, 3)]
    kinds += [("mlp", 2, batch) for batch in (8, 128)]
    return [
        *(partial(level_round, *kind) for kind in kinds),
        *(partial(profile_round, "lite", count) for count in (1, 3, 30)),
        *(partial(crowd_round, clients) for clients in CLIENTS + ((10_000,) if device == "cuda" else ())),
    ]


def published_round(what, device, threads, repeats):
    """`workloads.published`; the sequential path runs once."""
    torch.set_num_threads(threads)
    return bench.measured(what, published(what, device), device, 1 if device == "cpu" else repeats)


def level_round(family, level, batch, device, threads, repeats, members=60, mean_size=400):
    """One joint round of a level, by clients of skewed sizes (Dirichlet 1, as under label skew)."""
    torch.set_num_threads(threads)
    shares = np.sort(stream(0, "bench sizes").dirichlet(np.ones(members)))[::-1]
    sizes = [max(8, int(share * members * mean_size)) for share in shares]
    job = bench.rehearsal(family, level, (1, 28, 28), sizes, batch=batch, device=device)
    return bench.measured(f"{family} level {level}, batch {batch}, {members} members", [job], device, repeats)


def profile_round(profile, seeds, device, threads, repeats):
    """The HFKD round of a profile; on a processor `paper` takes one seed."""
    every = seeds_of(profile)
    count = seeds or (1 if profile == "paper" and device == "cpu" else len(every))
    config = configure(profile, device=device, threads=threads)
    dataset = made_up(IMAGES[profile]) if profile in IMAGES else data.load(config.dataset)
    return _round(f"hfkd {profile}, {count} seeds", config, dataset, range(count), repeats)


def crowd_round(clients, device="cpu", threads=1, repeats=1):
    """The HFKD round of many clients with EACH images, teachers with at most four students."""
    config = configure("lite", clients=clients, pool_size=EACH * clients, device=device, threads=threads, **GROUPED)
    return _round(f"hfkd {clients} clients, 1 seed", config, made_up(EACH * clients * 6 // 5 + 4_000), (0,), repeats)


def method_round(name, device="cpu", threads=1, repeats=1, seeds=(0, 1)):
    """A round of lite by one method, two seeds: its seconds, neither arithmetic nor the sequential path."""
    config = configure("lite", method=name, device=device, threads=threads, warmup=0, rounds=4, eval_every=4)
    method, dataset = METHODS[name], made_up(IMAGES["lite"])
    best = min(round_seconds(config, dataset, seeds, method) for _ in range(repeats))
    return floor.Figure(name, best, None, None, floor.matmul_rate(device))


def _round(what, config, dataset, seeds, repeats):
    """A round of HFKD in which everybody listens."""
    config = replace(config, warmup=0, rounds=4, eval_every=4)
    seeds = tuple(seeds)
    times = [round_seconds(config, dataset, seeds) for _ in range(repeats)]
    with patch.object(training, "train", _in_turn):
        one_by_one = round_seconds(config, dataset, seeds)
    shorter = [replace(config, rounds=rounds, eval_every=rounds, threads=1) for rounds in (3, 2)]
    many, few = (floor.flops(lambda own=own: federation.run(own, hfkd, dataset, seeds)) for own in shorter)
    torch.set_num_threads(config.threads)
    return floor.Figure(what, min(times), one_by_one, many - few, floor.matmul_rate(config.device))


def _in_turn(cohort, *given):
    """`training.train` by the sequential path."""
    cohort.weights = bench.sequential(cohort, *given)
