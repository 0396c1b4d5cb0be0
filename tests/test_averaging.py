"""Weights that travel: every average against plain numpy over single clients, and what it costs, in numbers sent."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scenes import scene, weights_of
from torch import nn

from hfkd import averaging, cohorts
from hfkd.methods import METHODS, fedproto, fml, lg_fedavg
from hfkd.state import State

SEEDS, N = (0, 1), 6
CONFIG = SimpleNamespace(wire="fp32", strength=0.2)


def before(method, **more):
    """(config, state, flat id -> (level, weights)) after the local training of a round, made up: every weight moved."""
    config, state, *_ = scene(SEEDS, method=method, **more)
    METHODS[method].begin(state, config, SEEDS)
    for cohort in state.cohorts:
        for place, w in enumerate(cohort.weights.values()):
            w += torch.randn(w.shape, generator=torch.Generator().manual_seed(place))
        for m in cohort.momentum.values():
            m += 1
    return config, state, weights_of(state)


def samples(state):
    """(z * N,) training samples."""
    return np.concatenate([[len(own) for own in fed.train] for fed in state.splits])


def mean(who, old, name, weight):
    """numpy: sum_i weight_i w_i / sum_i weight_i in float64."""
    return np.average([old[i][1][name].double().numpy() for i in who], axis=0, weights=[weight[i] for i in who])


def ends_in(now, wanted):
    np.testing.assert_allclose(now.numpy(), wanted, rtol=0, atol=1e-6)


def test_fedavg_is_the_mean_by_samples_within_seed_and_level():
    config, state, old = before("fedavg")
    METHODS["fedavg"].exchange(state, config, 1)
    for i, (level, now) in weights_of(state).items():
        who = [j for j in old if j // N == i // N and old[j][0] == level]
        for name, w in now.items():
            ends_in(w, mean(who, old, name, samples(state)))
        assert state.sent.reshape(-1, 2)[i].tolist() == [4 * sum(w.numel() for w in now.values())] * 2
    assert not any(m.any() for cohort in state.cohorts for m in cohort.momentum.values())


def test_everybody_of_a_level_starts_as_its_first_client_and_each_seed_by_itself():
    config, state, *_ = scene(SEEDS, method="fedavg")
    own = weights_of(state)
    METHODS["fedavg"].begin(state, config, SEEDS)
    for i, (level, now) in weights_of(state).items():
        first = min(j for j in own if j // N == i // N and own[j][0] == level)
        assert all(w.equal(own[first][1][name]) for name, w in now.items())


@pytest.mark.parametrize("family", ["mlp", "cnn", "mlp_own"])
def test_heterofl_averages_every_entry_over_those_who_have_it(family):
    config, state, old = before("heterofl", levels=family)
    METHODS["heterofl"].exchange(state, config, 1)
    for i, (_, now) in weights_of(state).items():
        for name, w in now.items():
            for at in np.ndindex(*w.shape) if w.numel() < 400 else [(0,) * w.dim(), tuple(n - 1 for n in w.shape)]:
                owners = [old[j][1][name] for j in old if j // N == i // N]
                has = [float(x[at]) for x in owners if all(k < n for k, n in zip(at, x.shape))]
                assert float(w[at]) == pytest.approx(np.mean(has), abs=1e-6)


def test_heterofl_starts_with_one_network_of_which_everybody_has_the_first_units():
    config, state, *_ = scene(SEEDS, method="heterofl")
    own = weights_of(state)
    METHODS["heterofl"].begin(state, config, SEEDS)
    for i, (_, now) in weights_of(state).items():
        whole = own[min(j for j in own if j // N == i // N and own[j][0] == 3)][1]
        assert all(w.equal(whole[name][tuple(map(slice, w.shape))]) for name, w in now.items())


def test_inclusivefl_layers_and_the_push_of_the_last_one():
    config, state, *_ = scene(SEEDS, method="inclusivefl", levels="depth", strength=0.3)
    METHODS["inclusivefl"].begin(state, config, SEEDS)
    start = weights_of(state)
    for cohort in state.cohorts:
        for place, w in enumerate(cohort.weights.values()):
            w += torch.randn(w.shape, generator=torch.Generator().manual_seed(place))
    old, size = weights_of(state), samples(state)
    METHODS["inclusivefl"].exchange(state, config, 1)
    for i, (level, now) in weights_of(state).items():
        for name, w in now.items():
            beside = [j for j in old if j // N == i // N]
            owners = [j for j in beside if name in old[j][1] and (name.startswith("body.") or old[j][0] == level)]
            wanted = mean(owners, old, name, size)
            if level == 2 and name.startswith("body.3."):  # its last hidden layer; the third of level 3 is of its shape
                third, own, deep = name.replace("3", "5"), *([j for j in beside if old[j][0] == k] for k in (2, 3))
                theirs = mean(deep, old, third, size) - start[deep[0]][1][third].numpy()
                mine = mean(own, old, name, size) - start[i][1][name].numpy()
                wanted = wanted + 0.3 * (theirs - mine)
            ends_in(w, wanted)


def test_inclusivefl_starts_with_the_same_layers():
    config, state, *_ = scene(SEEDS, method="inclusivefl", levels="depth")
    METHODS["inclusivefl"].begin(state, config, SEEDS)
    at = weights_of(state)
    for i, j in ((i, j) for i in at for j in at if i // N == j // N):
        assert all(at[i][1][name].equal(at[j][1][name]) for name in at[i][1].keys() & at[j][1].keys())


def test_lg_fedavg_averages_the_head_over_all_levels_and_leaves_the_bodies():
    config, state, old = before("lg_fedavg")
    METHODS["lg_fedavg"].exchange(state, config, 1)
    for i, (_, now) in weights_of(state).items():
        for name, w in now.items():
            if name.startswith("head."):
                ends_in(w, mean([j for j in old if j // N == i // N], old, name, samples(state)))
            else:
                assert w.equal(old[i][1][name])
    for cohort in state.cohorts:  # the momentum of what has been averaged away is gone, that of the bodies stays
        assert all(m.any() != name.startswith("head.") for name, m in cohort.momentum.items())


def crowd(weights, counts, features=2):
    """A state of one seed and one cohort whose clients hold one image of every class that they have.

    Args:
        weights: name -> (b, ...) beside a body without hidden layers and its head.
        counts: (b, c) 0 or 1.
    """
    b, classes = counts.shape
    own = [np.flatnonzero(row) for row in counts]
    places = np.split(np.arange(counts.sum()), np.cumsum([len(one) for one in own])[:-1])
    images = torch.randn(int(counts.sum()), 1, 1, 3, generator=torch.Generator().manual_seed(0))
    module = nn.Sequential()
    module.add_module("body", nn.Sequential(nn.Flatten(), nn.Linear(3, features)))
    module.add_module("head", nn.Linear(features, classes))
    weights = {name: torch.zeros(b, *w.shape) for name, w in module.named_parameters()} | weights
    momentum = {name: torch.zeros_like(w) for name, w in weights.items()}
    cohort = cohorts.Cohort(1, module, torch.arange(b), weights, momentum)
    fed = SimpleNamespace(counts=counts, train=places, levels=np.ones(b, int))
    labels = torch.from_numpy(np.concatenate(own))
    return State([fed], [cohort], images, labels, torch.zeros(b, classes), counts[None], None, [], [],
                 np.zeros((1, b, 2), np.int64))  # fmt: skip


def test_fml_of_twenty_clients_with_a_small_network_of_925_000_numbers_sends_18_5_million():
    state = crowd({"small.w": torch.rand(20, 925_000)}, np.ones((20, 2), int))
    fml.exchange(state, CONFIG, 1)
    assert (state.sent.sum(1) / 4).tolist() == [[18.5e6, 18.5e6]]


def test_lg_fedavg_of_twenty_heads_of_512_features_and_100_classes_sends_1_03_million():
    state = crowd({}, np.ones((20, 100), int), features=512)
    lg_fedavg.exchange(state, CONFIG, 1)
    assert (state.sent.sum(1) / 4).tolist() == [[20 * 100 * 513] * 2] == [[1_026_000] * 2]


def test_fedproto_with_898_pairs_of_client_and_class_sends_0_46_million():
    counts = np.zeros((20, 100), int)
    counts.flat[np.random.default_rng(0).choice(2000, 898, replace=False)] = 1
    state = crowd({}, counts, features=512)
    fedproto.begin(state, CONFIG, (0,))
    fedproto.exchange(state, CONFIG, 1)
    up, down = state.sent.sum(1)[0] / 4
    assert up == 898 * 512 == 459_776 and down == 20 * 512 * counts.any(0).sum()
    assert (state.sent[0, :, 0] / 4 == counts.sum(1) * 512).all()


def test_half_precision_is_half_the_bytes():
    state = crowd({}, np.ones((3, 4), int))
    averaging.count(state, SimpleNamespace(wire="fp16"), state.cohorts[0], 7, torch.tensor([1, 2, 3]))
    assert state.sent[0].tolist() == [[14, 2], [14, 4], [14, 6]]


def test_prototypes_are_mean_features_of_each_class():
    _, state, *_ = scene(SEEDS)
    found = averaging.prototypes(state)
    for i, (level, weights) in weights_of(state).items():
        body = next(cohort.module for cohort in state.cohorts if cohort.level == level).body
        own = state.splits[i // N].train[i % N]
        inside = {name.removeprefix("body."): w for name, w in weights.items() if name.startswith("body.")}
        seen = torch.func.functional_call(body, inside, (state.images[own],)).double()
        for c in range(10):
            here = seen[state.labels[own] == c]
            ends_in(found[i, c], here.mean(0).numpy() if len(here) else np.zeros(32))
