"""FML: beside its own network every client trains a small one, the same for all; the two teach each other on the
client's images, and only the small one is averaged (Shen et al. 2020, arXiv:2006.16765).

The small one is a network of level 1. The paper's weight .5 of the soft loss, for both networks, is `strength`.
"""

import torch
from torch import nn

from hfkd.engine import networks
from hfkd.engine.layers import inside, seen
from hfkd.engine.method import Method
from hfkd.losses import distillation_loss, hard_loss, soft_loss
from hfkd.methods import averaging
from hfkd.streams import stream


class Beside(nn.Module):
    """A client's own network, and the small one that it shares; what it predicts is its own network's word."""

    def __init__(self, own: nn.Module, small: nn.Module):
        super().__init__()
        self.body, self.head, self.small = own.body, own.head, small

    def forward(self, x):
        return self.head(self.body(x))


def begin(fed, config, seeds) -> None:
    """A small network of the same first weights for every client of a seed."""
    small = networks.build(config.levels, 1, tuple(fed.images.shape[1:]), fed.prior.shape[-1])
    first = [networks.initial(small, stream(seed, "server")) for seed in seeds]
    for cohort in fed.cohorts:
        cohort.module = Beside(cohort.module, small)
        for name in first[0]:
            each = torch.stack([w[name] for w in first])[averaging.seats(fed, cohort)].to(fed.prior)
            cohort.weights[f"small.{name}"] = each
            cohort.momentum[f"small.{name}"] = torch.zeros_like(each)


def both(module, weights, x):
    """(b, n, c) logits of one's own network, and of the small one."""
    return seen(module, weights, x)[1], seen(module.small, inside(weights, "small"), x)[1]


def loss(module, weights, x, y, prior, a):
    """(1-a) CE(own) + a KL(small || own) + (1-a) CE(small) + a KL(own || small); who teaches gets no gradient."""
    own, small = both(module, weights, x)
    return sum(distillation_loss(hard_loss(learner, y, prior), soft_loss(learner, teacher.softmax(-1)), a)
               for learner, teacher in ((own, small), (small, own)))  # fmt: skip


def exchange(fed, config, round) -> list:
    """The small network becomes its mean over all clients of all levels, by samples."""
    averaging.average(fed, fed.cohorts, "small.")
    return averaging.sized(fed, "small.")


FML = Method("fml", "FML (2006.16765): a small shared network beside one's own, each teaches the other", begin=begin,
             local_loss=loss, given=averaging.strength, exchange=exchange, networks=2, needs=("everybody",),
             tuned={"plain": {"strength": 0.05}, "balanced": {"strength": 0.1}})  # fmt: skip
