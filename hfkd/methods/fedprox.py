"""FedProx within a level: FedAvg with a proximal term in the local loss (Li et al. 2020, arXiv:1812.06127)."""

from dataclasses import replace

from hfkd.engine.training import plain
from hfkd.methods import averaging
from hfkd.methods.fedavg import FEDAVG


def given(fed, config, cohort) -> tuple:
    """The weights of the beginning of the round, and mu for every member."""
    return {name: w.clone() for name, w in cohort.weights.items()}, *averaging.strength(fed, config, cohort)


def loss(module, weights, x, y, prior, start, mu):
    """CE + mu/2 |w - w0|^2."""
    apart = sum(((w - start[name]) ** 2).flatten(1).sum(1) for name, w in weights.items())
    return plain(module, weights, x, y, prior) + mu / 2 * apart


FEDPROX = replace(FEDAVG, name="fedprox", local_loss=loss, given=given,
                  summary="FedProx (1812.06127): FedAvg within a level, held near the mean by mu/2 |w - w0|^2")
