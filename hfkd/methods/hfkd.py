"""HFKD: matched over the levels by label distributions, prior-free knowledge, mutual learning in the group.

The poster's proposal with the blanks filled in by us: teachers by `match` (RQ1), one weight alpha for students and
beta for teachers (RQ2, here fixed), and the group of a client = itself, its teachers, its students (feedback) and its
peers (RQ3).
"""

import numpy as np

from hfkd.federation import Signals, Teaching
from hfkd.knowledge import teaching_weights
from hfkd.matching import Paths, group, match

LOSS = "balanced"
CHOSEN = {"balanced": {"alpha": 0.2}}
OWN = {}
NEEDS = ("public",)
SUMMARY = "matched groups over the levels, prior-free knowledge pooled per class, fixed alpha"


def teach(signals: Signals, config, rng) -> Teaching:
    """W of the groups: the matching under the path constraints, widened to mutual learning, weighted by class expertise
    and by revenue.

    Args:
        signals: released counts, levels and revenue; who is silent is nobody's teacher.
        config: rule, personality, fan_in, fan_out, max_gap, revenue_matching, feedback, peers, include_self, power and
            revenue_temperature are read.
        rng: for rule = "random" only.
    """
    counts, levels = signals.counts, signals.levels
    heard = None if signals.silent is None else np.broadcast_to(~signals.silent, (len(levels),) * 2)
    paths = Paths(levels, max_gap=config.max_gap, fan_in=config.fan_in, fan_out=config.fan_out, topology=heard)
    edges = match(counts, paths, config.rule, config.personality, rng, signals.revenue, config.revenue_matching).edges
    mask = group(edges, levels, feedback=config.feedback, peers=config.peers, self_=config.include_self)
    mask |= np.diag(~mask.any(1))  # who has nobody listens to itself
    weights = teaching_weights(mask, counts, config.power, signals.revenue, config.revenue_temperature)
    return Teaching(weights, mask, edges)
