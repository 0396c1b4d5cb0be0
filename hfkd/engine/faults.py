"""Faults as a channel between what clients say and what arrives (ours); FAULTS of `hfkd.config` says which.

The network of who is absent or broken stays as it was; who is late is not heard if nobody was asked a round before.
All draws come from (seed, "faults ...", client), never from the method: runs stay paired, and whom a share picks a
larger share picks, too. A client's own view of its own answers is always fresh and true. Nothing here imports torch:
whoever reads results can ask who lied. Axes: z seed, t who speaks, u public image, c class.
"""

import math
from typing import NamedTuple

import numpy as np

from hfkd.streams import stream

LIES = ("flip", "random", "constant", "collude")
NEARLY_ALL = 0.99  # mass on the class of those who collude


class Presence(NamedTuple):
    """Who takes part in a round, (z, N) bool each."""

    absent: np.ndarray  # neither trains, speaks nor listens
    broken: np.ndarray  # its network stays as it was
    sent: np.ndarray  # whose answers travel
    heard: np.ndarray  # whose answers arrive and are finite


def drawn(seed: int, clients: int, share: float, purpose: str) -> np.ndarray:
    """(N,) bool: the ceil(share N) clients with the smallest draws of their streams (seed, "faults <purpose>", client).

    >>> drawn(0, 20, .3, "dropout 4").sum(), (drawn(0, 20, .1, "x") <= drawn(0, 20, .3, "x")).all()
    (np.int64(6), np.True_)
    """
    if share == 0:
        return np.zeros(clients, bool)
    draws = [stream(seed, f"faults {purpose}", client).random() for client in range(clients)]
    return np.argsort(np.argsort(draws)) < math.ceil(share * clients - 1e-9)  # .3 * 20 is a little more than 6


def channel(config, seeds):
    """What a round's answers go through: (said (z, t, u, c) or None, round) -> (what arrives, Presence); the identity
    without faults. Answers that are not finite are replaced by uniform ones, and nobody hears them.
    """
    n, before = config.clients, None

    def struck(name, purpose):
        return np.stack([drawn(seed, n, getattr(config, name), purpose) for seed in seeds])

    exploding, lying = struck("exploding", "exploding"), struck("liars", "liars")
    begins = np.array([[stream(seed, "faults exploding from", i).random() for i in range(n)] for seed in seeds])

    def carry(said, round):
        nonlocal before
        absent, late = (struck(name, f"{name} {round}") for name in ("dropout", "straggling"))
        broken = exploding & (round > np.floor(begins * config.rounds))
        if said is None or not (absent | late | lying | broken).any():
            before = said
            return said, Presence(absent, broken, ~absent, ~(absent | broken))
        arrived, sent = said.clone(), ~absent & (~late | (before is not None))
        if before is not None:
            arrived[late] = before[late]
        for z, t in np.argwhere(lying):
            arrived[z, t] = lie(arrived[z, t], config.lie, seeds[z], int(t), round)
        arrived[broken] = math.nan
        whole = arrived.isfinite().flatten(2).all(2)
        arrived[~whole] = -math.log(said.shape[-1])
        before = said
        return arrived, Presence(absent, broken, sent, sent & whole.cpu().numpy())

    return carry


def lie(log_p, kind: str, seed: int, client: int, round: int):
    """(u, c) log-posteriors that a liar sends in place of its own log_p (u, c); kind: of LIES.

    >>> import torch
    >>> lie(torch.tensor([[.7, .2, .1]]).log(), "flip", 0, 0, 1).exp().round(decimals=4).tolist()
    [[0.10000000149011612, 0.699999988079071, 0.20000000298023224]]
    """
    classes = log_p.shape[1]
    if kind == "flip":  # the classes shifted by one
        return log_p.roll(1, -1)
    if kind == "random":  # about other images, dealt anew each round
        return log_p[stream(seed, f"faults lies {round}", client).permutation(len(log_p))]
    if kind == "constant":  # one posterior of its own for all images, drawn once
        spoken = stream(seed, "faults constant", client).dirichlet(np.ones(classes)).clip(1e-6)
    else:  # collude: nearly all mass on one class, the same for all liars of a seed
        spoken = np.full(classes, (1 - NEARLY_ALL) / (classes - 1))
        spoken[stream(seed, "faults collusion").integers(classes)] = NEARLY_ALL
    return log_p.new_tensor(np.log(spoken / spoken.sum())).expand_as(log_p)
