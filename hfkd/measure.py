"""What a run is judged by: personality on a client's own test split, consistency on the balanced test set.

Both are accuracies in [0, 1], per client. The validation columns are the same two questions asked of validation data
only: every choice (round, alpha, rule) is made by them, never by the test columns.
"""

import numpy as np
import pandas as pd
import torch

from hfkd import cohorts
from hfkd.knowledge import predictions

COLUMNS = ("personality", "consistency", "consistency_corrected", "val_personality", "val_consistency")


def measure(state, balanced: bool, answers=cohorts.logits) -> dict[str, np.ndarray]:
    """Accuracies of every client.

        personality             own test split, predicted with the client's own prior
        consistency             balanced test set, predicted with what the loss trained: without the prior if it was
        balanced,
                                with the prior inside if it was plain
        consistency_corrected   the same with the prior taken out of plainly trained networks as well
        val_personality         own validation split
        val_consistency         mean recall over classes on the union of all clients' validation splits, with the same
                                prediction as consistency

    Args:
        state: federation.State.
        balanced: whether the balanced softmax trained the networks.
        answers: (cohort, images, at) -> (b, n, c) scores of the classes, if not the logits of the head; scores that are
            no logits are taken as they are, for both questions.

    Returns:
        column -> (z * N,) float64; NaN for a client whose split has no sample.
    """
    clients = state.clients
    result = {name: np.zeros(len(state.prior)) for name in COLUMNS}
    for cohort in state.cohorts:
        ids = cohort.members.tolist()
        feds = [state.splits[i // clients] for i in ids]
        prior = state.prior[cohort.members] * (answers is cohorts.logits)  # the nearest prototype knows no prior

        def accuracy(lists, which, mean_recall=False):
            if not any(map(len, lists)):  # no validation split at all
                return [np.nan for _ in which]
            at, there = _padded(lists, state.images.device)
            own, free = predictions(answers(cohort, state.images, at), prior, balanced)
            native = free if balanced else own
            chosen = {"own": own, "free": free, "native": native}
            right = [(chosen[w] == state.labels[at]).double() for w in which]
            weight = _class_weights(state.labels[at], there, prior.shape[-1]) if mean_recall else there.double()
            return [((r * weight).sum(1) / weight.sum(1)).cpu().numpy() for r in right]

        (result["personality"][ids],) = accuracy([f.test[i % clients] for i, f in zip(ids, feds)], ["own"])
        (result["val_personality"][ids],) = accuracy([f.val[i % clients] for i, f in zip(ids, feds)], ["own"])
        result["consistency"][ids], result["consistency_corrected"][ids] = accuracy(
            [f.balanced for f in feds], ["native", "free"]
        )
        union = [np.concatenate(f.val) for f in feds]
        (result["val_consistency"][ids],) = accuracy(union, ["native"], mean_recall=True)
    return result


def _padded(lists, device):
    """(b, n) indices and (b, n) bool which of them are there."""
    longest = max(map(len, lists))
    at, there = np.zeros((2, len(lists), longest), dtype=np.int64)
    for row, (a, t) in zip(lists, zip(at, there)):
        a[: len(row)], t[: len(row)] = row, 1
    return torch.from_numpy(at).to(device), torch.from_numpy(there).to(device).bool()


def _class_weights(labels, there, classes):
    """(b, n) weights 1 / (samples of that class in the row), 0 for padding: the weighted mean is the mean recall."""
    seen = torch.nn.functional.one_hot(labels, classes).double() * there.unsqueeze(-1)
    return (seen / seen.sum(1, keepdim=True).clamp_min(1)).sum(-1)


def rows(state, config, seeds, lessons, weight, round, measured) -> pd.DataFrame:
    """One row per seed and client: where it stands in a round, as `endpoints.COLUMNS` has it.

    Args:
        lessons: a course.Teaching per seed. weight: (z, N). measured: from `measure`.
    """
    n = config.clients
    seed, client = np.repeat(seeds, n), np.tile(np.arange(n), len(seeds))
    teachers = [(0 if t.edges is None else t.edges.sum(1)) * np.ones(n, int) for t in lessons]
    return pd.DataFrame({
        "method": config.method, "dataset": config.dataset, "public": config.public, "partition": config.partition,
        "skew": config.skew, "seed": seed, "round": round, "client": client,
        "level": np.concatenate([fed.levels for fed in state.splits]),
        "samples": np.concatenate([fed.counts.sum(1) for fed in state.splits]),
        **measured, "alpha": weight.reshape(-1), "teachers": np.concatenate(teachers),
        "bytes_up": state.sent[..., 0].reshape(-1), "bytes_down": state.sent[..., 1].reshape(-1),
    })  # fmt: skip
