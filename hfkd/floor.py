"""What a piece of work costs and what it would cost at the arithmetic floor: its floating point operations at the rate
of one large matrix product on the same device, measured in the same run.
"""

import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from hfkd.peaks import peak

SIDE = 2048  # of the square matrices


class Figure(NamedTuple):
    """One measured piece of work."""

    what: str
    seconds: float  # of the batched program
    sequential: float | None  # of one client after the other, plain autograd and SGD; None: not asked
    flops: int | None  # counted by torch, of forward and backward; None: not counted
    rate: float  # FLOP/s of the matrix product

    @property
    def floor(self) -> float | None:
        """Seconds of the arithmetic alone."""
        return None if self.flops is None else self.flops / self.rate


def matmul_rate(device: str = "cpu", repeats: int = 5) -> float:
    """FLOP/s of a float32 product of two 2048 x 2048 matrices, the best of some: 2 * 2048^3 / seconds."""
    a, b = torch.randn(2, SIDE, SIDE, device=device)
    torch.mm(a, b)
    return 2 * SIDE**3 / min(seconds(lambda: torch.mm(a, b), device) for _ in range(repeats))


def seconds(work: Callable, device: str = "cpu") -> float:
    """Wall time of work(), until a GPU is done as well."""
    start = time.perf_counter()
    work()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def flops(work: Callable) -> int:
    """Floating point operations of work(), as torch counts matrix products and convolutions; what is elementwise is not
    counted. torch counts the backward pass of a grouped convolution as if every group saw all channels; here each part
    asked for counts as the forward pass does.

    >>> flops(lambda: torch.ones(2, 3) @ torch.ones(3, 4))  # 2 * 2 * 3 * 4
    48
    """
    with FlopCounterMode(display=False, custom_mapping={torch.ops.aten.convolution_backward: _backward}) as counter:
        work()
    return counter.get_total_flops()


def _backward(out, x, w, bias, stride, padding, dilation, transposed, output_padding, groups, mask, out_shape=None):
    """As many as the forward pass for the gradient by the image, and for that by the kernel, where they are asked."""
    n, channels, *places = out
    return 2 * n * channels * torch.Size(places).numel() * torch.Size(w[1:]).numel() * sum(mask[:2])


def apart(work: Callable, *given):
    """(work(*given), peak bytes) in a process of its own, so that the peak is that of this work alone."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(_peaked, work, given).result()


def _peaked(work, given):
    """What `apart` runs."""
    found = work(*given)
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return found, torch.cuda.max_memory_allocated()
    return found, peak()
