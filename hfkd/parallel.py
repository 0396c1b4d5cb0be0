"""Cells side by side: one process per job, one line of progress with an estimate.

Every cell computes with its own fixed number of threads, so how many run at once changes the time and not one number.
Processes end with the one that started them, whatever ends it, and without a word: Ctrl-C is answered there alone.
"""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from typing import NamedTuple

from hfkd import checkpoints, data, federation, memory
from hfkd.config import Config
from hfkd.methods import METHODS


DIED = ("a process that ran cells died, most often for want of memory; what is saved is kept, and the same command takes "
        "less memory with --jobs 1")  # fmt: skip


class Cell(NamedTuple):
    """One run: where it stands in the grid, its configuration, and the seeds that are still missing."""

    variant: str
    config: Config
    seeds: tuple[int, ...]


def finished(cells: list[Cell], jobs: int, report: Callable[[str], None], place=None) -> Iterator[tuple]:
    """The rows of all cells: `spread` of one run each.

    Args:
        cells, jobs, report: as for `spread`.
        place: checkpoints.Place of the grid, or None: no cell writes checkpoints.

    Yields:
        (cell, what federation.run returns, name -> checksum of the data sets it read); in place of the outcome a
        ValueError, where a cell ended in one: training that diverges ends its own cell only.
    """
    return spread(partial(_run, place), cells, jobs, report)


def spread(act: Callable, cells: list[Cell], jobs: int, report: Callable[[str], None]) -> Iterator:
    """Yields act(cell, tick) of every cell as it is done, at most `jobs` at a time, in any order.

    Args:
        act: a function of a module, which other processes import by name; it calls tick(round, rounds) now and then.
        cells: what to run.
        jobs: processes; 1 runs in this one.
        report: called with one line of text about every second.

    Raises:
        ValueError: what `memory.tell` refuses, before any process starts. ChildProcessError: a process died. Whatever
            else `act` raises. The others are stopped then.
    """
    memory.tell(cells, jobs, report)  # what cannot be read is said here as well, before any process starts
    start = time.monotonic()
    context = multiprocessing.get_context("spawn")  # a forked child would inherit torch's threads in an unknown state
    rounds = context.RawArray("l", len(cells))  # each cell writes its own place; a lock could die with who holds it
    work = [(position, cell, act) for position, cell in enumerate(cells)]
    if jobs == 1 or len(cells) < 2:
        _share(rounds, lambda: report(_line(cells, rounds, start)))
        yield from map(_done, work)
        return
    with _pool(context, min(jobs, len(cells)), rounds) as (pool, whole):
        arriving = pool.imap_unordered(_done, work)
        for _ in cells:
            while True:
                try:
                    result = arriving.next(timeout=1.0)
                    break
                except multiprocessing.TimeoutError:
                    report(_line(cells, rounds, start))
                    if not whole():
                        raise ChildProcessError(DIED) from None
            yield result


@contextmanager
def _pool(context, jobs, rounds):
    """(pool, whole): processes that never hear of Ctrl-C, not even while they start; whether all of them still live."""
    before = set(multiprocessing.active_children())
    resource_tracker.ensure_running()  # whose start would undo the next line
    heard = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # what is started now inherits it
    try:
        with context.Pool(jobs, _join, (rounds,)) as pool:
            signal.pthread_sigmask(signal.SIG_SETMASK, heard)  # a Ctrl-C that waited ends those that are starting, too
            workers = set(multiprocessing.active_children()) - before
            yield pool, lambda: workers <= set(multiprocessing.active_children())
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, heard)


def _join(rounds):
    """Begin as one of several processes: end at once when the one that started them has ended."""
    _share(rounds)

    def follow():
        wait([multiprocessing.parent_process().sentinel])
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


_progress = {}  # of this process: the shared array, and what to call after each round


def _share(rounds, after=lambda: None):
    """Remember where to write the rounds done."""
    _progress.update(rounds=rounds, after=after)


def _done(job):
    """What comes of one cell, in whichever process."""
    position, cell, act = job

    def tick(round, _):
        _progress["rounds"][position] = round
        _progress["after"]()

    return act(cell, tick)


def _run(place, cell, tick):
    """What `finished` yields of a cell."""
    config = cell.config
    dataset = data.load(config.dataset)
    public = None if config.public in ("same", "none") else data.load(config.public)
    read = {d.name: d.checksum for d in (dataset, public) if d is not None}
    if place is not None:
        place = checkpoints.of_cell(place, cell.variant, asdict(config), seeds=cell.seeds, checksums=read)
    try:
        outcome = federation.run(config, METHODS[config.method], dataset, cell.seeds, public, tick, place)
    except ValueError as error:
        outcome = error
    return cell, outcome, read


def _line(cells, rounds, start) -> str:
    """How far all cells are, in rounds of one seed, and how long the rest takes at that pace."""
    total = sum(len(cell.seeds) * cell.config.rounds for cell in cells)
    done = sum(len(cell.seeds) * at for cell, at in zip(cells, rounds))
    whole = sum(at == cell.config.rounds for cell, at in zip(cells, rounds))
    running = [cell.config.method for cell, at in zip(cells, rounds) if 0 < at < cell.config.rounds]
    left = f"about {(time.monotonic() - start) / done * (total - done):.0f} s left" if done else "starting"
    return f"{whole}/{len(cells)} cells done{', now ' + ' and '.join(running) if running else ''}: {left}"
