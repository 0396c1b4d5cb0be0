"""What clients keep for themselves: FedRoD's own head, fine-tuning, labelled public images, and teachers on a visit."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scenes import N, SEEDS, begun, last, network, same, settings, weights_of
from torch import nn
from torch.nn.functional import cross_entropy, kl_div

from hfkd.engine import federation, record, state, training
from hfkd.streams import stream


def sgd(net):
    """As in `scenes`."""
    return torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)


def step(loss, *optimisers):
    for each in optimisers:
        each.zero_grad()
    loss.backward()
    for each in optimisers:
        each.step()


def dealt(fed, i, rng, passes=1):
    """Batches of 16 of the images of a client, in the order of a stream."""
    at = fed.splits[i // N].train[i % N]
    return at[training.batches(rng, len(at), passes * -(-len(at) // 16), 16)]


def shared(weights):
    """Without the own head."""
    return {name: w for name, w in weights.items() if not name.startswith("second.")}


def right(said, labels):
    """The share of right answers, to the last bits, of logits (n, c)."""
    return pytest.approx((said.argmax(-1) == labels).double().mean().item(), abs=1e-9)


def test_fedrod_shares_what_balanced_fedavg_shares_to_the_last_bit():
    for more in ({}, {"dropout": 0.5}, {"levels": "cnn", "rounds": 1}):
        found, twin = (weights_of(last(name, hard_loss="balanced", **more).fed) for name in ("fedrod", "fedavg"))
        assert same(twin, found) and len({float(w["second.bias"][0]) for _, w in found.values()}) > N  # one's own


def test_fedrod_own_head_and_personality_by_a_plain_loop():
    _, _, fed = begun("fedrod")
    before, streams = weights_of(fed), [stream(seed, "batches", i) for seed in SEEDS for i in range(N)]
    own = {i: nn.Linear(32, 10) for i in before}
    for w in (w for head in own.values() for w in head.parameters()):
        nn.init.zeros_(w)
    momentum = {i: sgd(head) for i, head in own.items()}  # goes on from round to round
    config, method, digits = settings("fedrod", rounds=2)
    for round in federation.rounds(config, method, digits, SEEDS):
        left = {i: network(level, shared(w)) for i, (level, w) in before.items()}
        for i, net in left.items():
            optimiser = sgd(net)
            for at in dealt(fed, i, streams[i]):
                h, y = net[:-1](state.shown(fed, i // N, at)), fed.labels[at]
                hard = cross_entropy(net[-1](h) + fed.prior[i], y)
                rest = cross_entropy(net[-1](h).detach() + own[i](h.detach()), y)
                step(hard + rest, optimiser, momentum[i])
        before = weights_of(round.fed)
        for i, (_, w) in before.items():
            for name, wanted in own[i].named_parameters():
                torch.testing.assert_close(w[f"second.{name}"], wanted.detach(), rtol=0, atol=1e-5)
    measured = record.measure(round.fed, config, method)
    for i, (level, w) in before.items():
        split, net = fed.splits[i // N], network(level, shared(w))
        assert measured["consistency"][i] == right(net(state.shown(fed, i // N, split.balanced)), fed.labels[split.balanced])
        at, h = split.test[i % N], left[i][:-1](state.shown(fed, i // N, split.test[i % N]))  # as it leaves its own round
        assert measured["personality"][i] == right(left[i][-1](h) + own[i](h), fed.labels[at])


@pytest.mark.parametrize(("loss", "passes"), [("plain", 2), ("balanced", 1), ("plain", 0)])
def test_fine_tuning_is_a_plain_loop_from_the_average_and_measuring_changes_nothing(loss, passes):
    config, method, digits = settings("fedavg_ft", hard_loss=loss, strength=passes, rounds=2)
    for round in federation.rounds(config, method, digits, SEEDS):
        measured, again = (record.measure(round.fed, config, method) for _ in "12")
        assert all(np.array_equal(measured[name], again[name], equal_nan=True) for name in measured)
    fed, now = round.fed, weights_of(round.fed)
    twin = last("fedavg", hard_loss=loss, rounds=2).fed  # which nobody has measured
    assert same(now, weights_of(twin)) and (fed.batches == twin.batches).all()
    assert not any(m.any() for cohort in fed.cohorts for m in cohort.momentum.values())
    for i, (level, w) in now.items():
        net, at, prior = network(level, w), fed.splits[i // N].test[i % N], fed.prior[i] * (loss == "balanced")
        optimiser, rng = sgd(net), stream(SEEDS[i // N], "fine-tuning 2", i % N)
        for batch in dealt(fed, i, rng, passes):
            step(cross_entropy(net(state.shown(fed, i // N, batch)) + prior, fed.labels[batch]), optimiser)
        assert measured["personality"][i] == right(net(state.shown(fed, i // N, at)) + prior, fed.labels[at])
        at, net = fed.splits[i // N].balanced, network(level, w)
        assert measured["consistency"][i] == right(net(state.shown(fed, i // N, at)), fed.labels[at])


@pytest.mark.parametrize("loss", ["plain", "balanced"])
def test_labelled_public_is_local_where_the_public_images_are_everybodys_own(loss, monkeypatch):
    found, drawn = last("labelled_public", hard_loss=loss), state.split_of

    def richer(config, dataset, *more):
        own = drawn(config, dataset, *more)
        train = tuple(np.append(at, own.public) for at in own.train)
        return replace(own, train=train, counts=np.stack([np.bincount(dataset.labels[at], None, 10) for at in train]))

    monkeypatch.setattr(state, "split_of", richer)
    twin = last("local", hard_loss=loss)
    assert same(weights_of(found.fed), weights_of(twin.fed)) and (found.fed.batches == twin.fed.batches).all()


@pytest.mark.parametrize(("alpha", "loss"), [(0.0, "plain"), (0.4, "plain"), (0.4, "balanced")])
def test_alternating_by_a_plain_loop_students_first(alpha, loss):
    config, method, fed = begun("alternating", alpha=alpha, hard_loss=loss)
    pairs, level = fed.memory["pairs"], fed.levels.reshape(-1)
    assert sorted(s for s, _ in pairs) == np.flatnonzero(level < 3).tolist()  # one teacher each, one level above
    assert all(level[t] == level[s] + 1 and s // N == t // N for s, t in pairs)
    nets = {i: network(*one) for i, one in weights_of(fed).items()}
    optimisers = {i: sgd(net) for i, net in nets.items()}
    streams = [stream(seed, "meetings", i) for seed in SEEDS for i in range(N)]
    batches, numbers = np.zeros(2 * N, int), {i: sum(w.numel() for w in net.parameters()) for i, net in nets.items()}

    def meet(learner, speaker, student):
        for at in dealt(fed, student, streams[student]):
            x, prior = state.shown(fed, student // N, at), fed.prior[student] * (loss == "balanced")
            said = nets[learner](x)
            soft = kl_div(said.log_softmax(-1), nets[speaker](x).softmax(-1).detach(), reduction="batchmean")
            step((1 - alpha) * cross_entropy(said + prior, fed.labels[at]) + alpha * soft, optimisers[learner])
            batches[learner] += 2  # the same images, once with their labels and once with the soft targets

    for round in (1, 2, 3):
        sent = method.exchange(fed, config, round)
        if round > 1:  # not in the warmup
            for s, t in sorted(pairs, key=lambda pair: level[pair[0]]):
                meet(s, t, s)
            for t in sorted({t for _, t in pairs}, key=lambda t: level[t]):
                mine = [s for s, teacher in pairs if teacher == t]
                meet(t, mine[round % len(mine)], mine[round % len(mine)])
        for i, (_, w) in weights_of(fed).items():
            for found, wanted in zip(w.values(), nets[i].parameters(), strict=True):
                torch.testing.assert_close(found, wanted.detach(), rtol=0, atol=1e-5)
        assert (fed.batches.reshape(-1) == batches).all()
        assert bool(sent) == (round > 1)
        for cohort, up, down in sent:  # the teacher's network, there and back
            wanted = [sum(numbers[t] for s, t in pairs if i in (s, t)) for i in cohort.members]
            assert up.tolist() == down.tolist() == wanted
