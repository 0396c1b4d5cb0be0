"""Watching a run: tidy rows of where every client stands, and the ledger of who earned whom what.

Nothing here changes a number: it is a loop over `federation.rounds`. Bytes are those of each client's link to a relay
that pools: 4 of a number; answers go up once if anybody listens, and come down once, pooled.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from hfkd.engine.federation import configured, rounds
from hfkd.engine.measure import measure

BYTES = 4  # of a float32 on the wire
CLIENT_COLUMNS = ["method", "dataset", "public", "partition", "skew", "seed", "round", "client", "level", "samples",
                  "personality", "consistency", "consistency_corrected", "val_personality", "val_consistency", "alpha",
                  "teachers", "bytes_up", "bytes_down"]  # fmt: skip
LEDGER = ["seed", "round", "from", "to", "kind", "revenue", "weight", "bytes"]


class Outcome(NamedTuple):
    """What a run leaves behind, tidy."""

    rows: pd.DataFrame  # one per (seed, measured round, client), CLIENT_COLUMNS
    ledger: pd.DataFrame  # one per (seed, period, edge), LEDGER


def run(config, method, dataset, seeds, public=None, report=None) -> Outcome:
    """Trains all clients of all seeds as one program and measures them; arguments and errors as `federation.rounds`.

    What the configuration leaves open is the method's. report(round, rounds) is called after each round.
    """
    torch.set_num_threads(config.threads)
    torch.backends.cudnn.deterministic = True  # same command, same machine, same bytes
    config, rows, ledger, period = configured(config, method), [], [], []
    sent = np.zeros((len(seeds) * config.clients, 2), dtype=np.int64)
    for round in rounds(config, method, dataset, seeds, public):
        sent += traffic(round)
        if round.answers is not None:
            period.append((round.heard.weights.mean(-1).cpu().numpy(), answer_bytes(round) * round.links))
        if config.refresh and round.number % config.refresh == 0 or round.number == config.rounds:
            ledger.append(edges(round, period, seeds))
            period = []
        if round.number % config.eval_every == 0 or round.number == config.rounds:
            rows.append(clients(config, round, seeds, measure(round.fed, config, method), sent))
        if report:
            report(round.number, config.rounds)
    return Outcome(pd.concat(rows, ignore_index=True), pd.concat(ledger, ignore_index=True))


def answer_bytes(round) -> int:
    """Bytes of the answers of one client in this round."""
    return 0 if round.answers is None else BYTES * round.answers[0, 0].numel()


def traffic(round) -> np.ndarray:
    """(z * N, 2) bytes up and down each client's link in this round."""
    sent = np.stack([round.links.any(1), round.links.any(2)], axis=-1).reshape(-1, 2) * answer_bytes(round)
    for cohort, up, down in round.exchanged:
        for way, numbers in enumerate((up, down)):
            sent[cohort.members.numpy(), way] += BYTES * torch.as_tensor(numbers).cpu().numpy()
    return sent


def clients(config, round, seeds, measured, sent) -> pd.DataFrame:
    """One row per seed and client: where it stands, with CLIENT_COLUMNS; measured: from `measure.measure`."""
    fed, n = round.fed, config.clients
    scene = {name: getattr(config, name) for name in CLIENT_COLUMNS[:5]}
    return pd.DataFrame({
        **scene, "seed": np.repeat(seeds, n), "round": round.number, "client": np.tile(np.arange(n), len(seeds)),
        "level": fed.levels.reshape(-1), "samples": np.concatenate([own.counts.sum(1) for own in fed.splits]),
        **measured, "alpha": round.weight.reshape(-1), "teachers": round.graph.edges.sum(2).reshape(-1),
        "bytes_up": sent[:, 0], "bytes_down": sent[:, 1],
    })[CLIENT_COLUMNS]  # fmt: skip


def edges(round, period, seeds) -> pd.DataFrame:
    """One row per edge of a period, the rounds between two decisions who hears whom, with LEDGER.

    `from` speaks and `to` listens; revenue: the running mean at the end; weight: the share in the pooled target, mean
    over classes and the rounds in which anybody was asked, those of a listener sum to 1; bytes: over the edge, if
    nobody relayed. round: the last one; period: (say (z, s, t), bytes (z, s, t)) of each round with answers.
    """
    period = period or [(round.graph.weights.mean(-1).cpu().numpy(), np.zeros(round.links.shape, np.int64))]
    weight, sent = (sum(each) for each in zip(*period))
    found = []
    for z, seed in enumerate(seeds):
        kind = kinds(round.graph.edges[z])
        to, of = np.nonzero(round.graph.mask[z])
        found.append(pd.DataFrame({
            "seed": seed, "round": round.number, "from": of, "to": to, "kind": kind[to, of],
            "revenue": round.fed.revenue[z, to, of], "weight": weight[z, to, of] / len(period),
            "bytes": sent[z, to, of],
        }))  # fmt: skip
    return pd.concat(found, ignore_index=True)[LEDGER]


def kinds(edges) -> np.ndarray:
    """(N, N) what the speaker is to the listener: teacher, feedback (its student), peer, or self.

    >>> kinds(np.array([[False, True], [False, False]])).tolist()
    [['self', 'teacher'], ['feedback', 'self']]
    """
    found = np.where(edges, "teacher", np.where(edges.T, "feedback", "peer")).astype(object)
    np.fill_diagonal(found, "self")
    return found
