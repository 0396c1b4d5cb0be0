"""Ready for a GPU, without one: on torch's meta device a tensor left on the processor is an error, or a value read."""

import pytest
from scenes import N, SEEDS, moved, settings

from hfkd.engine import federation, state
from hfkd.engine.networks import HAS, WIDTHS
from hfkd.methods import METHODS

READS = {"labelled_public", "ktpfl", "rhfl", "fedkd"}  # once a round, for lists by label, scipy, losses, ranks
CASES = [(name, levels) for name, method in METHODS.items() for levels in WIDTHS
         if name not in READS and all(levels in HAS.get(need, WIDTHS) for need in method.needs)]


@pytest.mark.parametrize(("name", "levels"), CASES)
def test_a_round_stays_on_its_device(name, levels):
    config, method, digits = settings(name, levels=levels, weighting="fixed", warmup=0, batch=500)
    fed = moved(state.begin(config, digits, SEEDS), "meta")
    fed.images, fed.labels = fed.images.to("meta"), fed.labels.to("meta")
    method.begin(fed, config, SEEDS)
    graph, q = federation.decide(fed, config, method, SEEDS), None
    if (ears := graph.others().any(2)).any():
        said = state.speak(fed, config, 1)
        q = method.pool(said, graph, fed, config)
        assert said.is_meta and q.is_meta and q.shape == (len(SEEDS), N, 40, 10)
    for cohort in fed.cohorts:
        federation.epoch(fed, config, method, cohort, q, 0.4 * ears, ears, 1)
    method.exchange(fed, config, 1)
    assert all(w.is_meta for cohort in fed.cohorts for w in (*cohort.weights.values(), *cohort.momentum.values()))
