"""Commands as processes of their own: killed, interrupted, out of disk, started twice; the rows end the same."""

import functools
import os
import resource
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from hfkd import chaos, paths

WORDS = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": paths.ROOT}
LEFT = []  # processes that a test has started


def started(out, name="run", before=lambda: None):
    """A command of the harness, in a group of its own, that hears Ctrl-C even where the tests run in the background."""
    def prepare():
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # what a shell starts with & ignores it, and so would its children
        before()

    words = [sys.executable, *chaos.COMMANDS[name], "--out", str(out)]
    LEFT.append(subprocess.Popen(words, start_new_session=True, preexec_fn=prepare, **WORDS))
    return LEFT[-1]


@pytest.fixture(autouse=True)
def no_process_stays():
    """After a test that has failed, too."""
    yield
    while LEFT:
        if (process := LEFT.pop()).poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.fixture(scope="module")
def calm(tmp_path_factory):
    """What an undisturbed command leaves, by its name."""

    @functools.cache
    def found(name):
        folder = tmp_path_factory.mktemp(name)
        out, err = (process := started(folder / "x.csv", name)).communicate()
        assert process.returncode == 0 and "rows in" in out and "Traceback" not in err
        return chaos.contents(folder)

    return found


def ends_as(whole, folder, name="run"):
    """Whether the same command again ends with the files of an undisturbed one."""
    process = started(folder / "x.csv", name)
    process.communicate()
    return process.returncode == 0 and chaos.contents(folder) == whole


def until(process, true):
    """Wait for something to become true while the process runs."""
    while not true():
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)


def running(group):
    """Number -> command line of every process of a group that has not ended."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, of = path.read_text("utf-8").rpartition(") ")[2].split()[:3]
            if int(of) == group and state != "Z":
                found[int(path.parent.name)] = path.with_name("cmdline").read_bytes()
    return found


def begun(folder, name="grid"):
    """A command of the harness, which has just written a checkpoint."""
    def kept():
        found = set()
        for file in chaos.lying(folder):
            with suppress(OSError):  # its cell was saved just now
                if file.endswith(".safetensors"):
                    found.add((file, (folder / "x.csv.checkpoints" / file).stat().st_mtime_ns))
        return found

    before, process = kept(), started(folder / "x.csv", name)
    until(process, lambda: kept() - before)
    return process


def ended(process):
    """(status, lines on stderr that are no progress); nothing else was printed, no traceback, no process is left."""
    out, err = process.communicate(timeout=300)
    late = time.monotonic() + 10
    while running(process.pid) and time.monotonic() < late:
        time.sleep(0.01)
    assert not running(process.pid) and not out and "Traceback" not in err
    return process.returncode, [line for line in err.splitlines() if line and "cells done" not in line]


def test_three_kills_and_the_same_bytes(tmp_path):
    assert len(chaos.disturbed(tmp_path, 3, 0)) == 3


@pytest.mark.parametrize("kills", [-1, -2])
def test_fewer_kills_than_none(kills, monkeypatch):
    monkeypatch.setattr(chaos, "_started", None)  # nothing is run for it
    with pytest.raises(ValueError, match=f"kills is {kills}; expected 0 or more"):
        chaos.show(kills, 0)


def test_killed_with_a_checkpoint_written_and_the_same_bytes(calm, tmp_path):
    process = begun(tmp_path, "run")
    process.kill()
    assert process.wait() == -signal.SIGKILL and any(name.endswith(".safetensors") for name in chaos.lying(tmp_path))
    assert ends_as(calm("run"), tmp_path)


def test_the_harness_notices_other_bytes(tmp_path, monkeypatch):
    # a command that writes what time it is, and one that fails
    clock = "import sys, time; open(sys.argv[2], 'w').write(f'{time.time()}\\n')"
    with pytest.raises(ValueError, match=r"x\.csv differ from those of an undisturbed run, after \[\]"):
        chaos.disturbed(tmp_path / "a", 0, 0, ("-c", clock))
    with pytest.raises(ValueError, match="the command ended with 3; expected 0"):
        chaos.disturbed(tmp_path / "b", 0, 0, ("-c", "raise SystemExit(3)"))
    half = "import os, sys, time; f = open(sys.argv[2], 'w'); f.write('a,b'); f.flush(); time.sleep(1); f.write('\\n')"
    with pytest.raises(ValueError, match=r"x\.csv is not part of the undisturbed one, after Kill"):
        chaos.disturbed(tmp_path / "c", 1, 0, ("-c", half))


def test_a_grid_that_is_stopped_in_one_way_after_the_other_ends_with_the_same_bytes(calm, tmp_path):
    process = started(tmp_path / "x.csv", "grid")
    until(process, lambda: sum(b"spawn_main" in line for line in running(process.pid).values()) == 2)
    os.killpg(process.pid, signal.SIGINT)  # Ctrl-C, which all of them hear: those that are about to import torch, too
    stopped = (130, ["hfkd: stopped; what is done is kept, the same command goes on from there"])
    assert ended(process) == stopped and not list(tmp_path.iterdir())
    process = begun(tmp_path)
    os.killpg(process.pid, signal.SIGINT)
    assert ended(process) == stopped
    kept = [path.name for path in tmp_path.rglob("*.*")]
    assert any(name.endswith(".safetensors") for name in kept) and not any(name.endswith(".tmp") for name in kept)
    process = begun(tmp_path)  # and now one of those that run cells dies
    os.kill(next(pid for pid, line in running(process.pid).items() if b"spawn_main" in line), signal.SIGKILL)
    status, (said,) = ended(process)
    assert status == 2 and said.startswith("hfkd: a process that ran cells died, most often for want of memory; what")
    assert ends_as(calm("grid"), tmp_path, "grid")


@pytest.mark.parametrize("size", [0, 5_000])
def test_where_no_file_may_grow_the_command_says_so_and_goes_on_later(size, calm, tmp_path):
    # 0: not even the lock; 5 000: no checkpoint
    limit = functools.partial(resource.setrlimit, resource.RLIMIT_FSIZE, (size, size))
    status, said = ended(started(tmp_path / "x.csv", before=limit))
    assert status == 2 and len(said) == 1
    sentence = " cannot be written (File too large); what was saved is kept: mend that and try again"
    assert said[0].startswith("hfkd: ") and said[0].endswith(sentence)
    assert not list(tmp_path.rglob("*"))
    assert ends_as(calm("run"), tmp_path)


def test_the_second_of_two_commands_at_one_file_stops(calm, tmp_path):
    first = started(tmp_path / "x.csv")
    until(first, lambda: "lock" in chaos.lying(tmp_path))
    os.killpg(first.pid, signal.SIGSTOP)  # on a busy machine it might end before the second has begun
    status, said = ended(started(tmp_path / "x.csv"))
    os.killpg(first.pid, signal.SIGCONT)
    assert status == 2 and len(said) == 1
    assert f"is taken: another run (process {first.pid}) is writing to it" in said[0]
    first.communicate()
    assert first.returncode == 0 and chaos.contents(tmp_path) == calm("run")
