"""InclusiveFL: shallow networks are the first layers of deep ones; a layer is averaged over those who have it, and the
last layer of a shallow network also moves as the deeper layers of deeper ones do (Liu et al. 2022,
doi:10.1145/3534678.3539086). The baseline that the poster's authors name.

As in the authors' code the heads stay within a level. There the last hidden layer does too; here it is averaged over
all who have it, because our shallowest networks have no other. beta (0.2 in the paper) is `strength`.
"""

from hfkd.engine.method import Method
from hfkd.methods import averaging


def begin(fed, config, seeds) -> None:
    """Everybody starts with the same layers, as far as it has them."""
    for name in fed.cohorts[-1].weights:
        averaging.same_start(fed, _owners(fed, name), name)
    fed.memory["before"] = [averaging.first(fed, [cohort]) for cohort in fed.cohorts]


def exchange(fed, config, round) -> list:
    """w <- mean over its owners by samples; of every level but the deepest, the last hidden layer also moves:

        w <- w + beta (mean update of the deeper layers of the deepest level - mean update of this layer in its level),

    an update being what a level's own clients have learned in this round, on average.
    """
    pushes = [_push(fed, cohort, before) for cohort, before in zip(fed.cohorts[:-1], fed.memory["before"])]
    for name in fed.cohorts[-1].weights:
        for owners in [_owners(fed, name)] if name.startswith("body.") else [[c] for c in fed.cohorts]:
            averaging.average(fed, owners, name)
    for cohort, push in zip(fed.cohorts, pushes):
        for name, step in push.items():
            cohort.weights[name] += config.strength * step[averaging.seats(fed, cohort)]
    fed.memory["before"] = [averaging.first(fed, [cohort]) for cohort in fed.cohorts]
    return averaging.sized(fed)


def _push(fed, cohort, before):
    """name -> (z, ...) how much further the deeper layers have moved than the last hidden layer of this level."""
    deepest, start, found = fed.cohorts[-1], fed.memory["before"][-1], {}
    for name, deeper in _last(cohort, deepest).items():
        theirs = sum(_update(fed, deepest, n, start) for n in deeper) / len(deeper)
        found[name] = theirs - _update(fed, cohort, name, before)
    return found


def _update(fed, cohort, name, before):
    """(z, ...) mean change of a weight over the members of each seed, by samples."""
    return averaging.mean(fed, [cohort], [cohort.weights[name] - before[name][averaging.seats(fed, cohort)]])


def _owners(fed, name):
    """The cohorts whose networks have these weights."""
    return [cohort for cohort in fed.cohorts if name in cohort.weights]


def _last(cohort, deepest):
    """Weights of the last hidden layer of a network -> those of the same shape in the deeper layers of the deepest."""
    last, found = max(int(name.split(".")[1]) for name in averaging.named(cohort, "body.")), {}
    for name, own in averaging.named(cohort, f"body.{last}.").items():
        kind = name[name.rindex(".") :]
        found[name] = [n for n, w in deepest.weights.items()
                       if n not in cohort.weights and n.endswith(kind) and w.shape[1:] == own.shape[1:]]  # fmt: skip
    return found if all(found.values()) else {}  # the first layer sees images: no deeper layer has its shape


INCLUSIVEFL = Method("inclusivefl", "InclusiveFL (KDD 2022): shallow networks are the first layers of deep ones, with "
                     "momentum from deeper layers", begin=begin, exchange=exchange, needs=("depths", "everybody"))
