"""One round of learning: every level trains on its own data and on what it hears, by the transport and the schedule.

    simultaneous  everybody learns from what was spoken before the round
    top_down      the most capable level learns first and speaks again, then the next one down (ours)
    bottom_up     the other way round: students first, as in the authors' alternating training

Source: schedules ours; student first authors' code.
"""

import numpy as np
import torch

from hfkd import cohorts, networks, training
from hfkd.books import heard_weights, truth
from hfkd.state import stack
from hfkd.knowledge import pool
from hfkd.transport import material, pooled, speak, wired
from hfkd.weighting import prior_weight

SCHEDULES = {
    "simultaneous": "all levels learn from what was spoken before the round",
    "top_down": "the most capable level first, the next one hears what it has learned",
    "bottom_up": "students first (authors' code)",
}


def soft_targets(state, books, config, method, lessons, said):
    """(z * N, n, c) what answers pool to, for every client; None where networks travel, or nobody speaks."""
    if said is None or config.transport in ("private", "visit"):
        return None
    if hasattr(method, "hear"):
        return method.hear(state, config, lessons, said)
    weights = [heard_weights(books, lesson, z) for z, lesson in enumerate(lessons)]
    kinds = [config.pooling or lesson.pooling for lesson in lessons]
    targets, own = pooled(said, weights, config, kinds), truth(books, said)
    for i in () if own is said else (own != said).flatten(1).any(1).nonzero().flatten().tolist():
        z, s = divmod(i, state.clients)  # others heard something else of it than it thinks
        group = said[z * state.clients : (z + 1) * state.clients].clone()
        group[s] = own[i]
        targets[i] = pool(group, weights[z][s : s + 1], kinds[z])[0]
    return targets


def learn(state, books, config, method, lessons, said, targets, weight, balanced, round) -> None:
    """One joint epoch of every client, level by level; networks in `state` are changed in place.

    Args:
        said: from `transport.speak`, or None: everybody trains alone. targets: from `soft_targets`.
        weight: (z, N) alpha or beta.
        balanced: whether the hard loss is the balanced softmax.
    """
    optimiser = training.Optimiser(config.lr, config.momentum, config.temperature, config.kl_direction)
    lessons = [lesson._replace(weights=heard_weights(books, lesson, z)) for z, lesson in enumerate(lessons)]
    turns = state.cohorts[::-1] if config.schedule == "top_down" else state.cohorts
    for at, cohort in enumerate(turns):
        private, steps = _own_batches(state, config, cohort)
        prior = state.prior[cohort.members] if balanced else torch.zeros_like(state.prior[cohort.members])
        own = (state.images, state.labels, private, steps, prior, optimiser)
        given = method.given(state, config, cohort) if hasattr(method, "given") else ()
        term = training.Term(method.loss, given) if hasattr(method, "loss") else None
        lesson = None
        if said is not None and config.transport != "visit":
            lesson = _lesson(state, config, cohort, lessons, said, targets, weight, steps, round)
        training.train(cohort, *own, lesson, term)
        if said is not None and config.transport == "visit":
            _go_round(state, config, cohort, lessons, said, weight, own)
        if said is not None and config.schedule != "simultaneous" and at + 1 < len(turns):
            said = speak(state, config, round, said, [cohort])
            targets = soft_targets(state, books, config, method, lessons, said)


def _own_batches(state, config, cohort):
    """(b, k, i) private images of every step, and the steps of each member."""
    ids = cohort.members.tolist()
    train_sets = [state.splits[i // state.clients].train[i % state.clients] for i in ids]
    if config.shuffle:
        steps = [-(-config.epochs * len(own) // config.batch) for own in train_sets]
        rows = [training.batches(state.private_streams[i], len(own), k, config.batch)
                for i, own, k in zip(ids, train_sets, steps)]  # fmt: skip
    else:
        rows = [in_order(len(own), config.batch, config.epochs) for own in train_sets]
        steps = [len(each) for each in rows]
    private = stack([own[each] for own, each in zip(train_sets, rows)])
    return private.to(state.images.device), steps


def in_order(n: int, size: int, epochs: int) -> np.ndarray:
    """Positions of full batches in the given order, every epoch from the start; what fills no batch is left out.

        steps = epochs max(1, floor(n / size))

    A client with fewer than `size` samples takes one step per epoch and meets them again within it, where PFLlib lets
    it take none (drop_last).

    Returns:
        (steps, size) int64.

    Source: HtFLlib (2506.03954), DataLoader(shuffle=False, drop_last=True); at least one step: ours.

    >>> in_order(5, 2, 2).tolist(), in_order(2, 3, 1).tolist()
    ([[0, 1], [2, 3], [0, 1], [2, 3]], [[0, 1, 0]])
    """
    steps = epochs * max(1, n // size)
    return (np.arange(steps * size) % (n // size * size or n)).reshape(steps, size)


def _lesson(state, config, cohort, lessons, said, targets, weight, steps, round):
    """What a cohort hears beside its own data, in joint steps."""
    if config.transport == "private":
        asked, heard, sizes = networks.hosted(state, config, cohort, said, lessons)
    else:
        asked, heard, sizes = material(state, config, cohort, targets, round)
    rows = stack([training.batches(state.public_streams[i], size, k, config.batch)
                  for i, size, k in zip(cohort.members.tolist(), sizes, steps)])  # fmt: skip
    own_prior = state.prior[cohort.members].exp()
    voice = prior_weight(heard, own_prior, config.prior_power) if config.prior_power else None
    return training.Lesson(asked, heard, rows.to(asked.device), _of(cohort, weight, state), voice)


def _go_round(state, config, cohort, lessons, said, weight, own):
    """Transport visit, after the epoch at home: those who listen learn at their partners' data by the soft loss.

    Weights travel there and back; abroad the momentum starts from 0, and that at home waits.
    """
    images, labels, private, steps, prior, optimiser = own
    listeners = _of(cohort, weight, state).nonzero().flatten().tolist()
    if not listeners:
        return
    some, away = cohorts.part(cohort, listeners), [steps[row] for row in listeners]
    some.weights = {name: wired(w, config.wire) for name, w in some.weights.items()}
    home, some.momentum = some.momentum, {name: torch.zeros_like(w) for name, w in some.momentum.items()}
    asked, heard, rows = networks.tour(state, config, some, said, lessons, away)
    a = _of(some, weight, state)
    lesson = training.Lesson(asked, heard, rows, a, hard=torch.zeros_like(a))
    training.train(some, images, labels, private[listeners], away, prior[listeners], optimiser, lesson)
    some.weights, some.momentum = {name: wired(w, config.wire) for name, w in some.weights.items()}, home
    cohorts.put_back(cohort, some, listeners)


def _of(cohort, weight, state):
    """(b,) the weights of a cohort's members."""
    own = weight.reshape(-1)[cohort.members.numpy()]
    return torch.as_tensor(own, dtype=state.images.dtype, device=state.images.device)
