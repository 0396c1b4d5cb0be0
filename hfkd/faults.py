"""Faults as a model: who is absent, late, offline, lying or broken in a round, and what of that arrives (ours).

    dropout     a client neither trains, speaks nor listens in this round; its network waits
    straggling  what others hear of a client is what it thought in the round before
    offline     a client trains and listens, and nobody hears it; its students look for other teachers
    liars       the same clients in every round send something else than they think (LIES)
    exploding   from a round of its own on a client breaks: what it sends is not finite, its network stays as it was

All draws come from (seed, "faults ...", client), never from the method: runs stay paired, and the clients that a share
picks are among those that a larger share picks. A fault is in what is sent: a client's own view of its own answers is
always fresh and true. Nothing here imports torch, so figures can ask who lied.

Axes: z seed, n image, c class. Flat id of a client: z * N + client.
"""

import math
from typing import NamedTuple

import numpy as np

from hfkd.streams import stream

SHARES = ("dropout", "straggling", "offline", "liars", "exploding")  # fields of Config, all shares of the clients
LIES = {
    "flip": "posteriors with the classes shifted by one",
    "random": "posteriors of other images, dealt anew each round",
    "constant": "one posterior of its own for all images, drawn once",
    "collude": "nearly all mass on one class, the same for all liars of a seed",
}
NEARLY_ALL = 0.99  # mass on the class of those who collude


class Faults(NamedTuple):
    """Who is struck in one round: (z, N) bool each."""

    absent: np.ndarray
    late: np.ndarray
    offline: np.ndarray
    lying: np.ndarray
    broken: np.ndarray


def drawn(seed: int, clients: int, share: float, purpose: str) -> np.ndarray:
    """(N,) bool: the ceil(share N) clients with the smallest draws of their streams (seed, "faults <purpose>", client).

    >>> drawn(0, 20, .3, "dropout 4").sum(), (drawn(0, 20, .1, "x") <= drawn(0, 20, .3, "x")).all()
    (np.int64(6), np.True_)
    """
    if share == 0:
        return np.zeros(clients, bool)
    draws = [stream(seed, f"faults {purpose}", client).random() for client in range(clients)]
    return np.argsort(np.argsort(draws)) < math.ceil(share * clients - 1e-9)  # .3 * 20 is a little more than 6


def liars(seed: int, clients: int, share: float) -> np.ndarray:
    """(N,) bool: who lies in all rounds of a seed if that share of the clients does.

    >>> np.flatnonzero(liars(0, 20, .2)).tolist() == np.flatnonzero(liars(0, 20, .2)).tolist()
    True
    """
    return drawn(seed, clients, share, "liars")


def honest(frame, share: float):
    """Rows of a result of the clients that would not lie at that share, in every variant alike: differences between
    variants stay differences between the same clients.

    Args:
        frame: rows with columns seed and client, of runs of the same size, everybody in each.

    >>> import pandas as pd
    >>> len(honest(pd.DataFrame({"seed": 0, "client": range(10)}), .2))
    8
    """
    if frame.empty or not share:
        return frame
    clients = int(frame["client"].max()) + 1
    lying = {seed: liars(int(seed), clients, share) for seed in frame["seed"].unique()}
    return frame[[not lying[seed][client] for seed, client in zip(frame["seed"], frame["client"])]]


def trust(ledger, share: float, lying: bool) -> tuple:
    """What those who would lie at that share, or the others, earn their honest listeners, and what say they have.

    Revenue is the mean over edges; say is the mean, over all pairs with an honest listener, of the weight that it gives
    the speaker, 0 where there is no edge.

    Args:
        ledger: rows of one variant with columns seed, round, from, to, revenue, weight. lying: who speaks.

    Returns:
        (revenue, say): a row per round, a column per seed.
    """
    clients = int(ledger[["from", "to"]].max().max()) + 1
    lies = {seed: liars(int(seed), clients, share) for seed in ledger["seed"].unique()}
    speaks, hears = ([lies[seed][i] for seed, i in zip(ledger["seed"], ledger[end])] for end in ("from", "to"))
    rows = ledger[(np.array(speaks) == lying) & ~np.array(hears) & (ledger["from"] != ledger["to"])]
    groups = rows.groupby(["round", "seed"])
    revenue, say = groups["revenue"].mean().unstack("seed"), groups["weight"].sum().unstack("seed").fillna(0)
    many = {seed: int(who.sum()) for seed, who in lies.items()}
    return revenue, say / [(clients - many[s]) * (many[s] if lying else clients - many[s] - 1) for s in say.columns]


def of_round(config, seeds, round: int) -> Faults | None:
    """Who is struck in a round, counted from 1; None where the configuration asks for no fault."""
    if not any(getattr(config, name) for name in SHARES):
        return None

    def each(name, purpose):
        return np.stack([drawn(seed, config.clients, getattr(config, name), purpose) for seed in seeds])

    begins = [[stream(seed, "faults exploding from", i).random() for i in range(config.clients)] for seed in seeds]
    return Faults(
        each("dropout", f"dropout {round}"), each("straggling", f"straggling {round}"),
        each("offline", f"offline {round}"), each("liars", "liars"),
        each("exploding", "exploding") & (round > np.floor(np.array(begins) * config.rounds)),
    )  # fmt: skip


def lie(log_p, kind: str, seed: int, client: int, round: int):
    """(n, c) log-posteriors that a liar sends in place of its own, see LIES.

    Args:
        log_p: (n, c) tensor, what it thinks.

    Raises:
        ValueError: another kind.

    >>> import torch
    >>> lie(torch.tensor([[.7, .2, .1]]).log(), "flip", 0, 0, 1).exp().round(decimals=4).tolist()
    [[0.10000000149011612, 0.699999988079071, 0.20000000298023224]]
    """
    classes = log_p.shape[1]
    if kind == "flip":
        return log_p.roll(1, -1)
    if kind == "random":
        return log_p[stream(seed, f"faults lies {round}", client).permutation(len(log_p))]
    if kind == "constant":
        spoken = stream(seed, "faults constant", client).dirichlet(np.ones(classes)).clip(1e-6)
    elif kind == "collude":
        spoken = np.full(classes, (1 - NEARLY_ALL) / (classes - 1))
        spoken[stream(seed, "faults collusion").integers(classes)] = NEARLY_ALL
    else:
        raise ValueError(f"lie is {kind!r}; expected one of {', '.join(LIES)}")
    return log_p.new_tensor(np.log(spoken / spoken.sum())).expand_as(log_p)


def arrive(own, before, fault: Faults, config, seeds, round):
    """What reaches the others of what everybody thinks.

    Who is late says what it thought in the round before; if nobody was asked then, nothing. Answers that are not finite
    are quarantined: they are replaced by uniform ones, and their senders are silent.

    Args:
        own: (z * N, n, c) log-posteriors of this round. before: those of the round before, or None.

    Returns:
        (sent (z * N, n, c), silent (z, N) bool whom nobody hears, broken (z, N) bool who is quarantined).
    """
    sent, silent = own.clone(), fault.absent | fault.offline
    late = np.flatnonzero(fault.late)
    if before is None:
        silent = silent | fault.late
    else:
        sent[late] = before[late]
    for z, client in np.argwhere(fault.lying):
        i = z * config.clients + client
        sent[i] = lie(sent[i], config.lie, seeds[z], client, round)
    sent[np.flatnonzero(fault.broken)] = math.nan
    broken = ~sent.isfinite().flatten(1).all(1).cpu().numpy().reshape(silent.shape) & ~silent
    sent[~sent.isfinite().flatten(1).all(1)] = -math.log(own.shape[-1])
    return sent, silent | broken, broken


def networks(state) -> list[tuple[dict, dict]]:
    """Copies of the weights and momenta of every cohort, for `settle`."""
    copies = ((cohort.weights, cohort.momentum) for cohort in state.cohorts)
    return [tuple({name: w.clone() for name, w in part.items()} for part in parts) for parts in copies]


def settle(state, before, fault: Faults) -> None:
    """After a round of learning: networks of clients that are absent or broken are put back to what they were before.

    Their batches of the round are drawn all the same: those of later rounds are the same as without faults. A network
    that training itself has broken stays so, for the run to say that it diverged.
    """
    struck = (fault.absent | fault.broken).reshape(-1)
    for cohort, parts in zip(state.cohorts, before, strict=True):
        back = np.flatnonzero(struck[cohort.members.numpy()])
        for now, kept in zip((cohort.weights, cohort.momentum), parts, strict=True):
            for name, w in now.items():
                w[back] = kept[name][back]
