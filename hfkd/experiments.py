"""Experiments: a grid of runs -> one result file. The same code behind `hfkd run`, `hfkd grid` and the notebooks.

Every cell of a grid is one configuration, and all seeds of a cell train as one program. Rows that the file already
holds are skipped, so an interrupted grid goes on where it stopped.
"""

import os
import platform
import shlex
import time
from dataclasses import asdict
from numbers import Integral
from pathlib import Path

import pandas as pd
import torch

from hfkd import data, endpoints, journals, paths, progress, provenance, results, state
from hfkd.config import configure, seeds_of
from hfkd.cells import OWN_COLUMNS, cells, check_names
from hfkd.given import LARGEST
from hfkd.grids import GRIDS
from hfkd.methods import METHODS
from hfkd.parallel import Cell, finished


def run_grid(
    name, profile="smoke", seeds=None, out=None, fresh=False, report=None, jobs=None, **overrides
) -> pd.DataFrame:
    """Runs what is missing of a grid and returns all its rows.

    Args:
        name: a key of GRIDS.
        profile: smoke, lite or paper. smoke always starts afresh: it is there to prove that today's code runs.
        seeds: repeats; None: the grid's own, else the profile's.
        out: the CSV; None: runs/<profile>/<grid>.csv.
        fresh: ignore rows that are there and replace the file.
        report: called with one line of text as the run goes on; None: the line goes to the file that the environment
            variable HFKD_PROGRESS names, if it is set.
        jobs: cells that run at once; None: as many as the processor has room for. It changes the time, not the numbers.
        overrides: any field of Config. method, skew and other fields with a column of their own narrow an axis to
            that value.

    Returns:
        The rows asked for, of those in the file, with endpoints.COLUMNS and sorted as there.

    Raises:
        ValueError: bad parameters, another configuration in the way; nothing is run then.

    Source: ours.
    """
    if name not in GRIDS:
        raise ValueError(f"grid is {name!r}; expected one of {', '.join(GRIDS)}")
    grid = GRIDS[name]
    todo = cells(grid, profile, overrides)
    shared = _shared(configure(profile, **(grid.base | overrides)))
    out = Path(out) if out else paths.RUNS / profile / f"{grid.name}.csv"
    seeds = tuple(seeds if seeds is not None else grid.seeds or seeds_of(profile))
    note = {"experiment": grid.name, "command": _command(f"grid {name}", profile, overrides)}
    kept = {variant for variant, _ in todo if variant in grid.journals}
    return _run_cells(note, todo, seeds, out, shared, fresh or profile == "smoke", report or _to_file, jobs, kept)


def run_one(profile="smoke", seeds=None, out=None, fresh=False, report=None, jobs=None, **overrides) -> pd.DataFrame:
    """Runs a single configuration; arguments as `run_grid`. Runs of other methods, data or skews may share the file."""
    config = configure(profile, **overrides)
    check_names(config)
    shared = _shared(config)
    seeds = tuple(seeds if seeds is not None else seeds_of(profile))
    out = Path(out) if out else paths.RUNS / profile / "run.csv"
    note = {"experiment": "run", "command": _command("run", profile, overrides)}
    return _run_cells(note, [("", config)], seeds, out, shared, fresh, report or _to_file, jobs, {""})


def tested(profile="smoke", seeds=None, **overrides) -> pd.Series:
    """Samples of every client's own test split, by (seed, client): what its accuracy weighs where samples count.

    Args: as `run_one`.
    """
    config, dataset = configure(profile, **overrides), data.load(configure(profile, **overrides).dataset)
    splits = {seed: state.split_of(config, dataset, seed) for seed in (seeds or seeds_of(profile))}
    sizes = {(seed, client): len(own) for seed, fed in splits.items() for client, own in enumerate(fed.test)}
    return pd.Series(sizes, name="tested").rename_axis(["seed", "client"])


def _run_cells(note, cells, seeds, out, shared, fresh, report, jobs, kept) -> pd.DataFrame:
    """What is missing of the cells; the file is saved after each, so nothing is lost when a long grid is stopped.

    Args:
        kept: variants whose journals are kept.
    """
    results.check_out(out)
    if jobs is not None and jobs < 1:
        raise ValueError(f"jobs is {jobs}; expected at least 1")
    if not all(isinstance(s, Integral) and 0 <= s <= LARGEST for s in seeds) or not 0 < len(seeds) == len(set(seeds)):
        raise ValueError(f"seeds are {list(seeds)}; expected integers >= 0, each once, up to {LARGEST}")
    there, before, books, done = _found(None if fresh else out, shared)
    todo = []
    for variant, config in cells:
        missing = tuple(seed for seed in seeds if (*_where(variant, config), seed) not in done)
        todo += [Cell(variant, config, missing)] if missing else []
    start, checksums = time.monotonic(), dict(before["checksums"])
    commands = sorted({*before["commands"], note["command"]})
    own = before["methods"] | _resolved(cells)
    failed = []
    for cell, outcome, read in finished(todo, jobs or _jobs(shared), report):
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
            shared, seconds=before["seconds"] + time.monotonic() - start, device=device_name(shared["device"]),
            threads=shared["threads"], checksums=checksums,
            experiment=note["experiment"], commands=commands, methods=own,
        )  # fmt: skip
        results.save(there, out, record, journals.texts(out, books))
    if failed:
        kept = f"; the other {len(todo) - len(failed)} of {len(todo)} are saved in {out}" if len(todo) > 1 else ""
        raise ValueError(f"{failed[0]}{kept}") from failed[0]
    frame = results.load(out)
    asked = {(*_where(variant, config), seed) for variant, config in cells for seed in seeds}
    frame = frame[pd.MultiIndex.from_frame(frame[endpoints.CELL]).isin(asked)].reset_index(drop=True)
    frame.attrs["path"] = str(out)
    return frame


def _found(out, shared):
    """(rows, record, journals, complete runs) of the file, if it is there and may be added to; else all empty."""
    empty = {"seconds": 0.0, "checksums": {}, "commands": [], "methods": {}}
    if out is None or not out.exists():
        return pd.DataFrame(columns=endpoints.COLUMNS), empty, {}, set()
    provenance.in_the_way(out, shared, provenance.code_digest())
    rows, record = results.load(out), empty | provenance.read_record(out)
    done = results.done(rows)
    rows = rows[pd.MultiIndex.from_frame(rows[endpoints.CELL]).isin(done)]  # a run cut off halfway is run again
    return rows, record, journals.there(out, done), done


def _shared(config) -> dict:
    """The parameters that all rows of a file have in common: all but those with a column of their own."""
    return {field: value for field, value in asdict(config).items() if field not in OWN_COLUMNS}


def _where(variant, config):
    """A cell as endpoints.CELL names it, the seed aside."""
    return config.method, config.dataset, config.public, config.partition, config.skew, variant


def _resolved(cells) -> dict:
    """Method -> what its own choices are, where the configuration leaves them to it."""
    methods = {config.method: METHODS[config.method] for _, config in cells}
    return {name: {"loss": m.LOSS, "own": m.OWN, "chosen": m.CHOSEN} for name, m in methods.items()}


def _command(what, profile, overrides):
    """The command line that makes these rows, seeds aside: those are in the rows."""
    given = (shlex.quote(f"{name}={value}") for name, value in sorted(overrides.items()))
    return " ".join([f"hfkd {what} --profile {profile}", *(f"--set {each}" for each in given)])


def _jobs(shared):
    """As many cells at once as the processor has room for; one on a GPU."""
    return 1 if shared["device"] == "cuda" else max(1, (os.cpu_count() or 1) // shared["threads"])


def _to_file(line):
    """Progress for whoever runs the notebook: one line in the file that HFKD_PROGRESS names."""
    target = os.environ.get(progress.VARIABLE)
    if target:
        provenance.write_files({Path(target): line + "\n"})


def device_name(name):
    """The device as torch names it, or the processor as Linux does."""
    if name == "cuda":
        return torch.cuda.get_device_name()
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return " ".join([*models[:1], f"{os.cpu_count()} cores {platform.machine()}"])
