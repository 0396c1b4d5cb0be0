"""The layers of `networks` on stacked weights: what every member of a block computes, in one operation per layer.

Linear layers are batched matrix products, convolutions are grouped with a group per member (PERFORMANCE.md says what
else was tried). Axes: b member, n image, c channel or feature; weights carry b in front, as in `cohort.Cohort`.
"""

from functools import partial
from types import SimpleNamespace

import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call

from hfkd.engine.networks import Block, Own


def forward(layer: nn.Module, weights: dict, x: torch.Tensor) -> torch.Tensor:
    """(b, n, ...): the layer of every member on its own images x (b, n, ...); weights: name -> (b, ...), names as in
    layer.named_parameters(). Of the layer only its kind and its shapes are read.

    >>> layer = nn.Sequential(nn.Linear(2, 1), nn.ReLU())
    >>> weights = {"0.weight": torch.tensor([[[1.0, 1.0]], [[-1.0, 0.0]]]), "0.bias": torch.zeros(2, 1)}
    >>> forward(layer, weights, torch.ones(2, 1, 2)).flatten().tolist()
    [2.0, 0.0]
    """
    if not isinstance(layer, nn.Sequential):
        return RULES[type(layer)](layer, weights, x)
    for name, each in layer.named_children():
        x = forward(each, inside(weights, name), x)
    return x


def inside(weights: dict, part: str) -> dict:
    """The weights of one part of a network, by their names there.

    >>> inside({"body.1.bias": 0, "head.bias": 1}, "body")
    {'1.bias': 0}
    """
    start = part + "."
    return {name[len(start) :]: w for name, w in weights.items() if name.startswith(start)}


def seen(module: nn.Module, weights: dict, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(features (b, n, FEATURES), logits (b, n, c)): what the body of a network sees, and what its head makes of it; of
    an `Own`, which is alone, its logits as both.
    """
    if isinstance(module, Own):
        return (functional_call(module, {name: w[0] for name, w in weights.items()}, x[0])[None],) * 2
    features = forward(module.body, inside(weights, "body"), x)
    return features, forward(module.head, inside(weights, "head"), features)


def pick(images: torch.Tensor, at: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """(b, n, ...) the images at (b, n) of every member, standardised: (x - mean_b) / deviation_b; scale (b, 2). Whole
    rows of bytes are taken, which is faster than indexing or rows of floats.

    >>> pick(torch.tensor([[1.0], [2.0]]), torch.tensor([[1, 1, 0]]), torch.tensor([[1.0, 2.0]])).tolist()
    [[[0.5], [0.5], [0.0]]]
    """
    found = images.index_select(0, at.flatten()).to(scale.dtype).unflatten(0, at.shape)
    mean, deviation = scale[(..., *[None] * (found.ndim - 1))].unbind(1)
    return found.sub_(mean).div_(deviation)


class _Affine(torch.autograd.Function):
    """x W' + bias, whose gradient by W has the memory layout of W: torch's own is transposed, and momentum and weights
    take twice the time to add it. The bias is a sum apart, so that a member does not depend on who is beside it.
    """

    @staticmethod
    def forward(ctx, x, w, bias):
        ctx.save_for_backward(x, w)
        return torch.bmm(x, w.mT) + bias.unsqueeze(1)

    @staticmethod
    def backward(ctx, g):
        x, w = ctx.saved_tensors
        return torch.bmm(g, w) if ctx.needs_input_grad[0] else None, torch.bmm(g.mT, x), g.sum(1)


def _convolution(layer, weights, x):
    """Every member's kernels on its own images."""
    w, bias = weights["weight"], weights.get("bias")
    if len(x) == 1:
        own, w, bias = (None if each is None else each.squeeze(0) for each in (x, w, bias))
        return F.conv2d(own, w, bias, layer.stride, layer.padding)[None]
    side_by_side, bias = x.transpose(0, 1).flatten(1, 2), None if bias is None else bias.flatten()
    y = F.conv2d(side_by_side, w.flatten(0, 1), bias, layer.stride, layer.padding, groups=len(x))
    return y.unflatten(1, w.shape[:2]).transpose(0, 1)


def _group_norm(layer, weights, x):
    """Normalised group by group, then every member's own scale and shift."""
    scale, shift = (weights[name][:, None, :, None, None] for name in ("weight", "bias"))
    return F.group_norm(x.flatten(0, 1), layer.num_groups, eps=layer.eps).unflatten(0, x.shape[:2]) * scale + shift


def _block(layer, weights, x):
    """What a `Block` does, with stacked layers in place of its own."""
    parts = {name: partial(forward, each, inside(weights, name)) for name, each in layer.named_children()}
    return Block.forward(SimpleNamespace(**parts), x)


RULES = {
    nn.Linear: lambda layer, weights, x: _Affine.apply(x, weights["weight"], weights["bias"]),
    nn.Conv2d: _convolution,
    nn.GroupNorm: _group_norm,
    Block: _block,
    nn.ReLU: lambda layer, weights, x: x.relu(),
    nn.Flatten: lambda layer, weights, x: x.flatten(2),
    nn.AdaptiveAvgPool2d: lambda layer, weights, x: x.mean((-2, -1), keepdim=True),
}
