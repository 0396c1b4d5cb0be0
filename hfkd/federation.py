"""A federation: its state, one round, and a run that turns into tidy rows.

A round: (1) clients train on their own data; (2) they speak, log-posteriors on the public images, the only thing on the
wire after the released label counts; (3) decide: matching, revenue and weights make one tensor W (student, teacher,
class); (4) pool the answers with W; (5) learn: the joint loss; (6) measure. (1) and (5) are one joint step per batch;
what was spoken is from the round before.

Axes: z seed, s and t client, n image, c class. Flat id of a client: z * N + client.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from hfkd import training, weighting
from hfkd.knowledge import pool
from hfkd.measure import measure
from hfkd.state import public_images, stack, start
from hfkd.streams import stream


class Signals(NamedTuple):
    """What a method may decide by, for one seed, whenever the graph is made anew."""

    counts: np.ndarray  # (N, C) label counts as released by the clients
    levels: np.ndarray  # (N,) 1..L
    revenue: np.ndarray  # (N, N) [student, teacher] in [-1, 1]: what each earned each; 0 where nobody has measured it


class Teaching(NamedTuple):
    """What a method decides for one seed: who is heard by whom, and with which say about which class."""

    weights: torch.Tensor | None  # W (student, teacher, class), or None: nobody listens
    mask: np.ndarray | None = None  # (listener, speaker) bool, who is pooled for whom
    edges: np.ndarray | None = None  # (student, teacher) bool, the matching; None: everybody heard is a teacher
    pooling: str = "log"


def run(config, method, dataset, seeds, public=None, report=None) -> pd.DataFrame:
    """Trains all clients of all seeds and measures them.

    Args:
        config: a Config; its `method` only names the rows.
        method: a module of hfkd.methods.
        dataset: a Dataset.
        seeds: repeats, trained as one program.
        public: a Dataset to take the public images from, or None: carved out of `dataset`.
        report: called as report(round, rounds) after each round, or None.

    Returns:
        One row per (seed, evaluated round, client); columns of results.COLUMNS without `experiment` and `variant`.

    Source: poster (two-sided distillation over levels); the round as written above is ours.
    """
    torch.set_num_threads(config.threads)
    torch.backends.cudnn.deterministic = True  # same command, same machine, same bytes
    state = start(config, dataset, seeds, public)
    loss = method.LOSS if config.hard_loss == "own" else config.hard_loss
    balanced, rows = loss == "balanced", []
    for round in range(1, config.rounds + 1):
        if round == 1 or (config.refresh and round % config.refresh == 0):
            lessons = [_decide(state, z, seed, config, method) for z, seed in enumerate(seeds)]
        weight = np.stack([_weights(config, method, loss, lesson, round) for lesson in lessons])
        _round(state, config, lessons, weight, balanced)
        if round % config.eval_every == 0 or round == config.rounds:
            _check_finite(state, config, round)
            rows.append(_rows(state, config, seeds, lessons, weight, round, measure(state, balanced)))
        if report:
            report(round, config.rounds)
    return pd.concat(rows, ignore_index=True)


def _check_finite(state, config, round):
    """A run that has diverged is an error, not a row of chance accuracies."""
    for cohort in state.cohorts:
        if not all(torch.isfinite(w).all() for w in cohort.weights.values()):
            where = f"{config.method}, skew {config.skew:g}, round {round}, level {cohort.level}"
            raise ValueError(
                f"training diverged ({where}): weights are not finite; try a smaller lr than {config.lr:g}"
            )


def _decide(state, z, seed, config, method) -> Teaching:
    """The graph of one seed: what the method makes of the released counts and of what everybody has earned so far."""
    signals = Signals(state.released[z], state.splits[z].levels, state.revenue[z])
    return method.teach(signals, config, stream(seed, "matching"))


def _weights(config, method, loss, lesson, round):
    """(N,) alpha or beta of every client in this round: the rule of RQ2 in its place; a weight per client and round."""
    if lesson.weights is None:
        return np.zeros(config.clients)
    alpha = method.ALPHA.get(loss, method.ALPHA[method.LOSS]) if config.alpha is None else config.alpha
    beta = alpha if config.beta is None else config.beta
    role = weighting.by_role(lesson.mask, lesson.mask if lesson.edges is None else lesson.edges, alpha, beta)
    if (config.weighting or method.WEIGHTING) == "ramp":
        return weighting.ramp(role, round, max(1, config.warmup), config.ramp_length, config.ramp_power)
    return weighting.fixed(role, round, config.warmup)


def _round(state, config, lessons, weight, balanced):
    """Speak, pool, and learn: one joint epoch of every client."""
    targets = _targets(state, config, lessons, weight) if weight.any() else None
    optimiser = training.Optimiser(config.lr, config.momentum, config.temperature, config.kl_direction)
    for cohort in state.cohorts:
        ids = cohort.members.tolist()
        train_sets = [state.splits[i // config.clients].train[i % config.clients] for i in ids]
        steps = [-(-config.epochs * len(own) // config.batch) for own in train_sets]
        private = stack([own[training.batches(state.private_streams[i], len(own), k, config.batch)]
                          for i, own, k in zip(ids, train_sets, steps)])  # fmt: skip
        prior = state.prior[cohort.members] if balanced else torch.zeros_like(state.prior[cohort.members])
        lesson = None
        if targets is not None:
            rows = stack([training.batches(state.public_streams[i], config.public_size, k, config.batch)
                           for i, k in zip(ids, steps)])  # fmt: skip
            lesson = training.Lesson(
                public_images(state, ids), targets[cohort.members], rows.to(state.images.device),
                torch.as_tensor(weight.reshape(-1)[ids], dtype=state.images.dtype, device=state.images.device),
            )  # fmt: skip
        private = private.to(state.images.device)
        training.train(cohort, state.images, state.labels, private, steps, prior, optimiser, lesson)


def _targets(state, config, lessons, weight):
    """(z * N, m, c) pooled soft targets; counts the bytes that travel for them.

    Bytes are those of each client's own link to a relay that pools: what it says once if anybody but itself listens,
    and one pooled answer if it learns from anybody but itself, m * C float32 each way.
    """
    seeds, n, classes = state.released.shape
    spoken = torch.empty(seeds * n, config.public_size, classes, device=state.images.device)
    for cohort in state.cohorts:
        z = training.logits(cohort, state.images, public_images(state, cohort.members.tolist()))
        spoken[cohort.members] = torch.log_softmax(z / config.temperature, dim=-1)
    spoken = spoken.reshape(seeds, n, *spoken.shape[1:])
    message = config.public_size * classes * spoken.element_size()
    pooled = []
    for z, lesson in enumerate(lessons):
        heard = np.asarray(lesson.mask, bool) & (weight[z] > 0)[:, None] & ~np.eye(n, dtype=bool)
        state.sent[z] += message * np.stack([heard.any(0), heard.any(1)], axis=1)
        pooled.append(pool(spoken[z], lesson.weights, config.pooling or lesson.pooling))
    return torch.cat(pooled)


def _rows(state, config, seeds, lessons, weight, round, measured) -> pd.DataFrame:
    """One row per seed and client."""
    n = config.clients
    seed, client = np.repeat(seeds, n), np.tile(np.arange(n), len(seeds))
    teachers = [(0 if t.edges is None else t.edges.sum(1)) * np.ones(n, int) for t in lessons]
    return pd.DataFrame({
        "method": config.method, "dataset": config.dataset, "public": config.public, "partition": config.partition,
        "skew": config.skew, "seed": seed, "round": round, "client": client,
        "level": np.concatenate([fed.levels for fed in state.splits]),
        "samples": np.concatenate([fed.counts.sum(1) for fed in state.splits]),
        **measured, "alpha": weight.reshape(-1), "teachers": np.concatenate(teachers),
        "bytes_up": state.sent[..., 0].reshape(-1), "bytes_down": state.sent[..., 1].reshape(-1),
    })  # fmt: skip
