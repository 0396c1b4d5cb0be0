"""Weights become their mean over clients after each round, by samples: FedAvg (McMahan et al. 2017, arXiv:1602.05629),
and what is FedAvg but for one thing.

    fedavg      within a level: networks of different levels have no mean, each level is a federation of its own
    fedprox     the same, with a proximal term in the local loss (Li et al. 2020, arXiv:1812.06127)
    fedavg_ft   the same; who predicts for its own labels trains the mean network once more, for `strength` passes over
                its own images, and keeps that for itself (Yu et al. 2020, arXiv:2002.04758): personality is read from
                the tuned network, consistency from the mean
    lg_fedavg   of the last layer alone, over all clients of all levels (Liang et al. 2020, arXiv:2001.01523)

The optimiser of what is averaged starts anew each round.
"""

from dataclasses import replace

from hfkd.engine import cohort as cohorts
from hfkd.engine.federation import dealt, practise
from hfkd.engine.method import Method
from hfkd.engine.state import images_of
from hfkd.engine.training import plain
from hfkd.methods import averaging
from hfkd.streams import stream


def begin(fed, config, seeds) -> None:
    """Everybody of a level starts from the same weights."""
    for cohort in fed.cohorts:
        averaging.same_start(fed, [cohort])


def exchange(fed, config, round) -> list:
    """w <- sum_i n_i w_i / sum_i n_i over the clients i of a level; every weight goes up and comes down once."""
    for cohort in fed.cohorts:
        averaging.average(fed, [cohort])
    return averaging.sized(fed)


def start(fed, config, cohort) -> tuple:
    """FedProx: the weights of the beginning of the round, and mu for every member."""
    return {name: w.clone() for name, w in cohort.weights.items()}, *averaging.strength(fed, config, cohort)


def near(module, weights, x, y, prior, start, mu):
    """CE + mu/2 |w - w0|^2."""
    apart = sum(((w - start[name]) ** 2).flatten(1).sum(1) for name, w in weights.items())
    return plain(module, weights, x, y, prior) + mu / 2 * apart


def tuned(fed, config, cohort, at):
    """(b, n, c) logits of copies of the mean networks after a tuning; the federation goes on with the means."""
    some, ids = cohorts.part(cohort, slice(None)), cohort.members.tolist()
    steps = [round(config.strength * -(-len(mine) // config.batch)) for mine in images_of(fed, ids)]
    streams = {i: stream(fed.seeds[i // fed.clients], f"fine-tuning {fed.round}", i % fed.clients) for i in ids}
    practise(fed, config, some, ids, dealt(fed, config, ids, streams, steps), steps)
    prior = fed.prior[ids] * (config.hard_loss == "balanced")
    return cohorts.logits(some, fed.images, at) + prior.unsqueeze(1)


def begin_head(fed, config, seeds) -> None:
    """Everybody starts with the same head."""
    averaging.same_start(fed, fed.cohorts, "head.")


def exchange_head(fed, config, round) -> list:
    """head <- sum_i n_i head_i / sum_i n_i over all clients: C (d + 1) numbers up, as many down."""
    averaging.average(fed, fed.cohorts, "head.")
    return averaging.sized(fed, "head.")


FEDAVG = Method("fedavg", "FedAvg (1602.05629): weights averaged within each level", begin=begin, exchange=exchange,
                needs=("presence",))
FEDPROX = replace(FEDAVG, name="fedprox", local_loss=near, given=start,
                  summary="FedProx (1812.06127): FedAvg within a level, held near the mean by mu/2 |w - w0|^2")
FEDAVG_FT = replace(FEDAVG, name="fedavg_ft", summary="FedAvg within each level, fine-tuned by each client",
                    answers=tuned, settings={"readout": "personal"})
LG_FEDAVG = Method("lg_fedavg", "LG-FedAvg (2001.01523): own body, one head averaged over all levels",
                   begin=begin_head, exchange=exchange_head, needs=("features", "everybody"))
