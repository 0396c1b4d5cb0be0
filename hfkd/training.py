"""The engine: all clients of a level, over all seeds, train as one batched program (torch.func).

A cohort holds the weights of its members stacked along a first axis b. One step takes one private and one public
batch of every member, and the gradient of the joint loss of all of them is one `vmap(grad(...))`. Members are sorted
by the size of their training set, so that a client that has finished its round leaves the batch: the step runs on the
first `live` rows.

Axes: b member (a client of one seed), k step, i sample of a batch, c class.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch.func import functional_call, grad, vmap
from torch.utils._pytree import tree_map

from hfkd import levels
from hfkd.losses import distillation_loss, hard_loss, soft_loss

CHUNK = 256  # images a member looks at in one go when it only speaks: bounds the memory, does not change a number


@dataclass
class Cohort:
    """All clients of one level: a network without values, and one row of weights and of momentum per member."""

    level: int
    module: torch.nn.Module
    members: torch.Tensor  # (b,) flat ids seed_position * N + client, largest training set first
    weights: dict[str, torch.Tensor]  # name -> (b, ...)
    momentum: dict[str, torch.Tensor]


class Lesson(NamedTuple):
    """What a cohort hears in a round: images, their soft targets, and how much they weigh against the own data."""

    asked: torch.Tensor  # (b, m) indices into images: the public set, or whatever the transport teaches on
    targets: torch.Tensor  # (b, m, c) probabilities q_b(c|u)
    rows: torch.Tensor  # (b, k, i) which of the m images each step takes
    weight: torch.Tensor  # (b,) alpha or beta in [0, 1], of the soft loss
    voice: torch.Tensor | None = None  # (b, m) v(u) >= 0, how much each image counts; None: all alike
    hard: torch.Tensor | None = None  # (b,) weight of the hard loss; None: 1 - weight; 0 away from the own data


class Term(NamedTuple):
    """A method's own loss on the private batch, in place of the hard loss alone."""

    loss: Callable  # (module, weights, x, y, prior, *given) -> scalar, of one member
    given: tuple = ()  # what it reads beside the batch: tensors, or dicts of them, with the members first


class Optimiser(NamedTuple):
    """Stochastic gradient descent with momentum, m <- mu m + g, w <- w - lr m, and the shape of the soft loss."""

    lr: float
    momentum: float
    temperature: float = 1.0
    direction: str = "teacher_first"


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


def batches(rng, n: int, steps: int, size: int) -> np.ndarray:
    """Positions of `steps` full batches: permutations of 0..n-1 one after the other, cut into pieces of `size`.

    Every batch is full; every sample is seen once before any is seen again. A client with fewer than `size` samples
    meets some of them more than once in a batch.

    Returns:
        (steps, size) int64.

    >>> batches(np.random.default_rng(0), 4, 3, 2).shape
    (3, 2)
    """
    rounds = -(-steps * size // n)
    return np.concatenate([rng.permutation(n) for _ in range(rounds)])[: steps * size].reshape(steps, size)


def train(cohort, images, labels, private, steps, prior, optimiser, lesson: Lesson | None = None, term=None):
    """One round of a Cohort, in place: steps[b] joint steps of member b, each one private and one public batch.

        L_b = h_b H_b + a_b T^2 mean_u v_b(u) KL(q_b(u) || p_b(u)),    H_b = CE(f_b(x) + prior_b, y),    h_b = 1 - a_b

    The two parts are separate sums of one gradient, so a_b = 0 gives the weights of training alone to the last bit.

    Args:
        images: (n, channel, height, width) float; labels: (n,) int64.
        private: (b, k, i) int64 indices into images, rows beyond steps[b] are never read.
        steps: b integers, not increasing.
        prior: (b, c) log prior that the hard loss adds to the logits; zeros for the plain loss.
        lesson: None to train alone.
        optimiser: an Optimiser. term: a Term, a method's own H_b, or None for the cross-entropy.

    Raises:
        ValueError: steps that increase.
    """
    if any(a < b for a, b in zip(steps, steps[1:])):
        raise ValueError("steps increase along the cohort; expected the member with the most steps first")
    if lesson is not None:
        voice = torch.ones_like(lesson.targets[..., 0]) if lesson.voice is None else lesson.voice
        hard = 1 - lesson.weight if lesson.hard is None else lesson.hard
    term = term or Term(plain)
    gradient = vmap(grad(_objective(cohort.module, optimiser, term.loss, joint=lesson is not None)))
    for k in range(steps[0] if steps else 0):
        live = sum(s > k for s in steps)
        weights = {name: w[:live] for name, w in cohort.weights.items()}
        at = private[:live, k]
        inputs = [images[at], labels[at], prior[:live], tree_map(lambda each: each[:live], term.given)]
        if lesson is not None:
            rows = lesson.rows[:live, k]
            heard = lesson.targets[:live].gather(1, rows.unsqueeze(-1).expand(-1, -1, prior.shape[-1]))
            inputs += [images[lesson.asked[:live].gather(1, rows)], heard, voice[:live].gather(1, rows)]
            inputs += [lesson.weight[:live], hard[:live]]
        for name, g in gradient(weights, *inputs).items():
            m = cohort.momentum[name][:live].mul_(optimiser.momentum).add_(g)
            weights[name].sub_(m, alpha=optimiser.lr)


def plain(module, weights, x, y, prior):
    """The hard loss of one member, with the arguments of `Term.loss`."""
    return hard_loss(functional_call(module, weights, (x,)), y, prior)


def _objective(module, optimiser, own, joint):
    """The loss of one member as a function of its weights; vmap adds the axis b."""

    def alone(weights, x, y, prior, given):
        return own(module, weights, x, y, prior, *given)

    def together(weights, x, y, prior, given, u, q, v, a, h):
        soft = soft_loss(functional_call(module, weights, (u,)), q, optimiser.temperature, optimiser.direction, v)
        return distillation_loss(alone(weights, x, y, prior, given), soft, a, h)

    return together if joint else alone


def seen(module, weights, x):
    """(features (n, FEATURES), logits (n, c)) of one member: what its body sees, and what its head makes of it."""
    inside = {part: {n.removeprefix(f"{part}."): w for n, w in weights.items() if n.startswith(f"{part}.")}
              for part in ("body", "head")}  # fmt: skip
    features = functional_call(module.body, inside["body"], (x,))
    return features, functional_call(module.head, inside["head"], (features,))


@torch.no_grad()
def logits(cohort: Cohort, images, at):
    """f_b(x) of every member on its own list of images.

    Args:
        at: (b, n) int64 indices into images.

    Returns:
        (b, n, c).
    """
    return _forward(lambda own, x: functional_call(cohort.module, own, (x,)), cohort.weights, images, at)


@torch.no_grad()
def features(cohort: Cohort, images, at):
    """(b, n, FEATURES): what the last layer of every member sees of its own list of images; arguments as `logits`."""
    return _forward(lambda own, x: seen(cohort.module, own, x)[0], cohort.weights, images, at)


def _forward(look, weights, images, at):
    """look(weights, x) of every member on its own list of images, CHUNK images at a time."""
    return torch.cat([vmap(look)(weights, images[part]) for part in at.split(CHUNK, dim=1)], dim=1)


def part(cohort: Cohort, rows) -> Cohort:
    """Some members as a cohort of their own; `put_back` returns what they have learned.

    Args:
        rows: positions in the cohort, rising, so that the largest training set stays first.
    """
    rows = torch.as_tensor(rows, dtype=torch.long)
    copies = [{name: w[rows.to(w.device)] for name, w in kept.items()} for kept in (cohort.weights, cohort.momentum)]
    return Cohort(cohort.level, cohort.module, cohort.members[rows], *copies)


def put_back(cohort: Cohort, some: Cohort, rows) -> None:
    """Weights of `some` = part(cohort, rows), written into the cohort; its momentum is not."""
    for name, w in cohort.weights.items():
        w[torch.as_tensor(rows, device=w.device)] = some.weights[name]
