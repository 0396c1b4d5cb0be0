"""A small network travels: every client trains it beside its own, the two teach each other on the client's images, and
only the small one, of level 1 and the same for all, is averaged.

    FML    Shen et al. 2020, arXiv:2006.16765   its plain mean
    FedKD  Wu et al. 2022, arXiv:2108.13323     its updates, as truncated singular value decompositions
"""

import torch

from hfkd.engine import networks
from hfkd.engine.layers import inside, seen
from hfkd.engine.method import Method
from hfkd.losses import distillation_loss, hard_loss, soft_loss
from hfkd.methods import averaging
from hfkd.streams import stream

FLOOR = 0.1  # nats
ENERGY = (0.95, 0.98)  # share of the squared singular values that is kept: before the first round, in the last

# FML: the paper's weight .5 of the soft loss, for both networks, is `strength`.


def begin_fml(fed, config, seeds) -> None:
    """A small network of the same first weights for every client of a seed."""
    small = networks.build(config.levels, 1, tuple(fed.images.shape[1:]), fed.prior.shape[-1])
    drawn = [networks.initial(small, stream(seed, "server")) for seed in seeds]
    first = {name: torch.stack([w[name] for w in drawn]).to(fed.prior) for name in drawn[0]}
    for cohort in fed.cohorts:
        averaging.beside(cohort, small, {name: w[averaging.seats(fed, cohort)] for name, w in first.items()})


def both(module, weights, x):
    """(b, n, c) logits of one's own network, and of the small one."""
    return seen(module, weights, x)[1], seen(module.second, inside(weights, "second"), x)[1]


def loss_fml(module, weights, x, y, prior, a):
    """(1-a) CE(own) + a KL(small || own) + (1-a) CE(small) + a KL(own || small); who teaches gets no gradient."""
    own, small = both(module, weights, x)
    return sum(distillation_loss(hard_loss(learner, y, prior), soft_loss(learner, teacher.softmax(-1)), a)
               for learner, teacher in ((own, small), (small, own)))  # fmt: skip


def exchange_fml(fed, config, round) -> list:
    """The small network becomes its mean over all clients of all levels, by samples."""
    averaging.average(fed, fed.cohorts, "second.")
    return averaging.sized(fed, "second.")


FML = Method("fml", "FML (2006.16765): a small shared network beside one's own, each teaches the other",
             begin=begin_fml, local_loss=loss_fml, given=averaging.strength, exchange=exchange_fml, networks=2,
             needs=("everybody",))


# FedKD: a mentor of one's own and a shared mentee; the less the two know the less they listen. `strength` multiplies
# the soft loss (1 in the paper). The paper's loss on hidden layers is left out: levels share only the last one. Targets
# and the denominator get no gradient. In round r of R a share .95 + .03 r/R of the squares is kept.


def begin_fedkd(fed, config, seeds) -> None:
    """As FML; the server remembers the mentee of every seed."""
    begin_fml(fed, config, seeds)
    fed.memory["mentee"] = averaging.first(fed, fed.cohorts, "second.")


def loss_fedkd(module, weights, x, y, prior, strength):
    """CE(own) + KL(mentee || own)/(CE(own) + CE(mentee)), and the same with the roles exchanged, added up.

    The denominator is at least FLOOR (ours): where a client has one class both losses vanish, and training diverged.
    """
    own, mentee = both(module, weights, x)
    hard = hard_loss(own, y, prior) + hard_loss(mentee, y, prior)
    soft = soft_loss(own, mentee.softmax(-1)) + soft_loss(mentee, own.softmax(-1))
    return hard + strength * soft / hard.detach().clamp_min(FLOOR)


def exchange_fedkd(fed, config, round) -> list:
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
               begin=begin_fedkd, local_loss=loss_fedkd, given=averaging.strength, exchange=exchange_fedkd, networks=2,
               needs=("everybody",))
