"""A method: one record of functions and settings, which a file of `hfkd.methods` fills in."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch

from hfkd import knowledge
from hfkd.config import FAULTS
from hfkd.engine import networks
from hfkd.engine.training import plain

NEEDS = {
    "public": "images that everybody may speak about",
    "labels": "labels of the public images",
    "simultaneous": "targets that are made once a round",
    "everybody": "every client in every round: faults are modelled for answers that are pooled by a W",
    "presence": "weights of all who are there: of all faults only dropout is modelled for them",
    "features": "the same number of features before the head at every level",  # which all families have
    "widths": "levels that differ in width only",
    "depths": "levels that differ in depth only",
}


class Graph(NamedTuple):
    """Who is heard by whom, and with which say about which class: of one seed, or of all with z in front."""

    weights: torch.Tensor  # W (s, t, c) float64, sums to 1 over t
    mask: np.ndarray  # (s, t) bool [listener, speaker], who is pooled for whom
    edges: np.ndarray  # (s, t) bool [student, teacher], the matching

    def others(self) -> np.ndarray:
        """The mask without oneself."""
        return self.mask & ~np.eye(self.mask.shape[-1], dtype=bool)


def nobody(counts, levels, revenue, config, rng) -> Graph:
    """W is the identity: nobody hears anybody else. Arguments of every `decide`: counts (N, C) as released, levels (N,)
    1..L, revenue (N, N) [student, teacher] in [-1, 1], a settled Config, rng: the stream (seed, "matching").

    >>> nobody(np.ones((2, 3)), None, None, None, None).weights[:, :, 0].tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    alone = np.eye(len(counts), dtype=bool)
    return Graph(knowledge.teaching_weights(alone, np.ones_like(counts)), alone, np.zeros_like(alone))


def by_graph(arrived, graph: Graph, fed, config):
    """(z, s, u, c) soft targets: the answers (z, t, u, c) pooled by the W of each seed, sharpened, aligned."""
    q = torch.stack([knowledge.pool(log_p, w, config.pooling) for log_p, w in zip(arrived, graph.weights)])
    return knowledge.align(knowledge.sharpen(q, config.gamma), config.kappa)


@dataclass(frozen=True)
class Method:
    """One method; the defaults are those of Local: weights of one's own, and nothing travels."""

    name: str
    summary: str  # one line for `hfkd list methods`
    loss: str = "plain"  # its hard loss as published: plain cross-entropy or balanced softmax
    networks: int = 1  # how many a client trains on each private batch
    needs: tuple[str, ...] = ()  # what it cannot do without, names of NEEDS; without "public" it is data-free
    settings: Mapping = field(default_factory=dict)  # what makes it what it is, such as a rule for its weight
    tuned: Mapping = field(default_factory=dict)  # what validation chose for it: `methods.chosen`
    decide: Callable = nobody  # (counts, levels, revenue, config, rng) -> Graph of one seed
    earns: bool = False  # whether `decide` reads revenue
    pool: Callable = by_graph  # (arrived, graph, fed, config) -> (z, s, u, c) soft targets
    begin: Callable = lambda fed, config, seeds: None  # before the first round
    local_loss: Callable = plain  # (module, weights, x, y, prior, *given) -> (b,), of every member
    given: Callable = lambda fed, config, cohort: ()  # what local_loss reads beside the batch, members first
    exchange: Callable = lambda fed, config, round: []  # after a round -> [(cohort, numbers up, numbers down)]
    answers: Callable | None = None  # (fed, config, cohort, at) -> (b, n, c) scores, where others than logits predict


def check(config, method: Method, methods: Mapping[str, Method]) -> None:
    """Return if the configuration has what its method needs; else a ValueError that names the setting to change."""
    name = f"method {method.name!r}"
    needs = {need: f"{name} needs {NEEDS[need]}" for need in method.needs}
    if "public" in needs and config.public == "none":
        free = ", ".join(other.name for other in methods.values() if "public" not in other.needs)
        raise ValueError(f"{needs['public']} and public is 'none'; set public=same, or take a data-free method: {free}")
    if "labels" in needs and config.public != "same":
        raise ValueError(f"{needs['labels']}; public is {config.public!r}, expected same")
    for need, fits in networks.HAS.items():
        if need in needs and config.levels not in fits:
            fit = " or levels=".join(fits)
            raise ValueError(f"{needs[need]}, which levels {config.levels!r} are not; set levels={fit}")
    if "simultaneous" in needs and config.schedule != "simultaneous":
        raise ValueError(f"{needs['simultaneous']}; schedule is {config.schedule!r}, expected simultaneous")
    struck = [fault for fault in FAULTS if getattr(config, fault)]
    for need, borne in {"everybody": (), "presence": ("dropout",)}.items():
        for fault in struck if need in needs else ():
            if fault not in borne:
                raise ValueError(f"{needs[need]}; {fault} is {getattr(config, fault)}, expected 0")
    if config.readout in ("prototype", "personal") and method.settings.get("readout") != config.readout:
        has = ", ".join(each.name for each in methods.values() if each.settings.get("readout") == config.readout)
        raise ValueError(f"{name} has no readout {config.readout!r}; set readout=plain, or take one of {has}")
    if config.revenue != "none" and not method.earns:
        raise ValueError(f"revenue is {config.revenue!r}, which {name} does not read; expected none")
