"""DS-FL: everybody learns the mean of everybody's predictions, sharpened (Itahara et al. 2020, arXiv:2008.06180)."""

import torch

from hfkd.methods.fedmd import LOSS, OWN, teach  # noqa: F401

NEEDS = ("public", "answers")
CHOSEN = {"plain": {"alpha": 0.2}, "balanced": {"alpha": 0.1}}
SUMMARY = "DS-FL (2008.06180): the mean of everybody's predictions, sharpened"
SHARPNESS = 0.1  # T of the entropy reduction


def hear(state, config, lessons, said):
    """q = softmax( mean_j p_j / T ), T = 0.1: lower entropy than the mean has, unless that is almost flat.

    Returns:
        (z * N, n, c), the same for all clients of a seed.
    """
    mean = said.reshape(len(lessons), state.clients, *said.shape[1:]).double().exp().mean(1)
    return torch.softmax(mean / SHARPNESS, dim=-1).to(said).repeat_interleave(state.clients, dim=0)
