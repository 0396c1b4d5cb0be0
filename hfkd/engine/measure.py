"""What a run is judged by: personality on a client's own test split, consistency on the balanced test set.

Both are accuracies in [0, 1], per client. The validation columns are the same two questions asked of validation data
only: every choice (round, alpha, rule) is made by them, never by the test columns.
"""

import numpy as np
import torch

from hfkd.engine.method import by_head
from hfkd.engine.state import padded
from hfkd.knowledge import predictions

COLUMNS = ("personality", "consistency", "consistency_corrected", "val_personality", "val_consistency")


def measure(fed, config, method) -> dict[str, np.ndarray]:
    """Accuracies of every client, column -> (z * N,) float64; NaN for a client whose split has no sample.

        personality             own test split, predicted with the client's own prior
        consistency             balanced test set, predicted as trained: without the prior by the balanced loss, with
                                the prior inside by the plain one
        consistency_corrected   the same with the prior taken out of plainly trained networks as well
        val_personality         own validation split
        val_consistency         mean recall over classes on the union of all clients' validation splits, predicted as
                                consistency is

    Scores of prototypes are no logits: they are taken as they are.
    """
    balanced, by_prototype = config.hard_loss == "balanced", config.readout == "prototype"
    answers = method.answers if by_prototype else by_head
    result = {name: np.zeros(len(fed.prior)) for name in COLUMNS}
    for cohort in fed.cohorts:
        ids = cohort.members.tolist()
        splits, client = [fed.splits[i // fed.clients] for i in ids], [i % fed.clients for i in ids]
        prior = fed.prior[cohort.members] * (not by_prototype)

        def accuracy(lists, which, mean_recall=False):
            if not any(map(len, lists)):  # no validation split at all
                return np.nan
            at, there = padded(lists, fed.images.device)
            own, free = predictions(answers(fed, cohort, fed.images, at), prior, balanced)
            chosen = {"own": own, "free": free, "trained": free if balanced else own}[which]
            weight = _recall_weights(fed.labels[at], there, prior.shape[-1]) if mean_recall else there.double()
            right = (chosen == fed.labels[at]).double()
            return ((right * weight).sum(1) / weight.sum(1)).cpu().numpy()

        everybody = [np.concatenate(own.val) for own in splits]
        result["personality"][ids] = accuracy([own.test[i] for own, i in zip(splits, client)], "own")
        result["val_personality"][ids] = accuracy([own.val[i] for own, i in zip(splits, client)], "own")
        result["consistency"][ids] = accuracy([own.balanced for own in splits], "trained")
        result["consistency_corrected"][ids] = accuracy([own.balanced for own in splits], "free")
        result["val_consistency"][ids] = accuracy(everybody, "trained", mean_recall=True)
    return result


def _recall_weights(labels, there, classes):
    """(b, n) weights 1 / (samples of that class in the row), 0 for padding: the weighted mean is the mean recall."""
    seen = torch.nn.functional.one_hot(labels, classes).double() * there.unsqueeze(-1)
    return (seen / seen.sum(1, keepdim=True).clamp_min(1)).sum(-1)
