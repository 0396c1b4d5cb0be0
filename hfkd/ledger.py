"""The journals of a run, as tidy frames: what every edge earned and cost, and what every client weighed by.

They are results, not logs: no claim about groups can be checked without them.
"""

import numpy as np
import pandas as pd
import torch

from hfkd.books import reach
from hfkd.transport import edge_bytes, link_bytes

LEDGER = ["seed", "round", "from", "to", "kind", "revenue", "weight", "bytes"]
WEIGHTS = ["seed", "round", "client", "weight", "closed", "hard", "soft", "own", "other", "cosine"]


def close(books, seeds, lessons, round) -> None:
    """Write the edges of the period that ends with this round, and clear what belongs to a period.

    A row: revenue is the running mean at the end of the period, weight the mean over classes of the pooling weight W in
    it, bytes what would have travelled over the edge in it if nobody relayed. `from` speaks and `to` listens; kind says
    what the speaker is to the listener. The weights of a listener sum to 1, its own row (kind self) included.

    Faults leave their trace: weight is then the mean over the period's rounds of what W became among those who were
    heard. A speaker that was refused in all of them has the kind "quarantined", and weight 0; an edge that is not in
    the graph as decided, and carried answers while a teacher was offline, has the kind "fallback".
    """
    for z, lesson in enumerate(lessons):
        if lesson.mask is not None:
            mask, kinds = np.asarray(lesson.mask, bool), edge_kinds(lesson)
            weight = torch.as_tensor(lesson.weights).mean(-1).cpu().numpy()
            if books.spells:
                weight, lost = books.heard[z] / books.spells, books.refused[z] == books.spells
                kinds = np.where(mask, np.where(lost & (kinds != "self"), "quarantined", kinds), "fallback")
                mask = mask | (books.bytes[z] > 0) | (weight > 0)
            to, of = np.nonzero(mask)
            books.ledger.append(pd.DataFrame({
                "seed": seeds[z], "round": round, "from": of, "to": to, "kind": kinds[to, of],
                "revenue": books.revenue[z, to, of], "weight": weight[to, of], "bytes": books.bytes[z, to, of],
            }))  # fmt: skip
    books.bytes[:] = 0
    books.strikes[:] = 0
    books.spells = 0


def count_bytes(state, books, config, lessons, ears) -> None:
    """What travels in this round, link by link and edge by edge; whom the gate has closed hears nobody, what is
    quarantined has travelled, and what is recalled has not.

    Args:
        ears: (z, N) bool, who may listen.
    """
    masks = np.stack([reach(books, lesson, z, refused=True) for z, lesson in enumerate(lessons)])
    heard_from = masks & (ears & (books.strikes < 2))[:, :, None]
    for z, s in np.argwhere(books.alone_with >= 0):  # who explores hears one partner
        heard_from[z, s] &= np.arange(state.clients) == books.alone_with[z, s]
    sent = link_bytes(state, config, heard_from)
    if books.kept is not None:  # what is recalled is there already, and comes down in the pooled target
        heard_from &= ~books.kept[:, None]
        sent[..., 0] = link_bytes(state, config, heard_from)[..., 0]
    state.sent += sent
    books.bytes += edge_bytes(state, config) * heard_from


def edge_kinds(lesson) -> np.ndarray:
    """(N, N) what the speaker is to the listener: teacher, feedback (its student), peer, or self.

    >>> from types import SimpleNamespace
    >>> edges = np.array([[False, True], [False, False]])
    >>> edge_kinds(SimpleNamespace(mask=edges | edges.T, edges=edges)).tolist()
    [['self', 'teacher'], ['feedback', 'self']]
    """
    edges = np.asarray(lesson.mask if lesson.edges is None else lesson.edges, bool)
    kinds = np.where(edges, "teacher", np.where(edges.T, "feedback", "peer")).astype(object)
    np.fill_diagonal(kinds, "self")
    return kinds


def note(books, seeds, weight, signals, round) -> None:
    """Write a row per client: alpha or beta in this round, whether the gate has closed, and the signals that were read.

    Args:
        weight: (z, N). signals: signals.Heard, (z, N) each.
    """
    n = weight.shape[1]
    columns = {name: getattr(signals, name).reshape(-1) for name in WEIGHTS[5:]}
    books.weights.append(pd.DataFrame({
        "seed": np.repeat(seeds, n), "round": round, "client": np.tile(np.arange(n), len(seeds)),
        "weight": weight.reshape(-1), "closed": (books.strikes >= 2).reshape(-1).astype(int), **columns,
    }))  # fmt: skip


def journals(books) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(ledger, weights) of the whole run, with columns LEDGER and WEIGHTS."""
    empty = pd.DataFrame(columns=LEDGER)
    return (
        pd.concat(books.ledger, ignore_index=True)[LEDGER] if books.ledger else empty,
        pd.concat(books.weights, ignore_index=True)[WEIGHTS],
    )


def released(state, seeds) -> pd.DataFrame:
    """What every client has released of its labels: columns seed, client, level, class, count."""
    z, client, label = np.indices(state.released.shape).reshape(3, -1)
    level = np.stack([fed.levels for fed in state.splits])
    return pd.DataFrame({
        "seed": np.asarray(seeds)[z], "client": client, "level": level[z, client], "class": label,
        "count": state.released.reshape(-1),
    })  # fmt: skip
