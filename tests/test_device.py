"""Ready for a GPU, without one: on torch's meta device, which computes shapes alone, a tensor that was left on the
processor is an error, and so is a value that a step reads back.
"""

import pytest
from scenes import N, SEEDS, begun, moved

from hfkd.engine import federation, state


@pytest.mark.parametrize("levels", ["mlp", "cnn", "depth"])
def test_a_round_of_hfkd_stays_on_its_device(levels, monkeypatch):
    config, method, fed = begun("hfkd", levels=levels, weighting="fixed", warmup=0)
    graph = federation.decide(fed, config, method, SEEDS)
    fed.images, fed.labels = moved(fed, "meta").images.to("meta"), fed.labels.to("meta")
    said = state.speak(fed, config, 1)
    q = method.pool(said, graph, fed, config)
    assert said.is_meta and q.is_meta and q.shape == (2, N, 40, 10)
    ears = graph.others().any(2)
    for cohort in fed.cohorts:
        federation.epoch(fed, config, method, cohort, q, 0.4 * ears, ears, 1)
        assert all(w.is_meta for kept in (cohort.weights, cohort.momentum) for w in kept.values())
