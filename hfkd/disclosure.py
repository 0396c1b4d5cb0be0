"""What a federation discloses about label counts, as two tables: the matching made from noisy counts, and the leak of
answers (`hfkd privacy`). Both lie beside the rows of grid 70: 70_privacy.matching.csv and 70_privacy.leak.csv.

    matching    one row per (scene, seed, fan_in, epsilon): kept (`privacy.kept`), mean and largest `privacy.told`; at
                epsilon = NOISE the counts are drowned, so that is what a matching without any keeps
    leak        one row per (scene, run, seed, round, attacker): distance, correlation, auc (`leak.success`), of the
                answers that clients would send after so many rounds

The noise is that of the runs of grid 70; the attack is fitted on the shadow seeds of the same run and round. All
clients are taken to be heard, and the attacker only listens. Tables are made anew each time. Source: ours.
"""

import itertools
import json
import multiprocessing
import time
from dataclasses import asdict
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd

from hfkd import data, federation, leak, results, shares
from hfkd.cells import OWN_COLUMNS, check_names
from hfkd.config import Config, configure, parse_set, seeds_of
from hfkd.grids import EPSILONS
from hfkd.matching import Paths
from hfkd.methods import METHODS
from hfkd.privacy import SMALLEST, kept, messages, told
from hfkd.outputs import write_files
from hfkd.provenance import plain, provenance, read_record, rows_digest
from hfkd.state import split_of
from hfkd.transport import speak

SHADOW = (100, 101, 102)  # seeds that fit the attack; no table uses them
SKEWS = (0.1, 0.5)
NOISE = SMALLEST
RUNS = (("fedmd", ""), ("fedmd", "hard_loss=balanced"), ("hfkd", ""), ("hfkd", "hard_loss=plain"))  # method, variant
SCENE = ["dataset", "public", "partition", "skew"]
KEYS = {"matching": [*SCENE, "seed", "fan_in", "epsilon"],
        "leak": [*SCENE, "method", "variant", "seed", "round", "attacker"]}  # fmt: skip
TEXT = ("dataset", "public", "partition", "method", "variant", "attacker")


def write(out: Path, profile="smoke", seeds=None, jobs=1, report=print, **overrides) -> dict[str, pd.DataFrame]:
    """Both tables at all SKEWS, written beside `out` with a JSON each: X.csv -> X.matching.csv and X.leak.csv.

    Args:
        profile, seeds, overrides: as for `experiments.run_grid`; rule, fan_in and such apply to both tables.
        jobs: runs side by side; changes the time, not the numbers.
        report: called with a line of text after each run.

    Raises:
        ValueError: bad parameters, a file that cannot be written, or seeds among SHADOW; nothing is run or written.
    """
    start, seeds = time.monotonic(), tuple(seeds_of(profile) if seeds is None else seeds)
    results.check_out(Path(out))
    shares.integer("jobs", jobs, 1)
    if ours := sorted(overrides.keys() & {"method", "skew", "hard_loss"}):
        raise ValueError(f"{ours[0]} is an axis of both tables; leave it to them")
    fit = all(isinstance(seed, int) and seed >= 0 and seed not in SHADOW for seed in seeds)
    if not fit or not 0 < len(seeds) == len(set(seeds)):
        raise ValueError(f"seeds are {list(seeds)}; expected integers >= 0, each once, without {list(SHADOW)}, which "
                         "fit the attack")  # fmt: skip
    todo = [(variant, configure(profile, **overrides, skew=skew, method=name, **parse_set(variant.split())), seeds)
            for skew in SKEWS for name, variant in RUNS]  # fmt: skip
    for _, config, _ in todo:
        check_names(config)
        if config.transport != "public":
            raise ValueError(f"transport is {config.transport!r}; expected public: the attack reads answers on images")
    scenes = [configure(profile, **overrides, skew=skew) for skew in SKEWS]
    tables = {"matching": pd.concat([matching_rows(config, seeds) for config in scenes]), "leak": []}
    for done, rows in enumerate(_spread(todo, jobs), 1):
        tables["leak"].append(rows)
        report(f"{done}/{len(todo)} runs overheard: {rows['method'].iloc[0]}, {time.monotonic() - start:.0f} s")
    tables["leak"] = pd.concat(tables["leak"])
    given = "".join(f" --set {name}={value}" for name, value in sorted(overrides.items()))
    shared = {k: v for k, v in asdict(configure(profile, **overrides)).items() if k not in OWN_COLUMNS}
    read = [data.load(name) for name in {scenes[0].dataset, scenes[0].public} - {"same", "none"}]
    record = provenance(
        shared, seconds=time.monotonic() - start, device=shared["device"], threads=shared["threads"],
        checksums={each.name: each.checksum for each in read}, shadow=SHADOW,
        commands=[f"hfkd privacy --profile {profile}{given}"],
    )  # fmt: skip
    save(out, tables, record)
    return {name: load(path_of(out, name)) for name in tables}


def matching_rows(config: Config, seeds, epsilons=(NOISE, *EPSILONS)) -> pd.DataFrame:
    """What noise on the counts does to the matching, and how far the released distributions are from the true ones.

    Args:
        config: skew, rule, personality, fan_out, max_gap and what the split needs are read; fan_in beside 1 and 2,
            where there is more to choose.
    """
    dataset, rows = data.load(config.dataset), []
    for seed in seeds:
        fed = split_of(config, dataset, seed)
        for epsilon, fan_in in itertools.product(epsilons, sorted({1, 2, config.fan_in})):
            paths = Paths(fed.levels, max_gap=config.max_gap, fan_in=fan_in, fan_out=config.fan_out)
            seen = messages(fed.counts, epsilon, seed)
            apart, ratio = told(fed.counts, seen), kept(fed.counts, seen, paths, config.rule, config.personality)
            found = {"kept": ratio, "told": apart.mean(), "most": apart.max()}
            rows.append({"seed": seed, "fan_in": fan_in, "epsilon": epsilon} | found)
    return pd.DataFrame(rows).assign(**{name: getattr(config, name) for name in SCENE})


def leak_rows(variant: str, config: Config, seeds, shadow=SHADOW) -> pd.DataFrame:
    """How much every attacker learns of `seeds` after each round of one run; it is fitted on the seeds of `shadow`."""
    counts, rounds = overheard(config, (*seeds, *shadow))
    rows = []
    for round, scores in enumerate(rounds, 1):
        for attacker, used in leak.ATTACKERS.items():
            own = scores[..., used]
            weights = leak.fit(own[len(seeds) :], counts[len(seeds) :])
            for seed, score, true in zip(seeds, own, counts):
                found = leak.success(leak.estimate(score, weights, leak.mean_of(true)), true)
                rows.append({"seed": seed, "round": round, "attacker": attacker} | found)
    where = {name: getattr(config, name) for name in (*SCENE, "method")}
    return pd.DataFrame(rows).assign(**where, variant=variant)


def overheard(config: Config, seeds) -> tuple[np.ndarray, list[np.ndarray]]:
    """A run with an eavesdropper, which changes nothing in it.

    Args:
        config: of a method that speaks about public images.

    Returns:
        (z, N, C) true counts, and after each round (z, N, C, K) statistics of what clients would say.
    """
    method, counts, rounds = METHODS[config.method], [], []

    def exchange(state, settings, round):
        if hasattr(method, "exchange"):
            method.exchange(state, settings, round)
        said = speak(state, settings, round + 1).double().cpu().numpy()
        rounds.append(np.stack([leak.statistics(each) for each in said.reshape(len(seeds), -1, *said.shape[1:])]))
        counts[:] = [fed.counts for fed in state.splits]

    public = None if config.public in ("same", "none") else data.load(config.public)
    spied = SimpleNamespace(**(vars(method) | {"exchange": exchange}))
    federation.run(config, spied, data.load(config.dataset), seeds, public)
    return np.stack(counts), rounds


def _spread(todo, jobs):
    """`leak_rows` of every run, `jobs` at a time, in their order."""
    if jobs == 1:
        yield from (leak_rows(*each) for each in todo)
        return
    with multiprocessing.get_context("spawn").Pool(min(jobs, len(todo))) as pool:
        for waiting in [pool.apply_async(leak_rows, each) for each in todo]:
            yield waiting.get()


def summaries(tables: dict) -> dict[str, pd.DataFrame]:
    """Means over seeds, for a first look: the matching over epsilon, the BEST attacker after the first and last."""
    matching, leaks = tables["matching"], tables["leak"]
    ends = leaks[leaks["round"].isin([1, leaks["round"].max()]) & leaks["attacker"].isin(["nothing", leak.BEST])]
    by = ["skew", "method", "variant", "attacker", "round"]
    return {"matching": matching.groupby(["skew", "fan_in", "epsilon"])[["kept", "told", "most"]].mean().round(4),
            "leak": ends.groupby(by)[["distance", "correlation", "auc"]].mean().round(3)}  # fmt: skip


def path_of(out: str | Path, name: str) -> Path:
    """Where a table lies.

    >>> path_of("a/70_privacy.csv", "leak").name
    '70_privacy.leak.csv'
    """
    return Path(out).with_suffix(f".{name}.csv")


def save(out: str | Path, tables: dict, record: dict) -> None:
    """Write every table with its JSON, all or none; sorted by KEYS, floats with %.6g."""
    texts = {}
    for name, frame in tables.items():
        rows = frame[[*KEYS[name], *frame.columns.difference(KEYS[name])]].sort_values(KEYS[name], kind="stable")
        text = rows.to_csv(index=False, float_format="%.6g", lineterminator="\n")
        note = plain(record) | {"rows_sha256": rows_digest(text.encode())}
        path = path_of(out, name)
        texts[path] = text
        texts[path.with_suffix(".json")] = json.dumps(note, sort_keys=True, indent=1, allow_nan=False) + "\n"
    write_files(texts)


def load(path: str | Path) -> pd.DataFrame:
    """A table, as X.leak.csv or X.matching.csv.

    Raises:
        FileNotFoundError: no such table. ValueError: it is not the one that its JSON was written for.
    """
    if not (path := Path(path)).is_file():
        raise FileNotFoundError(f"no table {path}; `hfkd privacy` makes it")
    read_record(path)
    return pd.read_csv(StringIO(path.read_text("utf-8")), dtype={name: str for name in TEXT}, keep_default_na=False,
                       na_values={"auc": [""]})  # fmt: skip
