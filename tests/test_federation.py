"""A federation's rows are a function of (configuration, seed): of nothing else, and of all that the method decides."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from hfkd import data, federation, results, training
from hfkd.config import configure
from hfkd.methods import METHODS

SMALL = dict(clients=5, rounds=3, eval_every=1, pool_size=600, public_size=40, balanced_size=100, batch=16, lr=.05)


def went(method, seeds=(0,), watch=None, public=None, **more):
    """Rows of a small run, and with `watch` (a pytest monkeypatch) the state that it ended in."""
    states, start = [], federation.start
    if watch:
        watch.setattr(federation, "start", lambda *given: states.append(start(*given)) or states[-1])
    config = configure("smoke", **(SMALL | dict(method=method) | more))
    frame = federation.run(config, METHODS[method], data.load("digits"), seeds, public).rows
    if watch:
        watch.undo()
    return (frame, states[0]) if watch else frame


def weights_of(state, flat):
    """name -> weights of one client."""
    for cohort in state.cohorts:
        if flat in cohort.members.tolist():
            row = cohort.members.tolist().index(flat)
            return {name: w[row] for name, w in cohort.weights.items()}


@pytest.mark.parametrize("levels", ["mlp", "depth"])
@pytest.mark.parametrize("method", ["local", "hfkd"])
def test_a_seed_does_not_depend_on_the_seeds_beside_it(method, levels, monkeypatch):
    # 5 clients give levels 1, 1, 1, 2, 3: a cohort of one member alone, of two with another seed beside it
    alone, state = went(method, (0,), monkeypatch, levels=levels)
    both, beside = went(method, (1, 0), monkeypatch, levels=levels)
    for client in range(5):
        mine, same = weights_of(state, client), weights_of(beside, 5 + client)
        assert all(mine[name].equal(same[name]) for name in mine)
    pd.testing.assert_frame_equal(alone, both[both["seed"] == 0].reset_index(drop=True), check_exact=True)
    assert (both.loc[both["seed"] == 1, "personality"].to_numpy() != alone["personality"].to_numpy()).any()


@pytest.mark.parametrize("levels", ["mlp", "cnn"])
def test_a_run_again_gives_the_same_frame(levels):
    again = [went("hfkd", (0, 1), levels=levels, rule="random") for _ in range(2)]
    pd.testing.assert_frame_equal(*again, check_exact=True)


def test_measuring_more_often_changes_nothing():
    often, once = went("hfkd", (0, 1)), went("hfkd", (0, 1), eval_every=99)
    assert set(once["round"]) == {3} and sorted(set(often["round"])) == [1, 2, 3]
    assert sorted(set(went("local", rounds=5, eval_every=2)["round"])) == [2, 4, 5]  # the last is always measured
    pd.testing.assert_frame_equal(often[often["round"] == 3].reset_index(drop=True), once, check_exact=True)


def test_rows_have_the_columns_of_a_result():
    frame = went("fedmd", (2, 0))
    assert set(frame) == set(results.COLUMNS) - {"experiment", "variant"} and len(frame) == 2 * 3 * 5
    assert frame.groupby(["seed", "round"])["client"].apply(list).map(lambda c: c == [0, 1, 2, 3, 4]).all()
    assert sorted(frame["level"][:5]) == [1, 1, 1, 2, 3]  # .5/.3/.2 of five, every level there
    assert frame["samples"][:5].sum() < 600 and (frame["samples"] > 0).all()


def test_streams_do_not_depend_on_the_method(monkeypatch):
    fits = {"inclusivefl": {"levels": "depth"}}
    ends = {method: went(method, (0, 1), monkeypatch, **fits.get(method, {})) for method in METHODS}
    (frame, local), scene = ends["local"], ["seed", "client", "level", "samples"]
    for method, (rows, state) in ends.items():
        assert rows[scene].equals(frame[scene])
        for one, other in zip(state.splits, local.splits):
            assert all(map(np.array_equal, (one.public, *one.train), (other.public, *other.train)))
        for one, other in zip(state.private_streams, local.private_streams):  # as many draws of private batches
            assert one.bit_generator.state == other.bit_generator.state, method
    begun = federation.start(configure("smoke", **SMALL), data.load("digits"), (0, 1))
    opened = [str(rng.bit_generator.state) for rng in begun.private_streams + begun.public_streams]
    assert len(set(opened)) == 2 * 10  # two of each client's own
    first = [went(method, watch=monkeypatch, lr=0.0)[1] for method in ("local", "hfkd")]
    for client in range(5):  # no step: the first weights
        one, other = (weights_of(state, client) for state in first)
        assert all(one[name].equal(other[name]) for name in one)


def test_only_own_training_labels_are_learned_from(monkeypatch):
    # labels of public, validation and test images are wrong, and the images of the test parts are noise
    _, honest = went("hfkd", watch=monkeypatch)
    start = federation.start

    def spoiled(*given):
        state = start(*given)
        fed = state.splits[0]
        tested = np.concatenate([*fed.test, *fed.val, fed.balanced])
        state.labels[np.concatenate([tested, fed.public])] = 0
        state.images[tested] = torch.randn(len(tested), 1, 8, 8, generator=torch.Generator().manual_seed(0))
        return state

    monkeypatch.setattr(federation, "start", spoiled)
    _, state = went("hfkd", watch=monkeypatch)
    assert not state.labels.equal(honest.labels)
    for client in range(5):
        one, other = weights_of(honest, client), weights_of(state, client)
        assert all(one[name].equal(other[name]) for name in one)


def test_a_run_of_fedmd_by_hand(monkeypatch):
    # plain networks and torch's SGD; from round 2 on the softmax of everybody's mean logits of the round before
    _, state = went("fedmd", watch=monkeypatch, alpha=.5)
    begun = federation.start(configure("smoke", **SMALL), data.load("digits"), (0,))
    fed, images, labels = begun.splits[0], begun.images, begun.labels
    nets = []
    for client, level in enumerate(fed.levels):
        width = (8, 32, 128)[level - 1]
        body = (nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 32), nn.ReLU())
        nets.append(nn.Sequential(nn.Flatten(), *body, nn.Linear(32, 10)))
        nets[-1].load_state_dict(dict(zip(nets[-1].state_dict(), weights_of(begun, client).values(), strict=True)))
    sgd = [torch.optim.SGD(net.parameters(), lr=.05, momentum=.9) for net in nets]
    for round in (1, 2, 3):
        with torch.no_grad():
            target = torch.stack([net(images[fed.public]) for net in nets]).mean(0).softmax(1)
        for client, net in enumerate(nets):
            own = fed.train[client]
            steps = -(-len(own) // 16)
            private = own[training.batches(begun.private_streams[client], len(own), steps, 16)]
            heard = training.batches(begun.public_streams[client], 40, steps, 16) if round > 1 else [None] * steps
            for at, u in zip(private, heard):
                loss = F.cross_entropy(net(images[at]), labels[at])
                if round > 1:
                    said = F.log_softmax(net(images[fed.public[u]]), 1)
                    loss = .5 * loss + .5 * F.kl_div(said, target[u], reduction="batchmean")
                sgd[client].zero_grad()
                loss.backward()
                sgd[client].step()
    for client, net in enumerate(nets):
        for found, wanted in zip(weights_of(state, client).values(), net.parameters(), strict=True):
            torch.testing.assert_close(found, wanted.detach(), rtol=0, atol=2e-4)


def test_soft_knowledge_is_heard_after_the_warmup():
    local, late = went("local"), went("fedmd", warmup=2, alpha=.5)
    assert sorted(zip(late["round"], late["alpha"])) == [(1, 0)] * 5 + [(2, 0)] * 5 + [(3, .5)] * 5
    marks = ["client", "personality", "consistency", "val_personality", "val_consistency", "bytes_up", "bytes_down"]
    for round, equal in ((1, True), (2, True), (3, False)):  # until then it is Local
        one, other = (frame.loc[frame["round"] == round, marks].reset_index(drop=True) for frame in (local, late))
        assert one.equals(other) == equal, round


def test_progress_is_reported_after_each_round():
    told, config = [], configure("smoke", **SMALL)
    federation.run(config, METHODS["hfkd"], data.load("digits"), (0,), report=lambda *at: told.append(at))
    assert told == [(1, 3), (2, 3), (3, 3)]


def other(n=60, **changed):
    """A public data set of another origin: the first n digits, upside down."""
    digits = data.load("digits")
    flipped = dict(name="flipped", images=digits.images[:n, :, ::-1].copy(), labels=digits.labels[:n],
                   is_test=digits.is_test[:n], checksum="flipped")
    return replace(digits, **(flipped | changed))


def test_foreign_public_images(monkeypatch):
    n = len(data.load("digits").labels)
    frame, state = went("fedmd", (0, 1), monkeypatch, public=other(), alpha=.5)
    same, inside = went("fedmd", (0, 1), monkeypatch, alpha=.5)
    drawn = [fed.public for fed in state.splits]
    assert all(len(set(at)) == 40 and at.min() >= n and at.max() < n + 60 for at in drawn)
    assert set(drawn[0]) != set(drawn[1])  # each seed its own
    assert state.images.shape[0] == n + 60 and (state.labels[n:] == -1).all()  # nobody can learn from its labels
    for one, two in zip(state.splits, inside.splits):  # the private data stay, so the two runs can be compared
        assert all(map(np.array_equal, one.train, two.train))
    assert frame["samples"].equals(same["samples"]) and frame["bytes_up"].equals(same["bytes_up"])
    assert not frame["consistency"].equals(same["consistency"])
    digits = data.load("digits").images.astype(np.float64)  # standardised by the constants of the private data
    wanted = (other().images[7] - digits.mean()) / digits.std()
    np.testing.assert_allclose(state.images[n + 7], wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("public", "sentence"), [
    (lambda: other(images=np.zeros((60, 1, 9, 8), np.uint8)), r"of flipped are \(1, 9, 8\); expected \(1, 8, 8\)"),
    (lambda: other(39), "public_size is 40; expected at most the 39 images of flipped"),
    (lambda: data.load("digits"), "public is 'digits', which has images of the private digits; expected 'same'"),
    (lambda: replace(data.load("digits"), name="copy"), "public is 'copy', which has images of the private"),
])  # fmt: skip
def test_public_images_that_do_not_fit_are_refused(public, sentence):
    with pytest.raises(ValueError, match=sentence):
        went("fedmd", public=public())


def test_all_of_a_foreign_set_may_be_public(monkeypatch):
    _, state = went("fedmd", watch=monkeypatch, public=other(40))
    assert len(set(state.splits[0].public)) == 40


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA GPU")
def test_cuda_asked_for_and_absent():
    with pytest.raises(ValueError, match="device is 'cuda' and torch finds none; expected a CUDA GPU"):
        went("local", device="cuda")
