"""FD, federated distillation without public images: class means of soft outputs travel, and regularise the local loss
(Jeong et al. 2018, arXiv:1811.11479)."""

import torch
import torch.nn.functional as F

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
    return fed.memory["targets"][cohort.members], averaging.strength(fed, config, cohort)


def loss(module, weights, x, y, prior, targets, weight):
    """CE + lambda mean_x KL(q_y || p(x)), q_y the mean soft output of the other owners of class y."""
    logits = seen(module, weights, x)[1]
    return hard_loss(logits, y, prior) + weight * soft_loss(logits, torch.take_along_dim(targets, y.unsqueeze(-1), 1))


def exchange(fed, config, round) -> list:
    """q_i(y) = mean over the other owners j of class y of their mean softmax on images of y."""
    own = torch.zeros_like(fed.memory["targets"])
    for cohort in fed.cohorts:
        own[cohort.members] = averaging.class_means(
            fed, cohort, lambda at, cohort=cohort: F.softmax(cohorts.logits(cohort, fed.images, at), dim=-1)
        )
    owns = (averaging.samples(fed) > 0).to(own.device)
    by_seed = (fed.seeds, fed.clients)
    each, has = own.reshape(*by_seed, *own.shape[1:]).double(), owns.reshape(*by_seed, -1).double()
    others = has.sum(1, keepdim=True) - has
    sums = torch.stack([p.sum(0, keepdim=True) - p for p in each])  # without an owner the mean is 0
    targets = (sums / others.clamp_min(1).unsqueeze(-1)).to(own)
    fed.memory["targets"] = targets.reshape(own.shape)
    classes, heard = own.shape[-1], (others > 0).reshape(len(own), -1)
    spoken, useful = owns.sum(1) * classes, (heard & owns).sum(1) * classes
    return [(cohort, spoken[cohort.members], useful[cohort.members]) for cohort in fed.cohorts]


FD = Method(
    "fd", "FD (1811.11479): class means of soft outputs as targets for one's own images", begin=begin, local_loss=loss,
    given=given, exchange=exchange, needs=("everybody",),
    tuned={"plain": {"strength": 0.01}, "balanced": {"strength": 0.03}},
)  # fmt: skip
