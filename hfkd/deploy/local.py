"""`hfkd federate`: a whole federation on one machine, every client a process, TLS and keys as between hosts (ours)."""

import datetime
import ipaddress
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from contextlib import ExitStack, suppress
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from hfkd import data, paths
from hfkd.deploy import plan as plans
from hfkd.deploy import wire
from hfkd.engine import federation, state
from hfkd.methods import METHODS

QUIET = {"FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1", "OMP_NUM_THREADS": "1"}
PATIENCE = 180  # seconds without a line of progress after which a federation is given up


def parties(given: dict, dataset, seed: int):
    """The plan of a federation in which a data set is dealt as in the engine, the clients' own arrays, the public
    images, and levels; the constants are those by which the engine standardises.
    """
    config = plans.settle(given)
    own, known = state.split_of(config, dataset, seed), dataset.images[~dataset.is_test]
    images = dataset.images.transpose(0, 2, 3, 1)
    arrays = [{"images": images[at], "labels": dataset.labels[at], "is_test": np.arange(len(at)) >= len(train)}
              for train, test in zip(own.train, own.test) for at in [np.concatenate([train, test])]]  # fmt: skip
    plan = {"names": [f"client-{i}" for i in range(config.clients)], "seed": seed, "set": given,
            "mean": float(known.mean(dtype=np.float64)), "deviation": float(known.std(dtype=np.float64)),
            "classes": dataset.n_classes, "public": wire.checksum(images[own.public])}  # fmt: skip
    return plan, arrays, images[own.public], own.levels.tolist()


def keys(folder: Path, clients: int) -> None:
    """A certificate for loopback, which is its own authority, with its key, and a key pair for every node."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric import ec
    pairs = [ec.generate_private_key(ec.SECP384R1()) for _ in range(clients + 1)]
    secret, now = pairs.pop(), datetime.datetime.now(datetime.UTC)
    name, here = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "hfkd")]), ipaddress.ip_address("127.0.0.1")
    signed = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(secret.public_key())
              .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=1))
              .not_valid_after(now + datetime.timedelta(days=30))
              .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
              .add_extension(x509.SubjectAlternativeName([x509.IPAddress(here), x509.DNSName("localhost")]), False)
              .sign(secret, hashes.SHA256()))  # fmt: skip
    paths.write(folder / "ca.pem", signed.public_bytes(form.Encoding.PEM))
    plain, kinds = form.NoEncryption(), form.PrivateFormat
    paths.write(folder / "server.key", secret.private_bytes(form.Encoding.PEM, kinds.PKCS8, plain))
    for i, pair in enumerate(pairs):
        paths.write(folder / f"{i}" / "node", pair.private_bytes(form.Encoding.PEM, kinds.OpenSSH, plain))
        public = pair.public_key().public_bytes(form.Encoding.OpenSSH, form.PublicFormat.OpenSSH)
        paths.write(folder / f"{i}" / "node.pub", public)


class Processes(ExitStack):
    """Programs that are ended, each by its own id, when the block ends."""

    def __init__(self, folder: Path, port: int):
        super().__init__()
        self.folder, self.bin, self.commands, self.running = folder, Path(sysconfig.get_path("scripts")), {}, {}
        self.environ = os.environ | QUIET | {"FLWR_HOME": str(folder / "flwr"),
                                             "PATH": f"{self.bin}{os.pathsep}{os.environ.get('PATH', '')}"}
        paths.write(folder / "flwr" / "config.toml", f"""[superlink]\ndefault = "here"\n[superlink.here]
address = "127.0.0.1:{port}"\nroot-certificates = "{folder / 'ca.pem'}"\n""")

    def start(self, name: str, *command) -> None:
        """A program with its children in a group of its own, its output in NAME.log."""
        self.commands[name] = command
        with open(self.folder / f"{name}.log", "ab") as log:
            self.running[name] = one = subprocess.Popen(
                [str(part) for part in command], stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=self.environ,
                cwd=self.folder, start_new_session=True)  # fmt: skip
        self.callback(self.end, one)

    def again(self) -> None:
        """Starts what has ended; of the SuperLink a ValueError."""
        for name, one in list(self.running.items()):
            if one.poll() is not None:
                if name == "superlink":
                    raise ValueError(f"the SuperLink has ended; see {self.folder / 'superlink.log'}")
                self.start(name, *self.commands[name])

    def once(self, *command) -> str:
        """What a program says that ends by itself, or a ValueError."""
        done = subprocess.run([str(part) for part in command], env=self.environ, cwd=self.folder, capture_output=True,
                              text=True, timeout=PATIENCE)  # fmt: skip
        if done.returncode:
            raise ValueError(f"{Path(command[0]).name} {command[1]} failed: {(done.stderr or done.stdout)[-500:]}")
        return done.stdout

    @staticmethod
    def end(one) -> None:
        """Asks a group to end, and after ten seconds ends it."""
        for sign in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError, subprocess.TimeoutExpired):
                os.killpg(one.pid, sign)
                one.wait(10)


def federate(given: dict, folder: Path, seed: int = 0, check=False, fresh=False, say=print) -> None:
    """The whole of it, and a table; the same command goes on where one was stopped. check: against the engine, to the
    bit. Raises ValueError: settings that a message cannot carry, Flower missing, a folder of another plan.
    """
    config, folder = plans.settle(given), Path(folder).resolve()
    if find_spec("flwr") is None:
        raise ValueError("a federation needs Flower; `make flower` or `pip install -e .[flower]` brings it")
    if check and config.levels == "cnn":
        raise ValueError("levels is 'cnn', of which one by one only 4e-6 agree; --check expects mlp or depth")
    plan, arrays, public, levels = parties(given, dataset := data.load(config.dataset), seed)
    if fresh and (folder / "plan.json").exists():
        shutil.rmtree(folder)
    if (folder / "plan.json").exists() and plans.read(folder / "plan.json") != json.loads(json.dumps(plan)):
        raise ValueError(f"{folder} is of another plan; expected another --folder, or --fresh")
    if not (folder / "plan.json").exists():
        folder.mkdir(0o700, parents=True)
        keys(folder, len(arrays))
        np.savez(folder / "public.npz", images=public)
        for i, each in enumerate(arrays):
            np.savez(folder / f"{i}" / "own.npz", **each)
        shutil.copytree(Path(__file__).parent / "app", folder / "app")
        paths.write(folder / "plan.json", json.dumps(plan))
    begun = time.monotonic()
    with Processes(folder, port := free()) as running:
        everything(running, plan["names"], levels, port, say)
        follow(running, say)
    facts = pd.DataFrame(json.loads((folder / "facts.json").read_text("utf-8"))).T
    facts["counts"] = facts["counts"].map(sum)
    say(facts.rename(columns={"counts": "labels", "done": "rounds", "score": "own accuracy"}).to_string())
    say(f"{config.rounds} rounds of {len(levels)} clients: {time.monotonic() - begun:.0f} s; all of it is in {folder}")
    if check:
        compare(folder, config, dataset, seed, levels)
        say("equal to the in-process run to the bit")


def everything(running: Processes, names, levels, port, say) -> None:
    """Members, SuperLink, a registered SuperNode beside every member, the run."""
    folder, tool = running.folder, running.bin
    for i, (name, level) in enumerate(zip(names, levels)):
        running.start(f"member-{i}", sys.executable, "-I", "-m", "hfkd.cli", "member", "--name", name, "--level", level,
                      "--data", folder / f"{i}" / "own.npz", "--public", folder / "public.npz", "--folder", folder / f"{i}")
    running.start("superlink", tool / "flower-superlink", "--host", "127.0.0.1", "--port", port,
                  "--ssl-ca-certfile", folder / "ca.pem", "--ssl-certfile", folder / "ca.pem", "--ssl-keyfile", folder / "server.key",
                  "--enable-supernode-auth", "--database", folder / "superlink.db", "--disable-runtime-dependency-installation")
    until(lambda: reachable(port), "the SuperLink does not listen")
    for i, name in enumerate(names):
        if not (folder / f"{i}" / "registered").exists():
            running.once(tool / "flwr", "supernode", "register", folder / f"{i}" / "node.pub", "here")
            paths.write(folder / f"{i}" / "registered", "")
        running.start(f"supernode-{i}", tool / "flower-supernode", "--superlink", f"127.0.0.1:{port}",
                      "--root-certificates", folder / "ca.pem", "--auth-supernode-private-key", folder / f"{i}" / "node",
                      "--port", free(), "--node-config", f'socket="{folder / str(i) / "socket"}"')
    say(f"{len(names)} clients, keys registered, TLS on port {port}")
    running.once(tool / "flwr", "run", folder / "app", "here", "-c", f'plan="{folder / "plan.json"}"')


def follow(running: Processes, say) -> None:
    """Says what the relay says until it ends; starts again who ends before."""
    log, seen, last = running.folder / "relay.log", 0, time.monotonic()
    seen = 0
    while time.monotonic() < last + PATIENCE:
        running.again()
        lines = log.read_text("utf-8").splitlines() if log.exists() else []
        for line in lines[seen:]:
            say(line)
            last = time.monotonic()
            if line.startswith("the federation has failed"):
                raise ValueError(line)
            if line == "the federation has ended":
                return
        seen = len(lines)
        time.sleep(0.3)
    raise ValueError(f"nothing was heard of the relay for {PATIENCE} s; see {running.folder / 'superlink.log'}")


def compare(folder, config, dataset, seed, levels) -> None:
    """Nothing, or a ValueError: a member whose weights are not those of the engine, to the bit."""
    torch.set_num_threads(1)
    *_, end = federation.rounds(config, METHODS["hfkd"], dataset, (seed,))
    for cohort in end.fed.cohorts:
        for row, i in enumerate(cohort.members.tolist()):
            found = torch.load(folder / f"{i}" / "state.pt")["network"]
            if not all(found[name].equal(w[row]) for name, w in cohort.weights.items()):
                raise ValueError(f"client-{i} has other weights than in the in-process run")


def free() -> int:
    """A port of loopback on which nobody listens."""
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return door.getsockname()[1]


def reachable(port: int) -> bool:
    """Whether somebody listens on a port of loopback."""
    with socket.socket() as line:
        return line.connect_ex(("127.0.0.1", port)) == 0


def until(true, complaint: str) -> None:
    """Waits, or a ValueError with the complaint after a minute."""
    end = time.monotonic() + 60
    while not true():
        if time.monotonic() > end:
            raise ValueError(complaint)
        time.sleep(0.2)
