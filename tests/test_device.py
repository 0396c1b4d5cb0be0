"""Ready for a GPU, without one: on torch's meta device, which computes shapes alone, a tensor that was left on the
processor is an error, and so is a value that a step reads back.
"""

from dataclasses import replace

import pytest
import torch
from scenes import N, SEEDS, begun

from hfkd.engine import federation, state, training
from hfkd.methods import METHODS

SPOKEN = [name for name, method in METHODS.items() if method.pool is METHODS["hfkd"].pool and "public" in method.needs]


def moved(fed):
    """The federation with all its tensors on the meta device, as it would be on a GPU."""
    away = lambda each: {name: w.to("meta") for name, w in each.items()}
    fed.images, fed.labels, fed.scales, fed.prior = (
        each.to("meta") for each in (fed.images, fed.labels, fed.scales, fed.prior))
    fed.cohorts = [replace(cohort, weights=away(cohort.weights), momentum=away(cohort.momentum),
                           scale=cohort.scale.to("meta")) for cohort in fed.cohorts]  # fmt: skip
    return fed


@pytest.mark.parametrize("levels", ["mlp", "cnn", "depth"])
def test_a_round_of_hfkd_stays_on_its_device(levels, monkeypatch):
    config, method, fed = begun("hfkd", levels=levels, weighting="fixed", warmup=0)
    graph = federation.decide(fed, config, method, SEEDS)
    fed = moved(fed)
    said = state.speak(fed, config, 1)
    q = method.pool(said, graph, fed, config)
    assert said.is_meta and q.is_meta and q.shape == (2, N, 40, 10)
    ears = graph.others().any(2)
    for cohort in fed.cohorts:
        federation.epoch(fed, config, method, cohort, q, 0.4 * ears, ears, 1)
        assert all(w.is_meta for kept in (cohort.weights, cohort.momentum) for w in kept.values())
