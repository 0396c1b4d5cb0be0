"""`hfkd bench`: how much faster the batched engine is than one client after the other, per level, in one run.

`sequential` is the plain reference: one network, one autograd graph and one `torch.optim.SGD` per client. The tests
hold the engine against it to 1e-9 in float64; here both run the same round in turn and the ratio of their times is
reported.
"""

import statistics
import time
from typing import NamedTuple

import numpy as np
import torch
from torch.func import functional_call
from torch.utils._pytree import tree_map

from hfkd import levels, training
from hfkd.losses import distillation_loss, soft_loss
from hfkd.streams import stream


class Ratio(NamedTuple):
    """Times of one level in seconds per round (medians) and the median of the paired ratios."""

    level: str
    clients: int
    batched: float
    sequential: float
    ratio: float


def sequential(cohort, images, labels, private, steps, prior, optimiser, lesson=None, term=None) -> dict:
    """The round of `training.train`, one client after the other, on a copy of the weights; same arguments.

    Returns:
        name -> (b, ...) weights after the round.

    Source: the textbook loop; ours.
    """
    result, term = {name: w.clone() for name, w in cohort.weights.items()}, term or training.Term(training.plain)
    for b, count in enumerate(steps):
        weights = {name: w[b].clone().requires_grad_() for name, w in cohort.weights.items()}
        sgd = torch.optim.SGD(weights.values(), lr=optimiser.lr, momentum=optimiser.momentum)
        for k in range(count):
            at = private[b, k]
            given = tree_map(lambda each: each[b], term.given)
            loss = term.loss(cohort.module, weights, images[at], labels[at], prior[b], *given)
            if lesson is not None:
                rows = lesson.rows[b, k]
                said = functional_call(cohort.module, weights, (images[lesson.asked[b, rows]],))
                heard, voice = lesson.targets[b, rows], lesson.voice[b, rows]
                soft = soft_loss(said, heard, optimiser.temperature, optimiser.direction, voice)
                loss = distillation_loss(loss, soft, lesson.weight[b])
            sgd.zero_grad()
            loss.backward()
            sgd.step()
        for name, w in weights.items():
            result[name][b] = w.detach()
    return result


def rehearsal(family, level, shape, sizes, classes=10, public=200, batch=32, device="cpu", dtype=torch.float32, seed=0):
    """A cohort with made-up data: everything that `training.train` and `sequential` take, for one joint round.

    Args:
        sizes: training samples per client, largest first.

    Returns:
        The arguments of `training.train`, as a tuple.

    >>> len(rehearsal("mlp", 1, (1, 8, 8), [64, 32]))
    8
    """
    rng = stream(seed, "bench")
    n, steps = len(sizes), [-(-size // batch) for size in sizes]
    images = torch.from_numpy(rng.standard_normal((sum(sizes) + public, *shape))).to(device, dtype)
    labels = torch.from_numpy(rng.integers(0, classes, len(images))).to(device)
    first = np.cumsum([0, *sizes])
    private = np.zeros((n, steps[0], batch), dtype=np.int64)
    rows = np.zeros_like(private)
    for b, k in enumerate(steps):
        private[b, :k] = first[b] + training.batches(rng, sizes[b], k, batch)
        rows[b, :k] = training.batches(rng, public, k, batch)
    own = [stream(seed, "weights", i) for i in range(n)]
    cohort = training.cohort(level, family, shape, classes, range(n), own, device, dtype)
    prior = torch.from_numpy(rng.dirichlet(np.ones(classes), n)).to(device, dtype).log()
    targets = torch.from_numpy(rng.dirichlet(np.ones(classes), (n, public))).to(device, dtype)
    shared = torch.arange(sum(sizes), sum(sizes) + public, device=device).expand(n, public)
    weight = torch.from_numpy(rng.uniform(0.1, 0.9, n)).to(device, dtype)
    voice = torch.from_numpy(rng.uniform(0.5, 1.5, (n, public))).to(device, dtype)
    lesson = training.Lesson(shared, targets, torch.from_numpy(rows).to(device), weight, voice)
    private = torch.from_numpy(private).to(device)
    return cohort, images, labels, private, steps, prior, training.Optimiser(0.05, 0.9), lesson


def compare(
    family="mlp", shape=(1, 28, 28), clients=60, mean_size=400, repeats=5, device="cpu", threads=2
) -> list[Ratio]:
    """Times both engines in turn, level by level, on clients of skewed sizes (Dirichlet 1, as under label skew).

    Args:
        clients: members per level: clients of that level times seeds.
        mean_size: mean training samples per client.
        repeats: pairs of timed rounds, after one that is not counted.

    Returns:
        One Ratio per level.
    """
    torch.set_num_threads(threads)
    shares = np.sort(stream(0, "bench sizes").dirichlet(np.ones(clients)))[::-1]
    sizes = [max(8, int(share * clients * mean_size)) for share in shares]
    rows = []
    for level in (1, 2, 3):
        arguments = rehearsal(family, level, shape, sizes, device=device)
        times = [
            [_seconds(engine, arguments, device) for engine in (training.train, sequential)] for _ in range(repeats + 1)
        ]
        batched, one_by_one = zip(*times[1:])
        ratio = statistics.median(b / a for a, b in times[1:])
        rows.append(
            Ratio(levels.NAMES[level - 1], clients, statistics.median(batched), statistics.median(one_by_one), ratio)
        )
    return rows


def show(families, device, threads, repeats) -> None:
    """Print `compare` for each family of networks."""
    print("family  level   clients  batched s  one by one s  ratio  (a round; medians, ratio pair by pair)")
    for family in families:
        for row in compare(family, device=device, threads=threads, repeats=repeats):
            print(
                f"{family:7} {row.level:7} {row.clients:7}"
                f"  {row.batched:9.4f}  {row.sequential:12.4f}  {row.ratio:5.2f}"
            )


def _seconds(engine, arguments, device):
    """Wall time of one round."""
    start = time.perf_counter()
    engine(*arguments)
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start
