"""What travels between clients: answers on public images, classwise answers, or networks; and what it weighs in bytes.

    public     log-posteriors on m public images                                   m C numbers
    classwise  mean log-posteriors per own class, no public data at all            C C numbers
    private    networks: a partner's network answers on the listener's own images  its parameters (authors' code)
    visit      the listener's network goes round its partners' data                its own parameters, there and back

Everything is spoken without gradient. Public images are taken to be there already: their bytes are not counted. With
top_down and bottom_up a level speaks once a round, after it has learned: that is what the next round starts with. Bytes
are those of each client's link to a relay that pools answers and passes networks on, and, edge by edge, what would
travel without one. Axes: z seed, s listener, t speaker, n image, c class.
Flat id of a client: z * N + client.

Source: ours; "private" after the authors' code, "classwise" after Jeong et al. 2018 (1811.11479) with log-posteriors.
"""

import numpy as np
import torch

from hfkd import cohorts
from hfkd.knowledge import pool
from hfkd.state import public_images, stack

WIDTH = {"fp32": 4, "fp16": 2}  # bytes of a number
KINDS = {
    "public": "log-posteriors on the public images",
    "classwise": "mean log-posteriors per class of one's own data: no public images",
    "private": "networks: partners answer on the listener's own data (authors' code)",
    "visit": "networks: the listener learns at its partners' data",
}


def wired(values, wire: str):
    """The numbers as they arrive: rounded to half precision if they travel so.

    >>> float(wired(torch.tensor(0.1), "fp16")) == 0.1, float(wired(torch.tensor(0.5), "fp16"))
    (False, 0.5)
    """
    return values.half().to(values.dtype) if wire == "fp16" else values


def asked_about(config, round: int) -> np.ndarray:
    """Positions of the public images that are answered in this round: all, or `spoken` of them in turn.

    >>> from hfkd.config import configure
    >>> asked_about(configure(public_size=5, spoken=2), 2).tolist()
    [4, 0]
    """
    size = config.spoken or config.public_size
    return (np.arange(size) + round * size * (size < config.public_size)) % config.public_size


def speak(state, config, round, said=None, among=None):
    """What every client says: (z * N, n, c) log-posteriors of T-softened answers, or a cohort of networks per level.

    Args:
        said: what was said before, to be replaced in place for the members of `among`.
        among: the cohorts that speak anew; None: everybody.
    """
    among = state.cohorts if among is None else among
    if config.transport in ("private", "visit"):
        fresh = {cohort.level: cohorts.part(cohort, range(len(cohort.members))) for cohort in among}
        for cohort in fresh.values() if config.transport == "private" else ():  # on a visit the guest travels
            cohort.weights = {name: wired(w, config.wire) for name, w in cohort.weights.items()}
        return (said or {}) | fresh
    classes = state.prior.shape[-1]
    asked = asked_about(config, round)
    if said is None:
        size = len(asked) if config.transport == "public" else classes
        said = torch.zeros(len(state.prior), size, classes, device=state.images.device)
    for cohort in among:
        if config.transport == "public":
            at = public_images(state, cohort.members.tolist())[:, asked]
            log_p = soft_logits(cohort, state, config, at).log_softmax(-1)
        else:
            log_p = _by_class(state, config, cohort)
        said[cohort.members] = wired(log_p, config.wire)
    return said


def _by_class(state, config, cohort):
    """(b, c, c): mean log-posterior of the own images of each class; uniform for a class without any."""
    classes = state.prior.shape[-1]
    return class_means(
        state, cohort, lambda at: soft_logits(cohort, state, config, at).log_softmax(-1), blank=-np.log(classes)
    )


def soft_logits(cohort, state, config, at):
    """(b, n, c) logits of the members on their own lists of images, divided by T."""
    return cohorts.logits(cohort, state.images, at) / config.temperature


def class_means(state, cohort, look, blank=0.0):
    """(b, y, k): the mean of what the members see in their own training images of class y; blank for a class without.

    Args:
        look: (b, n) indices of images -> (b, n, k).
    """
    at, there = own_images(state, cohort)
    values = look(at)
    member = torch.nn.functional.one_hot(state.labels[at], state.prior.shape[-1]).to(values) * there.unsqueeze(-1)
    size = member.sum(1).unsqueeze(-1)
    sums = torch.einsum("bny,bnk->byk", member.double(), values.double())  # in float32 padding shows in the last bit
    return torch.where(size > 0, sums / size.clamp_min(1), blank).to(values)


def own_images(state, cohort, part="train"):
    """(b, n) indices of the members' own images, and (b, n) bool which of them are there; part: "train" or "val"."""
    sets = [getattr(state.splits[i // state.clients], part)[i % state.clients] for i in cohort.members.tolist()]
    length = torch.tensor([len(own) for own in sets])
    at = stack(sets)
    there = torch.arange(at.shape[1]) < length[:, None]
    return at.to(state.images.device), there.to(state.images.device)


def pooled(said, weights, config, kinds):
    """(z * N, n, c) soft target of every client: answers pooled by W, seed by seed; for answers, not for networks.

    A class mean is about images of one class, so its row y is pooled by what everybody knows of class y.

    Args:
        weights: W (s, t, c) per seed. kinds: "log" or "arithmetic" per seed, the method's own choice.
    """
    targets = []
    for log_p, own, kind in zip(said.reshape(len(weights), -1, *said.shape[1:]), weights, kinds):
        if config.transport == "classwise":
            rows = log_p if kind == "log" else log_p.exp()
            mixed = torch.einsum("sty,tyc->syc", own.to(rows), rows)
            targets.append(torch.softmax(mixed if kind == "log" else mixed.log(), dim=-1))
        else:
            targets.append(pool(log_p, own, kind))
    return torch.cat(targets)


def material(state, config, cohort, targets, round):
    """(asked, targets, sizes) of a cohort that learns from answers: images (b, n), soft targets (b, n, c), and how many
    of the n images each member has.
    """
    mine = targets[cohort.members]
    if config.transport == "public":
        at = public_images(state, cohort.members.tolist())[:, asked_about(config, round)]
        return at, mine, [at.shape[1]] * len(at)
    at, there = own_images(state, cohort)
    rows = state.labels[at].unsqueeze(-1).expand(-1, -1, mine.shape[-1])
    return at, mine.gather(1, rows), there.sum(1).tolist()


def edge_bytes(state, config) -> np.ndarray:
    """(z, N, N) bytes a round of each edge [listener, speaker] if nobody relayed."""
    seeds, n, classes = state.released.shape
    width = WIDTH[config.wire]
    if config.transport in ("private", "visit"):
        own = state.parameters[:, None, :] if config.transport == "private" else 2 * state.parameters[:, :, None]
        return np.broadcast_to(own * width, (seeds, n, n))
    rows = len(asked_about(config, 1)) if config.transport == "public" else classes
    return np.full((seeds, n, n), rows * classes * width)


def link_bytes(state, config, heard) -> np.ndarray:
    """(z, N, 2) bytes a round up and down each client's link.

    Answers go up once if anybody listens and come down once, pooled. A network goes up once and down to every listener
    ("private"), or goes round: up and down at home, down and up at each host ("visit").

    Args:
        heard: (z, N, N) bool [listener, speaker], without oneself.
    """
    edges = edge_bytes(state, config)
    speaks, listens = heard.any(1), heard.any(2)
    if config.transport == "private":
        up, down = speaks * edges[:, 0], (heard * edges).sum(2)
    elif config.transport == "visit":
        tour = (heard * edges).sum(1) // 2 + listens * edges[:, :, 0] // 2
        up = down = tour
    else:
        up, down = speaks * edges[:, 0], listens * edges[:, :, 0]
    return np.stack([up, down], axis=-1)
