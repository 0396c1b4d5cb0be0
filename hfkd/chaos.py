"""`hfkd chaos`: small commands are killed again and again, and end with the same bytes as if left alone (ours).

They write a checkpoint after each round. A command gets SIGKILL at a random moment, or then as soon as it writes; with
the processes that run its cells, or alone, which leaves those alone.
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

SMALL = ("dataset=digits", "skew=0.1", "partition=dirichlet", "clients=6", "rounds=6", "eval_every=2", "pool_size=400",
         "public_size=40", "balanced_size=100")  # fmt: skip
EARNING = ("revenue=realised", "refresh=2", "gate=True", "weighting=revenue", "method=hfkd", "dropout=0.3", "recall=True",
           "exploding=0.2")  # fmt: skip
COMMANDS = {  # one process and journals; two cells side by side
    name: ("-m", "hfkd.cli", *words, "--profile", "lite", "--seeds", "0-1", "--checkpoint", "0",
           *(word for each in SMALL + own for word in ("--set", each)))
    for name, words, own in (("run", ("run",), EARNING), ("grid", ("grid", "40", "--jobs", "2"), ("method=feddf",)))
}  # fmt: skip
PATIENCE = 600.0  # seconds for a command that takes a few


class Kill(NamedTuple):
    """One kill: how long the command had been running, what it was doing, and who died."""

    seconds: float
    writing: bool  # a file or folder with a temporary name lay there
    alone: bool  # the processes that run cells were left to themselves
    kept: bool  # there was a checkpoint to go on from


def disturbed(folder: Path, kills: int, seed: int, command=COMMANDS["run"]) -> list[Kill]:
    """Kills the command that many times, over as many runs from nothing to the end as it takes.

    Args:
        folder: empty or absent. kills: 0 or more. seed: of moments and ways. command: arguments of Python; --out is added.

    Returns:
        The kills, in order.

    Raises:
        ValueError: bytes that differ, something left behind, a command that failed.
    """
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


def lying(folder: Path) -> list[str]:
    """Names of all that lies in a folder, at whatever depth, while others write there."""
    return [name for _, *names in os.walk(folder) for each in names for name in each]


def show(kills: int, seed: int) -> None:
    """Print what came of it for both commands, each with half of the kills.

    Raises:
        ValueError: kills below 0; as `disturbed`.
    """
    if kills < 0:
        raise ValueError(f"kills is {kills}; expected 0 or more")
    for name, share in zip(COMMANDS, (kills - kills // 2, kills // 2)):
        with tempfile.TemporaryDirectory() as home:
            done = disturbed(Path(home), share, seed, COMMANDS[name])
        writing, alone, kept = (sum(getattr(kill, what) for kill in done) for what in ("writing", "alone", "kept"))
        longest = max((kill.seconds for kill in done), default=0.0)
        print(f"hfkd {name}: killed {len(done)} times, after at most {longest:.0f} s, {writing} while it wrote, "
              f"{alone} without the processes that run its cells, {kept} with a checkpoint to go on from; all files "
              "have the bytes of an undisturbed run", flush=True)  # fmt: skip


def _started(folder, command):
    """The command, as a process with a group of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    words = [sys.executable, *command, "--out", str(folder / "x.csv")]
    silent = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    return subprocess.Popen(words, cwd=paths.ROOT, start_new_session=True, **silent)


def _finish(process):
    """Wait for it; it has to end well, and at all."""
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
    if process.wait():
        raise ValueError(f"the command ended with {process.returncode}; expected 0: {' '.join(process.args)}")


def _killed(process, folder, rng, whole) -> Kill | None:
    """Kill it at a random moment, or from there on as soon as it writes; None if it has ended before."""
    start, moment = time.monotonic(), rng.uniform(0.3, 1.0) * whole
    patient, alone = rng.random(2) < 0.5
    while process.poll() is None:
        writing = any(name.startswith(".") for name in lying(folder))
        late = time.monotonic() - start - moment
        if late > 0 and (writing or not patient or late > whole):
            (os.kill if alone else os.killpg)(process.pid, signal.SIGKILL)
            kept = any(name.endswith(".safetensors") for name in lying(folder))
            return Kill(time.monotonic() - start, writing, bool(alone), kept) if process.wait() < 0 else None
        time.sleep(0.001)
    _finish(process)
    return None


def _check_lines(folder, expected, kill):
    """Whatever can be read in the folder after a kill is part of the undisturbed result."""
    for path in folder.glob("*.csv"):
        wanted, found = set(expected[path.name].splitlines()), path.read_bytes()
        if not (found.endswith(b"\n") and set(found.splitlines()) <= wanted):
            raise ValueError(f"{path.name} is not part of the undisturbed one, after {kill}")
