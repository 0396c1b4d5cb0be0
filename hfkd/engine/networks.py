"""Capacity levels: level 1 (least capable) to 3 (most capable) -> a small network for an input shape.

Every network is `body` then `head`: the body maps an image to FEATURES numbers, the head is the same linear layer at
every level, so that methods that share prototypes or heads can be compared on the networks that all methods use (ours).
No BatchNorm: its running statistics are a second, hidden state that a federation would have to exchange.
"""

from collections import OrderedDict

import torch
from torch import nn

WIDTHS = {"mlp": (8, 32, 128), "cnn": (8, 16, 32), "depth": (1, 2, 3)}
HAS = {  # what a method may need of the levels (`engine.method.NEEDS`)
    "mlp": ("features", "widths"), "cnn": ("features", "widths"), "depth": ("features", "depths"),
}  # fmt: skip
FAMILIES = {
    "mlp": "multilayer perceptron, first hidden layer of 8 / 32 / 128 units",
    "cnn": "convolutional net of width 8 / 16 / 32; for colour images a residual net with GroupNorm",
    "depth": "multilayer perceptron of 32 units with 1 / 2 / 3 hidden layers",
}
FEATURES = 32


def build(family: str, level: int, shape: tuple[int, int, int], n_classes: int) -> nn.Module:
    """The network of one level, without values (on the `meta` device): `initial` draws them.

    Args:
        family: a name of FAMILIES. level: 1..3. shape: (channels, height, width) of an image. n_classes: C.

    Raises:
        ValueError: unknown family or level, an image too small for the convolutions.

    Source: levels *poster*; families, widths and the common head *ours*.

    >>> sum(w.numel() for w in build("mlp", 1, (1, 28, 28), 10).parameters())  # 784*8+8 + 8*32+32 + 32*10+10
    6898
    """
    if family not in WIDTHS:
        raise ValueError(f"levels is {family!r}; expected one of {', '.join(WIDTHS)}")
    if level not in (1, 2, 3):
        raise ValueError(f"level is {level!r}; expected 1, 2 or 3")
    if family == "cnn" and min(shape[1:]) < 8:
        raise ValueError(f"images are {shape[1]}x{shape[2]}; levels = 'cnn' expects at least 8x8")
    size = WIDTHS[family][level - 1]
    with torch.device("meta"):
        if family == "mlp":
            body = _perceptron(shape, (size, FEATURES))
        elif family == "depth":
            body = _perceptron(shape, (FEATURES,) * size)
        else:
            body = _convolutional(shape, size) if shape[0] == 1 else _residual(shape, size)
        return nn.Sequential(OrderedDict(body=body, head=nn.Linear(FEATURES, n_classes)))


def initial(module: nn.Module, rng) -> dict[str, torch.Tensor]:
    """First weights, name -> float32 tensor on the CPU: He uniform for every matrix and kernel, zero biases, unit scales
    (He et al. 2015, 1502.01852). Of the module only shapes are read; rng is the stream (seed, "weights", client).

    >>> from hfkd.streams import stream
    >>> float(initial(build("mlp", 1, (1, 8, 8), 10), stream(0, "weights", 0))["head.bias"].abs().sum())
    0.0
    """
    generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
    weights = {}
    for name, like in module.named_parameters():
        value = torch.zeros(like.shape)
        if like.dim() >= 2:
            nn.init.kaiming_uniform_(value, nonlinearity="relu", generator=generator)
        elif name.endswith("weight"):  # the scales of GroupNorm
            value.fill_(1.0)
        weights[name] = value
    return weights


def sizes(family: str, shape: tuple[int, int, int], n_classes: int) -> list[dict]:
    """Parameters and bytes (float32) of each level, smallest first.

    >>> [row["parameters"] for row in sizes("mlp", (1, 28, 28), 10)]
    [6898, 26506, 104938]
    """
    counts = [sum(w.numel() for w in build(family, level, shape, n_classes).parameters()) for level in (1, 2, 3)]
    return [{"level": level, "parameters": count, "bytes": 4 * count} for level, count in enumerate(counts, 1)]


def _perceptron(shape, hidden):
    """Flatten, then the hidden layers."""
    widths = (shape[0] * shape[1] * shape[2], *hidden)
    layers = [layer for a, b in zip(widths, widths[1:]) for layer in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(nn.Flatten(), *layers)


def _convolutional(shape, width):
    """Two strided convolutions: a stride costs a quarter of a pooling layer's activations and trains as well."""
    side = [(n + 3) // 4 for n in shape[1:]]
    return nn.Sequential(
        nn.Conv2d(shape[0], width, 3, stride=2, padding=1), nn.ReLU(),
        nn.Conv2d(width, 2 * width, 3, stride=2, padding=1), nn.ReLU(),
        nn.Flatten(), nn.Linear(2 * width * side[0] * side[1], FEATURES), nn.ReLU(),
    )  # fmt: skip


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


def _residual(shape, width):
    """A stem, two blocks, the mean over the image, then FEATURES."""
    return nn.Sequential(
        nn.Conv2d(shape[0], width, 3, padding=1, bias=False), nn.GroupNorm(4, width), nn.ReLU(),
        Block(width), Block(2 * width),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4 * width, FEATURES), nn.ReLU(),
    )  # fmt: skip
