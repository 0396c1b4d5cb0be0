"""FedDF: FedAvg within each level, and then the server teaches every mean network what all clients together say about
public images (Lin et al. 2020, arXiv:2006.07242).

The server has the public images, the clients need none. It takes one pass over them a round, with a learning rate of
its own, `strength`.
"""

import torch

from hfkd import averaging, cohorts, training
from hfkd.methods import fedavg
from hfkd.methods.fedavg import LOSS, OWN, teach  # noqa: F401
from hfkd.state import public_images
from hfkd.streams import stream
from hfkd.transport import asked_about, speak

CHOSEN = {"plain": {"strength": 0.001}, "balanced": {"strength": 0.001}}
NEEDS = ("public", "answers")
SUMMARY = "FedDF (2006.07242): FedAvg within each level, then the server distils all clients into each mean"


def begin(state, config, seeds) -> None:
    """As FedAvg; the server has a stream of its own."""
    fedavg.begin(state, config, seeds)
    state.memory["streams"] = [stream(seed, "server") for seed in seeds]


def exchange(state, config, round) -> None:
    """q = softmax of the mean of all clients' logits; every level's mean network then learns KL(q || p)."""
    seeds, these = len(state.splits), asked_about(config, round)
    steps = -(-len(these) // config.batch)
    said = speak(state, config, round).reshape(seeds, state.clients, len(these), -1)
    target = said.double().mean(1).softmax(-1).to(said)
    fedavg.exchange(state, config, round)
    rows = [training.batches(rng, len(these), steps, config.batch) for rng in state.memory["streams"]]
    rows = torch.stack([torch.from_numpy(own) for own in rows]).to(said.device)
    optimiser = training.Optimiser(config.strength, config.momentum, config.temperature, config.kl_direction)
    for cohort in state.cohorts:
        first = [int(averaging.inside(state, cohort, z)[0]) for z in range(seeds)]
        order = sorted(range(seeds), key=first.__getitem__)
        student = cohorts.part(cohort, sorted(first))
        asked = public_images(state, student.members.tolist())[:, these]
        ones = torch.ones(seeds, device=said.device)
        lesson = training.Lesson(asked, target[order], rows[order], ones, hard=torch.zeros_like(ones))
        own = asked.gather(1, rows[order].flatten(1)).reshape(rows.shape)  # of the hard loss, whose weight is 0
        prior = torch.zeros_like(state.prior[student.members])
        blank = torch.zeros_like(state.labels)
        training.train(student, state.images, blank, own, [steps] * seeds, prior, optimiser, lesson)
        for place, z in enumerate(order):
            own = averaging.inside(state, cohort, z)
            averaging.take(cohort, own, {name: w[place] for name, w in student.weights.items()})
