"""FML: beside its own network every client trains a small one, the same for all; the two teach each other on the
client's images, and only the small one is averaged (Shen et al. 2020, arXiv:2006.16765).

The small one is a network of level 1. The paper's weight .5 of the soft loss, for both networks, is `strength`.
"""

import torch
from torch import nn

from hfkd import averaging, batched, levels
from hfkd.losses import distillation_loss, hard_loss, soft_loss
from hfkd.methods.local import LOSS, NEEDS, OWN, teach  # noqa: F401
from hfkd.streams import stream

CHOSEN = {"plain": {"strength": 0.05}, "balanced": {"strength": 0.1}}
SUMMARY = "FML (2006.16765): a small shared network beside one's own, each teaches the other"


class Beside(nn.Module):
    """A client's own network, and the small one that it shares; what it predicts is its own network's word."""

    def __init__(self, own: nn.Module, small: nn.Module):
        super().__init__()
        self.body, self.head, self.small = own.body, own.head, small

    def forward(self, x):
        return self.head(self.body(x))


def begin(state, config, seeds) -> None:
    """A small network of the same first weights for every client of a seed."""
    small = levels.build(config.levels, 1, tuple(state.images.shape[1:]), state.prior.shape[-1])
    first = [levels.initial(small, stream(seed, "server")) for seed in seeds]
    for cohort in state.cohorts:
        cohort.module = Beside(cohort.module, small)
        for name in first[0]:
            each = torch.stack([first[z][name] for z in averaging.seats(state, cohort)]).to(state.images)
            cohort.weights[f"small.{name}"] = each
            cohort.momentum[f"small.{name}"] = torch.zeros_like(each)


def given(state, config, cohort) -> tuple:
    """The weight of the soft loss, for every member."""
    return (averaging.strength(state, config, cohort),)


def both(module, weights, x):
    """(b, n, c) logits of one's own network, and of the small one."""
    return batched.seen(module, weights, x)[1], batched.seen(module.small, batched.inside(weights, "small"), x)[1]


def loss(module, weights, x, y, prior, a):
    """(1-a) CE(own) + a KL(small || own) + (1-a) CE(small) + a KL(own || small); who teaches gets no gradient."""
    own, small = both(module, weights, x)
    return sum(
        distillation_loss(hard_loss(learner, y, prior), soft_loss(learner, teacher.softmax(-1)), a)
        for learner, teacher in ((own, small), (small, own))
    )


def shared(cohort) -> list[str]:
    """Names of the weights of the small network."""
    return [name for name in cohort.weights if name.startswith("small.")]


def exchange(state, config, round) -> None:
    """The small network becomes its mean over all clients of all levels, by samples."""
    names = shared(state.cohorts[0])
    averaging.average(state, state.cohorts, names)
    for cohort in state.cohorts:
        averaging.count(state, config, cohort, averaging.size(cohort, names))
