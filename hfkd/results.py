"""Result files: a tidy CSV, one row per client and evaluated round, and a JSON beside it that says where it comes from.

The CSV holds nothing volatile: the same rows give the same bytes, in whatever order they arrive. What is read off
the rows is in `endpoints`, what stands in the JSON in `provenance`; both are to be had from here (HOUSE "A result").
"""

import json
import os
import re
import tempfile
from collections.abc import Mapping
from functools import lru_cache
from glob import escape
from pathlib import Path

import numpy as np
import pandas as pd

from hfkd import paths
from hfkd.endpoints import CELL, COLUMNS, KEY, METRICS, POINTS, SCENE, SHARES, at_round, per_seed, summary
from hfkd.outputs import publish, write_files
from hfkd.pairing import paired, select, values
from hfkd.provenance import LARGEST, code_digest, in_the_way, plain, provenance, read_record, rows_digest

__all__ = ["CELL", "COLUMNS", "KEY", "METRICS", "POINTS", "SCENE", "SHARES", "at_round", "code_digest", "done",
           "in_the_way", "load", "paired", "per_seed", "provenance", "save", "select", "summary", "values",
           "write_files"]

TEXT = ["experiment", "method", "dataset", "public", "partition", "variant"]
LONGEST = 200  # bytes in the name of a result file: journals and temporary files have longer ones
WHOLE = ["seed", "round", "client", "level", "samples", "teachers", "bytes_up", "bytes_down"]


def save(frame: pd.DataFrame, path: str | Path, provenance: Mapping, journals: Mapping | None = None) -> None:
    """Write the rows to `path` and `provenance` to the JSON beside it; both appear whole or not at all.

    Rows are sorted by KEY; skew is written with %g, the other floats with %.6f, a missing float as an empty field. The
    JSON also gets rows_sha256, by which a reader notices that the CSV was altered.

    Args:
        frame: columns COLUMNS in any order, rows in any order; accuracies are fractions in [0, 1], bytes are integers.
        path: ends in .csv; its folder is made.
        provenance: what `provenance(...)` returned.
        journals: name -> (path, text) of files that appear with it; the JSON gets their digests.

    Raises:
        ValueError: missing or unknown columns, a key missing or repeated, a value out of range; nothing is written.

    Source: *ours* (HOUSE "A result").
    """
    path = Path(path)
    if path.suffix != ".csv":
        raise ValueError(f"result file {path} does not end in .csv; expected such a name, the JSON takes the same stem")
    rows = _checked(frame).sort_values(KEY, kind="stable")
    rows["skew"] = rows["skew"].map("{:g}".format)
    text = _once(rows).to_csv(index=False, float_format="%.6f", lineterminator="\n")
    record = plain(provenance) | {"rows_sha256": rows_digest(text.encode())}
    if journals:
        record["journals"] = {name: rows_digest(body.encode()) for name, (_, body) in journals.items()}
    note = json.dumps(record, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    publish(path, dict((journals or {}).values()) | {path: text, path.with_suffix(".json"): note})


def check_out(out: Path, suffix: str = ".csv") -> None:
    """Return if the file can be written, before hours are spent on what goes into it.

    Raises:
        ValueError: a name that does not end in the suffix or is too long, a folder or pipe of that name or of one that
            belongs to it, or a folder that takes no file.
    """
    if (length := max((len(os.fsencode(part)) for part in out.parts), default=0)) > LONGEST:
        raise ValueError(f"result file {out} has a name of {length} bytes; expected at most {LONGEST}")
    if out.is_dir():
        raise ValueError(f"result file {out} is a folder; expected the name of a file, such as {out / 'run.csv'}")
    beside = [out.with_suffix(".json"), *out.parent.glob(f"{escape(out.stem)}.*.csv")] if suffix == ".csv" else []
    if odd := [path for path in (out, *beside) if path.exists() and not path.is_file()]:
        raise ValueError(f"{odd[0]} is no regular file, in the way of result file {out}; remove it, or choose another")
    if out.suffix != suffix:
        raise ValueError(f"result file {out} does not end in {suffix}; expected a name that does")
    folder = next(parent for parent in out.absolute().parents if parent.exists())
    try:
        tempfile.TemporaryFile(dir=folder).close()  # asks the file system itself: root may write where nobody can
    except OSError as error:
        reason = f"{folder} takes no new file ({error.strerror})"
        raise ValueError(f"result file {out} cannot be written: {reason}; choose another") from error


def load(path: str | Path) -> pd.DataFrame:
    """The rows of a result file with their types; an empty variant stays "" and an empty float is NaN.

    Raises:
        FileNotFoundError: no such file; the sentence names the command that makes it.
        ValueError: columns are missing, the file is truncated, or it is not the one its JSON was written for.

    Source: *ours*.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no result file {path}; `{_command(path)}` makes it")
    if path.with_suffix(".json").is_file():
        read_record(path)
    paths.bounded(path, LARGEST)
    found = path.stat()
    return _rows(path, (found.st_ino, found.st_size, found.st_mtime_ns)).copy()


@lru_cache(maxsize=1)
def _rows(path: Path, which: tuple) -> pd.DataFrame:
    """The rows of a file as it is now; the last one is kept, because many claims in a row ask for the same.

    Args:
        which: what tells the file from one that replaces it.
    """
    # skew comes as text, because some pandas read 0.1 wrong in the last bit and a key must compare equal
    types = {c: str if c in [*TEXT, "skew"] else np.int64 if c in WHOLE else float for c in COLUMNS}
    blank = {c: [""] for c in types if types[c] is float}  # a method called "NA" or an empty variant is text
    try:
        return _once(_checked(pd.read_csv(path, dtype=types, keep_default_na=False, na_values=blank, encoding="utf-8")))
    except (ValueError, OverflowError) as error:  # so are pandas' own parser errors
        reason = str(error).strip().rstrip(".")
        again = f"`{_command(path)} --fresh` makes it anew"
        raise ValueError(f"result file {path} cannot be read ({reason}); {again}") from error


def done(frame: pd.DataFrame) -> set[tuple]:
    """The runs that need not be repeated, as tuples (method, dataset, public, partition, skew, variant, seed).

    A run is complete if it has as many rounds and clients as the fullest seed of the same method and configuration.

    Source: *ours*.
    """
    sizes = frame.groupby(CELL).agg(rows=("client", "size"), rounds=("round", "nunique"), clients=("client", "nunique"))
    fullest = sizes.groupby(CELL[:-1])[["rounds", "clients"]].transform("max")
    whole = sizes["rows"] == fullest["rounds"] * fullest["clients"]
    return set(sizes[whole].reset_index()[CELL].itertuples(index=False, name=None))


def origin(path: str | Path) -> dict:
    """Where the rows of a result file come from: the command, the machine and the seconds it took. Source: *ours*."""
    record, frame = read_record(Path(path)), load(path)
    kept = {name: record[name] for name in ("commands", "threads", "device")}
    seeds = {"seeds": frame["seed"].nunique(), "first": frame["seed"].min(), "last": frame["seed"].max()}
    return {"file": Path(path).name, **seeds, "seconds": round(record["seconds"]), **kept}


def _checked(frame: pd.DataFrame) -> pd.DataFrame:
    """A typed copy with exactly COLUMNS, or a ValueError."""
    missing, unknown = [c for c in COLUMNS if c not in frame], [c for c in frame if c not in COLUMNS]
    if missing or unknown:
        raise ValueError(f"result rows lack the columns {missing} and have the unknown columns {unknown}")
    frame = frame[COLUMNS].copy()
    for column in COLUMNS:
        if column in KEY and frame[column].isna().any():
            raise ValueError(f"key column {column!r} has a missing value; expected a value in every row")
        if column in TEXT:
            if bad := [x for x in frame[column].unique() if not isinstance(x, str)]:
                raise ValueError(f"column {column!r} has the value {bad[0]}; expected text")
        else:
            frame[column] = _numbers(frame[column])
    return frame


def _once(rows: pd.DataFrame) -> pd.DataFrame:
    """The same rows, if none repeats a key; or a ValueError."""
    twice = rows[rows.duplicated(KEY)]
    if len(twice):
        key = ", ".join(f"{column} {twice.iloc[0][column]}" for column in KEY[1:])
        raise ValueError(f"{len(twice)} result rows repeat a key, first {key}; expected one row per client and round")
    return rows


def _numbers(cells: pd.Series) -> pd.Series:
    """A column as integers (WHOLE) or floats, accuracies within [0, 1]; or a ValueError."""
    try:
        numbers = cells.astype(float)
    except (TypeError, ValueError) as error:
        raise ValueError(f"column {cells.name!r} has a value that is no number ({error})") from error
    whole, share = cells.name in WHOLE, cells.name in SHARES
    if whole:
        bad = ~np.isfinite(numbers) | (numbers % 1 != 0) | (numbers < 0)
    else:
        bad = (numbers < 0) | (numbers > 1 if share else np.isinf(numbers)) | (numbers.isna() & (cells.name in KEY))
    if bad.any():
        expected = "an integer >= 0" if whole else "a fraction in [0, 1]" if share else "a number >= 0"
        raise ValueError(f"column {cells.name!r} has the value {numbers[bad].iloc[0]:g}; expected {expected}")
    return cells.astype(np.int64) if whole else numbers


def _command(path: Path) -> str:
    """The command that makes a result file, read off its name: 40_comparison.csv -> hfkd grid 40 --profile lite."""
    number = re.match(r"\d+", path.stem)
    words = [*re.split(r"[^a-z]+", path.stem), path.parent.name]
    profile = next((p for p in ("smoke", "paper") if p in words), "lite")
    return f"hfkd grid {number.group() if number else 'NN'} --profile {profile}"
