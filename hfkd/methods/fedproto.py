"""FedProto: everybody's features of a class are drawn to the mean of all clients' (Tan et al. 2022, arXiv:2105.00243).

Predicts by the nearest prototype, as published; `readout = plain` scores the same networks by their heads.
"""

import torch

from hfkd.engine import cohort as cohorts
from hfkd.engine.layers import seen
from hfkd.engine.method import Method
from hfkd.losses import hard_loss
from hfkd.methods import averaging

FAR = 1e6  # squared distance to a class that nobody has a prototype of


def begin(fed, config, seeds) -> None:
    """No class has a prototype."""
    classes, wide = fed.cohorts[0].weights["head.weight"].shape[1:]
    blank = torch.zeros(len(seeds), classes, wide, device=fed.images.device)
    fed.memory.update(prototypes=blank, known=blank[..., 0])


def given(fed, config, cohort) -> tuple:
    """Prototypes (b, c, d), whether there is one (b, c), and the weight of the term (b,)."""
    at = averaging.seats(fed, cohort)
    return fed.memory["prototypes"][at], fed.memory["known"][at], *averaging.strength(fed, config, cohort)


def loss(module, weights, x, y, prior, prototypes, known, weight):
    """CE + lambda mean over samples and features of (h(x) - P_y)^2."""
    features, logits = seen(module, weights, x)
    apart = ((features - torch.take_along_dim(prototypes, y.unsqueeze(-1), 1)) ** 2).mean(-1)
    return hard_loss(logits, y, prior) + weight * (known.gather(1, y) * apart).mean(-1)


def exchange(fed, config, round) -> list:
    """P_c = sum_i n_i(c) P_i(c) / sum_i n_i(c): d numbers up for each class a client has, down for each there is."""
    own, counts = averaging.class_means(fed), averaging.samples(fed)
    pairs = zip(counts.unsqueeze(-1).to(own.device), own.double())
    merged = torch.stack([(n * each).sum(0) / n.sum(0).clamp_min(1) for n, each in pairs])
    known = counts.sum(1) > 0
    fed.memory.update(prototypes=merged.to(own), known=known.to(own))
    return sized(fed, known.sum(1) * own.shape[-1])


def sized(fed, down) -> list:
    """What `exchange` returns: d numbers up for every class that a client has, and down, one number or (z,), back."""
    up = (averaging.samples(fed) > 0).sum(2).flatten() * fed.cohorts[0].weights["head.weight"].shape[-1]
    down = torch.as_tensor(down).expand(len(fed.seeds))
    return [(cohort, up[cohort.members], down[averaging.seats(fed, cohort)]) for cohort in fed.cohorts]


def answers(fed, config, cohort, at):
    """(b, n, c) -|h(x) - P_c|^2: the nearest prototype wins."""
    prototypes, known, _ = given(fed, config, cohort)
    apart = torch.cdist(cohorts.features(cohort, fed.images, at), prototypes) ** 2
    return -torch.where(known.unsqueeze(1) > 0, apart, FAR)


FEDPROTO = Method("fedproto", "FedProto (2105.00243): features of a class drawn to their mean over all clients",
                  begin=begin, local_loss=loss, given=given, exchange=exchange, answers=answers,
                  needs=("features", "everybody"), settings={"readout": "prototype"})
