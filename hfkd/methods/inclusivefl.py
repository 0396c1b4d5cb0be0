"""InclusiveFL: shallow networks are the first layers of deep ones; a layer is averaged over those who have it, and the
last layer of a shallow network also moves as the deeper layers of deeper ones do (Liu et al. 2022,
doi:10.1145/3534678.3539086). The baseline that the poster's authors name.

As in the authors' code the heads stay within a level. beta (0.2 in the paper) is `strength`.
"""

import re

from hfkd import averaging
from hfkd.methods.local import LOSS, OWN, teach  # noqa: F401

CHOSEN = {"plain": {"strength": 0.2}, "balanced": {"strength": 0.2}}
NEEDS = ("depths",)
SUMMARY = "InclusiveFL (KDD 2022): shallow networks are the first layers of deep ones, with momentum from deeper layers"


def begin(state, config, seeds) -> None:
    """Everybody starts with the same layers, as far as it has them."""
    for name in state.cohorts[-1].weights:
        averaging.same_start(state, _owners(state, name), [name])
    state.memory["before"] = [{n: w.clone() for n, w in cohort.weights.items()} for cohort in state.cohorts]


def exchange(state, config, round) -> None:
    """w <- mean over its owners by samples; then of every level but the deepest, for its last hidden layer,

        w <- w + beta (mean of the updates of the deeper layers - its own update).
    """
    for name in state.cohorts[-1].weights:
        for owners in [_owners(state, name)] if name.startswith("body.") else [[c] for c in state.cohorts]:
            averaging.average(state, owners, [name])
    now = [{n: w.clone() for n, w in cohort.weights.items()} for cohort in state.cohorts]
    update = {n: now[-1][n] - before for n, before in state.memory["before"][-1].items()}
    deepest = averaging.seats(state, state.cohorts[-1])
    for cohort, mine, before in list(zip(state.cohorts, now, state.memory["before"]))[:-1]:
        for z in range(len(state.splits)):
            rows, row = averaging.seats(state, cohort) == z, (deepest == z).nonzero()[0, 0]
            for name, deeper in _last(cohort, state.cohorts[-1]).items():
                own = mine[name][rows][0] - before[name][rows][0]
                push = sum(update[n][row] for n in deeper) / len(deeper) - own
                cohort.weights[name][rows] += config.strength * push
    state.memory["before"] = [{n: w.clone() for n, w in cohort.weights.items()} for cohort in state.cohorts]
    for cohort in state.cohorts:
        averaging.count(state, config, cohort, averaging.size(cohort, cohort.weights))


def _owners(state, name):
    """The cohorts whose networks have these weights."""
    return [cohort for cohort in state.cohorts if name in cohort.weights]


def _last(cohort, deepest):
    """Weights of the last hidden layer of a network -> those of the same shape in the deeper layers of the deepest."""
    numbers = [int(re.match(r"body\.(\d+)", name)[1]) for name in cohort.weights if name.startswith("body.")]
    found = {}
    for name in (n for n in cohort.weights if n.startswith(f"body.{max(numbers)}.")):
        kind, shape = name.rpartition(".")[2], cohort.weights[name].shape[1:]
        found[name] = [n for n, w in deepest.weights.items() if n not in cohort.weights and n.endswith(f".{kind}")
                       and w.shape[1:] == shape]  # fmt: skip
    return found if all(found.values()) else {}  # the first layer sees images: no deeper layer has its shape
