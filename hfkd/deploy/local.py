"""`hfkd federate`: a whole federation on one machine, members in processes, TLS and keys as between hosts (ours)."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sysconfig
import time
from contextlib import ExitStack, suppress
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

HERE = Path(__file__).parent
PATIENCE = 1500  # seconds without a line of progress after which a federation is given up: a wait and a timeout
CLOSE = 1e-4  # between weights, where convolutions or other processors round in another order


def parties(given: dict, dataset, seed: int):
    """The plan of a federation in which a data set is dealt as in the engine, the clients' own arrays as an npz has
    them, the public images, and levels.
    """
    config = plans.settle(given)
    own, images = state.split_of(config, dataset, seed), dataset.images.transpose(0, 2, 3, 1)
    arrays = [{"images": images[at], "labels": dataset.labels[at], "is_test": np.arange(len(at)) >= len(train)}
              for train, test in zip(own.train, own.test) for at in [np.concatenate([train, test])]]  # fmt: skip
    plan = {"names": [f"client-{i}" for i in range(config.clients)], "seed": seed, "set": given,
            "classes": dataset.n_classes, "public": wire.checksum(dataset.images[own.public]),
            "wait": 600, "tries": 30, "pause": 2}  # a node that was killed is let in again after a minute
    return plan, arrays, images[own.public], own.levels


def keys(folder: Path, nodes: list[Path]) -> None:
    """A certificate for loopback, which is its own authority, and a key pair for every node."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric import ec
    secret, *pairs = [ec.generate_private_key(ec.SECP384R1()) for _ in [folder, *nodes]]
    name, now = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "hfkd")]), datetime.now(UTC)
    here = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    signed = (x509.CertificateBuilder(name, name, secret.public_key(), x509.random_serial_number(),
                                      now - timedelta(days=1), now + timedelta(days=30))
              .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
              .add_extension(here, critical=False).sign(secret, hashes.SHA256()))  # fmt: skip
    pem, ssh, bare = form.Encoding.PEM, form.Encoding.OpenSSH, form.NoEncryption()
    paths.write(folder / "ca.pem", signed.public_bytes(pem))
    paths.write(folder / "server.key", secret.private_bytes(pem, form.PrivateFormat.PKCS8, bare))
    for node, pair in zip(nodes, pairs):
        paths.write(node / "node", pair.private_bytes(pem, form.PrivateFormat.OpenSSH, bare))
        paths.write(node / "node.pub", pair.public_key().public_bytes(ssh, form.PublicFormat.OpenSSH))


def federate(given: dict, folder, seed=0, machines: int | None = None, check=False, fresh=False, say=print) -> None:
    """All of it, and a table; the same command goes on where one was stopped. machines: how many processes share the
    clients (None: one each); check: against the engine. Raises ValueError: settings that a message cannot carry, Flower
    missing, a folder of another plan, other weights.
    """
    config, begun = plans.settle(given), time.monotonic()
    if config.clients < 2:
        raise ValueError(f"clients is {config.clients}; expected two at least")
    if find_spec("flwr") is None:
        raise ValueError("a federation needs Flower; `make flower` or `pip install -e .[flower]` brings it")
    if not 1 <= (machines := machines or config.clients) <= config.clients:
        raise ValueError(f"machines is {machines}; expected 1 to {config.clients}, the number of clients")
    folder, dataset = Path(folder).resolve(), data.load(config.dataset)
    shares = {folder / f"machine-{i}": own for i, own in enumerate(np.array_split(range(config.clients), machines))}
    prepare(folder, shares, fresh, *parties(given, dataset, seed))
    say(f"{config.clients} clients in {machines} processes begin; all of it is in {folder}")
    with ExitStack() as stack:
        follow(folder, started(folder, machines, stack), say)
    facts = pd.read_json(folder / "facts.json", orient="index")
    facts["counts"] = facts["counts"].map(sum)
    say(facts.rename(columns={"counts": "labels", "done": "rounds", "score": "own accuracy"}).to_string())
    say(f"{config.rounds} rounds of {config.clients} clients: {time.monotonic() - begun:.0f} s")
    if check:
        far = apart(config, dataset, seed, shares)
        say("equal to the in-process run " + (f"within {far:.0e}" if far else "to the bit"))


def prepare(folder, shares, fresh, plan, arrays, public, levels) -> None:
    """The folder of a federation, or a ValueError: it is of another."""
    os.umask(0o077)
    file, plan["machines"] = folder / "plan.json", len(shares)
    if fresh and file.exists():
        shutil.rmtree(folder)
    if file.exists():
        if json.loads(file.read_text("utf-8")) != json.loads(json.dumps(plan)):
            raise ValueError(f"{folder} is of another plan; expected another --folder, or --fresh")
        return
    keys(folder, list(shares))
    np.savez(folder / "public.npz", images=public)
    for machine, own in shares.items():
        words = ["--data", *(f"client-{i}.npz" for i in own), "--level", *map(str, levels[own])]
        paths.write(machine / "options", " ".join(words))
        for i in own:
            np.savez(folder / f"client-{i}.npz", **arrays[i])
    shutil.copytree(HERE / "app", folder / "app")
    paths.write(file, json.dumps(plan))


def started(folder, machines, stack) -> subprocess.Popen:
    """The shell that runs all programs, which no key of a terminal reaches; all end when the stack is left."""
    (folder / "relay.log").unlink(missing_ok=True)
    doors = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(machines + 1)]
    ports = [f"{door.getsockname()[1]}" for door in doors]
    for door in doors:
        door.close()
    path = f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ.get('PATH', '')}"
    with open(folder / "federate.log", "ab") as log:
        shell = subprocess.Popen(["sh", HERE / "federate.sh", *ports], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                 cwd=folder, start_new_session=True,
                                 env=os.environ | {"PATH": path, "FLWR_HOME": f"{folder / 'flwr'}"})  # fmt: skip
    stack.callback(shell.wait)
    stack.callback(end, folder)  # first: what was pushed last
    return shell


def running(folder) -> list[int]:
    """The ids of all programs of a federation, by FLWR_HOME in their environment: Flower starts some of them apart."""
    mark, found = f"FLWR_HOME={folder / 'flwr'}".encode(), []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):  # ended, or somebody else's
            found += [int(path.parent.name)] * (mark in path.read_bytes().split(b"\0"))
    return found


def end(folder) -> None:
    """Asks all programs to end, each by its id, and ends those that are left ten seconds later."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        for pid in running(folder):
            with suppress(ProcessLookupError):
                os.kill(pid, sign)
        patience = time.monotonic() + 10
        while running(folder) and time.monotonic() < patience:
            time.sleep(0.2)


def follow(folder, shell, say) -> None:
    """Says what the relay says until it ends; a ValueError if it fails, or is silent, or without the SuperLink."""
    log, seen, last = folder / "relay.log", 0, time.monotonic()
    while time.monotonic() < last + PATIENCE and shell.poll() is None:
        for line in (log.read_text("utf-8") if log.exists() else "").splitlines()[seen:]:
            seen, last = seen + 1, time.monotonic()
            if line.startswith("the federation has failed"):
                raise ValueError(line)
            if line == "the federation has ended":
                return
            say(line)
        time.sleep(0.3)
    raise ValueError(f"nothing more is heard of the relay; see federate.log and superlink.log in {folder}")


def apart(config, dataset, seed, shares) -> float:
    """The largest difference between weights of members and of the engine, or a ValueError: more than CLOSE."""
    torch.set_num_threads(1)
    *_, last = federation.rounds(config, METHODS["hfkd"], dataset, (seed,))
    found = {own[at]: {name: w[row] for name, w in weights.items()} for machine, own in shares.items()
             for members, weights, *_ in torch.load(machine / "state.pt")["networks"]
             for row, at in enumerate(members)}  # fmt: skip
    far = max(float((w[row] - found[i][name]).abs().max()) for cohort in last.fed.cohorts
              for row, i in enumerate(cohort.members.tolist()) for name, w in cohort.weights.items())  # fmt: skip
    if not far <= CLOSE:
        raise ValueError(f"weights differ by {far:g} from the in-process run; those of a client that missed a round do")
    return far
