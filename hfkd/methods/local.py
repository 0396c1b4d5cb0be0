"""Nobody talks: the rows that every table needs (ours); the balanced softmax is of Ren et al. 2020 (2007.10740).

What labels of the public images would be worth alone is `labelled_public`: a rule that reads them and does less is of
no use.
"""

from dataclasses import replace

import numpy as np

from hfkd.engine.method import Method
from hfkd.engine.state import images_of
from hfkd.engine.training import plain
from hfkd.knowledge import log_prior


def begin(fed, config, seeds) -> None:
    """The public images of a seed follow the training images of every client."""
    fed.splits = [replace(own, train=tuple(np.concatenate([mine, own.public]) for mine in own.train))
                  for own in fed.splits]  # fmt: skip


def given(fed, config, cohort) -> tuple:
    """(b, c) log prior of what is trained on, for the balanced loss, else zeros."""
    labels, classes = fed.labels.cpu().numpy(), fed.prior.shape[-1]
    counts = [np.bincount(labels[mine], minlength=classes) for mine in images_of(fed, cohort.members)]
    return (log_prior(np.stack(counts)).to(fed.prior) * (config.hard_loss == "balanced"),)


LOCAL = Method("local", "own data only, plain cross-entropy")
BALANCED_LOCAL = Method("balanced_local", "own data only, balanced softmax: what the loss alone gains", loss="balanced")
LABELLED_PUBLIC = Method("labelled_public", "anchor: own data and the public images with their labels, nobody talks",
                         begin=begin, given=given, needs=("public", "labels"),
                         local_loss=lambda module, weights, x, y, own, both: plain(module, weights, x, y, both))
