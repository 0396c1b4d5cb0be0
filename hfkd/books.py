"""The books of a run: what everybody earned everybody, what arrives of what is said, and who hears whom in a round.

Revenue is kept as a running mean (`earning`) and read whenever the graph is made anew; everything here is part of a
checkpoint. Source: ours.

Axes: z seed, s listener, t speaker, n image, c class.
"""

from dataclasses import dataclass, field

import numpy as np
import torch

from hfkd.knowledge import without
from hfkd.streams import stream


@dataclass
class Books:
    """What is known at a moment of a run; arrays are changed in place or replaced, round by round."""

    revenue: np.ndarray  # (z, N, N) running mean of what t earned s; 0 where nobody has measured it
    loss: np.ndarray  # (z, N) own validation loss, nats; NaN: not measured
    usual: np.ndarray  # (z, N) its running mean before this round
    before: np.ndarray  # (z, N) the validation loss of the round before
    strikes: np.ndarray  # (z, N) rounds in a row in which nobody helped
    weight: np.ndarray  # (z, N) last alpha or beta above 0; NaN before the first
    listened: np.ndarray  # (z, N) bool, who learned from others in the last round
    alone_with: np.ndarray  # (z, N) the one partner that s hears while it explores, or -1
    streams: list = field(default_factory=list)  # (seed, "exploration", client)
    bytes: np.ndarray | None = None  # (z, N, N) over each edge since the graph was made
    ledger: list = field(default_factory=list)  # see `ledger.close`
    weights: list = field(default_factory=list)  # see `ledger.note`
    shares: np.ndarray | None = None  # (z, N, N) share of each speaker in what each listener heard in the last round
    own: torch.Tensor | None = None  # what everybody thinks of its last answers, where faults change what arrives
    absent: np.ndarray | None = None  # (z, N) bool, who takes no part in this round
    silent: np.ndarray | None = None  # (z, N) bool, whom nobody hears in this round; None: no faults
    shut: np.ndarray | None = None  # (z, N) bool, who is quarantined: its answers are not finite, or are doubted
    last: torch.Tensor | None = None  # what was last heard of everybody, NaN: nothing; kept with `recall`
    kept: np.ndarray | None = None  # (z, N) bool, of whom that is pooled in this round
    heard: np.ndarray | None = None  # (z, N, N) sum of the shares over the rounds of the period, under faults
    refused: np.ndarray | None = None  # (z, N) rounds of the period in which it was quarantined
    spells: int = 0  # rounds of the period that are in the sums


def opened(seeds, clients) -> Books:
    """Empty books."""
    shape = (len(seeds), clients)
    unknown = np.full(shape, np.nan)
    draws = [[stream(seed, "exploration", i) for i in range(clients)] for seed in seeds]
    return Books(np.zeros((*shape, clients)), *(unknown.copy() for _ in range(3)), np.zeros(shape, int), unknown,
                 np.zeros(shape, bool), np.full(shape, -1), draws, np.zeros((*shape, clients), np.int64),
                 shares=np.zeros((*shape, clients)))  # fmt: skip


def heard_weights(books, lesson, z):
    """W (s, t, c) as it is heard in this round: that of the lesson among those who can be heard, or one partner alone
    for those who explore.
    """
    explorers, weights = np.flatnonzero(books.alone_with[z] >= 0), lesson.weights
    if books.silent is not None and books.silent[z].any() and weights is not None:
        weights = without(weights, lesson.mask, books.silent[z] & ~np.eye(len(lesson.mask), dtype=bool))
    if not len(explorers):
        return weights
    weights = weights.clone()
    weights[explorers] = 0.0
    weights[explorers, books.alone_with[z, explorers]] = 1.0
    return weights


def reach(books, lesson, z, refused=False) -> np.ndarray:
    """(N, N) bool [listener, speaker]: whom else everybody can hear in this round; nobody where W is None.

    Args:
        refused: whether those count whose answers arrive and are quarantined.
    """
    if lesson.mask is None:
        return np.zeros((books.revenue.shape[1],) * 2, bool)
    mask = np.asarray(lesson.mask, bool) & ~np.eye(len(lesson.mask), dtype=bool)
    return mask if books.silent is None else mask & ~(books.silent[z] & ~(refused & books.shut[z]))


def truth(books, said):
    """(z * N, n, c) what everybody thinks, where that is not what it said: its own view of its own answers."""
    return said if books.own is None else books.own


def say(books, lesson, z) -> np.ndarray:
    """(N, N) share of each speaker in what each listener heard, the mean over classes; rows sum to 1."""
    if lesson.weights is None:
        return np.eye(books.revenue.shape[1])
    return torch.as_tensor(heard_weights(books, lesson, z)).mean(-1).cpu().numpy()


def present(books, z) -> np.ndarray:
    """(N,) bool: who takes part in this round."""
    return np.ones(books.strikes.shape[1], bool) if books.absent is None else ~books.absent[z]


def tally(books, lessons) -> None:
    """Keep the shares in what is heard in this round: revenue asks for them in the next, the ledger for their mean."""
    books.shares = np.stack([say(books, lesson, z) for z, lesson in enumerate(lessons)])
    if books.silent is None:
        return
    if not books.spells:
        books.heard, books.refused = np.zeros_like(books.shares), np.zeros(books.strikes.shape, int)
    books.heard += books.shares
    books.refused += books.shut
    books.spells += 1
