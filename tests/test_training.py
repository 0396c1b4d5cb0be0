"""The batched engine against one client after the other, and what leaves a member's weights alone to the last bit."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from hfkd import cohorts, levels, training
from hfkd.bench import rehearsal, sequential
from hfkd.streams import stream

SIZES = [44, 30, 9, 3]  # 6, 4, 2 and 1 steps of 8; the last has fewer samples than a batch


@pytest.fixture(autouse=True)
def one_thread():
    """The promises to the last bit are made for one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def rehearsed(family="mlp", level=1, shape=(1, 8, 8), sizes=SIZES, dtype=torch.float32, lesson=True):
    """The arguments of training.train, as a list, for a small cohort."""
    arguments = list(rehearsal(family, level, shape, sizes, public=30, batch=8, dtype=dtype))
    return arguments if lesson else arguments[:-1]


def copied(cohort, rows=slice(None)):
    """A cohort of some members, with weights and momentum of its own."""
    parts = [{name: w[rows].clone() for name, w in part.items()} for part in (cohort.weights, cohort.momentum)]
    return replace(cohort, members=cohort.members[rows], weights=parts[0], momentum=parts[1])


def trained(arguments, rows=slice(None), **changed):
    """Weights of the members `rows` after a round of only these."""
    cohort, images, labels, private, steps, prior, optimiser, *rest = arguments
    lesson = changed["lesson"] if "lesson" in changed else rest[0] if rest else None
    if lesson is not None:
        lesson = training.Lesson(*(None if part is None else part[rows] for part in lesson))
    cohort = copied(cohort, rows)
    training.train(cohort, images, labels, private[rows], steps[rows], prior[rows], optimiser, lesson)
    return cohort.weights


def same(one, other):
    """Whether two sets of weights agree in every bit that compares."""
    return one.keys() == other.keys() and all(one[name].equal(other[name]) for name in one)


SHAPES = [("mlp", 1, (1, 8, 8)), ("mlp", 2, (1, 8, 8)), ("mlp", 3, (1, 8, 8)), ("depth", 3, (1, 8, 8)),
          ("cnn", 1, (1, 28, 28)), ("cnn", 2, (1, 28, 28)), ("cnn", 1, (3, 32, 32))]  # fmt: skip


@pytest.mark.parametrize("lesson", [False, True], ids=["alone", "joint"])
@pytest.mark.parametrize(("family", "level", "shape"), SHAPES)
def test_engine_equals_one_client_after_the_other(family, level, shape, lesson):
    arguments = rehearsed(family, level, shape, dtype=torch.float64, lesson=lesson)
    first, wanted, found = arguments[0].weights, sequential(*arguments), trained(arguments)
    for name in first:
        torch.testing.assert_close(found[name], wanted[name], rtol=0, atol=1e-9)
    for b in range(len(SIZES)):  # and every member really moved
        assert max(float((found[name][b] - first[name][b]).abs().max()) for name in first) > 1e-3


def test_engine_equals_a_plain_module_with_torchs_optimiser():
    # without torch.func, functional_call or hfkd.losses: nn.Sequential, cross_entropy, kl_div and SGD
    arguments = rehearsed(dtype=torch.float64)
    cohort, images, labels, private, steps, prior, optimiser, lesson = arguments
    optimiser = arguments[6] = optimiser._replace(temperature=2.0)
    found = trained(arguments)
    for b in range(len(SIZES)):
        net = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 10))
        first = zip(net.state_dict(), cohort.weights.values(), strict=True)
        net.double().load_state_dict({name: w[b] for name, w in first})
        sgd = torch.optim.SGD(net.parameters(), lr=.05, momentum=.9)
        for k in range(steps[b]):
            hard = F.cross_entropy(net(images[private[b, k]]) + prior[b], labels[private[b, k]])
            heard = lesson.rows[b, k]
            said = F.log_softmax(net(images[lesson.asked[b, heard]]) / 2.0, 1)
            apart = F.kl_div(said, lesson.targets[b, heard], reduction="none").sum(1)
            soft = 4.0 * (lesson.voice[b, heard] * apart).mean()
            sgd.zero_grad()
            ((1 - lesson.weight[b]) * hard + lesson.weight[b] * soft).backward()
            sgd.step()
        for name, w in zip(found, net.parameters(), strict=True):
            torch.testing.assert_close(found[name][b], w.detach(), rtol=0, atol=1e-9)


@pytest.mark.parametrize("direction", ["teacher_first", "student_first"])
def test_the_optimiser_says_how_the_soft_loss_is_taken(direction):
    arguments = rehearsed(dtype=torch.float64)
    arguments[6] = training.Optimiser(.05, 0.0, 3.0, direction)
    found, wanted = trained(arguments), sequential(*arguments)
    for name in found:
        torch.testing.assert_close(found[name], wanted[name], rtol=0, atol=1e-9)
    plain = trained([*arguments[:6], training.Optimiser(.05, 0.0), arguments[7]])
    assert (found["head.weight"] - plain["head.weight"]).abs().max() > 1e-4


def test_momentum_goes_on_from_round_to_round():
    # two rounds of 3 steps are one round of 6: nothing is forgotten in between
    arguments = rehearsed(sizes=[48, 48], dtype=torch.float64)
    cohort, images, labels, private, steps, prior, optimiser, lesson = arguments
    assert steps == [6, 6]
    halves = copied(cohort)
    for part in (slice(0, 3), slice(3, 6)):
        heard = lesson._replace(rows=lesson.rows[:, part])
        training.train(halves, images, labels, private[:, part], [3, 3], prior, optimiser, heard)
    assert same(halves.weights, trained(arguments))


@pytest.mark.parametrize("family", ["mlp", "depth"])
@pytest.mark.parametrize("lesson", [False, True], ids=["alone", "joint"])
def test_a_member_has_the_weights_of_training_alone(family, lesson):
    for level in (1, 2, 3):
        arguments = rehearsed(family, level, lesson=lesson)
        together = trained(arguments)
        for b in range(len(SIZES)):  # those with fewer steps leave the batch on the way
            alone = trained(arguments, slice(b, b + 1))
            assert same(alone, {name: w[b : b + 1] for name, w in together.items()}), (level, b)


@pytest.mark.parametrize(("family", "level", "shape"), [*SHAPES[:4], SHAPES[4]])
def test_weight_zero_gives_the_weights_without_lesson_to_the_last_bit(family, level, shape):
    arguments = rehearsed(family, level, shape)
    lesson, alone = arguments[-1], trained(arguments[:-1])
    assert same(trained(arguments, lesson=lesson._replace(weight=torch.zeros(len(SIZES)))), alone)
    assert not same(trained(arguments), alone)


@pytest.mark.parametrize("family", ["mlp", "depth"])
def test_weight_zero_of_one_member_among_others_that_listen(family):
    arguments = rehearsed(family, 2)
    lesson, alone = arguments[-1], trained(arguments[:-1])
    for b in range(len(SIZES)):
        weight = lesson.weight.clone()
        weight[b] = 0.0
        mixed = trained(arguments, lesson=lesson._replace(weight=weight))
        equal = [all(mixed[name][i].equal(alone[name][i]) for name in alone) for i in range(len(SIZES))]
        assert equal == [i == b for i in range(len(SIZES))]


def test_rows_beyond_the_steps_are_never_read():
    arguments = rehearsed()
    private, lesson, wanted = arguments[3].clone(), arguments[-1], trained(arguments)
    rows = lesson.rows.clone()
    for b, k in enumerate(arguments[4]):
        private[b, k:], rows[b, k:] = 10**9, 10**9  # would be out of range
    arguments[3] = private
    assert same(trained(arguments, lesson=lesson._replace(rows=rows)), wanted)


@pytest.mark.parametrize(("n", "steps", "size"), [(12, 6, 4), (10, 7, 4), (3, 5, 8), (1, 2, 4), (40, 2, 8)])
def test_batches_are_full_and_see_each_sample_once_an_epoch(n, steps, size):
    found = training.batches(np.random.default_rng(0), n, steps, size)
    assert found.shape == (steps, size) and found.dtype == np.int64
    flat = found.ravel()
    for start in range(0, len(flat), n):
        epoch = flat[start : start + n]
        assert len(set(epoch.tolist())) == len(epoch) and epoch.min() >= 0 and epoch.max() < n
    whole = flat[: len(flat) // n * n]
    assert (np.bincount(whole, minlength=n) == len(flat) // n).all()


def test_batches_depend_on_their_generator_and_shuffle_anew():
    one, again, other = (training.batches(np.random.default_rng(seed), 20, 4, 10) for seed in (0, 0, 1))
    assert (one == again).all() and (one != other).any()
    assert one[:2].ravel().tolist() != one[2:].ravel().tolist()


def test_cohort_starts_from_the_streams_of_its_members():
    rngs = [stream(5, "weights", client) for client in (3, 0)]
    made = cohorts.cohort(2, "mlp", (1, 8, 8), 10, [3, 0], rngs)
    assert made.members.tolist() == [3, 0] and made.level == 2
    for b, client in enumerate((3, 0)):
        wanted = levels.initial(levels.build("mlp", 2, (1, 8, 8), 10), stream(5, "weights", client))
        assert same({name: w[b] for name, w in made.weights.items()}, wanted)
    assert not any(m.any() for m in made.momentum.values()) and made.momentum.keys() == made.weights.keys()


def test_logits_of_more_images_than_a_chunk():
    cohort, images, *_ = rehearsed("cnn", 1, (1, 8, 8), dtype=torch.float64)
    at = torch.from_numpy(np.random.default_rng(0).integers(0, len(images), (len(SIZES), 2 * cohorts.CHUNK + 7)))
    found = cohorts.logits(cohort, images, at)
    for b in range(len(SIZES)):
        weights = {name: w[b] for name, w in cohort.weights.items()}
        wanted = torch.func.functional_call(cohort.module, weights, (images[at[b]],))
        torch.testing.assert_close(found[b], wanted, rtol=0, atol=1e-12)


def test_steps_that_increase_are_refused_and_nothing_moves():
    arguments = rehearsed()
    arguments[4] = [1, 2, 2, 1]
    before = copied(arguments[0])
    with pytest.raises(ValueError, match="steps increase along the cohort; expected the member"):
        training.train(*arguments)
    assert same(before.weights, arguments[0].weights)
