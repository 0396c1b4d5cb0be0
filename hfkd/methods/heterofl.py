"""HeteroFL: narrow networks are the first units of wide ones; every weight is averaged over those who have it
(Diao et al. 2021, arXiv:2010.01264).

With the plain loss as published: the loss is masked (logits of classes that a client does not have count as 0), and a
row of the head is averaged over the owners of its class. The balanced loss needs neither, for it has the prior instead.
Left out of the paper: the scaler, and the static batch norm (there is no batch norm here).
"""

import torch

from hfkd.engine.layers import seen
from hfkd.engine.method import Method
from hfkd.losses import hard_loss
from hfkd.methods import averaging


def begin(fed, config, seeds) -> None:
    """Everybody starts from its part of the first weights of one client of the widest level."""
    _hand_out(fed, averaging.first(fed, fed.cohorts[-1:]))


def given(fed, config, cohort) -> tuple:
    """(b, c) 1 for the classes that count, 0 for those whose logits are masked."""
    return (_classes(fed, config).flatten(0, 1)[cohort.members].to(fed.prior),)


def loss(module, weights, x, y, prior, classes):
    """CE of the logits, masked."""
    return hard_loss(seen(module, weights, x)[1] * classes.unsqueeze(1), y, prior)


def exchange(fed, config, round) -> list:
    """w[k] <- mean of w_i[k] over the clients i whose network has entry k, all alike; what nobody has stays."""
    whole, classes = {}, _classes(fed, config)
    for name, widest in fed.cohorts[-1].weights.items():
        total, count = torch.zeros(2, len(fed.seeds), *widest.shape[1:], dtype=torch.float64, device=widest.device)
        for cohort in fed.cohorts:
            seats, there = averaging.seats(fed, cohort), averaging.present(fed, cohort)
            for z in range(len(fed.seeds)):
                mine = (seats == z) & there
                own = cohort.weights[name][mine].double()
                say = torch.ones_like(own)
                if name.startswith("head."):
                    held = classes.flatten(0, 1)[cohort.members[mine]].to(own)
                    say = say * held.reshape(*held.shape, *[1] * (own.dim() - 2))
                total[z][_part(own)] += (own * say).sum(0)
                count[z][_part(own)] += say.sum(0)
        before = averaging.first(fed, fed.cohorts[-1:], name)[name]
        whole[name] = torch.where(count > 0, total / count.clamp_min(1), before.double()).to(widest.dtype)
    _hand_out(fed, whole)
    return averaging.sized(fed)


def _classes(fed, config):
    """(z, i, c) bool: the classes of each client as released; all with the balanced loss, or if none was released."""
    counts = torch.as_tensor(fed.counts)
    return (counts > 0) | (counts.sum(-1, keepdim=True) == 0) | (config.hard_loss == "balanced")


def _hand_out(fed, whole):
    """Every client takes its part of the widest network of its seed, name -> (z, ...)."""
    for cohort in fed.cohorts:
        fresh = {name: whole[name][:, *_part(w)] for name, w in cohort.weights.items()}
        averaging.take(fed, cohort, fresh)


def _part(weights):
    """The first entries along every axis: where (b, ...) weights lie in those of the widest network."""
    return tuple(slice(length) for length in weights.shape[1:])


HETEROFL = Method("heterofl", "HeteroFL (2010.01264): narrow networks are parts of wide ones, overlaps are averaged",
                  begin=begin, local_loss=loss, given=given, exchange=exchange, needs=("widths", "presence"))
