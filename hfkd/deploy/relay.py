"""The relay: it knows released counts, levels and answers; decides, pools, and keeps a journal (ours).

Whatever carries records is two functions: nodes() -> who can be reached, post({node: record}) -> {node: record, or
what went wrong as a string}. What is wrong with a client is one sentence; the federation goes on without it.
"""

import io
import json
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch

from hfkd import paths, weighting
from hfkd.deploy import plan as plans
from hfkd.deploy import wire
from hfkd.engine import federation
from hfkd.engine.method import by_graph
from hfkd.methods import METHODS


class Relay:
    """One federation; folder: where its journal lies; say: takes a line of progress."""

    def __init__(self, plan: dict, folder, nodes, post, say=print):
        self.told, self.config = plans.checked(plan)
        self.shape, self.id = (self.config.public_size, plan["classes"]), wire.checksum(self.told)
        self.wait, self.tries, self.pause = (plan.get(*each) for each in (("wait", 60), ("tries", 3), ("pause", 5)))
        self.nodes, self.post, self.say, self.journal = nodes, post, say, Path(folder) / "journal.pt"
        self.at, self.facts, self.said = {}, {}, {}  # of names: its node, what it told, its last answers
        self.refused, self.sentences = set(), set()

    def run(self) -> dict[str, dict]:
        """All rounds that the journal does not have yet; then what every client told last."""
        begin, kept = time.monotonic(), torch.load(self.journal) if self.journal.exists() else {}
        if kept and kept["id"] != self.id:
            raise ValueError(f"{self.journal} is of another federation; expected another folder")
        self.facts = json.loads(kept["facts"]) if kept else {}
        names = list(self.facts) or self.told["names"]
        while not self.at.keys() >= set(names) and time.monotonic() < begin + self.wait:
            time.sleep(min(self.pause, 0.5))
            self._greet()
        for name in [name for name in names if name not in self.at]:
            self._tell(f"{name} did not come within {self.wait:g} s")
        if len(group := names if kept else [name for name in names if name in self.at]) < 2:
            raise ValueError(f"{len(group)} of {len(names)} clients came within {self.wait:g} s; expected two at least")
        if kept:
            self.said = {name: said.numpy() for name, said in kept["said"].items()}
        for r in range(first := kept.get("round", 1), self.config.rounds + 1):
            begin = time.monotonic()
            if not (kept and r == first):
                self._greet(again=set(group) - self.said.keys())
                torch.save({"id": self.id, "round": r, "facts": json.dumps({name: self.facts[name] for name in group}),
                            "said": {name: torch.from_numpy(said) for name, said in self.said.items()}},
                           file := io.BytesIO())  # fmt: skip
                paths.write(self.journal, file.getvalue())  # before anything of this round leaves
            heard = sum(name in self.said for name in group)
            self._round(r, group)
            scores = [score for name in group if (score := self.facts[name]["score"]) is not None]
            self.say(f"round {r} of {self.config.rounds}: {heard} heard, {len(self.said)} learned, "
                     f"{time.monotonic() - begin:.1f} s" + (f", own accuracy {np.mean(scores):.3f}" if scores else ""))
        return {name: self.facts[name] for name in group}

    def _round(self, r, group):
        """Targets and weights as `federation.rounds` has them, sent to all who spoke; then what they say now."""
        counts, levels = (np.array([self.facts[name][what] for name in group]) for what in ("counts", "level"))
        known = SimpleNamespace(counts=counts[None], levels=levels[None], revenue=np.zeros((1, len(group), len(group))))
        graph = federation.decide(known, self.config, METHODS["hfkd"], [self.told["seed"]])
        there = np.array([[name in self.said for name in group]])
        ears, q = weighting.listens(self.config, graph.mask, graph.edges, r), None
        heard = federation.among(graph, SimpleNamespace(heard=there))
        if ears.any():
            nothing = np.zeros(self.shape, np.float32)
            stack = torch.from_numpy(np.stack([self.said.get(name, nothing) for name in group]))
            q = by_graph(stack[None], heard, None, self.config)[0].numpy()
        ears = (ears & heard.others().any(2) & there)[0]
        alpha = weighting.decide(self.config, graph.mask, graph.edges, r, None, None)[0] * ears
        left = {name: wire.pack({
            "federation": self.id, "round": r, "alpha": float(alpha[i]), "ears": bool(ears[i]),
            "joint": bool(alpha[levels == levels[i]].any())}, None if q is None else q[i])
            for i, name in enumerate(group) if there[0, i]}  # fmt: skip
        self.said = {}
        for attempt in range(self.tries):  # a round is asked for as often as one likes: it is learned once
            if left:
                time.sleep(self.pause * (attempt > 0))
                replies = self.post({self.at[name]: record for name, record in left.items() if name in self.at})
                took = {name: self._took(replies.get(self.at.get(name)), name, {name}) for name in left}
                left = {name: record for name, record in left.items() if took[name] is None}

    def _greet(self, again=()):
        """Says hello to all nodes that are new, and again to those of some names."""
        live, asked = set(self.nodes()), {self.at.get(name) for name in again}
        news = sorted(node for node in live if node in asked or node not in self.refused | {*self.at.values()})
        replies = self.post({node: wire.pack({"ask": "hello"} | self.told) for node in news}) if news else {}
        for node in news:
            free = {name for name in self.told["names"] if self.at.get(name, node) == node or self.at[name] not in live}
            who = next((name for name, other in self.at.items() if other == node), f"node {node}")
            if name := self._took(replies.get(node), who, free):
                self.at[name] = node
            elif name == "":
                self.refused.add(node)

    def _took(self, reply, who, free):
        """The name whose facts and answers were taken; "": refused, in a sentence; None: nobody answered, ask again."""
        try:
            if not isinstance(reply, bytes):
                raise ConnectionError(reply or "no answer came")
            fields, said = wire.unpack(reply, self.shape)
            if (name := str(fields.get("name"))[:80]) == "None":  # the messenger found no member
                raise ConnectionError(str(fields.get("error"))[:500])
            if "error" in fields:
                raise ValueError(f"{name} says: {str(fields['error'])[:500]}")
            if name not in free:
                why = "taken" if name in self.told["names"] else "not registered"
                raise ValueError(f"the name {name!r} is {why}")
            found = {what: fields.get(what) for what in ("version", "public")}
            if found != {what: self.told[what] for what in found}:
                raise ValueError(f"{name} has {found}; expected {self.told['version']} and {self.told['public']}")
            counts, facts = fields.get("counts"), {what: fields.get(what) for what in ("done", "batches", "score")}
            if not (isinstance(counts, list) and len(counts) == self.shape[1] and {*map(type, counts)} == {int}
                    and 0 <= min(counts) <= max(counts) < 10**12 and fields.get("level") in (1, 2, 3)):
                raise ValueError(f"{name} counts {str(counts)[:80]} at level {str(fields.get('level'))[:9]}; expected "
                                 f"{self.shape[1]} integers from 0, and 1, 2 or 3")
            if not {*map(type, facts.values())} <= {int, float, type(None)}:
                raise ValueError(f"{name} tells {str(facts)[:80]}; expected numbers")
            if said is None or not np.isfinite(said).all() or abs(np.exp(said).sum(1) - 1).max() > 1e-3:
                raise ValueError(f"{name} answers with what are no log-probabilities")
            self.facts[name] = {"level": fields["level"], "counts": counts} | self.facts.get(name, {}) | facts
            self.said[name] = said
            return name
        except (ConnectionError, ValueError) as error:
            self._tell(f"{who}: {error}")
            return "" if isinstance(error, ValueError) else None

    def _tell(self, sentence):
        """Each sentence once."""
        if sentence not in self.sentences:
            self.say(f"{sentence}; the federation goes on without it")
        self.sentences.add(sentence)
