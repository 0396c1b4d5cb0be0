"""What a client knows when it decides its weight: some numbers per round, without gradient; and the decision.

    hard    loss on its own validation split V_i, with its own training loss
    soft    mean KL(q || p_i) on the public images
    own     L_i(i), other L_i(q): its own and its target's loss on labelled public images, reweighted to its labels
    cosine  between the gradients of the hard loss on V_i and of the soft loss, by the last layer

Only what a rule reads is computed. V_i also chooses among methods (METHOD section 9); the test sets are never read.

Axes: z seed, b member of a cohort, n image, c class.
"""

from typing import NamedTuple

import numpy as np
import torch

from hfkd import cohorts, weighting
from hfkd.books import truth
from hfkd.earning import losses_of
from hfkd.state import public_images
from hfkd.transport import asked_about, own_images

PROBE = 256  # public images that the gradient rule looks at: bounds its cost
DECIMALS = 6  # of a signal: what is behind them may depend on how clients of other seeds are padded


class Heard(NamedTuple):
    """The signals of one round, (z, N) each; NaN where no rule reads them."""

    hard: np.ndarray
    usual: np.ndarray  # running mean of `hard` before this round
    soft: np.ndarray
    own: np.ndarray
    other: np.ndarray
    cosine: np.ndarray


def rules(config) -> tuple[str, str]:
    """The rule of students and the rule of teachers."""
    return config.weighting, config.beta_weighting or config.weighting


def reads(config) -> set[str]:
    """Signals that the rules of this run read."""
    wanted = {"loss_ratio": {"own"}, "revenue": {"hard"}, "gradient": {"cosine"}, "uncertainty": {"hard", "soft"}}
    found = set().union(*(wanted.get(rule, set()) for rule in rules(config)))
    found |= {"hard"} if config.revenue == "realised" else set()
    return found | ({"own"} if config.gate and config.revenue in ("labelled", "shapley") else set())


@torch.no_grad()
def own_losses(state, balanced, part="val") -> np.ndarray:
    """(z, N) mean hard loss of every client on a part of its own data, "val" or "train", in nats."""
    losses = np.zeros(len(state.prior))
    for cohort in state.cohorts:
        at, there = own_images(state, cohort, part)
        spoken = cohorts.logits(cohort, state.images, at) + (state.prior[cohort.members][:, None] if balanced else 0)
        each = torch.nn.functional.cross_entropy(spoken.transpose(1, 2), state.labels[at], reduction="none")
        losses[cohort.members.numpy()] = ((each * there).double().sum(1) / there.sum(1)).cpu().numpy()
    return losses.reshape(len(state.splits), -1).round(DECIMALS)


def heard(state, config, wanted, books, said, targets, balanced, round) -> Heard:
    """The signals of a round.

    Args:
        wanted: from `reads`. books: Books with the validation losses of this round.
        said: (z * N, m, c) log-posteriors. targets: (z * N, m, c) pooled.
    """
    shape = (len(state.splits), state.clients)
    blank, said = np.full(shape, np.nan), truth(books, said)
    soft = own = other = cosine = blank
    if "soft" in wanted:
        apart = (torch.xlogy(targets, targets) - targets * said).sum(-1).mean(-1)
        soft = apart.clamp_min(0).cpu().numpy().reshape(shape).astype(float)
    if "own" in wanted:
        log_q, log_p = (part.reshape(*shape, *part.shape[1:]) for part in (targets.clamp_min(1e-30).log(), said))
        own, other = (
            np.stack([np.diagonal(losses_of(state, config, z, part[z], round)) for z in range(shape[0])])
            for part in (log_p, log_q)
        )
    if "cosine" in wanted:
        cosine = _cosines(state, config, targets, balanced, round).reshape(shape)
    return Heard(books.loss, books.usual, soft, own, other, cosine)


@torch.no_grad()
def _cosines(state, config, targets, balanced, round):
    """(z * N,) cosine of the gradients of the hard loss on V_i and of the soft loss, by the last layer."""
    cosines = np.zeros(len(state.prior))
    for cohort in state.cohorts:
        at, there = own_images(state, cohort, "val")
        prior = state.prior[cohort.members][:, None] if balanced else 0
        wanted = torch.nn.functional.one_hot(state.labels[at], targets.shape[-1])
        asked = asked_about(config, round)[:PROBE]
        public = public_images(state, cohort.members.tolist())[:, asked]
        gradients = []
        for images, shift, target, mask in (
            (at, prior, wanted, there.unsqueeze(-1)),
            (public, 0, targets[cohort.members][:, : len(asked)], 1.0),
        ):
            features = cohorts.features(cohort, state.images, images)
            answers = _head(cohort, features) / (1.0 if target is wanted else config.temperature)
            error = (torch.softmax(answers + shift, -1) - target) * mask
            gradients.append(weighting.head_gradient(features.double(), error.double()))
        cosines[cohort.members.numpy()] = torch.cosine_similarity(*gradients, dim=-1).cpu().numpy()
    return cosines.round(DECIMALS)


def _head(cohort, features):
    """The last layer of every member."""
    return torch.baddbmm(
        cohort.weights["head.bias"].unsqueeze(1), features, cohort.weights["head.weight"].transpose(1, 2)
    )


def listens(config, lessons, round) -> np.ndarray:
    """(z, N) bool: who may learn from others in this round, whatever its rule then makes of what it hears."""
    if any(lesson.weights is None for lesson in lessons):
        return np.zeros((len(lessons), config.clients), dtype=bool)
    constant = [rule if rule == "ramp" else "fixed" for rule in rules(config)]
    return np.stack([_by_role(config, lesson, constant, round) for lesson in lessons]) > 0


def weights(config, lesson, round, signals, last):
    """(N,) alpha or beta of every client of one seed in this round: the two rules of RQ2, each for its role.

    Args:
        signals: Heard of this seed, (N,) each.
        last: (N,) weights of the last round; NaN before the first.
    """
    if lesson.weights is None:
        return np.zeros(config.clients)
    return _by_role(config, lesson, rules(config), round, signals, last)


def _by_role(config, lesson, two_rules, round, signals=None, last=None):
    """The rule of students with alpha, the rule of teachers with beta, each client by its role."""
    alpha = config.alpha
    beta = alpha if config.beta is None else config.beta
    students, teachers = (
        _rule(rule, highest, config, round, signals, last) for rule, highest in zip(two_rules, (alpha, beta))
    )
    return weighting.by_role(lesson.mask, lesson.mask if lesson.edges is None else lesson.edges, students, teachers)


def _rule(rule, alpha, config, round, signals, last):
    """A number or (N,): one rule, for every client as if it had that role."""
    if rule == "ramp":
        return weighting.ramp(alpha, round, max(1, config.warmup), config.ramp_length, config.ramp_power)
    if rule == "fixed" or round <= config.warmup or alpha == 0:
        return weighting.fixed(alpha, round, config.warmup)
    if rule == "loss_ratio":
        return weighting.loss_ratio(alpha, signals.own, signals.other)
    if rule == "gradient":
        return weighting.gradient_cosine(alpha, signals.cosine)
    if rule == "uncertainty":
        return weighting.uncertainty(alpha, signals.hard, signals.soft)
    start = np.where(np.isnan(last), alpha, last)
    return weighting.revenue_controller(start, signals.hard, signals.usual, config.controller_rate)
