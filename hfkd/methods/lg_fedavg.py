"""LG-FedAvg: everybody keeps its own body, the head is averaged over all clients of all levels
(Liang et al. 2020, arXiv:2001.01523)."""

from hfkd.engine.method import Method
from hfkd.methods import averaging


def begin(fed, config, seeds) -> None:
    """Everybody starts with the same head."""
    averaging.same_start(fed, fed.cohorts, "head.")


def exchange(fed, config, round) -> list:
    """head <- sum_i n_i head_i / sum_i n_i over all clients: C (d + 1) numbers up, as many down."""
    averaging.average(fed, fed.cohorts, "head.")
    return averaging.sized(fed, "head.")


LG_FEDAVG = Method("lg_fedavg", "LG-FedAvg (2001.01523): own body, one head averaged over all levels", begin=begin,
                   exchange=exchange, needs=("features", "everybody"))
