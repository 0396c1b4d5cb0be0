"""Knowledge that travels: prior-free log-posteriors, pooled per class by who has seen that class (ours).

Under label skew p_i(y|x) is proportional to p_i(y) p(x|y): most of what a skewed client says is its own label prior. So
clients train with the balanced softmax, speak `log softmax f_i(u)` on public images u, and a listener pools its
group with one weight per (student, teacher, class). Identity W is Local, uniform W is FedMD, block W is group
distillation.

Axes: s student (who listens), t teacher (who speaks), n public image, c class; leading axes (seeds) broadcast.
"""

import torch


def log_prior(counts):
    """log((n_i(c) + 1/2) / sum_c (n_i(c) + 1/2)): the smoothed log label prior of each client.

    The half keeps a class that a client has never seen finite (Jeffreys' prior of the multinomial).

    Args:
        counts: (..., C) label counts, numpy or tensor; a ValueError if one is negative.

    Source: ours, after the balanced softmax of Ren et al. 2020 (2007.10740).

    >>> [round(v, 4) for v in log_prior([3, 0]).exp().tolist()]  # 3.5/4, .5/4
    [0.875, 0.125]
    """
    smoothed = _counts(counts) + 0.5
    return (smoothed / smoothed.sum(-1, keepdim=True)).log()


def teaching_weights(mask, counts, power=1.0, revenue=None, revenue_temperature=1.0):
    """Who has how much say about which class to whom.

        W[s, t, c] ~ mask[s, t] n_t(c)^power exp(Rev[s, t] / tau_R),    normalised over t for every (s, c).

    A teacher that has no sample of a class has no say in it, unless nobody in the group has: then all speak alike
    (up to their revenue). power 0 gives every owner of a class the same say, power 1 a say by its samples.

    Args:
        mask: (S, T) bool, who listens to whom; every student needs somebody to listen to, if only itself.
        counts: (T, C) released label counts, >= 0.
        revenue: (S, T) in [-1, 1], what each teacher earned each student, or None. revenue_temperature: tau_R > 0.

    Raises:
        ValueError: a negative count, or a student without anybody to listen to.

    Source: ours.

    >>> teaching_weights([[1, 1]], [[3, 0, 0], [1, 2, 0]])[0].tolist()
    [[0.75, 0.0, 0.5], [0.25, 1.0, 0.5]]
    """
    mask, counts = torch.as_tensor(mask).to(torch.float64), _counts(counts)
    if silent := (mask.sum(1) == 0).nonzero().flatten().tolist():
        raise ValueError(f"students {silent} listen to nobody; expected at least the student itself in its row of the "
                         "mask")
    voice = mask if revenue is None else mask * (torch.as_tensor(revenue).to(mask) / revenue_temperature).exp()
    seen = torch.where(counts > 0, counts**power, 0.0)
    owned = voice[:, :, None] * seen[None]
    unseen = owned.sum(1, keepdim=True) == 0
    weights = torch.where(unseen, voice[:, :, None], owned)
    return weights / weights.sum(1, keepdim=True)


def _counts(counts):
    """Label counts as float64; a ValueError if one is negative."""
    counts = torch.as_tensor(counts, dtype=torch.float64)
    if (counts < 0).any():
        raise ValueError(f"label counts hold {counts.min():g}; expected no negative count")
    return counts


def without(weights, mask, gone):
    """W among those who are left: columns of those who are gone taken out, the others normalised anew.

    Where nobody with a say in a class is left, all who are left in the mask speak alike, as in `teaching_weights`; who
    has nobody left hears itself.

    Args:
        weights: W (S, S, C). mask: (S, S) bool, who listens to whom. gone: (S, S) bool, whom s does not hear.

    Source: ours.

    >>> w = torch.tensor([[[0.5, 0.0], [0.5, 0.0], [0.0, 1.0]]]).expand(3, 3, 2)
    >>> without(w, torch.ones(3, 3), [[False, False, True]] * 3)[0].tolist()
    [[0.5, 0.5], [0.5, 0.5], [0.0, 0.0]]
    """
    there = ~torch.as_tensor(gone)
    group = torch.as_tensor(mask).bool() & there
    group |= torch.diag(~group.any(1))
    kept = weights * there.unsqueeze(-1).to(weights)
    lost = kept.sum(1, keepdim=True) == 0
    kept = torch.where(lost, group.unsqueeze(-1).to(weights), kept)
    return kept / kept.sum(1, keepdim=True)


def pool(log_p, weights, kind="log"):
    """The soft target of every student: its group's predictions pooled class by class.

        log:         q_s(c|u) ~ exp( sum_t W[s,t,c] log p_t(c|u) )
        arithmetic:  q_s(c|u) ~      sum_t W[s,t,c] p_t(c|u)

    Log pooling with equal weights is the softmax of the mean logits, the consensus of FedMD (1910.03581).

    Args:
        log_p: (..., T, n, C) log-posteriors. weights: (..., S, T, C), any W that sums to 1 over T.

    Returns:
        q (..., S, n, C), sums to 1 over classes.

    Source: ours.

    >>> p = torch.tensor([[[0.5, 0.5]], [[0.8, 0.2]]])   # two teachers, one image
    >>> q = pool(p.log(), torch.full((1, 2, 2), 0.5))    # sqrt(.4) : sqrt(.1) = 2 : 1
    >>> [round(v, 4) for v in q.flatten().tolist()]
    [0.6667, 0.3333]
    """
    weights = weights.to(log_p)
    if kind == "log":
        return torch.softmax(torch.einsum("...stc,...tnc->...snc", weights, log_p), dim=-1)
    if kind == "arithmetic":
        mixture = torch.einsum("...stc,...tnc->...snc", weights, log_p.exp())
        return mixture / mixture.sum(-1, keepdim=True)
    raise ValueError(f"pooling is {kind!r}; expected log or arithmetic")


def predictions(logits, prior, balanced):
    """One network, two predictions: with its own label prior (personality) and without it (consistency).

    A network trained with the balanced softmax speaks without prior: personality adds the log prior, consistency is its
    plain argmax. A network trained with the plain loss has the prior inside: personality is its plain argmax, and the
    prior-corrected consistency subtracts the log prior.

    Args:
        logits: (..., n, C). prior: (..., C) log prior of the client. balanced: whether that loss trained the network.

    Returns:
        (personality, consistency): predicted classes (..., n) int64 each.

    Source: ours; post-hoc correction after Menon et al. 2021 (2007.07314).

    >>> mine, everybody = predictions(torch.tensor([[0.0, 0.5]]), torch.tensor([0.9, 0.1]).log(), balanced=True)
    >>> mine.tolist(), everybody.tolist()
    ([0], [1])
    """
    shift = prior.unsqueeze(-2)
    own, free = (logits + shift, logits) if balanced else (logits, logits - shift)
    return own.argmax(-1), free.argmax(-1)
