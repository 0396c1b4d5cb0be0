"""What a client knows when it decides how much to listen, and what others would save it; numbers without gradient.

Only what a rule reads is computed. V_i is the own validation split; the test sets are never read. Axes: z seed, s who
listens, t who speaks, b member of a cohort, u public image, c class.
"""

import numpy as np
import torch
from torch.nn.functional import cross_entropy, one_hot

from hfkd import revenue, weighting
from hfkd.assess import distributions
from hfkd.engine import cohort as cohorts
from hfkd.engine.state import own_images, public_images

PROBE = 256  # public images that the gradient rule looks at: bounds its cost
DECIMALS = 6  # of a signal: what is behind them may depend on how clients of other seeds are padded


def signals(fed, config, said, q, round) -> tuple[np.ndarray, ...] | None:
    """What the rule of the configuration reads of what everybody thinks, said (z, t, u, c), and targets q, (z, N) each;
    None where it reads nothing, or where nobody spoke.

        loss_ratio   L_i(i) and L_i(q): loss on labelled public images, reweighted to the client's labels; own, target's
        uncertainty  loss on V_i, with the client's own training loss; mean KL(q || p_i) on the public images
        controller   the same loss on V_i; its running mean before this round
        gradient     cosine between the gradients of the loss on V_i and of the soft loss, by the last layer
    """
    if said is None or config.weighting in ("fixed", "ramp"):
        return None
    if config.weighting == "loss_ratio":
        return tuple(np.diagonal(losses_of(fed, config, each, round), axis1=1, axis2=2)
                     for each in (said, q.clamp_min(1e-30).log()))  # fmt: skip
    if config.weighting == "gradient":
        return (_cosines(fed, config, q, round),)
    mean = revenue.KEEP * fed.usual + (1 - revenue.KEEP) * fed.loss
    fed.usual = np.where(np.isnan(fed.usual), fed.loss, mean)
    fed.loss = own_losses(fed, config)
    if config.weighting == "controller":
        return fed.loss, fed.usual
    return fed.loss, (torch.xlogy(q, q) - q * said).sum(-1).mean(-1).clamp_min(0).cpu().numpy().astype(float)


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
