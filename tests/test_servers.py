"""What is made of answers: targets of the baselines against numpy, scipy and a plain loop of torch, seed by seed."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scenes import scene, weights_of
from scipy.optimize import minimize
from torch.func import functional_call

from hfkd import training
from hfkd.methods import METHODS, dsfl, fedavg, feddf, ktpfl, rhfl
from hfkd.streams import stream
from hfkd.transport import speak

SEEDS, N = (0, 1), 6


def begun(method, **more):
    """(config, state, answers) before the first round, each network shifted a little."""
    config, state, *_ = scene(SEEDS, method=method, **more)
    getattr(METHODS[method], "begin", lambda *_: None)(state, config, SEEDS)
    return config, state, speak(state, config, 2)


def of_seed(said):
    """(z, N, n, c) float64 probabilities."""
    return said.double().exp().numpy().reshape(2, N, *said.shape[1:])


def softmax(x):
    """numpy, over the last axis."""
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def test_dsfl_sharpens_the_mean_prediction():
    config, state, said = begun("dsfl")
    found = dsfl.hear(state, config, [None] * 2, said).numpy().reshape(2, N, *said.shape[1:])
    p = of_seed(said)
    for i in range(N):
        np.testing.assert_allclose(found[:, i], softmax(p.mean(1) / 0.1), atol=1e-6)
    two = torch.tensor([[[0.8, 0.2]], [[0.4, 0.6]]]).log()  # of one image: .6 against .4, e^2 : 1 when sharpened
    sharp = dsfl.hear(SimpleNamespace(clients=2), config, [None], two)
    assert sharp[0, 0].tolist() == pytest.approx([np.e**2 / (1 + np.e**2), 1 / (1 + np.e**2)], rel=1e-5)


@pytest.mark.parametrize("scale", [1, 3, 8])
def test_ktpfl_coefficients_are_those_that_slsqp_finds_on_the_simplex(scale):
    clients, images = 8, 30
    log_p = torch.from_numpy(np.random.default_rng(scale).standard_normal((clients, images, 5)) * scale).log_softmax(-1)
    soft = softmax(log_p.numpy() / 10).reshape(clients, -1)

    def loss(c, i):
        return 100 * ((soft[i] - c @ soft) ** 2).sum() / images + 0.7 * ((c - 1 / clients) ** 2).sum()

    simplex = dict(bounds=[(0, 1)] * clients, constraints={"type": "eq", "fun": lambda c: c.sum() - 1})
    found = ktpfl.coefficients(log_p)
    for i in range(clients):
        best = minimize(loss, np.full(clients, 1 / clients), (i,), "SLSQP", options={"ftol": 1e-15}, **simplex)
        np.testing.assert_allclose(found[i], best.x, atol=2e-5)
        assert loss(found[i], i) < best.fun + 1e-9
    assert (found >= 0).all() and (found.argmax(1) == range(clients)).all()


def test_ktpfl_targets_are_mixtures_by_those_coefficients():
    config, state, said = begun("ktpfl")
    found = ktpfl.hear(state, config, [None] * 2, said).numpy()
    p = of_seed(said)
    wanted = [np.einsum("st,tnc->snc", ktpfl.coefficients(said[z * N : z * N + N]), p[z]) for z in range(2)]
    np.testing.assert_allclose(found, np.concatenate(wanted), atol=1e-6)


def test_rhfl_listens_to_those_whose_loss_has_dropped(monkeypatch):
    config, state, said = begun("rhfl")
    before, after = [[2.0, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1]], [[1.0, 1, 0.5, 2, 1, 1], [1, 1, 2, 1, 3, 1]]
    asked = iter((np.array(before), np.array(after)))
    monkeypatch.setattr(rhfl, "own_losses", lambda *given: next(asked))
    first, second = (rhfl.hear(state, config, [None] * 2, said).numpy().reshape(2, N, *said.shape[1:]) for _ in "12")
    p = of_seed(said)
    for i in range(N):  # before anybody's loss has changed all others count alike
        np.testing.assert_allclose(first[:, i], np.delete(p, i, 1).mean(1), atol=1e-6)
    # seed 0: clients 0 and 2 dropped by 1 / 1 and .5 / .5, the loss of 3 rose; seed 1: nobody's dropped
    trust = np.exp(1 / 5 + 0.5 * np.array([[0.5, 0, 0.5, 0, 0, 0], [0.0] * 6]))
    for z, i in np.ndindex(2, N):
        w = np.delete(trust[z], i)
        np.testing.assert_allclose(second[z, i], np.average(np.delete(p[z], i, 0), axis=0, weights=w), atol=1e-6)


def test_dml_the_mean_of_divergences_has_the_gradient_of_the_divergence_to_the_mean():
    rng = torch.Generator().manual_seed(0)
    peers, logits = torch.randn(4, 9, 5, generator=rng).softmax(-1), torch.randn(9, 5, generator=rng).requires_grad_()
    each = sum(F.kl_div(logits.log_softmax(-1), q, reduction="batchmean") for q in peers) / 4
    whole = F.kl_div(logits.log_softmax(-1), peers.mean(0), reduction="batchmean")
    torch.testing.assert_close(*(torch.autograd.grad(loss, logits)[0] for loss in (each, whole)))


def test_fd_targets_are_mean_soft_outputs_of_the_other_owners():
    config, state, _ = begun("fd")
    METHODS["fd"].exchange(state, config, 1)
    own, has = np.zeros((2, N, 10, 10)), np.zeros((2, N, 10), bool)
    for i, (level, weights) in weights_of(state).items():
        module = next(cohort.module for cohort in state.cohorts if cohort.level == level)
        at = state.splits[i // N].train[i % N]
        p = functional_call(module, weights, (state.images[at],)).double().softmax(-1).numpy()
        for c in np.unique(state.labels[at]):
            own[i // N, i % N, c], has[i // N, i % N, c] = p[state.labels[at] == c].mean(0), True
    assert (has.sum(1) == 1).any()  # a class with one owner: it hears nothing of it
    for z, i, c in np.ndindex(2, N, 10):
        others = [j for j in range(N) if j != i and has[z, j, c]]
        found = state.memory["targets"][z * N + i, c].numpy()
        np.testing.assert_allclose(found, own[z, others, c].mean(0) if others else np.zeros(10), atol=1e-6)
    useful = has & (has.sum(1, keepdims=True) > 1)
    np.testing.assert_array_equal(state.sent / 4, np.stack([has.sum(2), useful.sum(2)], -1) * 10)


def test_feddf_is_a_pass_of_torchs_sgd_from_the_mean_network_to_the_mean_of_all_logits():
    config, state, _ = begun("feddf", strength=0.05, momentum=0.9)
    twin = begun("feddf", strength=0.05)[1]
    said = speak(state, config, 1)
    state.labels[:] = 0  # labels of public images, or of any others, are not read
    feddf.exchange(state, config, 1)
    fedavg.exchange(twin, config, 1)
    assert (state.sent == twin.sent).all() and state.sent.any()
    for z, fed in enumerate(state.splits):
        target = said[z * N : z * N + N].double().mean(0).softmax(-1).float()
        rows = training.batches(stream(SEEDS[z], "server"), 40, 3, 16)  # 40 public images
        for i in range(z * N, z * N + N):
            level, start = weights_of(twin)[i]
            net = next(cohort.module for cohort in twin.cohorts if cohort.level == level)
            weights = {name: w.clone().requires_grad_() for name, w in start.items()}
            sgd = torch.optim.SGD(weights.values(), lr=0.05, momentum=0.9)
            for at in rows:
                p = functional_call(net, weights, (state.images[fed.public[at]],)).log_softmax(-1)
                sgd.zero_grad()
                F.kl_div(p, target[at], reduction="batchmean").backward()
                sgd.step()
            now, errors = weights_of(state)[i][1], []
            for name, w in now.items():
                torch.testing.assert_close(w, weights[name].detach(), rtol=0, atol=1e-5)
            for w in (start, now):
                p = functional_call(net, w, (state.images[fed.public],)).log_softmax(-1)
                errors.append(float(F.kl_div(p, target, reduction="batchmean")))
            assert errors[1] < errors[0]


