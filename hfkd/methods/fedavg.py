"""FedAvg within a level: after each round the weights become their mean over the clients of the level, by samples
(McMahan et al. 2017, arXiv:1602.05629).

Networks of different levels have no mean: each level is a federation of its own. The optimiser starts anew each round.
"""

from hfkd import averaging
from hfkd.methods.local import LOSS, NEEDS, OWN, teach  # noqa: F401  plain loss, nobody speaks about public images

CHOSEN = {"plain": {"lr": 0.005}, "balanced": {"lr": 0.01}}
SUMMARY = "FedAvg (1602.05629): weights averaged within each level"


def begin(state, config, seeds) -> None:
    """Everybody of a level starts from the same weights."""
    for cohort in state.cohorts:
        averaging.same_start(state, [cohort], list(cohort.weights))


def exchange(state, config, round) -> None:
    """w <- sum_i n_i w_i / sum_i n_i over the clients i of a level; every weight goes up and comes down once."""
    for cohort in state.cohorts:
        averaging.average(state, [cohort], list(cohort.weights))
        averaging.count(state, config, cohort, averaging.size(cohort, cohort.weights))
