"""Experiments: a grid of runs -> one result file. The same code behind `hfkd run`, `hfkd grid` and the notebooks.

Every cell of a grid is one configuration, and all seeds of a cell train as one program. Rows that the file already
holds are skipped, so an interrupted grid goes on where it stopped, and a long cell from its last checkpoint.
"""

import os
import shlex
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from hfkd import data, paths, progress, state
from hfkd.cells import OWN_COLUMNS, cells, check_names
from hfkd.checkpoints import EVERY
from hfkd.config import configure, seeds_of
from hfkd.grids import GRIDS
from hfkd.outputs import write_files
from hfkd.running import run_cells


def run_grid(
    name, profile="smoke", seeds=None, out=None, fresh=False, report=None, jobs=None, checkpoint=EVERY, **overrides
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
        checkpoint: seconds of work between two checkpoints of a cell, 0: after each round. Nor does this.
        overrides: any field of Config. method, skew and other fields with a column of their own narrow an axis to
            that value.

    Returns:
        The rows asked for, of those in the file, with endpoints.COLUMNS and sorted as there.

    Raises:
        ValueError: bad parameters, another configuration in the way, another run at the same file; nothing is run then.
        OSError: something cannot be written; what is done is kept.

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
    fresh = fresh or profile == "smoke"
    return run_cells(note, todo, seeds, out, shared, fresh, kept, report or _to_file, jobs, checkpoint)


def run_one(
    profile="smoke", seeds=None, out=None, fresh=False, report=None, jobs=None, checkpoint=EVERY, **overrides
) -> pd.DataFrame:
    """Runs a single configuration; arguments as `run_grid`. Runs of other methods, data or skews may share the file."""
    config = configure(profile, **overrides)
    check_names(config)
    shared = _shared(config)
    seeds = tuple(seeds if seeds is not None else seeds_of(profile))
    out = Path(out) if out else paths.RUNS / profile / "run.csv"
    note = {"experiment": "run", "command": _command("run", profile, overrides)}
    return run_cells(note, [("", config)], seeds, out, shared, fresh, {""}, report or _to_file, jobs, checkpoint)


def tested(profile="smoke", seeds=None, **overrides) -> pd.Series:
    """Samples of every client's own test split, by (seed, client): what its accuracy weighs where samples count.

    Args: as `run_one`.
    """
    config, dataset = configure(profile, **overrides), data.load(configure(profile, **overrides).dataset)
    splits = {seed: state.split_of(config, dataset, seed) for seed in (seeds or seeds_of(profile))}
    sizes = {(seed, client): len(own) for seed, fed in splits.items() for client, own in enumerate(fed.test)}
    return pd.Series(sizes, name="tested").rename_axis(["seed", "client"])


def _shared(config) -> dict:
    """The parameters that all rows of a file have in common: all but those with a column of their own."""
    return {field: value for field, value in asdict(config).items() if field not in OWN_COLUMNS}


def _command(what, profile, overrides):
    """The command line that makes these rows, seeds aside: those are in the rows."""
    given = (shlex.quote(f"{name}={value}") for name, value in sorted(overrides.items()))
    return " ".join([f"hfkd {what} --profile {profile}", *(f"--set {each}" for each in given)])


def _to_file(line):
    """Progress for whoever runs the notebook: one line in the file that HFKD_PROGRESS names."""
    target = os.environ.get(progress.VARIABLE)
    if target:
        write_files({Path(target): line + "\n"})
