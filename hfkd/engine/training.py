"""Training: one round of a cohort, in joint steps of one private and one public batch for every member at once, and the
digest before it, on public batches alone.

As members do not meet, the gradient of the sum of their losses is everybody's own gradient, and every layer is one
operation for all. Members are sorted by the size of their training set: a step runs on the first `live` rows, those who
have not finished their round. Axes: b member (a client of one seed), k step, i sample of a batch, c class.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch.utils._pytree import tree_map

from hfkd.engine.cohort import footprint, part, put_back, slices
from hfkd.engine.layers import pick, seen
from hfkd.knowledge import mix
from hfkd.losses import distillation_loss, hard_loss, soft_loss


class Lesson(NamedTuple):
    """What a cohort hears in a round: images, their soft targets, and how much they weigh against the own data."""

    asked: torch.Tensor  # (b, m) indices into images
    targets: torch.Tensor  # (b, m, c) probabilities q_b(c|u)
    rows: torch.Tensor  # (b, k, i) which of the m images each step takes
    weight: torch.Tensor | None = None  # (b,) alpha or beta in [0, 1], of the soft loss; a digest needs none
    mix: torch.Tensor | None = None  # (b, k) mixup: how much of itself each image keeps; None: all


def batches(rng, n: int, steps: int, size: int) -> np.ndarray:
    """(steps, size) positions of full batches: permutations of 0..n-1 one after the other, cut into pieces of `size`.

    >>> batches(np.random.default_rng(0), 4, 3, 2).shape
    (3, 2)
    """
    rounds = max(1, -(-steps * size // n))
    return np.concatenate([rng.permutation(n) for _ in range(rounds)])[: steps * size].reshape(steps, size)


def plain(module, weights, x, y, prior):
    """(b,) the hard loss of every member: the `local_loss` of a method without a term of its own."""
    return hard_loss(seen(module, weights, x)[1], y, prior)


def train(cohort, images, labels, private, steps, prior, config, lesson=None, term=plain, given=()) -> None:
    """One round of a Cohort, in place: steps[b] joint steps of member b, each one private and one public batch.

        L_b = h_b H_b + a_b T^2 mean_u KL(q_b(u) || p_b(u)),    H_b = CE(f_b(x) + prior_b, y),    h_b = 1 - a_b

    The two parts are separate sums of one gradient, so a_b = 0 gives the weights of training alone to the last bit.

    private: (b, k, i) int64 indices into images (n, channel, height, width), bytes, and labels (n,), of which rows
    beyond steps[b] are never read; steps do not increase along b. prior: (b, c) what the hard loss adds to
    the logits, zeros for the plain loss. lesson: a Lesson, or None to train alone. term: a method's own H_b, as
    `plain`; given: what else it reads, tensors or dicts of them, members first. Of the configuration lr, momentum,
    temperature and kl_direction are read.
    """
    # of two batches even where there is one: blocks, and with them last bits of convolutions, do not depend on a lesson
    each = footprint(cohort.module, cohort.weights, images.shape[1:], 2 * private.shape[-1])
    for rows in slices(len(cohort.members), each, images.device):
        some, (mine, before, heard, more) = part(cohort, rows), rows_of((private, prior, lesson, given), rows)

        def loss(own, live, k):
            x, y = pick(images, mine[live, k], some.scale[live]), labels[mine[live, k]]
            hard = term(some.module, own, x, y, before[live], *rows_of(more, live))
            if heard is None:
                return hard
            soft = _soft(some, own, images, rows_of(heard, live), live, k, config)
            return distillation_loss(hard, soft, heard.weight[live])

        _descend(some, steps[rows], config, loss)
        put_back(cohort, some, rows)


def digest(cohort, images, config, lesson) -> None:
    """Every step of a Lesson by the soft loss alone, in place, T^2 mean_u KL(q_b(u) || p_b(u)): the momentum of these
    steps begins at 0, that of the own epochs waits (FedMD's "digest", 1910.03581; before the own epochs: ours).
    """
    steps, each = lesson.rows.shape[1], footprint(cohort.module, cohort.weights, images.shape[1:], lesson.rows.shape[2])
    for rows in slices(len(cohort.members), each, images.device):
        before, heard = part(cohort, rows), rows_of(lesson, rows)
        some = replace(before, momentum={name: torch.zeros_like(m) for name, m in before.momentum.items()})
        _descend(some, [steps] * len(some.members), config,
                 lambda own, live, k: _soft(some, own, images, rows_of(heard, live), live, k, config))
        put_back(cohort, replace(some, momentum=before.momentum), rows)


def rows_of(parts, rows):
    """Some members of everything that has the members first: tensors, and dicts and tuples of them; of None, None."""
    return tree_map(lambda each: each if each is None else each[rows], parts)


def _soft(some, own, images, lesson, live, k, config):
    """(b,) soft loss of step k on the public batch of every member that is live."""
    rows = lesson.rows[:, k]
    x = pick(images, lesson.asked.gather(1, rows), some.scale[live])
    q = torch.take_along_dim(lesson.targets, rows.unsqueeze(-1), 1)
    if lesson.mix is not None:
        x, q = mix(x, q, lesson.mix[:, k])
    return soft_loss(seen(some.module, own, x)[1], q, config.temperature, config.kl_direction)


def _descend(cohort, steps, config, loss):
    """Steps of a block of members, in place, m <- mu m + g, w <- w - lr m; loss(weights of the first rows, which rows,
    k) -> (b,) of step k.
    """
    steps = np.array(steps)
    for k in range(steps.max(initial=0)):
        live = int((steps > k).sum())
        own = {name: w[:live].requires_grad_() for name, w in cohort.weights.items()}
        moves = torch.autograd.grad(loss(own, slice(live), k).sum(), list(own.values()), materialize_grads=True)
        if config.momentum:  # else the gradient is all there is to remember, and nobody reads it
            rolling = [m[:live] for m in cohort.momentum.values()]
            torch._foreach_mul_(rolling, config.momentum)
            torch._foreach_add_(rolling, moves)
            moves = rolling
        torch._foreach_add_([w.detach() for w in own.values()], moves, alpha=-config.lr)
