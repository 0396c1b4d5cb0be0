"""DML within a level: everybody learns the predictions of the others of its level
(Zhang et al. 2018, arXiv:1706.00384).

On public images; the mean of KL(p_j || p_i) over the peers j has the gradient of the KL to their mean.
"""

import numpy as np

from hfkd.engine.method import Graph, Method
from hfkd.knowledge import teaching_weights


def decide(counts, levels, revenue, config, rng) -> Graph:
    """W[s, t] = 1 / (clients of the level - 1) for all others of the level of s; who has no other listens to itself.

    >>> decide(np.ones((3, 2)), np.array([1, 1, 2]), None, None, None).weights[:, :, 0].tolist()
    [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """
    return among(levels[:, None] == levels[None], counts)


def among(mask, counts) -> Graph:
    """Everybody hears the others that the mask (N, N) names, all alike."""
    mask = mask & ~np.eye(len(mask), dtype=bool)
    mask |= np.diag(~mask.any(1))
    return Graph(teaching_weights(mask, np.ones_like(counts)), mask, mask)


DML = Method("dml", "DML (1706.00384): the mean of the predictions of the others of one's level", decide=decide,
             needs=("public",), settings={"pooling": "arithmetic", "digest": 1})
