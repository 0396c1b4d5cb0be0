"""What methods share that exchange weights, heads or prototypes instead of answers: averages per seed, and their bytes.

A method's server holds one thing per seed, and clients of one seed never meet those of another. Sums are in float64 and
seed by seed, so that a seed's numbers do not depend on which seeds run beside it.

Axes: z seed, b member of a cohort, c class, d feature.
"""

import numpy as np
import torch

from hfkd import cohorts
from hfkd.transport import WIDTH, class_means


def seats(state, cohort) -> torch.Tensor:
    """(b,) position of each member's seed among the seeds of the run."""
    return cohort.members // state.clients


def inside(state, cohort, z) -> torch.Tensor:
    """Rows of the members that belong to one seed."""
    return (seats(state, cohort) == z).nonzero().flatten()


def strength(state, config, cohort) -> torch.Tensor:
    """(b,) the weight of a method's own term, for every member."""
    return torch.full((len(cohort.members),), config.strength, device=state.images.device)


def held(state, cohort) -> torch.Tensor:
    """(b,) float64 training samples of each member as it released them, at least 1: what it counts in an average."""
    return torch.as_tensor(np.maximum(state.released.sum(-1), 1).reshape(-1), dtype=torch.float64)[cohort.members]


def samples(state) -> torch.Tensor:
    """(z * N, c) float64 training images of each class as every client released them: 0 of a class that it does not
    have, for then it sends no class mean, and at least 1 of one that it has.
    """
    true = np.stack([fed.counts for fed in state.splits])
    seen = np.where(true > 0, np.maximum(state.released, 1), 0)
    return torch.as_tensor(seen.reshape(-1, seen.shape[-1]), dtype=torch.float64)


def mean(values, weight):
    """sum_b weight_b v_b / sum_b weight_b, in float64, as the type of the values.

    Args:
        values: (b, ...). weight: (b,) >= 0, not all 0.

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


def average(state, cohorts, names, weight=held) -> None:
    """Members of these cohorts replace the named weights by their mean, seed by seed.

    Args:
        cohorts: those that average with each other; the named weights have one shape in all of them.
        names: weights, such as those of the head.
        weight: (state, cohort) -> (b,) how much each member counts.
    """
    for z in range(len(state.splits)):
        rows = [inside(state, cohort, z) for cohort in cohorts]
        counts = torch.cat([weight(state, cohort)[own] for cohort, own in zip(cohorts, rows)])
        fresh = {n: mean(torch.cat([c.weights[n][own] for c, own in zip(cohorts, rows)]), counts) for n in names}
        for cohort, own in zip(cohorts, rows):
            take(cohort, own, fresh)


def same_start(state, cohorts, names) -> None:
    """Before the first round the named weights are those of one client: the one with the smallest number, seed by seed.

    Averages of networks that started apart are worth nothing (McMahan et al. 2017, 1602.05629, figure 1).
    """
    for z in range(len(state.splits)):
        seat = [(cohort, inside(state, cohort, z)) for cohort in cohorts]
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


def of_one(state, cohort, names) -> dict:
    """name -> (z, ...) the named weights of one member of each seed, where all members of a seed have the same."""
    rows = torch.stack([inside(state, cohort, z)[0] for z in range(len(state.splits))])
    return {name: cohort.weights[name][rows].clone() for name in names}


def size(cohort, names) -> int:
    """Numbers in the named weights of one member."""
    return sum(cohort.weights[name][0].numel() for name in names)


def count(state, config, cohort, up, down=None) -> None:
    """Write down what each member has sent and received in this round.

    Args:
        up, down: numbers, one for all members or (b,); down = None: as many as up.
    """
    sent = state.sent.reshape(-1, 2)  # a view
    at = cohort.members.numpy()
    sent[at, 0] += torch.as_tensor(up).numpy() * WIDTH[config.wire]
    sent[at, 1] += torch.as_tensor(up if down is None else down).numpy() * WIDTH[config.wire]


@torch.no_grad()
def prototypes(state):
    """Every client's mean features of its training images of each class.

    Returns:
        (z * N, c, d), 0 where there is no image.

    Source: Tan et al. 2022 (2105.00243).
    """
    found = None
    for cohort in state.cohorts:
        means = class_means(state, cohort, lambda at: cohorts.features(cohort, state.images, at))
        found = means.new_zeros(len(state.prior), *means.shape[1:]) if found is None else found
        found[cohort.members] = means
    return found
