"""sUWA: image by image, those are believed whose own data are dense where the image lies (Kovalchuk et al. 2025,
arXiv:2509.15147).

The idea is the paper's: density-based uncertainty instead of a plain mean. The density is our reading: one Gaussian per
client over its features, diagonal, fitted to its training images; log-densities are standardised by those of the own
images, because no two clients have the same features. A number per image travels beside the answers, which bytes do
not count.
"""

import torch

from hfkd.engine import cohort as cohorts
from hfkd.engine.method import Method
from hfkd.engine.state import own_images, public_images
from hfkd.methods.consensus import alike

RIDGE, FARTHEST = 1e-3, 30.0  # share of the mean variance that every feature has; a score is at least -FARTHEST


def pool(arrived, graph, fed, config):
    """(z, s, u, c) q = sum_t w_t(u) p_t(u), w = softmax over t of the scores of image u among those who are heard."""
    scores = torch.zeros(*arrived.shape[:3], device=arrived.device).flatten(0, 1)
    for cohort in fed.cohorts:
        own, there = own_images(fed, cohort)
        asked = public_images(fed, config, fed.round, cohort.members)
        mine, theirs = (cohorts.features(cohort, fed.images, at).double() for at in (own, asked))
        scores[cohort.members] = familiarity(mine, there.double(), theirs).to(scores)
    scores, mask = scores.unflatten(0, arrived.shape[:2]), torch.as_tensor(graph.mask, device=arrived.device)
    heard = scores.unsqueeze(1).masked_fill(~mask.unsqueeze(-1), -torch.inf)  # (z, s, t, u)
    return torch.einsum("zstu,ztuc->zsuc", heard.softmax(2), arrived.exp())


def familiarity(own, there, features):
    """(b, u) how usual features (b, u, d) are among own (b, n, d), where there is 1: log-density, standardised.

    >>> own, there = torch.tensor([[[-1.0], [1.0], [-1.0], [1.0], [0.0]]]), torch.ones(1, 5)
    >>> usual = familiarity(own, there, torch.tensor([[[0.0], [3.0]]]))[0]
    >>> bool(usual[0] > 0 > usual[1])
    True
    """
    share = (there / there.sum(1, keepdim=True)).unsqueeze(-1)
    mean = (own * share).sum(1, keepdim=True)
    spread = ((own - mean) ** 2 * share).sum(1, keepdim=True)
    spread = spread + RIDGE * spread.mean(-1, keepdim=True).clamp_min(1e-9)
    density, here = (-((each - mean) ** 2 / spread).sum(-1) / 2 for each in (features, own))
    share = share.squeeze(-1)
    usual = (here * share).sum(1, keepdim=True)
    deviation = ((here - usual) ** 2 * share).sum(1, keepdim=True).sqrt().clamp_min(1e-9)
    return ((density - usual) / deviation).clamp(-FARTHEST, FARTHEST)


SUWA = Method("suwa", "sUWA (2509.15147): predictions weighed image by image by the density of the speaker's own data",
              decide=alike, pool=pool, needs=("public", "simultaneous", "everybody"),
              settings={"digest": 1})  # fmt: skip
