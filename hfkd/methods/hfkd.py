"""HFKD: matched over the levels by label distributions, prior-free knowledge, mutual learning in the group.

The poster's proposal with the blanks filled in by us: teachers by `match` (RQ1), one weight alpha for students and
beta for teachers (RQ2), and the group of a client = itself, its teachers, its students (feedback) and its peers (RQ3).
What the group says is pooled per class, sharpened and aligned (`hfkd.knowledge`), digested before the own epochs, and
weighed against the own labels in joint steps. Answers alone travel: any architectures will do.
"""

import numpy as np

from hfkd.engine.method import Graph, Method
from hfkd.knowledge import teaching_weights
from hfkd.matching import group, match


def decide(counts, levels, revenue, config, rng) -> Graph:
    """W of the groups: the matching under the path constraints, widened to mutual learning, weighted by class expertise
    and by revenue.

    Arguments as `engine.method.nobody` has them; of the configuration rule, personality, fan_in, fan_out, max_gap,
    feedback, peers, include_self, power and revenue_temperature are read.
    """
    edges = match(counts, levels, config.rule, config.personality, rng, config.max_gap, config.fan_in, config.fan_out)
    mask = group(edges, levels, feedback=config.feedback, peers=config.peers, self_=config.include_self)
    mask |= np.diag(~mask.any(1))  # who has nobody listens to itself
    return Graph(teaching_weights(mask, counts, config.power, revenue, config.revenue_temperature), mask, edges)


HFKD = Method("hfkd", "matched groups over the levels: prior-free knowledge, sharpened, aligned, digested",
              loss="balanced", decide=decide, earns=True, needs=("public",),
              settings={"weighting": "ramp", "ramp_length": 10, "gamma": 2.0, "kappa": 0.5, "digest": 1, "mixup": 0.5})
