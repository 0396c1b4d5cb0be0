"""Anchor: nobody talks, and everybody learns the public images with their labels as if they were its own (ours).

What labels of the public images would be worth alone: a rule that reads them and does less is of no use.
"""

from dataclasses import replace

import numpy as np

from hfkd.engine.layers import seen
from hfkd.engine.method import Method
from hfkd.knowledge import log_prior
from hfkd.losses import hard_loss


def begin(fed, config, seeds) -> None:
    """The public images of a seed follow the training images of every client."""
    fed.splits = [replace(own, train=tuple(np.concatenate([mine, own.public]) for mine in own.train))
                  for own in fed.splits]  # fmt: skip


def given(fed, config, cohort) -> tuple:
    """(b, c) log prior of what is trained on, for the balanced loss, else zeros."""
    labels = fed.labels.cpu().numpy()
    counts = [np.bincount(labels[fed.splits[i // fed.clients].train[i % fed.clients]], minlength=fed.prior.shape[-1])
              for i in cohort.members.tolist()]  # fmt: skip
    return (log_prior(np.stack(counts)).to(fed.prior) * (config.hard_loss == "balanced"),)


def loss(module, weights, x, y, prior, mixed):
    """CE, by the prior of own and public images together."""
    return hard_loss(seen(module, weights, x)[1], y, mixed)


LABELLED_PUBLIC = Method("labelled_public", "anchor: own data and the public images with their labels, nobody talks",
                         begin=begin, given=given, local_loss=loss, needs=("public", "labels"))
