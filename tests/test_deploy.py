"""A real federation: the parties alone, against the engine and against what goes wrong; then over Flower, with TLS."""

import functools
import importlib.util
import io
import os
import re
import signal
import socket
import stat
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scenes import DIGITS, N, settings, weights_of

from hfkd import paths
from hfkd.cli import main
from hfkd.deploy import local, wire
from hfkd.deploy import plan as plans
from hfkd.deploy.member import Member
from hfkd.deploy.relay import Relay
from hfkd.engine import federation
from hfkd.engine.faults import Presence

GIVEN = dict(clients=N, pool_size=500, public_size=40, balanced_size=100, batch=16, lr=0.05, rounds=4, alpha=0.4)


class Town:
    """Members and a relay in one process. spoil: node -> (fields asked, answer) -> what arrives."""

    def __init__(self, folder, **more):
        self.folder, self.given, self.lines, self.spoil, self.posted = folder, GIVEN | more, [], {}, []
        self.plan, self.own, self.public, self.levels = local.parties(self.given, DIGITS(), 0)
        self.plan |= {"wait": 0.5, "tries": 3, "pause": 0.0}
        self.members = {i: self.member(i) for i in range(N)}

    def member(self, i, **more):
        """Client i, from what its folder keeps."""
        (self.folder / f"{i}").mkdir(exist_ok=True)
        return Member(**dict(name=f"client-{i}", own=self.own[i], public=self.public, level=self.levels[i],
                             folder=self.folder / f"{i}") | more)  # fmt: skip

    def post(self, records):
        """What members answer, spoiled."""
        replies = {}
        for i, record in records.items():
            asked = wire.unpack(record)[0]
            self.posted.append((i, asked.get("round")))
            answer = functools.partial(self.members[i].answer, record)
            replies[i] = self.spoil[i](asked, answer) if i in self.spoil else answer()
        return replies

    def run(self):
        """What a relay knows at the end."""
        return Relay(self.plan, self.folder, lambda: sorted(self.members), self.post, self.lines.append).run()

    def agrees(self):
        """Whether all end where the engine ends, to the bit."""
        *_, end = federation.rounds(*settings(**self.given), (0,))
        wanted = weights_of(end.fed)
        found = [member.network.state_dict() for member in self.members.values()]
        return all(w.equal(own[name]) for i, own in enumerate(found) for name, w in wanted[i][1].items())


@pytest.mark.parametrize("more", [{}, dict(alpha=0.0, beta=0.3, digest=2, levels="depth"),
                                  dict(weighting="fixed", mixup=0.0, hard_loss="plain", temperature=2.0)])
def test_members_and_a_relay_are_the_engine_to_the_bit(tmp_path, more):
    town = Town(tmp_path, **more)
    facts = town.run()
    assert town.agrees() and len(town.lines) == 4 and "6 heard, 6 learned" in town.lines[3]
    assert facts["client-5"]["counts"] == town.members[5].counts and len(town.posted) == N * (1 + 4)


def absent_from_the_engine(patch, client, learns_not, heard_not):
    """The engine with a client absent in some rounds, its streams where they were; heard in all but some."""
    def carry(said, round):
        absent, heard = np.zeros((1, N), bool), np.ones((1, N), bool)
        absent[0, client], heard[0, client] = round in learns_not, round not in heard_not
        return said, Presence(absent, np.zeros((1, N), bool), heard, heard)

    def epoch(fed, *given, whole=federation.epoch):
        rngs = [each[client].bit_generator for each in (fed.private_streams, fed.public_streams)]
        before = [rng.state for rng in rngs]
        whole(fed, *given)
        for rng, state in zip(rngs, before):
            rng.state = state if fed.round in learns_not else rng.state

    patch.setattr(federation.faults, "channel", lambda config, seeds: carry)
    patch.setattr(federation, "epoch", epoch)


def test_who_fails_in_a_round_is_absent_from_it_and_who_comes_back_goes_on(tmp_path, monkeypatch):
    town = Town(tmp_path)
    away = lambda asked: asked.get("round") == 2 or town.posted.count((2, None)) == 2  # in round 2, and before round 3
    town.spoil[2] = lambda asked, answer: "gone" if away(asked) else answer()
    facts = town.run()
    assert town.posted.count((2, 2)) == 3 and (2, 3) not in town.posted and facts["client-2"]["done"] == 4
    assert [line for line in town.lines if "gone" in line] == ["client-2: gone; the federation goes on without it"]
    absent_from_the_engine(monkeypatch, 2, {2, 3}, {3})
    assert town.agrees()


def test_killed_and_lost_in_the_middle_all_go_on_to_the_same_bits(tmp_path):
    town = Town(tmp_path)

    def dies_once(asked, answer):
        if asked.get("round") == 2 and town.posted.count((1, 2)) == 1:
            answer()  # learned and kept, and the answer is lost
            town.members[1] = town.member(1)
            return None
        return answer()

    def ends_the_relay(asked, answer):
        if asked.get("round") == 3:
            raise KeyboardInterrupt
        return answer()

    town.spoil = {1: dies_once, 3: ends_the_relay}
    with pytest.raises(KeyboardInterrupt):
        town.run()
    assert [town.members[i].done for i in range(N)] == [3, 3, 3, 2, 2, 2]
    town.spoil, town.members = {}, {i: town.member(i) for i in range(N)}  # everything from files
    town.run()
    assert town.agrees() and town.posted.count((1, 3)) == 2
    town.plan["seed"] = 1
    with pytest.raises(ValueError, match="journal.pt is of another federation"):
        town.run()


def spoiled(change=lambda array: array, **fields):
    """Answers that are well-formed but for what is changed."""
    def spoil(asked, answer):
        found, array = wire.unpack(answer(), (40, 10))
        return wire.pack(found | fields, change(array))
    return spoil


BAD = [
    (lambda asked, answer: b"x" * 6, "6 bytes does not begin"), (lambda asked, answer: b"", "0 bytes"),
    (lambda asked, answer: b"[" * 10**5 + b"\n", "100001 bytes does not"), (lambda *_: b"[1]\n", "not begin"),
    (spoiled(lambda a: a.astype(complex).view(float)), "of 3200 bytes came; expected \\(40, 10\\)"),
    (spoiled(lambda a: a[:, :9]), "of 1440 bytes came"), (spoiled(lambda a: a * np.nan), "client-5 answers with what"),
    (spoiled(lambda a: a + 1), "no log-prob"), (spoiled(lambda a: None), "no log-prob"),
    (spoiled(name="client-1"), "the name 'client-1' is taken"), (spoiled(name="x"), "the name 'x' is not registered"),
    (spoiled(counts=[1] * 9), "expected 10 integers"), (spoiled(counts=[1.5] * 10), "expected 10 integers"),
    (spoiled(level=4), "at level 4"), (spoiled(done="x"), "expected numbers"), (spoiled(version="0.1"), "'0.1'"),
    (spoiled(public="f" * 16), "client-5 has .*ffff"), (spoiled(error="no"), "client-5 says: no"),
]  # fmt: skip


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    return Town(tmp_path_factory.mktemp("town"), rounds=1)


@pytest.mark.parametrize("bad, sentence", BAD)
def test_what_is_wrong_with_a_client_is_one_sentence_and_the_others_go_on(town, bad, sentence):
    town.spoil, town.lines = {5: bad}, []
    (town.folder / "journal.pt").unlink(missing_ok=True)
    assert list(town.run()) == [f"client-{i}" for i in range(5)] and "5 heard, 5 learned" in town.lines[-1]
    assert sum(bool(re.search(sentence, line)) for line in town.lines) == 1 and len(town.lines) == 3


def test_what_is_wrong_later_costs_that_round_alone(town):
    town.spoil, town.lines = {5: lambda asked, answer: BAD[6][0](asked, answer) if "round" in asked else answer()}, []
    (town.folder / "journal.pt").unlink(missing_ok=True)
    town.run()
    assert "6 heard, 5 learned" in town.lines[-1] and len(town.lines) == 2


def asks(member, plan, **more):
    """What a member says to hello."""
    return wire.unpack(member.answer(wire.pack({"ask": "hello"} | plans.checked(plan)[0] | more)))[0].get("error", "")


def flat(shape, classes):
    """A network of one's own that draws when it trains."""
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Dropout(), torch.nn.Linear(64, classes))


@pytest.mark.parametrize("name, change, sentence", [
    ("client-0", {"version": "0.1"}, "'0.1'.* at the relay"), ("nobody", {}, "'nobody' is not among the names"),
    ("client-0", {"public": "f" * 16}, "ffff"), ("client-0", {"classes": 7}, r"labels go up to \d; the fed.* 7"),
    ("client-0", {"set": GIVEN | {"public_size": 41}}, "41"), ("client-0", {"deviation": 0.0}, "deviation of the plan"),
    ("client-0", {"set": {"spoken": 3}}, "spoken is 3, which"), ("client-0", {"names": ["a", "a"]}, "names of the"),
    ("client-0", {"seed": True}, "seed of the plan is True"), ("client-0", {"set": {"x": 1}}, "'x' is unknown"),
])  # fmt: skip
def test_a_member_refuses_a_federation_that_is_not_its_own(town, tmp_path, name, change, sentence):
    assert re.search(sentence, asks(town.member(0, name=name, folder=tmp_path), town.plan, **change))
    assert not any(tmp_path.iterdir())


def test_a_member_with_a_network_of_its_own_learns_the_same_twice_and_says_what_is_wrong_with_it(town, tmp_path):
    plan, made = town.plan | {"set": GIVEN}, []
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        mine = town.member(0, module=flat, folder=folder)
        assert not asks(mine, plan)
        order = {"federation": wire.checksum(plans.checked(plan)[0]), "alpha": 0.4, "ears": True, "joint": True}
        for r in (1, 2):
            mine = town.member(0, module=flat, folder=folder)  # killed after every round
            made.append(mine.answer(wire.pack(order | {"round": r}, np.full((40, 10), 0.1))))
            assert mine.answer(wire.pack(order | {"round": r})) == made[-1]
        for wrong, array, sentence in [({"round": 1}, None, "round 1 is asked for and 2 is done"), (
                {"round": 3}, np.ones((40, 10)), "no probabilities"), ({"round": 3}, np.ones((1, 10)), "of 40 bytes"),
                ({"federation": "x"}, None, "has not said hello"), ({"alpha": "x", "round": 3}, None, "data type")]:
            assert re.search(sentence, wire.unpack(mine.answer(wire.pack(order | wrong, array)))[0]["error"])
        assert mine.answer(wire.pack(order | {"round": 2})) == made[-1]  # nothing of it stays
    assert made[:2] == made[2:] and made[0] != made[1]
    for module, sentence in [(lambda shape, classes: flat(shape, 9), r"shape \(40, 9\); expected \(40, 10\)"),
                             (lambda shape, classes: 1 / 0, "division by zero")]:  # fmt: skip
        assert re.search(sentence, asks(town.member(0, module=module, folder=tmp_path), plan))
    assert not (tmp_path / "state.pt").exists()


def test_noise_on_counts_is_drawn_once(town, tmp_path, monkeypatch):
    drawn = iter(range(1, 9))
    monkeypatch.setattr("hfkd.deploy.member.release_opendp", lambda counts, epsilon: counts + next(drawn))
    one = [town.member(0, folder=tmp_path, epsilon=1.0) for _ in "12"]
    assert not any(asks(each, town.plan) for each in one) and one[0].counts == one[1].counts
    assert (np.array(one[0].counts) == np.bincount(one[0].labels, minlength=10) + 1).all()
    (tmp_path / "state.pt").unlink()  # another federation: the same counts, or none
    assert not asks(again := town.member(0, folder=tmp_path, epsilon=1.0), town.plan) and again.counts == one[0].counts
    (tmp_path / "state.pt").unlink()
    assert "another epsilon; to release them again" in asks(town.member(0, folder=tmp_path, epsilon=2.0), town.plan)


@pytest.mark.parametrize("setting, sentence", [
    ("schedule=top_down", "schedule is 'top_down', which one message a round cannot carry; expected 'simultaneous'"),
    ("weighting=gradient", "weighting is 'gradient'"), ("method=fedavg", "method is 'fedavg'"), ("x=1", "'x' is"),
    ("spoken=9", "spoken is 9"), ("dropout=0.1", "dropout is 0.1"), ("refresh=2", "refresh is"), ("epsilon=1", "noise"),
])  # fmt: skip
def test_settings_that_a_message_cannot_carry_are_refused_before_anything_starts(setting, sentence, tmp_path, capsys):
    assert main(["federate", "--set", setting, "--folder", str(tmp_path / "f")]) == 2
    assert sentence in capsys.readouterr().err and not (tmp_path / "f").exists()


def test_only_an_app_that_is_used_imports_flower_and_a_messenger_never_torch():
    asked = ("import sys, hfkd.deploy.apps; assert 'torch' not in sys.modules; import hfkd.deploy.local; "
             "assert 'flwr' not in sys.modules")
    assert subprocess.run([sys.executable, "-c", asked], cwd=paths.ROOT).returncode == 0


def peer(path):
    """The process that listens on a unix socket."""
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(str(path))
        return struct.unpack("3i", line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]


def test_the_process_of_a_member_answers_its_own_user_alone_and_survives_what_comes(town, tmp_path):
    np.savez(tmp_path / "own.npz", **town.own[0])
    np.savez(tmp_path / "public.npz", images=town.public)
    order = [sys.executable, "-m", "hfkd.cli", "member", "--name", "client-0", "--data", tmp_path / "own.npz",
             "--public", tmp_path / "public.npz", "--folder", tmp_path / "f", "--level", "3"]  # fmt: skip
    with subprocess.Popen(order, cwd=paths.ROOT, stdout=subprocess.PIPE, text=True) as one:
        try:
            assert "client-0 listens on" in one.stdout.readline()
            assert peer(path := tmp_path / "f" / "socket") == one.pid and stat.S_IMODE(path.stat().st_mode) == 0o600
            with socket.socket(socket.AF_UNIX) as line:
                line.connect(str(path))
                line.sendall((40 * 10**9).to_bytes(8) + b"x")
                assert not line.recv(9)
            hello = wire.pack({"ask": "hello"} | plans.checked(town.plan)[0])
            assert wire.unpack(wire.call(str(path), hello), (40, 10))[0]["counts"]
            again = subprocess.run(order, cwd=paths.ROOT, capture_output=True, text=True)
            assert again.returncode == 2 and "another member listens" in again.stderr
            assert main([str(part) for part in (*order[3:-2], "--module", "nowhere:net")]) == 2
        finally:
            one.terminate()
        assert "cut off, or longer" in one.stdout.read()


@pytest.mark.skipif(importlib.util.find_spec("flwr") is None, reason="needs Flower: make flower")
def test_a_federation_over_flower_is_the_engine_to_the_bit_though_a_member_is_killed_in_the_middle(tmp_path):
    lines, folder = [], tmp_path / "f"

    def say(line):
        lines.append(line)
        if line.startswith("round 1 of 3"):
            os.kill(peer(folder / "1" / "socket"), signal.SIGKILL)

    local.federate(GIVEN | {"clients": 3, "rounds": 3}, folder, check=True, say=say)
    assert lines[-1] == "equal to the in-process run to the bit" and "3 heard, 3 learned" in lines[-4]
    assert (folder / "member-1.log").read_text().count("listens on") == 2
    left = [path for path in Path("/proc").glob("[0-9]*/cmdline") if str(folder).encode() in path.read_bytes()]
    assert not left
