"""Experiments: a grid -> the summary of its cells. Behind `hfkd run`, `hfkd grid` and the notebooks (ours).

A cell's rows, one per client, are a file named by all that it was made of and written whole or not at all: what exists
is done, a kill costs the cells in flight, and the same command gives the same rows.
"""

import json
import os
import platform
import re
import shlex
import signal
import sys
import threading
import time
from collections.abc import Iterator
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
from hfkd.config import PROFILES, configure, parse_seeds
from hfkd.engine import record, state
from hfkd.methods import METHODS
from hfkd.study import results
from hfkd.study.grids import GRIDS, OWN_COLUMNS, Cell, Grid, cells, checked, scene

LEDGER = ["method", "variant", "skew", "seed", "round", "kind"]  # key of X.ledger.csv; `round` ends a period
CLIENTS = ["method", "variant", "partition", "skew", "seed", "client", "level", "coverage", *results.PRIMARY]
# A cell and its place. checksums: of the data sets that it reads, the private one first; path: of its rows; ledger: of
# who earned whom what, edge by edge, None: not kept.
Job = NamedTuple("Job", [("cell", Cell), ("seeds", tuple[int, ...]), ("checksums", dict[str, str]), ("path", Path),
                         ("ledger", Path | None)])  # fmt: skip


def rows(name: str, profile: str = "committed", seeds=None, **overrides) -> pd.DataFrame:
    """The summary of a grid, for notebooks: `committed` reads data/results, of these seeds; all else is `run_grid`."""
    if profile != "committed":
        return run_grid(name, profile, seeds, **overrides)
    if overrides:
        raise ValueError(f"{min(overrides)} is set and profile is 'committed', which is read, not run; "
                         "expected smoke, lite or paper")  # fmt: skip
    frame = results.load(paths.RESULTS / f"{_grid(name).name}.csv")
    wanted = parse_seeds(seeds, frame["seed"].unique().tolist())
    if missing := sorted({*wanted} - {*frame["seed"]}):
        raise ValueError(f"seeds {missing} are not among the committed rows of {name}; expected some of them")
    return frame[frame["seed"].isin(wanted)]


def beside(name: str, kind: str, profile: str = "committed") -> pd.DataFrame:
    """What a grid keeps beside its summary. ledger: of all edges of a kind in a period the number, mean revenue and
    weight; clients: where every client stands at the end. Both of some variants alone."""
    folder = paths.RESULTS if profile == "committed" else paths.RUNS / profile
    return read(folder / f"{_grid(name).name}.{kind}.csv")


def holdings(profile: str = "committed", seed: int = 0, skew: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    """Who holds what in one split of a profile: label counts of the training images (N, C), and levels (N,)."""
    if profile != "committed":
        config = configure(profile, skew=skew)
        own = state.split_of(config, data.load(config.dataset), seed)
        return own.counts, own.levels
    table = pd.read_csv(paths.RESULTS / "counts.csv").loc[lambda each: (each["skew"] == skew) & (each["seed"] == seed)]
    if table.empty:
        raise ValueError(f"seed {seed}, skew {skew:g} is not among the committed splits; expected seeds 0-9, .1 or .5")
    return table.filter(regex=r"^c\d").to_numpy(), table["level"].to_numpy()


def run_grid(name: str | None, profile="smoke", seeds=None, out=None, jobs=None, fresh=False,
             **overrides) -> pd.DataFrame:
    """Run what is missing of a grid; save its summary, and the record of it. Returns the rows; attrs["path"]: the file.
    name: a key of GRIDS; None: a single configuration, whose ledger is kept if it has revenue.
    profile: smoke, lite or paper. overrides: fields of Config, as for `grids.cells`.
    seeds: repeats, numbers or text such as "0-4"; None or "": the grid's own (but not for smoke), or the profile's.
    out: the CSV of the summary; None: runs/PROFILE/<grid>.csv. fresh: run cells anew that are there.
    jobs: cells that run at once; None: as many as this process may use processors. It changes the time alone.
    Raises ValueError: bad input, or a cell failed; OSError: unwritable; MemoryError: a process died. Done is kept.
    """
    if name is None:
        found = [Cell("", checked(profile, **overrides))]
        grid = Grid(f"run_{(own := found[0].config).method}", (), "", ledger=("",) * (own.revenue != "none"))
    else:
        found = cells(grid := _grid(name), profile, overrides)
    seeds = parse_seeds(seeds, grid.seeds if grid.seeds and profile != "smoke" else PROFILES[profile][1])
    out, folder = Path(out or paths.RUNS / profile / f"{grid.name}.csv"), paths.RUNS / profile / grid.name
    if jobs is not None and jobs < 1:
        raise ValueError(f"jobs is {jobs}; expected an integer >= 1")
    config = found[0].config
    workers = jobs or (1 if config.device == "cuda" else max(1, joblib.cpu_count() // config.threads))
    plan = planned(grid, found, seeds, folder)
    _expect_place(out, folder)
    missing = [job for job in plan if fresh or not job.path.is_file()]
    failed = []
    try:
        failed.extend(error for error in finished(missing, workers) if error is not None)
    finally:  # whoever stops it finds what is done
        if done := [job for job in plan if job.path.is_file()]:
            command = [f"hfkd grid {name}" if name else "hfkd run", f"--profile {profile}", *(
                f"--set {shlex.quote(f'{field}={value}')}" for field, value in sorted(overrides.items()))]
            shared = {field: value for field, value in asdict(config).items() if field not in OWN_COLUMNS
                      and all(getattr(cell.config, field) == value for cell in found)}  # fmt: skip
            _save(grid, done, out, shared, experiment=grid.name, commands=[" ".join(command)], seeds=list(seeds))
    if failed and done and isinstance(failed[0], ValueError):
        raise ValueError(f"{failed[0]}; the other {len(done)} of {len(plan)} cells are saved in {out}") from failed[0]
    if failed:
        raise failed[0]
    frame = results.load(out)
    frame.attrs["path"] = str(out)
    return frame


def machine(device: str = "cpu") -> str:
    """The GPU as torch names it, or the processor as Linux does, and how many processors this process may use."""
    if device == "cuda":
        return torch.cuda.get_device_name()
    info = Path("/proc/cpuinfo")
    models = re.findall(r"^model name\s*:\s*(.*\S)", info.read_text("utf-8") if info.exists() else "", re.M)
    return " ".join([*models[:1], f"{joblib.cpu_count()} cores {platform.machine()}"])


def planned(grid: Grid, cells: list[Cell], seeds: tuple[int, ...], folder: Path) -> list[Job]:
    """The job of every cell. Raises ValueError or FileNotFoundError: data are not there, or a scene cannot begin."""
    made_by = [results.code_digest(), torch.__version__, np.__version__]
    datasets, begun, found = {}, set(), []
    for variant, config in cells:
        names = [config.dataset] if config.public in ("same", "none") else [config.dataset, config.public]
        datasets |= {name: data.load(name) for name in names if name not in datasets}
        if scene(config) not in begun:
            begun.add(scene(config))
            dataset, *public = (datasets[name] for name in names)
            state.begin(config, dataset, seeds[:1], *public)
        checksums = {name: datasets[name].checksum for name in names}
        everything = json.dumps([asdict(config), seeds, checksums, made_by])
        words = [config.method, variant, config.partition, f"{config.skew:g}"]
        stem = f"{'-'.join(filter(None, words))[:120]}.{results.digest(everything.encode())[:16]}"
        ledger = folder / f"{stem}.ledger.csv" if variant in grid.ledger else None
        found.append(Job(Cell(variant, config), seeds, checksums, folder / f"{stem}.csv", ledger))
    return found


def finished(jobs: list[Job], workers: int) -> Iterator[Exception | None]:
    """What each job ended in, as it ends: None or its error; with a bar, on a terminal alone.
    OSError: not written; MemoryError: a process died."""
    rounds = sum(job.cell.config.rounds for job in jobs)
    with tqdm(total=rounds, unit=" rounds", leave=False, disable=None if sys.stderr else True) as bar:
        if min(workers, len(jobs)) < 2:
            yield from (_done(job, lambda *_: bar.update())[1] for job in jobs)
            return
        pool = joblib.Parallel(min(workers, len(jobs)), return_as="generator_unordered", batch_size=1, max_nbytes=None,
                               initializer=_follow, initargs=(os.getpid(),))
        try:
            for rounds, error in pool(joblib.delayed(_done)(job) for job in jobs):
                bar.update(rounds)
                yield error
        except TerminatedWorkerError:
            raise MemoryError("a process died, most often for want of memory; what is done is kept") from None


def read(path: Path) -> pd.DataFrame:
    """The rows or the ledger of a cell. Raises ValueError for a file that was cut off."""
    if not path.read_bytes().endswith(b"\n"):
        raise ValueError(f"{path} cannot be read (it is cut off); remove it, or run with --fresh")
    return pd.read_csv(path, **results.AS_TEXT).astype({"skew": float})


_load = lru_cache(2)(data.load)  # a data set, once per process and version


def _done(job: Job, report=None) -> tuple[int, Exception | None]:
    """Run a cell, perhaps in a process of its own, and write its files: its rounds, and what it failed of."""
    start, config = time.perf_counter(), job.cell.config
    own = {"method": config.method, "variant": job.cell.variant, "skew": config.skew}
    try:
        dataset, *public = (_load(*version) for version in job.checksums.items())
        table, ledger = record.run(config, METHODS[config.method], dataset, job.seeds, *public or [None], report)
    except (ValueError, MemoryError, RuntimeError) as error:
        return config.rounds, error
    if job.ledger:
        paths.write(job.ledger, ledger.assign(**own).to_csv(index=False))
    own["seconds"] = round(time.perf_counter() - start, 2)
    paths.write(job.path, table.assign(**own).to_csv(index=False))
    return config.rounds, None


def _follow(parent: int) -> None:
    """In a process of its own: leave Ctrl-C to the one that started it, and end when that has ended."""
    def watch():
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=watch, daemon=True).start()


def _save(grid, done, out, shared, **more) -> None:
    frames, configs = [read(job.path) for job in done], [job.cell.config for job in done]
    methods = {name: METHODS[name] for name in sorted({config.method for config in configs})}
    results.save(results.summarise(pd.concat(frames, ignore_index=True)), out, results.provenance(
        shared, **more, threads=configs[0].threads, device=machine(configs[0].device),
        seconds=round(sum(frame["seconds"].iloc[0] for frame in frames), 1),
        methods={name: {"hard_loss": own.loss, **own.settings, **own.tuned} for name, own in methods.items()},
        checksums={name: checksum for job in done for name, checksum in job.checksums.items()}))  # fmt: skip
    for kind in ("ledger", "clients"):
        out.with_suffix(f".{kind}.csv").unlink(missing_ok=True)
    if last := [own[own["round"] == own["round"].max()] for job, own in zip(done, frames)
                if job.cell.variant in grid.clients]:
        paths.write(out.with_suffix(".clients.csv"), pd.concat(last)[CLIENTS].round(6).to_csv(index=False))
    if edges := [read(job.ledger) for job in done if job.ledger]:
        groups = pd.concat(edges, ignore_index=True).groupby(LEDGER)
        means = groups[["revenue", "weight"]].mean().round(8)
        means.insert(0, "edges", groups.size())
        paths.write(out.with_suffix(".ledger.csv"), means.reset_index().to_csv(index=False))


def _expect_place(out: Path, folder: Path) -> None:
    """Nothing, or a ValueError: what could only fail at the save is tried now."""
    if out.suffix != ".csv" or not str(out).isprintable():
        raise ValueError(f"out is {str(out)!a}; expected a name that ends in .csv, of printable characters")
    for ending, words in ((".csv", ",".join(results.KEY)), (".json", "rows_sha256"), (".ledger.csv", "revenue,"),
                          (".clients.csv", ",client,")):
        place = out.with_suffix(ending)
        if place.exists() and not (place.is_file() and words.encode() in place.read_bytes()):
            raise ValueError(f"{place} is there and hfkd did not write it; choose another --out")
    for place in (out, folder / "cell"):
        paths.expect_writable(place, "choose another --out, or set HFKD_RUNS to a folder that can")


def _grid(name: str) -> Grid:
    if name not in GRIDS:
        raise ValueError(f"grid is {name!r}; expected one of {', '.join(GRIDS)}")
    return GRIDS[name]
