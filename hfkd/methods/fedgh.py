"""FedGH: the server trains one head on the clients' prototypes and hands it to everybody
(Yi et al. 2023, arXiv:2303.13137).

The server's learning rate is `strength`; it takes STEPS steps a round on all prototypes at once, instead of one pass
over them in batches.
"""

import torch
import torch.nn.functional as F

from hfkd.engine.method import Method
from hfkd.methods import averaging, fedproto, lg_fedavg

STEPS = 10


def begin(fed, config, seeds) -> None:
    """Everybody, the server included, starts with the same head."""
    lg_fedavg.begin(fed, config, seeds)
    first = averaging.of_one(fed, fed.cohorts[0], ["head.weight", "head.bias"])
    fed.memory["heads"] = list(zip(*first.values()))


def exchange(fed, config, round) -> list:
    """Prototypes of the clients' classes go up, the trained head comes down."""
    own = averaging.prototypes(fed)
    has = (averaging.samples(fed) > 0).to(own)
    first = fed.cohorts[0]
    down = averaging.size(first, averaging.head(first))
    for z in range(fed.seeds):
        mine = slice(z * fed.clients, (z + 1) * fed.clients)
        fed.memory["heads"][z] = trained(*fed.memory["heads"][z], own[mine], has[mine], config.strength)
        for cohort in fed.cohorts:
            fresh = dict(zip(("head.weight", "head.bias"), fed.memory["heads"][z]))
            averaging.take(cohort, averaging.inside(fed, cohort, z), fresh)
    return fedproto.sized(fed, torch.full((fed.seeds,), down))


def trained(weight, bias, own, has, rate):
    """Weight (c, d) and bias (c,) after STEPS steps of gradient descent on the mean cross-entropy of the clients'
    prototypes own (N, c, d); has: (N, c) 1 where a client has the class.

    >>> own, has = torch.eye(2)[None], torch.ones(1, 2)
    >>> weight, _ = trained(torch.zeros(2, 2), torch.zeros(2), own, has, 1.0)
    >>> (own @ weight.T).argmax(-1).tolist()
    [[0, 1]]
    """
    wanted, share = torch.eye(has.shape[1], device=own.device), (has / has.sum()).unsqueeze(-1)
    for _ in range(STEPS):
        error = share * (F.softmax(own @ weight.T + bias, dim=-1) - wanted)  # of (i, y), the gradient by the logits
        weight = weight - rate * torch.einsum("iyc,iyd->cd", error, own)
        bias = bias - rate * error.sum((0, 1))
    return weight, bias


FEDGH = Method(
    "fedgh", "FedGH (2303.13137): one head, trained by the server on class means of features", begin=begin,
    exchange=exchange, needs=("features", "everybody"),
    tuned={"plain": {"strength": 0.1}, "balanced": {"strength": 0.1}},
)  # fmt: skip
