"""`hfkd federate`: a whole federation on one machine, every client a process, TLS and keys as between hosts (ours)."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from ipaddress import ip_address
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
            "classes": dataset.n_classes, "public": wire.checksum(images[own.public]),
            "wait": 150, "tries": 30, "pause": 2}  # a node that was killed is let in again after a minute
    return plan, arrays, images[own.public], own.levels.tolist()


def keys(folder: Path, clients: int) -> None:
    """A certificate for loopback, which is its own authority, and a key pair for every node."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric import ec
    secret, *pairs = [ec.generate_private_key(ec.SECP384R1()) for _ in range(clients + 1)]
    name, now = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "hfkd")]), datetime.now(UTC)
    here = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    signed = (x509.CertificateBuilder(name, name, secret.public_key(), x509.random_serial_number(),
                                      now - timedelta(days=1), now + timedelta(days=30))
              .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
              .add_extension(here, critical=False).sign(secret, hashes.SHA256()))  # fmt: skip
    paths.write(folder / "ca.pem", signed.public_bytes(form.Encoding.PEM))
    pem, ssh, bare = form.Encoding.PEM, form.Encoding.OpenSSH, form.NoEncryption()
    paths.write(folder / "server.key", secret.private_bytes(pem, form.PrivateFormat.PKCS8, bare))
    for i, pair in enumerate(pairs):
        paths.write(folder / f"{i}" / "node", pair.private_bytes(pem, form.PrivateFormat.OpenSSH, bare))
        paths.write(folder / f"{i}" / "node.pub", pair.public_key().public_bytes(ssh, form.PublicFormat.OpenSSH))


class Programs:
    """Programs that are started, started again where they end, and ended at last, each by its own id."""

    def __init__(self, folder: Path):
        self.folder, self.bin, self.running = folder, Path(sysconfig.get_path("scripts")), {}
        self.how = {"cwd": folder, "stdin": subprocess.DEVNULL, "env": os.environ | QUIET | {
            "FLWR_HOME": str(folder / "flwr"), "PATH": f"{self.bin}{os.pathsep}{os.environ.get('PATH', '')}"}}

    def start(self, name: str, *command) -> None:
        """A program that no key of a terminal reaches, its output in NAME.log."""
        command = [str(part) for part in command]
        with open(self.folder / f"{name}.log", "ab") as log:
            one = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, **self.how)
        self.running[name] = one, command, time.monotonic()

    def again(self) -> None:
        """Starts what has ended; a ValueError if it is the SuperLink, without which the run is gone."""
        for name, (one, command, since) in list(self.running.items()):
            if one.poll() is not None and time.monotonic() > since + 5:
                if name == "superlink":
                    raise ValueError(f"the SuperLink has ended; see {self.folder / 'superlink.log'}")
                self.start(name, *command)

    def flwr(self, *command) -> None:
        """A command of Flower, tried again while the SuperLink starts; then a ValueError with what it says."""
        for _ in range(20):
            try:
                done = subprocess.run([self.bin / "flwr", *command], capture_output=True, text=True, timeout=PATIENCE,
                                      **self.how)  # fmt: skip
            except subprocess.TimeoutExpired as error:
                raise ValueError(f"flwr {command[0]} takes more than {PATIENCE} s") from error
            if not done.returncode:
                return
            time.sleep(3)
        raise ValueError(f"flwr {command[0]} fails: {(done.stderr or done.stdout)[-500:]}")

    def alive(self) -> list[int]:
        """The ids of all programs, and of what they have started: their environment names this folder."""
        mark, found = f"FLWR_HOME={self.folder / 'flwr'}".encode(), []
        for path in Path("/proc").glob("[0-9]*/environ"):
            with suppress(OSError):  # ended, or somebody else's
                found += [int(path.parent.name)] * (mark in path.read_bytes().split(b"\0"))
        return found

    def end(self) -> None:
        """Asks everything to end, each by its id, and ends it ten seconds later."""
        for sign in (signal.SIGTERM, signal.SIGKILL):
            for pid in self.alive():
                with suppress(ProcessLookupError):
                    os.kill(pid, sign)
            patience = time.monotonic() + 10
            while self.alive() and time.monotonic() < patience:
                time.sleep(0.2)
        for one, *_ in self.running.values():
            one.wait()


def federate(given: dict, folder: Path, seed: int = 0, check=False, fresh=False, say=print) -> None:
    """All of it, and a table; the same command goes on where one was stopped. check: against the engine, to the bit.
    Raises ValueError: settings that a message cannot carry, Flower missing, a folder of another plan, other weights.
    """
    config, folder, file = plans.settle(given), Path(folder).resolve(), Path(folder).resolve() / "plan.json"
    if find_spec("flwr") is None:
        raise ValueError("a federation needs Flower; `make flower` or `pip install -e .[flower]` brings it")
    if check and config.levels == "cnn":
        raise ValueError("levels is 'cnn', and one by one only 4e-6 agree; --check expects mlp or depth")
    plan, arrays, public, levels = parties(given, dataset := data.load(config.dataset), seed)
    if fresh and file.exists():
        shutil.rmtree(folder)
    if file.exists() and json.loads(file.read_text("utf-8")) != json.loads(json.dumps(plan)):
        raise ValueError(f"{folder} is of another plan; expected another --folder, or --fresh")
    os.umask(0o077)
    if not file.exists():
        keys(folder, len(arrays))
        np.savez(folder / "public.npz", images=public)
        for i, each in enumerate(arrays):
            np.savez(folder / f"{i}" / "own.npz", **each)
        shutil.copytree(Path(__file__).parent / "app", folder / "app")
        paths.write(file, json.dumps(plan))
    begun, programs = time.monotonic(), Programs(folder)
    try:
        everything(programs, plan["names"], levels, say)
        follow(programs, say)
    finally:
        programs.end()
    facts = pd.read_json(folder / "facts.json", orient="index")
    facts["counts"] = facts["counts"].map(sum)
    say(facts.rename(columns={"counts": "labels", "done": "rounds", "score": "own accuracy"}).to_string())
    say(f"{config.rounds} rounds of {len(levels)} clients: {time.monotonic() - begun:.0f} s; all of it is in {folder}")
    if check:
        compare(folder, config, dataset, seed)
        say("equal to the in-process run to the bit")


def everything(programs: Programs, names, levels, say) -> None:
    """Members, SuperLink, a registered SuperNode beside every member, the run."""
    folder, link = programs.folder, f"127.0.0.1:{free()}"
    paths.write(folder / "flwr" / "config.toml", f"""[superlink]\ndefault = "here"\n[superlink.here]
address = "{link}"\nroot-certificates = "{folder / 'ca.pem'}"\n""")
    programs.start("superlink", programs.bin / "flower-superlink", "--port", link.partition(":")[2],
                   "--ssl-ca-certfile", folder / "ca.pem", "--ssl-certfile", folder / "ca.pem",
                   "--ssl-keyfile", folder / "server.key", "--database", folder / "superlink.db",
                   "--enable-supernode-auth", "--disable-runtime-dependency-installation")  # fmt: skip
    for i, (name, level) in enumerate(zip(names, levels)):
        own = folder / f"{i}"
        programs.start(f"member-{i}", sys.executable, "-I", "-m", "hfkd.cli", "member", "--name", name,
                       "--level", level, "--data", own / "own.npz", "--public", folder / "public.npz",
                       "--folder", own)  # fmt: skip
        if not (own / "registered").exists():
            programs.flwr("supernode", "register", own / "node.pub", "here")
            paths.write(own / "registered", "")
        programs.start(f"supernode-{i}", programs.bin / "flower-supernode", "--superlink", link, "--port", free(),
                       "--root-certificates", folder / "ca.pem", "--auth-supernode-private-key", own / "node",
                       "--node-config", f'socket="{own / "socket"}"')  # fmt: skip
    say(f"{len(names)} clients, keys registered, TLS on {link}")
    (folder / "relay.log").unlink(missing_ok=True)
    programs.flwr("run", folder / "app", "here", "-c", f'plan="{folder / "plan.json"}"')


def follow(programs: Programs, say) -> None:
    """Says what the relay says until it ends, starts again who ends before; a ValueError if it fails, or is silent."""
    log, seen, last = programs.folder / "relay.log", 0, time.monotonic()
    while time.monotonic() < last + PATIENCE:
        programs.again()
        for line in (log.read_text("utf-8") if log.exists() else "").splitlines()[seen:]:
            seen, last = seen + 1, time.monotonic()
            if line.startswith("the federation has failed"):
                raise ValueError(line)
            if line == "the federation has ended":
                return
            say(line)
        time.sleep(0.3)
    raise ValueError(f"nothing was heard of the relay for {PATIENCE} s; see {programs.folder / 'superlink.log'}")


def compare(folder, config, dataset, seed) -> None:
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
