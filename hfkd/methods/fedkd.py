"""FedKD: as FML a mentor of one's own and a small shared mentee, but the less the two know the less they listen, and
the mentee's updates travel as truncated singular value decompositions (Wu et al. 2022, arXiv:2108.13323).

`strength` multiplies the soft loss (1 in the paper). The paper's loss on hidden layers is left out: levels share only
the last one. Targets and the denominator get no gradient.
"""

import torch

from hfkd.engine.method import Method
from hfkd.losses import hard_loss, soft_loss
from hfkd.methods import averaging, fml

FLOOR = 0.1  # nats
ENERGY = (0.95, 0.98)  # share of the squared singular values that is kept: before the first round, and in the last


def begin(fed, config, seeds) -> None:
    """As FML; the server remembers the mentee of every seed."""
    fml.begin(fed, config, seeds)
    fed.memory["mentee"] = averaging.first(fed, fed.cohorts, "second.")


def loss(module, weights, x, y, prior, strength):
    """CE(own) + KL(mentee || own)/(CE(own) + CE(mentee)), and the same with the roles exchanged, added up.

    The denominator is at least FLOOR (ours): where a client has one class both losses vanish, and training diverged.
    """
    own, mentee = fml.both(module, weights, x)
    hard = hard_loss(own, y, prior) + hard_loss(mentee, y, prior)
    soft = soft_loss(own, mentee.softmax(-1)) + soft_loss(mentee, own.softmax(-1))
    return hard + strength * soft / hard.detach().clamp_min(FLOOR)


def exchange(fed, config, round) -> list:
    """mentee <- mentee + S(mean_i S(w_i - mentee)), the mean by samples, S the truncated decomposition, both ways."""
    energy = ENERGY[0] + (ENERGY[1] - ENERGY[0]) * round / config.rounds
    mentee, up, down = fed.memory["mentee"], [], []
    seats = [averaging.seats(fed, cohort) for cohort in fed.cohorts]
    for name, w in mentee.items():
        sent = [compressed(cohort.weights[name] - w[at], energy) for cohort, at in zip(fed.cohorts, seats)]
        updates, numbers = zip(*sent)
        step, back = compressed(averaging.mean(fed, fed.cohorts, updates), energy)
        mentee[name] = w + step
        up.append(numbers)
        down.append(back)
    for cohort in fed.cohorts:
        averaging.take(fed, cohort, mentee)
    return [(cohort, sum(own), sum(down)[at]) for cohort, own, at in zip(fed.cohorts, zip(*up), seats)]


def compressed(update, energy):
    """The update with as few singular values as hold that share of their squares, and the numbers that it takes.

    K singular values of an (m, n) matrix are K (m + n + 1) numbers, or the m n of the matrix where that is less;
    kernels are matrices of a row per output channel; what is no matrix travels whole. update: (b, ...).

    >>> kept, numbers = compressed(torch.diag(torch.tensor([3.0, 1.0]))[None], 0.9)  # 9 of 10
    >>> kept[0].diag().round().tolist(), numbers.tolist()  # 1 (2 + 2 + 1) > 2 * 2
    ([3.0, 0.0], [4])
    """
    whole = torch.full((len(update),), update[0].numel())
    if update.dim() < 3:
        return update, whole
    left, values, right = torch.linalg.svd(update.flatten(2), full_matrices=False)
    squares = values.double() ** 2
    before = squares.cumsum(-1) - squares
    keep = before < energy * squares.sum(-1, keepdim=True)  # those before hold less than enough
    rank = keep.sum(-1).cpu()
    short = (left * (values * keep).unsqueeze(-2)) @ right
    return short.reshape(update.shape), torch.minimum(rank * (left.shape[-2] + right.shape[-1] + 1), whole)


FEDKD = Method("fedkd", "FedKD (2108.13323): mentor and shared mentee, adaptive soft loss, compressed updates",
               begin=begin, local_loss=loss, given=averaging.strength, exchange=exchange, networks=2,
               needs=("everybody",))
