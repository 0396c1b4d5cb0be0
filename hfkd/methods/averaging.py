"""What methods share that exchange weights, heads or class means instead of answers: averages per seed, and their sizes.

A method's server holds one thing per seed, and clients of one seed never meet those of another. Sums are in float64 and
seed by seed, so that a seed's numbers do not depend on which seeds run beside it.

Axes: z seed, b member of a cohort, c class, d feature.
"""

import numpy as np
import torch

from hfkd.engine import cohort as cohorts
from hfkd.engine.state import own_images


def seats(fed, cohort) -> torch.Tensor:
    """(b,) position of each member's seed among the seeds of the run."""
    return cohort.members // fed.clients


def inside(fed, cohort, z) -> torch.Tensor:
    """Rows of the members that belong to one seed."""
    return (seats(fed, cohort) == z).nonzero().flatten()


def strength(fed, config, cohort) -> torch.Tensor:
    """(b,) the weight of a method's own term, for every member."""
    return torch.full((len(cohort.members),), config.strength, device=fed.images.device)


def held(fed, cohort) -> torch.Tensor:
    """(b,) float64 training samples of each member as it released them, at least 1: what it counts in an average."""
    return torch.as_tensor(np.maximum(fed.counts.sum(-1), 1).reshape(-1), dtype=torch.float64)[cohort.members]


def samples(fed) -> torch.Tensor:
    """(z * N, c) float64 training images of each class as every client released them: 0 of a class that it does not
    have, for then it sends no class mean, and at least 1 of one that it has.
    """
    true = np.stack([own.counts for own in fed.splits])
    seen = np.where(true > 0, np.maximum(fed.counts, 1), 0)
    return torch.as_tensor(seen.reshape(-1, seen.shape[-1]), dtype=torch.float64)


def mean(values, weight):
    """sum_b weight_b v_b / sum_b weight_b of values (b, ...), in float64, as the type of the values.

    >>> mean(torch.tensor([[1.0], [4.0]]), torch.tensor([2.0, 1.0])).tolist()
    [2.0]
    """
    share = (weight / weight.sum()).to(values.device, torch.float64)
    return (share.reshape(-1, *[1] * (values.dim() - 1)) * values.double()).sum(0).to(values.dtype)


def take(cohort, rows, fresh: dict) -> None:
    """Members `rows` take over weights (name -> one tensor for all of them, or one each); their momentum restarts at 0.

    The momentum is that of steps whose result was averaged away.
    """
    rows = rows.to(next(iter(cohort.weights.values())).device)
    for name, w in fresh.items():
        cohort.weights[name][rows] = w
        cohort.momentum[name][rows] = 0


def average(fed, cohorts, names) -> None:
    """Members of these cohorts replace the named weights, of one shape in all, by their mean by samples, seed by seed."""
    for z in range(fed.seeds):
        rows = [inside(fed, cohort, z) for cohort in cohorts]
        counts = torch.cat([held(fed, cohort)[own] for cohort, own in zip(cohorts, rows)])
        fresh = {n: mean(torch.cat([c.weights[n][own] for c, own in zip(cohorts, rows)]), counts) for n in names}
        for cohort, own in zip(cohorts, rows):
            take(cohort, own, fresh)


def same_start(fed, cohorts, names) -> None:
    """Before the first round the named weights are those of one client: the one with the smallest number, seed by seed.

    Averages of networks that started apart are worth nothing (McMahan et al. 2017, 1602.05629, figure 1).
    """
    for z in range(fed.seeds):
        seat = [(cohort, inside(fed, cohort, z)) for cohort in cohorts]
        first, row = min(
            ((cohort, own[cohort.members[own].argmin()]) for cohort, own in seat if len(own)),
            key=lambda pair: int(pair[0].members[pair[1]]),
        )
        fresh = {name: first.weights[name][row].clone() for name in names}
        for cohort, own in seat:
            take(cohort, own, fresh)


def head(cohort) -> list[str]:
    """Names of the weights of the last layer."""
    return [name for name in cohort.weights if name.startswith("head.")]


def of_one(fed, cohort, names) -> dict:
    """name -> (z, ...) the named weights of one member of each seed, where all members of a seed have the same."""
    rows = torch.stack([inside(fed, cohort, z)[0] for z in range(fed.seeds)])
    return {name: cohort.weights[name][rows].clone() for name in names}


def size(cohort, names) -> int:
    """Numbers in the named weights of one member."""
    return sum(cohort.weights[name][0].numel() for name in names)


def sized(fed, names_of) -> list:
    """What `exchange` returns where the weights that names_of(cohort) names go up and come down once."""
    return [(cohort, size(cohort, names_of(cohort)), size(cohort, names_of(cohort))) for cohort in fed.cohorts]


def class_means(fed, cohort, look):
    """(b, y, k): the mean of look(at) (b, n, k) over the members' own training images of class y; 0 without any."""
    at, there = own_images(fed, cohort)
    values = look(at)
    member = torch.nn.functional.one_hot(fed.labels[at], fed.prior.shape[-1]).to(values) * there.unsqueeze(-1)
    count = member.sum(1).unsqueeze(-1)
    sums = torch.einsum("bny,bnk->byk", member.double(), values.double())  # in float32 padding shows in the last bit
    return torch.where(count > 0, sums / count.clamp_min(1), 0.0).to(values)


@torch.no_grad()
def prototypes(fed):
    """(z * N, c, d): every client's mean features of its training images of each class, 0 where there is none
    (Tan et al. 2022, 2105.00243).
    """
    found = None
    for cohort in fed.cohorts:
        means = class_means(fed, cohort, lambda at: cohorts.features(cohort, fed.images, at))
        found = means.new_zeros(len(fed.prior), *means.shape[1:]) if found is None else found
        found[cohort.members] = means
    return found
