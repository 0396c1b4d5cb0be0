"""FedAvg with fine-tuning: who predicts for its own labels trains the averaged network once more on its own images, and
keeps that for itself (the baseline of personalised averaging; Yu et al. 2020, arXiv:2002.04758).

Personality is read from the tuned network, consistency from the averaged one. `strength` is the passes of the tuning.
"""

from dataclasses import replace

from hfkd.engine import cohort as cohorts
from hfkd.engine import training
from hfkd.engine.state import stack
from hfkd.methods import fedavg
from hfkd.streams import stream


def begin(fed, config, seeds) -> None:
    """As FedAvg; each tuning has streams of its own."""
    fedavg.begin(fed, config, seeds)
    fed.memory["seeds"] = seeds


def answers(fed, config, cohort, at):
    """(b, n, c) logits of the networks after the tuning, of copies: the federation goes on with the averages."""
    tuned = cohorts.part(cohort, slice(None))
    ids = cohort.members.tolist()
    own = [fed.splits[i // fed.clients].train[i % fed.clients] for i in ids]
    steps = [round(config.strength * -(-len(mine) // config.batch)) for mine in own]
    rngs = [stream(fed.memory["seeds"][i // fed.clients], f"fine-tuning {fed.round}", i % fed.clients) for i in ids]
    private = stack([mine[training.batches(rng, len(mine), k, config.batch)] for mine, rng, k in zip(own, rngs, steps)])
    prior = fed.prior[cohort.members] * (config.hard_loss == "balanced")
    for momentum in tuned.momentum.values():
        momentum.zero_()
    training.train(tuned, fed.images, fed.labels, private.to(at.device), steps, prior,
                   training.Optimiser(config.lr, config.momentum))
    found = cohorts.logits(tuned, fed.images, at)
    return found + prior.unsqueeze(1)


FEDAVG_FT = replace(fedavg.FEDAVG, name="fedavg_ft", summary="FedAvg within each level, fine-tuned by each client",
                    begin=begin, answers=answers, settings={"readout": "personal"})
