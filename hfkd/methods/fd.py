"""FD, federated distillation without public images: class means of soft outputs travel, and regularise the local loss
(Jeong et al. 2018, arXiv:1811.11479)."""

import torch
import torch.nn.functional as F

from hfkd import averaging, cohorts
from hfkd.batched import seen
from hfkd.losses import hard_loss, soft_loss
from hfkd.methods.local import LOSS, NEEDS, OWN, teach  # noqa: F401
from hfkd.transport import class_means

CHOSEN = {"plain": {"strength": 0.01}, "balanced": {"strength": 0.03}}
SUMMARY = "FD (1811.11479): class means of soft outputs as targets for one's own images"


def begin(state, config, seeds) -> None:
    """Nobody has heard anything: a target of zeros has no loss and no gradient."""
    state.memory["targets"] = torch.zeros(len(state.prior), *[state.prior.shape[-1]] * 2, device=state.images.device)


def given(state, config, cohort) -> tuple:
    """Targets (b, y, c), and the weight of the term (b,)."""
    return state.memory["targets"][cohort.members], averaging.strength(state, config, cohort)


def loss(module, weights, x, y, prior, targets, weight):
    """CE + lambda mean_x KL(q_y || p(x)), q_y the mean soft output of the other owners of class y."""
    logits = seen(module, weights, x)[1]
    return hard_loss(logits, y, prior) + weight * soft_loss(logits, torch.take_along_dim(targets, y.unsqueeze(-1), 1))


def exchange(state, config, round) -> None:
    """q_i(y) = mean over the other owners j of class y of their mean softmax on images of y."""
    own = torch.zeros_like(state.memory["targets"])
    for cohort in state.cohorts:
        own[cohort.members] = class_means(
            state, cohort, lambda at, cohort=cohort: F.softmax(cohorts.logits(cohort, state.images, at), dim=-1)
        )
    owns = (averaging.samples(state) > 0).to(own.device)
    by_seed = (len(state.splits), state.clients)
    each, has = own.reshape(*by_seed, *own.shape[1:]).double(), owns.reshape(*by_seed, -1).double()
    others = has.sum(1, keepdim=True) - has
    sums = torch.stack([p.sum(0, keepdim=True) - p for p in each])  # without an owner the mean is 0
    targets = (sums / others.clamp_min(1).unsqueeze(-1)).to(own)
    state.memory["targets"] = targets.reshape(own.shape)
    classes, heard = own.shape[-1], (others > 0).reshape(len(own), -1)
    for cohort in state.cohorts:
        spoken, useful = owns[cohort.members].sum(1), (heard & owns)[cohort.members].sum(1)
        averaging.count(state, config, cohort, spoken.cpu() * classes, useful.cpu() * classes)
