"""Watching a run: tidy rows of where every client stands, and the ledger of who earned whom what.

Nothing here changes a number: it is a loop over `federation.rounds`. A client is judged by its personality, on its own
test split, and its consistency, on the balanced test set; every choice (round, alpha, rule) is made by the same of
validation data. Bytes are those of each client's link to a relay that pools: 4 of a number; answers go up once if
anybody listens, and come down once, pooled.
"""

import numpy as np
import pandas as pd
import torch
from torch.nn.functional import one_hot

from hfkd.engine.cohort import logits
from hfkd.engine.federation import configured, rounds
from hfkd.engine.state import own_images
from hfkd.knowledge import predictions
from hfkd.matching import covered

BYTES = 4  # of a float32 on the wire
ASKED = {"personality": "test", "consistency": "balanced", "val_personality": "val", "val_consistency": "vals"}
COLUMNS = tuple(f"{name}{other}" for name in ASKED for other in ("", "_prior" if "pers" in name else "_corrected"))
CLIENT_COLUMNS = ["method", "dataset", "public", "partition", "skew", "seed", "round", "client", "level", "samples",
                  *COLUMNS, "alpha", "teachers", "coverage", "batches", "bytes_up", "bytes_down"]  # fmt: skip
LEDGER = ["seed", "round", "from", "to", "kind", "revenue", "weight"]


def run(config, method, dataset, seeds, public=None, report=None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Trains all clients of all seeds as one program and measures them; arguments and errors as `federation.rounds`.
    What the configuration leaves open is the method's. report(round, rounds) is called after each round. Returns tidy
    rows, one per (seed, measured round, client), CLIENT_COLUMNS, and the ledger, one per (seed, period, edge), LEDGER.
    """
    torch.set_num_threads(config.threads)
    torch.backends.cudnn.deterministic = True  # same command, same machine, same bytes
    config, rows, ledger, period = configured(config, method), [], [], []
    sent = np.zeros((len(seeds) * config.clients, 2), dtype=np.int64)  # bytes up and down each client's link
    for round in rounds(config, method, dataset, seeds, public):
        end = round.number == config.rounds
        if round.answers is not None:
            over = BYTES * round.answers[0, 0].numel() * round.links  # (z, s, t), if nobody relayed
            sent += np.stack([over.max(1), over.max(2)], axis=-1).reshape(-1, 2)
            period.append(round.heard.weights.mean(-1).cpu().numpy())
        for cohort, *numbers in round.exchanged:
            for way, each in enumerate(numbers):
                sent[cohort.members.numpy(), way] += BYTES * torch.as_tensor(each).cpu().numpy()
        if config.refresh and round.number % config.refresh == 0 or end:
            ledger.append(edges(round, period, seeds))
            period = []
        if round.number % config.eval_every == 0 or end:
            rows.append(clients(config, round, seeds, measure(round.fed, config, method), sent))
        if report:
            report(round.number, config.rounds)
    return pd.concat(rows, ignore_index=True), pd.concat(ledger, ignore_index=True)


def measure(fed, config, method) -> dict[str, np.ndarray]:
    """Accuracies in [0, 1], column -> (z * N,) float64; NaN for a client whose split has no sample.

        personality, val_personality    own test split, own validation split
        consistency                     balanced test set
        val_consistency                 mean recall over classes on all clients' validation splits
        X_prior, X_corrected            the other reading of the logits: with the owner's prior, or without it

    By the readout of the configuration the first four predict; prior and personal concern personality alone, corrected
    consistency alone. A reading trains nothing, so that validation can choose one for every method (ours).
    """
    found = {name: np.full(len(fed.prior), np.nan) for name in COLUMNS}
    for cohort in fed.cohorts:
        for name, part in ASKED.items():
            at, there = own_images(fed, cohort, part)
            if not there.any():  # no validation split at all
                continue
            personal, ids = "personality" in name, cohort.members
            plain, own, free = predictions(logits(cohort, fed.images, at), fed.prior[ids])
            other, known = (own, "prior") if personal else (free, "corrected")
            read = other if config.readout == known else plain
            if config.readout == "prototype" or personal and config.readout == "personal":
                read = method.answers(fed, config, cohort, at).argmax(-1)
            weight = there.double()
            if part == "vals":  # 1 / (samples of that class in the row): the mean becomes one over classes
                same = one_hot(fed.labels[at], fed.prior.shape[-1]) * weight.unsqueeze(-1)
                weight = (same / same.sum(1, keepdim=True).clamp_min(1)).sum(-1)
            for column, said in ((name, read), (f"{name}_{known}", other)):
                right = (said == fed.labels[at]).double()
                found[column][ids.numpy()] = ((right * weight).sum(1) / weight.sum(1)).cpu().numpy()
    return found


def clients(config, round, seeds, measured, sent) -> pd.DataFrame:
    """One row per seed and client: where it stands, with CLIENT_COLUMNS; measured: from `measure`. coverage: of all
    classes by whom a client hears, itself included, in [0, 1] (`matching.covered`).
    """
    fed, n = round.fed, config.clients
    return pd.DataFrame({
        **{name: getattr(config, name) for name in CLIENT_COLUMNS[:5]}, "seed": np.repeat(seeds, n),
        "round": round.number, "client": np.tile(np.arange(n), len(seeds)), "level": fed.levels.reshape(-1),
        "samples": np.concatenate([own.counts.sum(1) for own in fed.splits]), **measured,
        "alpha": round.weight.reshape(-1), "teachers": (round.graph.edges & round.graph.others()).sum(2).reshape(-1),
        "coverage": np.concatenate([covered(*of) for of in zip(fed.counts, round.graph.mask)]),
        "batches": fed.batches.reshape(-1), "bytes_up": sent[:, 0], "bytes_down": sent[:, 1],
    })[CLIENT_COLUMNS]  # fmt: skip


def edges(round, period, seeds) -> pd.DataFrame:
    """One row per edge of a period, the rounds between two decisions who hears whom, with LEDGER: `from` speaks, `to`
    listens; kind: the speaker is its teacher, its student (feedback), a peer, or itself; revenue: the running mean at
    the end; weight: the share in the pooled target, mean over classes and rounds, those of a listener sum to 1.
    period: the shares (z, s, t) of each round with answers.
    """
    period = period or [round.graph.weights.mean(-1).cpu().numpy()]
    weight = sum(period)
    z, to, of = at = np.nonzero(round.graph.mask | (weight > 0))  # who has nobody left hears itself
    teaches, learns = round.graph.edges[at], round.graph.edges[z, of, to]
    kind = np.select([of == to, teaches, learns], ["self", "teacher", "feedback"], "peer")
    return pd.DataFrame({
        "seed": np.array(seeds)[z], "round": round.number, "from": of, "to": to, "kind": kind,
        "revenue": round.fed.revenue[at], "weight": weight[at] / len(period),
    })[LEDGER]  # fmt: skip
