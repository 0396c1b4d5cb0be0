"""Training: one round of a cohort, in joint steps of one private and one public batch for every member at once.

As members do not meet, the gradient of the sum of their losses is everybody's own gradient, and every layer is one
operation for all. Members are sorted by the size of their training set: a step runs on the first `live` rows, those who
have not finished their round. Axes: b member (a client of one seed), k step, i sample of a batch, c class.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch.utils._pytree import tree_map

from hfkd.engine.cohort import footprint, part, put_back, slices
from hfkd.engine.layers import pick, seen
from hfkd.losses import distillation_loss, hard_loss, soft_loss


class Lesson(NamedTuple):
    """What a cohort hears in a round: images, their soft targets, and how much they weigh against the own data."""

    asked: torch.Tensor  # (b, m) indices into images
    targets: torch.Tensor  # (b, m, c) probabilities q_b(c|u)
    rows: torch.Tensor  # (b, k, i) which of the m images each step takes
    weight: torch.Tensor  # (b,) alpha or beta in [0, 1], of the soft loss
    hard: torch.Tensor | None = None  # (b,) weight of the hard loss; None: 1 - weight; 0 away from the own data


class Term(NamedTuple):
    """A method's own loss on the private batch, in place of the hard loss alone."""

    loss: Callable  # (module, weights, x, y, prior, *given) -> (b,), of every member
    given: tuple = ()  # what it reads beside the batch: tensors, or dicts of them, with the members first


class Optimiser(NamedTuple):
    """Stochastic gradient descent with momentum, m <- mu m + g, w <- w - lr m, and the shape of the soft loss."""

    lr: float
    momentum: float
    temperature: float = 1.0
    direction: str = "teacher_first"


def batches(rng, n: int, steps: int, size: int) -> np.ndarray:
    """(steps, size) positions of full batches: permutations of 0..n-1 one after the other, cut into pieces of `size`.

    >>> batches(np.random.default_rng(0), 4, 3, 2).shape
    (3, 2)
    """
    rounds = -(-steps * size // n)
    return np.concatenate([rng.permutation(n) for _ in range(rounds)])[: steps * size].reshape(steps, size)


def plain(module, weights, x, y, prior):
    """(b,) the hard loss of every member, with the arguments of `Term.loss`."""
    return hard_loss(seen(module, weights, x)[1], y, prior)


def train(cohort, images, labels, private, steps, prior, optimiser, lesson=None, term=Term(plain)) -> None:
    """One round of a Cohort, in place: steps[b] joint steps of member b, each one private and one public batch.

        L_b = h_b H_b + a_b T^2 mean_u KL(q_b(u) || p_b(u)),    H_b = CE(f_b(x) + prior_b, y),    h_b = 1 - a_b

    The two parts are separate sums of one gradient, so a_b = 0 gives the weights of training alone to the last bit.

    private: (b, k, i) int64 indices into images (n, channel, height, width) and labels (n,), of which rows beyond
    steps[b] are never read; steps do not increase (or a ValueError). prior: (b, c) what the hard loss adds to the
    logits, zeros for the plain loss. lesson: a Lesson, or None to train alone. term: a method's own H_b.
    """
    if any(a < b for a, b in zip(steps, steps[1:])):
        raise ValueError("steps increase along the cohort; expected the member with the most steps first")
    # of two batches even where there is one: blocks, and with them last bits of convolutions, do not depend on a lesson
    each = footprint(cohort.module, cohort.weights, images.shape[1:], 2 * private.shape[-1])
    for rows in slices(len(cohort.members), each, images.device):
        some, heard, own = part(cohort, rows), _rows(lesson, rows), Term(term.loss, _rows(term.given, rows))
        _block(some, images, labels, private[rows], steps[rows], prior[rows], optimiser, heard, own)
        put_back(cohort, some, rows)


def _rows(parts, rows):
    """Some members of everything that has the members first; of None, None."""
    return tree_map(lambda each: each if each is None else each[rows], parts)


def _block(cohort, images, labels, private, steps, prior, optimiser, lesson, term):
    """The round of a block of members, in place; arguments as `train`."""
    module, steps = cohort.module, np.array(steps)
    for k in range(steps.max(initial=0)):
        live = int((steps > k).sum())
        own, at = {name: w[:live].requires_grad_() for name, w in cohort.weights.items()}, private[:live, k]
        loss = term.loss(module, own, pick(images, at), labels[at], prior[:live], *_rows(term.given, slice(live)))
        if lesson is not None:
            asked, targets, rows, weight, hard = _rows(lesson, slice(live))
            said = seen(module, own, pick(images, asked.gather(1, rows[:, k])))[1]
            targets = torch.take_along_dim(targets, rows[:, k].unsqueeze(-1), 1)
            soft = soft_loss(said, targets, optimiser.temperature, optimiser.direction)
            loss = distillation_loss(loss, soft, weight, hard)
        moves = torch.autograd.grad(loss.sum(), list(own.values()), materialize_grads=True)
        if optimiser.momentum:  # else the gradient is all there is to remember, and nobody reads it
            rolling = [m[:live] for m in cohort.momentum.values()]
            torch._foreach_mul_(rolling, optimiser.momentum)
            torch._foreach_add_(rolling, moves)
            moves = rolling
        torch._foreach_add_([w.detach() for w in own.values()], moves, alpha=-optimiser.lr)
