"""DS-FL: everybody learns the mean of everybody's predictions, sharpened (Itahara et al. 2020, arXiv:2008.06180)."""

import torch

from hfkd import knowledge
from hfkd.engine.method import Method
from hfkd.methods.fedmd import decide

SHARPNESS = 0.1  # T of the entropy reduction


def pool(arrived, graph, fed, config):
    """(z, s, u, c) q = softmax( mean_j p_j / T ).

    T = 0.1: lower entropy than the mean has, unless that is almost flat.
    """
    mean = torch.stack([knowledge.pool(log_p, w, "arithmetic") for log_p, w in zip(arrived.double(), graph.weights)])
    return torch.softmax(mean / SHARPNESS, dim=-1).to(arrived)


DSFL = Method("dsfl", "DS-FL (2008.06180): the mean of everybody's predictions, sharpened", decide=decide, pool=pool,
              needs=("public",), settings={"digest": 1})
