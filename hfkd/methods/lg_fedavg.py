"""LG-FedAvg: everybody keeps its own body, the head is averaged over all clients of all levels
(Liang et al. 2020, arXiv:2001.01523)."""

from hfkd import averaging
from hfkd.methods.local import LOSS, OWN, teach  # noqa: F401

CHOSEN = {"plain": {"lr": 0.01}, "balanced": {"lr": 0.01}}
NEEDS = ("features",)
SUMMARY = "LG-FedAvg (2001.01523): own body, one head averaged over all levels"


def begin(state, config, seeds) -> None:
    """Everybody starts with the same head."""
    averaging.same_start(state, state.cohorts, averaging.head(state.cohorts[0]))


def exchange(state, config, round) -> None:
    """head <- sum_i n_i head_i / sum_i n_i over all clients: C (d + 1) numbers up, as many down."""
    names = averaging.head(state.cohorts[0])
    averaging.average(state, state.cohorts, names)
    for cohort in state.cohorts:
        averaging.count(state, config, cohort, averaging.size(cohort, names))
