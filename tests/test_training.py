"""The batched engine against one client after the other, and what leaves a member's weights alone to the last bit."""

import copy

import numpy as np
import pytest
import torch

from hfkd.config import configure
from hfkd.engine import client, cohort, training
from hfkd.knowledge import mix
from hfkd.streams import stream

SIZES = [44, 30, 9, 3]  # 6, 4, 2 and 1 steps of 8; the last has fewer samples than a batch
SHAPES = [("mlp", 2, (1, 8, 8)), ("depth", 3, (1, 8, 8)), ("cnn", 1, (1, 9, 9)), ("cnn", 1, (3, 9, 9))]
PUBLIC = 30


def rehearsed(family="mlp", level=1, shape=(1, 8, 8), sizes=SIZES, dtype=torch.float64):
    """The arguments of `training.train` by name, for a small cohort with made-up data."""
    rng, steps = stream(0, "rehearsal"), [-(-size // 8) for size in sizes]
    images = torch.from_numpy(rng.standard_normal((sum(sizes) + PUBLIC, *shape))).to(dtype)
    first, private, rows = np.cumsum([0, *sizes]), np.zeros((2, len(sizes), max(steps), 8), int), None
    for b, k in enumerate(steps):
        private[0, b, :k] = first[b] + training.batches(rng, sizes[b], k, 8)
        private[1, b, :k] = training.batches(rng, PUBLIC, k, 8)
    private, rows = torch.from_numpy(private)
    targets, prior = (torch.from_numpy(rng.dirichlet(np.ones(10), size)).to(dtype)
                      for size in ((len(sizes), PUBLIC), len(sizes)))  # fmt: skip
    asked, weight = torch.arange(sum(sizes), len(images)).expand(len(sizes), -1), torch.linspace(0.1, 0.9, len(sizes))
    streams = [stream(0, "weights", b) for b in range(len(sizes))]
    as_is = torch.tensor([0, 1], dtype=dtype).expand(len(sizes), 2)
    return dict(
        cohort=cohort.cohort(level, family, shape, 10, range(len(sizes)), streams, as_is), images=images,
        labels=torch.from_numpy(rng.integers(0, 10, len(images))), private=private, steps=steps, prior=prior.log(),
        config=configure(lr=0.05), lesson=training.Lesson(asked, targets, rows, weight.to(dtype)),
    )  # fmt: skip


def trained(arguments, **changed):
    """Weights after the round, of a copy."""
    own = arguments | changed
    own["cohort"] = cohort.part(own["cohort"], slice(None))
    training.train(**own)
    return own["cohort"].weights


def one_by_one(cohort, images, labels=None, private=None, steps=None, prior=None, config=None, lesson=None):
    """The same round by `engine.client`, one nn.Module after the other; without steps a digest."""
    found = {name: w.clone() for name, w in cohort.weights.items()}
    for b, count in enumerate(steps or [lesson.rows.shape[1]] * len(cohort.members)):
        net = copy.deepcopy(cohort.module).to_empty(device="cpu").to(images.dtype)
        net.load_state_dict({name: w[b] for name, w in cohort.weights.items()})
        public, shape = None, dict(temperature=config.temperature, direction=config.kl_direction)
        if lesson is not None:
            public = [(images[lesson.asked[b, rows]], lesson.targets[b, rows]) for rows in lesson.rows[b, :count]]
            if lesson.mix is not None:
                public = [mix(*batch, share) for batch, share in zip(public, lesson.mix[b])]
        sgd = torch.optim.SGD(net.parameters(), lr=config.lr, momentum=config.momentum)
        if steps:
            own = [(images[at], labels[at]) for at in private[b, :count]]
            client.train(net, sgd, own, prior[b], public, lesson.weight[b] if lesson else 0.0, **shape)
        else:
            client.digest(net, sgd, public, **shape)
        for name, w in net.named_parameters():
            found[name][b] = w.detach()
    return found


def close(found, wanted, atol=1e-9):
    for name, w in wanted.items():
        torch.testing.assert_close(found[name], w, rtol=0, atol=atol)


def same(one, other, rows=slice(None)):
    """Whether some members have the same weights to the last bit."""
    return all(one[name][rows].equal(w[rows]) for name, w in other.items())


@pytest.mark.parametrize("how", [
    dict(lesson=None), {}, dict(config=configure(lr=0.05, momentum=0.0, temperature=3.0, kl_direction="student_first")),
])  # fmt: skip
@pytest.mark.parametrize(("family", "level", "shape"), SHAPES)
def test_the_engine_is_one_client_after_the_other(family, level, shape, how):
    given = rehearsed(family, level, shape)
    found, wanted, first = trained(given, **how), one_by_one(**given | how), given["cohort"].weights
    close(found, wanted)
    for b in range(len(SIZES)):  # and every member really moved
        assert max(float((found[name][b] - first[name][b]).abs().max()) for name in first) > 1e-3


def test_a_network_of_ones_own_learns_as_in_plain_torch():
    given, nn = rehearsed(sizes=SIZES[:1]), torch.nn
    net = nn.Sequential(nn.Conv2d(1, 4, 3, bias=False), nn.MaxPool2d(3, 1), nn.GELU(), nn.Flatten(), nn.Linear(64, 10))
    given["cohort"] = cohort.alone(net.double(), 1, 0, given["cohort"].scale)
    close(trained(given), one_by_one(**given))


@pytest.mark.parametrize(("family", "level", "shape"), SHAPES)
@pytest.mark.parametrize("mixed", [False, True])
def test_a_digest_is_one_client_after_the_other_and_leaves_the_private_momentum(family, level, shape, mixed):
    given = rehearsed(family, level, shape)
    mine = given["cohort"]
    for momentum in mine.momentum.values():  # of earlier epochs: not read, and still there afterwards
        momentum += 7
    lesson = given["lesson"]._replace(weight=None, rows=given["lesson"].rows[:, :3])
    if mixed:
        lesson = lesson._replace(mix=torch.from_numpy(stream(0, "mix").beta(0.5, 0.5, (len(SIZES), 3))))
    how = dict(cohort=cohort.part(mine, slice(None)), images=given["images"], config=given["config"], lesson=lesson)
    wanted = one_by_one(**how)
    training.digest(**how)
    close(how["cohort"].weights, wanted)
    assert same(how["cohort"].momentum, mine.momentum) and not same(how["cohort"].weights, mine.weights)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("members", [1, 3])
def test_neither_blocks_nor_threads_change_a_members_mathematics(members, threads, monkeypatch):
    given, sizes = rehearsed("cnn", 1, (1, 9, 9)), []
    each = cohort.footprint(given["cohort"].module, given["cohort"].weights, (1, 9, 9), 16)
    monkeypatch.setattr(cohort, "CACHE", members * each)
    block = training._descend
    monkeypatch.setattr(training, "_descend", lambda some, *rest: sizes.append(len(some.members)) or block(some, *rest))
    wanted = one_by_one(**given)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    found, after = trained(given), torch.get_num_threads()
    torch.set_num_threads(before)
    close(found, wanted)
    assert sorted(sizes) == ([1] * 4 if members == 1 else [1, 3]) and after == threads


@pytest.mark.parametrize(("family", "level", "shape"), SHAPES)
def test_weight_zero_is_training_alone_to_the_last_bit_for_everybody_or_for_one_among_others(family, level, shape):
    given = rehearsed(family, level, shape, dtype=torch.float32)
    lesson, alone = given["lesson"], trained(given, lesson=None)
    for members in (slice(None), slice(0, 1), slice(2, 3)):
        weight = lesson.weight.clone()
        weight[members] = 0.0
        found = trained(given, lesson=lesson._replace(weight=weight))
        assert [same(found, alone, b) for b in range(len(SIZES))] == (weight == 0).tolist()


def test_rows_beyond_the_steps_are_never_read():
    given = rehearsed()
    private, lesson = given["private"].clone(), given["lesson"]
    rows = lesson.rows.clone()
    for b, k in enumerate(given["steps"]):
        private[b, k:], rows[b, k:] = 10**9, 10**9  # would be out of range
    assert same(trained(given, private=private, lesson=lesson._replace(rows=rows)), trained(given))


@pytest.mark.parametrize(("n", "steps", "size"), [(12, 6, 4), (10, 7, 4), (3, 5, 8), (1, 2, 4), (40, 10, 8)])
def test_batches_are_full_shuffled_anew_and_see_each_sample_once_an_epoch(n, steps, size):
    found, again, other = (training.batches(np.random.default_rng(seed), n, steps, size) for seed in (0, 0, 1))
    assert found.shape == (steps, size) and (found == again).all() and ((found == other).all() == (n == 1))
    epochs = [found.ravel()[start : start + n].tolist() for start in range(0, steps * size, n)]
    assert all(sorted(epoch) == list(range(n)) for epoch in epochs if len(epoch) == n)
    assert len(set(epochs[-1])) == len(epochs[-1]) and (n == 1 or epochs[0] != epochs[1])
