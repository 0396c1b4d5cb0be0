"""Alternating distillation, after the authors' code: teacher and student meet on the student's private data and learn
from each other in turn, the student first (myth646/FedKDMR). Teachers by HFKD's matching; networks travel, no answers.

After its own epochs every student hears its teacher on its own images, and then the teacher, on a visit to one of its
students (in turn), hears that student. The losses are the poster's, alpha = beta. Theirs differs: the teacher is a
copy of the global mean that all students teach side by side, and alpha is a ramp.
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
    alone = replace(config, fan_in=1, feedback=False, peers=False, draw=0)
    edges = np.argwhere(decide(fed, alone, hfkd.HFKD, seeds).edges).tolist()
    fed.memory["pairs"] = [(z * fed.clients + s, z * fed.clients + t) for z, s, t in edges]
    fed.memory["streams"] = [stream(seed, "meetings", i) for seed in seeds for i in range(fed.clients)]


def exchange(fed, config, round) -> list:
    """Students first, then teachers; a teacher's network goes to the student and back."""
    if round <= config.warmup:
        return []
    pairs, sent = fed.memory["pairs"], np.zeros(len(fed.prior), dtype=np.int64)
    mine = {teacher: [s for s, t in pairs if t == teacher] for _, teacher in pairs}
    visits = {t: students[round % len(students)] for t, students in mine.items()}
    for meetings in ({s: (t, s) for s, t in pairs}, {t: (s, s) for t, s in visits.items()}):
        for cohort in fed.cohorts:
            _meet(fed, config, cohort, meetings)
    for cohort in fed.cohorts:
        for pair in (pair for pair in pairs if pair[1] in cohort.members):
            sent[list(pair)] += sum(w[0].numel() for w in cohort.weights.values())
    return [(cohort, sent[cohort.members], sent[cohort.members]) for cohort in fed.cohorts]


def _meet(fed, config, cohort, meetings):
    """One pass over a student's images; meetings: who learns -> (who is heard and stays as it is, the student)."""
    met = [(row, i, *meetings[i]) for row, i in enumerate(cohort.members.tolist()) if i in meetings]
    if not met:
        return
    met.sort(key=lambda each: -len(images_of(fed, each[3:])[0]))  # as `train` wants them
    rows, learners, heard, students = map(list, zip(*met))
    steps = [-(-len(own) // config.batch) for own in images_of(fed, students)]
    private = at, taken = dealt(fed, config, students, fed.memory["streams"], steps)
    targets = torch.zeros(*at.shape, fed.prior.shape[-1], device=at.device)
    for other in fed.cohorts:
        here = np.flatnonzero(np.isin(heard, other.members))
        if len(here):
            there = [other.members.tolist().index(heard[k]) for k in here]
            targets[here] = cohorts.logits(cohorts.part(other, there), fed.images, at[here]).softmax(-1)
    some, weight = cohorts.part(cohort, rows), torch.full((len(rows),), config.alpha).to(targets)
    practise(fed, config, some, students, private, steps, Lesson(at, targets, taken, weight))
    cohorts.put_back(cohort, some, rows)
    fed.batches.reshape(-1)[learners] += 2 * np.array(steps)


ALTERNATING = Method("alternating", "the authors' code: student and teacher in turn on the student's private data",
                     begin=begin, exchange=exchange, needs=("everybody",))
