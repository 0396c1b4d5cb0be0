"""HeteroFL: narrow networks are the first units of wide ones; every weight is averaged over those who have it
(Diao et al. 2021, arXiv:2010.01264).

Left out of the paper: the scaler, the static batch norm (there is no batch norm here), and the masked loss.
"""

import torch

from hfkd.engine.method import Method
from hfkd.methods import averaging


def begin(fed, config, seeds) -> None:
    """Everybody starts from its part of the first weights of one client of the widest level."""
    _hand_out(fed, averaging.first(fed, fed.cohorts[-1:]))


def exchange(fed, config, round) -> list:
    """w[k] <- mean of w_i[k] over the clients i whose network has entry k, all alike."""
    whole = {}
    for name, widest in fed.cohorts[-1].weights.items():
        total, count = torch.zeros(2, fed.seeds, *widest.shape[1:], dtype=torch.float64, device=widest.device)
        for cohort in fed.cohorts:
            for z in range(fed.seeds):
                own = cohort.weights[name][averaging.seats(fed, cohort) == z].double()
                total[z][_part(own)] += own.sum(0)
                count[z][_part(own)] += len(own)
        whole[name] = (total / count).to(widest.dtype)
    _hand_out(fed, whole)
    return averaging.sized(fed)


def _hand_out(fed, whole):
    """Every client takes its part of the widest network of its seed, name -> (z, ...)."""
    for cohort in fed.cohorts:
        fresh = {name: whole[name][:, *_part(w)] for name, w in cohort.weights.items()}
        averaging.take(fed, cohort, fresh)


def _part(weights):
    """The first entries along every axis: where (b, ...) weights lie in those of the widest network."""
    return tuple(slice(length) for length in weights.shape[1:])


HETEROFL = Method("heterofl", "HeteroFL (2010.01264): narrow networks are parts of wide ones, overlaps are averaged",
                  begin=begin, exchange=exchange, needs=("widths", "everybody"),
                  tuned={"plain": {"lr": 0.03}, "balanced": {"lr": 0.05}})  # fmt: skip
