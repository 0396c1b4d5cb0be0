"""FD, federated distillation without public images: class means of soft outputs travel, and regularise the local loss
(Jeong et al. 2018, arXiv:1811.11479)."""

import torch

from hfkd.engine import cohort as cohorts
from hfkd.engine.layers import seen
from hfkd.engine.method import Method
from hfkd.losses import hard_loss, soft_loss
from hfkd.methods import averaging


def begin(fed, config, seeds) -> None:
    """Nobody has heard anything: a target of zeros has no loss and no gradient."""
    fed.memory["targets"] = torch.zeros(len(fed.prior), *[fed.prior.shape[-1]] * 2, device=fed.images.device)


def given(fed, config, cohort) -> tuple:
    """Targets (b, y, c), and the weight of the term (b,)."""
    return fed.memory["targets"][cohort.members], *averaging.strength(fed, config, cohort)


def loss(module, weights, x, y, prior, targets, weight):
    """CE + lambda mean_x KL(q_y || p(x)), q_y the mean soft output of the other owners of class y."""
    logits = seen(module, weights, x)[1]
    return hard_loss(logits, y, prior) + weight * soft_loss(logits, torch.take_along_dim(targets, y.unsqueeze(-1), 1))


def exchange(fed, config, round) -> list:
    """q_i(y) = mean over the other owners j of class y of their mean softmax on images of y."""
    own = averaging.class_means(fed, lambda *given: cohorts.logits(*given).softmax(-1))
    has = averaging.samples(fed) > 0
    others = has.sum(1, keepdim=True) - has.long()
    sums = torch.stack([p.sum(0, keepdim=True) - p for p in own.double()])  # without an owner the mean is 0
    targets = sums / others.clamp_min(1).unsqueeze(-1).to(own.device)
    fed.memory["targets"] = targets.to(own).flatten(0, 1)
    up, down = (own.shape[-1] * classes.sum(2).flatten() for classes in (has, has & (others > 0)))
    return [(cohort, up[cohort.members], down[cohort.members]) for cohort in fed.cohorts]


FD = Method("fd", "FD (1811.11479): class means of soft outputs as targets for one's own images", begin=begin,
            local_loss=loss, given=given, exchange=exchange, needs=("everybody",))
