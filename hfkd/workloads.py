"""Two published rounds as workloads for `hfkd bench`.

They have the client sizes of the MNIST partition that HtFLlib ships (20 clients, Dirichlet .1, 52,492
training images) and its networks; images are made up, because time does not depend on what they show.

    fml-round      batch 10: every client trains the large CNN that all share, and beside it one of four of its own
    fedavg-round   batch 32: every client trains the large CNN

Source: networks and sizes HtFLlib (2506.03954); FML 2006.16765; the rest ours.
"""

from collections import OrderedDict

import numpy as np
import torch
from torch import nn

from hfkd import cohorts, levels, training
from hfkd.methods import fml
from hfkd.streams import stream

SIZES = (4641, 4577, 4297, 4239, 4086, 3949, 3004, 2829, 2721, 2709, 2700, 2337, 1972, 1905, 1600, 1437, 1222, 951, 942,
         374)  # fmt: skip
OPTIMISER = training.Optimiser(0.01, 0.0)
BATCH = {"fml-round": 10, "fedavg-round": 32}


def networks() -> list[nn.Module]:
    """The four networks of the clients, the one that all share first.

    >>> [sum(w.numel() for w in net.parameters()) for net in networks()]
    [582026, 2365770, 159010, 50890]
    """

    def stage(before, after):
        return nn.Conv2d(before, after, 5), nn.MaxPool2d(2), nn.ReLU()  # HtFLlib's order reversed: the same function

    def network(*body):
        head = nn.Linear(body[-1].out_features, 10)
        return nn.Sequential(OrderedDict(body=nn.Sequential(*body, nn.ReLU()), head=head))

    with torch.device("meta"):
        return [
            network(*stage(1, 32), *stage(32, 64), nn.Flatten(), nn.Linear(1024, 512)),
            network(*stage(1, 32), nn.Flatten(), nn.Linear(4608, 512)),
            network(nn.Flatten(), nn.Linear(784, 200)),
            network(nn.Flatten(), nn.Linear(784, 64)),
        ]


def published(what: str, device: str = "cpu", sizes=SIZES) -> list[tuple]:
    """The arguments of `training.train`, for each cohort of a published round.

    Args:
        what: fml-round or fedavg-round. sizes: training images per client, largest first.
    """
    kinds = networks()
    if what == "fedavg-round":
        return [_arguments(kinds[0], range(len(sizes)), sizes, BATCH[what], device, None)]
    jobs = []
    for at, own in enumerate(kinds):
        ids = range(at, len(sizes), len(kinds))
        given = torch.full((len(ids),), 0.5, device=device)
        module = fml.Beside(own, networks()[0])
        jobs.append(_arguments(module, ids, sizes, BATCH[what], device, training.Term(fml.loss, (given,))))
    return jobs


def _arguments(module, ids, sizes, batch, device, term):
    """One epoch of some clients on images of their own."""
    rng, steps = stream(0, "bench"), [-(-sizes[i] // batch) for i in ids]
    total = sum(sizes[i] for i in ids)
    images = torch.from_numpy(rng.standard_normal((total, 1, 28, 28), dtype=np.float32)).to(device)
    labels = torch.from_numpy(rng.integers(0, 10, total)).to(device)
    private, first = np.zeros((len(ids), steps[0], batch), dtype=np.int64), 0
    for row, i, k in zip(private, ids, steps):
        row[:k] = first + training.batches(rng, sizes[i], k, batch)
        first += sizes[i]
    each = [levels.initial(module, stream(0, "weights", i)) for i in ids]
    weights = {name: torch.stack([own[name] for own in each]).to(device) for name in each[0]}
    momentum = {name: torch.zeros_like(w) for name, w in weights.items()}
    cohort = cohorts.Cohort(1, module, torch.tensor(list(ids)), weights, momentum)
    prior = torch.zeros(len(ids), 10, device=device)
    return cohort, images, labels, torch.from_numpy(private).to(device), steps, prior, OPTIMISER, None, term
