"""Weights that travel: every average against plain numpy over single clients, and what it costs, in numbers sent."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scenes import METHODS, N, SEEDS, begun, doubled, last, network, run, same, weights_of
from torch.func import functional_call

from hfkd.engine import networks, training, wire
from hfkd.methods import fd, fedkd, fedproto, fedprox, fml
from hfkd.streams import stream

GOES_UP_AND_DOWN = {"fedavg": "", "fedprox": "", "heterofl": "", "inclusivefl": "", "lg_fedavg": "head.", "fml": "small."}


def trained(method, **more):
    """(config, method, fed, flat id -> (level, weights)) after the training of a round, made up: every weight moved."""
    config, named, fed = begun(method, **more)
    for cohort in fed.cohorts:
        for place, w in enumerate(cohort.weights.values()):
            w += torch.randn(w.shape, generator=torch.Generator().manual_seed(place))
        for m in cohort.momentum.values():
            m += 1
    return config, named, fed, weights_of(fed)


def beside(old, i, level=None):
    """Clients of the same seed (and level)."""
    return [j for j in old if j // N == i // N and level in (None, old[j][0])]


def mean(who, old, name, fed):
    """numpy: sum_i n_i w_i / sum_i n_i in float64, n_i training samples."""
    size = np.concatenate([own.counts.sum(1) for own in fed.splits])
    return np.average([old[i][1][name].double().numpy() for i in who], axis=0, weights=size[who])


def ends_in(now, wanted, atol=1e-6):
    np.testing.assert_allclose(now.numpy(), wanted, rtol=0, atol=atol)


@pytest.mark.parametrize(("method", "part", "over_levels"), [
    ("fedavg", "", False), ("hfkd_avg", "", False), ("lg_fedavg", "head.", True), ("fml", "small.", True),
])  # fmt: skip
def test_a_mean_by_samples_and_what_is_not_averaged_stays(method, part, over_levels):
    config, named, fed, old = trained(method)
    sent = {cohort.level: (up, down) for cohort, up, down in named.exchange(fed, config, 1)}
    for i, (level, now) in weights_of(fed).items():
        who = beside(old, i, None if over_levels else level)
        for name, w in now.items():
            ends_in(w, mean(who, old, name, fed) if name.startswith(part) else old[i][1][name].numpy())
        assert sent[level] == (sum(w.numel() for name, w in now.items() if name.startswith(part)),) * 2
    for cohort in fed.cohorts:  # the momentum of what has been averaged away is gone, the other stays
        assert all(m.any() != name.startswith(part) for name, m in cohort.momentum.items())


def test_clients_count_by_what_they_release_and_nobody_for_nothing():
    config, named, fed, old = trained("fedavg")
    fed.counts = fed.counts * 0
    named.exchange(fed, config, 1)
    for i, (level, now) in weights_of(fed).items():  # who releases nothing counts as one sample
        ends_in(now["head.bias"], np.mean([old[j][1]["head.bias"].numpy() for j in beside(old, i, level)], axis=0))


@pytest.mark.parametrize(("method", "twins"), [
    ("fedavg", lambda one, other: one == other), ("heterofl", lambda one, other: True),
    ("inclusivefl", lambda one, other: True), ("fedgh", lambda one, other: True),
])  # fmt: skip
def test_everybody_starts_alike_and_each_seed_by_itself(method, twins):
    fed = begun(method)[2]
    at = weights_of(fed)
    for i, (level, own) in at.items():
        for j in beside(at, i):
            shared = [name for name in own if name in at[j][1] and (method != "fedgh" or name.startswith("head."))]
            for name in shared if twins(level, at[j][0]) else ():  # of a narrow network the first units of a wide one
                small, large = sorted((own[name], at[j][1][name]), key=torch.numel)
                assert small.equal(large[tuple(map(slice, small.shape))])
    assert not at[0][1]["head.weight"].equal(at[N][1]["head.weight"])


@pytest.mark.parametrize("family", ["mlp", "cnn"])
def test_heterofl_averages_every_entry_over_those_who_have_it(family):
    config, named, fed, old = trained("heterofl", levels=family)
    named.exchange(fed, config, 1)
    seen = set()
    for i, (_, now) in weights_of(fed).items():
        for name, w in now.items():
            total, count = np.zeros((2, *w.shape))
            for j in beside(old, i):
                theirs = old[j][1][name].double().numpy()
                at = tuple(slice(min(a, b)) for a, b in zip(w.shape, theirs.shape))
                total[at] += theirs[at]
                count[at] += 1
            ends_in(w, total / count)
            seen |= {*count.flat}
    assert {1, N} <= seen  # there are entries that one client has, and some that all have


def test_inclusivefl_layers_and_the_push_of_the_last_one():
    config, named, fed = begun("inclusivefl", strength=0.3)
    start = weights_of(fed)
    for cohort in fed.cohorts:
        for place, w in enumerate(cohort.weights.values()):
            w += torch.randn(w.shape, generator=torch.Generator().manual_seed(place))
    old = weights_of(fed)
    named.exchange(fed, config, 1)
    for i, (level, now) in weights_of(fed).items():
        for name, w in now.items():
            owners = [j for j in beside(old, i) if name in old[j][1] and (name.startswith("body.") or old[j][0] == level)]
            wanted = mean(owners, old, name, fed)
            if level == 2 and name.startswith("body.3."):  # its last hidden layer; the third of level 3 is of its shape
                deep, own, third = beside(old, i, 3), beside(old, i, 2), name.replace("3", "5")
                theirs = mean(deep, old, third, fed) - start[deep[0]][1][third].numpy()
                wanted = wanted + 0.3 * (theirs - mean(own, old, name, fed) + start[i][1][name].numpy())
            ends_in(w, wanted)


def test_feddf_is_a_pass_of_torchs_sgd_from_the_mean_network_to_the_mean_of_all_logits():
    (config, named, fed), (_, _, twin) = (begun("feddf", strength=0.05) for _ in "12")
    said = wire.speak(fed, config, 1)
    fed.labels[:] = 0  # labels of public images, or of any others, are not read
    sent = named.exchange(fed, config, 1)
    assert [each[1:] for each in sent] == [each[1:] for each in METHODS["fedavg"].exchange(twin, config, 1)]
    now, means = weights_of(fed), weights_of(twin)
    for z, own in enumerate(fed.splits):
        target, public = said[z].double().mean(0).softmax(-1).float(), fed.images[own.public]
        rows = training.batches(stream(SEEDS[z], "server"), 40, 3, 16)  # 40 public images
        for i in range(z * N, z * N + N):
            net = network(*means[i])
            first, sgd = net(public).log_softmax(-1), torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
            for at in rows:
                sgd.zero_grad()
                F.kl_div(net(public[at]).log_softmax(-1), target[at], reduction="batchmean").backward()
                sgd.step()
            for found, wanted in zip(now[i][1].values(), net.parameters(), strict=True):
                torch.testing.assert_close(found, wanted.detach(), rtol=0, atol=1e-5)
            taught, before = (F.kl_div(p, target, reduction="batchmean") for p in (net(public).log_softmax(-1), first))
            assert taught < before


@pytest.mark.parametrize(("shape", "energy"), [((7, 12), 0.95), ((16, 3, 3, 3), 0.98), ((5, 5), 1.0), ((30, 40), 0.6)])
def test_fedkd_keeps_as_few_singular_values_as_hold_the_energy(shape, energy):
    update = torch.randn(3, *shape, generator=torch.Generator().manual_seed(0))
    kept, numbers = fedkd.compressed(update, energy)
    for b in range(3):
        matrix = update[b].reshape(shape[0], -1).double().numpy()
        u, s, v = np.linalg.svd(matrix, full_matrices=False)
        rank = next(k for k in range(1, len(s) + 1) if (s[:k] ** 2).sum() >= energy * (s**2).sum() * (1 - 1e-9))
        np.testing.assert_allclose(kept[b].reshape(matrix.shape), (u[:, :rank] * s[:rank]) @ v[:rank], atol=1e-4)
        assert numbers[b] == min(rank * (sum(matrix.shape) + 1), matrix.size)
    bias = torch.ones(3, 7)
    assert fedkd.compressed(bias, 0.5)[0] is bias and fedkd.compressed(bias, 0.5)[1].tolist() == [7] * 3


def test_fedkd_hands_everybody_the_mentee_of_the_server_and_less_energy_is_less_traffic(monkeypatch):
    traffic = []
    for energy in ((1.0, 1.0), (0.3, 0.3)):
        monkeypatch.setattr(fedkd, "ENERGY", energy)
        config, named, fed, old = trained("fedkd")
        traffic.append(torch.cat([torch.stack(sent) for _, *sent in named.exchange(fed, config, 1)], 1))
        for i, (_, now) in weights_of(fed).items():
            for name, w in fed.memory["mentee"].items():
                assert now[name].equal(w[i // N])
                if energy == (1.0, 1.0):  # nothing is lost: the plain mean by samples
                    ends_in(now[name], mean(beside(old, i), old, name, fed), 1e-4)
    assert (traffic[1] < traffic[0]).all()


def given(method, fed, cohort):
    """What the loss of a method reads, made up, in float64."""
    b, rng = len(cohort.members), torch.Generator().manual_seed(0)
    weight = torch.rand(b, generator=rng, dtype=torch.float64)
    return {
        fml: (weight,), fedkd: (weight,), fedprox: ({name: w + 0.1 for name, w in cohort.weights.items()}, weight),
        fd: (torch.rand(b, 10, 10, generator=rng, dtype=torch.float64).softmax(-1), weight),
        fedproto: (torch.rand(b, 10, 32, generator=rng, dtype=torch.float64), (torch.arange(10.0) % 3 > 0).expand(b, 10),
                   weight),
    }[method]  # fmt: skip


def by_hand(method, net, weights, x, y, prior, given):
    """The loss of one client by torch's own functions."""
    own = {name: w for name, w in weights.items() if not name.startswith("small.")}
    said = functional_call(net, own, (x,))
    hard, strength = F.cross_entropy(said + prior, y), given[-1]
    if method in (fml, fedkd):
        small = functional_call(net.small, {name[6:]: w for name, w in weights.items() if name not in own}, (x,))
        other = F.cross_entropy(small + prior, y)
        apart = sum(F.kl_div(p.log_softmax(1), q.softmax(1).detach(), reduction="batchmean")
                    for p, q in ((said, small), (small, said)))  # fmt: skip
        if method is fml:
            return (1 - strength) * (hard + other) + strength * apart
        return hard + other + strength * apart / (hard + other).detach().clamp_min(0.1)
    if method is fedprox:
        return hard + strength / 2 * sum(((w - given[0][name]) ** 2).sum() for name, w in weights.items())
    if method is fd:
        return hard + strength * F.kl_div(said.log_softmax(1), given[0][y], reduction="batchmean")
    body = {name[5:]: w for name, w in weights.items() if name.startswith("body.")}
    apart = F.mse_loss(functional_call(net.body, body, (x,)), given[0][y], reduction="none").mean(1)
    return hard + strength * (apart * given[1][y]).mean()


@pytest.mark.parametrize("method", [fedprox, fml, fedkd, fd, fedproto], ids=lambda it: it.__name__.split(".")[-1])
def test_the_own_losses_of_methods_and_their_gradients_client_by_client(method):
    _, named, fed = begun(method.__name__.split(".")[-1], levels="cnn")
    for cohort in doubled(fed).cohorts:
        b, rng = len(cohort.members), torch.Generator().manual_seed(1)
        more = given(method, fed, cohort)
        x = torch.randn(b, 7, 1, 8, 8, generator=rng, dtype=torch.float64)
        y, prior = torch.randint(0, 10, (b, 7), generator=rng), torch.randn(b, 10, generator=rng).double().log_softmax(1)
        weights = {name: (w + 0.01).requires_grad_() for name, w in cohort.weights.items()}
        found = named.local_loss(cohort.module, weights, x, y, prior, *more)
        slopes = torch.autograd.grad(found.sum(), list(weights.values()), materialize_grads=True)
        for i in range(b):
            mine = {name: w[i].detach().requires_grad_() for name, w in weights.items()}
            one = tuple({n: w[i] for n, w in each.items()} if isinstance(each, dict) else each[i] for each in more)
            wanted = by_hand(method, copy.deepcopy(cohort.module).to_empty(device="cpu"), mine, x[i], y[i], prior[i], one)
            torch.testing.assert_close(found[i], wanted, rtol=1e-9, atol=0)
            exact = torch.autograd.grad(wanted, list(mine.values()), materialize_grads=True)
            for slope, right in zip(slopes, exact, strict=True):
                torch.testing.assert_close(slope[i], right, rtol=1e-9, atol=1e-12)


def test_what_methods_give_their_losses():
    config, named, fed = begun("fedprox", strength=0.7)
    start, mu = named.given(fed, config, fed.cohorts[0])
    assert mu.tolist() == pytest.approx([0.7] * len(mu)) and all(w.equal(fed.cohorts[0].weights[n]) for n, w in start.items())
    assert all(w is not fed.cohorts[0].weights[n] for n, w in start.items())  # of the beginning of the round
    config, named, fed = begun("fml", strength=0.7)
    first = networks.initial(networks.build("mlp", 1, (1, 8, 8), 10), stream(1, "server"))
    for i, (_, own) in weights_of(fed).items():
        assert i < N or all(own[f"small.{name}"].equal(w) for name, w in first.items())


@pytest.mark.parametrize(("method", "twin", "loss"), [
    ("fedprox", "fedavg", "plain"), ("feddf", "fedavg", "plain"), ("fml", "local", "balanced"), ("fedkd", "local", "plain"),
    ("fd", "local", "balanced"), ("fedproto", "local", "plain"), ("fedtgp", "local", "balanced"),
])  # fmt: skip
def test_strength_zero_is_training_without_the_term_to_the_last_bit(method, twin, loss):
    head = {"readout": "head"} if METHODS[method].answers else {}
    without, found, other = (weights_of(last(name, rounds=2, hard_loss=loss, strength=strength, **head).fed)
                             for name, strength in ((twin, 0.0), (method, 0.0), (method, 0.3)))  # fmt: skip
    assert same(without, found) and not same(without, other)


@pytest.mark.parametrize("method", ["fedavg", "heterofl", "inclusivefl", "lg_fedavg"])
def test_alone_and_without_momentum_an_average_is_local_training_to_the_last_bit(method):
    # with momentum it is not: that of what has been averaged away restarts in each round
    lone = dict(clients=1, rounds=2, **({"levels": "depth"} if method == "inclusivefl" else {}))
    for momentum in (0.0, 0.9):
        one, other = (weights_of(last(name, **lone, momentum=momentum).fed) for name in (method, "local"))
        assert same(one, other) == (momentum == 0)


@pytest.mark.parametrize("method", GOES_UP_AND_DOWN)
def test_bytes_of_weights_by_hand(method):
    rows, by_level = run(method).rows, {}
    for level, own in weights_of(begun(method)[2]).values():
        by_level[level] = 4 * sum(w.numel() for name, w in own.items() if name.startswith(GOES_UP_AND_DOWN[method]))
    wanted = rows["level"].map(by_level) * rows["round"]
    assert (rows["bytes_up"] == wanted).all() and (rows["bytes_down"] == wanted).all()
