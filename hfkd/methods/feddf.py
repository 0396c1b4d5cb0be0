"""FedDF: FedAvg within each level, and then the server teaches every mean network what all clients together say about
public images (Lin et al. 2020, arXiv:2006.07242).

The server has the public images, the clients need none. It takes one pass over them a round, with a learning rate of
its own, `strength`.
"""

import numpy as np
import torch

from hfkd.engine import cohort as cohorts
from hfkd.engine import training
from hfkd.engine.method import Method
from hfkd.engine.state import asked_about, public_images, speak
from hfkd.methods import averaging, fedavg
from hfkd.streams import stream


def begin(fed, config, seeds) -> None:
    """As FedAvg; the server has a stream of its own."""
    fedavg.begin(fed, config, seeds)
    fed.memory["streams"] = [stream(seed, "server") for seed in seeds]


def exchange(fed, config, round) -> list:
    """q = softmax of the mean of all clients' logits; every level's mean network then learns KL(q || p)."""
    these = asked_about(config, round)
    steps = -(-len(these) // config.batch)
    said = speak(fed, config, round)
    target = said.double().mean(1).softmax(-1).to(said)
    travelled = fedavg.exchange(fed, config, round)
    rows = np.stack([training.batches(rng, len(these), steps, config.batch) for rng in fed.memory["streams"]])
    rows, ones = torch.from_numpy(rows).to(said.device), torch.ones(fed.seeds, device=said.device)
    optimiser = training.Optimiser(config.strength, config.momentum, config.temperature, config.kl_direction)
    for cohort in fed.cohorts:
        one_each = np.unique(averaging.seats(fed, cohort), return_index=True)[1]  # of every seed its mean network
        student = cohorts.part(cohort, np.sort(one_each))
        at = averaging.seats(fed, student)
        asked = public_images(fed, student.members.tolist())[:, these]
        lesson = training.Lesson(asked, target[at], rows[at], ones, hard=torch.zeros_like(ones))
        own = asked.gather(1, rows[at].flatten(1)).reshape(rows.shape)  # of the hard loss, whose weight is 0
        prior, blank = torch.zeros_like(fed.prior[student.members]), torch.zeros_like(fed.labels)
        training.train(student, fed.images, blank, own, [steps] * fed.seeds, prior, optimiser, lesson)
        averaging.take(fed, cohort, {name: w[at.argsort()] for name, w in student.weights.items()})
    return travelled


FEDDF = Method("feddf", "FedDF (2006.07242): FedAvg in each level, then the server distils all clients into each mean",
               begin=begin, exchange=exchange, needs=("public", "everybody"),
               tuned={"plain": {"strength": 0.001}, "balanced": {"strength": 0.001}})  # fmt: skip
