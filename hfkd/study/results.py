"""A result: one row per run and measured round, with means over its clients, and a JSON that says where it comes from.

The CSV holds nothing volatile: the same rows give the same bytes. Seconds, versions and commit stand in the JSON beside
it, together with the digest of the rows. Nothing here imports torch (ours).
"""

import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from hfkd import paths
from hfkd.engine.faults import drawn

KEY = ["method", "dataset", "public", "partition", "skew", "variant", "seed", "round"]
RUN, SCENE = KEY[:-1], KEY[1:5]  # one method in one scene with one seed; what two compared runs must share
TEXT = ["method", "dataset", "public", "partition", "variant"]
PRIMARY = ["personality", "consistency"]
SHARES = [*PRIMARY, "consistency_corrected", "val_personality", "val_consistency"]
COUNTS = ["alpha", "teachers", "samples", "bytes_up", "bytes_down"]
LEVELS = [f"{metric}_{level}" for metric in PRIMARY for level in (1, 2, 3)]
HONEST = [f"{metric}_honest" for metric in PRIMARY]
POINTS = [*SHARES, "worst20", "below_local", *LEVELS, *HONEST]  # fractions; reported in points (times 100)
METRICS = [*POINTS, *COUNTS]
COLUMNS = KEY + METRICS
BYSTANDERS = {"__init__.py", "cli.py", "notebooks.py", "paths.py"}  # make no numbers


def summarise(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per run and measured round: means over clients of the rows of a whole grid.

    worst20        mean personality of the worst n // 5 clients, at least one
    below_local    share of clients whose personality is below that of the same client, seed and round under "local"
                   (of the same variant if there is one, else the base configuration); NaN if there is none
    X_1 .. X_3     mean of X over the clients of one level, 1 the smallest; NaN if there is none
    X_honest       mean of X over clients that would not lie at the largest share liars=... of any variant: the same
                   clients in all variants; NaN if nobody lies anywhere

    Args:
        rows: columns KEY, client, level, SHARES and COUNTS; one row per client. Accuracies are fractions.

    Returns:
        columns COLUMNS, sorted by KEY; a value that one client lacks is NaN. A missing column, or a client that stands
        twice in a run's round, is a ValueError.

    >>> rows = pd.DataFrame([dict.fromkeys(COLUMNS, 0) | {"method": m, "variant": "", "client": i, "level": 1 + i,
    ...     "personality": p} for m, i, p in (("local", 0, .5), ("local", 1, .5), ("hfkd", 0, .75), ("hfkd", 1, .25))])
    >>> summarise(rows)[["personality", "worst20", "below_local", "personality_2"]].values.tolist()
    [[0.5, 0.25, 0.5, 0.25], [0.5, 0.5, 0.0, 0.5]]
    """
    _expect(rows, [*KEY, "client", "level", *SHARES, *COUNTS], [*KEY, "client"])
    table = _means(rows, [*SHARES, *COUNTS])
    groups = rows.groupby(KEY)["personality"]
    worst = groups.rank(method="first", na_option="top") <= np.maximum(groups.transform("size") // 5, 1)
    table["worst20"] = _means(rows[worst], ["personality"])["personality"]
    table["below_local"] = _means(rows.assign(below_local=_below_local(rows)), ["below_local"])["below_local"]
    for level in (1, 2, 3):
        table[[f"{metric}_{level}" for metric in PRIMARY]] = _means(rows[rows["level"] == level], PRIMARY)
    table[HONEST] = _means(rows[_honest(rows)], PRIMARY)
    return table.reset_index()[COLUMNS]


def save(frame: pd.DataFrame, path: str | Path, record: Mapping) -> None:
    """Write summary rows to a CSV, and the record with the digest of the rows to the JSON beside it.

    Numbers have at most 10 decimals, 2 from 1,000 on: means of 20 accuracies of six decimals stay exact. NaN is empty.
    Raises ValueError if a column of COLUMNS is missing, a row repeated, a share out of [0, 1]; nothing is written.
    """
    rows = _checked(frame).sort_values(KEY, kind="stable")
    cells = {name: rows[name].map(_text) for name in ("skew", *METRICS)}
    text = rows.assign(**cells).to_csv(index=False, lineterminator="\n")
    note = {**record, "rows_sha256": digest(text.encode())}
    note = json.dumps(note, sort_keys=True, indent=1, default=lambda x: x.tolist() if hasattr(x, "tolist") else str(x))
    paths.write(Path(path), text)
    paths.write(Path(path).with_suffix(".json"), note + "\n")


def load(path: str | Path) -> pd.DataFrame:
    """The summary rows of a CSV with their types: an empty variant stays "", an empty number is NaN.

    Raises FileNotFoundError, or ValueError if it is no summary, or not the file that its JSON was written for.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no result file {path}; REPRODUCE.md has the command that makes it")
    if path.with_suffix(".json").is_file() and load_record(path).get("rows_sha256") != digest(path.read_bytes()):
        raise ValueError(f"{path} is not the file that {path.stem}.json was written for; restore both, or run again")
    types = dict.fromkeys([*TEXT, "skew"], str)  # skew as text: some pandas read 0.1 wrong in the last bit
    blank = {name: [""] for name in METRICS}  # a method called "NA" or an empty variant is text
    try:
        return _checked(pd.read_csv(path, dtype=types, keep_default_na=False, na_values=blank, encoding="utf-8"))
    except ValueError as error:  # so are pandas' own parser errors
        raise ValueError(f"{path} cannot be read ({str(error).strip()}); restore it, or run again") from error


def load_record(path: str | Path) -> dict:
    """The JSON beside a result file, or a ValueError if there is none."""
    note = Path(path).with_suffix(".json")
    try:
        return dict(json.loads(note.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(f"{note} cannot be read ({error}); expected the record of {Path(path).name}") from error


def provenance(parameters: Mapping, **more) -> dict:
    """Where a result comes from: parameters, code digest, commit, versions, and more: seconds, device, commands, ..."""
    packages = ("torch", "numpy", "scipy", "scikit-learn", "pandas")
    versions = {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in packages}
    return {"parameters": dict(parameters), "code": code_digest(), "commit": _commit(), "versions": versions, **more}


def code_digest(folder: str | Path = paths.ROOT / "hfkd") -> str:
    """sha256 over names and sources of the modules that make numbers: the paper, data, engine and methods."""
    files = [file for part in ("", "data", "engine", "methods") for file in sorted(Path(folder, part).glob("*.py"))]
    lines = [f"{file.relative_to(folder).as_posix()} {digest(file.read_bytes())}\n" for file in files
             if file.name not in BYSTANDERS]
    return digest("".join(lines).encode())


def digest(data: bytes) -> str:
    """sha256 of a text, line ends apart (git may change them)."""
    return hashlib.sha256(data.replace(b"\r\n", b"\n")).hexdigest()


def _means(rows: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """Means over clients by KEY; NaN where one client has none (pandas would skip it silently)."""
    groups = rows.groupby(KEY)
    return groups[names].mean().where(groups[names].count().eq(groups.size(), axis=0))


def _below_local(rows: pd.DataFrame) -> np.ndarray:
    """1.0 where a client is below itself under Local in the same round, else 0.0; NaN without Local."""
    local = rows[rows["method"] == "local"].rename(columns={"personality": "bar", "variant": "reference"})
    on = [*SCENE, "reference", "seed", "round", "client"]
    asked = rows.assign(reference=rows["variant"].where(rows["variant"].isin(local["reference"]), ""))
    bar = asked[on].merge(local[[*on, "bar"]], on=on, how="left")["bar"].to_numpy(float)
    own = rows["personality"].to_numpy(float)
    return np.where(np.isnan(bar) | np.isnan(own), np.nan, own < bar)


def _honest(rows: pd.DataFrame) -> np.ndarray:
    """True for clients that would not lie at the largest share of liars in the grid; all False if nobody lies."""
    share = rows["variant"].str.extract(r"(?:^|,)liars=([0-9.]+)")[0].astype(float).max()
    if not share > 0:
        return np.zeros(len(rows), bool)
    clients = int(rows["client"].max()) + 1
    lies = {seed: drawn(int(seed), clients, share, "liars") for seed in rows["seed"].unique()}
    return ~np.array([lies[seed][client] for seed, client in zip(rows["seed"], rows["client"])], bool)


def _checked(frame: pd.DataFrame) -> pd.DataFrame:
    """A typed copy with exactly COLUMNS, or a ValueError."""
    _expect(frame, COLUMNS, KEY)
    types = dict.fromkeys(COLUMNS, float) | dict.fromkeys(TEXT, str) | {"seed": np.int64, "round": np.int64}
    rows = frame[COLUMNS].astype(types)
    if (bad := (rows[POINTS] < 0) | (rows[POINTS] > 1)).any(axis=None):
        raise ValueError(f"column {bad.any().idxmax()} has a value out of range; expected fractions in [0, 1]")
    return rows


def _expect(rows: pd.DataFrame, columns: list[str], key: list[str]) -> None:
    """Nothing, or a ValueError: columns are missing, or two rows have one key."""
    if missing := [name for name in columns if name not in rows]:
        raise ValueError(f"rows lack the columns {', '.join(missing)}; expected {', '.join(columns)}")
    if (twice := rows.duplicated(key)).any():
        where = ", ".join(f"{name} {rows[twice].iloc[0][name]}" for name in key)
        raise ValueError(f"several rows have {where}; expected one")


def _text(value: float) -> str:
    """A number as the CSV has it, without trailing zeros."""
    return "" if np.isnan(value) else f"{value:.{2 if abs(value) >= 1000 else 10}f}".rstrip("0").rstrip(".")


def _commit() -> str:
    """The commit of this clone; "unknown" outside a clone of its own (unpacked inside somebody else's, say)."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "-C", str(paths.ROOT), "rev-parse", "--show-prefix", "HEAD"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=True, env=clean).stdout.split("\n")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return "unknown" if found[0] else found[1]
