"""Experiments: a grid of runs -> one result file. The same code behind `hfkd run`, `hfkd grid` and the notebooks.

A grid is a set of axes; every cell is one configuration, and all seeds of a cell train as one program. Rows that the
file already holds are skipped, so an interrupted grid goes on where it stopped.
"""

import itertools
import os
import platform
import time
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import torch

from hfkd import endpoints, paths, progress, provenance, results
from hfkd.config import Config, configure, seeds_of
from hfkd.matching import RULES
from hfkd.methods import METHODS
from hfkd.parallel import Cell, finished

OWN_COLUMNS = (
    "method",
    "dataset",
    "public",
    "partition",
    "skew",
)  # axes with a column of their own; others go to `variant`


class Grid(NamedTuple):
    """An experiment: blocks of axes (name -> values) whose products are run, and its own seeds if it has any."""

    name: str
    blocks: tuple[dict, ...]
    about: str
    seeds: tuple | None = None


GRIDS = {
    "40": Grid(
        "40_comparison",
        (
            {"method": tuple(METHODS), "skew": (0.1, 0.5)},
            # neither the loss nor the readout alone may explain a gain: the baselines with the balanced softmax too
            {"method": ("fedmd", "expertise_mean"), "skew": (0.1, 0.5), "hard_loss": ("balanced",)},
        ),
        "every method at two skews, the baselines also with the balanced softmax",
    ),
    "tuning": Grid(
        "tuning",
        (
            {"method": ("local", "balanced_local"), "skew": (0.1, 0.5), "lr": (0.003, 0.01, 0.02, 0.05)},
            {"method": ("fedmd", "expertise_mean", "hfkd", "hfkd_ramp"), "skew": (0.1, 0.5),
             "alpha": (0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 1.0)},
        ),
        "learning rate, then alpha of every method, the same values each; seeds that no table uses",
        seeds=(100, 101, 102, 103, 104),
    ),
}  # fmt: skip


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
        A frame with endpoints.COLUMNS, sorted as in the file.

    Raises:
        ValueError: bad parameters, another configuration in the way; nothing is run then.

    Source: ours.
    """
    if name not in GRIDS:
        raise ValueError(f"grid is {name!r}; expected one of {', '.join(GRIDS)}")
    grid = GRIDS[name]
    cells = _cells(grid, profile, overrides)
    axes = {*OWN_COLUMNS, *(axis for block in grid.blocks for axis in block)}
    shared = {field: v for field, v in asdict(configure(profile, **overrides)).items() if field not in axes}
    out = Path(out) if out else paths.RUNS / profile / f"{grid.name}.csv"
    seeds = tuple(seeds if seeds is not None else grid.seeds or seeds_of(profile))
    note = {"experiment": grid.name, "command": _command(f"grid {name}", profile, overrides)}
    return _run_cells(note, cells, seeds, out, shared, fresh or profile == "smoke", report or _to_file, jobs)


def run_one(profile="smoke", seeds=None, out=None, fresh=False, report=None, jobs=None, **overrides) -> pd.DataFrame:
    """Runs a single configuration; arguments as `run_grid`. Runs of other methods, data or skews may share the file."""
    config = configure(profile, **overrides)
    _check_names(config)
    shared = {field: v for field, v in asdict(config).items() if field not in OWN_COLUMNS}
    seeds = tuple(seeds if seeds is not None else seeds_of(profile))
    out = Path(out) if out else paths.RUNS / profile / "run.csv"
    kept = {k: v for k, v in overrides.items() if k not in OWN_COLUMNS}
    note = {"experiment": "run", "command": _command("run", profile, kept)}
    return _run_cells(note, [("", config)], seeds, out, shared, fresh, report or _to_file, jobs)


def _cells(grid, profile, overrides) -> list[tuple[str, Config]]:
    """(variant, configuration) of every cell; everything is checked before anything runs."""
    cells = []
    axes = {axis for block in grid.blocks for axis in block} - set(OWN_COLUMNS)
    for axis in sorted(axes & overrides.keys()):  # it would be in neither the rows nor the record
        raise ValueError(f"{axis} is an axis of {grid.name}; leave it to the grid, or `hfkd run --set {axis}=...`")
    for block in grid.blocks:
        if overrides.get("method", block["method"][0]) not in block["method"]:
            continue
        values_of = {axis: (overrides[axis],) if axis in overrides else values for axis, values in block.items()}
        for values in itertools.product(*values_of.values()):
            chosen = dict(zip(values_of, values))
            config = configure(profile, **{**overrides, **chosen})
            _check_names(config)
            cells.append((",".join(f"{k}={v}" for k, v in chosen.items() if k not in OWN_COLUMNS), config))
    if not cells:
        raise ValueError(f"method is {overrides['method']!r}; expected one of {', '.join(METHODS)} in {grid.name}")
    return cells


def _check_names(config):
    """The method exists, and the matching rule."""
    if config.method not in METHODS:
        raise ValueError(f"method is {config.method!r}; expected one of {', '.join(METHODS)}")
    if config.rule not in RULES:
        raise ValueError(f"rule is {config.rule!r}; expected one of {', '.join(RULES)}")


def _run_cells(note, cells, seeds, out, shared, fresh, report, jobs) -> pd.DataFrame:
    """What is missing of the cells; the file is saved after each, so nothing is lost when a long grid is stopped."""
    there, before = pd.DataFrame(columns=endpoints.COLUMNS), {"seconds": 0.0, "checksums": {}}
    if not seeds or len(set(seeds)) < len(seeds) or min(seeds) < 0:
        raise ValueError(f"seeds are {list(seeds)}; expected integers >= 0, each once")
    if not fresh:
        provenance.in_the_way(out, shared, provenance.code_digest())
        if out.exists():
            there, before = results.load(out), provenance.read_record(out)
    done = results.done(there)
    there = there[pd.MultiIndex.from_frame(there[endpoints.CELL]).isin(done)]  # a run cut off halfway is run again
    todo = []
    for variant, config in cells:
        where = (config.method, config.dataset, config.public, config.partition, config.skew, variant)
        missing = tuple(seed for seed in seeds if (*where, seed) not in done)
        todo += [Cell(variant, config, missing)] if missing else []
    start, checksums = time.monotonic(), dict(before["checksums"])
    for cell, rows, read in finished(todo, jobs or _jobs(shared), report):
        checksums |= read
        rows = rows.assign(experiment=note["experiment"], variant=cell.variant)[endpoints.COLUMNS]
        there = rows if there.empty else pd.concat([there, rows], ignore_index=True)
        record = provenance.provenance(
            shared, seconds=before["seconds"] + time.monotonic() - start, device=_device(shared["device"]),
            threads=shared["threads"], checksums=checksums, **note,
        )  # fmt: skip
        results.save(there, out, record)
    frame = results.load(out)
    frame.attrs["path"] = str(out)
    return frame


def _command(what, profile, overrides):
    """The command line that makes these rows, seeds aside: those are in the rows."""
    return " ".join([f"hfkd {what} --profile {profile}", *(f"--set {k}={v}" for k, v in sorted(overrides.items()))])


def _jobs(shared):
    """As many cells at once as the processor has room for; one on a GPU."""
    return 1 if shared["device"] == "cuda" else max(1, (os.cpu_count() or 1) // shared["threads"])


def _to_file(line):
    """Progress for whoever runs the notebook: one line in the file that HFKD_PROGRESS names."""
    target = os.environ.get(progress.VARIABLE)
    if target:
        provenance.write_files({Path(target): line + "\n"})


def _device(name):
    """The device as torch names it, or the processor."""
    return torch.cuda.get_device_name() if name == "cuda" else platform.machine() + " cpu"
