"""What travels: the log-posteriors of every client on public images, without gradient.

Public images are taken to be there already. Answers go up once to a relay if anybody listens, and come down once,
pooled. Axes: z seed, t who speaks, u public image, c class.
"""

import numpy as np
import torch

from hfkd.engine import cohort as cohorts
from hfkd.engine.state import public_images


def asked_about(config, round: int) -> np.ndarray:
    """Positions of the public images that are answered in this round: all, or `spoken` of them in turn.

    >>> from hfkd.config import configure
    >>> asked_about(configure(public_size=5, spoken=2), 2).tolist()
    [4, 0]
    """
    size = config.spoken or config.public_size
    return (np.arange(size) + round * size * (size < config.public_size)) % config.public_size


def speak(fed, config, round: int, said=None, among=None):
    """(z, t, u, c) log p_t(c|u): what every client says, softened by T.

    said is what was said before, to be replaced in place for the members of the cohorts `among` (None: everybody).
    """
    asked = asked_about(config, round)
    if said is None:
        said = torch.zeros(fed.seeds, fed.clients, len(asked), fed.prior.shape[-1], device=fed.images.device)
    for cohort in fed.cohorts if among is None else among:
        at = public_images(fed, cohort.members.tolist())[:, asked]
        answers = cohorts.logits(cohort, fed.images, at) / config.temperature
        said.flatten(0, 1)[cohort.members] = answers.log_softmax(-1)
    return said


def public_labels(fed, config, z: int, round: int):
    """(u,) labels of the public images of a seed that are answered in this round: read by rules, never trained on."""
    asked = fed.splits[z].public[asked_about(config, round)]
    return fed.labels[torch.from_numpy(asked).to(fed.labels.device)]
