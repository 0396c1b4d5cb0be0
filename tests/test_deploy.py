"""A real federation: the parties alone, against the engine and against what goes wrong; then over Flower, with TLS."""

import json

import numpy as np
import pytest
import torch
from scenes import DIGITS, METHODS, N, same, settings, weights_of

from hfkd.deploy import local, wire
from hfkd.deploy.member import Member
from hfkd.deploy.relay import Relay
from hfkd.engine import faults, federation

SMALL = dict(clients=N, pool_size=500, public_size=40, balanced_size=100, batch=16, lr=0.05, rounds=4, alpha=0.4)


class Town:
    """Members in one process; post calls them. spoil: node -> what becomes of its record."""

    def __init__(self, folder, given=SMALL, **more):
        self.folder, self.plan_set = folder, given | more
        self.plan, self.own, self.public, self.levels = local.parties(given | more, DIGITS(), 0)
        self.plan |= {"wait": 0.5, "pause": 0.0}
        self.members = {i: self.member(i) for i in range(len(self.own))}
        self.lines, self.spoil, self.posts = [], {}, []

    def member(self, i, **more):
        """Client i, from its folder."""
        (self.folder / f"{i}").mkdir(exist_ok=True)
        given = dict(name=f"client-{i}", own=self.own[i], public=self.public, level=int(self.levels[i]),
                     folder=self.folder / f"{i}")  # fmt: skip
        return Member(**given | more)

    def post(self, records):
        """What members answer, spoiled."""
        replies = {}
        for i, record in records.items():
            fields, _ = wire.unpack(record[: record.find(b"\n") + 1], ())
            self.posts.append((i, fields.get("round", 0)))
            act = self.spoil.get(i, lambda fields, answer: answer())
            replies[i] = act(fields, lambda i=i, record=record: self.members[i].answer(record))
        return replies

    def run(self):
        """What a relay tells at the end."""
        return Relay(self.plan, self.folder, lambda: sorted(self.members), self.post, self.lines.append).run()

    def agrees(self, who=range(N), patch=None):
        """Whether members end where the engine ends."""
        config, named, digits = settings(**SMALL | self.plan_set)
        *_, end = federation.rounds(config, named, digits, (0,))
        theirs = weights_of(end.fed)
        return [all(a.equal(b) for a, b in zip(self.members[i].network.state_dict().values(), theirs[i][1].values()))
                for i in who]


@pytest.mark.parametrize("more", [{}, dict(alpha=0.0, beta=0.3, digest=2), dict(weighting="fixed", mixup=0.0),
                                  dict(hard_loss="plain", feedback=False, fan_in=1, temperature=2.0)])
def test_members_and_relay_are_the_engine_to_the_bit(tmp_path, more):
    town = Town(tmp_path, **more)
    facts = town.run()
    assert town.agrees() == [True] * N
    print(town.lines, facts["client-0"])
