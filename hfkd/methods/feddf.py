"""FedDF: weights are averaged, and then the server teaches every mean network what all clients together say about
public images (Lin et al. 2020, arXiv:2006.07242).

The server has the public images, the clients need none. It takes `digest` passes over them a round, with a learning
rate of its own, `strength`. As published the means are those of each level (feddf); feddf_nested averages nested levels
as HeteroFL does, which no paper has.
"""

import numpy as np
import torch

from hfkd.engine import cohort as cohorts
from hfkd.engine import training
from hfkd.engine.federation import public_lesson
from hfkd.engine.method import Method
from hfkd.engine.state import speak
from hfkd.methods import averaging, fedavg, heterofl
from hfkd.streams import stream


def starting(begin):
    """As the averages begin; the server has a stream of its own."""
    def started(fed, config, seeds) -> None:
        begin(fed, config, seeds)
        fed.memory["streams"] = [stream(seed, "server") for seed in seeds]

    return started


def ensemble(said, fed, config):
    """(z, u, c) softmax of the mean of all clients' logits: what log-softmax has taken from each is no matter."""
    each = zip(said, averaging.anybody(fed))
    return torch.stack([log_p[there].double().mean(0).softmax(-1) for log_p, there in each]).to(said)


def taught(average, pooled):
    """An `exchange`: average(fed, config, round), then every level's mean network learns KL(q || p), q from
    pooled(said, fed, config), said (z, t, u, c) what everybody says before the average.
    """
    def exchange(fed, config, round) -> list:
        target = pooled(speak(fed, config, round), fed, config)
        travelled = average(fed, config, round)
        steps = [config.digest * -(-target.shape[1] // config.batch)] * fed.seeds
        first = np.arange(fed.seeds) * fed.clients  # one client of every seed: all have the same public images
        lesson = public_lesson(fed, config, first, target, fed.memory["streams"], steps, round)
        optimiser = training.Optimiser(config.strength, config.momentum, config.temperature, config.kl_direction)
        for cohort in fed.cohorts:
            one_each = np.unique(averaging.seats(fed, cohort), return_index=True)[1]  # of every seed its mean network
            student = cohorts.part(cohort, np.sort(one_each))
            at = averaging.seats(fed, student)
            before, somebody = cohorts.part(student, slice(None)), torch.from_numpy(~fed.away.all(1))[at]
            training.digest(student, fed.images, optimiser, training.rows_of(lesson, at))
            cohorts.put_back(student, cohorts.part(before, ~somebody), ~somebody)  # where nobody was, nothing was said
            averaging.take(fed, cohort, {name: w[at.argsort()] for name, w in student.weights.items()})
        return travelled

    return exchange


FEDDF = Method("feddf", "FedDF (2006.07242): FedAvg in each level, then the server distils all clients into each mean",
               begin=starting(fedavg.begin), exchange=taught(fedavg.exchange, ensemble), needs=("public", "presence"),
               settings={"digest": 1})
FEDDF_NESTED = Method("feddf_nested", "FedDF on nested levels: HeteroFL, then the server distils all clients into each",
                      begin=starting(heterofl.begin), exchange=taught(heterofl.exchange, ensemble),
                      local_loss=heterofl.loss, given=heterofl.given,
                      needs=("public", "widths", "presence"), settings={"digest": 1})
