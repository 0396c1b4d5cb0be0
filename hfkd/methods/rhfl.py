"""RHFL: the more a client's own loss has dropped, the more it is listened to (Fang and Ye 2022, CVPR, pp. 10072-10081).

Only the confidence weights of the paper; its noise-tolerant loss is for wrong labels, which nobody has here. A loss
that has risen counts as not dropped (ours): the published quotient changes its sign with the sum of all drops.
"""

import numpy as np
import torch

from hfkd.federation import Signals, Teaching
from hfkd.knowledge import pool
from hfkd.methods.dml import among
from hfkd.methods.fedmd import LOSS, OWN  # noqa: F401
from hfkd.signals import own_losses

NEEDS = ("public", "answers")
CHOSEN = {"plain": {"alpha": 0.2}, "balanced": {"alpha": 0.2}}
SUMMARY = "RHFL (CVPR 2022): the mean of the others' predictions, weighted by how far their own loss has dropped"
TRUST = 0.5  # eta of the paper


def teach(signals: Signals, config, rng) -> Teaching:
    """Everybody hears all others; `hear` weighs them."""
    return among(np.ones((len(signals.counts),) * 2), signals.counts)


def hear(state, config, lessons, said):
    """(z * N, n, c) sum_{j != i} w_j p_j / sum_{j != i} w_j."""
    now = own_losses(state, config.hard_loss == "balanced", "train")
    drops = (state.memory.get("losses", now) - now) / np.maximum(now, 1e-6)  # a loss may be 0: one class only
    state.memory["losses"] = now
    targets = []
    for z, log_p in enumerate(said.reshape(len(lessons), state.clients, *said.shape[1:])):
        others = confidence(drops[z]) * (1 - np.eye(state.clients))
        others = torch.from_numpy(others / others.sum(1, keepdims=True)).unsqueeze(-1).expand(-1, -1, log_p.shape[-1])
        targets.append(pool(log_p, others, "arithmetic"))
    return torch.cat(targets)


def confidence(drops) -> np.ndarray:
    """w = softmax( 1/(N-1) + eta r_j / sum_k r_k ), r the relative drop of each client's own loss, at least 0.

    >>> confidence(np.array([0.3, 0.1])).round(4).tolist()  # softmax(.375, .125)
    [0.5622, 0.4378]
    """
    gain = np.maximum(drops, 0)
    share = gain / gain.sum() if gain.sum() > 0 else np.zeros(len(gain))
    weight = np.exp(1 / (len(gain) - 1) + TRUST * share)
    return weight / weight.sum()
