"""A federation's rows are a function of (configuration, seed): not of the seeds that happen to train beside it."""

import pandas as pd
import pytest

from hfkd import data, federation
from hfkd.config import configure
from hfkd.methods import METHODS

SMALL = dict(clients=5, rounds=3, eval_every=1, pool_size=600, public_size=40, balanced_size=100, batch=16, lr=.05)


def went(method, seeds, watch=None, **more):
    """Rows of a small run, and with `watch` (a pytest monkeypatch) the state that it ended in."""
    states, start = [], federation.start
    if watch:
        watch.setattr(federation, "start", lambda *given: states.append(start(*given)) or states[-1])
    config = configure("smoke", **(SMALL | dict(method=method) | more))
    frame = federation.run(config, METHODS[method], data.load("digits"), seeds)
    if watch:
        watch.undo()
    return (frame, states[0]) if watch else frame


def weights_of(state, flat):
    """name -> weights of one client."""
    for cohort in state.cohorts:
        if flat in cohort.members.tolist():
            row = cohort.members.tolist().index(flat)
            return {name: w[row] for name, w in cohort.weights.items()}


@pytest.mark.parametrize("levels", ["mlp", "cnn"])
@pytest.mark.parametrize("method", ["local", "hfkd"])
def test_a_seed_does_not_depend_on_the_seeds_beside_it(method, levels, monkeypatch):
    # 5 clients give levels 1, 1, 1, 2, 3: a cohort of one member alone, of two with another seed beside it
    alone, state = went(method, (0,), monkeypatch, levels=levels)
    both, beside = went(method, (1, 0), monkeypatch, levels=levels)
    for client in range(5):
        mine, same = weights_of(state, client), weights_of(beside, 5 + client)
        assert all(mine[name].equal(same[name]) for name in mine)
    pd.testing.assert_frame_equal(alone, both[both["seed"] == 0].reset_index(drop=True), check_exact=True)
