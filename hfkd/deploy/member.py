"""The resident member: it alone has data and networks, and answers a relay's records over a unix socket (ours).

One client, or several of a machine, as a small federation of the engine. Only log-posteriors on public images, label
counts as released, levels and own accuracies leave it. Its folder keeps `state.pt` (weights, momentum, streams, round)
and `released.json` (counts, whose noise is drawn once). Asked for a round that it has done, it answers the same again.
"""

import io
import json
import math
import os
import sys
from contextlib import suppress
from multiprocessing.connection import Listener
from pathlib import Path
from pkgutil import resolve_name

import numpy as np
import torch

from hfkd import __version__, paths
from hfkd.data import Split
from hfkd.deploy import plan as plans
from hfkd.deploy import wire
from hfkd.engine import federation, record, state
from hfkd.engine.cohort import alone, logits
from hfkd.methods import METHODS
from hfkd.privacy import release_opendp
from hfkd.streams import stream

HFKD = METHODS["hfkd"]


class Member:
    """The clients of one process, whatever carries their records.

    clients: name -> (arrays as `data.datasets.arrays` returns them, level); public: images, of the same shape; module:
    (shape, classes) -> nn.Module in place of the levels' networks. Raises ValueError: what does not fit.
    """

    def __init__(self, clients: dict, public, folder, module=None, epsilon: float = math.inf):
        self.names, (parts, self.levels) = list(clients), zip(*clients.values())
        if len(shapes := {own["images"].shape[1:] for own in parts} | {public.shape[1:]}) > 1:
            raise ValueError(f"own and public images are of shapes {sorted(shapes)}; expected one")
        if untrained := [name for name, own in zip(clients, parts) if own["is_test"].all()]:
            raise ValueError(f"all images of {untrained[0]} are to test; expected some to train on")
        self.images = torch.from_numpy(np.concatenate([*(own["images"] for own in parts), public]))
        self.labels = torch.from_numpy(np.concatenate([own["labels"] for own in parts]))
        *own, self.asked = np.split(np.arange(len(self.images)), np.cumsum([len(own["labels"]) for own in parts]))
        self.train, self.test = (tuple(at[own["is_test"] == kind] for at, own in zip(own, parts)) for kind in (0, 1))
        self.public, self.module, self.epsilon, self.folder = wire.checksum(public), module, epsilon, Path(folder)
        self.state = self.folder / "state.pt"
        self._load()

    def answer(self, asked: bytes) -> bytes:
        """The answer to a record, or a sentence why there is none; then all is as after the last round."""
        try:
            return self._answer(asked)
        except Exception as error:  # a module of one's own may raise anything, and a relay may send anything
            self._load()
            return wire.pack({"error": " ".join(f"{error}".split())[:500] or repr(error)})

    def _answer(self, asked):
        fields, _ = wire.unpack(asked)
        told, round = fields.get("hello"), fields.get("round")
        if self.told is None and told:
            self._begin(told)
        if self.told is None or self.told != told:
            raise ValueError(f"{self.folder} is of another federation; expected another --folder")
        if round is not None and round < self.done:
            raise ValueError(f"round {round} is asked for and {self.done} is done; expected another --folder")
        if round is not None and round > self.done:
            _, q = wire.unpack(asked, (len(self.asked), told["classes"]))
            self._learn(round, fields["alpha"], fields["ears"], torch.from_numpy(q))
        self._mode(False)
        scores = record.measure(self.fed, self.config, HFKD)["personality"].tolist()
        clients = [dict(zip(("name", "level", "counts", "score"), own), done=self.done)
                   for own in zip(self.names, self.levels, self.counts, scores)]
        return wire.pack({"version": __version__, "public": self.public, "clients": clients},
                         state.speak(self.fed, self.config, self.done)[0])  # fmt: skip

    def _begin(self, told):
        """Everything that a plan makes of data and seed, as in the engine."""
        if strange := [name for name in self.names if name not in told["names"]]:
            raise ValueError(f"{strange[0]!r} is not among the names of the federation")
        if (most := int(self.labels.max())) >= (classes := told["classes"]):
            raise ValueError(f"labels go up to {most}; the federation has {classes} classes, from 0")
        self.seed, self.config, self.done = told["seed"], plans.settle(told["set"]), 0
        if len(self.asked) != self.config.public_size:
            raise ValueError(f"there are {len(self.asked)} public images; the federation has {self.config.public_size}")
        self.numbers, none = [told["names"].index(name) for name in self.names], np.zeros(0, int)
        counts = np.stack([np.bincount(self.labels[at], minlength=classes) for at in self.train])
        own = Split(self.asked, self.train, (none,) * len(counts), self.test, none, counts, np.array(self.levels))
        self.fed = state.opened(self.config, [own], self.images, self.labels, classes, [self.seed], self.numbers)
        if self.module:
            self._mode(True, 0)
            made = [self.module(tuple(self.images.shape[1:]), classes) for _ in self.names]
            self.fed.cohorts = [alone(net, self.levels[i], i, self.fed.scales) for i, net in enumerate(made)]
            self._mode(False)
            for cohort in self.fed.cohorts:
                said = logits(cohort, self.images, torch.from_numpy(self.asked[None, :2]))[0]
                if said.shape != (2, classes):
                    raise ValueError(f"the module answers in shape {tuple(said.shape)}; expected {(2, classes)}")
        shapes = [[name, [*w.shape]] for cohort in self.fed.cohorts for name, w in cohort.weights.items()]
        self.counts, self.told, self.whose = self._released(counts), told, [self.names, [*self.levels], shapes]

    def _learn(self, round, weight, ears, q):
        """A round of the engine, on what the relay has pooled."""
        if not ((q >= 0).all() and torch.allclose(q.sum(-1), torch.ones(()), atol=1e-3)):
            raise ValueError("the relay's targets are no probabilities")
        self._mode(True, round)
        federation.learn(self.fed, self.config, HFKD, None, None, q[None] if len(q) else None,
                         np.array([weight], float), np.array([ears], bool), round)  # fmt: skip
        self.done = round
        self._save()

    def _mode(self, training, round=0):
        """Of modules of one's own; what they draw, such as dropout, is drawn by round."""
        for cohort in self.fed.cohorts:
            cohort.module.train(training)
        if training:
            torch.manual_seed(int(stream(self.seed, f"module {round}", self.numbers[0]).integers(2**63)))

    def _released(self, counts):
        """Counts as anybody else may know them, of every client drawn once for its labels."""
        file = self.folder / "released.json"
        kept = json.loads(file.read_text("utf-8")) if file.exists() else {}
        for name, own in zip(self.names, counts):
            key = wire.checksum([own.tolist(), self.epsilon])
            if name not in kept:
                kept[name] = key, release_opendp(own, self.epsilon).tolist()
                paths.write(file, json.dumps(kept))
            if kept[name][0] != key:
                raise ValueError(f"{file} is of other labels or another epsilon; to release them again costs privacy")
        return [kept[name][1] for name in self.names]

    def _save(self):
        """The state in one file, whole or not at all."""
        rngs = [rng.bit_generator.state for rng in self.fed.private_streams + self.fed.public_streams]
        nets = [([self.numbers[i] for i in cohort.members], cohort.weights, cohort.momentum,
                 dict(cohort.module.named_buffers())) for cohort in self.fed.cohorts]  # fmt: skip
        kept = {"done": self.done, "networks": nets, "words": json.dumps([self.told, rngs, self.whose])}
        torch.save(kept, file := io.BytesIO())
        paths.write(self.state, file.getvalue())

    def _load(self):
        """All as after the last round, if any; the file is read as numbers and words, never as code."""
        self.told = None
        if not self.state.exists():
            return
        kept = torch.load(self.state, weights_only=True)
        told, rngs, whose = json.loads(kept["words"])
        self._begin(told)
        if whose != self.whose:  # whose random streams, whose weights
            raise ValueError(f"{self.state} is of {whose[:2]} or other networks; expected these, or another --folder")
        self.done = kept["done"]
        for cohort, (_, cohort.weights, cohort.momentum, buffers) in zip(self.fed.cohorts, kept["networks"]):
            for name, each in cohort.module.named_buffers():
                each.copy_(buffers[name])
        for rng, where in zip(self.fed.private_streams + self.fed.public_streams, rngs):
            rng.bit_generator.state = where


def module(reference: str):
    """The function behind MODULE:FUNCTION, of a module in this folder or installed, or a ValueError."""
    sys.path.insert(0, os.getcwd())
    try:
        if not callable(found := resolve_name(reference)):
            raise ValueError("it is no function")
        return found
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"--module {reference!r} cannot be loaded ({error}); expected MODULE:FUNCTION") from error


def serve(member: Member, say) -> None:
    """Answers, one after the other, on FOLDER/socket, which none but the same user may use; until it is ended."""
    path = member.folder / "socket"
    with suppress(OSError, EOFError):  # nobody listens: left behind by who was killed
        wire.call(path, b"")
        raise ValueError(f"another member listens on {path}; expected another --folder")
    path.unlink(missing_ok=True)
    os.umask(0o177)
    with Listener(str(path), "AF_UNIX") as door:
        say(f"listens on {path}; public images {member.public}")
        while True:
            with door.accept() as line:
                try:
                    line.send_bytes(said := member.answer(line.recv_bytes(wire.LARGEST)))
                    say(wire.unpack(said)[0].get("error") or f"round {member.done} is done")
                except (OSError, EOFError) as error:
                    say(f"{error}")
