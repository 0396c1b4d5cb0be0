"""RQ2: how much soft against hard knowledge, per client and round. Weights are numbers without gradient.

Students learn with alpha, teachers with beta: a client that has teachers weighs its target by alpha, a client that only
hears its students (feedback) by beta, a client that hears nobody by 0. Every rule reads what a client knows before it
learns; `alpha` below is the most that either may be (of the controller: where it starts), in [0, 1].
"""

import numpy as np
import torch

RULES = {
    "fixed": "the same weight in every round after the warmup",
    "ramp": "authors' code: alpha_max (r - r0)/B, from 0 at round r0",
    "loss_ratio": "more soft knowledge the worse oneself is against the pooled target (needs public_labels)",
    "controller": "the weight grows while the own validation loss falls, and shrinks when it rises",
    "gradient": "the positive part of the cosine between the gradients of the hard and the soft loss, last layer",
    "uncertainty": "inverse-loss weights, the optimum of Kendall's learned uncertainties",
}
LOWEST = 0.01  # the controller multiplies: from 0 no factor leads back


def ramp(alpha, round: int, start: int = 1, length: int = 50):
    """alpha_max (r - r0)/B, held at alpha_max from round r0 + B on, 0 before r0 (authors' code: alpha .5, B 50).

    The authors' default r0 = 0 switches their ramp off, so start = r0 >= 1 here; length = B >= 1.

    >>> [ramp(0.5, r) for r in (1, 26, 99)]
    [0.0, 0.25, 0.5]
    """
    return alpha * min(1.0, max(0.0, (round - start) / length))


def loss_ratio(alpha, own, other):
    """alpha_max CE_own / (CE_own + CE_other): whoever is worse listens more; two losses of 0 give alpha_max/2 (ours).

    For a student, own = CE_S and other = CE_T, its target's; for the teacher the other way round, so that
    alpha/alpha_max + beta/beta_max = 1. Both in nats, >= 0, on the same labelled samples.
    Of a client's hard and soft loss it is the rule `uncertainty`: weights 1/L, scaled to sum to 1. Kendall, Gal and
    Cipolla 2018 (1705.07115) minimise exp(-s) L + s over a learned s, at best ln L; to set it there at once is ours.

    >>> float(loss_ratio(1.0, 3.0, 1.0)), float(loss_ratio(0.5, 1.0, 3.0))
    (0.75, 0.125)
    """
    own, other = np.asarray(own, float), np.asarray(other, float)
    total = own + other
    return alpha * np.where(total > 0, own / np.where(total > 0, total, 1.0), 0.5)


def controller(alpha, loss, usual):
    """alpha exp(clip(d, -1, 1)) in [LOWEST, 1], d = (usual - loss)/usual: go on while the own loss falls (ours).

    alpha: the last round's weight; loss: on the own validation data; usual: its running mean before now, NaN where
    nothing is known (no change). The first steps of learning lower the loss, so they count as well.

    >>> round(float(controller(0.2, loss=0.5, usual=1.0)), 4)  # .2 exp(.5)
    0.3297
    """
    loss, usual = np.asarray(loss, float), np.asarray(usual, float)
    known = np.isfinite(usual) & ~np.isnan(loss)
    drop = np.where(known, np.clip((usual - loss) / np.maximum(usual, 1e-12), -1, 1), 0.0)  # 0/0 is no change
    return np.clip(alpha * np.exp(drop), LOWEST, 1.0)


def gradient_cosine(alpha, cosine):
    """alpha_max max(0, cos): soft knowledge counts as far as it pulls where the labels pull.

    Source: auxiliary losses by gradient similarity, Du et al. 2018 (1812.02224); per client and round, ours.

    >>> [float(gradient_cosine(0.5, c)) for c in (-1.0, 0.5, 1.0)]
    [0.0, 0.25, 0.5]
    """
    return alpha * np.clip(np.nan_to_num(np.asarray(cosine, float)), 0.0, 1.0)


def head_gradient(features, error):
    """(..., C (d + 1)): the gradient of a mean cross-entropy or KL by the last linear layer, mean_n e_n [h_n, 1]^T.

    features h: (..., n, d) inputs of the layer; error e: (..., n, C) predicted minus wanted probabilities, the same for
    cross-entropy and KL(q || p), not for KL(p || q) (ours). Rows of zeros, as of padding, keep the direction.

    >>> head_gradient(torch.tensor([[2.0]]), torch.tensor([[-0.5, 0.5]])).tolist()
    [-1.0, -0.5, 1.0, 0.5]
    """
    inputs = torch.cat([features, torch.ones_like(features[..., :1])], dim=-1)
    return torch.einsum("...nc,...nd->...cd", error, inputs).flatten(-2) / features.shape[-2]


def by_role(mask, edges, alpha, beta) -> np.ndarray:
    """(..., N) the weight of each client by its role: alpha with teachers, beta with others to hear, else 0.

    mask: (..., N, N) bool [listener, speaker], who is pooled for whom; edges: [student, teacher], the matching.

    >>> by_role([[1, 1], [1, 1]], [[0, 1], [0, 0]], 0.5, 0.1).tolist()
    [0.5, 0.1]
    """
    mask, edges = np.array(mask, bool), np.array(edges, bool)
    others = ~np.eye(mask.shape[-1], dtype=bool)
    return np.where((edges & others).any(-1), alpha, np.where((mask & others).any(-1), beta, 0.0))


def decide(config, mask, edges, round: int, signals, last) -> np.ndarray:
    """(z, N) alpha or beta of every client in this round: the rule of the (settled) configuration, each by its role.

    mask, edges: (z, N, N), see `by_role`; signals: of `engine.signals.signals`, or None: what a rule gives at most;
    last: (z, N) weights of the last round, NaN before the first.
    """
    beta = config.alpha if config.beta is None else config.beta
    students, teachers = (_rule(config, highest, round, signals, last) for highest in (config.alpha, beta))
    return by_role(mask, edges, students, teachers)


def listens(config, mask, edges, round: int) -> np.ndarray:
    """(z, N) bool: who may learn from others in this round, whatever its rule makes of what it hears; as `decide`.

    A digest is learning as well, but beta = 0 says that teachers do not listen.
    """
    alpha = float(config.alpha > 0 or config.digest > 0)
    beta = alpha if config.beta is None else float(config.beta > 0)
    return by_role(mask, edges, alpha, beta) * (round > max(config.warmup, config.weighting == "ramp")) > 0


def _rule(config, alpha, round, signals, last):
    """A number or (z, N): the rule, for every client as if it had that role; 0 while everybody trains alone (ours)."""
    if config.weighting == "ramp":
        return ramp(alpha, round, max(1, config.warmup), config.ramp_length)
    if round <= config.warmup:
        return 0.0  # who has learned nothing has nothing to say
    if config.weighting == "fixed" or signals is None or alpha == 0:
        return alpha
    if config.weighting == "gradient":
        return gradient_cosine(alpha, *signals)
    if config.weighting == "controller":
        return controller(np.where(np.isnan(last), alpha, last), *signals)
    return loss_ratio(alpha, *signals)  # and uncertainty, the same formula of other losses
