"""RHFL: the more a client's own loss has dropped, the more it is listened to (Fang and Ye 2022, CVPR, pp. 10072-10081).

Only the confidence weights of the paper; its noise-tolerant loss is for wrong labels, which nobody has here. A loss
that has risen counts as not dropped (ours): the published quotient changes its sign with the sum of all drops.
"""

import numpy as np

from hfkd.engine.method import Graph, Method
from hfkd.engine.signals import own_losses
from hfkd.methods.consensus import among
from hfkd.methods.ktpfl import mixtures

TRUST = 0.5  # eta of the paper


def decide(counts, *_) -> Graph:
    """Everybody hears all others; `pool` weighs them."""
    return among(~np.eye(len(counts), dtype=bool), np.ones_like(counts))


def pool(arrived, graph, fed, config):
    """(z, s, u, c) sum_{j != s} w_j p_j / sum_{j != s} w_j."""
    now = own_losses(fed, config, "train")
    drops = (fed.memory.get("losses", now) - now) / np.maximum(now, 1e-6)  # a loss may be 0: one class only
    fed.memory["losses"] = now
    others = [confidence(drop) * (1 - np.eye(fed.clients)) for drop in drops]
    return mixtures(arrived, [w / w.sum(1, keepdims=True) for w in others])


def confidence(drops) -> np.ndarray:
    """w = softmax( 1/(N-1) + eta r_j / sum_k r_k ), r the relative drop of each client's own loss, at least 0.

    >>> confidence(np.array([0.3, 0.1])).round(4).tolist()  # softmax(.375, .125)
    [0.5622, 0.4378]
    """
    gain = np.maximum(drops, 0)
    share = gain / gain.sum() if gain.sum() > 0 else np.zeros(len(gain))
    weight = np.exp(1 / (len(gain) - 1) + TRUST * share)
    return weight / weight.sum()


RHFL = Method("rhfl", "RHFL (CVPR 2022): mean of the others' predictions, weighted by how far their loss has dropped",
              decide=decide, pool=pool, needs=("public", "simultaneous", "everybody"), settings={"digest": 1})
