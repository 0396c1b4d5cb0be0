"""Networks: sizes by hand, first weights that depend on their stream only, and stacked layers against nn.Module."""

import copy
import math

import numpy as np
import pytest
import torch
from torch.func import functional_call

from hfkd.engine import cohort, layers, networks
from hfkd.streams import stream

FAMILIES = [("mlp", (1, 8, 8)), ("depth", (1, 8, 8)), ("cnn", (1, 28, 28)), ("cnn", (1, 9, 11)), ("cnn", (3, 9, 13))]


@pytest.mark.parametrize("family", ["mlp", "depth", "cnn"])
def test_sizes_by_hand(family):
    for (ch, h, w), left in (((1, 8, 8), 4), ((1, 9, 11), 9), ((3, 9, 13), None)):  # pixels left after two strides
        d = ch * h * w
        for level, k in enumerate(networks.WIDTHS[family], 1):
            found = sum(w.numel() for w in networks.build(family, level, (ch, h, w), 7).parameters())
            by_hand = {
                "mlp": d * k + k + k * 32 + 32,  # d -> k -> 32
                "depth": d * 32 + 32 + (k - 1) * (32 * 32 + 32),  # d -> 32, then k - 1 layers 32 -> 32
                # 3x3 kernels 1 -> k -> 2k with biases, 2k channels -> 32; in colour a stem and its norm, two blocks
                # of 9 k 2k + 9 (2k)^2 + k 2k = 56 k^2 numbers and two norms, 4k channels -> 32
                "cnn": 9 * k + k + 18 * k * k + 2 * k + 2 * k * left * 32 + 32 if ch == 1
                else 27 * k + 2 * k + 56 * k**2 + 8 * k + 56 * (2 * k) ** 2 + 16 * k + 4 * k * 32 + 32,
            }  # fmt: skip
            assert found == by_hand[family] + 32 * 7 + 7


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize(("family", "shape"), FAMILIES)
def test_stacked_layers_are_nn_module_member_by_member(family, shape, members):
    for level in (1, 2, 3):
        module = networks.build(family, level, shape, 7)
        rng = torch.Generator().manual_seed(0)
        each = [networks.initial(module, stream(0, "weights", b)) for b in range(members)]
        weights = {name: torch.stack([w[name] for w in each]).double() for name in each[0]}
        for w in weights.values():
            w += 0.1 * torch.rand(w.shape, generator=rng, dtype=torch.float64)  # biases and scales, too
            w.requires_grad_()
        x = torch.randn(members, 5, *shape, generator=rng, dtype=torch.float64)
        features, logits = layers.seen(module, weights, x)
        found = torch.autograd.grad((logits**3).sum(), list(weights.values()))
        for b in range(members):
            own = {name: w[b].detach().requires_grad_() for name, w in weights.items()}
            wanted = functional_call(copy.deepcopy(module).to_empty(device="cpu"), own, (x[b],))
            torch.testing.assert_close(logits[b], wanted, rtol=1e-12, atol=1e-12)  # logits go up to 1,000
            head = features[b] @ own["head.weight"].T + own["head.bias"]
            torch.testing.assert_close(head, wanted, rtol=1e-12, atol=1e-12)
            for mine, right in zip(found, torch.autograd.grad((wanted**3).sum(), list(own.values()))):
                torch.testing.assert_close(mine[b], right, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("family", "shape"), FAMILIES)
def test_first_weights_are_he_uniform_and_depend_on_their_stream_only(family, shape):
    module, before = networks.build(family, 3, shape, 10), torch.random.get_rng_state()
    weights, again, other = (networks.initial(module, stream(0, "weights", client)) for client in (1, 1, 2))
    assert torch.random.get_rng_state().equal(before) and not list(module.buffers())  # no hidden state, here or there
    for name, w in weights.items():
        assert w.equal(again[name]) and w.dtype == torch.float32
        if w.dim() == 1:
            assert w.equal(torch.zeros_like(w) if name.endswith("bias") else torch.ones_like(w)), name
            continue
        bound = math.sqrt(6 / w[0].numel())  # variance 2 / fan_in (He et al. 2015, eq. 10)
        assert not w.equal(other[name]) and 0.95 * bound < w.abs().max() <= bound * (1 + 1e-6) and w.min() < 0 < w.max()
        # the mean of n squares has relative standard error sqrt(.8 / n): six of them
        assert float(w.double().square().mean()) == pytest.approx(bound**2 / 3, rel=6 * math.sqrt(0.8 / w.numel()))


def test_a_cohort_starts_from_the_streams_of_its_members_and_looks_at_more_images_than_a_chunk():
    rngs = [stream(5, "weights", client) for client in (3, 0)]
    made = cohort.cohort(2, "cnn", (1, 8, 8), 10, [3, 0], rngs, torch.tensor([[0.0, 1.0]] * 2, dtype=torch.float64))
    images = torch.randn(50, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    at = torch.from_numpy(np.random.default_rng(0).integers(0, 50, (2, 2 * cohort.CHUNK + 7)))
    found = cohort.logits(made, images, at)
    for b, client in enumerate((3, 0)):
        own = {name: w.double() for name, w in networks.initial(made.module, stream(5, "weights", client)).items()}
        wanted = functional_call(copy.deepcopy(made.module).to_empty(device="cpu"), own, (images[at[b]],))
        torch.testing.assert_close(found[b], wanted, rtol=0, atol=1e-12)


def test_bad_input():
    for family, level, shape, sentence in (
        ("vit", 1, (1, 28, 28), "levels is 'vit'; expected one of mlp, cnn, depth"),
        ("mlp", 4, (1, 28, 28), "level is 4; expected 1, 2 or 3"),
        ("cnn", 2, (1, 28, 7), "images are 28x7; levels = 'cnn' expects at least 8x8"),
    ):
        with pytest.raises(ValueError, match=sentence):
            networks.build(family, level, shape, 10)
