"""HFKD: matched over the levels by label distributions, prior-free knowledge, mutual learning in the group.

The poster's proposal with the blanks filled in by us: teachers by `match` (RQ1), one weight alpha for students and
beta for teachers (RQ2), and the group of a client = itself, its teachers, its students (feedback) and its peers (RQ3).

    hfkd       alpha is fixed
    hfkd_ramp  alpha grows linearly from 0, as in the authors' code (myth646/FedKDMR)
    hfkd_avg   besides, the weights are averaged within each level (ours): what a referee asks of any distillation
               between networks of which some could simply be averaged; both messages are counted
"""

from dataclasses import replace

import numpy as np

from hfkd.engine.method import Graph, Method
from hfkd.knowledge import teaching_weights
from hfkd.matching import Paths, group, match
from hfkd.methods.fedavg import FEDAVG


def decide(counts, levels, revenue, config, rng) -> Graph:
    """W of the groups: the matching under the path constraints, widened to mutual learning, weighted by class expertise
    and by revenue.

    Arguments as `engine.method.nobody` has them; of the configuration rule, personality, fan_in, fan_out, max_gap,
    feedback, peers, include_self, power and revenue_temperature are read.
    """
    paths = Paths(levels, max_gap=config.max_gap, fan_in=config.fan_in, fan_out=config.fan_out)
    edges = match(counts, paths, config.rule, config.personality, rng).edges
    mask = group(edges, levels, feedback=config.feedback, peers=config.peers, self_=config.include_self)
    mask |= np.diag(~mask.any(1))  # who has nobody listens to itself
    return Graph(teaching_weights(mask, counts, config.power, revenue, config.revenue_temperature), mask, edges)


HFKD = Method("hfkd", "matched groups over the levels, prior-free knowledge pooled per class, fixed alpha",
              loss="balanced", decide=decide, earns=True, needs=("public",),
              tuned={"balanced": {"alpha": 0.2}})  # fmt: skip
HFKD_RAMP = replace(HFKD, name="hfkd_ramp", summary="HFKD with the authors' ramp of alpha",
                    settings={"weighting": "ramp"}, tuned={"balanced": {"alpha": 1.0}})  # fmt: skip
HFKD_AVG = replace(HFKD, name="hfkd_avg", summary="HFKD, and the weights averaged within each level",
                   begin=FEDAVG.begin, exchange=FEDAVG.exchange, needs=("public", "everybody"),
                   tuned={"balanced": {"alpha": 0.1}})  # fmt: skip
