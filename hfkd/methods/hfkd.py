"""HFKD: matched over the levels by label distributions, prior-free knowledge, mutual learning in the group.

The poster's proposal with the blanks filled in by us: teachers by `match` (RQ1), one weight alpha for students and
beta for teachers (RQ2, here fixed), and the group of a client = itself, its teachers, its students (feedback) and its
peers (RQ3).
"""

from hfkd.federation import Teaching
from hfkd.knowledge import teaching_weights
from hfkd.matching import Paths, group, match

BALANCED = True
ALPHA = 0.2
SUMMARY = "matched groups over the levels, prior-free knowledge pooled per class, fixed alpha"


def teach(counts, levels, config, rng) -> Teaching:
    """W of the groups: the matching under the path constraints, widened to mutual learning, weighted by class
    expertise.

    Args:
        counts: (N, C) released label counts.
        levels: (N,) 1..L.
        config: rule, personality, fan_in, fan_out, max_gap, feedback, peers and power are read.
        rng: for rule = "random" only.
    """
    paths = Paths(levels, max_gap=config.max_gap, fan_in=config.fan_in, fan_out=config.fan_out)
    edges = match(counts, paths, rule=config.rule, personality=config.personality, rng=rng).edges
    mask = group(edges, levels, feedback=config.feedback, peers=config.peers)
    return Teaching(teaching_weights(mask, counts, power=config.power), edges)
