"""Class means that travel: prototypes, soft outputs and trained heads, against torch's own modules and numpy."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scenes import N, begun, network, run, weights_of
from torch import nn

from hfkd.engine.state import shown
from hfkd.methods import averaging, prototypes


def clouds():
    """(1, 3 clients, 10 classes, 32) prototypes around ten centres, and who has which: nobody the last."""
    rng = torch.Generator().manual_seed(0)
    there = torch.tensor([[[1.0, 1, 0, 1, 0], [1, 0, 1, 1, 0], [0, 1, 1, 1, 0]]]).repeat(1, 1, 2)
    there[..., 4] = torch.tensor([1.0, 0, 0])
    each = 2 * torch.randn(10, 32, generator=rng) + 0.1 * torch.randn(1, 3, 10, 32, generator=rng)
    return each * there.unsqueeze(-1), there


def by_class(fed, look):
    """(z, N, c, k) mean of what a plain network sees of its own images of a class, and (z, N, c) who has it."""
    found, has = [], []
    for i, (level, weights) in sorted(weights_of(fed).items()):
        at = fed.splits[i // N].train[i % N]
        seen, labels = look(network(level, weights), shown(fed, i // N, at)).detach().double().numpy(), fed.labels[at].numpy()
        has.append(np.bincount(labels, minlength=10) > 0)
        found.append([seen[labels == c].mean(0) if has[-1][c] else 0 * seen[0] for c in range(10)])
    return np.reshape(found, (2, N, 10, -1)), np.reshape(has, (2, N, 10))


def test_prototypes_are_means_over_samples_and_the_nearest_wins():
    config, _, fed = begun("fedproto", epsilon=0.3)
    own, has = by_class(fed, lambda net, x: net[:-1](x))
    np.testing.assert_allclose(averaging.class_means(fed).reshape(own.shape), own, atol=1e-5)
    assert not fed.memory["known"].any()  # before the first round nobody says anything of any class
    sent = prototypes.exchange_fedproto(fed, config, 1)
    for z, split in enumerate(fed.splits):
        for c in range(10):  # by what is released; who has images counts, and who has none does not
            held = np.where(split.counts[:, c] > 0, np.maximum(fed.counts[z, :, c], 1), 0)
            wanted = np.average(own[z, :, c], axis=0, weights=held) if held.any() else np.zeros(32)
            np.testing.assert_allclose(fed.memory["prototypes"][z, c], wanted, atol=1e-5)
    fed.memory["known"][0, 3] = 0  # nobody has seen it: nobody says it
    at = weights_of(fed)
    for cohort, up, down in sent:
        scores = prototypes.answers_fedproto(fed, config, cohort, torch.arange(50).expand(len(cohort.members), -1))
        for b, i in enumerate(cohort.members.tolist()):
            assert (up[b], down[b]) == (has[i // N, i % N].sum() * 32, has[i // N].any(0).sum() * 32)
            h = network(*at[i])[:-1](shown(fed, i // N, range(50))).detach()
            apart = torch.linalg.norm(h[:, None] - fed.memory["prototypes"][i // N], dim=-1) ** 2
            known = fed.memory["known"][i // N] > 0
            np.testing.assert_allclose(-scores[b][:, known], apart[:, known], rtol=1e-3, atol=1e-3)
            assert (scores[b][:, ~known] < scores[b][:, known].min()).all()


def test_fd_targets_are_mean_soft_outputs_of_the_other_owners():
    config, method, fed = begun("fd")
    own, has = by_class(fed, lambda net, x: net(x).softmax(-1))
    sent = method.exchange(fed, config, 1)
    assert (has.sum(1) == 1).any()  # a class with one owner: it hears nothing of it
    for z, i, c in np.ndindex(2, N, 10):
        others = [j for j in range(N) if j != i and has[z, j, c]]
        found = fed.memory["targets"][z * N + i, c].numpy()
        np.testing.assert_allclose(found, own[z, others, c].mean(0) if others else np.zeros(10), atol=1e-6)
    useful = has & (has.sum(1, keepdims=True) > 1)
    for cohort, up, down in sent:
        assert up.tolist() == (10 * has.sum(2)).reshape(-1)[cohort.members].tolist()
        assert down.tolist() == (10 * useful.sum(2)).reshape(-1)[cohort.members].tolist()


def test_fedtgp_one_step_is_torchs_on_its_own_modules(monkeypatch):
    monkeypatch.setattr(prototypes, "STEPS", 1)
    (each, there), generator = clouds(), begun("fedtgp", (0,))[2].memory["generator"]
    net = nn.Sequential(nn.Embedding(10, 32), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 32))
    for weight, name in zip(net.parameters(), ("table", "w1", "b1", "w2", "b2"), strict=True):
        w = generator[name][0]
        weight.data = w.T.clone() if name in ("w1", "w2") else w.reshape(weight.shape).clone()
    sgd = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    who, label = there[0].nonzero(as_tuple=True)
    means = [each[0, there[0, :, c] > 0, c].mean(0) for c in range(9)]
    margin = max(min(np.linalg.norm(a - b) for b in means if b is not a) for a in means)  # the nearest other, at most
    assert float(prototypes.margins(each, there)) == pytest.approx(margin, rel=1e-5)
    assert prototypes.margins(1e3 * each, there).tolist() == [100.0]
    two = torch.stack([there[0], F.one_hot(torch.tensor([4] * 3), 10).float()])  # seed by seed; of one class: no other
    assert prototypes.margins(each.repeat(2, 1, 1, 1), two).tolist() == [pytest.approx(margin, rel=1e-5), 0.0]
    apart = (each[0, who, label][:, None] - net(torch.arange(10))[None]).norm(dim=-1)
    F.cross_entropy(-(apart + margin * F.one_hot(label, 10)), label).backward()
    sgd.step()
    made = prototypes.trained_generator(generator, each, there)
    torch.testing.assert_close(made[0], net(torch.arange(10)).detach(), rtol=0, atol=1e-5)


def test_fedgh_head_is_torchs_trained_on_the_prototypes_and_one_for_everybody_of_a_seed():
    each, there = clouds()
    head = nn.Linear(32, 10)
    found = prototypes.trained_head(head.weight.detach().clone(), head.bias.detach().clone(), each[0], there[0], 0.3)
    sgd = torch.optim.SGD(head.parameters(), lr=0.3)
    who, label = there[0].nonzero(as_tuple=True)
    for _ in range(10):
        sgd.zero_grad()
        F.cross_entropy(head(each[0, who, label]), label).backward()
        sgd.step()
    for one, other in zip(found, head.parameters()):
        torch.testing.assert_close(one, other.detach(), rtol=0, atol=1e-5)
    config, _, fed = begun("fedgh", strength=0.1)
    before = weights_of(fed)
    prototypes.exchange_fedgh(fed, config, 1)
    at = weights_of(fed)
    heads = [at[z * N][1]["head.weight"] for z in range(2)]
    assert all(w["head.weight"].equal(heads[i // N]) for i, (_, w) in at.items()) and not heads[0].equal(heads[1])
    assert not any(heads[i // N].equal(w["head.weight"]) for i, (_, w) in before.items())


@pytest.mark.parametrize(("method", "down"), [("fedproto", None), ("fedtgp", 10 * 32), ("fedgh", 10 * 33)])
def test_bytes_of_prototypes_by_hand(method, down):
    fed, rows = begun(method)[2], run(method, rounds=2)[0]
    has = np.stack([own.counts > 0 for own in fed.splits])
    wanted = has.any(1).sum(1).repeat(N) * 32 if down is None else np.full(2 * N, down)
    for r in (1, 2):
        part = rows[rows["round"] == r]
        assert (part["bytes_up"] == 4 * r * 32 * has.sum(2).reshape(-1)).all()
        assert (part["bytes_down"] == 4 * r * wanted).all()
