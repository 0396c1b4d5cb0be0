"""FedRoD within a level: a body and a head that are averaged, trained with the balanced softmax, and beside them a
head of one's own, trained with the plain loss on what is left (Chen and Chao 2022, arXiv:2107.00778).

Consistency is read from the averaged network, personality from the sum of both heads as a client leaves its own round.
"""

import copy

import torch

from hfkd.engine import cohort as cohorts
from hfkd.engine.layers import forward, inside, seen
from hfkd.engine.method import Method
from hfkd.losses import hard_loss
from hfkd.methods import averaging, fedavg

SHARED = ("body.", "head.")


def begin(fed, config, seeds) -> None:
    """As FedAvg; every client's own head starts at zero, so that it first says what the shared one says."""
    fedavg.begin(fed, config, seeds)
    for cohort in fed.cohorts:
        blank = {name: torch.zeros_like(w) for name, w in inside(cohort.weights, "head").items()}
        averaging.beside(cohort, copy.deepcopy(cohort.module.head), blank)


def both(module, weights, features, logits):
    """(b, n, c) the sum of the heads, of which the shared one and the body get no gradient."""
    return logits.detach() + forward(module.second, inside(weights, "second"), features.detach())


def loss(module, weights, x, y, prior):
    """CE(f(x) + log prior, y) + CE(f(x) + g(h(x)), y): g learns what the prior-free word lacks."""
    features, logits = seen(module, weights, x)
    return hard_loss(logits, y, prior) + hard_loss(both(module, weights, features, logits), y, torch.zeros_like(prior))


def exchange(fed, config, round) -> list:
    """Everything but one's own head is averaged over the level, by samples; every client keeps what it had before."""
    fed.memory["mine"] = {cohort.level: cohorts.part(cohort, slice(None)) for cohort in fed.cohorts}
    for cohort in fed.cohorts:
        averaging.average(fed, [cohort], SHARED)
    return averaging.sized(fed, SHARED)


def answers(fed, config, cohort, at):
    """(b, n, c) the sum of both heads."""
    mine = fed.memory["mine"][cohort.level]
    features = cohorts.features(mine, fed.images, at)
    logits = forward(mine.module.head, inside(mine.weights, "head"), features)
    return both(mine.module, mine.weights, features, logits)


FEDROD = Method("fedrod", "FedRoD (2107.00778): FedAvg with the balanced loss in each level, and a head of one's own",
                loss="balanced", begin=begin, local_loss=loss, exchange=exchange, answers=answers,
                needs=("presence",), settings={"readout": "personal"})
