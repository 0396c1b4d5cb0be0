"""Jobs: cells on their way to their files, side by side (ours).

A cell's rows, one per client, are a file named by all that it was made of and written whole or not at all: what exists
is done, a kill costs the cells in flight, and the same command gives the same rows.
"""

import hashlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import joblib
import numpy as np
import pandas as pd
import torch
from joblib.externals.loky.process_executor import TerminatedWorkerError
from tqdm import tqdm

from hfkd import data, paths
from hfkd.config import Config
from hfkd.engine import record, state
from hfkd.methods import METHODS
from hfkd.study import results
from hfkd.study.grids import Cell, Grid, scene

DIED = ("a process that ran cells died, most often for want of memory; what is done is kept, and the same command with "
        "--jobs 1 takes less")  # fmt: skip


class Job(NamedTuple):
    """A cell and its place."""

    cell: Cell
    seeds: tuple[int, ...]
    checksums: dict[str, str]  # of the data sets that it reads
    path: Path  # of its rows
    ledger: Path | None  # of who earned whom what, edge by edge; None: not kept


def plan(grid: Grid, cells: list[Cell], seeds: tuple[int, ...], folder: Path) -> list[Job]:
    """The job of every cell. That its data are there, and that a federation of each scene can begin, is tried here.

    Raises:
        ValueError, FileNotFoundError: they are not, or cannot.
    """
    datasets = {name: data.load(name) for name in sorted({name for cell in cells for name in _sources(cell.config)})}
    for cell in {scene(cell.config): cell for cell in reversed(cells)}.values():
        dataset, *public = map(datasets.get, _sources(cell.config))
        state.begin(cell.config, dataset, seeds[:1], *public)
    made_by, found = [results.code_digest(), torch.__version__, np.__version__], []
    for cell in cells:
        checksums = {name: datasets[name].checksum for name in _sources(cell.config)}
        everything = json.dumps([asdict(cell.config), seeds, checksums, made_by])
        words = [cell.config.method, cell.variant, cell.config.partition, f"{cell.config.skew:g}"]
        digest = hashlib.sha256(everything.encode()).hexdigest()[:16]
        stem = f"{'-'.join(filter(None, words))[:120]}.{digest}"
        kept = folder / f"{stem}.ledger.csv" if cell.variant in grid.ledger else None
        found.append(Job(cell, seeds, checksums, folder / f"{stem}.csv", kept))
    return found


def finished(jobs: list[Job], workers: int) -> Iterator[Exception | None]:
    """What each job ended in, as it ends: None, or the error of a cell that failed.

    Raises:
        OSError: a cell cannot be written. MemoryError: a process died.
    """
    with _progress(sum(job.cell.config.rounds for job in jobs)) as tick:
        if min(workers, len(jobs)) < 2:
            for job in jobs:
                yield _done(job, lambda *_: tick(1))[1]
            return
        pool = joblib.Parallel(min(workers, len(jobs)), return_as="generator_unordered", batch_size=1, max_nbytes=None)
        try:
            for rounds, error in pool(map(joblib.delayed(_elsewhere), jobs)):
                tick(rounds)
                yield error
        except TerminatedWorkerError:
            raise MemoryError(DIED) from None


def read(path: Path) -> pd.DataFrame:
    """The rows or the ledger of a cell."""
    types = dict.fromkeys((*results.TEXT, "kind", "skew"), str)  # skew as text: some pandas read 0.1 wrong
    blank = {name: [""] for name in results.METRICS}
    try:
        return pd.read_csv(path, dtype=types, keep_default_na=False, na_values=blank).astype({"skew": float})
    except ValueError as error:
        raise ValueError(f"{path} cannot be read ({error}); remove it, or run with --fresh") from error


def _done(job: Job, report=None) -> tuple[int, Exception | None]:
    """Run a cell and write its files: its rounds, and what it failed of, such as training that diverged."""
    start, config = time.perf_counter(), job.cell.config
    own = {"method": config.method, "variant": job.cell.variant, "skew": config.skew}
    try:
        dataset, *public = (_load(name, job.checksums[name]) for name in _sources(config))
        outcome = record.run(config, METHODS[config.method], dataset, job.seeds, *public or [None], report)
    except (ValueError, MemoryError, RuntimeError) as error:
        return config.rounds, error
    if job.ledger:
        paths.write(job.ledger, outcome.ledger.assign(**own).to_csv(index=False))
    own["seconds"] = round(time.perf_counter() - start, 2)
    paths.write(job.path, outcome.rows.assign(**own).to_csv(index=False))
    return config.rounds, None


def _elsewhere(job: Job) -> tuple[int, Exception | None]:
    """`_done` in a process of its own, which leaves Ctrl-C to the one that started it, and ends with that one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _follow()
    return _done(job)


@lru_cache
def _follow() -> None:
    """From now on, end this process when the one that started it has ended; else it would stay for minutes."""
    def watch(parent):
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, args=(os.getppid(),), daemon=True).start()


@lru_cache(2)
def _load(name: str, checksum: str):
    """A data set, once per process and version."""
    return data.load(name)


def _sources(config: Config) -> list[str]:
    """The data sets that a configuration reads, the private one first."""
    return [config.dataset] + [config.public] * (config.public not in ("same", "none"))


@contextmanager
def _progress(total: int):
    """tick(rounds): a bar with an estimate on a terminal, nothing elsewhere. That it cannot be told ends no work."""
    quiet, bar = suppress(OSError, ValueError, AttributeError), None

    def tick(rounds):
        with quiet:
            bar.update(rounds)

    with quiet:
        bar = tqdm(total=total, unit=" rounds", leave=False, disable=None, file=sys.stderr)
    yield tick
    with quiet:
        bar.close()
