"""`hfkd bench`: a round beside its arithmetic floor, and beside one client after the other (ours).

    fml        every client trains two published CNNs that teach each other, batch 10 (Shen et al. 2020, 2006.16765)
    fedavg     every client trains one, batch 32 (McMahan et al. 2017, 1602.05629)
    hfkd       a whole round of HFKD at the size of `lite`, 4 seeds; hfkd_cnn: with convolutional levels, one seed
CNN and client sizes (a quarter of them) are HtFLlib's for MNIST in 20 parts (2506.03954); images are made up. The floor
is the floating point operations at the rate of one large matrix product in the same run. One client after the other is
`engine.client`, plain modules and torch's SGD; FML, whose loss it does not know, is the engine with a member at a time.
"""

import copy
import json
import time
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import joblib
import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from hfkd import paths
from hfkd.config import configure
from hfkd.data import Dataset
from hfkd.engine import client, cohort, networks, state, training
from hfkd.engine.federation import configured, rounds
from hfkd.methods import METHODS, fml
from hfkd.streams import stream
from hfkd.study.experiments import machine

SIZES = (1160, 1144, 1074, 1060, 1022, 987, 751, 707, 680, 677, 675, 584, 493, 476, 400, 359, 306, 238, 236, 94)
HEAD = f"{'':36}{'seconds':>9}{'floor':>9}{'ratio':>7}{'one by one':>12}{'faster':>8}{'GFLOP':>10}"
LINE = "{what:36}{seconds:9.3f}{floor:9.3f}{ratio:7.1f}{sequential:12.3f}{faster:8.1f}{gflop:10.1f}"
# A round to be timed: the engine's, and the same, one client after the other.
Work = NamedTuple("Work", [("what", str), ("batched", Callable), ("alone", Callable), ("flops", int)])


def show(only: str | None, device: str, threads: int | None, repeats: int, out: Path | None, say: Callable) -> None:
    """Time one of WORKS or all (None), say each figure as it is there, and write them to a new JSON if `out` is one.
    threads: None: as many as this process may use processors. repeats: of which the engine's best counts.
    """
    threads, found = threads or joblib.cpu_count(), []
    state.check_device(configure(device=device, threads=threads))
    if repeats < 1 or only not in (None, *WORKS):
        raise ValueError(f"only is {only!r}, repeats is {repeats}; expected one of {', '.join(WORKS)}, and 1 or more")
    if out is not None:
        if out.suffix != ".json" or out.exists():
            raise ValueError(f"json is {str(out)!a}; expected a new file whose name ends in .json")
        paths.write(out, "").unlink()  # tried now, not when all is measured
    torch.set_num_threads(threads)
    say(f"{machine(device)}, {threads} threads\n{HEAD}")
    for name in [only] if only else WORKS:
        found.append(row := measured(WORKS[name](device), device, repeats))
        say(LINE.format(**row, gflop=row["flops"] / 1e9))
    if out is not None:
        record = {"device": machine(device), "threads": threads, "torch": torch.__version__, "rounds": found}
        paths.write(out, json.dumps(record, indent=1) + "\n")


def measured(work: Work, device: str = "cpu", repeats: int = 1) -> dict:
    """Seconds of a round, of its arithmetic and of one client after the other; operations, and the product's rate."""
    a, b = torch.randn(2, 2048, 2048, device=device)
    rate = 2 * 2048**3 / min(_seconds(partial(torch.mm, a, b), device) for _ in range(5))
    seconds, sequential = min(_seconds(work.batched, device) for _ in range(repeats)), _seconds(work.alone, device)
    floor = work.flops / rate
    return {"what": work.what, "seconds": seconds, "floor": floor, "ratio": seconds / floor, "sequential": sequential,
            "faster": sequential / seconds, "flops": work.flops, "rate": rate}  # fmt: skip


def flops(act: Callable) -> int:
    """Floating point operations of act() on this thread: matrix products and convolutions, as torch counts them.
    >>> flops(lambda: torch.ones(2, 3) @ torch.ones(3, 4))  # 2 * 2 * 3 * 4
    48
    """
    with FlopCounterMode(display=False) as counter:
        act()
    return counter.get_total_flops()


def published(device: str = "cpu", pair: bool = False, batch: int = 32, sizes=SIZES) -> Work:
    """One epoch of the published CNN, or of two that teach each other, by clients of these sizes, largest first."""
    module, n = fml.Beside(_cnn(), _cnn()) if pair else _cnn(), len(sizes)
    rng, steps, first = stream(0, "bench"), [-(-size // batch) for size in sizes], np.cumsum([0, *sizes])
    images = torch.from_numpy(rng.standard_normal((first[-1], 1, 28, 28), dtype=np.float32)).to(device)
    labels = torch.from_numpy(rng.integers(0, 10, first[-1])).to(device)
    private = state.stack([at + training.batches(rng, *own, batch) for at, *own in zip(first, sizes, steps)]).to(device)
    weights = {name: torch.stack([w] * n).to(device) for name, w in networks.initial(module, rng).items()}
    everybody = cohort.Cohort(1, module, torch.arange(n), weights, {k: torch.zeros_like(w) for k, w in weights.items()})
    prior, half = torch.zeros(n, 10, device=device), torch.full((n,), 0.5, device=device)
    sgd = training.Optimiser(0.01, 0.0)

    def engine(some, most=None):
        term = training.Term(fml.loss, (half[some],)) if pair else training.Term(training.plain)
        counts = [min(k, most or k) for k in steps[some]]
        training.train(cohort.part(everybody, some), images, labels, private[some], counts, prior[some], sgd, term=term)

    def one(b, most=None):
        if pair:
            return engine(slice(b, b + 1), most)
        network, own = _single(everybody, b), ((images[k], labels[k]) for k in private[b, : steps[b]][:most])
        client.train(network, torch.optim.SGD(network.parameters(), sgd.lr), own, prior[b])

    engine(slice(None), 2)  # libraries choose their kernels at the first call
    return Work(f"{'FML, two CNNs' if pair else 'FedAvg, one CNN'}, batch {batch}, {n} clients",
                lambda: engine(slice(None)), lambda: [one(b) for b in range(n)], flops(lambda: one(0, 1)) * sum(steps))


def hfkd(device: str = "cpu", levels: str = "mlp", seeds=range(4), **smaller) -> Work:
    """A round of HFKD at the size of `lite` in which everybody listens."""
    method, rng, at = METHODS["hfkd"], stream(0, "bench"), np.arange(16_000)
    config = configured(configure("lite", levels=levels, warmup=0, rounds=1000, device=device, **smaller), method)
    images = rng.integers(0, 256, (len(at), 1, 28, 28), dtype=np.uint8)
    going = rounds(config, method, Dataset("made up", images, at % 10, 10, at >= 14_000, ""), tuple(seeds))
    alone = partial(one_by_one, next(going), config)  # the first round: libraries choose their kernels
    what = f"HFKD, {levels}, batch {config.batch}, {config.clients} clients x {len(seeds)}"
    return Work(what, lambda: next(going), alone, flops(alone))


def one_by_one(seen, config) -> None:
    """What every client does in a round that was seen: it speaks about the public images, then it learns."""
    fed, rng = seen.fed, stream(0, "bench")
    for own, b in ((own, b) for own in fed.cohorts for b in range(len(own.members))):
        z, s = divmod(int(own.members[b]), fed.clients)
        network, mine, public = _single(own, b), fed.splits[z].train[s], fed.splits[z].public
        client.speak(network, fed.images[public])
        steps = -(-len(mine) // config.batch)
        private, heard = (training.batches(rng, len(each), steps, config.batch) for each in (mine, public))
        client.train(
            network, torch.optim.SGD(network.parameters(), config.lr, config.momentum),
            ((fed.images[mine[k]], fed.labels[mine[k]]) for k in private), fed.prior[own.members[b]],
            ((fed.images[public[k]], seen.targets[z, s, k]) for k in heard), float(seen.weight[z, s]))  # fmt: skip


def _cnn() -> nn.Module:
    """The published CNN, without values; pooling and ReLU change places, which is the same function."""
    with torch.device("meta"):
        body = nn.Sequential(nn.Conv2d(1, 32, 5), nn.MaxPool2d(2), nn.ReLU(), nn.Conv2d(32, 64, 5), nn.MaxPool2d(2),
                             nn.ReLU(), nn.Flatten(), nn.Linear(1024, 512), nn.ReLU())  # fmt: skip
        return nn.Sequential(OrderedDict(body=body, head=nn.Linear(512, 10)))


def _single(everybody, b: int) -> nn.Module:
    """One member of a cohort as a plain module."""
    network = copy.deepcopy(everybody.module).to_empty(device=everybody.weights["head.bias"].device)
    network.load_state_dict({name: w[b] for name, w in everybody.weights.items()})  # copies them
    return network


def _seconds(act: Callable, device: str) -> float:
    """Wall time of act(), until a GPU is done as well."""
    start = time.perf_counter()
    act()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


WORKS: dict[str, Callable[[str], Work]] = {
    "fml": partial(published, pair=True, batch=10), "fedavg": published, "hfkd": hfkd,
    "hfkd_cnn": partial(hfkd, levels="cnn", seeds=range(1))}  # fmt: skip
