"""Capacity levels: level 1 (least capable) to 3 (most capable) -> a small network for an input shape.

Every network is `body` then `head`: the body maps an image to FEATURES numbers, the head is the same linear layer at
every level, so that methods that share prototypes or heads are compared on the networks that all methods use (ours).
No BatchNorm: its running statistics are a second, hidden state that a federation would have to exchange.
"""

import math
from collections import OrderedDict

import torch
from torch import nn

WIDTHS = {"mlp": (8, 32, 128), "cnn": (8, 16, 32), "depth": (1, 2, 3)}  # units, channels, hidden layers of each level
HAS = {"widths": ("mlp", "cnn"), "depths": ("depth",)}  # what a method may need (`method.NEEDS`) -> who has it
FEATURES = 32


class Block(nn.Module):
    """Two 3x3 convolutions with GroupNorm and a shortcut; halves the image, doubles the width (He et al. 2016)."""

    def __init__(self, width: int):
        super().__init__()
        self.one = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1, bias=False)
        self.two = nn.Conv2d(2 * width, 2 * width, 3, padding=1, bias=False)
        self.skip = nn.Conv2d(width, 2 * width, 1, stride=2, bias=False)
        self.norm_one = nn.GroupNorm(4, 2 * width)
        self.norm_two = nn.GroupNorm(4, 2 * width)

    def forward(self, x):
        y = torch.relu(self.norm_one(self.one(x)))
        return torch.relu(self.skip(x) + self.norm_two(self.two(y)))


class Own(nn.Module):
    """A network of anybody's, which computes itself, buffers and modes included; in a cohort of one."""

    def __init__(self, body: nn.Module):
        super().__init__()
        self.body = body

    def forward(self, x):
        return self.body(x)


def build(family: str, level: int, shape: tuple[int, int, int], n_classes: int) -> nn.Module:
    """The network of one level, without values (on the `meta` device): `initial` draws them.

    family: a name of WIDTHS. level: 1..3. shape: (channels, height, width) of an image. Raises ValueError: unknown
    family or level, an image too small for the convolutions. Source: levels *poster*; families, common head *ours*.

    >>> sum(w.numel() for w in build("mlp", 1, (1, 28, 28), 10).parameters())  # 784*8+8 + 8*32+32 + 32*10+10
    6898
    """
    if family not in WIDTHS:
        raise ValueError(f"levels is {family!r}; expected one of {', '.join(WIDTHS)}")
    if level not in (1, 2, 3):
        raise ValueError(f"level is {level!r}; expected 1, 2 or 3")
    if family == "cnn" and min(shape[1:]) < 8:
        raise ValueError(f"images are {shape[1]}x{shape[2]}; levels = 'cnn' expects at least 8x8")
    with torch.device("meta"):
        body = nn.Sequential(*_layers(family, shape, WIDTHS[family][level - 1]))
        return nn.Sequential(OrderedDict(body=body, head=nn.Linear(FEATURES, n_classes)))


def _layers(family, shape, size):
    """From an image to FEATURES numbers."""
    if family != "cnn":
        widths = (math.prod(shape), *((size, FEATURES) if family == "mlp" else (FEATURES,) * size))
        return [nn.Flatten(), *(layer for a, b in zip(widths, widths[1:]) for layer in (nn.Linear(a, b), nn.ReLU()))]
    if shape[0] == 1:  # strides: they cost a quarter of the activations of a pooling layer and train as well
        height, width = ((n + 3) // 4 for n in shape[1:])
        return [
            nn.Conv2d(1, size, 3, stride=2, padding=1), nn.ReLU(),
            nn.Conv2d(size, 2 * size, 3, stride=2, padding=1), nn.ReLU(),
            nn.Flatten(), nn.Linear(2 * size * height * width, FEATURES), nn.ReLU(),
        ]  # fmt: skip
    return [  # a stem, two blocks, the mean over the image
        nn.Conv2d(shape[0], size, 3, padding=1, bias=False), nn.GroupNorm(4, size), nn.ReLU(),
        Block(size), Block(2 * size),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4 * size, FEATURES), nn.ReLU(),
    ]  # fmt: skip


def initial(module: nn.Module, rng) -> dict[str, torch.Tensor]:
    """First weights, name -> float32 on the CPU: He uniform for matrices and kernels (He et al. 2015, 1502.01852), zero
    biases, unit scales. Of the module only shapes are read; rng is the stream (seed, "weights", client).

    >>> from hfkd.streams import stream
    >>> float(initial(build("mlp", 1, (1, 8, 8), 10), stream(0, "weights", 0))["head.bias"].abs().sum())
    0.0
    """
    generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
    weights = {}
    for name, like in module.named_parameters():
        weights[name] = torch.full(like.shape, float(name.endswith("weight")))  # 1: scales of GroupNorm
        if like.dim() >= 2:
            nn.init.kaiming_uniform_(weights[name], nonlinearity="relu", generator=generator)
    return weights
