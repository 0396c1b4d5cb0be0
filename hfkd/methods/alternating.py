"""Alternating distillation, after the authors' code: teacher and student meet on the student's private data and learn
from each other in turn, the student first (myth646/FedKDMR). Teachers by HFKD's matching; networks travel, no answers.

In a round everybody trains on its own data; then every student with a teacher hears it on its own images, and then
the teacher, on a visit to one of its students (in turn), hears that student. The losses are the poster's, alpha = beta.
Theirs differs: the teacher is a copy of the global mean that all students teach side by side, and alpha is a ramp.
"""

from dataclasses import replace

import numpy as np
import torch

from hfkd.engine import cohort as cohorts
from hfkd.engine import training
from hfkd.engine.method import Method
from hfkd.engine.state import own_images, stack
from hfkd.methods import hfkd
from hfkd.streams import stream


def begin(fed, config, seeds) -> None:
    """One teacher each, by released counts; every client has a stream for the meetings."""
    alone = replace(config, fan_in=1, feedback=False, peers=False)
    graphs = [hfkd.decide(fed.counts[z], fed.levels[z], None, alone, stream(seed, "matching"))
              for z, seed in enumerate(seeds)]  # fmt: skip
    fed.memory["pairs"] = np.concatenate([np.argwhere(each.edges) + z * fed.clients for z, each in enumerate(graphs)])
    fed.memory["streams"] = [stream(seed, "meetings", i) for seed in seeds for i in range(fed.clients)]


def exchange(fed, config, round) -> list:
    """Students first, then teachers; a teacher's network goes to the student and back."""
    sent = np.zeros(len(fed.prior), dtype=np.int64)
    turn = {t: mine[round % len(mine)] for t in np.unique(fed.memory["pairs"][:, 1])
            for mine in [fed.memory["pairs"][fed.memory["pairs"][:, 1] == t, 0]]}  # fmt: skip
    for pairs in (dict(fed.memory["pairs"]), turn):  # student -> its teacher, then teacher -> its student of this round
        for cohort in fed.cohorts:
            rows = np.flatnonzero(np.isin(cohort.members, list(pairs)))
            if len(rows) and round > config.warmup:
                _meet(fed, config, cohort, rows, [pairs[i] for i in cohort.members[rows].tolist()], pairs is turn)
    for s, t in fed.memory["pairs"]:
        size = next(sum(w[0].numel() for w in each.weights.values()) for each in fed.cohorts if t in each.members)
        sent[[s, t]] += size * (round > config.warmup)
    return [(cohort, sent[cohort.members], sent[cohort.members]) for cohort in fed.cohorts]


def _meet(fed, config, cohort, rows, partners, visiting):
    """One pass over the student's images: rows of a cohort hear their partners, flat ids, which stay as they are."""
    students = partners if visiting else cohort.members[rows].tolist()
    own = [fed.splits[i // fed.clients].train[i % fed.clients] for i in students]
    order = sorted(range(len(own)), key=lambda k: -len(own[k]))  # as `train` wants them
    rows, own, students, partners = rows[order], *([each[k] for k in order] for each in (own, students, partners))
    steps, at = [-(-len(mine) // config.batch) for mine in own], stack(own).to(fed.images.device)
    dealt = [training.batches(fed.memory["streams"][i], len(mine), k, config.batch)
             for i, mine, k in zip(students, own, steps)]  # fmt: skip
    private = stack([mine[each] for mine, each in zip(own, dealt)]).to(at.device)
    targets = torch.zeros(*at.shape, fed.prior.shape[-1], device=at.device)
    for other in fed.cohorts:
        found = [(k, other.members.tolist().index(i)) for k, i in enumerate(partners) if i in other.members]
        if found:
            here, there = map(list, zip(*found))
            targets[here] = cohorts.logits(cohorts.part(other, there), fed.images, at[here]).softmax(-1)
    weight = torch.full((len(rows),), config.alpha).to(targets)
    lesson = training.Lesson(at, targets, stack(dealt).to(at.device), weight)
    some, prior = cohorts.part(cohort, rows), fed.prior[students] * (config.hard_loss == "balanced")
    optimiser = training.Optimiser(config.lr, config.momentum, config.temperature, config.kl_direction)
    training.train(some, fed.images, fed.labels, private, steps, prior, optimiser, lesson)
    cohorts.put_back(cohort, some, rows)
    fed.batches.reshape(-1)[cohort.members[rows].numpy()] += 2 * np.array(steps)


ALTERNATING = Method("alternating", "the authors' code: student and teacher in turn on the student's private data",
                     begin=begin, exchange=exchange, needs=("everybody",))
