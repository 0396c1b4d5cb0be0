"""FedMD: everybody learns the mean of everybody's logits on the public set (Li and Wang 2019, arXiv:1910.03581).

The consensus is digested before the own data is revisited, as published; by a KL divergence instead of an absolute
error (ours, as for all methods here). With alpha > 0 it is also heard in joint steps while revisiting.
"""

import numpy as np

from hfkd.engine.method import Graph, Method
from hfkd.methods import expertise_mean


def decide(counts, levels, revenue, config, rng) -> Graph:
    """W = 1/N for every student, teacher and class: with log pooling the softmax of the mean logits.

    >>> float(decide(np.array([[1, 1], [2, 0]]), None, None, None, None).weights[0, 1, 0])
    0.5
    """
    return expertise_mean.decide(np.ones_like(counts), levels, revenue, config, rng)


FEDMD = Method("fedmd", "FedMD (1910.03581): the mean of everybody's logits", decide=decide, needs=("public",),
               settings={"digest": 1})
