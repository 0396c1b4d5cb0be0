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
from hfkd.engine.federation import dealt, decide, practise
from hfkd.engine.method import Method
from hfkd.engine.state import images_of
from hfkd.engine.training import Lesson
from hfkd.methods import hfkd
from hfkd.streams import stream


def begin(fed, config, seeds) -> None:
    """One teacher each, by released counts; every client has a stream for the meetings."""
    graph = decide(fed, replace(config, fan_in=1, feedback=False, peers=False, draw=0), hfkd.HFKD, seeds)
    z, student, teacher = np.nonzero(graph.edges)
    fed.memory["pairs"] = np.stack([student, teacher], axis=1) + z[:, None] * fed.clients
    fed.memory["streams"] = [stream(seed, "meetings", i) for seed in seeds for i in range(fed.clients)]


def exchange(fed, config, round) -> list:
    """Students first, then teachers; a teacher's network goes to the student and back."""
    if round <= config.warmup:
        return []
    pairs, sent = fed.memory["pairs"], np.zeros(len(fed.prior), dtype=np.int64)
    mine = {t: pairs[pairs[:, 1] == t, 0] for t in np.unique(pairs[:, 1])}
    turn = {t: students[round % len(students)] for t, students in mine.items()}
    for cohort in fed.cohorts:
        _meet(fed, config, cohort, dict(pairs), False)
    for cohort in fed.cohorts:
        _meet(fed, config, cohort, turn, True)
        for s, t in pairs[np.isin(pairs[:, 1], cohort.members)]:
            sent[[s, t]] += sum(w[0].numel() for w in cohort.weights.values())
    return [(cohort, sent[cohort.members], sent[cohort.members]) for cohort in fed.cohorts]


def _meet(fed, config, cohort, partner, visiting):
    """One pass over the student's images: members hear their partners, flat ids, which stay as they are."""
    learners = [i for i in cohort.members.tolist() if i in partner]
    student = {i: partner[i] if visiting else i for i in learners}
    learners.sort(key=lambda i: -len(images_of(fed, [student[i]])[0]))  # as `train` wants them
    if not learners:
        return
    students, rows = [student[i] for i in learners], [cohort.members.tolist().index(i) for i in learners]
    steps = [-(-len(own) // config.batch) for own in images_of(fed, students)]
    private = at, taken = dealt(fed, config, students, fed.memory["streams"], steps)
    targets = torch.zeros(*at.shape, fed.prior.shape[-1], device=at.device)
    for other in fed.cohorts:
        found = [(k, other.members.tolist().index(partner[i])) for k, i in enumerate(learners) if partner[i] in other.members]
        if found:
            here, there = map(list, zip(*found))
            targets[here] = cohorts.logits(cohorts.part(other, there), fed.images, at[here]).softmax(-1)
    some, weight = cohorts.part(cohort, rows), torch.full((len(rows),), config.alpha).to(targets)
    practise(fed, config, some, students, private, steps, Lesson(at, targets, taken, weight))
    cohorts.put_back(cohort, some, rows)
    fed.batches.reshape(-1)[learners] += 2 * np.array(steps)


ALTERNATING = Method("alternating", "the authors' code: student and teacher in turn on the student's private data",
                     begin=begin, exchange=exchange, needs=("everybody",))
