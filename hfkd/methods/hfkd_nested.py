"""HFKD for nested levels: weights are averaged over all who have them, and then the server teaches every level's
network what all clients together said *before* they were averaged (ours).

HeteroFL's averages (2010.01264) under FedDF's server (2006.07242) with HFKD's knowledge: prior-free answers, pooled per
class by who has seen that class, sharpened and aligned.
"""

import torch

from hfkd import knowledge
from hfkd.engine.method import Method
from hfkd.methods import averaging, expertise_mean, feddf, heterofl


def pooled(said, fed, config):
    """(z, u, c) what all who are there, of said (z, t, u, c), say together: W[t, c] ~ n_t(c), sharpened and aligned."""
    each = []
    for log_p, counts, there in zip(said, fed.counts, averaging.anybody(fed)):
        weights = expertise_mean.decide(counts[there], None, None, None, None).weights
        each.append(knowledge.pool(log_p[there], weights[:1])[0])
    return knowledge.align(knowledge.sharpen(torch.stack(each), config.gamma), config.kappa)


HFKD_NESTED = Method(
    "hfkd_nested", "nested levels averaged, then taught what everybody said before", loss="balanced",
    begin=feddf.starting(heterofl.begin), exchange=feddf.taught(heterofl.exchange, pooled),
    needs=("public", "widths", "presence"), settings={"gamma": 2.0, "kappa": 0.5, "digest": 1})
