"""Knowledge that travels: prior-free log-posteriors, pooled per class by who has seen it, sharpened, aligned (ours).

Under label skew p_i(y|x) is proportional to p_i(y) p(x|y): most of what a skewed client says is its own label prior. So
clients train with the balanced softmax, speak `log softmax f_i(u)` on public images u, and a listener pools its group
with one weight per (student, teacher, class). Identity W is Local, uniform W is FedMD, block W group distillation.

Axes: s student (who listens), t teacher (who speaks), n public image, c class; leading axes (seeds) broadcast.
"""

import torch


def log_prior(counts):
    """log((n_i(c) + 1/2) / sum_c (n_i(c) + 1/2)): the smoothed log label prior of each client, of counts (..., C).

    The half keeps a class that a client has never seen finite (Jeffreys' prior of the multinomial).
    Source: ours, after the balanced softmax of Ren et al. 2020 (2007.10740).

    >>> [round(v, 4) for v in log_prior([3, 0]).exp().tolist()]  # 3.5/4, .5/4
    [0.875, 0.125]
    """
    smoothed = torch.as_tensor(counts, dtype=torch.float64) + 0.5
    return (smoothed / smoothed.sum(-1, keepdim=True)).log()


def teaching_weights(mask, counts, power=1.0, revenue=None, revenue_temperature=1.0):
    """Who has how much say about which class to whom (ours).

        W[s, t, c] ~ mask[s, t] n_t(c)^power exp(Rev[s, t] / tau_R),    normalised over t for every (s, c).

    A teacher that has no sample of a class has no say in it, unless nobody in the group has: then all speak alike
    (up to their revenue). power 0 gives every owner of a class the same say, power 1 a say by its samples.

    mask: (S, T) bool, who listens to whom; counts: (T, C) released label counts; revenue: (S, T) in [-1, 1], what each
    teacher earned each student, or None; revenue_temperature: tau_R > 0. No row of the mask is empty.

    >>> teaching_weights([[1, 1]], [[3, 0, 0], [1, 2, 0]])[0].tolist()
    [[0.75, 0.0, 0.5], [0.25, 1.0, 0.5]]
    """
    mask, counts = torch.as_tensor(mask).double(), torch.as_tensor(counts, dtype=torch.float64)
    voice = mask if revenue is None else mask * (torch.as_tensor(revenue).to(mask) / revenue_temperature).exp()
    return _shares(voice.unsqueeze(-1) * torch.where(counts > 0, counts**power, 0.0), voice)


def without(weights, mask, gone):
    """W (S, S, C) among those who are left: those who are gone have no say, the others share it anew (ours).

    Where nobody with a say in a class is left, all who are left speak alike; who has nobody left hears itself.
    mask, gone: (S, S) bool, who listens to whom, and whom s does not hear.

    >>> w = torch.tensor([[[0.5, 0.0], [0.5, 0.0], [0.0, 1.0]]]).expand(3, 3, 2)
    >>> without(w, torch.ones(3, 3), [[False, False, True]] * 3)[0].tolist()
    [[0.5, 0.5], [0.5, 0.5], [0.0, 0.0]]
    """
    there = ~torch.as_tensor(gone)
    group = torch.as_tensor(mask).bool() & there
    group |= torch.diag(~group.any(1))
    return _shares(weights * there.unsqueeze(-1).to(weights), group.to(weights))


def _shares(say, voice):
    """say (S, T, C) as shares that sum to 1 over t; where nobody has any say in a class, by voice (S, T)."""
    say = torch.where(say.sum(1, keepdim=True) == 0, voice.unsqueeze(-1), say)
    return say / say.sum(1, keepdim=True)


def pool(log_p, weights, kind="log"):
    """The soft target of every student: what its group says, pooled class by class (ours).

        log:         q_s(c|u) ~ exp( sum_t W[s,t,c] log p_t(c|u) )
        arithmetic:  q_s(c|u) ~      sum_t W[s,t,c] p_t(c|u)

    Log pooling with equal weights is the softmax of the mean logits, the consensus of FedMD (1910.03581).
    log_p: (..., T, n, C) log-posteriors; weights: (..., S, T, C), any W that sums to 1 over T; q: (..., S, n, C).

    >>> p = torch.tensor([[[0.5, 0.5]], [[0.8, 0.2]]])   # two teachers, one image
    >>> q = pool(p.log(), torch.full((1, 2, 2), 0.5))    # sqrt(.4) : sqrt(.1) = 2 : 1
    >>> [round(v, 4) for v in q.flatten().tolist()]
    [0.6667, 0.3333]
    """
    weights = weights.to(log_p)
    if kind == "log":
        return torch.softmax(torch.einsum("...stc,...tnc->...snc", weights, log_p), dim=-1)
    mixture = torch.einsum("...stc,...tnc->...snc", weights, log_p.exp())
    return mixture / mixture.sum(-1, keepdim=True)


def sharpen(q, gamma):
    """q(c|u)^gamma / sum_k q(k|u)^gamma: the same order with less entropy for gamma > 1, more for gamma < 1.

    One number for every image, so that who is unsure stays less sure. gamma 1 changes no bit, 0 is uniform.
    q: (..., C) probabilities; gamma >= 0. Source: entropy reduction, DS-FL (2008.06180), in the form of SCARLET's
    enhanced ERA (2504.19602).

    >>> [round(v, 4) for v in sharpen(torch.tensor([0.75, 0.25]), 2.0).tolist()]  # 9 : 1
    [0.9, 0.1]
    """
    return q if gamma == 1 else torch.softmax(gamma * q.clamp_min(torch.finfo(q.dtype).tiny).log(), dim=-1)


def align(q, kappa):
    """q(c|u) ((1/C) / mean_u q(c|u))^kappa, normalised over c: classes that are said too often count less (ours).

    Each class is spoken for by other teachers with another confidence; the mean over the public images says by how much
    ("trend toward uniformity", applied to knowledge). kappa 0 changes no bit; 1/2 pays also where the public labels are
    not uniform. q: (..., m, C) probabilities of m images; kappa in [0, 1]. Source: distribution alignment (ReMixMatch,
    1911.09785).

    >>> [round(v, 4) for v in align(torch.tensor([[0.9, 0.1], [0.7, 0.3]]), 0.5)[1].tolist()]  # .7/.8^.5 : .3/.2^.5
    [0.5385, 0.4615]
    """
    if kappa == 0:
        return q
    usual = q.mean(-2, keepdim=True).clamp_min(torch.finfo(q.dtype).tiny)
    moved = q * (1 / (q.shape[-1] * usual)) ** kappa
    return moved / moved.sum(-1, keepdim=True)


def mix(images, targets, share):
    """Every public image, and its target, with the next one of the batch: `share` of itself, the rest of the other.

    images: (..., n, channel, height, width); targets: (..., n, C); share: (...) in [0, 1], one per batch; 1 changes no
    bit. Source: mixup (Zhang et al. 2018, 1710.09412), on soft targets; batches are dealt at random, so is the next.

    >>> mix(torch.tensor([[[[1.0]]], [[[3.0]]]]), torch.eye(2), torch.tensor(0.75))[0].flatten().tolist()
    [1.5, 2.5]
    """
    return tuple(each.roll(1, -dims).lerp(each, share.reshape(*share.shape, *[1] * dims))
                 for each, dims in ((images, 4), (targets, 2)))  # fmt: skip


def predictions(logits, prior):
    """Three readings (..., n) of logits (..., n, C): as they are, with their owner's log prior (..., C), without it.

    Who is trained with the balanced softmax, or shares a network, speaks without a prior of its own: personality adds
    it. Who is trained with the plain loss has it inside: consistency may subtract it (Menon et al. 2021, 2007.07314).

    >>> [each.tolist() for each in predictions(torch.tensor([[0.0, 0.5]]), torch.tensor([0.9, 0.1]).log())]
    [[1], [0], [1]]
    """
    shift = prior.unsqueeze(-2)
    return logits.argmax(-1), (logits + shift).argmax(-1), (logits - shift).argmax(-1)
