"""RQ3: what each member of a group earns another: the loss that a client would save by believing it.

The poster names a loss-based revenue and gives no rule; everything here is ours. Axes: s who
listens, t who speaks, u public image, c class. Revenue is relative to the listener's own loss and lies in [-1, 1].
"""

import numpy as np

KEEP = 0.7  # of the running mean


def class_losses(log_p, labels):
    """(..., C): mean of -log p(c|u) over the images u of class c; NaN for a class without an image.

    Means per class, so that more public images of a class change nothing. log_p: (..., n, C); labels: (n,).

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

    by_class: (T, C) from `class_losses`; shares: (S, C) label shares of the listeners. Classes without an image are
    left out of both; a listener with no class left is a ValueError.

    >>> weighed([[1.0, 3.0]], [[1.0, 0.0], [0.5, 0.5]]).tolist()
    [[1.0], [2.0]]
    """
    losses, shares = np.asarray(by_class, float), np.asarray(shares, float)
    seen = ~np.isnan(losses).all(0)
    mass = shares[:, seen].sum(1, keepdims=True)
    if lost := np.flatnonzero(mass == 0).tolist():
        raise ValueError(f"clients {lost} hold no class of the public images; expected public images of all classes")
    return np.einsum("sc,tc->st", shares[:, seen] / mass, losses[:, seen])


def labelled(losses, own) -> np.ndarray:
    """Rev[s, t] = (L_s(s) - L_s(t)) / L_s(s), clipped to [-1, 1]: 1 for a perfect partner, 0 for oneself.

    The answers are free of their speakers' priors and stay so: it is the classes that are weighed like the listener's.
    losses: (S, T) L_s(t); own: (S,) L_s(s) >= 0; a listener without loss can earn nothing, only lose.

    >>> labelled([[2.0, 1.0, 0.0, 9.0]], [2.0]).tolist()
    [[0.0, 0.5, 1.0, -1.0]]
    """
    losses, own = np.asarray(losses, float), np.asarray(own, float)[:, None]
    saved = own - losses
    return np.clip(np.divide(saved, own, out=np.where(saved < 0, -1.0, 0.0), where=own > 0), -1, 1)


def running(before, now, known):
    """KEEP before + (1 - KEEP) now where something new is known, else before; starts at 0 and stays in [-1, 1].

    >>> running(np.array([0.0, 0.5]), np.array([1.0, 1.0]), np.array([True, False])).round(9).tolist()
    [0.3, 0.5]
    """
    return np.where(known, KEEP * before + (1 - KEEP) * np.nan_to_num(now), before)
