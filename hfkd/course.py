"""What a run deals in: what a method may decide by and decides, where a run stands between two rounds, what it leaves.

What a run starts from (split, images, networks' shapes) is a function of its configuration and seeds. What rounds
change is one plain tree: to go on from a round one needs a fresh start and the tree of that round. Source: ours.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from hfkd.books import Books
from hfkd.state import State


class Signals(NamedTuple):
    """What a method may decide by, for one seed, whenever the graph is made anew."""

    counts: np.ndarray  # (N, C) label counts as released by the clients
    levels: np.ndarray  # (N,) 1..L
    revenue: np.ndarray  # (N, N) [student, teacher] in [-1, 1]: what each earned each; 0 where nobody has measured it
    silent: np.ndarray | None = None  # (N,) bool, whom nobody can hear in this round; None: everybody can be heard


class Teaching(NamedTuple):
    """What a method decides for one seed: who is heard by whom, and with which say about which class."""

    weights: torch.Tensor | None  # W (student, teacher, class), or None: nobody listens
    mask: np.ndarray | None = None  # (listener, speaker) bool, who is pooled for whom
    edges: np.ndarray | None = None  # (student, teacher) bool, the matching; None: everybody heard is a teacher
    pooling: str = "log"


class Outcome(NamedTuple):
    """What a run leaves behind, all tidy."""

    rows: pd.DataFrame  # one per (seed, evaluated round, client)
    ledger: pd.DataFrame  # one per (seed, period, edge), columns ledger.LEDGER
    weights: pd.DataFrame  # one per (seed, round, client), columns ledger.WEIGHTS
    counts: pd.DataFrame  # one per (seed, client, class): what was released


@dataclass
class Course:
    """All that the next round reads and changes, and what has come out so far."""

    state: State
    books: Books
    lessons: list[Teaching]  # one per seed: who is heard by whom until the graph is made anew
    rows: list[pd.DataFrame] = field(default_factory=list)  # a frame per measured round
    round: int = 0  # rounds that are done


def changing(course: Course) -> dict:
    """What rounds change, as dicts and lists of tensors, arrays, streams and frames: no copies, the things themselves.

    Left out are the data split, images, labels, priors, counts as released, and the networks' shapes.
    """
    state = course.state
    return {
        "round": course.round, "rows": course.rows, "books": vars(course.books), "memory": state.memory,
        "lessons": [lesson._asdict() for lesson in course.lessons], "sent": state.sent,
        "private_streams": state.private_streams, "public_streams": state.public_streams,
        "cohorts": [{"weights": cohort.weights, "momentum": cohort.momentum} for cohort in state.cohorts],
    }  # fmt: skip


def restore(course: Course, tree: dict) -> None:
    """Put a run that has just begun where `changing` found it.

    Args:
        course: before its first round, of the same configuration and seeds. tree: as `changing` returned it, or a copy.
    """
    state = course.state
    course.round, course.rows, course.books = tree["round"], tree["rows"], Books(**tree["books"])
    course.lessons = [Teaching(**kept) for kept in tree["lessons"]]
    for name in ("memory", "sent", "private_streams", "public_streams"):
        setattr(state, name, tree[name])
    for cohort, kept in zip(state.cohorts, tree["cohorts"], strict=True):
        cohort.weights, cohort.momentum = kept["weights"], kept["momentum"]
