"""What is missing of a list of cells, run and saved cell by cell (ours): whatever stops it, little is lost.

Finished cells are in the file; of those that were running, checkpoints lie beside it until their rows are saved.
"""

import os
import platform
import time
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import torch

from hfkd import checkpoints, endpoints, journals, outputs, provenance, results
from hfkd.given import repeats
from hfkd.methods import METHODS
from hfkd.parallel import Cell, finished


def run_cells(note, cells, seeds, out, shared, fresh, kept, report, jobs, every) -> pd.DataFrame:
    """Runs what is missing of the cells, saves each, and returns the rows of all of them.

    Args:
        note: experiment, and command, for the record.
        cells: (variant, Config) of each.
        seeds: repeats.
        out: the CSV.
        shared: the parameters that all rows of the file have in common.
        fresh: whether what is there, checkpoints included, is ignored and replaced.
        kept: variants whose journals are kept.
        report: called with one line of text as the run goes on.
        jobs: cells that run at once; None: as many as the processor has room for.
        every: seconds of work between two checkpoints of a cell.

    Raises:
        as experiments.run_grid.
    """
    results.check_out(out)
    if jobs is not None and jobs < 1:
        raise ValueError(f"jobs is {jobs}; expected at least 1")
    seeds = repeats(seeds)
    if not every >= 0:
        raise ValueError(f"checkpoint is {every}; expected seconds between two of them, 0 or more")
    with outputs.alone(out, fresh) as folder:
        found = _found(None if fresh else out, shared)
        made_by = {"code": provenance.code_digest(), "versions": provenance.versions()}
        place, todo = checkpoints.Place(folder, made_by | {"device": device_name(shared["device"])}, every), []
        for variant, config in cells:
            missing = tuple(seed for seed in seeds if (*_where(variant, config), seed) not in found.done)
            todo += [Cell(variant, config, missing)] if missing else []
            if not missing:
                _forget(place, variant, config)
        with closing(finished(todo, jobs or _jobs(shared), report, place)) as arriving:
            failed = _save_each(arriving, found, note, out, shared, _resolved(cells), kept, place)
        if failed:
            others = f"; the other {len(todo) - len(failed)} of {len(todo)} are saved in {out}" if len(todo) > 1 else ""
            raise ValueError(f"{failed[0]}{others}") from failed[0]
        frame = results.load(out)
    asked = {(*_where(variant, config), seed) for variant, config in cells for seed in seeds}
    frame = frame[pd.MultiIndex.from_frame(frame[endpoints.CELL]).isin(asked)].reset_index(drop=True)
    frame.attrs["path"] = str(out)
    return frame


def _save_each(arriving, found, note, out, shared, own, kept, place) -> list[ValueError]:
    """Saves every cell as it is done, with those before it; what the others ended in."""
    start, failed, there, books = time.monotonic(), [], found.rows, found.journals
    checksums, seconds = dict(found.record["checksums"]), found.record["seconds"]
    commands = sorted({*found.record["commands"], note["command"]})
    for cell, outcome, read in arriving:
        if isinstance(outcome, ValueError):
            failed.append(outcome)
            continue
        if other := [name for name in read if checksums.get(name, read[name]) != read[name]]:
            raise ValueError(f"{out} was made from another version of {other[0]}; {provenance.NEXT}")
        checksums |= read
        if cell.variant in kept:
            books = journals.joined(books, journals.of_run(outcome, _where(cell.variant, cell.config)))
        rows = outcome.rows.assign(experiment=note["experiment"], variant=cell.variant)[endpoints.COLUMNS]
        there = rows if there.empty else pd.concat([there, rows], ignore_index=True)
        record = provenance.provenance(
            shared, seconds=seconds + time.monotonic() - start, device=place.origin["device"],
            threads=shared["threads"], checksums=checksums, experiment=note["experiment"], commands=commands,
            methods=found.record["methods"] | own,
        )  # fmt: skip
        results.save(there, out, record, journals.texts(out, books))
        _forget(place, cell.variant, cell.config)
    return failed


def _forget(place, variant, config):
    """Remove the checkpoint of a cell whose rows are saved."""
    checkpoints.of_cell(place, variant, asdict(config)).path.unlink(missing_ok=True)


class _Found(NamedTuple):
    """What a result file holds already."""

    rows: pd.DataFrame
    record: dict
    journals: dict
    done: set


def _found(out, shared) -> _Found:
    """What there is, if the file is there and may be added to; else nothing."""
    empty = {"seconds": 0.0, "checksums": {}, "commands": [], "methods": {}}
    if out is None or not out.exists():
        return _Found(pd.DataFrame(columns=endpoints.COLUMNS), empty, {}, set())
    provenance.in_the_way(out, shared, provenance.code_digest())
    rows, record = results.load(out), empty | provenance.read_record(out)
    done = results.done(rows)
    rows = rows[pd.MultiIndex.from_frame(rows[endpoints.CELL]).isin(done)]  # a run cut off halfway is run again
    return _Found(rows, record, journals.there(out, done), done)


def _where(variant, config):
    """A cell as endpoints.CELL names it, the seed aside."""
    return config.method, config.dataset, config.public, config.partition, config.skew, variant


def _resolved(cells) -> dict:
    """Method -> what its own choices are, where the configuration leaves them to it."""
    methods = {config.method: METHODS[config.method] for _, config in cells}
    return {name: {"loss": m.LOSS, "own": m.OWN, "chosen": m.CHOSEN} for name, m in methods.items()}


def _jobs(shared):
    """As many cells at once as the processor has room for; one on a GPU."""
    return 1 if shared["device"] == "cuda" else max(1, (os.cpu_count() or 1) // shared["threads"])


def device_name(name):
    """The device as torch names it, or the processor as Linux does."""
    if name == "cuda":
        return torch.cuda.get_device_name() if torch.cuda.is_available() else name  # a run says what is wrong
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return " ".join([*models[:1], f"{os.cpu_count()} cores {platform.machine()}"])
