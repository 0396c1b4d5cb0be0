"""Weights are averaged, and then the server teaches every mean network what all clients together said about public
images before: FedDF (Lin et al. 2020, arXiv:2006.07242).

    feddf         the means are those of each level, the target is the mean of all logits: as published
    feddf_nested  nested levels are averaged as HeteroFL does (2010.01264), which no paper has
    hfkd_nested   the same, with HFKD's knowledge (ours): prior-free answers, pooled per class by who has seen that
                  class, sharpened and aligned

The server has the public images, the clients need none. It takes `digest` passes over them a round, with a learning
rate of its own, `strength`.
"""

from dataclasses import replace

import numpy as np
import torch

from hfkd import knowledge
from hfkd.engine import cohort as cohorts
from hfkd.engine import training
from hfkd.engine.federation import public_lesson
from hfkd.engine.method import Method
from hfkd.engine.state import speak
from hfkd.methods import averaging, fedavg, heterofl
from hfkd.methods.consensus import by_samples
from hfkd.streams import stream


def ensemble(log_p, counts, config):
    """(u, c) softmax of the mean of all clients' logits: what log-softmax has taken from each is no matter."""
    return log_p.double().mean(0).softmax(-1).to(log_p)


def expertise(log_p, counts, config):
    """(u, c) pooled by W[t, c] ~ n_t(c), sharpened and aligned."""
    q = knowledge.pool(log_p, by_samples(counts).weights[:1])[0]
    return knowledge.align(knowledge.sharpen(q, config.gamma), config.kappa)


def taught(average, pooled):
    """An `exchange`: average(fed, config, round), then every level's mean network learns KL(q || p), q from
    pooled(log_p (t, u, c), counts (t, c), config), what everybody who is there says before the average, or everybody
    in a seed where nobody is. The server has a stream of its own for every seed, named by the seed's first client.
    """
    def exchange(fed, config, round) -> list:
        streams = {z * fed.clients: stream(seed, "server") for z, seed in enumerate(fed.seeds)}
        streams = fed.memory.setdefault("streams", streams)
        present = ~fed.away | fed.away.all(1, keepdims=True)
        each = zip(speak(fed, config, round), fed.counts, map(np.flatnonzero, present))
        target = torch.stack([pooled(log_p[there], counts[there], config) for log_p, counts, there in each])
        travelled = average(fed, config, round)
        steps = [config.digest * -(-target.shape[1] // config.batch)] * len(streams)
        lesson = public_lesson(fed, config, list(streams), target, streams, steps, round)
        for cohort in fed.cohorts:
            one_each = np.unique(averaging.seats(fed, cohort), return_index=True)[1]  # of every seed its mean network
            student = cohorts.part(cohort, np.sort(one_each))
            at = averaging.seats(fed, student)
            before, nobody = cohorts.part(student, slice(None)), torch.from_numpy(fed.away.all(1))[at]
            training.digest(student, fed.images, replace(config, lr=config.strength), training.rows_of(lesson, at))
            cohorts.put_back(student, cohorts.part(before, nobody), nobody)  # where nobody was, nothing was said
            averaging.take(fed, cohort, {name: w[at.argsort()] for name, w in student.weights.items()})
        return travelled

    return exchange


FEDDF = Method("feddf", "FedDF (2006.07242): FedAvg in each level, then the server distils all clients into each mean",
               begin=fedavg.begin, exchange=taught(fedavg.exchange, ensemble), needs=("public", "presence"),
               settings={"digest": 1})
FEDDF_NESTED = Method("feddf_nested", "FedDF on nested levels: HeteroFL, then the server distils all clients into each",
                      begin=heterofl.begin, exchange=taught(heterofl.exchange, ensemble),
                      local_loss=heterofl.loss, given=heterofl.given,
                      needs=("public", "widths", "presence"), settings={"digest": 1})
HFKD_NESTED = Method("hfkd_nested", "nested levels averaged, then taught what everybody said before", loss="balanced",
                     begin=heterofl.begin, exchange=taught(heterofl.exchange, expertise),
                     needs=("public", "widths", "presence"), settings={"gamma": 2.0, "kappa": 0.5, "digest": 1})
