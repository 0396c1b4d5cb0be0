"""FedAvg within a level: after each round the weights become their mean over the clients of the level, by samples
(McMahan et al. 2017, arXiv:1602.05629).

Networks of different levels have no mean: each level is a federation of its own. The optimiser starts anew each round.
"""

from hfkd.engine.method import Method
from hfkd.methods import averaging


def begin(fed, config, seeds) -> None:
    """Everybody of a level starts from the same weights."""
    for cohort in fed.cohorts:
        averaging.same_start(fed, [cohort])


def exchange(fed, config, round) -> list:
    """w <- sum_i n_i w_i / sum_i n_i over the clients i of a level; every weight goes up and comes down once."""
    for cohort in fed.cohorts:
        averaging.average(fed, [cohort])
    return averaging.sized(fed)


FEDAVG = Method("fedavg", "FedAvg (1602.05629): weights averaged within each level", begin=begin, exchange=exchange,
                needs=("presence",))
