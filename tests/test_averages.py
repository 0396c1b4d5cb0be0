"""Weights that travel: every average against plain numpy over single clients, and what it costs, in numbers sent."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scenes import METHODS, N, SEEDS, begun, doubled, last, network, same, settings, weights_of
from scipy.special import softmax
from torch.func import functional_call

from hfkd.engine import federation, state, training
from hfkd.methods import messengers
from hfkd.streams import stream


def trained(method, scale=1.0, **more):
    """(config, method, fed, flat id -> (level, weights)) after the training of a round, made up: every weight moved."""
    config, named, fed = begun(method, **more)
    for cohort in fed.cohorts:
        for place, (name, w) in enumerate(cohort.weights.items()):
            w += scale * torch.randn(w.shape, generator=torch.Generator().manual_seed(place))
            cohort.momentum[name] += 1
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
    ("fedavg", "", False), ("fedrod", ("body.", "head."), False), ("lg_fedavg", "head.", True), ("fml", "second.", True),
])  # fmt: skip
def test_a_mean_by_samples_and_what_is_not_averaged_stays(method, part, over_levels):
    config, named, fed, old = trained(method)
    fed.away[0, [1, 3]] = "presence" in named.needs  # who is away has no say, and hears of it when it is back
    sent = {i: each for cohort, *ways in named.exchange(fed, config, 1)
            for i, *each in zip(cohort.members.tolist(), *(way.tolist() for way in ways))}  # fmt: skip
    for i, (level, now) in weights_of(fed).items():
        who = [j for j in beside(old, i, None if over_levels else level) if not fed.away.flat[j]]
        for name, w in now.items():
            ends_in(w, mean(who, old, name, fed) if name.startswith(part) else old[i][1][name].numpy())
        size = sum(w.numel() for name, w in now.items() if name.startswith(part))
        assert sent[i] == [size * (not fed.away.flat[i])] * 2
    for cohort in fed.cohorts:  # the momentum of what has been averaged away is gone, the other stays
        assert all(m.any() != name.startswith(part) for name, m in cohort.momentum.items())
    config, named, fed, old = trained(method)
    fed.counts = fed.counts * 0
    named.exchange(fed, config, 1)
    for i, (level, now) in weights_of(fed).items():  # they count by what they release, and who releases nothing as one
        for name in (name for name in now if name.startswith(part or "head.")):
            each = [old[j][1][name].double().numpy() for j in beside(old, i, None if over_levels else level)]
            ends_in(now[name], np.mean(each, axis=0))


@pytest.mark.parametrize(("method", "dropout"), [  # one of six is there, or nobody at all
    ("fedavg", 0.8), ("fedrod", 0.8), ("heterofl", 1.0), ("feddf", 1.0), ("feddf_nested", 1.0), ("hfkd_nested", 1.0),
])  # fmt: skip
def test_where_nobody_of_a_level_is_there_its_weights_stay(method, dropout):
    before, waited = weights_of(begun(method)[2]), 0
    for round in federation.rounds(*settings(method, dropout=dropout, strength=0.01), SEEDS):
        now = weights_of(round.fed)
        for i, (level, own) in now.items():
            alone = all(round.fed.away.flat[j] for j in beside(now, i, level))
            assert same({i: (level, own)}, before) == alone
            waited += alone
        before = now
    assert waited > N


@pytest.mark.parametrize("method", ["fedavg", "heterofl", "inclusivefl", "fedgh"])
def test_everybody_starts_alike_and_each_seed_by_itself(method):
    at = weights_of(begun(method)[2])
    for i, (level, own) in at.items():
        for j in beside(at, i, level if method == "fedavg" else None):
            for name in ["head.weight", "head.bias"] if method == "fedgh" else own.keys() & at[j][1].keys():
                # of a narrow network the first units of a wide one
                small, large = sorted((own[name], at[j][1][name]), key=torch.numel)
                assert small.equal(large[tuple(map(slice, small.shape))])
    assert not at[0][1]["head.weight"].equal(at[N][1]["head.weight"])


@pytest.mark.parametrize("loss", ["plain", "balanced"])
@pytest.mark.parametrize("family", ["mlp", "cnn"])
def test_heterofl_averages_every_entry_over_those_who_have_it(family, loss):
    """With the plain loss a row of the head belongs to those whose counts have the class; what nobody has stays."""
    config, named, fed, _ = trained("heterofl", levels=family, hard_loss=loss)
    fed.counts[0, 1], fed.counts[1, :, 3] = 0, 0  # who releases nothing has every class; a class that nobody has
    fed.away[0] = fed.levels[0] == 3  # units that only the widest have, and those are away
    for cohort in fed.cohorts:  # before a round all have the same row, and the mask keeps it
        cohort.weights["head.weight"][:, 3] = cohort.weights["head.bias"][:, 3] = 0.5
    old, widest = weights_of(fed), fed.levels.argmax(1)
    named.exchange(fed, config, 1)
    rows = 0
    for i, (_, now) in weights_of(fed).items():
        for name, w in now.items():
            total, count = np.zeros((2, *w.shape))
            for j in (j for j in beside(old, i) if not fed.away.flat[j]):
                theirs, own = old[j][1][name].double().numpy(), fed.counts[divmod(j, N)]
                at = tuple(slice(min(a, b)) for a, b in zip(w.shape, theirs.shape))
                has = np.ones(theirs.shape, bool)
                if loss == "plain" and name.startswith("head.") and own.any():
                    has[own == 0] = False
                total[at] += (theirs * has)[at]
                count[at] += has[at]
            stays = old[i // N * N + widest[i // N]][1][name].numpy()[tuple(map(slice, w.shape))]
            ends_in(w, np.where(count > 0, total / count.clip(1), stays))
            rows += name == "head.bias" and (count < count.max()).any()
    assert (rows > 0) == (loss == "plain")


def test_inclusivefl_layers_and_the_push_of_the_last_one():
    (config, named, fed, old), start = trained("inclusivefl", strength=0.3), weights_of(begun("inclusivefl")[2])
    named.exchange(fed, config, 1)
    for i, (level, now) in weights_of(fed).items():
        for name, w in now.items():
            owners = beside(old, i, None if name.startswith("body.") else level)
            owners = [j for j in owners if name in old[j][1]]
            wanted = mean(owners, old, name, fed)
            if level == 2 and name.startswith("body.3."):  # its last hidden layer; the third of level 3 is of its shape
                deep, own, third = beside(old, i, 3), beside(old, i, 2), name.replace("3", "5")
                theirs = mean(deep, old, third, fed) - start[deep[0]][1][third].numpy()
                wanted = wanted + 0.3 * (theirs - mean(own, old, name, fed) + start[i][1][name].numpy())
            ends_in(w, wanted)


def pooled(method, log_p, counts):
    """(u, c) the server's target in float64, of log-posteriors (t, u, c)."""
    if method != "hfkd_nested":
        return softmax(log_p.mean(0), axis=-1)
    share = np.where(counts.sum(0) > 0, counts, 1)
    q = softmax(2 * np.einsum("tc,tuc->uc", share / share.sum(0), log_p), axis=-1)  # gamma 2: squares
    q *= (0.1 / q.mean(0)) ** 0.5  # kappa 1/2
    return q / q.sum(-1, keepdims=True)


@pytest.mark.parametrize(("method", "average", "loss", "passes"), [
    ("feddf", "fedavg", "plain", 1), ("feddf_nested", "heterofl", "plain", 2),
    ("hfkd_nested", "heterofl", "balanced", 1),
])  # fmt: skip
def test_the_server_teaches_each_mean_network_what_all_said_before_by_torchs_sgd(method, average, loss, passes):
    more = dict(scale=0.1, strength=0.02, hard_loss=loss, digest=passes)
    (config, named, fed, old), (_, _, twin, _) = (trained(method, **more) for _ in "12")
    for each in (fed, twin):
        each.away[0, 1] = True
        each.counts[1, :, 3] = 0  # a class that nobody has: all speak alike
    sent = named.exchange(fed, config, 1)
    fed.labels[:] = 0  # labels of public images, or of any others, are not read
    for (_, *found), (_, *wanted) in zip(sent, METHODS[average].exchange(twin, config, 1), strict=True):
        assert [each.tolist() for each in found] == [each.tolist() for each in wanted]
    now, means = weights_of(fed), weights_of(twin)
    for z, own in enumerate(fed.splits):
        there, public = [i for i in range(z * N, z * N + N) if not fed.away.flat[i]], state.shown(fed, z, own.public)
        said = torch.stack([network(*old[i])(public).log_softmax(-1) for i in there]).detach().double().numpy()
        target = torch.from_numpy(pooled(method, said, fed.counts[z, ~fed.away[z]])).float()
        rows = training.batches(stream(SEEDS[z], "server"), 40, 3 * passes, 16)  # 40 public images
        for i in range(z * N, z * N + N):
            net = network(*means[i])
            sgd = torch.optim.SGD(net.parameters(), lr=0.02, momentum=0.9)
            for at in rows:
                sgd.zero_grad()
                F.kl_div(net(public[at]).log_softmax(-1), target[at], reduction="batchmean").backward()
                sgd.step()
            for (name, found), wanted in zip(now[i][1].items(), net.parameters(), strict=True):
                torch.testing.assert_close(found, wanted.detach(), rtol=0, atol=1e-5)
                assert not found.equal(means[i][1][name])


@pytest.mark.parametrize(("shape", "energy"), [((7, 12), 0.95), ((16, 3, 3, 3), 0.98), ((5, 5), 1.0), ((30, 40), 0.6)])
def test_fedkd_keeps_as_few_singular_values_as_hold_the_energy(shape, energy):
    update = torch.randn(3, *shape, generator=torch.Generator().manual_seed(0))
    kept, numbers = messengers.compressed(update, energy)
    for b in range(3):
        matrix = update[b].reshape(shape[0], -1).double().numpy()
        u, s, v = np.linalg.svd(matrix, full_matrices=False)
        rank = next(k for k in range(1, len(s) + 1) if (s[:k] ** 2).sum() >= energy * (s**2).sum() * (1 - 1e-9))
        np.testing.assert_allclose(kept[b].reshape(matrix.shape), (u[:, :rank] * s[:rank]) @ v[:rank], atol=1e-4)
        assert numbers[b] == min(rank * (sum(matrix.shape) + 1), matrix.size)
    bias = torch.ones(3, 7)
    assert messengers.compressed(bias, 0.5)[0] is bias and messengers.compressed(bias, 0.5)[1].tolist() == [7] * 3


def test_fedkd_hands_everybody_the_mentee_of_the_server_and_less_energy_is_less_traffic(monkeypatch):
    traffic = []
    for energy in ((1.0, 1.0), (0.3, 0.3)):
        monkeypatch.setattr(messengers, "ENERGY", energy)
        config, named, fed, old = trained("fedkd")
        traffic.append(torch.cat([torch.stack(sent) for _, *sent in named.exchange(fed, config, 1)], 1))
        for i, (_, now) in weights_of(fed).items():
            for name, w in fed.memory["mentee"].items():
                assert now[name].equal(w[i // N])
                if energy == (1.0, 1.0):  # nothing is lost: the plain mean by samples
                    ends_in(now[name], mean(beside(old, i), old, name, fed), 1e-4)
    assert (traffic[1] < traffic[0]).all()


def by_hand(method, net, w, x, y, prior, *given):
    """The loss of one client by torch's own functions."""
    *more, a = given or [0]
    said, kl = functional_call(net, w, (x,)), lambda z, q: F.kl_div(z.log_softmax(1), q.detach(), reduction="batchmean")
    part = lambda name: {each.removeprefix(name): v for each, v in w.items() if each.startswith(name)}
    if method == "heterofl":  # logits of other classes are 0
        return F.cross_entropy(said.masked_fill(given[0] == 0, 0) + prior, y)
    hard = F.cross_entropy(said + prior, y)
    if method == "fedrod":  # the own head learns what is left, by the plain loss, and nobody else learns from it
        h = functional_call(net.body, part("body."), (x,)).detach()
        return hard + F.cross_entropy(said.detach() + h @ w["second.weight"].T + w["second.bias"], y)
    if method == "fedprox":
        return hard + a / 2 * sum(((w[name] - start) ** 2).sum() for name, start in more[0].items())
    if method == "fd":
        return hard + a * kl(said, more[0][y])
    if method == "fedproto":
        apart = F.mse_loss(functional_call(net.body, part("body."), (x,)), more[0][y], reduction="none").mean(1)
        return hard + a * (apart * more[1][y]).mean()
    small = functional_call(net.second, part("second."), (x,))
    both, apart = hard + F.cross_entropy(small + prior, y), kl(said, small.softmax(1)) + kl(small, said.softmax(1))
    return (1 - a) * both + a * apart if method == "fml" else both + a * apart / both.detach().clamp_min(0.1)


@pytest.mark.parametrize("method", ["fedprox", "fml", "fedkd", "fd", "fedproto", "heterofl", "fedrod"])
def test_the_own_losses_of_methods_and_their_gradients_client_by_client(method):
    _, named, fed = begun(method, levels="cnn")
    for cohort in doubled(fed).cohorts:
        b, made = len(cohort.members), torch.Generator().manual_seed(1)
        draw = lambda *shape, made=made: torch.randn(*shape, generator=made, dtype=torch.float64)
        x, y, prior = draw(b, 7, 1, 8, 8), draw(b, 7, 10).argmax(-1), draw(b, 10).log_softmax(1)
        weights = {name: (w + 0.01).requires_grad_() for name, w in cohort.weights.items()}
        more = {"fedprox": [{name: w + 0.1 for name, w in cohort.weights.items()}], "fd": [draw(b, 10, 10).softmax(-1)],
                "fedproto": [draw(b, 10, 32), (draw(b, 10) > 0).double()]}  # fmt: skip
        given = {"fedrod": (), "heterofl": ((draw(b, 10) > 0).double(),)}.get(method)
        given = (*more.get(method, ()), draw(b).sigmoid()) if given is None else given
        found = named.local_loss(cohort.module, weights, x, y, prior, *given)
        slopes = torch.autograd.grad(found.sum(), list(weights.values()), materialize_grads=True)
        for i in range(b):
            mine = {name: w[i].detach().requires_grad_() for name, w in weights.items()}
            one = [{n: w[i] for n, w in each.items()} if isinstance(each, dict) else each[i] for each in given]
            net = copy.deepcopy(cohort.module).to_empty(device="cpu")
            wanted = by_hand(method, net, mine, x[i], y[i], prior[i], *one)
            torch.testing.assert_close(found[i], wanted, rtol=1e-9, atol=0)
            exact = torch.autograd.grad(wanted, list(mine.values()), materialize_grads=True)
            for slope, right in zip(slopes, exact, strict=True):
                torch.testing.assert_close(slope[i], right, rtol=1e-9, atol=1e-12)


TERM, BALANCED = ("strength", {}), ("strength", {"hard_loss": "balanced", "epochs": 1})
HEAD, ALONE = ("strength", {"readout": "plain"}), ("momentum", {"clients": 1})


@pytest.mark.parametrize(("method", "twin", "dial", "more"), [
    ("fedprox", "fedavg", *TERM), ("feddf", "fedavg", *TERM), ("fedkd", "local", *TERM), ("fml", "local", *BALANCED),
    ("fd", "local", *BALANCED), ("fedproto", "local", *HEAD), ("fedtgp", "local", *HEAD), ("fedavg", "local", *ALONE),
    ("heterofl", "local", *ALONE), ("lg_fedavg", "local", *ALONE), ("feddf", "fedavg", "strength", {"dropout": 0.5}),
    ("feddf_nested", "heterofl", *TERM), ("feddf_nested", "heterofl", *BALANCED),
    ("hfkd_nested", "heterofl", *BALANCED), ("inclusivefl", "local", "momentum", {"clients": 1, "levels": "depth"}),
])  # fmt: skip
def test_where_its_dial_is_at_zero_a_method_is_its_twin_to_the_last_bit(method, twin, dial, more):
    # without its term; alone, an average changes nothing but the momentum, which restarts in each round
    for value in (0.0, 0.3):
        one, other = (weights_of(last(name, rounds=2, **more | {dial: value}).fed) for name in (method, twin))
        assert same(one, other) == (value == 0)
