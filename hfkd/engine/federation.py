"""THE ROUND. Clients speak, the method decides who hears whom, answers are pooled, everybody learns (ours).

`rounds` is a generator: rows, ledger, bytes, progress and stop watches are loops over it (`record`). What disturbs a
round is one channel (`faults`). The poster's two losses stand in `hfkd.losses`, its matching in `hfkd.matching`.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch

from hfkd import weighting
from hfkd.config import Config, settled
from hfkd.engine import faults, training
from hfkd.engine.cohort import part, put_back
from hfkd.engine.method import Graph, Method
from hfkd.engine.signals import earned, signals
from hfkd.engine.state import Federation, begin, images_of, public_images, speak, stack
from hfkd.knowledge import without
from hfkd.streams import stream


class Round(NamedTuple):
    """What there is to see of a round when it is over. Axes: z seed, s who listens, t who speaks, u image, c class."""

    number: int  # from 1
    fed: Federation  # as it is now
    graph: Graph  # with z in front, as decided
    heard: Graph  # as it was in this round: among those who could be heard
    links: np.ndarray  # (z, s, t) bool, over which edges answers travelled
    answers: torch.Tensor | None  # (z, t, u, c) log-posteriors that arrived; None: nobody was asked
    targets: torch.Tensor | None  # (z, s, u, c) what they were pooled to
    weight: np.ndarray  # (z, N) alpha or beta
    exchanged: list  # (cohort, numbers up, numbers down) of what else travelled


def configured(config: Config, method: Method) -> Config:
    """The configuration with the method's own choices filled in, and what validation chose for it."""
    own = {"hard_loss": method.loss, **method.settings, **method.tuned}
    loss = own["hard_loss"] if config.hard_loss == "own" else config.hard_loss
    usual = {"pooling": "log", "readout": "prior" if loss == "balanced" else "plain"}
    return replace(settled(config, usual | own), hard_loss=loss)


def rounds(config: Config, method: Method, dataset, seeds, public=None) -> Iterator[Round]:
    """All rounds, of all seeds as one program. Axes: z seed, s who listens, t who speaks, u public image, c class.

    config: as `configured` returns it. dataset, public: a Dataset, and one to take the public images from, or None.
    Raises ValueError: what `state.begin` refuses, or training that diverges.
    Source: poster (two-sided distillation over levels); the round as written here is ours.
    """
    fed = begin(config, dataset, seeds, public)  # splits, networks, label counts as released
    method.begin(fed, config, seeds)
    graph = decide(fed, config, method, seeds)  # RQ1: W and edges, from counts and levels
    channel = faults.channel(config, seeds)  # the identity without faults
    last = np.full(fed.loss.shape, np.nan)
    for r in range(1, config.rounds + 1):
        fed.round = r
        ears = weighting.listens(config, graph.mask, graph.edges, r)  # (z, s)
        said = speak(fed, config, r) if ears.any() else None  # log p_t(c|u): all that travels
        arrived, present = channel(said, r)
        ears &= among(graph, present).others().any(2) & ~present.absent
        links, q = graph.others() & present.sent[:, None] & ears[..., None], None
        if said is not None:
            fed.revenue = earned(fed, config, said, arrived, links, present, r)  # RQ3: what t would save s
            if config.refresh and r > 1 and (r - 1) % config.refresh == 0:
                graph = decide(fed, config, method, seeds)
        heard = among(graph, present)
        if said is not None:
            q = targets(fed, config, method, heard, arrived, said)  # pooled per class
        a = weighting.decide(config, graph.mask, graph.edges, r, signals(fed, config, said, q, r), last)  # RQ2
        last = np.where(a > 0, a, last) if said is not None else last
        fed.away = present.absent | present.broken
        learn(fed, config, method, heard, said, q, a * ears, ears, r)  # digest, then (1-a) CE + a T^2 KL, joint steps
        exchanged = method.exchange(fed, config, r)  # baselines: weights, heads, prototypes
        yield Round(r, fed, graph, heard, links, arrived, q, a * ears, exchanged)


def decide(fed, config, method, seeds) -> Graph:
    """Who hears whom, of all seeds: what the method makes of released counts, levels and revenue."""
    purpose = f"matching {config.draw}" if config.draw else "matching"
    each = [method.decide(fed.counts[z], fed.levels[z], fed.revenue[z], config, stream(seed, purpose))
            for z, seed in enumerate(seeds)]  # fmt: skip
    weights, mask, edges = zip(*each)
    return Graph(torch.stack(weights), np.stack(mask), np.stack(edges))


def among(graph, present) -> Graph:
    """The graph among those who are heard in this round; oneself one always hears."""
    if present.heard.all():
        return graph
    gone = ~present.heard[:, None] & ~np.eye(graph.mask.shape[-1], dtype=bool)
    weights = [without(w, mask, lost) if lost.any() else w for w, mask, lost in zip(graph.weights, graph.mask, gone)]
    return Graph(torch.stack(weights), graph.mask & ~gone, graph.edges & ~gone)


def targets(fed, config, method, heard, arrived, said):
    """(z, s, u, c) what the answers that arrived pool to; to oneself one's own answers are true and fresh."""
    q = method.pool(arrived, heard, fed, config)
    for z, s in (arrived != said).flatten(2).any(2).nonzero().tolist():
        group = arrived[z].clone()
        group[s] = said[z, s]
        own = Graph(heard.weights[z : z + 1, s : s + 1], heard.mask[z : z + 1, s : s + 1], heard.edges)
        q[z, s] = method.pool(group[None], own, fed, config)[0, 0]
    return q


def learn(fed, config, method, heard, said, q, weight, ears, round) -> None:
    """A round of every client's own, level by level, in place; networks of those who are away are put back.

    simultaneous: everybody learns from what was spoken before the round. top_down (ours): the most capable level first,
    the next one hears what it has learned. bottom_up: students first, as in the authors' alternating training.
    """
    turns = fed.cohorts[::-1] if config.schedule == "top_down" else fed.cohorts
    for cohort in turns:
        still = np.flatnonzero(fed.away.reshape(-1)[cohort.members.numpy()])
        before = part(cohort, still)
        epoch(fed, config, method, cohort, q, weight, ears, round)
        put_back(cohort, before, still)
        if not all(torch.isfinite(w).all() for w in cohort.weights.values()):
            at = f"{config.method}, skew {config.skew:g}, round {round}, level {cohort.level}"
            raise ValueError(f"training diverged ({at}): weights are not finite; try a smaller lr than {config.lr:g}")
        if said is not None and config.schedule != "simultaneous" and cohort is not turns[-1]:
            said = speak(fed, config, round, said.clone(), [cohort])
            q = targets(fed, config, method, heard, said, said)


def epoch(fed, config, method, cohort, q, weight, ears, round) -> None:
    """A round of a cohort: who has ears (z, N) digests the soft targets q (z, s, u, c), if any; then everybody's epochs
    on its own data, and by weight (z, N) on q. Batches are counted: of private and of public images, each as one.
    """
    ids, lesson = cohort.members.numpy(), None
    ears, weight, q = ears.reshape(-1)[ids], weight.reshape(-1)[ids], None if q is None else q.flatten(0, 1)[ids]
    steps = np.array([-(-config.epochs * len(mine) // config.batch) for mine in images_of(fed, ids)])
    private, counted = dealt(fed, config, ids, fed.private_streams, steps), method.networks * steps
    if q is not None and config.digest and ears.any():
        who, passes = np.flatnonzero(ears), config.digest * -(-q.shape[1] // config.batch) * ears
        heard = public_lesson(fed, config, ids[who], q[who], fed.public_streams, passes[who], round)
        training.digest(some := part(cohort, who), fed.images, config, heard)
        put_back(cohort, some, who)
        counted += passes
    if q is not None and weight.any():
        lesson = public_lesson(fed, config, ids, q, fed.public_streams, steps, round)
        lesson = lesson._replace(weight=torch.as_tensor(weight).to(fed.prior))
        counted += steps * (weight > 0)
    fed.batches.reshape(-1)[ids] += counted * ~fed.away.reshape(-1)[ids]
    practise(fed, config, cohort, ids, private, steps, lesson, method.local_loss, method.given(fed, config, cohort))


def practise(fed, config, cohort, ids, private, steps, lesson=None, term=training.plain, given=()) -> None:
    """`training.train` on the training images of flat ids, one for each member; private: as `dealt` has dealt them."""
    at, rows = private
    prior = fed.prior[ids] * (config.hard_loss == "balanced")
    training.train(cohort, fed.images, fed.labels, at.unsqueeze(1).take_along_dim(rows, 2), steps, prior,
                   config, lesson, term, given)


def dealt(fed, config, ids, streams, steps) -> tuple[torch.Tensor, torch.Tensor]:
    """(b, n) indices of the training images of flat ids, and (b, k, i) which of them each step takes, drawn from the
    stream of each id.
    """
    own = images_of(fed, ids)
    rows = [training.batches(streams[i], len(mine), k, config.batch) for i, mine, k in zip(ids, own, steps)]
    return stack(own).to(fed.images.device), stack(rows).to(fed.images.device)


def public_lesson(fed, config, ids, q, streams, steps, round) -> training.Lesson:
    """The soft targets q (b, u, c) of flat ids, in so many steps each, batches and mixup from the stream of each id."""
    asked, mix = public_images(fed, config, round, ids), None
    rows = stack([training.batches(streams[i], asked.shape[1], k, config.batch) for i, k in zip(ids, steps)])
    if config.mixup:
        mix = stack([streams[i].beta(config.mixup, config.mixup, k) for i, k in zip(ids, steps)]).to(fed.prior)
    return training.Lesson(asked, q, rows.to(asked.device), mix=mix)
