"""One client by itself, in plain torch: any `nn.Module`, its own optimiser, nothing of a federation around it (ours).

What a client process would call, and what the batched engine is held against: `training.train` does it for a cohort.
"""

import torch
import torch.nn.functional as F

from hfkd.losses import distillation_loss, hard_loss, soft_loss


@torch.no_grad()
def speak(network: torch.nn.Module, images, temperature: float = 1.0):
    """(n, C) log softmax f(u)/T: the answers of one network, images -> logits (n, C); all that travels.

    >>> speak(torch.nn.Flatten(), torch.zeros(1, 2, 1, 1)).exp().tolist()
    [[0.5, 0.5]]
    """
    return F.log_softmax(network(images) / temperature, dim=-1)


def digest(network, sgd, public, temperature=1.0, direction="teacher_first") -> None:
    """A pass over public batches (images, targets q (i, C)) by the soft loss alone, in place; sgd: a fresh optimiser,
    so that the private momentum waits (FedMD's "digest", 1910.03581; momentum from 0, before the own epochs: ours).
    """
    for images, targets in public:
        sgd.zero_grad()
        soft_loss(network(images), targets, temperature, direction).backward()
        sgd.step()


def train(network, sgd, own, prior, public=None, weight=0.0, temperature=1.0, direction="teacher_first") -> None:
    """One joint epoch of one client, in place: a step per private batch, L = (1-a) CE(f(x) + prior, y) + a T^2 KL.

    sgd: a torch optimiser, which keeps the momentum. own: private batches (images (i, ...), labels (i,)). prior: (C,)
    log prior; zeros: plain loss. public: a batch (images, targets q (i, C)) for each private one; None: alone.
    weight: a, alpha or beta.
    """
    public = iter(public) if public is not None else None
    for x, y in own:
        loss = hard_loss(network(x), y, prior)
        if public is not None:
            images, targets = next(public)
            soft = soft_loss(network(images), targets, temperature, direction)
            loss = distillation_loss(loss, soft, weight)
        sgd.zero_grad()
        loss.backward()
        sgd.step()
