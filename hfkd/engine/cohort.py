"""A cohort: all clients of one level, over all seeds, with their weights stacked along a first axis b.

Members do not meet while they train or answer, so a cohort may be cut into blocks of members: that changes the time
and the memory and no member's mathematics. On a processor a block is what its cache holds, or every step would fetch
all weights from memory again; on a GPU it is what fits, which is nearly always the whole cohort (PERFORMANCE.md).

Axes: b member (a client of one seed), n image, c class.
"""

import copy
from dataclasses import dataclass
from functools import lru_cache

import torch

from hfkd.engine import networks
from hfkd.engine.layers import pick, seen

CHUNK = 256  # images a member looks at in one go when it only speaks: bounds the memory, does not change a number
CACHE = 16 * 2**20  # bytes of a block's weights, gradients and activations on a processor; measured, PERFORMANCE.md
SHARE = 0.5  # of the free memory of a GPU


@dataclass
class Cohort:
    """All clients of one level: a network without values, and one row of weights and of momentum per member."""

    level: int
    module: torch.nn.Module
    members: torch.Tensor  # (b,) flat ids seed_position * N + client, largest training set first
    weights: dict[str, torch.Tensor]  # name -> (b, ...)
    momentum: dict[str, torch.Tensor]


def cohort(level, family, shape, n_classes, members, rngs, device="cpu", dtype=torch.float32) -> Cohort:
    """The members of one level (flat ids, largest training set first) with their first weights, each from its own
    generator, the stream (seed, "weights", client).
    """
    module = networks.build(family, level, shape, n_classes)
    each = [networks.initial(module, rng) for rng in rngs]
    weights = {name: torch.stack([w[name] for w in each]).to(device, dtype) for name in each[0]}
    momentum = {name: torch.zeros_like(w) for name, w in weights.items()}
    return Cohort(level, module, torch.as_tensor(members, dtype=torch.long), weights, momentum)


def logits(cohort: Cohort, images, at):
    """(b, n, c): f_b(x) of every member on its own list of images, at (b, n) int64 indices into images."""
    return _look(1, cohort, images, at)


def features(cohort: Cohort, images, at):
    """(b, n, FEATURES): what the last layer of every member sees of its own list of images; arguments as `logits`."""
    return _look(0, cohort, images, at)


@torch.no_grad()
def _look(which, cohort, images, at):
    """The features or the logits of every member on its own list of images, a block of members at a time."""
    each = footprint(cohort.module, cohort.weights, images.shape[1:], CHUNK)

    def answers(rows):
        weights = {name: w[rows] for name, w in cohort.weights.items()}
        some = [seen(cohort.module, weights, pick(images, part))[which] for part in at[rows].split(CHUNK, dim=1)]
        return torch.cat(some, dim=1)

    return torch.cat([answers(rows) for rows in slices(len(at), each, images.device)])


def part(cohort: Cohort, rows) -> Cohort:
    """Some members as a cohort of their own, with copies of all they have; `put_back` returns what they have learned.

    rows: a slice, or positions in the cohort, rising, so that the largest training set stays first.
    """
    device = next(iter(cohort.weights.values())).device
    at = rows if isinstance(rows, slice) else torch.as_tensor(rows, dtype=torch.long)
    there = at if isinstance(at, slice) else at.to(device)
    copies = [{name: w[there].clone() for name, w in kept.items()} for kept in (cohort.weights, cohort.momentum)]
    return Cohort(cohort.level, cohort.module, cohort.members[at], *copies)


def put_back(cohort: Cohort, some: Cohort, rows) -> None:
    """Weights and momentum of `some` = part(cohort, rows), written into the cohort."""
    for kept, fresh in ((cohort.weights, some.weights), (cohort.momentum, some.momentum)):
        for name, w in kept.items():
            w[rows if isinstance(rows, slice) else torch.as_tensor(rows, device=w.device)] = fresh[name]


@lru_cache(64)
def activations(module: torch.nn.Module, shape: tuple[int, ...]) -> int:
    """Numbers that a network (on the meta device) writes down on the way from one image (channels, height, width) to its
    answer, the image included.

    >>> activations(networks.build("mlp", 1, (1, 28, 28), 10), (1, 28, 28))  # 784 twice (flat), 8, 8, 32, 32, 10
    1658
    """
    written, twin = [torch.Size(shape).numel()], copy.deepcopy(module)
    for layer in twin.modules():
        if not list(layer.children()):
            layer.register_forward_hook(lambda _, __, y: written.append(y.numel()))
    twin(torch.zeros(1, *shape, device="meta"))  # shapes alone are computed
    return sum(written)


def footprint(module, weights: dict, shape: tuple[int, ...], images: int) -> int:
    """Bytes that one member works on in a step of so many images: weights, momentum and gradient, and activations with
    their gradients. weights: name -> (b, ...).
    """
    size = next(iter(weights.values())).element_size()
    own = sum(w[0].numel() for w in weights.values())
    return size * (3 * own + 2 * images * activations(module, shape))


def slices(count: int, each: int, device: torch.device) -> list[slice]:
    """Consecutive rows of a cohort that go together: `count` members of `each` bytes.

    >>> slices(5, 6 * 2**20, torch.device("cpu"))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    room = CACHE
    if device.type == "cuda":  # what nobody has, and what torch keeps but does not use
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        room = SHARE * (torch.cuda.mem_get_info(device)[0] + unused)
    size = max(1, int(room // each))
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]
