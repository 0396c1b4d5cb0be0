"""FedTGP: as FedProto, but the server trains the prototypes, far from each other by an adaptive margin
(Zhang et al. 2024, arXiv:2401.03230).

The server's generator is an embedding per class, a hidden layer and a linear layer, as in the authors' code; ours is
trained with momentum on all prototypes at once, STEPS steps a round, instead of 100 epochs in batches of 10.
"""

from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F

from hfkd.methods import averaging, fedproto
from hfkd.streams import stream

STEPS, RATE, MOMENTUM, FARTHEST = 100, 0.01, 0.9, 100.0  # FARTHEST: the largest margin


def begin(fed, config, seeds) -> None:
    """A generator for every seed, from its own stream: normal embeddings, layers as torch's Linear draws them."""
    fedproto.begin(fed, config, seeds)
    classes, wide = fed.memory["prototypes"].shape[1:]
    rngs, bound = [stream(seed, "server") for seed in seeds], wide**-0.5
    drawn = {"table": [rng.standard_normal((classes, wide)) for rng in rngs]}
    for name, shape in {"w1": (wide, wide), "b1": (1, wide), "w2": (wide, wide), "b2": (1, wide)}.items():
        drawn[name] = [rng.uniform(-bound, bound, shape) for rng in rngs]
    fed.memory["generator"] = {name: torch.from_numpy(np.stack(each)).to(fed.prior) for name, each in drawn.items()}


def exchange(fed, config, round) -> list:
    """Clients send the prototypes of their classes; everybody gets one of every class from the trained generator."""
    own = averaging.class_means(fed)
    made = trained(fed.memory["generator"], own, (averaging.samples(fed) > 0).to(own))
    fed.memory.update(prototypes=made, known=torch.ones_like(fed.memory["known"]))
    return fedproto.sized(fed, made[0].numel())


def trained(generator, each, there):
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


FEDTGP = replace(fedproto.FEDPROTO, name="fedtgp", begin=begin, exchange=exchange,
                 summary="FedTGP (2401.03230): FedProto with prototypes that the server trains apart")
