"""What a client knows when it weighs, against plain loops and other libraries; and who is weighed by which rule."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.special import rel_entr
from sklearn.metrics import log_loss
from torch.func import functional_call

from hfkd import data, federation, signals
from hfkd.config import configure
from hfkd.books import opened
from hfkd.learning import soft_targets
from hfkd.methods import METHODS
from hfkd.signals import Heard, heard, reads, own_losses
from hfkd.transport import speak
from hfkd.weighting import LOWEST

SMALL = dict(clients=6, rounds=4, eval_every=1, pool_size=700, public_size=100, balanced_size=100, batch=16, lr=.05,
             public_labels=True, alpha=.4)  # fmt: skip
RULES = ["loss_ratio", "revenue", "gradient", "uncertainty"]


def configured(**more):
    return configure("smoke", **(SMALL | more))


def scene(config, seeds=(0, 1)):
    """(state, books, lessons, said, targets) of hfkd before the first round; each network shifted a little."""
    state, books = federation.start(config, data.load("digits"), seeds), opened(seeds, config.clients)
    for cohort in state.cohorts:
        for place, w in enumerate(cohort.weights.values()):
            w += .1 * torch.randn(w.shape, generator=torch.Generator().manual_seed(place))
    lessons = [federation._decide(state, books, z, seed, config, METHODS["hfkd"]) for z, seed in enumerate(seeds)]
    said = speak(state, config, 2)
    return state, books, lessons, said, soft_targets(state, books, config, METHODS["hfkd"], lessons, said)


def clients(state):
    """(seed position, client, module, weights, log prior) of everybody."""
    for cohort in state.cohorts:
        for row, i in enumerate(cohort.members.tolist()):
            weights = {name: w[row] for name, w in cohort.weights.items()}
            yield *divmod(i, state.clients), cohort.module, weights, state.prior[i]


def run(seeds=(0,), **more):
    return federation.run(configured(**more), METHODS["hfkd"], data.load("digits"), seeds)


@pytest.mark.parametrize("balanced", [True, False])
def test_own_losses_are_torchs_cross_entropy_client_by_client(balanced):
    state = scene(configured())[0]
    found = own_losses(state, balanced)
    sizes = {len(val) for fed in state.splits for val in fed.val}
    assert found.shape == (2, 6) and len(sizes) > 3  # so there is padding to go wrong
    for z, i, module, weights, prior in clients(state):
        val = state.splits[z].val[i]
        spoken = functional_call(module, weights, (state.images[val],)) + prior * balanced
        assert found[z, i] == pytest.approx(float(F.cross_entropy(spoken, state.labels[val])), rel=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_soft_loss_is_scipys_relative_entropy(temperature):
    config = configured(temperature=temperature)
    state, books, lessons, said, targets = scene(config)
    found = heard(state, config, {"soft"}, books, said, targets, True, 2).soft
    wanted = rel_entr(targets.numpy(), said.exp().numpy()).sum(-1).mean(-1)
    np.testing.assert_allclose(found, wanted.reshape(2, 6), rtol=1e-4)
    assert (found > 0).all()


@pytest.mark.parametrize(("personality", "spoken"), [(1.0, None), (.3, 60)])
def test_losses_on_public_labels_are_weighted_log_losses(personality, spoken):
    config = configured(revenue_personality=personality, spoken=spoken)
    state, books, lessons, said, targets = scene(config)
    found = heard(state, config, {"own"}, books, said, targets, True, 2)
    for z, fed in enumerate(state.splits):
        asked = fed.public if spoken is None else np.roll(fed.public, -2 * 60)[:60]  # round 2 starts behind round 1
        labels = state.labels[asked].numpy()
        counts = np.bincount(labels, minlength=10)
        assert (counts > 0).all()
        for i in range(6):
            share = personality * fed.counts[i] / fed.counts[i].sum() + (1 - personality) / 10
            for losses, p in ((found.own, said.exp()), (found.other, targets)):
                p = p[6 * z + i].double().numpy()
                importance = (share / counts)[labels]
                wanted = log_loss(labels, p / p.sum(1, keepdims=True), sample_weight=importance, labels=range(10))
                assert losses[z, i] == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize(("temperature", "probe", "balanced"), [(1.0, 256, True), (2.0, 256, False), (1.0, 30, True)])
def test_cosine_is_that_of_autograds_gradients_on_the_last_layer(monkeypatch, temperature, probe, balanced):
    monkeypatch.setattr(signals, "PROBE", probe)
    config = configured(temperature=temperature)
    state, books, lessons, said, targets = scene(config)
    found = heard(state, config, {"cosine"}, books, said, targets, balanced, 2).cosine
    for z, i, module, weights, prior in clients(state):
        val, public = state.splits[z].val[i], state.splits[z].public[:probe]
        head = {name: w.clone().requires_grad_() for name, w in weights.items() if name.startswith("head")}
        hard, soft = (functional_call(module, weights | head, (state.images[at],)) for at in (val, public))
        losses = (F.cross_entropy(hard + prior * balanced, state.labels[val]),
                  F.kl_div(F.log_softmax(soft / temperature, 1), targets[6 * z + i, :probe], reduction="batchmean"))
        one, two = (torch.cat([g.flatten() for g in torch.autograd.grad(loss, head.values())]) for loss in losses)
        assert found[z, i] == pytest.approx(float(F.cosine_similarity(one, two, dim=0)), abs=1e-5)
    assert found.min() < found.max() - .1 and (np.abs(found) <= 1 + 1e-6).all()


def test_only_what_a_rule_reads_is_computed():
    assert reads(configured()) == reads(configured(weighting="ramp")) == set()
    assert reads(configured(beta_weighting="revenue")) == {"hard"}
    assert reads(configured(weighting="loss_ratio", beta_weighting="gradient")) == {"own", "cosine"}
    assert reads(configured(weighting="uncertainty")) == {"hard", "soft"}
    assert reads(configured(revenue="realised", refresh=2, gate=True)) == {"hard"}
    assert reads(configured(revenue="labelled", refresh=2)) == set()
    assert reads(configured(revenue="labelled", refresh=2, gate=True)) == {"own"}
    config = configured()
    state, books, _, said, targets = scene(config)
    assert all(np.isnan(part).all() for part in heard(state, config, set(), books, said, targets, True, 2))
    assert run(rounds=2).weights[["hard", "soft", "own", "other", "cosine"]].isna().all(axis=None)


def test_students_follow_the_rule_of_alpha_and_teachers_that_of_beta():
    config = configured(weighting="loss_ratio", beta_weighting="uncertainty", alpha=.8, beta=.5)
    _, _, (lesson, _), _, _ = scene(config)
    student = lesson.edges.any(1)
    assert 0 < student.sum() < 6 and lesson.edges.any(0)[~student].all()
    hard, usual, soft, own, other, cosine = np.random.default_rng(0).uniform(.1, 2, (6, 6))
    signal = Heard(hard, usual, soft, own, other, cosine)
    found = signals.weights(config, lesson, 2, signal, np.full(6, np.nan))
    wanted = np.where(student, .8 * own / (own + other), .5 * hard / (hard + soft))
    np.testing.assert_allclose(found, wanted, rtol=1e-12)
    rest = federation.Teaching(lesson.weights, np.eye(6, dtype=bool), np.zeros((6, 6), bool))
    assert not signals.weights(config, rest, 2, Heard(*[own] * 6), own).any()


def test_the_controller_starts_at_alpha_and_goes_on_from_its_last_weight():
    config = configured(weighting="revenue", controller_rate=2.0, beta=.1)
    _, _, (lesson, _), _, _ = scene(config)
    student, unknown = lesson.edges.any(1), np.full(6, np.nan)
    found, last = [], unknown
    for hard, usual in ((unknown, unknown), (np.full(6, 1.5), np.full(6, 2.0)), (np.full(6, 3.0), np.full(6, 2.0))):
        signal = Heard(hard, usual, *[unknown] * 4)
        found.append(last := signals.weights(config, lesson, 2, signal, last))
    start = np.where(student, .4, .1)
    np.testing.assert_allclose(found, [start, start * np.exp(.5), start * np.exp(.5 - 1)], rtol=1e-12)


@pytest.mark.parametrize("rule", RULES)
def test_weights_of_a_run(rule):
    out = run((1, 0), weighting=rule)
    log = out.weights
    assert list(zip(log["seed"], log["round"], log["client"])) == [
        (seed, round, client) for round in range(1, 5) for seed in (1, 0) for client in range(6)
    ]
    assert (log["weight"].to_numpy() == out.rows["alpha"].to_numpy()).all()  # every round is evaluated
    heard_at = log["round"] > 1
    assert not log.loc[~heard_at, "weight"].any() and not log["closed"].any()
    low, high = (LOWEST, 1) if rule == "revenue" else (0, .4)
    assert log.loc[heard_at, "weight"].between(low, high).all() and log.loc[heard_at, "weight"].nunique() > 12
    if rule == "revenue":
        assert set(log.loc[log["round"] == 2, "weight"]) == {.4}
    marks = {"loss_ratio": ["own", "other"], "revenue": ["hard"], "gradient": ["cosine"],
             "uncertainty": ["hard", "soft"]}[rule]  # fmt: skip
    columns = ["hard", "soft", "own", "other", "cosine"]
    assert log.loc[heard_at, marks].notna().all(axis=None)
    assert log.loc[heard_at, [c for c in columns if c not in marks]].isna().all(axis=None)


@pytest.mark.parametrize("rule", RULES)
def test_weights_of_a_seed_do_not_depend_on_the_seeds_beside_it(rule):
    alone, both = run((0,), weighting=rule), run((3, 0), weighting=rule)
    for one, two in zip(alone, both):
        assert one.equals(two[two["seed"] == 0].reset_index(drop=True))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("part", ["test", "validation"])
def test_signals_read_validation_and_never_test_images(rule, part, monkeypatch):
    honest, start = run(rounds=3, weighting=rule), federation.start

    def spoiled(*given):
        state = start(*given)
        fed = state.splits[0]
        at = np.concatenate([*fed.test, fed.balanced] if part == "test" else fed.val)
        state.labels[at] = (state.labels[at] + 1) % 10
        state.images[at] = torch.randn(len(at), 1, 8, 8, generator=torch.Generator().manual_seed(0))
        return state

    monkeypatch.setattr(federation, "start", spoiled)
    out = run(rounds=3, weighting=rule)
    reads_it = part == "validation" and rule != "loss_ratio"
    assert out.weights.equals(honest.weights) != reads_it
    assert part == "validation" or not out.rows["personality"].equals(honest.rows["personality"])
