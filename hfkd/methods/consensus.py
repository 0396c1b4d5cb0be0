"""Everybody learns the mean of everybody's answers on the public images: four means, and that of one's own level.

    fedmd           of the logits (Li and Wang 2019, arXiv:1910.03581)
    expertise_mean  of the predictions, per class by samples held (ours): what prior-free knowledge has to beat
    dsfl            of the predictions, sharpened by a temperature (Itahara et al. 2020, arXiv:2008.06180)
    scarlet         of the predictions, sharpened by a power, our gamma (Azuma et al. 2025, arXiv:2504.19602); its
                    cache of soft labels, which saves bytes, is left out
    dml             of the predictions of the others of one's level (Zhang et al. 2018, arXiv:1706.00384): the mean of
                    KL(p_j || p_i) over the peers j has the gradient of the KL to their mean

The consensus is digested before the own data is revisited, as FedMD publishes it; by a KL divergence instead of an
absolute error (ours, as for all methods here). With alpha > 0 it is also heard in joint steps while revisiting.
"""

import numpy as np
import torch

from hfkd import knowledge
from hfkd.engine.method import Graph, Method

SHARPNESS = 0.1  # T of DS-FL's entropy reduction


def among(mask, counts) -> Graph:
    """Everybody hears those that the mask (N, N) names, per class by counts (N, C); who has nobody hears itself."""
    mask = mask | np.diag(~mask.any(1))
    return Graph(knowledge.teaching_weights(mask, counts), mask, mask)


def by_samples(counts, *_) -> Graph:
    """W[s, t, c] ~ n_t(c): pooled arithmetically q(c|u) ~ sum_t W[t, c] p_t(c|u).

    >>> by_samples(np.array([[1, 1], [3, 0]])).weights[0].tolist()
    [[0.25, 1.0], [0.75, 0.0]]
    """
    return among(np.ones((len(counts), len(counts)), bool), counts)


def alike(counts, *_) -> Graph:
    """W = 1/N for every student, teacher and class: with log pooling the softmax of the mean logits.

    >>> float(alike(np.array([[1, 1], [2, 0]])).weights[0, 1, 0])
    0.5
    """
    return by_samples(np.ones_like(counts))


def level(counts, levels, *_) -> Graph:
    """W[s, t] = 1 / (clients of the level - 1) for all others of the level of s; who has no other listens to itself.

    >>> level(np.ones((3, 2)), np.array([1, 1, 2])).weights[:, :, 0].tolist()
    [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """
    return among((levels[:, None] == levels) & ~np.eye(len(levels), dtype=bool), np.ones_like(counts))


def sharpened(arrived, graph, fed, config):
    """(z, s, u, c) q = softmax( mean_j p_j / T ), T = 0.1: less entropy than the mean has, unless that is flat."""
    pairs = zip(arrived.double(), graph.weights)
    mean = torch.stack([knowledge.pool(log_p, w, "arithmetic") for log_p, w in pairs])
    return torch.softmax(mean / SHARPNESS, dim=-1).to(arrived)


MIXTURE = {"pooling": "arithmetic", "digest": 1}
FEDMD = Method("fedmd", "FedMD (1910.03581): the mean of everybody's logits", decide=alike, settings={"digest": 1},
               needs=("public",))
EXPERTISE_MEAN = Method("expertise_mean", "mixture of everybody's predictions, weighted per class by samples held",
                        decide=by_samples, settings=MIXTURE, needs=("public",))
DSFL = Method("dsfl", "DS-FL (2008.06180): the mean of everybody's predictions, sharpened", decide=alike,
              pool=sharpened, settings={"digest": 1}, needs=("public",))
SCARLET = Method("scarlet", "SCARLET (2504.19602): the mean of everybody's predictions, sharpened by a power",
                 decide=alike, settings=MIXTURE, needs=("public",))
DML = Method("dml", "DML (1706.00384): the mean of the predictions of the others of one's level", decide=level,
             settings=MIXTURE, needs=("public",))
