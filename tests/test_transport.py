"""What travels, and what it weighs: targets against plain loops over clients and images, bytes by hand."""

import numpy as np
import pytest
import torch
from scenes import scene, weights_of
from torch.func import functional_call

from hfkd import networks, transport
from hfkd.config import configure
from hfkd.knowledge import pool
from hfkd.learning import learn, soft_targets
from hfkd.methods import METHODS
from hfkd.shares import apportion
from hfkd.transport import WIDTH, asked_about, edge_bytes, link_bytes, material


def log_p(state, i, images, temperature=1.0, wire="fp32"):
    """log-posteriors of one client, its network rounded if it has travelled so."""
    level, weights = weights_of(state)[i]
    (module,) = (c.module for c in state.cohorts if c.level == level)
    if wire == "fp16":
        weights = {name: w.half().float() for name, w in weights.items()}
    with torch.no_grad():
        return torch.log_softmax(functional_call(module, weights, (state.images[images],)) / temperature, 1)


def close(found, wanted):
    torch.testing.assert_close(found, wanted.to(found), rtol=0, atol=2e-5)


@pytest.mark.parametrize("pooling", [None, "arithmetic"])
def test_public_targets_are_the_pooled_answers(pooling):
    config, state, books, lessons, said = scene(temperature=2.0, pooling=pooling)
    targets = soft_targets(state, books, config, METHODS["hfkd"], lessons, said)
    for z, fed in enumerate(state.splits):
        answers = torch.stack([log_p(state, 6 * z + i, fed.public, 2.0) for i in range(6)])
        close(said[6 * z : 6 * z + 6], answers)
        close(targets[6 * z : 6 * z + 6], pool(answers, lessons[z].weights, pooling or "log"))
    for cohort in state.cohorts:
        asked, heard, sizes = material(state, config, cohort, targets, 2)
        assert heard.equal(targets[cohort.members]) and sizes == [40] * len(asked)
        assert asked.tolist() == [state.splits[i // 6].public.tolist() for i in cohort.members.tolist()]


@pytest.mark.parametrize("pooling", [None, "arithmetic"])
def test_classwise_answers_are_means_per_class_and_pooled_by_class(pooling):
    config, state, books, lessons, said = scene(transport="classwise", temperature=2.0, pooling=pooling)
    targets = soft_targets(state, books, config, METHODS["hfkd"], lessons, said)
    wanted = torch.full((12, 10, 10), -np.log(10), dtype=torch.float64)
    for i in range(12):
        own = state.splits[i // 6].train[i % 6]
        for y in set(state.labels[own].tolist()):
            wanted[i, y] = log_p(state, i, own[state.labels[own].numpy() == y], 2.0).mean(0)
    close(said, wanted)
    for z, lesson in enumerate(lessons):
        for s, y in np.ndindex(6, 10):
            answers = wanted[6 * z : 6 * z + 6, y]
            w = lesson.weights[s, :, y][:, None]
            mixed = (w * answers).sum(0) if pooling is None else (w * answers.exp()).sum(0).log()
            close(targets[6 * z + s, y], torch.softmax(mixed, 0))
            if not state.released[z][lesson.mask[s], y].any():  # nobody in the group holds it: nothing is known of it
                close(targets[6 * z + s, y], torch.full((10,), .1))
    for cohort in state.cohorts:
        asked, heard, sizes = material(state, config, cohort, targets, 2)
        for b, i in enumerate(cohort.members.tolist()):
            own = state.splits[i // 6].train[i % 6]
            assert sizes[b] == len(own) and asked[b, : len(own)].tolist() == own.tolist()
            assert heard[b, : len(own)].equal(targets[i, state.labels[own]])


@pytest.mark.parametrize("wire", ["fp32", "fp16"])
def test_private_targets_are_the_partners_networks_on_the_listeners_images(wire):
    config, state, _, lessons, said = scene(transport="private", wire=wire, temperature=2.0, include_self=False)
    for cohort in state.cohorts:
        asked, heard, sizes = networks.hosted(state, config, cohort, said, lessons)
        for b, i in enumerate(cohort.members.tolist()):
            z, s = divmod(i, 6)
            own = state.splits[z].train[s]
            partners = np.flatnonzero(lessons[z].mask[s])
            answers = torch.stack([log_p(state, 6 * z + t, own, 2.0, wire) for t in partners])
            mixed = sum(lessons[z].weights[s, t].float() * answers[row] for row, t in enumerate(partners))
            assert sizes[b] == len(own) and asked[b, : len(own)].tolist() == own.tolist()
            close(heard[b, : len(own)], torch.softmax(mixed, 1))


def test_visit_learns_the_owners_answers_at_the_partners_data_in_proportion_to_their_say():
    config, state, _, lessons, said = scene(transport="visit")
    for cohort in state.cohorts:
        steps = [7 + 3 * b for b in range(len(cohort.members))][::-1]
        asked, targets, rows = networks.tour(state, config, cohort, said, lessons, steps)
        for b, i in enumerate(cohort.members.tolist()):
            z, s = divmod(i, 6)
            hosts = [t for t in np.flatnonzero(lessons[z].mask[s]) if t != s]
            stays = apportion(steps[b], lessons[z].weights[s].mean(1).numpy()[hosts])
            assert stays.sum() == steps[b] and asked.shape == targets.shape[:2]
            first = k = 0
            for t, stay in zip(hosts, stays):
                if stay == 0:
                    continue
                own, there = state.splits[z].train[t], rows[b, k : k + stay]
                assert asked[b, first : first + len(own)].tolist() == own.tolist()
                close(targets[b, first : first + len(own)], log_p(state, 6 * z + t, own).exp())
                assert there.shape == (stay, 16) and there.min() >= first and there.max() < first + len(own)
                first, k = first + len(own), k + stay
            assert k == steps[b]


def test_whoever_weighs_nothing_goes_on_no_visit():
    # momentum alone would move a network that stands still: those who do not listen are where they were at home
    config, state, books, lessons, said = scene(transport="visit")
    alone = scene(transport="visit")[1]
    weight = np.zeros((2, 6))
    weight[0, [0, 3]] = weight[1, 5] = .5
    for round in (2, 3):
        learn(state, books, config, METHODS["hfkd"], lessons, said, None, weight, True, round)
        learn(alone, books, config, METHODS["hfkd"], lessons, None, None, weight, True, round)
    moved = []
    for i, (_, weights) in weights_of(state).items():
        moved += [i] if not all(weights[name].equal(w) for name, w in weights_of(alone)[i][1].items()) else []
    assert sorted(moved) == [0, 3, 11]


def test_half_precision_rounds_what_travels_and_halves_the_bytes():
    assert WIDTH == {"fp32": 4, "fp16": 2}
    for kind in ("public", "classwise"):
        one, half = scene(transport=kind)[-1], scene(transport=kind, wire="fp16")[-1]
        assert half.equal(one.half().float()) and not half.equal(one)
    for kind in transport.KINDS:
        (config, state, *_), (coarse, same, *_) = scene(transport=kind), scene(transport=kind, wire="fp16")
        assert (edge_bytes(state, config) == 2 * edge_bytes(same, coarse)).all()
        heard = np.ones((2, 6, 6), bool)
        assert (link_bytes(state, config, heard) == 2 * link_bytes(same, coarse, heard)).all()


@pytest.mark.parametrize(("kind", "up", "down"), [
    # 0 hears 1 and 2, 2 hears 0, 3 hears nobody and nobody hears it; networks of 10, 20, 40 and 80 numbers
    ("public", [400, 400, 400, 0], [400, 0, 400, 0]), ("classwise", [100, 100, 100, 0], [100, 0, 100, 0]),
    ("private", [10, 20, 40, 0], [60, 0, 10, 0]),
    # 0 leaves home once and each of two hosts once; so does 2 with one host, which is 0
    ("visit", [10 + 40, 10, 40 + 10, 0], [10 + 40, 10, 40 + 10, 0]),
])  # fmt: skip
def test_bytes_by_hand(kind, up, down):
    config, state, *_ = scene(seeds=(0,), transport=kind)
    state.parameters, state.released = np.array([[10, 20, 40, 80]]), np.zeros((1, 4, 10))
    heard = np.zeros((1, 4, 4), bool)
    heard[0, [0, 0, 2], [1, 2, 0]] = True
    assert link_bytes(state, config, heard).tolist() == [[[4 * u, 4 * d] for u, d in zip(up, down)]]
    of_edges = {"public": [400, 400, 400], "classwise": [100] * 3, "private": [20, 40, 10], "visit": [20, 20, 80]}
    assert edge_bytes(state, config)[heard].tolist() == [4 * n for n in of_edges[kind]]


@pytest.mark.parametrize("spoken", [7, 39, 40, None])
def test_spoken_subsets_go_round_all_public_images(spoken):
    config = configure("smoke", public_size=40, spoken=spoken)
    size, seen = spoken or 40, np.concatenate([asked_about(config, round) for round in range(1, 41)])
    assert len(seen) == 40 * size and (np.bincount(seen) == size).all()
    assert all(len(set(seen[at : at + 40].tolist())) == 40 for at in range(0, len(seen) - 40, size))
    _, state, *_, said = scene(spoken=spoken)
    answers = torch.stack([log_p(state, i, state.splits[i // 6].public[asked_about(config, 2)]) for i in range(12)])
    close(said, answers)
    assert (edge_bytes(state, config) == size * 10 * 4).all()
