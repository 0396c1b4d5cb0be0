"""A small federation of digits: before its first round, after its last, and as plain networks of torch."""

import functools

from torch import float64, nn, set_num_threads

from hfkd import data
from hfkd.config import configure
from hfkd.engine import federation, record, state
from hfkd.methods import METHODS

SEEDS, N = (0, 1), 6
SMALL = dict(clients=N, pool_size=500, public_size=40, balanced_size=100, batch=16, lr=0.05, rounds=3, eval_every=1,
             alpha=0.4)  # fmt: skip
HIDDEN = {1: 8, 2: 32, 3: 128}  # units of the first layer, by level
set_num_threads(1)  # these networks are too small for more
DIGITS = functools.cache(lambda: data.load("digits"))


def settings(method="hfkd", **more):
    """(config, method, data set), for `federation.rounds`; method: a name or a Method."""
    named = METHODS[method] if isinstance(method, str) else method
    fits = {"levels": "depth"} if named.name == "inclusivefl" else {}
    plainly = dict(hard_loss=named.loss, epochs=1)  # as published, whatever validation has chosen
    config = configure("smoke", **(SMALL | fits | plainly | dict(method=named.name) | more))
    return federation.configured(config, named), named, DIGITS()


def begun(method="hfkd", seeds=SEEDS, **more):
    """(config, method, fed) before the first round."""
    config, named, digits = settings(method, **more)
    fed = state.begin(config, digits, seeds)
    named.begin(fed, config, seeds)
    return config, named, fed


def last(method="hfkd", seeds=SEEDS, public=None, **more):
    """The last Round of a run."""
    *_, end = federation.rounds(*settings(method, **more), seeds, public)
    return end


def run(method="hfkd", report=None, **more):
    """Rows and ledger of a run."""
    return record.run(*settings(method, **more), SEEDS, report=report)


def weights_of(fed):
    """Flat id -> (level, name -> weights)."""
    return {i: (c.level, {name: w[row].clone() for name, w in c.weights.items()})
            for c in fed.cohorts for row, i in enumerate(c.members.tolist())}  # fmt: skip


def same(one, other):
    """Whether clients, as `weights_of` has them, agree to the last bit, as far as both have a weight."""
    pairs = ((own, other[i][1]) for i, (_, own) in one.items())
    return all(own[name].equal(theirs[name]) for own, theirs in pairs for name in own.keys() & theirs.keys())


def moved(fed, to):
    """The federation with all its floats in another type, or on another device."""
    fed.scales, fed.prior = fed.scales.to(to), fed.prior.to(to)
    for cohort in fed.cohorts:
        cohort.scale = cohort.scale.to(to)
        for kept in (cohort.weights, cohort.momentum):
            kept.update({name: w.to(to) for name, w in kept.items()})
    return fed


doubled = functools.partial(moved, to=float64)  # in which no rounding shows


def network(level, weights):
    """A perceptron as torch has it, with the weights of a client: name -> tensor, in the order of the layers."""
    layers = [nn.Linear(64, HIDDEN[level]), nn.ReLU(), nn.Linear(HIDDEN[level], 32), nn.ReLU(), nn.Linear(32, 10)]
    net = nn.Sequential(nn.Flatten(), *layers).to(next(iter(weights.values())).dtype)
    net.load_state_dict(dict(zip(net.state_dict(), weights.values(), strict=True)))
    return net
