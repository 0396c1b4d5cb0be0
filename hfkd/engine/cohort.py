"""A cohort: all clients of one level, over all seeds, with their weights stacked along a first axis b.

Members do not meet, so a cohort may be cut into blocks of members. On a processor a block is what its cache holds, or
every step would fetch all weights from memory again; on a GPU it is what fits, nearly always the whole cohort
(PERFORMANCE.md). Axes: b member (a client of one seed), n image, c class.
"""

import copy
from dataclasses import dataclass
from functools import lru_cache, partial

import torch

from hfkd.engine import networks
from hfkd.engine.layers import pick, seen

CHUNK = 256  # images a member looks at in one go when it only speaks: bounds the memory, does not change a number
CACHE = 32 * 2**20  # bytes of a block's weights, gradients and activations on a processor; measured, PERFORMANCE.md
SHARE = 0.5  # of the free memory of a GPU


@dataclass
class Cohort:
    """All clients of one level: a network without values, and one row of weights and of momentum per member."""

    level: int
    module: torch.nn.Module
    members: torch.Tensor  # (b,) flat ids seed_position * N + client, largest training set first
    weights: dict[str, torch.Tensor]  # name -> (b, ...)
    momentum: dict[str, torch.Tensor]
    scale: torch.Tensor  # (b, 2) mean and deviation of the pixels that a member's seed has in public


def cohort(level, family, shape, n_classes, members, rngs, scale) -> Cohort:
    """The members of one level with their first weights, each from its own stream (seed, "weights", client); scale
    (b, 2), whose device and type the weights take.
    """
    module = networks.build(family, level, shape, n_classes)
    each = [networks.initial(module, rng) for rng in rngs]
    weights = {name: torch.stack([w[name] for w in each]).to(scale) for name in each[0]}
    momentum = {name: torch.zeros_like(w) for name, w in weights.items()}
    return Cohort(level, module, torch.as_tensor(members, dtype=torch.long), weights, momentum, scale)


def alone(network: torch.nn.Module, level, member, scale) -> Cohort:
    """Any network images -> logits (n, C), with the weights it has, as a cohort of one; what is frozen stays frozen."""
    module = networks.Own(network)
    weights = {name: w.detach()[None].clone() for name, w in module.named_parameters() if w.requires_grad}
    momentum = {name: torch.zeros_like(w) for name, w in weights.items()}
    return Cohort(level, module, torch.tensor([member]), weights, momentum, scale)


@torch.no_grad()
def logits(cohort: Cohort, images, at, layer=1):
    """(b, n, c): f_b(x) of every member on its own list of images, at (b, n) int64 indices into images."""
    each, found = footprint(cohort.module, cohort.weights, images.shape[1:], CHUNK), []
    for rows in slices(len(at), each, images.device):
        weights = {name: w[rows] for name, w in cohort.weights.items()}
        some = [seen(cohort.module, weights, pick(images, part, cohort.scale[rows]))[layer]
                for part in at[rows].split(CHUNK, dim=1)]  # fmt: skip
        found.append(torch.cat(some, dim=1))
    return torch.cat(found)


features = partial(logits, layer=0)  # (b, n, FEATURES): what the last layer sees


def part(cohort: Cohort, rows) -> Cohort:
    """Copies of some members as a cohort of their own: of a slice, or of positions that rise, so the order stays."""
    copies = [{name: w[rows].clone() for name, w in kept.items()} for kept in (cohort.weights, cohort.momentum)]
    return Cohort(cohort.level, cohort.module, cohort.members[rows], *copies, cohort.scale[rows])


def put_back(cohort: Cohort, some: Cohort, rows) -> None:
    """Weights and momentum of `some` = part(cohort, rows), written into the cohort."""
    for name, w in some.weights.items():
        cohort.weights[name][rows], cohort.momentum[name][rows] = w, some.momentum[name]


@lru_cache(64)
def activations(module: torch.nn.Module, shape: tuple[int, ...]) -> int:
    """Numbers that a network on the meta device writes down for one image of this shape, the image included.

    >>> activations(networks.build("mlp", 1, (1, 28, 28), 10), (1, 28, 28))  # 784 twice (flat), 8, 8, 32, 32, 10
    1658
    """
    if isinstance(module, networks.Own):  # alone in its cohort: there is nothing to cut
        return 0
    written, twin = [torch.Size(shape).numel()], copy.deepcopy(module)
    for layer in twin.modules():
        if not list(layer.children()):
            layer.register_forward_hook(lambda _, __, y: written.append(y.numel()))
    twin(torch.zeros(1, *shape, device="meta"))  # shapes alone are computed
    return sum(written)


def footprint(module, weights: dict, shape: tuple[int, ...], images: int) -> int:
    """Bytes that a member works on in a step of so many images: weights, momentum, gradient, twice the activations."""
    size = next(iter(weights.values())).element_size()
    own = sum(w[0].numel() for w in weights.values())
    return size * (3 * own + 2 * images * activations(module, shape))


def slices(count: int, each: int, device: torch.device) -> list[slice]:
    """Consecutive rows of a cohort that go together: `count` members of `each` bytes.

    >>> slices(5, 12 * 2**20, torch.device("cpu"))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    room = CACHE
    if device.type == "cuda":  # what nobody has, and what torch keeps but does not use
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        room = SHARE * (torch.cuda.mem_get_info(device)[0] + unused)
    size = max(1, int(room // each))
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]
