"""What a federation discloses about label counts, as two tables: the matching made from noisy counts, and the leak of
answers (`hfkd privacy`). Both lie beside the rows of grid 70: 70_privacy.matching.csv and 70_privacy.leak.csv.

    matching    one row per (scene, seed, fan_in, epsilon): kept (`privacy.kept`), mean and largest `privacy.told`, how
                near a guess from the counts comes (guessed, `leak.denoised`), and the share of clients with fewer than
                FEW records (small); at epsilon = NOISE the counts are drowned: what a matching without any keeps
    leak        one row per (scene, run, seed, round, attacker): distance, correlation, auc (`leak.success`), of the
                answers that clients would send after so many rounds

The noise is that of the runs of grid 70; both attacks are fitted on the shadow seeds of the same run, round and noise.
Tables are made anew each time. Source: ours.
"""

import json
import time
from dataclasses import asdict
from io import StringIO
from pathlib import Path

import pandas as pd

from hfkd import data, leak, outputs, results, shares
from hfkd.cells import OWN_COLUMNS, check_names
from hfkd.config import configure, parse_set, seeds_of
from hfkd.eavesdropping import SHADOW, leak_rows, matching_rows
from hfkd.endpoints import SCENE
from hfkd.given import repeats
from hfkd.parallel import Cell, spread
from hfkd.provenance import plain, provenance, read_record, rows_digest

SKEWS = (0.1, 0.5)
RUNS = (  # method, variant
    ("fedmd", ""), ("fedmd", "hard_loss=balanced"), ("hfkd", ""), ("hfkd", "hard_loss=plain"), ("hfkd", "epsilon=0.1"),
)  # fmt: skip
KEYS = {"matching": [*SCENE, "seed", "fan_in", "epsilon"],
        "leak": [*SCENE, "method", "variant", "seed", "round", "attacker"]}  # fmt: skip
TEXT = ("dataset", "public", "partition", "method", "variant", "attacker")


def check(profile="smoke", seeds=None, **overrides) -> list[Cell]:
    """The runs that `write` overhears, shadow seeds last, or why they cannot be.

    Args: as for `write`.

    Raises:
        ValueError: bad parameters, or seeds among SHADOW.

    >>> [cell.variant for cell in check(seeds=(0,))[:3]], check(seeds=(0,))[0].seeds
    (['', 'hard_loss=balanced', ''], (0, 100, 101, 102))
    """
    seeds = repeats(seeds_of(profile) if seeds is None else seeds)
    if set(seeds) & set(SHADOW):
        raise ValueError(f"seeds are {list(seeds)}; expected none of {list(SHADOW)}, which fit the attack")
    if ours := sorted(overrides.keys() & {"method", "skew", "hard_loss", "epsilon"}):
        raise ValueError(f"{ours[0]} is an axis of both tables; leave it to them")
    found = [Cell(variant, configure(profile, **overrides, skew=skew, method=name, **parse_set(variant.split())),
                  (*seeds, *SHADOW)) for skew in SKEWS for name, variant in RUNS]  # fmt: skip
    for cell in found:
        check_names(cell.config)
        if cell.config.transport != "public":
            what = f"transport is {cell.config.transport!r}"
            raise ValueError(f"{what}; expected public: the attack reads answers on images")
    return found


def write(out: Path, profile="smoke", seeds=None, jobs=1, report=print, **overrides) -> dict[str, pd.DataFrame]:
    """Both tables at all SKEWS, written beside `out` with a JSON each: X.csv -> X.matching.csv and X.leak.csv.

    Args:
        profile, seeds, overrides: as for `experiments.run_grid`; rule, fan_in and such apply to both tables.
        jobs: runs side by side; changes the time, not the numbers.
        report: called with a line of text as the runs go on.

    Raises:
        ValueError: what `check` refuses, a file that cannot be written, or one that another command is writing; nothing
            is run or written. ChildProcessError: as `parallel.spread`; nothing is written.
    """
    start, todo = time.monotonic(), check(profile, seeds, **overrides)
    results.check_out(Path(out))
    shares.integer("jobs", jobs, 1)
    config = configure(profile, **overrides)
    with outputs.alone(path_of(out, "leak")):
        tables = {"leak": pd.concat(spread(leak_rows, todo, jobs, report))}
        own = todo[0].seeds[: -len(SHADOW)]
        scenes = [configure(profile, **overrides, skew=skew) for skew in SKEWS]
        tables["matching"] = pd.concat([matching_rows(scene, own) for scene in scenes])
        given = "".join(f" --set {name}={value}" for name, value in sorted(overrides.items()))
        read = [data.load(name) for name in {config.dataset, config.public} - {"same", "none"}]
        record = provenance(
            {name: value for name, value in asdict(config).items() if name not in OWN_COLUMNS},
            seconds=time.monotonic() - start, device=config.device, threads=config.threads,
            checksums={each.name: each.checksum for each in read}, shadow=SHADOW,
            commands=[f"hfkd privacy --profile {profile}{given}"],
        )  # fmt: skip
        save(out, tables, record)
    return {name: load(path_of(out, name)) for name in KEYS}


def summaries(tables: dict) -> dict[str, pd.DataFrame]:
    """Means over seeds, for a first look: the matching over epsilon, the BEST attacker after the first and last."""
    matching, leaks = tables["matching"], tables["leak"]
    ends = leaks[leaks["round"].isin([1, leaks["round"].max()]) & leaks["attacker"].isin(["nothing", leak.BEST])]
    by = ["skew", "method", "variant", "attacker", "round"]
    return {"matching": matching.groupby(["skew", "fan_in", "epsilon"])[["kept", "told", "most", "guessed"]].mean().round(4),
            "leak": ends.groupby(by)[["distance", "correlation", "auc"]].mean().round(3)}  # fmt: skip


def path_of(out: str | Path, name: str) -> Path:
    """Where a table lies.

    >>> path_of("a/70_privacy.csv", "leak").name
    '70_privacy.leak.csv'
    """
    return Path(out).with_suffix(f".{name}.csv")


def save(out: str | Path, tables: dict, record: dict) -> None:
    """Write every table with its JSON, all or none whatever stops it; sorted by KEYS, floats with %.6g."""
    texts = {}
    for name, frame in tables.items():
        rows = frame[[*KEYS[name], *frame.columns.difference(KEYS[name])]].sort_values(KEYS[name], kind="stable")
        text = rows.to_csv(index=False, float_format="%.6g", lineterminator="\n")
        note = plain(record) | {"rows_sha256": rows_digest(text.encode())}
        path = path_of(out, name)
        texts[path] = text
        texts[path.with_suffix(".json")] = json.dumps(note, sort_keys=True, indent=1, allow_nan=False) + "\n"
    outputs.publish(path_of(out, "leak"), texts)


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
