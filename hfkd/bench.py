"""`hfkd bench`: the batched engine against one client after the other, and both against their arithmetic.

`sequential` is the plain reference: one network, one autograd graph and one `torch.optim.SGD` per client. The tests
hold the engine against it to 1e-9 in float64; here both run the same round in turn.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch.func import functional_call
from torch.utils._pytree import tree_map

from hfkd import cohorts, floor, training
from hfkd.losses import distillation_loss, soft_loss
from hfkd.streams import stream


def sequential(cohort, images, labels, private, steps, prior, optimiser, lesson=None, term=None) -> dict:
    """The round of `training.train`, one client after the other, on a copy of the weights; same arguments.

    Momentum starts at 0.

    Returns:
        name -> (b, ...) weights after the round.

    Source: the textbook loop; ours.
    """
    result = {name: w.clone() for name, w in cohort.weights.items()}
    for b, count in enumerate(steps):
        weights = {name: w[b].clone().requires_grad_() for name, w in cohort.weights.items()}
        sgd = torch.optim.SGD(weights.values(), lr=optimiser.lr, momentum=optimiser.momentum)
        for k in range(count):
            at = private[b, k]
            loss = _hard(cohort, weights, images[at], labels[at], prior, term, b)
            if lesson is not None:
                rows = lesson.rows[b, k]
                said = functional_call(cohort.module, weights, (images[lesson.asked[b, rows]],))
                heard, voice = lesson.targets[b, rows], None if lesson.voice is None else lesson.voice[b, rows]
                soft = soft_loss(said, heard, optimiser.temperature, optimiser.direction, voice)
                loss = distillation_loss(loss, soft, lesson.weight[b], None if lesson.hard is None else lesson.hard[b])
            sgd.zero_grad()
            loss.backward()
            sgd.step()
        for name, w in weights.items():
            result[name][b] = w.detach()
    return result


def _hard(cohort, weights, x, y, prior, term, b):
    """The hard loss of one member by torch's own functions, or a method's loss of a batch of one member."""
    if term is None:
        return F.cross_entropy(functional_call(cohort.module, weights, (x,)) + prior[b], y)
    alone, given = {name: w[None] for name, w in weights.items()}, tree_map(lambda each: each[b : b + 1], term.given)
    return term.loss(cohort.module, alone, x[None], y[None], prior[b : b + 1], *given)[0]


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
    cohort = cohorts.cohort(level, family, shape, classes, range(n), own, device, dtype)
    prior = torch.from_numpy(rng.dirichlet(np.ones(classes), n)).to(device, dtype).log()
    targets = torch.from_numpy(rng.dirichlet(np.ones(classes), (n, public))).to(device, dtype)
    shared = torch.arange(sum(sizes), sum(sizes) + public, device=device).expand(n, public)
    weight = torch.from_numpy(rng.uniform(0.1, 0.9, n)).to(device, dtype)
    voice = torch.from_numpy(rng.uniform(0.5, 1.5, (n, public))).to(device, dtype)
    lesson = training.Lesson(shared, targets, torch.from_numpy(rows).to(device), weight, voice)
    private = torch.from_numpy(private).to(device)
    return cohort, images, labels, private, steps, prior, training.Optimiser(0.05, 0.9), lesson


def measured(what, jobs, device, repeats, plain=True) -> floor.Figure:
    """A round of some cohorts: the best of `repeats`, its arithmetic, and, if `plain`, the sequential path, in turn.

    Args:
        jobs: the arguments of `training.train`, for each cohort.
    """

    def all_of(engine, jobs=jobs):
        return floor.seconds(lambda: [engine(*job) for job in jobs], device)

    all_of(training.train, [cut(job, 3) for job in jobs])  # libraries choose their kernels at the first call
    times = [(all_of(training.train), all_of(sequential) if plain else None) for _ in range(repeats)]
    batched, one_by_one = zip(*times)
    count = sum(floor.flops(lambda job=job: sequential(*cut(job, 1, 1))) * sum(job[4]) for job in jobs)
    return floor.Figure(what, min(batched), min(one_by_one) if plain else None, count, floor.matmul_rate(device))


def cut(job, steps, members=None):
    """The first steps, and members, of what `training.train` takes."""
    cohort, images, labels, private, own, prior, optimiser, lesson, *term = job
    rows = slice(members)
    lesson = lesson and training.Lesson(*(each if each is None else each[rows] for each in lesson))
    term = [one and training.Term(one.loss, tuple(each[rows] for each in one.given)) for one in term]
    own = [min(k, steps) for k in own[rows]]
    return cohorts.part(cohort, rows), images, labels, private[rows], own, prior[rows], optimiser, lesson, *term
