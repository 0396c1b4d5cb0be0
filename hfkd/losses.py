"""The poster's two losses: hard knowledge by cross-entropy, soft knowledge by a Kullback-Leibler divergence.

    L_S = (1 - alpha) CE(p_S, y) + alpha KL(p_S || p_T)        L_T = (1 - beta) CE(p_T, y) + beta KL(p_T || p_S)

One formula with the roles exchanged, so one function. The authors' code takes the divergence with the teacher first,
KL(p_T || p_S) T^2, and that is the default; `direction` selects the printed order.
"""

import torch
import torch.nn.functional as F


def hard_loss(logits, labels, log_prior):
    """Mean cross-entropy over samples of `logits + log_prior` against the labels, in nats.

    log_prior = 0: the plain cross-entropy. The log of the client's own label prior: the balanced softmax, after which
    the network speaks without its prior (Ren et al. 2020, 2007.10740; logit adjustment, Menon et al. 2021, 2007.07314).
    logits: (..., n, C); labels: (..., n) int64; log_prior: (..., C); returns (...).

    >>> z = torch.zeros(1, 2)
    >>> round(float(hard_loss(z, torch.tensor([0]), torch.tensor([0.75, 0.25]).log())), 4)  # -ln .75
    0.2877
    """
    log_p = F.log_softmax(logits + log_prior.unsqueeze(-2), dim=-1)
    return -log_p.gather(-1, labels.unsqueeze(-1)).squeeze(-1).sum(-1) / labels.shape[-1]


def soft_loss(logits, target, temperature=1.0, direction="teacher_first"):
    """T^2 mean_u KL between the target and the student's softened prediction, in nats.

    teacher_first: KL(q || p), p = softmax(logits / T) (authors' code); student_first: KL(p || q) (poster).
    T^2 keeps the size of the gradient when T changes (Hinton et al. 2015, 1503.02531). The mean is over samples only
    ("batchmean"): the default of `nn.KLDivLoss` also divides by C, which makes alpha ten times weaker on ten classes.
    logits: (..., n, C); target: (..., n, C), q, already softened with the same T > 0, gets no gradient; returns (...).

    >>> q = torch.tensor([[0.5, 0.5]])
    >>> round(float(soft_loss(torch.tensor([[0.75, 0.25]]).log(), q)), 4)  # .5 ln(.5/.75) + .5 ln(.5/.25)
    0.1438
    """
    log_p, target = F.log_softmax(logits / temperature, dim=-1), target.detach()
    if direction == "teacher_first":
        per_class = F.kl_div(log_p, target, reduction="none")
    else:  # student_first
        tiny = torch.finfo(target.dtype).tiny  # an impossible class costs much, not infinitely much
        per_class = F.kl_div(target.clamp_min(tiny).log(), log_p, reduction="none", log_target=True)
    return temperature**2 * per_class.sum(-1).mean(-1)


def distillation_loss(hard, soft, weight):
    """(1 - weight) hard + weight soft: the poster's L_S with weight = alpha, its L_T with weight = beta.

    weight: in [0, 1], without gradient; 0 is the hard loss to the last bit, 1 * hard + 0 * soft.

    >>> float(distillation_loss(torch.tensor(2.0), torch.tensor(4.0), torch.tensor(0.25)))
    2.5
    """
    return (1 - weight) * hard + weight * soft
