"""`hfkd federate`: a whole federation on one machine, members in processes, TLS and keys as between hosts (ours)."""

import json
import os
import shutil
import socket
import subprocess
import sysconfig
import time
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

HERE = Path(__file__).parent
CLOSE = 1e-4  # between weights, where convolutions or other processors round in another order


def federate(given: dict, folder, seed=0, machines: int | None = None, check=False, fresh=False, say=print) -> None:
    """All of it, and a table; the same command goes on where one was stopped. machines: how many processes share the
    clients (None: one each); check: against the engine. Raises ValueError: settings that a message cannot carry, a
    program that is missing, a folder of another plan, a relay that fails, other weights.
    """
    config, begun = plans.settle(given), time.monotonic()
    if config.clients < 2:
        raise ValueError(f"clients is {config.clients}; expected two at least")
    if find_spec("flwr") is None:
        raise ValueError("this needs Flower; `make flower`, then .venv-flower/bin/hfkd, or `pip install -e .[flower]`")
    if missing := [name for name in ("openssl", "ssh-keygen") if not shutil.which(name)]:
        raise ValueError(f"{missing[0]} is not on the PATH; expected OpenSSL and OpenSSH, which make the keys")
    if not 1 <= (machines := config.clients if machines is None else machines) <= config.clients:
        raise ValueError(f"machines is {machines}; expected 1 to {config.clients}, the number of clients")
    os.umask(0o077)
    folder, dataset = Path(folder).resolve(), data.load(config.dataset)
    prepare(folder, given, dataset, seed, machines, fresh)
    say(f"{config.clients} clients in {machines} processes begin; all of it is in {folder}")
    run(folder, machines, say)
    facts = pd.read_json(folder / "facts.json", orient="index")
    facts["counts"] = facts["counts"].map(sum)
    say(facts.rename(columns={"counts": "labels", "done": "rounds", "score": "own accuracy"}).to_string())
    say(f"{config.rounds} rounds of {config.clients} clients: {time.monotonic() - begun:.0f} s")
    if check:
        far = apart(config, dataset, seed, folder, machines)
        say("equal to the in-process run " + (f"within {far:.0e}" if far else "to the bit"))


def prepare(folder: Path, given: dict, dataset, seed: int, machines: int, fresh=False) -> None:
    """Deals a data set as the engine does, into a new folder: plan.json, client-N.npz, public.npz, and for each machine
    the options of its member. fresh: anew; else one of this plan stays. Raises ValueError: another's; OSError: no room.
    """
    config, file, part = plans.settle(given), folder / "plan.json", folder.with_name(f".{folder.name}.part")
    own, images = state.split_of(config, dataset, seed), dataset.images.transpose(0, 2, 3, 1)
    plan = {"names": [f"client-{i}" for i in range(config.clients)], "seed": seed, "set": given,
            "classes": dataset.n_classes, "public": wire.checksum(dataset.images[own.public]), "machines": machines}
    kept = dict(json.loads(file.read_text("utf-8")) if file.exists() else {})
    if kept == json.loads(json.dumps(plan)) and not fresh:
        return
    if kept and not (fresh and kept.keys() == plan.keys()):  # what somebody else has put there is never removed
        raise ValueError(f"{folder} is of another plan; expected another --folder" + ", or --fresh" * (not fresh))
    shutil.rmtree(part, ignore_errors=True)
    for machine, mine in enumerate(np.array_split(range(config.clients), machines)):
        words = ["--data", *(f"client-{i}.npz" for i in mine), "--level", *map(str, own.levels[mine])]
        paths.write(part / f"machine-{machine}" / "options", " ".join(words))
    for i, (train, test) in enumerate(zip(own.train, own.test)):
        at = np.concatenate([train, test])
        is_test = np.arange(len(at)) >= len(train)
        np.savez(part / f"client-{i}.npz", images=images[at], labels=dataset.labels[at], is_test=is_test)
    np.savez(part / "public.npz", images=images[own.public])
    shutil.copytree(HERE / "app", part / "app")
    paths.write(part / "plan.json", json.dumps(plan))
    if kept:
        shutil.rmtree(folder)
    os.replace(part, folder)  # all of it or nothing; an OSError if there is something else


def run(folder: Path, machines: int, say) -> None:
    """All programs, by a shell that no key of a terminal reaches, until the relay ends, or a ValueError: it fails."""
    doors = [socket.create_server(("127.0.0.1", 0)) for _ in range(machines + 1)]
    ports = [f"{door.getsockname()[1]}" for door in doors]  # free ones, each another
    for door in doors:
        door.close()
    path = f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ.get('PATH', '')}"
    order, last = ["sh", HERE / "federate.sh", *ports], ""
    with (open(folder / "federate.log", "ab") as log,
          subprocess.Popen(order, cwd=folder, env=os.environ | {"PATH": path}, stdin=subprocess.DEVNULL, stderr=log,
                           stdout=subprocess.PIPE, text=True, start_new_session=True) as shell):  # fmt: skip
        try:
            for line in shell.stdout:
                say(last := line.strip())
        finally:
            shell.terminate()  # it ends all that it has started
            shell.wait()
    if last != "the federation has ended":
        raise ValueError(f"the federation came no further than {last!r}; see the logs in {folder}")


def apart(config, dataset, seed: int, folder: Path, machines: int) -> float:
    """The largest difference between weights of members and of the engine, or a ValueError: more than CLOSE."""
    torch.set_num_threads(1)
    *_, last = federation.rounds(config, METHODS["hfkd"], dataset, (seed,))
    kept = [torch.load(folder / f"machine-{machine}" / "state.pt", weights_only=True) for machine in range(machines)]
    found = {i: {name: w[row] for name, w in weights.items()} for each in kept
             for members, weights, *_ in each["networks"] for row, i in enumerate(members)}  # fmt: skip
    far = max(float((w[row] - found[i][name]).abs().max()) for cohort in last.fed.cohorts
              for row, i in enumerate(cohort.members.tolist()) for name, w in cohort.weights.items())  # fmt: skip
    if not far <= CLOSE:
        raise ValueError(f"weights differ by {far:g} from the in-process run; those of a client that missed a round do")
    return far
