"""What methods share that exchange weights, heads or class means instead of answers: averages per seed, their sizes.

A method's server holds one thing per seed, and clients of one seed never meet those of another. Sums are in float64 and
seed by seed, so that a seed's numbers do not depend on which seeds run beside it.

Axes: z seed, i client, b member of a cohort, c class, d feature. The weights of a `part` are those whose names start
with it, or with one of it: "" all, "head." the last layer.
"""

import numpy as np
import torch
from torch import nn

from hfkd.engine import cohort as cohorts
from hfkd.engine.state import own_images


class Beside(nn.Module):
    """A network, and a second part that its client trains with it; what it says to others is the first one's word."""

    def __init__(self, network: nn.Module, second: nn.Module):
        super().__init__()
        self.body, self.head, self.second = network.body, network.head, second

    def forward(self, x):  # the second part runs for `cohort.activations` alone, which counts what layers write
        features = self.body(x)
        self.second(features if isinstance(self.second, nn.Linear) else x)
        return self.head(features)


def beside(cohort, second: nn.Module, weights: dict) -> None:
    """Every network of a cohort gets a second part, on the meta device, with weights of its own, name -> (b, ...)."""
    cohort.module = Beside(cohort.module, second)
    for name, w in weights.items():
        cohort.weights[f"second.{name}"], cohort.momentum[f"second.{name}"] = w, torch.zeros_like(w)


def seats(fed, cohort) -> torch.Tensor:
    """(b,) position of each member's seed among the seeds of the run."""
    return cohort.members // fed.clients


def present(fed, cohort) -> torch.Tensor:
    """(b,) bool, who sends anything in this round."""
    return torch.from_numpy(~fed.away.reshape(-1)[cohort.members.numpy()])


def strength(fed, config, cohort) -> tuple:
    """What the local loss of most methods reads: (b,) the weight of the method's own term."""
    return (torch.full((len(cohort.members),), config.strength, device=fed.images.device),)


def named(cohort, part="") -> dict:
    """name -> (b, ...) the weights of a part."""
    return {name: w for name, w in cohort.weights.items() if name.startswith(part)}


def sized(fed, part="") -> list:
    """What `exchange` returns where the weights of a part go up and come down once, to and from all who are there."""
    numbers = [sum(w[0].numel() for w in named(cohort, part).values()) * present(fed, cohort) for cohort in fed.cohorts]
    return list(zip(fed.cohorts, numbers, numbers))


def take(fed, cohort, fresh: dict) -> None:
    """Everybody takes over the weights of its seed, name -> (z, ...). The momentum restarts at 0: it is that of steps
    whose result was averaged away.
    """
    for name, w in fresh.items():
        cohort.weights[name][:] = w[seats(fed, cohort)]
        cohort.momentum[name].zero_()


def first(fed, cohorts, part="") -> dict:
    """name -> (z, ...) the weights of one client of each seed, the one with the smallest number among these cohorts."""
    ids = torch.cat([cohort.members for cohort in cohorts]).numpy()
    order = ids.argsort()
    rows = order[np.unique(ids[order] // fed.clients, return_index=True)[1]]
    return {name: torch.cat([cohort.weights[name] for cohort in cohorts])[rows] for name in named(cohorts[0], part)}


def same_start(fed, cohorts, part="") -> None:
    """Before the first round everybody has the weights of the first client of its seed, in a part of one shape in all:
    averages of networks that started apart are worth nothing (McMahan et al. 2017, 1602.05629, figure 1).
    """
    fresh = first(fed, cohorts, part)
    for cohort in cohorts:
        take(fed, cohort, fresh)


def mean(fed, cohorts, values) -> torch.Tensor:
    """(z, ...) sum_i n_i v_i / sum_i n_i over the clients of each seed, n_i their samples as released, at least 1;
    values: (b, ...) for each of the cohorts. Of those who are there: between rounds everybody has the mean, so that the
    absent have nothing to add; where nobody is there it stays as it is.
    """
    ids, values = torch.cat([cohort.members for cohort in cohorts]), torch.cat(values)
    held = torch.as_tensor(fed.counts.sum(-1), dtype=torch.float64).clamp_min(1).flatten()[ids]
    there, found = torch.cat([present(fed, cohort) for cohort in cohorts]), []
    for z in range(len(fed.seeds)):
        own = ids // fed.clients == z
        own = own & there if (own & there).any() else own
        share = (held[own] / held[own].sum()).to(values.device)
        found.append((share.reshape(-1, *[1] * (values.dim() - 1)) * values[own].double()).sum(0))
    return torch.stack(found).to(values.dtype)


def average(fed, cohorts, part="") -> None:
    """Everybody replaces the weights of a part, which has one shape in all these cohorts, by their mean by samples."""
    names = named(cohorts[0], part)
    fresh = {name: mean(fed, cohorts, [cohort.weights[name] for cohort in cohorts]) for name in names}
    for cohort in cohorts:
        take(fed, cohort, fresh)


def samples(fed) -> torch.Tensor:
    """(z, i, c) float64 training images of each class as every client released them, at least 1 of a class that it has;
    0 of one that it does not have, for then it sends no class mean.
    """
    true = np.stack([own.counts for own in fed.splits])
    return torch.as_tensor(np.where(true > 0, np.maximum(fed.counts, 1), 0), dtype=torch.float64)


@torch.no_grad()
def class_means(fed, look=cohorts.features) -> torch.Tensor:
    """(z, i, c, k) mean of look(cohort, images, at) (b, n, k) over every client's training images of a class, or 0; of
    features: its prototypes (Tan et al. 2022, 2105.00243).
    """
    found = []
    for cohort in fed.cohorts:
        at, there = own_images(fed, cohort)
        values = look(cohort, fed.images, at)
        member = torch.nn.functional.one_hot(fed.labels[at], fed.prior.shape[-1]).to(values) * there.unsqueeze(-1)
        count = member.sum(1).unsqueeze(-1)
        sums = torch.einsum("bny,bnk->byk", member.double(), values.double())  # else padding shows in the last bit
        found.append(torch.where(count > 0, sums / count.clamp_min(1), 0.0).to(values))
    order = torch.cat([cohort.members for cohort in fed.cohorts]).argsort()
    return torch.cat(found)[order].unflatten(0, (len(fed.seeds), fed.clients))
