"""FedGH: the server trains one head on the clients' prototypes and hands it to everybody
(Yi et al. 2023, arXiv:2303.13137).

The server's learning rate is `strength`; it takes STEPS steps a round on all prototypes at once, instead of one pass
over them in batches.
"""

import torch
import torch.nn.functional as F

from hfkd.engine.method import Method
from hfkd.methods import averaging, fedavg, fedproto

STEPS = 10


def begin(fed, config, seeds) -> None:
    """Everybody, the server included, starts with the same head."""
    fedavg.begin_head(fed, config, seeds)
    fed.memory["head"] = averaging.first(fed, fed.cohorts, "head.")


def exchange(fed, config, round) -> list:
    """Prototypes of the clients' classes go up, the trained head comes down."""
    head, own = fed.memory["head"], averaging.class_means(fed)
    has = (averaging.samples(fed) > 0).to(own)
    made = [trained(*each, config.strength) for each in zip(head["head.weight"], head["head.bias"], own, has)]
    head["head.weight"], head["head.bias"] = map(torch.stack, zip(*made))
    for cohort in fed.cohorts:
        averaging.take(fed, cohort, head)
    return fedproto.sized(fed, sum(w[0].numel() for w in head.values()))


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


FEDGH = Method("fedgh", "FedGH (2303.13137): one head, trained by the server on class means of features", begin=begin,
               exchange=exchange, needs=("features", "everybody"))
