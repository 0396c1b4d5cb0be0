"""Servers that train or compress: prototypes, heads and mentees, against torch's own modules and numpy."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scenes import scene, weights_of
from torch import nn

from hfkd import averaging, cohorts
from hfkd.methods import METHODS, fedgh, fedkd, fedproto, fedtgp
from hfkd.streams import stream

SEEDS, N = (0, 1), 6


def begun(method, **more):
    """(config, state) after `begin`, each network shifted a little."""
    config, state, *_ = scene(SEEDS, method=method, **more)
    METHODS[method].begin(state, config, SEEDS)
    return config, state


def test_fedproto_prototypes_are_means_by_samples_and_the_nearest_wins():
    config, state = begun("fedproto")
    fedproto.exchange(state, config, 1)
    own = averaging.prototypes(state).numpy().reshape(2, N, 10, 32)
    for z, fed in enumerate(state.splits):
        for c in range(10):
            held = fed.counts[:, c]
            wanted = np.average(own[z, :, c], axis=0, weights=held) if held.any() else np.zeros(32)
            np.testing.assert_allclose(state.memory["prototypes"][z, c], wanted, atol=1e-5)
    state.memory["known"][0, 3] = 0  # nobody has seen it: nobody says it
    for cohort in state.cohorts:
        at = torch.arange(50).expand(len(cohort.members), -1)
        scores, h = fedproto.answers(state, cohort, state.images, at), cohorts.features(cohort, state.images, at)
        for b, z in enumerate(averaging.seats(state, cohort)):
            apart = np.linalg.norm(h[b][:, None] - state.memory["prototypes"][z], axis=-1)
            apart[:, state.memory["known"][z].numpy() == 0] = np.inf
            assert scores[b].argmax(-1).tolist() == apart.argmin(-1).tolist()


D = 16


def clouds(d=D):
    """(1, 3 clients, 5 classes, d) prototypes around five centres, and who has which: nobody the last."""
    rng = torch.Generator().manual_seed(0)
    centres = 2 * torch.randn(5, d, generator=rng)
    there = torch.tensor([[[1.0, 1, 0, 1, 0], [1, 0, 1, 1, 0], [0, 1, 1, 1, 0]]])
    return (centres + 0.1 * torch.randn(1, 3, 5, d, generator=rng)) * there.unsqueeze(-1), there


def fresh():
    """A generator of one seed as FedTGP starts it, for five classes."""
    drawn = fedtgp._generator(stream(0, "server"), 5, D)
    return {name: torch.from_numpy(w).float().unsqueeze(0) for name, w in drawn.items()}


def test_fedtgp_one_step_is_torchs_on_its_own_modules(monkeypatch):
    monkeypatch.setattr(fedtgp, "STEPS", 1)
    each, there = clouds()
    generator = fresh()
    net = nn.Sequential(nn.Embedding(5, D), nn.Linear(D, D), nn.ReLU(), nn.Linear(D, D))
    for weight, name in zip(net.parameters(), ("table", "w1", "b1", "w2", "b2"), strict=True):
        w = generator[name][0]
        weight.data = w.T.clone() if name in ("w1", "w2") else w.reshape(weight.shape).clone()
    sgd = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    who, label = there[0].nonzero(as_tuple=True)
    means = [each[0, there[0, :, c] > 0, c].mean(0) for c in range(4)]
    margin = max(float((a - b).norm()) for a in means for b in means)
    assert float(fedtgp.margins(each, there)) == pytest.approx(margin, rel=1e-5)
    assert fedtgp.margins(1e3 * each, there).tolist() == [100.0]
    apart = (each[0, who, label][:, None] - net(torch.arange(5))[None]).norm(dim=-1)
    F.cross_entropy(-(apart + margin * F.one_hot(label, 5)), label).backward()
    sgd.step()
    made = fedtgp.trained(generator, each, there)
    torch.testing.assert_close(made[0], net(torch.arange(5)).detach(), rtol=0, atol=1e-5)
    assert not any(w.requires_grad for w in generator.values())


def test_fedtgp_training_draws_prototypes_to_their_class_and_apart():
    each, there = clouds()
    generator = fresh()
    for _ in range(5):
        made = fedtgp.trained(generator, each, there)
    who, label = there[0].nonzero(as_tuple=True)
    assert torch.cdist(each[0, who, label], made[0]).argmin(1).equal(label)
    means = torch.stack([each[0, there[0, :, c] > 0, c].mean(0) for c in range(4)])
    assert torch.pdist(made[0, :4]).min() > torch.pdist(means).min()


def test_fedgh_head_is_torchs_trained_on_the_prototypes():
    each, there = clouds()
    head = nn.Linear(D, 5)
    found = fedgh.trained(head.weight.detach().clone(), head.bias.detach().clone(), each[0], there[0], 0.3)
    sgd = torch.optim.SGD(head.parameters(), lr=0.3)
    who, label = there[0].nonzero(as_tuple=True)
    for _ in range(10):
        sgd.zero_grad()
        F.cross_entropy(head(each[0, who, label]), label).backward()
        sgd.step()
    for one, other in zip(found, head.parameters()):
        torch.testing.assert_close(one, other.detach(), rtol=0, atol=1e-5)


def test_fedgh_hands_one_head_of_each_seed_to_everybody():
    config, state = begun("fedgh", strength=0.1)
    fedgh.exchange(state, config, 1)
    at = weights_of(state)
    heads = [at[z * N][1]["head.weight"] for z in range(2)]
    assert all(w["head.weight"].equal(heads[i // N]) for i, (_, w) in at.items()) and not heads[0].equal(heads[1])


@pytest.mark.parametrize(("shape", "energy"), [((7, 12), 0.95), ((16, 3, 3, 3), 0.98), ((5, 5), 1.0), ((30, 40), 0.6)])
def test_fedkd_keeps_as_few_singular_values_as_hold_the_energy(shape, energy):
    update = torch.randn(3, *shape, generator=torch.Generator().manual_seed(0))
    kept, numbers = fedkd.compressed(update, energy)
    for b in range(3):
        matrix = update[b].reshape(shape[0], -1).double().numpy()
        u, s, v = np.linalg.svd(matrix, full_matrices=False)
        rank = next(k for k in range(1, len(s) + 1) if (s[:k] ** 2).sum() >= energy * (s**2).sum() * (1 - 1e-9))
        wanted = (u[:, :rank] * s[:rank]) @ v[:rank]
        np.testing.assert_allclose(kept[b].reshape(matrix.shape), wanted, atol=1e-4)
        assert (kept[b] ** 2).sum() >= (energy - 1e-5) * (update[b] ** 2).sum()
        assert numbers[b] == min(rank * (sum(matrix.shape) + 1), matrix.size)
    bias = torch.ones(3, 7)
    assert fedkd.compressed(bias, 0.5)[0] is bias and fedkd.compressed(bias, 0.5)[1].tolist() == [7] * 3


def test_fedkd_everybody_ends_with_the_mentee_of_the_server_and_half_the_energy_is_less_traffic():
    ends = []
    for energy in ((1.0, 1.0), (0.3, 0.3)):
        config, state = begun("fedkd")
        start = {name: w.clone() for name, w in state.memory["mentee"].items()}
        for cohort in state.cohorts:
            for name in start:
                shift = torch.randn(cohort.weights[name].shape, generator=torch.Generator().manual_seed(len(name)))
                cohort.weights[name] += shift
        old, size = weights_of(state), np.concatenate([fed.counts.sum(1) for fed in state.splits])
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(fedkd, "ENERGY", energy)
            fedkd.exchange(state, config, 1)
        for i, (_, now) in weights_of(state).items():
            beside = range(i // N * N, i // N * N + N)
            for name, w in state.memory["mentee"].items():
                assert now[name].equal(w[i // N])
                if energy == (1.0, 1.0):  # nothing is lost: the plain mean by samples
                    wanted = np.average([old[j][1][name] for j in beside], axis=0, weights=size[list(beside)])
                    np.testing.assert_allclose(now[name], wanted, atol=1e-4)
        ends.append(state.sent)
    assert (ends[1] < ends[0]).all()
