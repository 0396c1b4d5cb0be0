"""`hfkd chaos`: a small grid is killed again and again, and ends with the same bytes as one that is left alone (ours).

The grid runs as a command of its own, two cells at once, with a checkpoint after each round. It gets SIGKILL at a random
moment, or as soon as it writes; either with the processes that run its cells, or alone, which leaves those to themselves.
After each kill what lies in the folder has to be true as far as it goes: every line of a CSV is one of the undisturbed
run. Then the same command is started again, until it ends.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from hfkd import paths
from hfkd.streams import stream

SMALL = ("clients=6", "rounds=6", "eval_every=2", "pool_size=400", "public_size=40", "balanced_size=100", "batch=8",
         "dataset=digits", "method=hfkd", "skew=0.1", "partition=dirichlet")  # fmt: skip
COMMAND = ("-m", "hfkd.cli", "grid", "40", "--profile", "lite", "--seeds", "0-1", "--jobs", "2", "--checkpoint", "0",
           *(word for each in SMALL for word in ("--set", each)))  # fmt: skip


class Kill(NamedTuple):
    """One kill: how long the command had been running, what it was doing, and who died."""

    seconds: float
    writing: bool  # a file or folder with a temporary name lay there
    alone: bool  # the processes that run cells were left to themselves


def disturbed(folder: Path, kills: int, seed: int, command=COMMAND) -> list[Kill]:
    """Kills the command that many times, over as many runs from nothing to the end as it takes.

    Args:
        folder: empty or absent. kills: >= 0. seed: of moments and ways. command: arguments of Python; --out is added.

    Returns:
        The kills, in order.

    Raises:
        ValueError: kills below 0; bytes that differ, something left behind, a command that failed.
    """
    if kills < 0:
        raise ValueError(f"kills is {kills}; expected 0 or more")
    rng, done = stream(seed, "chaos"), []
    start = time.monotonic()
    _finish(_started(folder / "calm", command))
    whole, expected = time.monotonic() - start, contents(folder / "calm")
    while True:
        while len(done) < kills:
            kill = _killed(_started(folder / "storm", command), folder / "storm", rng, whole)
            if kill is None:  # it was faster
                break
            done.append(kill)
            _check_lines(folder / "storm", expected, kill)
        else:
            _finish(_started(folder / "storm", command))
        found = contents(folder / "storm")
        if found != expected:
            other = sorted(name for name in found | expected if found.get(name) != expected.get(name))
            raise ValueError(f"{', '.join(other)} differ from those of an undisturbed run, after {done}")
        if len(done) >= kills:
            return done
        shutil.rmtree(folder / "storm")


def contents(folder: Path) -> dict[str, bytes]:
    """Path -> bytes of all that lies in a folder; of a JSON only that it is there, for it tells the time."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): b"" if path.suffix == ".json" else path.read_bytes() for path in files}


def show(kills: int, seed: int) -> None:
    """Print what came of it, a line for all."""
    with tempfile.TemporaryDirectory() as home:
        done = disturbed(Path(home), kills, seed)
    writing, alone = sum(kill.writing for kill in done), sum(kill.alone for kill in done)
    print(f"killed {len(done)} times ({writing} while it wrote, {alone} without the processes that run its cells); "
          "every time the same command went on, and all files ended with the bytes of an undisturbed run")  # fmt: skip


def _started(folder, command):
    """The command, as a process with a group of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    words = [sys.executable, *command, "--out", str(folder / "x.csv")]
    silent = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    return subprocess.Popen(words, cwd=paths.ROOT, start_new_session=True, **silent)


def _finish(process):
    """Wait for it; it has to end well."""
    if process.wait():
        raise ValueError(f"the command ended with {process.returncode}; expected 0: {' '.join(process.args)}")


def _killed(process, folder, rng, whole) -> Kill | None:
    """Kill it at a random moment, or from there on as soon as it writes; None if it has ended before."""
    start, moment = time.monotonic(), rng.uniform(0.1, 1.0) * whole
    patient, alone = rng.random(2) < 0.5
    while process.poll() is None:
        writing = any(folder.rglob(".x.*")) or any(folder.rglob(".*.tmp"))
        late = time.monotonic() - start - moment
        if late > 0 and (writing or not patient or late > whole):
            (os.kill if alone else os.killpg)(process.pid, signal.SIGKILL)
            return Kill(time.monotonic() - start, writing, bool(alone)) if process.wait() < 0 else None
        time.sleep(0.0005)
    _finish(process)
    return None


def _check_lines(folder, expected, kill):
    """Whatever can be read in the folder after a kill is part of the undisturbed result."""
    for path in folder.glob("*.csv"):
        wanted, found = set(expected[path.name].splitlines()), path.read_bytes()
        if not (found.endswith(b"\n") and set(found.splitlines()) <= wanted):
            raise ValueError(f"{path.name} is not part of the undisturbed one, after {kill}")
