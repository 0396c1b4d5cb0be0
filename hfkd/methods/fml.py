"""FML: beside its own network every client trains a small one, the same for all; the two teach each other on the
client's images, and only the small one is averaged (Shen et al. 2020, arXiv:2006.16765).

The small one is a network of level 1. The paper's weight .5 of the soft loss, for both networks, is `strength`.
"""

import torch

from hfkd.engine import networks
from hfkd.engine.layers import inside, seen
from hfkd.engine.method import Method
from hfkd.losses import distillation_loss, hard_loss, soft_loss
from hfkd.methods import averaging
from hfkd.streams import stream


def begin(fed, config, seeds) -> None:
    """A small network of the same first weights for every client of a seed."""
    small = networks.build(config.levels, 1, tuple(fed.images.shape[1:]), fed.prior.shape[-1])
    drawn = [networks.initial(small, stream(seed, "server")) for seed in seeds]
    first = {name: torch.stack([w[name] for w in drawn]).to(fed.prior) for name in drawn[0]}
    for cohort in fed.cohorts:
        averaging.beside(cohort, small, {name: w[averaging.seats(fed, cohort)] for name, w in first.items()})


def both(module, weights, x):
    """(b, n, c) logits of one's own network, and of the small one."""
    return seen(module, weights, x)[1], seen(module.second, inside(weights, "second"), x)[1]


def loss(module, weights, x, y, prior, a):
    """(1-a) CE(own) + a KL(small || own) + (1-a) CE(small) + a KL(own || small); who teaches gets no gradient."""
    own, small = both(module, weights, x)
    return sum(distillation_loss(hard_loss(learner, y, prior), soft_loss(learner, teacher.softmax(-1)), a)
               for learner, teacher in ((own, small), (small, own)))  # fmt: skip


def exchange(fed, config, round) -> list:
    """The small network becomes its mean over all clients of all levels, by samples."""
    averaging.average(fed, fed.cohorts, "second.")
    return averaging.sized(fed, "second.")


FML = Method("fml", "FML (2006.16765): a small shared network beside one's own, each teaches the other", begin=begin,
             local_loss=loss, given=averaging.strength, exchange=exchange, networks=2, needs=("everybody",))
