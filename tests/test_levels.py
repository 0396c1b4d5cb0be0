"""Capacity levels: sizes by hand, a forward pass in numpy, and first weights that depend on their stream only."""

import math

import numpy as np
import pytest
import torch
from torch.func import functional_call

from hfkd import levels
from hfkd.streams import stream

SHAPES = [(1, 8, 8), (1, 28, 28), (3, 32, 32)]
EVERY = [(family, shape, level) for family in ("mlp", "cnn", "depth") for shape in SHAPES for level in (1, 2, 3)]


def made(family, level, shape, n_classes=10, seed=0, client=0):
    """A network without values and its first weights."""
    module = levels.build(family, level, shape, n_classes)
    return module, levels.initial(module, stream(seed, "weights", client))


def by_hand(family, shape, size, classes=10):
    """Parameters of a level; d inputs, width or depth `size`, 32 features, head 32 C + C."""
    d, head = math.prod(shape), 32 * classes + classes
    if family == "mlp":  # d -> size -> 32
        return d * size + size + size * 32 + 32 + head
    if family == "depth":  # d -> 32, then size - 1 layers 32 -> 32
        return d * 32 + 32 + (size - 1) * (32 * 32 + 32) + head
    w = size
    if shape[0] == 1:  # 3x3 kernels 1 -> w -> 2w with biases, a quarter of each side is left, 2w channels -> 32
        return 9 * w + w + 9 * w * 2 * w + 2 * w + 2 * w * (shape[1] // 4) * (shape[2] // 4) * 32 + 32 + head
    # stem 3x3, 3 -> w, and its norm (2w); a block w -> 2w has kernels 9 w 2w + 9 (2w)^2 + w 2w = 56 w^2, two norms 8w
    return 27 * w + 2 * w + 56 * w**2 + 8 * w + 56 * (2 * w) ** 2 + 8 * (2 * w) + 4 * w * 32 + 32 + head


@pytest.mark.parametrize("family", ["mlp", "cnn", "depth"])
def test_sizes_by_hand(family):
    for shape in SHAPES:
        rows = levels.sizes(family, shape, 10)
        wanted = [by_hand(family, shape, size) for size in levels.WIDTHS[family]]
        assert [row["parameters"] for row in rows] == wanted == sorted(wanted)
        assert [row["bytes"] for row in rows] == [4 * count for count in wanted]  # float32
        assert [(row["level"], row["name"]) for row in rows] == [(1, "small"), (2, "medium"), (3, "large")]


def test_sizes_in_numbers():
    # 64*8+8 + 8*32+32 + 32*10+10 = 520 + 288 + 330
    assert levels.sizes("mlp", (1, 8, 8), 10)[0]["parameters"] == 1138
    # (72+8) + (9*8*16+16) + (16*49*32+32) + 330 = 80 + 1168 + 25120 + 330
    assert levels.sizes("cnn", (1, 28, 28), 10)[0]["parameters"] == 26698
    # w = 8: 216+16 + 56*64+64 + 56*256+128 + 1024+32 + 330 = 232 + 3648 + 14464 + 1056 + 330
    assert levels.sizes("cnn", (3, 32, 32), 10)[0]["parameters"] == 19730
    # the head has 33 parameters per class: 7 classes fewer
    ten, three = (levels.sizes("depth", (1, 8, 8), classes)[1]["parameters"] for classes in (10, 3))
    assert ten - three == 7 * 33


@pytest.mark.parametrize(("family", "shape", "level"), EVERY)
def test_forward_shape_head_and_no_hidden_state(family, shape, level):
    module, weights = made(family, level, shape, 7)
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((5, *shape))).float()
    out = functional_call(module, weights, (x,))
    assert out.shape == (5, 7) and out.isfinite().all()
    assert weights["head.weight"].shape == (7, 32) and weights["head.bias"].shape == (7,)
    assert set(weights) == {name for name, _ in module.named_parameters()}
    assert all(p.is_meta for p in module.parameters())
    # no running statistics, and what a network says of an image does not depend on the others in the batch
    assert not list(module.buffers()) and not any("BatchNorm" in type(m).__name__ for m in module.modules())
    torch.testing.assert_close(functional_call(module, weights, (x[:1],)), out[:1], rtol=1e-4, atol=1e-5)


def test_forward_of_the_perceptrons_in_numpy():
    x = np.random.default_rng(0).standard_normal((4, 1, 8, 8))
    for family, level, layers in (("mlp", 1, 2), ("mlp", 3, 2), ("depth", 1, 1), ("depth", 3, 3)):
        module, weights = made(family, level, (1, 8, 8))
        weights = {name: w.double() for name, w in weights.items()}
        names = [name[: -len(".weight")] for name in weights if name.endswith("weight")]
        assert len(names) == layers + 1  # hidden layers, then the head
        z = x.reshape(4, -1)
        for name in names:
            z = z @ weights[f"{name}.weight"].numpy().T + weights[f"{name}.bias"].numpy()
            z = z if name == "head" else np.maximum(z, 0)
        out = functional_call(module, weights, (torch.from_numpy(x),))
        np.testing.assert_allclose(out.numpy(), z, rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", [(1, 9, 30), (1, 11, 8), (3, 9, 13)])
def test_convolutions_take_sides_that_four_does_not_divide(shape):
    module, weights = made("cnn", 1, shape)
    assert functional_call(module, weights, (torch.zeros(2, *shape),)).shape == (2, 10)


def test_initial_depends_on_its_stream_only():
    before = torch.random.get_rng_state()
    _, first = made("cnn", 2, (3, 32, 32), client=1)
    torch.manual_seed(99)
    after = torch.random.get_rng_state()
    _, again = made("cnn", 2, (3, 32, 32), client=1)
    assert torch.random.get_rng_state().equal(after)  # and it takes nothing from the global generator
    torch.random.set_rng_state(before)
    assert all(first[name].equal(again[name]) for name in first)
    for other in (made("cnn", 2, (3, 32, 32), client=2)[1], made("cnn", 2, (3, 32, 32), client=1, seed=1)[1]):
        matrices = [name for name in first if first[name].dim() >= 2]
        assert not any(first[name].equal(other[name]) for name in matrices)


@pytest.mark.parametrize(("family", "shape"), [("mlp", (1, 28, 28)), ("cnn", (1, 28, 28)), ("cnn", (3, 32, 32))])
def test_first_weights_are_he_uniform(family, shape):
    # uniform in +-sqrt(6 / fan_in) has variance 2 / fan_in (He et al. 2015, eq. 10)
    _, weights = made(family, 3, shape)
    for name, w in weights.items():
        if w.dim() == 1:
            assert w.equal(torch.zeros_like(w) if name.endswith("bias") else torch.ones_like(w)), name
            continue
        fan_in = w[0].numel()
        bound = math.sqrt(6 / fan_in)
        assert w.abs().max() <= bound * (1 + 1e-6)
        assert w.dtype == torch.float32 and w.abs().max() > .95 * bound and w.min() < 0 < w.max()
        # the mean of n squares has relative standard error sqrt(.8 / n): six of them
        assert float(w.double().square().mean()) == pytest.approx(2 / fan_in, rel=6 * math.sqrt(.8 / w.numel()))


def test_every_family_is_named():
    assert set(levels.FAMILIES) == set(levels.WIDTHS) and len(levels.NAMES) == 3


@pytest.mark.parametrize(("given", "sentence"), [
    (("vit", 1, (1, 28, 28), 10), "levels is 'vit'; expected one of mlp, cnn, depth"),
    (("mlp", 0, (1, 28, 28), 10), "level is 0; expected 1, 2 or 3"),
    (("mlp", 4, (1, 28, 28), 10), "level is 4; expected 1, 2 or 3"),
    (("cnn", "2", (1, 28, 28), 10), "level is '2'; expected 1, 2 or 3"),
    (("cnn", 2, (1, 28, 7), 10), "images are 28x7; levels = 'cnn' expects at least 8x8"),
])  # fmt: skip
def test_bad_input(given, sentence):
    with pytest.raises(ValueError, match=sentence):
        levels.build(*given)
