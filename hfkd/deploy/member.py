"""The resident client: it alone has data and network, and answers a relay's records over a unix socket (ours).

Only log-posteriors on public images, label counts as released, a level and an own accuracy leave it. Its folder keeps
`state.pt` (weights, momentum, stream positions, round) and `released.json` (counts, whose noise is drawn once). Asked
for a round that it has done, it answers the same again.
"""

import io
import json
import math
import os
import socket
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import numpy as np
import torch

from hfkd import __version__, paths
from hfkd.deploy import plan as plans
from hfkd.deploy import wire
from hfkd.engine import client, networks, training
from hfkd.knowledge import log_prior, mix
from hfkd.privacy import release_opendp
from hfkd.streams import stream


class Member:
    """One client of a federation, whatever carries its records.

    own: arrays images (n, h, w) or (n, h, w, c) uint8, labels (n,) from 0, optionally is_test; public: images; module:
    (shape, classes) -> nn.Module in place of the level's network. Raises ValueError: what does not fit.
    """

    def __init__(self, name, own: dict, public, level: int, folder, module=None, epsilon: float = math.inf):
        images, labels, held = own["images"], own["labels"], own.get("is_test", np.zeros(len(own["labels"]), bool))
        kinds, shapes = {images.dtype, public.dtype}, {images.shape[1:], public.shape[1:]}
        if kinds != {np.dtype(np.uint8)} or len(shapes) > 1 or images.ndim not in (3, 4):
            raise ValueError(f"own and public images are {kinds} of shapes {shapes}; expected uint8 of one shape")
        if labels.shape != images.shape[:1] or labels.dtype.kind not in "iu" or labels.min(initial=0) < 0 or held.all():
            raise ValueError(f"labels are {labels.shape} {labels.dtype} of {len(images)} images, {held.sum()} to test; "
                             "expected integers from 0, and images to train on")
        if level not in (1, 2, 3):
            raise ValueError(f"level is {level!r}; expected 1, 2 or 3")
        self.name, self.level, self.module, self.epsilon, self.folder = name, level, module, epsilon, Path(folder)
        self.own, self.asked, self.told = (images[~held], images[held]), public, None
        self.state = self.folder / "state.pt"
        self.labels, self.held = (torch.from_numpy(labels[at].astype(np.int64)) for at in (~held, held))
        if self.state.exists():
            self._load()

    def answer(self, record: bytes) -> bytes:
        """The answer to a record, or a sentence why there is none; then all is as after the last round."""
        try:
            return self._answer(record)
        except Exception as error:  # a module of one's own may raise anything, and a relay may send anything
            self.told = None
            if self.state.exists():
                self._load()
            return wire.pack({"name": self.name, "error": " ".join(f"{error}".split())[:500] or repr(error)})

    def _answer(self, record):
        fields, _ = wire.unpack(record)
        if fields.get("ask") == "hello":
            self._meet(*plans.checked(fields), fields.get("version"))
        elif not self.told or fields.get("federation") != wire.checksum(self.told):
            raise ValueError("a federation asks that has not said hello")
        elif fields["round"] < self.done:
            raise ValueError(f"round {fields['round']} is asked for and {self.done} is done; expected another --folder")
        elif fields["round"] > self.done:
            self._round(fields, wire.unpack(record, (len(self.asked), self.told["classes"]))[1])
            self._save()
        score = (client.speak(self.network.eval(), self.test) + self.prior).argmax(1).eq(self.held).float().mean()
        return wire.pack({"name": self.name, "version": __version__, "public": wire.checksum(self.asked),
                          "level": self.level, "counts": self.counts, "done": self.done, "batches": self.batches,
                          "score": None if score.isnan() else float(score)}, self._said())  # fmt: skip

    def _meet(self, told, config, version):
        """The first message: is this a federation for me, and the one I am in?"""
        here = (__version__, wire.checksum(self.asked), len(self.asked))
        if here != (there := (version, told["public"], config.public_size)):
            raise ValueError(f"hfkd, public images and their number are {here} here and {there} at the relay")
        if self.name not in told["names"]:
            raise ValueError(f"{self.name!r} is not among the names of the federation")
        if (most := int(self.labels.max())) >= told["classes"]:
            raise ValueError(f"labels go up to {most}; the federation has {told['classes']} classes, from 0")
        if self.told not in (None, told):
            raise ValueError(f"{self.state} is of another federation; expected another --folder")
        if self.told is None:
            self._begin(told)
            self._said()
            self._save()

    def _begin(self, told):
        """Everything that a plan makes of data and seed, as in the engine."""
        config, number, classes = plans.settle(told["set"]), told["names"].index(self.name), told["classes"]
        self.images, self.test, self.public = (
            torch.from_numpy(np.ascontiguousarray(part[:, None] if part.ndim == 3 else part.transpose(0, 3, 1, 2)))
            .float().sub_(float(told["mean"])).div_(float(told["deviation"])) for part in (*self.own, self.asked))
        shape, counts = tuple(self.images.shape[1:]), np.bincount(self.labels, minlength=classes)
        self.told, self.config, self.number, self.done, self.batches = told, config, number, 0, 0
        self._seed(0)
        if self.module:
            self.network = self.module(shape, classes)
        else:
            self.network = networks.build(config.levels, self.level, shape, classes).to_empty(device="cpu")
            self.network.load_state_dict(networks.initial(self.network, stream(told["seed"], "weights", number)))
        self.streams = [stream(told["seed"], name, number) for name in ("batches", "public batches")]
        self.prior = log_prior(counts).float() * (config.hard_loss == "balanced")
        self.counts, self.sgd = self._released(counts), self._descent()

    def _round(self, fields, q):
        """Digest, then own epochs in joint steps, as `federation.epoch` has them."""
        config, how, n = self.config, (self.config.temperature, self.config.kl_direction), len(self.labels)
        if q is not None and not (np.isfinite(q).all() and (q >= 0).all() and np.allclose(q.sum(1), 1, atol=1e-3)):
            raise ValueError("the relay's targets are no probabilities")
        steps, heard = -(-config.epochs * n // config.batch), None
        rows = training.batches(self.streams[0], n, steps, config.batch)
        self._seed(fields["round"])
        self.network.train()
        if q is not None and config.digest and fields["ears"]:
            passes = config.digest * -(-len(q) // config.batch)
            client.digest(self.network, self._descent(), self._lesson(q, passes), *how)
            self.batches += passes
        if q is not None and fields["joint"]:
            heard = self._lesson(q, steps)
        self.batches += steps * (1 + (heard is not None and fields["alpha"] > 0))
        client.train(self.network, self.sgd, ((self.images[at], self.labels[at]) for at in rows), self.prior, heard,
                     torch.tensor(fields["alpha"]), *how)  # float32, as in the engine
        if not all(torch.isfinite(w).all() for w in self.network.parameters()):
            raise ValueError(f"training diverged in round {fields['round']}; try a smaller lr than {config.lr:g}")
        self.done = fields["round"]

    def _lesson(self, q, steps):
        """Public batches (images, targets), mixed up; all draws now, all arithmetic when a batch is taken."""
        q, share, rng = torch.from_numpy(q), self.config.mixup, self.streams[1]
        rows = training.batches(rng, len(q), steps, self.config.batch)
        shares = torch.from_numpy(rng.beta(share, share, steps) if share else np.ones(steps)).float()
        return (mix(self.public[at], q[at], each) for at, each in zip(rows, shares))

    def _said(self):
        """(m, C) answers on the public images, or a ValueError."""
        said = client.speak(self.network.eval(), self.public, self.config.temperature)
        if said.shape != (wanted := (len(self.asked), self.told["classes"])):
            raise ValueError(f"the module answers in shape {tuple(said.shape)}; expected {wanted}")
        return said.numpy()

    def _descent(self):
        return torch.optim.SGD(self.network.parameters(), lr=self.config.lr, momentum=self.config.momentum)

    def _seed(self, round):
        """Of what a module of one's own draws, such as dropout."""
        torch.manual_seed(int(stream(self.told["seed"], f"module {round}", self.number).integers(2**63)))

    def _released(self, counts):
        """Counts as anybody else may know them, drawn once for these data."""
        file, key = self.folder / "released.json", [counts.tolist(), self.epsilon]
        found = json.loads(file.read_text("utf-8")) if file.exists() else None
        if found is None:
            found = {"of": wire.checksum(key), "counts": release_opendp(counts, self.epsilon).tolist()}
            paths.write(file, json.dumps(found))
        if found["of"] != wire.checksum(key):
            raise ValueError(f"{file} is of other labels or another epsilon; to release them again costs privacy")
        return found["counts"]

    def _save(self):
        """The state in one file, whole or not at all."""
        streams = json.dumps([rng.bit_generator.state for rng in self.streams])
        kept = {"told": json.dumps(self.told), "done": self.done, "batches": self.batches, "streams": streams,
                "network": self.network.state_dict(), "sgd": self.sgd.state_dict()}  # fmt: skip
        torch.save(kept, file := io.BytesIO())
        paths.write(self.state, file.getvalue())

    def _load(self):
        """The state of the last round; the file is read as numbers and words, never as code."""
        kept = torch.load(self.state, weights_only=True)
        self._begin(json.loads(kept["told"]))
        self.network.load_state_dict(kept["network"])
        self.sgd.load_state_dict(kept["sgd"])
        self.done, self.batches = kept["done"], kept["batches"]
        for rng, state in zip(self.streams, json.loads(kept["streams"])):
            rng.bit_generator.state = state


def module(reference: str):
    """The function behind MODULE:FUNCTION, of a module in this folder or installed, or a ValueError."""
    name, _, function = reference.partition(":")
    sys.path.insert(0, os.getcwd())
    try:
        return getattr(import_module(name), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"--module {reference!r} cannot be loaded ({error}); expected MODULE:FUNCTION") from error


def serve(member: Member, say) -> None:
    """Answers, one after the other, on FOLDER/socket, which none but the same user may use; until it is ended."""
    path = str(member.folder / "socket")
    with suppress(OSError):  # nobody listens: left behind by who was killed
        wire.call(path, wire.pack({}))
        raise ValueError(f"another member listens on {path}; expected another --folder")
    Path(path).unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as door:
        os.umask(0o177)
        door.bind(path)
        door.listen()
        say(f"{member.name} listens on {path}")
        while True:
            line, _ = door.accept()
            with line:
                line.settimeout(60)
                try:
                    line.sendall(wire.framed(said := member.answer(wire.receive(line))))
                    fields, _ = wire.unpack(said)
                    say(f"{member.name}: {fields.get('error') or 'round %s is done' % fields['done']}")
                except (OSError, ValueError) as error:
                    say(f"{member.name}: {error}")
