"""Cells of a grid side by side: one process per job, one line of progress with an estimate.

Every cell computes with its own fixed number of threads, so how many run at once changes the time and not one number.
"""

import multiprocessing
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from hfkd import data, federation, memory
from hfkd.config import Config
from hfkd.methods import METHODS


class Cell(NamedTuple):
    """One run: where it stands in the grid, its configuration, and the seeds that are still missing."""

    variant: str
    config: Config
    seeds: tuple[int, ...]


def finished(cells: list[Cell], jobs: int, report: Callable[[str], None]) -> Iterator[tuple]:
    """Runs the cells, at most `jobs` at a time, and yields each as it is done, in any order.

    Args:
        cells: what to run.
        jobs: processes; 1 runs in this one.
        report: called with one line of text about every second.

    Yields:
        (cell, what federation.run returns, name -> checksum of the data sets it read); in place of the outcome a
        ValueError, where a cell ended in one: training that diverges ends its own cell only.

    Raises:
        whatever else a cell raises; the others are stopped then.
    """
    memory.tell(cells, jobs, report)  # what cannot be read is said here as well, before any process starts
    start = time.monotonic()
    context = multiprocessing.get_context("spawn")  # a forked child would inherit torch's threads in an unknown state
    rounds = context.Array("l", len(cells))
    work = list(enumerate(cells))
    if jobs == 1 or len(cells) < 2:
        _share(rounds, lambda: report(_line(cells, rounds, start)))
        yield from map(_run, work)
        return
    with context.Pool(min(jobs, len(cells)), _share, (rounds,)) as pool:
        arriving = pool.imap_unordered(_run, work)
        for _ in cells:
            while True:
                try:
                    result = arriving.next(timeout=1.0)
                    break
                except multiprocessing.TimeoutError:
                    report(_line(cells, rounds, start))
            yield result


_progress = {}  # of this process: the shared array, and what to call after each round


def _share(rounds, after=lambda: None):
    """Remember where to write the rounds done."""
    _progress.update(rounds=rounds, after=after)


def _run(job):
    """One cell, in whichever process."""
    position, cell = job

    def tick(round, _):
        _progress["rounds"][position] = round
        _progress["after"]()

    config = cell.config
    dataset = data.load(config.dataset)
    public = None if config.public in ("same", "none") else data.load(config.public)
    try:
        outcome = federation.run(config, METHODS[config.method], dataset, cell.seeds, public, tick)
    except ValueError as error:
        outcome = error
    return cell, outcome, {d.name: d.checksum for d in (dataset, public) if d is not None}


def _line(cells, rounds, start) -> str:
    """How far all cells are, in rounds of one seed, and how long the rest takes at that pace."""
    total = sum(len(cell.seeds) * cell.config.rounds for cell in cells)
    done = sum(len(cell.seeds) * at for cell, at in zip(cells, rounds))
    whole = sum(at == cell.config.rounds for cell, at in zip(cells, rounds))
    running = [cell.config.method for cell, at in zip(cells, rounds) if 0 < at < cell.config.rounds]
    left = f"about {(time.monotonic() - start) / done * (total - done):.0f} s left" if done else "starting"
    return f"{whole}/{len(cells)} cells done{', now ' + ' and '.join(running) if running else ''}: {left}"
