"""Expertise mean: a mixture of everybody's predictions, weighted per class by who holds how many samples of it (ours).

The natural fix of FedMD under label skew, without taking the speaker's label prior out of what it says: the row that
shows what prior-free knowledge adds.
"""

import numpy as np

from hfkd.engine.method import Graph, Method
from hfkd.knowledge import teaching_weights


def decide(counts, levels, revenue, config, rng) -> Graph:
    """W[s, t, c] ~ n_t(c), everybody hears everybody; pooled arithmetically: q(c|u) ~ sum_t W[t, c] p_t(c|u).

    >>> decide(np.array([[1, 1], [3, 0]]), None, None, None, None).weights[0].tolist()
    [[0.25, 1.0], [0.75, 0.0]]
    """
    everybody = np.ones((len(counts), len(counts)), bool)
    return Graph(teaching_weights(everybody, counts), everybody, everybody)


EXPERTISE_MEAN = Method("expertise_mean", "mixture of everybody's predictions, weighted per class by samples held",
                        decide=decide, needs=("public",), settings={"pooling": "arithmetic", "digest": 1})
