"""A federation: its state, one round, and a run that turns into tidy rows.

A round: (1) clients train on their own data; (2) they speak: log-posteriors on the public images, or what else the
transport carries; beside it only the released label counts and, with a revenue rule, a few numbers per client travel,
which are not counted in the bytes; (3) decide: matching, revenue and weights make one tensor W (student, teacher,
class); (4) pool the answers with W; (5) learn: the joint loss; (6) measure. (1) and (5) are one joint step per batch;
what was spoken is from the round before. Methods whose knowledge is no answer (weights, heads, prototypes) exchange it
after (5); see `hfkd.methods` for what a method may say.

Axes: z seed, s and t client, n image, c class. Flat id of a client: z * N + client.
"""

import time
from functools import partial

import numpy as np
import pandas as pd
import torch

from hfkd import checkpoints, cohorts, faults
from hfkd.books import opened, tally
from hfkd.config import settled
from hfkd.course import Course, Outcome, Signals, Teaching, changing, restore
from hfkd.earning import explore, judge, measure_revenue, measure_shapley, take_losses
from hfkd.hearing import hearing
from hfkd.learning import learn, soft_targets
from hfkd.ledger import close, count_bytes, journals, note, released
from hfkd.measure import measure, rows
from hfkd.networks import check_memory
from hfkd.signals import Heard, heard, reads, own_losses, weights
from hfkd.state import start
from hfkd.streams import stream


def run(config, method, dataset, seeds, public=None, report=None, place=None) -> Outcome:
    """Trains all clients of all seeds and measures them.

    Args:
        config: a Config; its `method` only names the rows.
        method: a module of hfkd.methods.
        dataset: a Dataset.
        seeds: repeats, trained as one program.
        public: a Dataset to take the public images from, or None: carved out of `dataset`.
        report: called as report(round, rounds) after each round, or None.
        place: a checkpoints.Place to go on from and to write to, or None. It changes no number.

    Returns:
        An Outcome; its rows have the columns of results.COLUMNS without `experiment` and `variant`.

    Source: poster (two-sided distillation over levels); the round as written above is ours.
    """
    torch.set_num_threads(config.threads)
    torch.backends.cudnn.deterministic = True  # same command, same machine, same bytes
    loss = method.LOSS if config.hard_loss == "own" else config.hard_loss
    config = settled(config, method.OWN | method.CHOSEN.get(loss, method.CHOSEN[method.LOSS]))
    course = _begun(config, method, dataset, seeds, public)
    if place and (kept := checkpoints.load(place)):
        restore(course, kept)
    saved = time.monotonic()
    while course.round < config.rounds:
        _round(course, config, method, seeds, loss == "balanced")
        if report:
            report(course.round, config.rounds)
        if place and course.round < config.rounds and time.monotonic() - saved >= place.seconds:
            checkpoints.save(place, changing(course))
            saved = time.monotonic()
    return _ended(course, config, seeds)


def _begun(config, method, dataset, seeds, public) -> Course:
    """Before the first round: the same start for every method, what the method adds to it, and who hears whom."""
    state, books = start(config, dataset, seeds, public), opened(seeds, config.clients)
    if hasattr(method, "begin"):
        method.begin(state, config, seeds)
    lessons = [_decide(state, books, z, seed, config, method) for z, seed in enumerate(seeds)]
    check_memory(config, state, lessons)
    return Course(state, books, lessons)


def _round(course, config, method, seeds, balanced) -> None:
    """One round, (1) to (6) of the above, in place."""
    state, books, round = course.state, course.books, course.round + 1
    fault, fresh = faults.of_round(config, seeds, round), None
    lessons = _today(course, config, method, seeds, fault)
    ears, said = hearing(state, books, config, seeds, lessons, fault, round)
    if said is not None:
        fresh = _earn(state, books, config, lessons, said, ears, balanced, round)
    if config.refresh and round > 1 and (round - 1) % config.refresh == 0:
        if config.revenue == "shapley" and said is not None:
            measure_shapley(books, config, state, lessons, said, ears, round)
        close(books, seeds, course.lessons, round - 1)
        course.lessons = [_decide(state, books, z, seed, config, method) for z, seed in enumerate(seeds)]
        lessons = _today(course, config, method, seeds, fault)
        ears, said = hearing(state, books, config, seeds, lessons, fault, round, said)
    targets = _hear(state, books, config, method, lessons, said, ears) if said is not None else None
    weight, signals = _weigh(state, books, config, balanced, lessons, said, targets, fresh, ears, round)
    note(books, seeds, weight, signals, round)
    before = faults.networks(state) if fault else None
    learn(state, books, config, method, lessons, said, targets, weight, balanced, round)
    if fault:
        faults.settle(state, before, fault)
    _check_finite(state, config, round)
    if hasattr(method, "exchange"):
        method.exchange(state, config, round)
    if round % config.eval_every == 0 or round == config.rounds:
        answers = partial(method.answers, state) if config.readout == "prototype" else cohorts.logits
        measured = measure(state, balanced, answers)
        course.rows.append(rows(state, config, seeds, lessons, weight, round, measured))
    course.round = round


def _ended(course, config, seeds) -> Outcome:
    """What is measured and written when the last round is done."""
    state, books, lessons, last = course.state, course.books, course.lessons, config.rounds
    if config.revenue == "shapley":
        ears, said = hearing(state, books, config, seeds, lessons, faults.of_round(config, seeds, last + 1), last)
        if said is not None:
            measure_shapley(books, config, state, lessons, said, ears, last)
    close(books, seeds, lessons, last)
    return Outcome(pd.concat(course.rows, ignore_index=True), *journals(books), released(state, seeds))


def _check_finite(state, config, round):
    """A run that has diverged is an error, not a row of chance accuracies."""
    for cohort in state.cohorts:
        if not all(torch.isfinite(w).all() for w in cohort.weights.values()):
            where = f"{config.method}, skew {config.skew:g}, round {round}, level {cohort.level}"
            raise ValueError(
                f"training diverged ({where}): weights are not finite; try a smaller lr than {config.lr:g}"
            )


def _decide(state, books, z, seed, config, method, silent=None) -> Teaching:
    """The graph of one seed: what the method makes of the released counts and of what everybody has earned so far."""
    signals = Signals(state.released[z], state.splits[z].levels, books.revenue[z], silent)
    return method.teach(signals, config, stream(seed, "matching"))


def _today(course, config, method, seeds, fault) -> list[Teaching]:
    """Who hears whom in this round: as decided, or where clients are offline anew among the others."""
    if not config.offline:
        return course.lessons
    return [_decide(course.state, course.books, z, seed, config, method, fault.offline[z])
            for z, seed in enumerate(seeds)]  # fmt: skip


def _earn(state, books, config, lessons, said, ears, balanced, round):
    """(z, N, N) what everybody earned everybody with what was learned in the round before."""
    if "hard" in reads(config):
        take_losses(books, own_losses(state, balanced))
    return measure_revenue(books, config, state, lessons, said, ears, round)


def _hear(state, books, config, method, lessons, said, ears):
    """(z * N, n, c) soft targets of this round, or None where networks travel; what was sent for them is counted."""
    if config.revenue == "realised":
        explore(books, lessons)
    if config.revenue == "realised" or books.silent is not None:
        tally(books, lessons)
    count_bytes(state, books, config, lessons, ears)
    return soft_targets(state, books, config, method, lessons, said)


def _weigh(state, books, config, balanced, lessons, said, targets, fresh, ears, round):
    """(z, N) alpha or beta of every client: the rule of RQ2 in its place, and 0 for whom the gate has closed."""
    wanted = reads(config) if said is not None else set()
    signals = heard(state, config, wanted, books, said, targets, balanced, round)
    each = [Heard(*(part[z] for part in signals)) for z in range(len(lessons))]
    weight = np.stack([
        weights(config, lesson, round, own, last)
        for lesson, own, last in zip(lessons, each, books.weight)
    ])  # fmt: skip
    if said is not None:
        books.weight = np.where(weight > 0, weight, books.weight)
        if config.gate:
            judge(books, config, lessons, fresh, signals)
    weight = weight * ears * (books.strikes < 2)
    books.listened = weight > 0
    return weight, signals
