"""What a client knows when it decides how much to listen, and what others would save it; numbers without gradient.

Only what a rule reads is computed. V_i is the own validation split; the test sets are never read. Axes: z seed, s who
listens, t who speaks, b member of a cohort, u public image, c class.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch.nn.functional import cross_entropy, one_hot

from hfkd import revenue, weighting
from hfkd.assess import distributions
from hfkd.engine import cohort as cohorts
from hfkd.engine.state import own_images, public_images

PROBE = 256  # public images that the gradient rule looks at: bounds its cost
DECIMALS = 6  # of a signal: what is behind them may depend on how clients of other seeds are padded


class Signals(NamedTuple):
    """The signals of one round, (z, N) each; NaN where the rule does not read them."""

    hard: np.ndarray  # loss on V_i, with the client's own training loss
    usual: np.ndarray  # running mean of `hard` before this round
    soft: np.ndarray  # mean KL(q || p_i) on the public images
    own: np.ndarray  # L_i(i), loss on labelled public images, reweighted to the client's labels
    other: np.ndarray  # L_i(q), the same of its target
    cosine: np.ndarray  # between the gradients of the hard loss on V_i and of the soft loss, by the last layer


def signals(fed, config, said, q, round) -> Signals:
    """What the rule of the configuration reads of what everybody thinks, said (z, t, u, c) or None, and targets q."""
    rule, soft = config.weighting if said is not None else "", np.full(fed.loss.shape, np.nan)
    own = other = cosine = soft
    if rule in ("controller", "uncertainty"):
        mean = revenue.KEEP * fed.usual + (1 - revenue.KEEP) * fed.loss
        fed.usual = np.where(np.isnan(fed.usual), fed.loss, mean)
        fed.loss = own_losses(fed, config)
    if rule == "uncertainty":
        soft = (torch.xlogy(q, q) - q * said).sum(-1).mean(-1).clamp_min(0).cpu().numpy().astype(float)
    if rule == "loss_ratio":
        own, other = (np.diagonal(losses_of(fed, config, each, round), axis1=1, axis2=2)
                      for each in (said, q.clamp_min(1e-30).log()))  # fmt: skip
    if rule == "gradient":
        cosine = _cosines(fed, config, q, round)
    return Signals(fed.loss, fed.usual, soft, own, other, cosine)


def earned(fed, config, said, arrived, links, present, round) -> np.ndarray:
    """(z, s, t) running mean of what everybody that has spoken would have saved everybody, this round included; said:
    what everybody thinks, arrived: what others heard of it, (z, t, u, c); links (z, s, t): who has sent to whom.
    """
    if config.revenue == "none":
        return fed.revenue
    heard, thought = (losses_of(fed, config, each, round) for each in (arrived, said))
    own = np.diagonal(thought, axis1=1, axis2=2)
    known = links.any(1)[:, None] & ~present.absent[..., None] & ~np.eye(fed.clients, dtype=bool)
    saved = np.stack([revenue.labelled(*each) for each in zip(heard, own)])
    return revenue.running(fed.revenue, saved * known, known)


def losses_of(fed, config, log_p, round) -> np.ndarray:
    """(z, s, t) L_s(t), the loss of log_p (z, t, u, c) on the labelled public images: each class counts as its share of
    the labels that the listener released, mixed with 1/C as revenue_personality says.
    """
    found, even, dial = [], 1 / fed.counts.shape[-1], config.revenue_personality
    for z, each in enumerate(log_p):
        labels = fed.labels[public_images(fed, config, round, [z * fed.clients])[0]]
        shares = dial * distributions(fed.counts[z]) + (1 - dial) * even
        found.append(revenue.weighed(revenue.class_losses(each, labels).cpu(), shares))
    return np.stack(found)


@torch.no_grad()
def own_losses(fed, config, part="val") -> np.ndarray:
    """(z, N) mean hard loss of every client on a part of its own data, "val" or "train", in nats."""
    losses = np.zeros(len(fed.prior))
    for cohort in fed.cohorts:
        at, there = own_images(fed, cohort, part)
        prior = fed.prior[cohort.members][:, None] * (config.hard_loss == "balanced")
        answers = cohorts.logits(cohort, fed.images, at) + prior
        each = cross_entropy(answers.transpose(1, 2), fed.labels[at], reduction="none")
        losses[cohort.members.numpy()] = ((each * there).double().sum(1) / there.sum(1)).cpu().numpy()
    return losses.reshape(fed.loss.shape).round(DECIMALS)


@torch.no_grad()
def _cosines(fed, config, q, round):
    """(z, N) cosine of the gradients of the hard loss on V_i and of the soft loss, by the last layer."""
    cosines = np.zeros(len(fed.prior))
    for cohort in fed.cohorts:
        at, there = own_images(fed, cohort, "val")
        prior = fed.prior[cohort.members][:, None] * (config.hard_loss == "balanced")
        labels = one_hot(fed.labels[at], q.shape[-1])
        hard = _head_gradient(fed, cohort, at, labels, 1.0, prior, there.unsqueeze(-1))
        public, target = public_images(fed, config, round, cohort.members)[:, :PROBE], q.flatten(0, 1)[cohort.members]
        soft = _head_gradient(fed, cohort, public, target[:, :PROBE], config.temperature)
        cosines[cohort.members.numpy()] = torch.cosine_similarity(hard, soft, dim=-1).cpu().numpy()
    return cosines.round(DECIMALS).reshape(fed.loss.shape)


def _head_gradient(fed, cohort, at, target, temperature, prior=0, mask=1.0):
    """(b, C (d + 1)) gradient by the last layer of the loss against `target` on the images `at`."""
    features = cohorts.features(cohort, fed.images, at)
    weight, bias = cohort.weights["head.weight"], cohort.weights["head.bias"]
    answers = torch.baddbmm(bias.unsqueeze(1), features, weight.transpose(1, 2)) / temperature
    error = (torch.softmax(answers + prior, -1) - target) * mask
    return weighting.head_gradient(features.double(), error.double())
