"""How many members train side by side: a cohort is cut into blocks, and every block goes through its round by itself.

Members do not meet during a round, so blocks change the time and the memory and no member's mathematics. On a processor
a block is what its cache holds: over a whole cohort every step would fetch all weights from memory again. On a GPU it
is what fits beside what is there already, which is nearly always the whole cohort (PERFORMANCE.md).
"""

import copy
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import torch

CACHE = 16 * 2**20  # bytes of a block's weights, gradients and activations on a processor; measured, PERFORMANCE.md
SHARE = 0.5  # of the free memory of a GPU


@lru_cache(64)
def activations(module: torch.nn.Module, shape: tuple[int, ...]) -> int:
    """Numbers that a network writes down for one image on the way to its answer, the image included.

    Args:
        module: from `levels.build`, on the meta device.
        shape: (channels, height, width).

    >>> from hfkd import levels
    >>> activations(levels.build("mlp", 1, (1, 28, 28), 10), (1, 28, 28))  # 784 twice (flat), 8, 8, 32, 32, 10
    1658
    """
    written, twin = [], copy.deepcopy(module).to_empty(device="cpu")
    for layer in twin.modules():
        if not list(layer.children()):
            layer.register_forward_hook(lambda _, __, y: written.append(y.numel()))
    for network in (twin, *(own for name, own in twin.named_children() if name == "small")):  # FML's second network
        network(torch.zeros(1, *shape))
    return sum(written) + torch.Size(shape).numel()


def footprint(module, weights: dict, shape: tuple[int, ...], images: int) -> int:
    """Bytes that one member works on in a step: weights, momentum and gradient, and activations with their gradients.

    Args:
        weights: name -> (b, ...).
        images: in a step, private and public together.

    Source: ours, an estimate: what a library keeps beside it is not counted.
    """
    size = next(iter(weights.values())).element_size()
    own = sum(w[0].numel() for w in weights.values())
    return size * (3 * own + 2 * images * activations(module, shape))


def free(device: torch.device) -> float:
    """Bytes of a GPU that torch may still use: what nobody has, and what torch keeps but does not use."""
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return float(torch.cuda.mem_get_info(device)[0] + unused)


def slices(count: int, each: int, device: torch.device) -> list[slice]:
    """Consecutive rows of a cohort that go together.

    Args:
        count: members. each: bytes of one, from `footprint`.

    >>> slices(5, 6 * 2**20, torch.device("cpu"))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    room = CACHE if device.type == "cpu" else SHARE * free(device)
    size = max(1, int(room // each))
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


def side_by_side(work: Callable, parts: list, device: torch.device) -> None:
    """work(part) for every part; on a processor as many at once as torch has threads, each with a single one.

    A part is then computed alike whatever the number of threads.
    """
    threads = torch.get_num_threads()
    if device.type != "cpu" or threads == 1:
        for part in parts:
            work(part)
        return
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            for done in [pool.submit(work, part) for part in parts]:
                done.result()
    finally:
        torch.set_num_threads(threads)
