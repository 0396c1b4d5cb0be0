"""Answers that travel: what methods make of them against numpy and scipy, and that weight 0 is its own training."""

import numpy as np
import pytest
import torch
from scenes import METHODS, N, SEEDS, begun, last, network, run, same, settings, weights_of
from scipy.optimize import minimize
from scipy.special import softmax
from scipy.stats import norm

from hfkd.config import configure
from hfkd.engine import federation, state
from hfkd.engine.method import NEEDS, Graph, check
from hfkd.matching import admissible, match
from hfkd.methods import ktpfl, rhfl, suwa

PLAIN = ["fedmd", "expertise_mean", "dsfl", "scarlet", "suwa", "ktpfl", "rhfl", "dml"]
NUMBERLESS = ["local", "balanced_local", "labelled_public", "fedavg", "fedrod", "heterofl", "lg_fedavg"]
COUNTS = np.array([[8, 2, 0, 0], [2, 3, 0, 0], [0, 3, 0, 5], [0, 1, 0, 5], [6, 0, 0, 0], [4, 4, 0, 4]])
LEVELS = np.array([1, 1, 2, 2, 2, 3])


def pooled(method, said=None, **more):
    """(targets (z, s, u, c), answers (z, t, u, c) as probabilities in float64) before the first round."""
    config, named, fed = begun(method, **more)
    graph, said = federation.decide(fed, config, named, SEEDS), state.speak(fed, config, 2) if said is None else said
    return named.pool(said, graph, fed, config).numpy(), said.double().exp().numpy(), fed


def test_fedmd_is_the_softmax_of_the_mean_logits_and_a_mixture_by_samples_is_the_expertise_mean():
    found, p, _ = pooled("fedmd")
    for s in range(N):  # of log-posteriors: the normalisation falls out of the softmax
        np.testing.assert_allclose(found[:, s], softmax(np.log(p).mean(1), axis=-1), atol=1e-6)
    found, p, fed = pooled("expertise_mean")
    for z in range(2):
        mixture = np.einsum("tc,tuc->uc", fed.counts[z] / fed.counts[z].sum(0), p[z])
        for s in range(N):
            np.testing.assert_allclose(found[z, s], mixture / mixture.sum(1, keepdims=True), atol=1e-6)


def test_dsfl_and_scarlet_sharpen_the_mean_prediction():
    found, p, _ = pooled("dsfl")
    for s in range(N):
        np.testing.assert_allclose(found[:, s], softmax(p.mean(1) / 0.1, axis=-1), atol=1e-6)
    two = torch.tensor([[[[0.8, 0.2]], [[0.4, 0.6]]]]).log()  # of one image: .6 against .4, e^2 : 1 when sharpened
    alike = Graph(torch.full((1, 2, 2, 2), 0.5), None, None)
    sharp = METHODS["dsfl"].pool(two, alike, None, None)[0, 0, 0]
    assert sharp == pytest.approx([np.e**2 / (1 + np.e**2), 1 / (1 + np.e**2)], rel=1e-5)
    end = last("dsfl", dropout=0.5, rounds=2)  # who is absent is left out
    for z, s in np.ndindex(2, N):
        p = end.answers[z, [t for t in range(N) if t == s or not end.fed.away[z, t]]].double().exp().numpy()
        np.testing.assert_allclose(end.targets[z, s], softmax(p.mean(0) / 0.1, axis=-1), atol=1e-6)
    for more, gamma in (({}, METHODS["scarlet"].tuned["gamma"]), ({"gamma": 3.0}, 3.0), ({"gamma": 1.0}, 1.0)):
        found, p, _ = pooled("scarlet", **more)
        power = p.mean(1) ** gamma
        for s in range(N):
            np.testing.assert_allclose(found[:, s], power / power.sum(-1, keepdims=True), atol=1e-6)


def test_suwa_believes_those_whose_own_images_are_dense_where_the_image_lies():
    found, p, fed = pooled("suwa")
    scores = np.zeros((2, N, 40))
    for i, (level, w) in weights_of(fed).items():
        look, split = network(level, w)[:-1].double(), fed.splits[i // N]
        own, asked = (look(state.shown(fed, i // N, at).double()).detach().numpy() for at in (split.train[i % N], split.public))
        spread = own.var(0) + 1e-3 * own.var(0).mean()
        here, there = (norm(own.mean(0), spread**0.5).logpdf(each).sum(1) for each in (own, asked))
        scores[i // N, i % N] = ((there - here.mean()) / here.std()).clip(-30, 30)
    weights = softmax(scores, axis=1)
    assert weights.max(1).min() > 0.2 and weights.argmax(1).std() > 0  # not everywhere the same one
    for s in range(N):
        np.testing.assert_allclose(found[:, s], np.einsum("ztu,ztuc->zuc", weights, p), atol=1e-5)
    config, method, alone = begun("suwa", clients=1)
    said, itself = state.speak(alone, config, 2), federation.decide(alone, config, method, SEEDS)
    torch.testing.assert_close(method.pool(said, itself, alone, config), said.exp())
    blank = suwa.familiarity(torch.zeros(1, 3, 2), torch.ones(1, 3), torch.tensor([[[0.0, 0.0], [1.0, 0.0]]]))
    assert blank.tolist() == [[0.0, -30.0]]  # features that never move


@pytest.mark.parametrize("scale", [1, 3, 8])
def test_ktpfl_coefficients_are_those_that_slsqp_finds_on_the_simplex(scale):
    clients, images = 8, 30
    log_p = torch.from_numpy(np.random.default_rng(scale).standard_normal((clients, images, 5)) * scale).log_softmax(-1)
    soft, found = softmax(log_p.numpy() / 10, axis=-1).reshape(clients, -1), ktpfl.coefficients(log_p)

    def loss(c, i):
        return 100 * ((soft[i] - c @ soft) ** 2).sum() / images + 0.7 * ((c - 1 / clients) ** 2).sum()

    simplex = dict(bounds=[(0, 1)] * clients, constraints={"type": "eq", "fun": lambda c: c.sum() - 1})
    for i in range(clients):
        best = minimize(loss, np.full(clients, 1 / clients), (i,), "SLSQP", options={"ftol": 1e-15}, **simplex)
        np.testing.assert_allclose(found[i], best.x, atol=2e-5)
        assert loss(found[i], i) < best.fun + 1e-9
    assert (found >= 0).all() and (found.argmax(1) == range(clients)).all()
    q, p, _ = pooled("ktpfl")  # and its targets are mixtures by them
    for z in range(2):
        mixture = np.einsum("st,tuc->suc", ktpfl.coefficients(torch.from_numpy(p[z]).log()), p[z])
        np.testing.assert_allclose(q[z], mixture, atol=1e-5)


def test_rhfl_listens_to_those_whose_loss_has_dropped(monkeypatch):
    config, method, fed = begun("rhfl")
    said = state.speak(fed, config, 2)
    before, after = [[2.0, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1]], [[1.0, 1, 0.5, 2, 1, 1], [1, 1, 2, 1, 3, 1]]
    asked, p = iter((np.array(before), np.array(after))), said.double().exp().numpy()
    monkeypatch.setattr(rhfl, "own_losses", lambda *given: next(asked))
    first, second = (method.pool(said, None, fed, config).numpy() for _ in "12")
    # seed 0: clients 0 and 2 dropped by 1 / 1 and .5 / .5, the loss of 3 rose; seed 1: nobody's dropped
    trust = np.exp(1 / 5 + 0.5 * np.array([[0.5, 0, 0.5, 0, 0, 0], [0.0] * 6]))
    for z, s in np.ndindex(2, N):  # before anybody's loss has changed all others count alike
        np.testing.assert_allclose(first[z, s], np.delete(p[z], s, 0).mean(0), atol=1e-6)
        mixture = np.average(np.delete(p[z], s, 0), axis=0, weights=np.delete(trust[z], s))
        np.testing.assert_allclose(second[z, s], mixture, atol=1e-6)


def test_dml_hears_the_mean_of_the_others_of_its_level():
    found, p, fed = pooled("dml")
    for z, s in np.ndindex(2, N):
        peers = [t for t in range(N) if t != s and fed.levels[z, t] == fed.levels[z, s]] or [s]
        np.testing.assert_allclose(found[z, s], p[z, peers].mean(0), atol=1e-6)


@pytest.mark.parametrize("more", [{}, dict(fan_in=1, max_gap=2), dict(rule="all"), dict(fan_out=1),
                                  dict(power=0.5, personality=1.0, fan_in=1)])  # fmt: skip
@pytest.mark.parametrize("feedback, peers, include_self", [(1, 1, 1), (0, 0, 1), (1, 0, 0)])
def test_hfkd_decides_groups_by_the_matching_and_say_by_samples(more, feedback, peers, include_self):
    config = configure(feedback=bool(feedback), peers=bool(peers), include_self=bool(include_self), **more)
    found = METHODS["hfkd"].decide(COUNTS, LEVELS, np.zeros((6, 6)), config, None)
    limits = {name: getattr(config, name) for name in ("max_gap", "fan_in", "fan_out")}
    wanted = match(COUNTS, LEVELS, config.rule, config.personality, **limits)
    assert (found.edges == wanted).all() and (found.edges <= admissible(LEVELS, config.max_gap)).all()
    for s, c in np.ndindex(6, 4):
        group = {t for t in range(6) if found.edges[s, t] or feedback and found.edges[t, s] or peers and s != t and (
            LEVELS[s] == LEVELS[t] and (found.edges[s] & found.edges[t]).any())} | ({s} if include_self else set())
        group = sorted(group or {s})
        say = COUNTS[group, c] ** config.power if COUNTS[group, c].any() else np.ones(len(group))
        assert np.flatnonzero(found.mask[s]).tolist() == group
        np.testing.assert_allclose(found.weights[s, :, c], np.bincount(group, say / say.sum(), 6), atol=1e-12)
    assert found.edges.any()


@pytest.mark.parametrize(("method", "levels"), [*((name, "mlp") for name in [*PLAIN, "hfkd"]),
                                                ("fedmd", "cnn"), ("hfkd", "cnn")])  # fmt: skip
def test_weight_zero_is_local_training_to_the_last_bit(method, levels):
    own, more = METHODS[method].loss, dict(rounds=2, levels=levels, digest=0, epochs=1, weighting="fixed")
    alone, zero, half = (last(name, hard_loss=own, alpha=alpha, **more)
                         for name, alpha in (("local", 0), (method, 0), (method, 0.5)))  # fmt: skip
    assert same(weights_of(zero.fed), weights_of(alone.fed)) and zero.answers is None
    moved = {i for i, one in weights_of(half.fed).items() if not same({i: one}, weights_of(alone.fed))}
    assert moved == {i for i in range(2 * N) if half.heard.others().any(2).reshape(-1)[i]} and len(moved) > N
    if method == "hfkd":  # students hear nothing, teachers their students, in one federation
        mixed = weights_of(last(method, alpha=0, beta=0.5, **more).fed)
        assert {mixed[i][0] for i in mixed if not same({i: mixed[i]}, weights_of(alone.fed))} == {3}


@pytest.mark.parametrize(("method", "more", "each", "heard"), [
    # batches a round of a client of n images, and besides where it listens; 40 public images are three batches
    ("local", {}, lambda n: -(-n // 16), None), ("local", {"epochs": 3}, lambda n: -(-3 * n // 16), None),
    ("fml", {}, lambda n: 2 * -(-n // 16), None), ("labelled_public", {}, lambda n: -(-(n + 40) // 16), None),
    ("fedmd", {}, lambda n: -(-n // 16), lambda n: 3 + -(-n // 16)), ("feddf", {}, lambda n: -(-n // 16), None),
    ("scarlet", {"alpha": 0}, lambda n: -(-n // 16), lambda n: 3),
    ("dsfl", {"digest": 2, "dropout": 0.5}, lambda n: -(-n // 16), lambda n: 6 + -(-n // 16)),
])  # fmt: skip
def test_batches_by_hand(method, more, each, heard):
    total, sizes = np.zeros((2, N)), np.stack([own.counts.sum(1) for own in begun("local")[2].splits])
    for round in federation.rounds(*settings(method, **more), SEEDS):
        now = each(sizes) + (heard(sizes) if heard and round.number > 1 else 0)
        total += now * ~round.fed.away
        assert (round.fed.batches == total).all()


def test_bytes_of_answers_by_hand():
    # round 1 is the warmup; then everybody says m C float32 once a round and hears one pooled answer
    for more, times in (({}, [0, 1, 2]), (dict(warmup=0), [1, 2, 3]), (dict(spoken=10), [0, 0.25, 0.5])):
        frame = run("fedmd", **more)[0].groupby("round")[["bytes_up", "bytes_down"]].agg(["min", "max"])
        assert (frame.to_numpy() == 40 * 10 * 4 * np.array(times)[:, None]).all()


@pytest.mark.parametrize("name", METHODS)
def test_what_a_method_says_of_itself(name):
    method = METHODS[name]
    assert method.name == name and len(method.summary) > 20 and set(method.needs) <= set(NEEDS)
    assert configure(**{**method.settings, **method.tuned})  # fields, in their ranges
    assert {*method.settings} & {*method.tuned} <= {"readout"}  # each is said once, but a published readout may lose
    tuned = set(method.tuned) - {"hard_loss"}
    assert {"epochs", "lr"} <= tuned and len(tuned & {"alpha", "strength", "gamma"}) == (name not in NUMBERLESS)
    assert tuned <= {"epochs", "lr", "alpha", "strength", "gamma", "digest", "readout"}


@pytest.mark.parametrize(("method", "given", "sentence"), [
    ("fedmd", dict(public="none"), "needs images that everybody may speak about .* method: local, balanced_local"),
    ("heterofl", dict(levels="depth"), "needs levels that differ in width only, .* set levels=mlp or levels=cnn$"),
    ("inclusivefl", dict(levels="mlp"), "needs levels that differ in depth only, .* set levels=depth$"),
    ("ktpfl", dict(schedule="top_down"), "needs targets that are made once a round; schedule is 'top_down'"),
    ("labelled_public", dict(public="none"), "needs images that everybody may speak about"),
    ("fedproto", dict(dropout=0.2), "needs every client in every round: .*; dropout is 0.2, expected 0$"),
    ("suwa", dict(liars=0.2), "needs every client in every round: .*; liars is 0.2, expected 0$"),
    ("hfkd_nested", dict(dropout=0.1, straggling=0.2), "needs weights of all .*; straggling is 0.2, expected 0$"),
    ("hfkd", dict(readout="prototype"), "has no readout 'prototype'; .* take one of fedproto, fedtgp$"),
    ("fedproto", dict(readout="personal"), "has no readout 'personal'; .* take one of fedavg_ft, fedrod$"),
    ("fedmd", dict(revenue="labelled", public_labels=True, refresh=5), "revenue is 'labelled', which method 'fedmd'"),
])  # fmt: skip
def test_a_method_says_what_it_lacks(method, given, sentence):
    for each in METHODS.values():
        check(settings(each.name)[0], each, METHODS)  # each has what it needs
    with pytest.raises(ValueError, match=f"^(method '{method}' )?{sentence}"):
        check(configure(**given), METHODS[method], METHODS)
