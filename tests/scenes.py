"""A small federation before its first round, for tests that look at one step of a round."""

import torch

from hfkd import data, federation
from hfkd.config import configure
from hfkd.books import opened
from hfkd.methods import METHODS
from hfkd.state import start
from hfkd.transport import speak

SMALL = dict(clients=6, pool_size=500, public_size=40, balanced_size=100, batch=16, lr=.05, rounds=3, eval_every=3,
             alpha=.4)  # fmt: skip


def scene(seeds=(0, 1), **more):
    """(config, state, books, lessons, said) of hfkd before the first round; each network shifted a little."""
    config = configure("smoke", **(SMALL | more))
    state, books = federation.start(config, data.load("digits"), seeds), opened(seeds, config.clients)
    for cohort in state.cohorts:
        for place, w in enumerate(cohort.weights.values()):
            w += .1 * torch.randn(w.shape, generator=torch.Generator().manual_seed(place))
    lessons = [federation._decide(state, books, z, seed, config, METHODS["hfkd"]) for z, seed in enumerate(seeds)]
    return config, state, books, lessons, speak(state, config, 2)


def weights_of(state):
    """Flat id -> (level, name -> weights)."""
    return {i: (c.level, {name: w[row].clone() for name, w in c.weights.items()})
            for c in state.cohorts for row, i in enumerate(c.members.tolist())}  # fmt: skip


def run(method="hfkd", seeds=(0, 1), watch=None, **more):
    """The outcome of a small run, and with `watch` (a pytest monkeypatch) the state that it ended in."""
    states = []
    if watch:
        watch.setattr(federation, "start", lambda *given: states.append(start(*given)) or states[-1])
    config = configure("smoke", **(SMALL | dict(method=method, eval_every=1) | more))
    out = federation.run(config, METHODS[method], data.load("digits"), seeds)
    return (out, states[0]) if watch else out
