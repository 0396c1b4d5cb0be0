"""HeteroFL: narrow networks are the first units of wide ones; every weight is averaged over those who have it
(Diao et al. 2021, arXiv:2010.01264).

Left out of the paper: the scaler, the static batch norm (there is no batch norm here), and the masked loss.
"""

import torch

from hfkd.engine.method import Method
from hfkd.methods import averaging


def begin(fed, config, seeds) -> None:
    """Everybody starts from its part of the first weights of one client of the widest level."""
    widest = fed.cohorts[-1]
    averaging.same_start(fed, [widest], list(widest.weights))
    first = averaging.of_one(fed, widest, widest.weights)
    for z in range(len(seeds)):
        _hand_out(fed, z, {name: w[z] for name, w in first.items()})


def exchange(fed, config, round) -> list:
    """w[k] <- mean of w_i[k] over the clients i whose network has entry k, all alike."""
    for z in range(fed.seeds):
        whole = {}
        for name, widest in fed.cohorts[-1].weights.items():
            total, count = torch.zeros(2, *widest.shape[1:], dtype=torch.float64, device=widest.device)
            for cohort in fed.cohorts:
                own = cohort.weights[name][averaging.inside(fed, cohort, z)].double()
                total[_part(own)] += own.sum(0)
                count[_part(own)] += len(own)
            whole[name] = (total / count).to(widest.dtype)
        _hand_out(fed, z, whole)
    return averaging.sized(fed, lambda cohort: cohort.weights)


def _hand_out(fed, z, whole):
    """Every client of a seed takes its part of the widest network."""
    for cohort in fed.cohorts:
        fresh = {name: whole[name][_part(w)] for name, w in cohort.weights.items()}
        averaging.take(cohort, averaging.inside(fed, cohort, z), fresh)


def _part(weights):
    """The first entries along every axis: where (b, ...) weights lie in those of the widest network."""
    return tuple(slice(length) for length in weights.shape[1:])


HETEROFL = Method(
    "heterofl", "HeteroFL (2010.01264): narrow networks are parts of wide ones, averaged where they overlap",
    begin=begin, exchange=exchange, needs=("widths", "everybody"),
    tuned={"plain": {"lr": 0.03}, "balanced": {"lr": 0.05}},
)  # fmt: skip
