"""Experiments: a grid -> the summary of its cells. Behind `hfkd run`, `hfkd grid` and the notebooks (ours)."""

import platform
import shlex
from dataclasses import asdict
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import torch

from hfkd import data, paths
from hfkd.config import Config, check_seeds, configure, parse_seeds, seeds_of
from hfkd.engine import state
from hfkd.methods import METHODS
from hfkd.study import jobs as work
from hfkd.study import results
from hfkd.study.grids import GRIDS, OWN_COLUMNS, Cell, Grid, cells, checked

LEDGER = ["method", "variant", "skew", "seed", "round", "kind"]  # key of X.ledger.csv; `round` ends a period


def rows(name: str, profile: str = "committed", seeds=None, **overrides) -> pd.DataFrame:
    """The summary of a grid, as notebooks show it: `committed` reads data/results, other profiles run what is missing.

    Args:
        seeds: as for `run_grid`; of committed rows those that are kept.

    Returns:
        as `results.summarise`; attrs["path"] is its file.

    Raises:
        ValueError: overrides or seeds that committed rows have not, or what `run_grid` refuses.
    """
    if profile != "committed":
        return run_grid(name, profile, seeds, **overrides)
    if overrides:
        raise ValueError(f"{sorted(overrides)[0]} is set and profile is 'committed', which is read, not run; "
                         "expected smoke, lite or paper")
    frame = _loaded(paths.RESULTS / f"{_grid(name).name}.csv")
    wanted = _seeds(seeds, frame["seed"].unique().tolist())
    if missing := sorted({*wanted} - {*frame["seed"]}):
        raise ValueError(f"seeds {missing} are not among the committed rows of {name}; expected some of them")
    return frame[frame["seed"].isin(wanted)]


def ledger(name: str, profile: str = "committed") -> pd.DataFrame:
    """The ledger of a grid that keeps one: of all edges of a kind in a period the number, mean revenue and weight."""
    folder = paths.RESULTS if profile == "committed" else paths.RUNS / profile
    return work.read(folder / f"{_grid(name).name}.ledger.csv")


def holdings(profile: str = "committed", seed: int = 0, skew: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    """Who holds what in one split of a profile: label counts of the training images (N, C), and levels (N,).

    Raises ValueError for a split that the committed counts do not have, or what `data.split` refuses.
    """
    if profile != "committed":
        config = configure(profile, skew=skew)
        own = state.split_of(config, data.load(config.dataset), seed)
        return own.counts, own.levels
    table = pd.read_csv(paths.RESULTS / "counts.csv")
    table = table[(table["skew"] == skew) & (table["seed"] == seed)]
    if table.empty:
        raise ValueError(f"seed {seed}, skew {skew:g} is not among the committed splits; expected seeds 0-9, .1 or .5")
    return table.filter(regex=r"^c\d").to_numpy(), table["level"].to_numpy()


def run_grid(name, profile="smoke", seeds=None, out=None, jobs=None, fresh=False, **overrides) -> pd.DataFrame:
    """Run what is missing of a grid, and save its summary and the record of it.

    Args:
        name: a key of GRIDS. profile: smoke, lite or paper.
        seeds: repeats, numbers or text such as "0-4"; None or "": the grid's own (but not for smoke), or the profile's.
        out: the CSV of the summary; None: runs/PROFILE/<grid>.csv.
        jobs: cells that run at once; None: as many as this process may use processors. It changes the time alone.
        fresh: run cells anew that are there.
        overrides: fields of Config; one with a column of its own narrows that axis.

    Returns:
        the rows as they were saved; attrs["path"] is their file.

    Raises:
        ValueError: bad input, said before anything runs; or a cell failed, when all others are saved.
        OSError: something cannot be written; cells that are done are kept. MemoryError: a process died.
    """
    grid = _grid(name)
    found = cells(grid, profile, overrides)
    usual = grid.seeds if grid.seeds and profile != "smoke" else seeds_of(profile)
    return _run(grid, found, f"grid {name}", profile, _seeds(seeds, usual), out, jobs, fresh, overrides)


def run_one(profile="smoke", seeds=None, out=None, jobs=None, fresh=False, **overrides) -> pd.DataFrame:
    """Run a single configuration; all as `run_grid`. Its ledger is kept if it has revenue."""
    config = checked(profile, **overrides)
    grid = Grid("run", (), "one configuration", ledger=("",) * (config.revenue != "none"))
    seeds = _seeds(seeds, seeds_of(profile))
    return _run(grid, [Cell("", config)], "run", profile, seeds, out, jobs, fresh, overrides)


def machine(device: str = "cpu") -> str:
    """The GPU as torch names it, or the processor as Linux does, and how many processors this process may use."""
    if device == "cuda":
        return torch.cuda.get_device_name()
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return " ".join([*models[:1], f"{joblib.cpu_count()} cores {platform.machine()}"])


def _run(grid, found, what, profile, seeds, out, jobs, fresh, overrides) -> pd.DataFrame:
    """`run_grid` of checked cells: first whatever may be refused, then the work, then the summary."""
    out, folder = Path(out or paths.RUNS / profile / f"{grid.name}.csv"), paths.RUNS / profile / grid.name
    workers = _workers(jobs, found[0].config)
    plan = work.plan(grid, found, seeds, folder)
    _expect_place(out, folder)
    missing = [job for job in plan if fresh or not job.path.is_file()]
    failed = [error for error in work.finished(missing, workers) if error is not None]
    done = [job for job in plan if job.path.is_file()]
    if done:
        command = [f"hfkd {what} --profile {profile}", *(shlex.quote(f"{n}={v}") for n, v in sorted(overrides.items()))]
        shared = asdict(configure(profile, **grid.base | overrides))
        shared = {name: value for name, value in shared.items() if name not in OWN_COLUMNS}
        _save(done, out, shared, experiment=grid.name, commands=[" --set ".join(command)], seeds=list(seeds))
    if failed and done and isinstance(failed[0], ValueError):
        raise ValueError(f"{failed[0]}; the other {len(done)} of {len(plan)} cells are saved in {out}") from failed[0]
    if failed:
        raise failed[0]
    return _loaded(out)


def _save(done, out, shared, **more) -> None:
    """The summary of cells that are done, its record, and their ledger by kind where one is kept."""
    frames, configs = [work.read(job.path) for job in done], [job.cell.config for job in done]
    methods = {name: METHODS[name] for name in sorted({config.method for config in configs})}
    results.save(results.summarise(pd.concat(frames, ignore_index=True)), out, results.provenance(
        shared, **more, threads=configs[0].threads, device=machine(configs[0].device),
        seconds=round(sum(frame["seconds"].iloc[0] for frame in frames), 1),
        methods={name: {"loss": own.loss, **own.settings, "tuned": own.tuned} for name, own in methods.items()},
        checksums={name: checksum for job in done for name, checksum in job.checksums.items()},
    ))  # fmt: skip
    place = out.with_suffix(".ledger.csv")
    place.unlink(missing_ok=True)
    if edges := [work.read(job.ledger) for job in done if job.ledger]:
        groups = pd.concat(edges, ignore_index=True).groupby(LEDGER)
        means = groups[["revenue", "weight"]].mean().round(8)
        means.insert(0, "edges", groups.size())
        paths.write(place, means.reset_index().to_csv(index=False))


def _expect_place(out: Path, folder: Path) -> None:
    """Nothing, or a ValueError: what could only fail at the save is tried now."""
    if out.suffix != ".csv" or not str(out).isprintable():
        raise ValueError(f"out is {str(out)!a}; expected a name that ends in .csv, of printable characters")
    if out.exists() and not (out.is_file() and out.read_bytes().startswith(",".join(results.COLUMNS).encode())):
        raise ValueError(f"{out} is there and is no summary of hfkd; choose another --out")
    try:
        for place in (out, folder / "cell"):
            paths.write(place.with_name(f".{place.name}.try"), b"").unlink()
    except OSError as error:
        raise ValueError(f"{place.parent} cannot be written ({error.strerror}); choose another --out") from error


def _loaded(path: Path) -> pd.DataFrame:
    """A saved summary, with its place."""
    frame = results.load(path)
    frame.attrs["path"] = str(path)
    return frame


def _grid(name: str) -> Grid:
    """The grid of a name."""
    if name not in GRIDS:
        raise ValueError(f"grid is {name!r}; expected one of {', '.join(GRIDS)}")
    return GRIDS[name]


def _seeds(seeds, usual) -> tuple[int, ...]:
    """The seeds that are asked for, as numbers or as text, or the usual ones."""
    if seeds is None or isinstance(seeds, str) and not seeds:
        return tuple(usual)
    return check_seeds(parse_seeds(seeds) if isinstance(seeds, str) else seeds)


def _workers(jobs: int | None, config: Config) -> int:
    """Cells at once: on a processor as many as this process may use of it, one on a GPU."""
    if jobs is not None and (type(jobs) is not int or jobs < 1):
        raise ValueError(f"jobs is {jobs!r}; expected an integer >= 1")
    return jobs or (1 if config.device == "cuda" else max(1, joblib.cpu_count() // config.threads))
