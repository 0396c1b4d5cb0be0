"""Class means travel: of every class that a client has, the mean over its training images of a soft output or of
features, its prototype (`averaging.class_means`).

    FD        Jeong et al. 2018, arXiv:1811.11479   means of soft outputs, targets for the images of others
    FedProto  Tan et al. 2022, arXiv:2105.00243     prototypes; features of a class are drawn to their mean
    FedTGP    Zhang et al. 2024, arXiv:2401.03230   the same with prototypes that the server trains apart
    FedGH     Yi et al. 2023, arXiv:2303.13137      the server trains one head on the prototypes

All need everybody in every round and, but for FD, features of one size.
"""

from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F

from hfkd.engine import cohort as cohorts
from hfkd.engine.layers import seen
from hfkd.engine.method import Method
from hfkd.losses import hard_loss, soft_loss
from hfkd.methods import averaging, fedavg
from hfkd.streams import stream

FAR = 1e6  # squared distance to a class that nobody has a prototype of
STEPS, RATE, MOMENTUM, FARTHEST = 100, 0.01, 0.9, 100.0  # FARTHEST: the largest margin
HEAD_STEPS = 10

# FD: without public images.


def begin_fd(fed, config, seeds) -> None:
    """Nobody has heard anything: a target of zeros has no loss and no gradient."""
    fed.memory["targets"] = torch.zeros(len(fed.prior), *[fed.prior.shape[-1]] * 2, device=fed.images.device)


def given_fd(fed, config, cohort) -> tuple:
    """Targets (b, y, c), and the weight of the term (b,)."""
    return fed.memory["targets"][cohort.members], *averaging.strength(fed, config, cohort)


def loss_fd(module, weights, x, y, prior, targets, weight):
    """CE + lambda mean_x KL(q_y || p(x)), q_y the mean soft output of the other owners of class y."""
    logits = seen(module, weights, x)[1]
    return hard_loss(logits, y, prior) + weight * soft_loss(logits, torch.take_along_dim(targets, y.unsqueeze(-1), 1))


def exchange_fd(fed, config, round) -> list:
    """q_i(y) = mean over the other owners j of class y of their mean softmax on images of y."""
    own = averaging.class_means(fed, lambda *given: cohorts.logits(*given).softmax(-1))
    has = averaging.samples(fed) > 0
    others = has.sum(1, keepdim=True) - has.long()
    sums = torch.stack([p.sum(0, keepdim=True) - p for p in own.double()])  # without an owner the mean is 0
    targets = sums / others.clamp_min(1).unsqueeze(-1).to(own.device)
    fed.memory["targets"] = targets.to(own).flatten(0, 1)
    up, down = (own.shape[-1] * classes.sum(2).flatten() for classes in (has, has & (others > 0)))
    return [(cohort, up[cohort.members], down[cohort.members]) for cohort in fed.cohorts]


FD = Method("fd", "FD (1811.11479): class means of soft outputs as targets for one's own images", begin=begin_fd,
            local_loss=loss_fd, given=given_fd, exchange=exchange_fd, needs=("everybody",))


# FedProto: predicts by the nearest prototype, as published; `readout = plain` scores the same networks by their heads.


def begin_fedproto(fed, config, seeds) -> None:
    """No class has a prototype."""
    classes, wide = fed.cohorts[0].weights["head.weight"].shape[1:]
    blank = torch.zeros(len(seeds), classes, wide, device=fed.images.device)
    fed.memory.update(prototypes=blank, known=blank[..., 0])


def given_fedproto(fed, config, cohort) -> tuple:
    """Prototypes (b, c, d), whether there is one (b, c), and the weight of the term (b,)."""
    at = averaging.seats(fed, cohort)
    return fed.memory["prototypes"][at], fed.memory["known"][at], *averaging.strength(fed, config, cohort)


def loss_fedproto(module, weights, x, y, prior, prototypes, known, weight):
    """CE + lambda mean over samples and features of (h(x) - P_y)^2."""
    features, logits = seen(module, weights, x)
    apart = ((features - torch.take_along_dim(prototypes, y.unsqueeze(-1), 1)) ** 2).mean(-1)
    return hard_loss(logits, y, prior) + weight * (known.gather(1, y) * apart).mean(-1)


def exchange_fedproto(fed, config, round) -> list:
    """P_c = sum_i n_i(c) P_i(c) / sum_i n_i(c): d numbers up for each class a client has, down for each there is."""
    own, counts = averaging.class_means(fed), averaging.samples(fed)
    pairs = zip(counts.unsqueeze(-1).to(own.device), own.double())
    merged = torch.stack([(n * each).sum(0) / n.sum(0).clamp_min(1) for n, each in pairs])
    known = counts.sum(1) > 0
    fed.memory.update(prototypes=merged.to(own), known=known.to(own))
    return sized(fed, known.sum(1) * own.shape[-1])


def sized(fed, down) -> list:
    """What an exchange returns: d numbers up for every class that a client has, and down, one number or (z,), back."""
    up = (averaging.samples(fed) > 0).sum(2).flatten() * fed.cohorts[0].weights["head.weight"].shape[-1]
    down = torch.as_tensor(down).expand(len(fed.seeds))
    return [(cohort, up[cohort.members], down[averaging.seats(fed, cohort)]) for cohort in fed.cohorts]


def answers_fedproto(fed, config, cohort, at):
    """(b, n, c) -|h(x) - P_c|^2: the nearest prototype wins."""
    prototypes, known, _ = given_fedproto(fed, config, cohort)
    apart = torch.cdist(cohorts.features(cohort, fed.images, at), prototypes) ** 2
    return -torch.where(known.unsqueeze(1) > 0, apart, FAR)


FEDPROTO = Method("fedproto", "FedProto (2105.00243): features of a class drawn to their mean over all clients",
                  begin=begin_fedproto, local_loss=loss_fedproto, given=given_fedproto, exchange=exchange_fedproto,
                  answers=answers_fedproto, needs=("features", "everybody"), settings={"readout": "prototype"})


# FedTGP: the server's generator is an embedding per class, a hidden layer and a linear layer, as in the authors' code;
# ours is trained with momentum on all prototypes at once, STEPS steps a round, instead of 100 epochs in batches of 10.


def begin_fedtgp(fed, config, seeds) -> None:
    """A generator for every seed, from its own stream: normal embeddings, layers as torch's Linear draws them."""
    begin_fedproto(fed, config, seeds)
    classes, wide = fed.memory["prototypes"].shape[1:]
    rngs, bound = [stream(seed, "server") for seed in seeds], wide**-0.5
    drawn = {"table": [rng.standard_normal((classes, wide)) for rng in rngs]}
    for name, shape in {"w1": (wide, wide), "b1": (1, wide), "w2": (wide, wide), "b2": (1, wide)}.items():
        drawn[name] = [rng.uniform(-bound, bound, shape) for rng in rngs]
    fed.memory["generator"] = {name: torch.from_numpy(np.stack(each)).to(fed.prior) for name, each in drawn.items()}


def exchange_fedtgp(fed, config, round) -> list:
    """Clients send the prototypes of their classes; everybody gets one of every class from the trained generator."""
    own = averaging.class_means(fed)
    made = trained_generator(fed.memory["generator"], own, (averaging.samples(fed) > 0).to(own))
    fed.memory.update(prototypes=made, known=torch.ones_like(fed.memory["known"]))
    return sized(fed, made[0].numel())


def trained_generator(generator, each, there):
    """(z, c, d): what the generator, name -> (z, ...), makes after it was trained in place on the clients' prototypes
    each (z, N, c, d), those that are there (z, N, c), 1 or 0; m from `margins`.

        L = mean over (i, c) of -log( exp(-d_c - m) / (exp(-d_c - m) + sum_{k != c} exp(-d_k)) ),  d_k = |P_i(c) - G_k|
    """
    margin = margins(each, there)
    eye = torch.eye(each.shape[2], dtype=torch.bool, device=each.device)
    weights = [w.requires_grad_() for w in generator.values()]
    sgd = torch.optim.SGD(weights, lr=RATE, momentum=MOMENTUM)
    for _ in range(STEPS):
        apart = torch.cdist(each.flatten(1, 2), _made(generator)).reshape(*each.shape[:3], -1)
        scores = -torch.where(eye, apart + margin[:, None, None, None], apart)
        error = -F.log_softmax(scores, dim=-1).diagonal(dim1=2, dim2=3)
        sgd.zero_grad()
        ((error * there).sum((1, 2)) / there.sum((1, 2))).sum().backward()
        sgd.step()
    for w in weights:
        w.requires_grad_(False)
    return _made(generator)


def margins(each, there):
    """(z,) the largest distance from a class mean of the clients' prototypes to the nearest other, at most FARTHEST; 0
    where there is no other (authors' code).
    """
    sums, size = (each * there.unsqueeze(-1)).sum(1), there.sum(1)
    means = sums / size.clamp_min(1).unsqueeze(-1)
    both = (size > 0).unsqueeze(1) & (size > 0).unsqueeze(2)
    both &= ~torch.eye(both.shape[1], dtype=torch.bool, device=both.device)
    nearest = torch.where(both, torch.cdist(means, means), torch.inf).amin(2)
    return torch.where(nearest.isfinite(), nearest, 0.0).amax(1).clamp_max(FARTHEST)


def _made(generator):
    """(z, c, d) the prototypes of the generator: linear(relu(linear(embedding)))."""
    hidden = torch.relu(torch.baddbmm(generator["b1"], generator["table"], generator["w1"]))
    return torch.baddbmm(generator["b2"], hidden, generator["w2"])


FEDTGP = replace(FEDPROTO, name="fedtgp", begin=begin_fedtgp, exchange=exchange_fedtgp,
                 summary="FedTGP (2401.03230): FedProto with prototypes that the server trains apart")


# FedGH: the server's learning rate is `strength`; it takes HEAD_STEPS steps a round on all prototypes at once, instead
# of one pass over them in batches.


def begin_fedgh(fed, config, seeds) -> None:
    """Everybody, the server included, starts with the same head."""
    fedavg.begin_head(fed, config, seeds)
    fed.memory["head"] = averaging.first(fed, fed.cohorts, "head.")


def exchange_fedgh(fed, config, round) -> list:
    """Prototypes of the clients' classes go up, the trained head comes down."""
    head, own = fed.memory["head"], averaging.class_means(fed)
    has = (averaging.samples(fed) > 0).to(own)
    made = [trained_head(*each, config.strength) for each in zip(head["head.weight"], head["head.bias"], own, has)]
    head["head.weight"], head["head.bias"] = map(torch.stack, zip(*made))
    for cohort in fed.cohorts:
        averaging.take(fed, cohort, head)
    return sized(fed, sum(w[0].numel() for w in head.values()))


def trained_head(weight, bias, own, has, rate):
    """Weight (c, d) and bias (c,) after HEAD_STEPS steps of gradient descent on the mean cross-entropy of the clients'
    prototypes own (N, c, d); has: (N, c) 1 where a client has the class.

    >>> own, has = torch.eye(2)[None], torch.ones(1, 2)
    >>> weight, _ = trained_head(torch.zeros(2, 2), torch.zeros(2), own, has, 1.0)
    >>> (own @ weight.T).argmax(-1).tolist()
    [[0, 1]]
    """
    wanted, share = torch.eye(has.shape[1], device=own.device), (has / has.sum()).unsqueeze(-1)
    for _ in range(HEAD_STEPS):
        error = share * (F.softmax(own @ weight.T + bias, dim=-1) - wanted)  # of (i, y), the gradient by the logits
        weight = weight - rate * torch.einsum("iyc,iyd->cd", error, own)
        bias = bias - rate * error.sum((0, 1))
    return weight, bias


FEDGH = Method("fedgh", "FedGH (2303.13137): one head, trained by the server on class means of features",
               begin=begin_fedgh, exchange=exchange_fedgh, needs=("features", "everybody"))
