"""RQ3: what each member of a group earns another: the loss that a client would save by believing it.

The poster names a loss-based revenue and gives no rule; everything here is ours (METHOD section 7). Axes: s who
listens, t who speaks, u public image, c class. Revenue is relative to the listener's own loss and lies in [-1, 1].
"""

import itertools
import math

import numpy as np

RULES = {
    "none": "nobody counts; everybody's say follows from the label counts alone",
    "labelled": "loss saved on the public images, reweighted to the listener's labels (needs public_labels)",
    "realised": "drop of the own validation loss, credited by pooling weight, with some exploration",
    "shapley": "exact Shapley value of each partner in the pooled target, up to 6 partners (needs public_labels)",
}
LARGEST = 6  # partners whose 2^6 coalitions are still cheap
KEEP = 0.7  # of the running mean
EXPLORATION = 0.1  # share of rounds in which a listener hears one partner alone ("realised")


def class_losses(log_p, labels):
    """(..., C): mean of -log p(c|u) over the images u of class c; NaN for a class without an image.

    Means per class, so that a class that is duplicated in the public set changes nothing.

    Args:
        log_p: (..., n, C) log-posteriors. labels: (n,) classes.

    >>> import torch
    >>> p = torch.tensor([[0.5, 0.5], [0.2, 0.8]], dtype=torch.float64)
    >>> class_losses(p.log(), torch.tensor([0, 0])).round(decimals=4).tolist()
    [1.1513, nan]
    """
    classes = log_p.shape[-1]
    wanted = labels.unsqueeze(-1) == labels.new_tensor(range(classes))  # one-hot; filled, because -inf * 0 is no number
    return -log_p.masked_fill(~wanted, 0).sum(-2) / wanted.sum(0)


def weighed(by_class, shares) -> np.ndarray:
    """L_s(t) (S, T): the loss of t for a listener whose labels are distributed like s.

    Args:
        by_class: (T, C) from `class_losses`, or (S, T, C) where every listener has its own.
        shares: (S, C) label shares of the listeners; classes without an image are left out of both.

    Raises:
        ValueError: a listener none of whose classes has a public image.

    >>> weighed([[1.0, 3.0]], [[1.0, 0.0], [0.5, 0.5]]).tolist()
    [[1.0], [2.0]]
    """
    losses, shares = np.asarray(by_class, float), np.asarray(shares, float)
    seen = ~np.isnan(losses).reshape(-1, shares.shape[1]).all(0)
    mass = shares[:, seen].sum(1, keepdims=True)
    if (mass == 0).any():
        lost = np.flatnonzero(mass[:, 0] == 0).tolist()
        raise ValueError(f"clients {lost} hold no class of the public images; expected public images of all classes")
    pattern = "sc,tc->st" if losses.ndim == 2 else "sc,stc->st"
    return np.einsum(pattern, shares[:, seen] / mass, losses[..., seen])


def labelled(losses, own) -> np.ndarray:
    """Rev[s, t] = (L_s(s) - L_s(t)) / L_s(s), clipped to [-1, 1]: 1 for a perfect partner, 0 for oneself.

    The answers are free of their speakers' priors and stay so: it is the classes that are weighed like the listener's.

    Args:
        losses: (S, T) L_s(t). own: (S,) L_s(s) >= 0; a listener without loss can earn nothing, only lose.

    >>> labelled([[2.0, 1.0, 0.0, 9.0]], [2.0]).tolist()
    [[0.0, 0.5, 1.0, -1.0]]
    """
    losses, own = np.asarray(losses, float), np.asarray(own, float)[:, None]
    saved = own - losses
    return np.clip(np.divide(saved, own, out=np.where(saved < 0, -1.0, 0.0), where=own > 0), -1, 1)


def realised(before, after, share) -> np.ndarray:
    """Rev[s, t] = clip((L_before - L_after)/L_before, -1, 1) share[s, t]: what the listener saved, split by say.

    No causal credit: the drop holds what the listener's own training saved, and a partner that was tried alone gets
    all of it.

    Args:
        before, after: (S,) validation losses around a round; NaN where nothing is known: no credit.
        share: (S, T) mean pooling weight of each partner, rows sum to 1.

    Returns:
        (S, T), rows sum to the relative drop.

    >>> realised([2.0], [1.0], [[0.75, 0.25]]).tolist()
    [[0.375, 0.125]]
    """
    before, after = np.asarray(before, float), np.asarray(after, float)
    known = np.isfinite(before) & np.isfinite(after) & (before > 0)
    drop = np.where(known, (before - after) / np.where(known, before, 1.0), 0.0)
    return np.clip(drop, -1, 1)[:, None] * np.asarray(share, float)


def coalitions(players: int) -> np.ndarray:
    """(2^k, k) bool: every coalition of k players; row r holds player j iff bit j of r is set.

    Raises:
        ValueError: more than LARGEST players.

    >>> coalitions(2).astype(int).tolist()
    [[0, 0], [1, 0], [0, 1], [1, 1]]
    """
    if players > LARGEST:
        raise ValueError(f"a group has {players} partners; the exact Shapley value is computed for up to {LARGEST}")
    return (np.arange(2**players)[:, None] >> np.arange(players)) % 2 == 1


def shapley(worth) -> np.ndarray:
    """(k,): phi_j = sum over coalitions S without j of |S|! (k - |S| - 1)! / k! (worth(S + j) - worth(S)).

    The only split that sums to worth(all) - worth(none), pays equal players equally, a dummy nothing, and is additive.

    Args:
        worth: (2^k,) worth of each coalition, in the order of `coalitions`.

    Raises:
        ValueError: a length that is no power of 2, or more than LARGEST players.

    Source: Shapley 1953; coalitions pool their posteriors, ours.

    >>> shapley([0.0, 1.0, 3.0, 6.0]).tolist()
    [2.0, 4.0]
    """
    worth = np.asarray(worth, float)
    k = len(worth).bit_length() - 1
    if len(worth) != 2**k:
        raise ValueError(f"worth has {len(worth)} entries; expected 2^k, one per coalition of k players")
    inside = coalitions(k)
    value = np.zeros(k)
    for row, j in itertools.product(range(2**k), range(k)):
        if not inside[row, j]:
            size = int(inside[row].sum())
            chance = math.factorial(size) * math.factorial(k - size - 1) / math.factorial(k)
            value[j] += chance * (worth[row + 2**j] - worth[row])
    return value


def running(before, now, known):
    """KEEP before + (1 - KEEP) now where something new is known, else before; starts at 0 and stays in [-1, 1].

    >>> running(np.array([0.0, 0.5]), np.array([1.0, 1.0]), np.array([True, False])).round(9).tolist()
    [0.3, 0.5]
    """
    return np.where(known, KEEP * before + (1 - KEEP) * np.nan_to_num(now), before)


def gate(members, pooled, strikes, known):
    """Do no harm: strikes in a row in which neither a member nor the pooled target had a positive revenue.

    Two strikes close the listener's ears (weight 0) until the next refresh.

    Args:
        members: (S, T) revenue of this round, 0 for those not heard. pooled: (S,) revenue of the pooled target.
        strikes: (S,) so far. known: (S,) bool, who has heard anything to judge.

    Returns:
        (S,) integers; 2 or more: closed.

    >>> gate([[0.0, -0.2]], [-0.1], np.array([1]), np.array([True])).tolist()
    [2]
    """
    good = (np.asarray(members) > 0).any(1) | (np.asarray(pooled) > 0)
    return np.where(known, np.where(good, 0, strikes + 1), strikes)
