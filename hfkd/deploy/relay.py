"""The relay: it knows released counts, levels and answers; decides, pools, and keeps a journal (ours).

Whatever carries records is two functions: nodes() -> who can be reached, post({node: record}) -> {node: record, or
what went wrong as a string}. A node speaks for one client or more. What is wrong with a node is one sentence; the
federation goes on without it.
"""

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

KINDS = {"name": str, "level": int, "counts": list, "score": float, "done": int}  # told of a client
UNHEARD = 1e-300  # a weight that is 0 in float32


class Relay:
    """One federation; folder: where its journal lies; say: takes a line of progress."""

    def __init__(self, plan: dict, folder, nodes, post, say=print):
        self.told, self.config = plans.told(plan), plans.settle(plan["set"])
        self.names, self.shape = self.told["names"], (self.config.public_size, self.told["classes"])
        self.wait, self.tries, self.pause = (plan.get(*each) for each in (("wait", 600), ("tries", 30), ("pause", 2)))
        self.id, self.journal = wire.checksum(self.told), Path(folder) / "journal"
        self.nodes, self.post, self.say, self.complaints = nodes, post, say, set()
        self.at, self.facts, self.said = {}, {}, {}  # node -> its names; name -> what it told, its last answers

    def run(self) -> dict[str, dict]:
        """All rounds that the journal does not have yet; then what every client told last."""
        if self.journal.exists():
            kept, said = wire.unpack(self.journal.read_bytes(), self.shape)
            if kept["federation"] != self.id:
                raise ValueError(f"{self.journal} is of another federation; expected another folder")
            self.names = list(kept["facts"])
            self._gather()
            first, self.facts, self.said = kept["round"], kept["facts"], dict(zip(kept["said"], said))
        else:
            first, self.names = 1, self._gather()
            self._keep(1)
        for r in range(first, self.config.rounds + 1):
            begin, heard = time.monotonic(), len(self.said)
            self._round(r)
            scores = [each["score"] for each in self.facts.values() if each["score"] == each["score"]]
            self.say(f"round {r} of {self.config.rounds}: {heard} heard, {len(self.said)} learned, "
                     f"{time.monotonic() - begin:.1f} s" + (f", own accuracy {np.mean(scores):.3f}" if scores else ""))
            self._greet()
            self._keep(r + 1)
        return self.facts

    def _gather(self):
        """The names that come in time, or a ValueError: fewer than two."""
        end = time.monotonic() + self.wait
        while (gone := set(self.names) - self.facts.keys()) and time.monotonic() < end:
            self._greet()
            time.sleep(self.pause)
        for name in sorted(gone - self.facts.keys()):
            self._complain(f"{name} did not come within {self.wait:g} s")
        if len(there := [name for name in self.names if name in self.facts]) < 2:
            raise ValueError(f"{len(there)} of {len(self.names)} clients came within {self.wait:g} s; expected two")
        return there

    def _keep(self, round):
        """The journal, before anything of a round leaves."""
        fields = {"federation": self.id, "round": round, "said": list(self.said),
                  "facts": {name: self.facts[name] for name in self.names}}  # fmt: skip
        paths.write(self.journal, wire.pack(fields, list(self.said.values())))

    def _round(self, r):
        """Targets and weights as `federation.rounds` has them, sent to all who spoke; then what they say now."""
        counts, levels = (np.array([self.facts[name][what] for name in self.names]) for what in ("counts", "level"))
        known = SimpleNamespace(counts=counts[None], levels=levels[None], revenue=np.zeros((1, *2 * counts.shape[:1])))
        graph = federation.decide(known, self.config, METHODS["hfkd"], [self.told["seed"]])
        there = np.array([[name in self.said for name in self.names]])
        heard = federation.among(graph, SimpleNamespace(heard=there))
        ears = weighting.listens(self.config, graph.mask, graph.edges, r) & heard.others().any(2) & there
        alpha = weighting.decide(self.config, graph.mask, graph.edges, r, None, None)[0] * ears[0]
        for level in set(levels[alpha > 0]):  # a level draws its public batches together, as a cohort of the engine
            alpha[levels == level] = np.maximum(alpha[levels == level], UNHEARD)
        if ears.any():
            nothing = np.zeros(self.shape, np.float32)
            stack = torch.from_numpy(np.stack([self.said.get(name, nothing) for name in self.names]))
            q = by_graph(stack[None], heard, None, self.config)[0].numpy()
        left = {}
        for node, names in self.at.items():
            if {*names} <= self.said.keys():
                i = [self.names.index(name) for name in names]
                fields = {"hello": self.told, "round": r, "alpha": alpha[i].tolist(), "ears": ears[0, i].tolist()}
                left[node] = wire.pack(fields, q[i] if ears.any() else ())
        self.said = {}
        for _ in range(self.tries):  # a round is asked for as often as one likes: it is learned once
            if left := self._ask(left):
                time.sleep(self.pause)

    def _greet(self):
        """Says hello to all nodes that can be reached and have said nothing since."""
        live = set(self.nodes())
        self.at = {node: names for node, names in self.at.items() if node in live}
        quiet = [node for node in sorted(live) if not self.said.keys() & {*self.at.get(node, ())}]
        self._ask(dict.fromkeys(quiet, wire.pack({"hello": self.told})))

    def _ask(self, records):
        """Takes what nodes tell, or complains once; those records that nothing came back for, to be asked again."""
        replies = self.post(records) if records else {}
        for node in records:
            try:
                self._take(node, replies.get(node, "no answer came"))
            except ValueError as error:
                self._complain(f"{', '.join(self.at.get(node, [f'node {node}']))}: {error}")
        return {node: record for node, record in records.items() if type(replies.get(node)) is not bytes}

    def _take(self, node, reply):
        """What a node tells of its clients and answers for them; an error, and nothing is taken."""
        if type(reply) is not bytes:
            raise ValueError(f"{reply!s:.500}")
        fields, said = wire.unpack(reply, self.shape)
        if "error" in fields:
            raise ValueError(f"it says: {str(fields['error'])[:500]}")
        found, wanted = ([own.get(what) for what in ("version", "public")] for own in (fields, self.told))
        if found != wanted:
            raise ValueError(f"hfkd and public images there are {str(found)[:80]}; expected {wanted}")
        clients = fields.get("clients")
        if type(clients) is not list or not 0 < len(clients) == len(said) or not all(map(self._fits, clients)):
            raise ValueError(f"it answers with {len(said)} tables and tells {str(clients)[:200]}; expected a table for "
                             f"each client, its level 1 to 3 and {self.shape[1]} counts from 0")
        if not np.isfinite(said).all() or abs(np.exp(said).sum(-1) - 1).max() > 1e-3:
            raise ValueError("it answers with what are no log-probabilities")
        names = [each["name"] for each in clients]
        free = {*self.names}.difference(*(theirs for other, theirs in self.at.items() if other != node))
        if strange := {*names} - free:
            raise ValueError(f"the name {min(strange)[:80]!r} is not registered, or taken")
        self.at[node] = names
        self.said |= zip(names, said)
        for name, each in zip(names, clients):
            first = self.facts.get(name, each)
            self.facts[name] = each | {what: first[what] for what in ("level", "counts")}

    def _fits(self, client):
        """Whether what is told of a client is of the kinds and in the ranges that are computed with."""
        return (type(client) is dict and {what: type(each) for what, each in client.items()} == KINDS
                and client["level"] in (1, 2, 3) and len(client["counts"]) == self.shape[1]
                and all(type(n) is int and 0 <= n < 10**12 for n in client["counts"]))  # fmt: skip

    def _complain(self, sentence):
        """Each sentence once."""
        if sentence not in self.complaints:
            self.say(f"{sentence}; the federation goes on without it")
        self.complaints.add(sentence)
