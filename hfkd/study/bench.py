"""`hfkd bench`: a round beside its arithmetic floor, and beside one client after the other (ours).

    hfkd, fedmd, heterofl    a whole round at the size of `lite`, 4 seeds, with equal own epochs and made-up images
    hfkd_cnn                 the same of HFKD with convolutional levels, one seed
    paper                    the same at the size of that profile; only where it is asked for, it is made for a GPU
The floor is the floating point operations at the rate of one large matrix product in the same run. One client after the
other is `engine.client`: plain modules and torch's SGD.
"""

import copy
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import joblib
import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from hfkd import paths
from hfkd.config import configure
from hfkd.data import Dataset
from hfkd.engine import client, state, training
from hfkd.engine.federation import configured, rounds
from hfkd.knowledge import mix
from hfkd.methods import METHODS
from hfkd.streams import stream
from hfkd.study.experiments import machine

WORKS = {"hfkd": {}, "fedmd": {"name": "fedmd"}, "heterofl": {"name": "heterofl"},
         "hfkd_cnn": {"levels": "cnn", "seeds": range(1)},
         "paper": {"profile": "paper", "levels": "cnn", "seeds": range(1)}}  # arguments of `a_round`
# A round to be timed: the engine's, and the same, one client after the other.
Work = NamedTuple("Work", [("what", str), ("batched", Callable), ("alone", Callable), ("flops", int)])


def show(only: str | None, device: str, threads: int | None, repeats: int, out: Path | None, say: Callable) -> None:
    """Time one of WORKS or all (None), say each figure as it is there, and write them to a new JSON if `out` is one.
    threads: None: as many as this process may use processors. repeats: of which the engine's best counts.
    """
    threads, found = joblib.cpu_count() if threads is None else threads, []
    device = state.check_device(configure(device=device, threads=threads)).type
    if repeats < 1 or only not in (None, *WORKS):
        raise ValueError(f"only is {only!r}, repeats is {repeats}; expected one of {', '.join(WORKS)}, and 1 or more")
    if out is not None:
        if out.suffix != ".json" or out.exists():
            raise ValueError(f"json is {str(out)!a}; expected a new file whose name ends in .json")
        paths.expect_writable(out, "choose another --json")
    torch.set_num_threads(threads)
    say(f"{machine(device)}, {threads} threads")
    for name in [only] if only else [*WORKS][:-1]:
        found.append(row := measured(a_round(device=device, **WORKS[name]), device, repeats))
        say("{what}: {seconds:.3f} s, {ratio:.1f} times its floor of {floor:.3f} s; one client after the other "
            "{sequential:.3f} s, {faster:.1f} times as long".format(**row))
    if out is not None:
        record = {"device": machine(device), "threads": threads, "torch": torch.__version__, "rounds": found}
        paths.write(out, json.dumps(record, indent=1) + "\n")


def measured(work: Work, device: str = "cpu", repeats: int = 1) -> dict:
    """Seconds of a round, of its arithmetic and of one client after the other; operations, and the product's rate."""
    def seconds(act: Callable) -> float:
        start = time.perf_counter()
        act()
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - start

    a, b = torch.randn(2, 2048, 2048, device=device)
    rate = 2 * 2048**3 / min(seconds(partial(torch.mm, a, b)) for _ in range(5))
    batched, alone = min(seconds(work.batched) for _ in range(repeats)), seconds(work.alone)
    floor = work.flops / rate
    return {"what": work.what, "seconds": batched, "floor": floor, "ratio": batched / floor, "sequential": alone,
            "faster": alone / batched, "flops": work.flops, "rate": rate}  # fmt: skip


def a_round(name: str = "hfkd", device: str = "cpu", levels: str = "mlp", seeds=range(4), profile: str = "lite",
            **smaller) -> Work:
    """A round of a method at the size of a profile, in which everybody listens who may; two own epochs. `flops` are its
    matrix products and convolutions on this thread, as torch counts them."""
    method, rng, at = METHODS[name], stream(0, "bench"), np.arange(16_000 if profile == "lite" else 70_000)
    same = {"levels": levels, "warmup": 0, "weighting": "fixed", "alpha": 0.2, "epochs": 2, "rounds": 1000}
    config = configured(configure(profile, device=device, **same | smaller), method)
    images = rng.integers(0, 256, (len(at), 1, 28, 28), dtype=np.uint8)
    going = rounds(config, method, Dataset("made up", images, at % 10, 10, at >= len(at) * 6 / 7, ""), tuple(seeds))
    alone = partial(one_by_one, next(going), config)  # the first round: libraries choose their kernels
    with FlopCounterMode(display=False) as counter:
        alone()
    what = f"{name}, {levels}, batch {config.batch}, {config.clients} clients x {len(seeds)}"
    return Work(what, lambda: next(going), alone, counter.get_total_flops())


def one_by_one(seen, config) -> None:
    """What every client does in a round that was seen: it speaks about the public images and digests, if anybody does,
    then it learns. What a server does is not here: it is the same for both.
    """
    fed, rng = seen.fed, stream(0, "bench")
    for own, b in ((own, b) for own in fed.cohorts for b in range(len(own.members))):
        z, s = divmod(int(own.members[b]), fed.clients)
        network = copy.deepcopy(own.module).to_empty(device=own.weights["head.bias"].device)
        network.load_state_dict({name: w[b] for name, w in own.weights.items()})  # copies them
        mine, public = fed.splits[z].train[s], fed.splits[z].public
        steps, heard = -(-config.epochs * len(mine) // config.batch), None
        sgd = [torch.optim.SGD(network.parameters(), config.lr, config.momentum) for _ in range(2)]
        if seen.targets is not None:
            client.speak(network, state.shown(fed, z, public))
            passes = config.digest * -(-len(public) // config.batch)
            at = training.batches(rng, len(public), steps + passes, config.batch)
            heard = [(state.shown(fed, z, public[k]), seen.targets[z, s, k]) for k in at]
            if config.mixup:
                heard = [mix(*each, torch.tensor(rng.beta(config.mixup, config.mixup))) for each in heard]
            client.digest(network, sgd[0], heard[steps:])
        private = training.batches(rng, len(mine), steps, config.batch)
        client.train(network, sgd[1], ((state.shown(fed, z, mine[k]), fed.labels[mine[k]]) for k in private),
                     fed.prior[own.members[b]], heard and heard[:steps], float(seen.weight[z, s]))
