"""What a client knows when it decides how much to listen, and what others would save it; numbers without gradient.

    hard    loss on its own validation split V_i, with its own training loss
    soft    mean KL(q || p_i) on the public images
    own     L_i(i), other L_i(q): its own and its target's loss on labelled public images, reweighted to its labels
    cosine  between the gradients of the hard loss on V_i and of the soft loss, by the last layer

Only what a rule reads is computed. V_i also chooses among methods (METHOD section 9); the test sets are never read.

Axes: z seed, s who listens, t who speaks, b member of a cohort, u public image, n image, c class.
"""

from typing import NamedTuple

import numpy as np
import torch

from hfkd import revenue, weighting
from hfkd.engine import cohort as cohorts
from hfkd.engine.state import own_images, public_images
from hfkd.engine.wire import asked_about, public_labels

PROBE = 256  # public images that the gradient rule looks at: bounds its cost
DECIMALS = 6  # of a signal: what is behind them may depend on how clients of other seeds are padded
READS = {"loss_ratio": {"own"}, "controller": {"hard"}, "gradient": {"cosine"}, "uncertainty": {"hard", "soft"}}


class Signals(NamedTuple):
    """The signals of one round, (z, N) each; NaN where the rule does not read them."""

    hard: np.ndarray
    usual: np.ndarray  # running mean of `hard` before this round
    soft: np.ndarray
    own: np.ndarray
    other: np.ndarray
    cosine: np.ndarray


def signals(fed, config, said, q, round) -> Signals:
    """What the rule of the configuration reads of what everybody thinks, said (z, t, u, c) or None, and targets q."""
    wanted = READS.get(config.weighting, set()) if said is not None else set()
    soft = own = other = cosine = np.full(fed.loss.shape, np.nan)
    if "hard" in wanted:
        _take_losses(fed, own_losses(fed, config))
    if "soft" in wanted:
        apart = (torch.xlogy(q, q) - q * said).sum(-1).mean(-1)
        soft = apart.clamp_min(0).cpu().numpy().astype(float)
    if "own" in wanted:
        own, other = (np.stack([np.diagonal(losses_of(fed, config, z, part[z], round)) for z in range(fed.seeds)])
                      for part in (said, q.clamp_min(1e-30).log()))  # fmt: skip
    if "cosine" in wanted:
        cosine = _cosines(fed, config, q, round)
    return Signals(fed.loss, fed.usual, soft, own, other, cosine)


def earned(fed, config, said, arrived, links, present, round) -> np.ndarray:
    """(z, s, t) running mean of what everybody that has spoken would have saved everybody, this round included.

    said (z, t, u, c): what everybody thinks; arrived: what others heard of it; links (z, s, t): who has sent to whom.
    """
    if config.revenue == "none":
        return fed.revenue
    kept, others = fed.revenue.copy(), ~np.eye(fed.clients, dtype=bool)
    for z in range(fed.seeds):
        heard, own = (losses_of(fed, config, z, part[z], round) for part in (arrived, said))
        known = others & links[z].any(0) & ~present.absent[z][:, None]
        kept[z] = revenue.running(kept[z], revenue.labelled(heard, np.diagonal(own)) * known, known)
    return kept


def losses_of(fed, config, z, log_p, round) -> np.ndarray:
    """L_s(t) (s, t) on the labelled public images of a seed: each class counts as its share of the labels that the
    listener released, mixed with 1/C as revenue_personality says.
    """
    by_class = revenue.class_losses(log_p, public_labels(fed, config, z, round))
    counts = np.asarray(fed.counts[z], float)
    total, even = counts.sum(1, keepdims=True), 1 / counts.shape[1]
    own = np.where(total > 0, counts / np.maximum(total, 1), even)
    dial = config.revenue_personality
    return revenue.weighed(by_class.cpu(), dial * own + (1 - dial) * even)


@torch.no_grad()
def own_losses(fed, config, part="val") -> np.ndarray:
    """(z, N) mean hard loss of every client on a part of its own data, "val" or "train", in nats."""
    losses = np.zeros(len(fed.prior))
    for cohort in fed.cohorts:
        at, there = own_images(fed, cohort, part)
        prior = fed.prior[cohort.members][:, None] if config.hard_loss == "balanced" else 0
        answers = cohorts.logits(cohort, fed.images, at) + prior
        each = torch.nn.functional.cross_entropy(answers.transpose(1, 2), fed.labels[at], reduction="none")
        losses[cohort.members.numpy()] = ((each * there).double().sum(1) / there.sum(1)).cpu().numpy()
    return losses.reshape(fed.loss.shape).round(DECIMALS)


def _take_losses(fed, now) -> None:
    """Take in the validation losses (z, N) of this round, and move their running mean to those before it."""
    blank, keep = np.isnan(fed.usual), revenue.KEEP
    fed.usual = np.where(blank, fed.loss, keep * fed.usual + (1 - keep) * fed.loss)
    fed.loss = now


@torch.no_grad()
def _cosines(fed, config, q, round):
    """(z, N) cosine of the gradients of the hard loss on V_i and of the soft loss, by the last layer."""
    cosines, asked = np.zeros(len(fed.prior)), asked_about(config, round)[:PROBE]
    for cohort in fed.cohorts:
        at, there = own_images(fed, cohort, "val")
        prior = fed.prior[cohort.members][:, None] if config.hard_loss == "balanced" else 0
        hard = _head_gradient(fed, cohort, at, prior, torch.nn.functional.one_hot(fed.labels[at], q.shape[-1]), 1.0,
                              there.unsqueeze(-1))  # fmt: skip
        public = public_images(fed, cohort.members.tolist())[:, asked]
        target = q.flatten(0, 1)[cohort.members][:, : len(asked)]
        soft = _head_gradient(fed, cohort, public, 0, target, config.temperature, 1.0)
        cosines[cohort.members.numpy()] = torch.cosine_similarity(hard, soft, dim=-1).cpu().numpy()
    return cosines.round(DECIMALS).reshape(fed.loss.shape)


def _head_gradient(fed, cohort, at, prior, target, temperature, mask):
    """(b, C (d + 1)) gradient by the last layer of the loss against `target` on the images `at`."""
    features = cohorts.features(cohort, fed.images, at)
    weight, bias = cohort.weights["head.weight"], cohort.weights["head.bias"]
    answers = torch.baddbmm(bias.unsqueeze(1), features, weight.transpose(1, 2)) / temperature
    error = (torch.softmax(answers + prior, -1) - target) * mask
    return weighting.head_gradient(features.double(), error.double())
