"""A cohort: all clients of one level, over all seeds, with their weights stacked along a first axis b.

Axes: b member (a client of one seed), n image, c class.
"""

from dataclasses import dataclass

import torch

from hfkd import blocks, levels
from hfkd.batched import pick, seen

CHUNK = 256  # images a member looks at in one go when it only speaks: bounds the memory, does not change a number


@dataclass
class Cohort:
    """All clients of one level: a network without values, and one row of weights and of momentum per member."""

    level: int
    module: torch.nn.Module
    members: torch.Tensor  # (b,) flat ids seed_position * N + client, largest training set first
    weights: dict[str, torch.Tensor]  # name -> (b, ...)
    momentum: dict[str, torch.Tensor]


def cohort(level, family, shape, n_classes, members, rngs, device="cpu", dtype=torch.float32) -> Cohort:
    """The members of one level with their first weights, each from its own stream.

    Args:
        members: flat ids, largest training set first.
        rngs: one numpy Generator per member, the stream (seed, "weights", client).
    """
    module = levels.build(family, level, shape, n_classes)
    each = [levels.initial(module, rng) for rng in rngs]
    weights = {name: torch.stack([w[name] for w in each]).to(device, dtype) for name in each[0]}
    momentum = {name: torch.zeros_like(w) for name, w in weights.items()}
    return Cohort(level, module, torch.as_tensor(members, dtype=torch.long), weights, momentum)


@torch.no_grad()
def logits(cohort: Cohort, images, at):
    """f_b(x) of every member on its own list of images.

    Args:
        at: (b, n) int64 indices into images.

    Returns:
        (b, n, c).
    """
    return _look(1, cohort, images, at)


@torch.no_grad()
def features(cohort: Cohort, images, at):
    """(b, n, FEATURES): what the last layer of every member sees of its own list of images; arguments as `logits`."""
    return _look(0, cohort, images, at)


def _look(which, cohort, images, at):
    """The features or the logits of every member on its own list of images, a block of members at a time."""
    each = blocks.footprint(cohort.module, cohort.weights, images.shape[1:], CHUNK)

    def answers(rows):
        weights = {name: w[rows] for name, w in cohort.weights.items()}
        some = [seen(cohort.module, weights, pick(images, part))[which] for part in at[rows].split(CHUNK, dim=1)]
        return torch.cat(some, dim=1)

    return torch.cat([answers(rows) for rows in blocks.slices(len(at), each, images.device)])


def part(cohort: Cohort, rows) -> Cohort:
    """Some members as a cohort of their own, with copies of all they have; `put_back` returns what they have learned.

    Args:
        rows: a slice, or positions in the cohort, rising, so that the largest training set stays first.
    """
    device = next(iter(cohort.weights.values())).device
    at = rows if isinstance(rows, slice) else torch.as_tensor(rows, dtype=torch.long)
    there = at if isinstance(at, slice) else at.to(device)
    copies = [{name: w[there].clone() for name, w in kept.items()} for kept in (cohort.weights, cohort.momentum)]
    return Cohort(cohort.level, cohort.module, cohort.members[at], *copies)


def put_back(cohort: Cohort, some: Cohort, rows) -> None:
    """Weights and momentum of `some` = part(cohort, rows), written into the cohort."""
    for kept, fresh in ((cohort.weights, some.weights), (cohort.momentum, some.momentum)):
        for name, w in kept.items():
            w[rows if isinstance(rows, slice) else torch.as_tensor(rows, device=w.device)] = fresh[name]
