"""A real federation: the parties alone, against the engine and against what goes wrong; then over Flower, with TLS."""

import importlib.util
import json
import os
import re
import signal
import socket
import stat
import struct
import subprocess
import sys
from multiprocessing.connection import Client

import numpy as np
import pytest
import torch
from scenes import DIGITS, N, weights_of
from torch import nn

from hfkd import paths
from hfkd.cli import main
from hfkd.data import files
from hfkd.data.datasets import arrays
from hfkd.deploy import local, wire
from hfkd.deploy import plan as plans
from hfkd.deploy.member import Member
from hfkd.deploy.relay import Relay
from hfkd.engine import federation
from hfkd.engine.faults import Presence
from hfkd.methods import METHODS

GIVEN = dict(clients=N, pool_size=500, public_size=40, balanced_size=100, batch=16, lr=0.05, rounds=4, alpha=0.4)
ALONE = [[i] for i in range(N)]


class Town:
    """Members and a relay in one process. blocks: who shares a member; spoil: node -> (fields, answer) -> reply."""

    def __init__(self, folder, blocks=ALONE, **more):
        self.folder, self.given, self.lines, self.spoil, self.posted = folder, GIVEN | more, [], {}, []
        local.prepare(folder, self.given, DIGITS(), 0, 1)
        self.plan = json.loads((folder / "plan.json").read_text()) | {"wait": 0.5, "tries": 3, "pause": 0.0}
        self.levels = (folder / "machine-0" / "options").read_text().split()[-N:]
        self.own = [arrays("own", files.read(folder / f"client-{i}.npz", files.npz)) for i in range(N)]
        self.public = arrays("public", dict(np.load(folder / "public.npz")))["images"]
        self.blocks, self.members = blocks, {i: self.member(block, folder / f"{i}") for i, block in enumerate(blocks)}

    def member(self, block, folder, **more):
        """Some clients, from what their folder keeps."""
        folder.mkdir(exist_ok=True)
        return Member({f"client-{i}": (self.own[i], int(self.levels[i])) for i in block}, self.public, folder, **more)

    def post(self, records):
        def reply(node, record):
            self.posted.append((node, (asked := wire.unpack(record, (40, 10))[0]).get("round")))
            answer = lambda: self.members[node].answer(record)
            return self.spoil[node](asked, answer) if node in self.spoil else answer()
        return {node: reply(node, record) for node, record in records.items()}

    def run(self):
        return Relay(self.plan, self.folder, lambda: sorted(self.members), self.post, self.lines.append).run()

    def agrees(self):
        """Whether all end where the engine ends; processors may sum blocks in another order."""
        *_, end = federation.rounds(plans.settle(self.given), METHODS["hfkd"], DIGITS(), (0,))
        found = {block[at]: own[1] for block, member in zip(self.blocks, self.members.values())
                 for at, own in weights_of(member.fed).items()}  # fmt: skip
        return all(torch.allclose(w, found[i][name], rtol=0, atol=1e-5)
                   for i, (_, own) in weights_of(end.fed).items() for name, w in own.items())  # fmt: skip


@pytest.mark.parametrize("blocks, more", [
    (ALONE, {}), (ALONE, dict(alpha=0.0, beta=0.3, digest=2, levels="depth")),
    (ALONE, dict(weighting="fixed", mixup=0.0, hard_loss="plain", temperature=2.0)),
    ([[4, 0, 3], [5], [1, 2]], dict(alpha=0.0, beta=0.3, digest=2)), ([[*range(N)]], dict(levels="cnn")),
])  # fmt: skip
def test_members_and_a_relay_are_the_engine(tmp_path, blocks, more):
    town = Town(tmp_path, blocks, **more)
    assert sum(town.run()["client-5"]["counts"]) > 0 and len(town.posted) == len(blocks) * (1 + 4)
    assert town.agrees() and len(town.lines) == 4 and "6 heard, 6 learned" in town.lines[3]


def test_who_fails_in_a_round_is_absent_from_it_and_who_comes_back_goes_on(tmp_path, monkeypatch):
    town, client = Town(tmp_path), np.arange(N)[None]
    town.plan["wait"], old = 60, spoiled(version="0.1")  # and then one comes that fits
    town.spoil = {1: lambda asked, answer: old(asked, answer) if len(town.posted) <= N else answer(),
                  2: lambda asked, answer: "gone" if town.posted.count((2, 3)) else answer(),  # from round 3 on
                  4: lambda asked, answer: NAN(asked, answer) if asked.get("round") == 2 else answer()}  # fmt: skip
    facts = town.run()
    assert town.posted.count((2, 3)) == 3 and (2, 4) not in town.posted and facts["client-2"]["done"] == 2
    assert [line for line in town.lines if "gone" in line] == ["client-2: gone; the federation goes on without it"]
    assert "6 heard, 5 learned" in town.lines[3] and facts["client-4"]["done"] == 4

    def carry(said, round):  # who learned, and was asked once more, was never away
        heard = (client != 2) | (round < 4)
        return said, Presence((client == 2) & (round > 2), np.zeros_like(heard), heard, heard)

    monkeypatch.setattr(federation.faults, "channel", lambda config, seeds: carry)
    assert town.agrees()


def test_killed_and_lost_in_the_middle_all_go_on_to_the_same_end(tmp_path):
    town = Town(tmp_path)

    def dies_once(asked, answer):
        if asked.get("round") == 2 and town.posted.count((1, 2)) == 1:
            answer()  # learned and kept, and the answer is lost
            town.members[1] = town.member([1], tmp_path / "1")
            return "lost"
        return answer()

    town.spoil = {1: dies_once, 3: lambda asked, answer: 1 / 0 if asked.get("round") == 3 else answer()}
    with pytest.raises(ZeroDivisionError):  # the relay ends
        town.run()
    assert [town.members[i].done for i in range(N)] == [3, 3, 3, 2, 2, 2]
    town.spoil, town.members = {}, {i: town.member([i], tmp_path / f"{i}") for i in range(N)}  # all from files
    town.run()
    assert town.agrees() and town.posted.count((1, 3)) == 2 and "6 heard, 6 learned" in town.lines[-1]
    town.plan["seed"] = 1
    with pytest.raises(ValueError, match="journal is of another federation"):
        town.run()
    with pytest.raises(ValueError, match="is of another plan; expected another --folder, or --fresh"):
        local.prepare(tmp_path, town.given, DIGITS(), 1, 1)
    for block, level in (([0, 1], 0), ([0], 1)):  # its streams and weights are client 0's, of its level
        town.levels[0] = str((int(town.levels[0]) - 1 + level) % 3 + 1)
        with pytest.raises(ValueError, match="expected these, or another --folder"):
            town.member(block, tmp_path / "0")
    paths.write(tmp_path / "plan.json", '{"a": "plan of somebody else"}')
    with pytest.raises(ValueError, match="is of another plan; expected another --folder$"):
        local.prepare(tmp_path, town.given, DIGITS(), 0, 1, fresh=True)
    assert (tmp_path / "0" / "state.pt").exists() and not list(tmp_path.parent.glob(".*.part"))


def test_a_member_that_is_started_anew_before_every_message_misses_nothing(tmp_path):
    town = Town(tmp_path, rounds=1)
    town.spoil = {2: lambda _, answer: town.members.update({2: town.member([2], tmp_path / "2")}) or answer()}
    town.run()
    assert town.agrees() and "6 heard, 6 learned" in town.lines[-1]


def spoiled(change=lambda tables: tables, client=None, **fields):
    """Answers that are well-formed but for what is changed."""
    def spoil(asked, answer):
        found, tables = wire.unpack(answer(), (40, 10))
        found["clients"][0] |= client or {}
        return wire.pack(found | fields, change(tables))
    return spoil


NAN = spoiled(lambda a: a * np.nan)
BAD = [
    (lambda *_: b"x" * 6, "6 bytes does not begin"), (lambda *_: b"[" * 10**7 + b"\n", "10000001 bytes does not"),
    (lambda *_: b"[1]\n", "not begin"), (lambda *_: 4, "node 5: 4;"), (spoiled(lambda a: a[..., :9]), "of 1440"),
    (NAN, "node 5: it answers with"), (spoiled(lambda a: a + 1), "log-prob"), (spoiled(lambda a: ()), "with 0"),
    (spoiled(client=dict(name="client-1")), "'client-1' is not registered, or taken"), (spoiled(error="no"), "s: no"),
    (spoiled(client=dict(name="x")), "'x' is not regis"), (spoiled(client=dict(counts=[1] * 9)), "a table"),
    (spoiled(client=dict(counts=[1.5] * 10)), "10 counts"), (spoiled(client=dict(counts=[-1] * 10)), "10 counts"),
    (spoiled(client=dict(level=4)), "level 1 to 3"), (spoiled(client=dict(done="x")), "'done': 'x'"),
    (spoiled(clients=None), "tells None"), (spoiled(version="0.1"), "'0.1'"), (spoiled(public="f"), "images .* 'f'"),
]  # fmt: skip


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    return Town(tmp_path_factory.mktemp("town"), rounds=1)


@pytest.mark.parametrize("bad, sentence", BAD)
def test_what_is_wrong_with_a_client_is_one_sentence_and_the_others_go_on(town, bad, sentence):
    town.spoil, town.lines = {5: bad}, []
    (town.folder / "journal").unlink(missing_ok=True)
    assert list(town.run()) == [f"client-{i}" for i in range(5)] and "5 heard, 5 learned" in town.lines[-1]
    assert sum(bool(re.search(sentence, line)) for line in town.lines) == 1 and len(town.lines) == 3


def asks(member, plan, **more):
    """What a member has against a plan."""
    return wire.unpack(member.answer(wire.pack({"hello": plans.told(plan) | more})), (40, 10))[0].get("error", "")


def flat(shape, classes):
    """A network of one's own that draws when it trains, keeps buffers, and is not learned as a whole."""
    torch.nn.init.ones_((frozen := nn.Linear(64, 64)).weight).requires_grad_(False)
    return nn.Sequential(nn.Flatten(), frozen, nn.BatchNorm1d(64), nn.Dropout(), nn.Linear(64, classes))


@pytest.mark.parametrize("change, sentence", [
    ({"names": ["a", "b"]}, "'client-0' is not among the names"), ({"classes": 7}, r"labels go up to \d; the fed.* 7"),
    ({"set": {"spoken": 3}}, "spoken is 3, which"), ({"set": {}}, "there are 40 public images; the federation has 200"), ({"set": {"x": 1}}, "'x' is unknown"),
])  # fmt: skip
def test_a_member_refuses_a_federation_that_is_not_its_own(town, tmp_path, change, sentence):
    assert re.search(sentence, asks(town.member([0], tmp_path), town.plan, **change))
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("change", [{"seed": True}, {"names": ["a", "a"]}, {"classes": 1}, {"public": None}])
def test_a_relay_refuses_a_plan_that_makes_no_sense(town, change):
    with pytest.raises(ValueError, match=f"{min(change)} of the plan is"):
        Relay(town.plan | change, town.folder, None, None)


def test_a_member_with_networks_of_its_own_learns_the_same_twice_and_says_what_is_wrong_with_it(town, tmp_path):
    plan, made = town.plan | {"set": GIVEN}, []
    order = {"hello": plans.told(plan), "alpha": [0.4, 0.4], "ears": [True, True]}
    pooled = np.full((2, 40, 10), 0.1)
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        assert not asks(mine := town.member([0, 5], folder, module=flat), plan)
        for r in (1, 2):
            made.append(mine.answer(wire.pack(order | {"round": r}, pooled)))
            mine = town.member([0, 5], folder, module=flat)  # killed after every round
            assert mine.answer(wire.pack(order | {"round": r})) == made[-1]
        assert mine.fed.cohorts[0].module.body[1].weight.eq(1).all()
        for wrong, tables, sentence in [
                ({"round": 1}, (), "round 1 is asked for and 2 is done"), ({}, 2 * pooled, "no probabilities"),
                ({}, np.ones((1, 10)), "of 40 bytes"), ({"hello": None}, (), "of another federation"),
                ({"alpha": "x"}, (), "could not convert"), ({"alpha": [1e9] * 2}, pooled, "training diverged")]:
            said = mine.answer(wire.pack(order | {"round": 3} | wrong, tables))
            assert re.search(sentence, wire.unpack(said)[0]["error"])
        assert mine.answer(wire.pack(order | {"round": 2})) == made[-1]  # nothing of it stays
    assert made[:2] == made[2:] and made[0] != made[1]
    for module, sentence in [(lambda shape, classes: flat(shape, 1), r"shape \(2, 1\); expected \(2, 10\)"),
                             (lambda shape, classes: 1 / 0, "division by zero")]:  # fmt: skip
        assert re.search(sentence, asks(town.member([0], tmp_path, module=module), plan))
    assert not (tmp_path / "state.pt").exists()


def test_noise_on_counts_is_drawn_once(town, tmp_path, monkeypatch):
    drawn = iter(range(1, 9))
    monkeypatch.setattr("hfkd.deploy.member.release_opendp", lambda counts, epsilon: counts + next(drawn))
    one = [town.member([0, 1], tmp_path, epsilon=1.0) for _ in "12"]
    assert not any(asks(each, town.plan) for each in one) and one[0].counts == one[1].counts
    assert (np.array(one[0].counts) - one[0].fed.splits[0].counts == [[1], [2]]).all()
    assert "another epsilon; to release them again" in asks(town.member([0], tmp_path, epsilon=2.0), town.plan)


def peer(path):
    """The process that listens on a unix socket."""
    with Client(str(path)) as line, socket.socket(fileno=os.dup(line.fileno())) as same:
        return struct.unpack("3i", same.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]


def test_the_process_of_a_member_answers_its_own_user_alone_and_survives_what_comes(town, tmp_path, capsys):
    words = (f"member --data {town.folder / 'client-0.npz'} --public {town.folder / 'public.npz'}"
             f" --folder {tmp_path / 'f'} --level 3").split()  # fmt: skip
    order = [sys.executable, "-m", "hfkd.cli", *words]
    with subprocess.Popen(order, cwd=paths.ROOT, stdout=subprocess.PIPE, text=True) as one:
        try:
            assert "listens on" in one.stdout.readline()
            assert peer(path := tmp_path / "f" / "socket") == one.pid and stat.S_IMODE(path.stat().st_mode) == 0o600
            with pytest.raises((OSError, EOFError)), Client(str(path)) as line:
                os.write(line.fileno(), struct.pack("!iQ", -1, 40 * 10**9) + b"x")
                line.recv_bytes()
            said = wire.call(path, wire.pack({"hello": plans.told(town.plan)}))
            assert wire.unpack(said, (40, 10))[0]["clients"][0]["level"] == 3
            for more, sentence in [([], "another member listens"), (["--module", "nowhere:net"], "cannot be loaded"),
                                   (["--module", "json"], "cannot be loaded (it is no function)"),
                                   (["--level", "1", "2"], "one level for all or each")]:  # fmt: skip
                assert main(words + more) == 2 and sentence in capsys.readouterr().err
        finally:
            one.terminate()
        assert "bad message length" in one.stdout.read()


@pytest.mark.skipif(importlib.util.find_spec("flwr") is None, reason="needs Flower: make flower")
def test_a_federation_over_flower_is_the_engine_though_a_member_is_killed_in_the_middle(tmp_path):
    lines, folder = [], tmp_path / "f"

    def say(line):
        lines.append(line)
        if line.startswith("round 1 of 3"):
            os.kill(peer(folder / "machine-1" / "socket"), signal.SIGKILL)

    local.federate(GIVEN | {"clients": 3, "rounds": 3}, folder, check=True, say=say)
    assert "equal to the in-process run" in lines[-1] and "3 heard, 3 learned" in lines[-5]
    assert (folder / "machine-1" / "member.log").read_text().count("listens on") == 2
    left = subprocess.run(f"grep -ls {folder} /proc/*/environ", shell=True, capture_output=True)
    assert not left.stdout  # nor what Flower starts apart
