"""A round of learning: alpha = 0 is local training whatever else is asked for, and levels learn in their order."""

import functools

import numpy as np
import pytest
import torch
from scenes import SMALL, scene, weights_of
from torch.func import functional_call

from hfkd import data, federation, learning, levels, training, transport
from hfkd.config import configure
from hfkd.learning import learn, soft_targets
from hfkd.methods import METHODS
from hfkd.transport import speak

LABELLED = dict(public_labels=True, refresh=2)
KINDS, SCHEDULES = list(transport.KINDS), list(learning.SCHEDULES)


def ends(method="hfkd", seeds=(0,), **more):
    """The weights that a run ends in, by flat id."""
    states, start = [], federation.start
    config = configure("smoke", **(SMALL | more))
    with pytest.MonkeyPatch.context() as watch:
        watch.setattr(federation, "start", lambda *given: states.append(start(*given)) or states[-1])
        federation.run(config, METHODS[method], data.load("digits"), seeds)
    return weights_of(states[0])


def moved(one, other, level=None):
    """Ids of the clients (of a level) whose weights differ in any bit."""
    return [i for i in sorted(one) if level in (None, one[i][0])
            and not all(one[i][1][name].equal(w) for name, w in other[i][1].items())]  # fmt: skip


@functools.cache
def by_itself():
    """The ends of the method's own local training."""
    return ends("balanced_local")


CHANGED = [dict(transport=kind, schedule=name) for kind in KINDS for name in SCHEDULES]
CHANGED += [LABELLED | dict(weighting=rule) for rule in ("ramp", "loss_ratio", "revenue", "gradient", "uncertainty")]
CHANGED += [LABELLED | dict(revenue=rule, gate=True) for rule in ("labelled", "realised")]
CHANGED += [LABELLED | dict(revenue="shapley", peers=False, feedback=False), dict(spoken=9, wire="fp16")]


@pytest.mark.parametrize("more", CHANGED)
def test_alpha_zero_is_local_training_bit_for_bit(more):
    alone = by_itself()
    assert not moved(ends(**more, alpha=0.0), alone)
    # where only teachers listen to their students, the students train as if alone
    listening = [alone[i][0] for i in moved(ends(**more, alpha=0.0, beta=.5), alone)]
    assert set(listening) == ({3} if more.get("feedback", True) else set())


def taught(said=None, **more):
    """The state after a round in which everybody listens, to `said` or to what was spoken before the round."""
    config, state, books, lessons, before = scene(**more)
    said = before if said is None else said
    targets = soft_targets(state, books, config, METHODS["hfkd"], lessons, said)
    learn(state, books, config, METHODS["hfkd"], lessons, said, targets, np.full((2, 6), .6), True, 2)
    return config, state


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("schedule", "order"), [("top_down", [3, 2, 1]), ("bottom_up", [1, 2, 3])])
def test_each_level_hears_what_those_before_it_have_learned_in_the_same_round(kind, schedule, order):
    found = weights_of(taught(transport=kind, schedule=schedule)[1])
    said, at_once = scene(transport=kind)[-1], weights_of(taught(transport=kind)[1])
    for level in order:  # by hand: everybody at once, but hearing what is known by now; then the level speaks anew
        config, state = taught(said, transport=kind)
        assert not moved(weights_of(state), found, level)
        hears_news = moved(at_once, found, level)
        assert not hears_news if level == order[0] else hears_news
        new = speak(state, config, 2)
        members = torch.cat([c.members for c in state.cohorts if c.level == level])
        if isinstance(said, dict):
            said = said | {level: new[level]}
        else:
            said[members] = new[members]


def test_a_student_hears_its_teacher_after_the_teacher_has_learned():
    # one teacher for everybody below, no mutual learning: the target of level 2 is what its teachers say afterwards
    heard = {}
    train, learned = training.train, {}

    def watch(cohort, *given):
        heard[cohort.level] = given[-2]
        train(cohort, *given)
        learned[cohort.level] = weights_of(state)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "train", watch)
        config, state, books, lessons, said = scene(schedule="top_down", fan_in=1, feedback=False, peers=False,
                                                    include_self=False)  # fmt: skip
        targets = soft_targets(state, books, config, METHODS["hfkd"], lessons, said)
        before = targets.clone()
        learn(state, books, config, METHODS["hfkd"], lessons, said, targets, np.full((2, 6), .6), True, 2)
    (students,), (top,) = ([c for c in state.cohorts if c.level == level] for level in (2, 3))
    for b, i in enumerate(students.members.tolist()):
        (teacher,) = np.flatnonzero(lessons[i // 6].edges[i % 6])
        weights = learned[3][i // 6 * 6 + teacher][1]
        with torch.no_grad():
            spoken = functional_call(top.module, weights, (state.images[state.splits[i // 6].public],))
        torch.testing.assert_close(heard[2].targets[b], torch.softmax(spoken, 1), rtol=0, atol=2e-5)
        assert (heard[2].targets[b] - before[i]).abs().max() > 1e-3


def test_schedules_in_a_run_of_one_round_of_listening():
    whole = {name: ends(rounds=2, schedule=name) for name in SCHEDULES}
    levels_of = [whole["simultaneous"][i][0] for i in range(6)]
    for name, first in (("top_down", 3), ("bottom_up", 1)):
        assert {levels_of[i] for i in moved(whole[name], whole["simultaneous"])} == {1, 2, 3} - {first}


def test_images_that_resemble_ones_own_labels_count_more():
    lessons, train = [], training.train
    with pytest.MonkeyPatch.context() as watch:
        watch.setattr(training, "train", lambda *given: lessons.append(given) or train(*given))
        ends(rounds=2, prior_power=.5)
    heard = [(given[0], given[5], given[7]) for given in lessons if isinstance(given[7], training.Lesson)]
    assert len(heard) == 3
    for cohort, prior, lesson in heard:
        for b in range(len(cohort.members)):
            alike = (lesson.targets[b].numpy() @ prior[b].exp().numpy()) ** .5
            np.testing.assert_allclose(lesson.voice[b], alike / alike.mean(), rtol=1e-4)
    assert moved(ends(rounds=2), ends(rounds=2, prior_power=.5)) == list(range(6))


SIZE = {row["level"]: row["parameters"] for row in levels.sizes("mlp", (1, 8, 8), 10)}


@pytest.mark.parametrize(("kind", "more", "guest", "host"), [
    ("private", {}, 3, 2), ("visit", {}, 3, 2), ("private", dict(feedback=False), 3, 2),
    ("private", dict(client_memory=SIZE[2] / SIZE[1] + .01), 3, 2),
    ("private", dict(client_memory=SIZE[3] / SIZE[2] + .01, max_gap=2), 3, 1),
])  # fmt: skip
def test_networks_too_large_for_those_they_come_to_are_refused(kind, more, guest, host):
    memory = more.get("client_memory", 1.5)
    sentence = (f"transport '{kind}' brings networks of level {guest} ({SIZE[guest]:,} parameters) to level {host} "
                f"({SIZE[host]:,}), which holds at most client_memory = {memory:g} times its own; take transport "
                "public or classwise, or a larger client_memory")  # fmt: skip
    with pytest.raises(ValueError) as refusal:
        ends(transport=kind, **(dict(client_memory=1.5) | more))
    assert str(refusal.value) == sentence


@pytest.mark.parametrize("more", [
    dict(transport="public"), dict(transport="classwise"), dict(transport="visit", feedback=False, peers=False),
    dict(transport="private", client_memory=SIZE[3] / SIZE[2] + .01), dict(transport="private", client_memory=None),
])  # fmt: skip
def test_what_fits_is_not_refused(more):
    ends(**(dict(client_memory=.5, rounds=1) | more))


def test_a_guest_travels_in_half_precision_and_leaves_its_momentum_at_home():
    state, exact = (taught(transport="visit", wire=wire)[1] for wire in ("fp16", "fp32"))
    for cohort, twin in zip(state.cohorts, exact.cohorts):
        for name, w in cohort.weights.items():
            assert w.half().to(w).equal(w) and not twin.weights[name].half().to(w).equal(twin.weights[name])
            assert cohort.momentum[name].equal(twin.momentum[name])  # the epoch at home is the same
