"""A result: one row per run and measured round, with means over its clients, and a JSON that says where it comes from.

The same rows give the same bytes of CSV; seconds, versions, commit and the digest of the rows stand in the JSON (ours).
"""

import hashlib
import importlib.metadata
import json
import platform
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd

from hfkd import paths
from hfkd.engine.faults import drawn

KEY = ["method", "dataset", "public", "partition", "skew", "variant", "seed", "round"]
RUN, SCENE = KEY[:-1], KEY[1:5]  # one method in one scene with one seed; what two compared runs must share
TEXT = ["method", "dataset", "public", "partition", "variant"]
PRIMARY = ["personality", "consistency"]
READINGS = ["personality_prior", "consistency_corrected"]  # the other reading of the logits, whatever the readout is
SHARES = [f"{split}{name}" for split in ("", "val_") for name in (*PRIMARY, *READINGS)]
COUNTS = ["alpha", "teachers", "coverage", "samples", "batches", "bytes_up", "bytes_down"]
HONEST = [f"{metric}_honest" for metric in PRIMARY]
LEVELS = [f"{metric}_{level}" for metric in PRIMARY for level in (1, 2, 3)]
STUDENTS = [f"{metric}_students" for metric in PRIMARY]
POINTS = [*SHARES, "worst20", "below_local", *LEVELS, *STUDENTS, *HONEST]  # fractions; reported in points (times 100)
METRICS = [*POINTS, *COUNTS]
COLUMNS = KEY + METRICS
# how pandas reads rows: skew as text, as some read 0.1 wrong in the last bit; a method "NA" or an empty variant is text
AS_TEXT = {"dtype": dict.fromkeys([*TEXT, "kind", "skew"], str), "keep_default_na": False,
           "na_values": {name: [""] for name in METRICS}, "encoding": "utf-8"}  # fmt: skip


def summarise(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per run and measured round, sorted by KEY, with COLUMNS: means over clients of the rows of a whole grid.

    worst20        mean personality of the worst n // 5 clients, at least one
    below_local    share of clients whose personality is below that of the same client, seed and round under "local"
                   (of the same variant if there is one, else the base configuration); NaN if there is none
    X_1 .. X_3     mean of X over the clients of one level, 1 the smallest; NaN if there is none
    X_students     mean of X over the clients below the highest level
    X_honest       mean of X over clients that would not lie at the largest share liars=... of any variant: the same
                   clients in all variants; NaN if nobody lies anywhere
    Rows have columns KEY, client, level, SHARES (fractions), COUNTS; what one client lacks is NaN for the whole round.
    Several random matchings of a seed, draw=0, draw=1, ..., are one run: the mean of each client over them.
    >>> rows = pd.DataFrame([dict.fromkeys(COLUMNS, 0) | {"method": m, "variant": "", "client": i, "level": 1 + i,
    ...     "personality": p} for m, i, p in (("local", 0, .5), ("local", 1, .5), ("hfkd", 0, .75), ("hfkd", 1, .25))])
    >>> summarise(rows)[["personality", "worst20", "below_local", "personality_2"]].values.tolist()
    [[0.5, 0.25, 0.5, 0.25], [0.5, 0.5, 0.0, 0.5]]
    """
    own, on, client = [*SHARES, *COUNTS], [*KEY[1:], "client"], [*KEY, "client", "level"]
    if (random := rows["variant"].str.contains("draw=")).any():
        several = rows[random].assign(variant=rows["variant"].str.replace(r"(^|,)draw=\d+", "", regex=True))
        rows = pd.concat([rows[~random], several.groupby(client)[own].mean().reset_index()], ignore_index=True)
    rows = _checked(rows, [*KEY, "client", "level", *own], [*KEY, "client"])
    local = rows.loc[rows["method"] == "local", [*on, "personality"]]
    asked = rows.assign(variant=rows["variant"].where(rows["variant"].isin(local["variant"]), ""))[on]
    mine, bar = rows["personality"], asked.merge(local, on=on, how="left")["personality"]
    rows["below_local"] = (mine < bar).astype(float).where(mine.notna() & bar.notna())
    own.append("below_local")
    rows[own] = rows[own].mask(rows[own].isna().groupby([rows[name] for name in KEY]).transform("any"))
    groups = rows.groupby(KEY)["personality"]
    worst = groups.rank(method="first") <= np.maximum(groups.transform("size") // 5, 1)
    rows["worst20"] = rows["personality"].where(worst)
    for level in (1, 2, 3):
        rows[[f"{metric}_{level}" for metric in PRIMARY]] = rows[PRIMARY].where(rows["level"] == level)
    rows[STUDENTS] = rows[PRIMARY].where(rows["level"] < rows["level"].max())
    # where nobody lies it is as if all did, so that no client is left
    share = rows["variant"].str.extract(r"(?:^|,)liars=([0-9.]+)")[0].astype(float).fillna(0).max() or 1.
    lies = {seed: drawn(int(seed), rows["client"].max() + 1, share, "liars") for seed in rows["seed"].unique()}
    rows[HONEST] = rows[PRIMARY].mask(pd.Series([lies[seed][i] for seed, i in zip(rows["seed"], rows["client"])]))
    return rows.groupby(KEY)[METRICS].mean().reset_index()[COLUMNS]


def save(frame: pd.DataFrame, path: str | Path, record: dict) -> None:
    """Write summary rows to a CSV, and the record with their digest to the JSON beside it; nothing if a row is wrong.
    Numbers have at most 10 decimals, 2 from 1,000 on: means of 20 accuracies of six decimals stay exact. NaN is empty.
    """
    rows = _checked(frame, COLUMNS, KEY).sort_values(KEY, kind="stable")
    cells = rows[["skew", *METRICS]].map(
        lambda x: f"{x:.{2 if abs(x) >= 1000 else 10}f}".rstrip("0").rstrip("."), na_action="ignore")
    text = rows.assign(**cells).to_csv(index=False, lineterminator="\n")
    note = json.dumps({**record, "rows_sha256": digest(text.encode())}, sort_keys=True, indent=1,
                      default=lambda x: x.tolist() if hasattr(x, "tolist") else str(x))
    paths.write(Path(path), text)
    paths.write(Path(path).with_suffix(".json"), note + "\n")


def load(path: str | Path) -> pd.DataFrame:
    """The typed summary rows of a CSV; ValueError if it is no summary, or not the file its JSON was written for."""
    if not (path := Path(path)).is_file():
        raise FileNotFoundError(f"no result file {path}; REPRODUCE.md has the command that makes it")
    if path.with_suffix(".json").is_file() and load_record(path).get("rows_sha256") != digest(path.read_bytes()):
        raise ValueError(f"{path} is not the file that {path.stem}.json was written for; restore both, or run again")
    try:
        return _checked(pd.read_csv(path, **AS_TEXT), COLUMNS, KEY)
    except ValueError as error:  # so are pandas' own parser errors
        raise ValueError(f"{path} cannot be read ({str(error).strip()}); restore it, or run again") from error


def load_record(path: str | Path) -> dict:
    """The JSON beside a result file, or a ValueError if there is none."""
    note = Path(path).with_suffix(".json")
    try:
        return dict(json.loads(note.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(f"{note} cannot be read ({error}); expected the record of {Path(path).name}") from error


def provenance(parameters: dict, **more) -> dict:
    """Where a result comes from: parameters, code digest, commit, versions, and more: seconds, device, commands, ..."""
    command = ["git", f"--git-dir={paths.ROOT / '.git'}", "rev-parse", "HEAD"]  # of this clone, whatever GIT_DIR says
    try:
        commit = subprocess.check_output(command, text=True, stderr=subprocess.DEVNULL).strip()
    except (OSError, subprocess.CalledProcessError):  # no git, or no clone
        commit = "unknown"
    packages = ("torch", "numpy", "scipy", "scikit-learn", "pandas")
    versions = {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in packages}
    return {"parameters": dict(parameters), "code": code_digest(), "commit": commit, "versions": versions, **more}


def code_digest(folder: str | Path = paths.ROOT / "hfkd") -> str:
    """sha256 over names and sources of the modules that make numbers: the paper, data, engine and methods."""
    files = [file for part in ("", "data", "engine", "methods") for file in sorted(Path(folder, part).glob("*.py"))]
    lines = [f"{file.relative_to(folder).as_posix()} {digest(file.read_bytes())}\n" for file in files
             if file.name not in {"__init__.py", "cli.py", "notebooks.py", "paths.py"}]
    return digest("".join(lines).encode())


def digest(data: bytes) -> str:
    """sha256 of a text, line ends apart (git may change them)."""
    return hashlib.sha256(data.replace(b"\r\n", b"\n")).hexdigest()


def _checked(frame: pd.DataFrame, columns: list[str], key: list[str]) -> pd.DataFrame:
    """A typed copy with exactly these columns; ValueError for a missing one, a key twice, a share out of [0, 1]."""
    if missing := [name for name in columns if name not in frame]:
        raise ValueError(f"rows lack the columns {', '.join(missing)}; expected {', '.join(columns)}")
    if (twice := frame.duplicated(key)).any():
        where = ", ".join(f"{name} {frame[twice].iloc[0][name]}" for name in key)
        raise ValueError(f"several rows have {where}; expected one")
    whole = dict.fromkeys(["seed", "round", "client"], np.int64) | dict.fromkeys(TEXT, str)
    rows = frame[columns].reset_index(drop=True).astype({name: whole.get(name, float) for name in columns})
    shares = rows[rows.columns.intersection(POINTS)]
    if (bad := (shares < 0) | (shares > 1)).any(axis=None):
        raise ValueError(f"column {bad.any().idxmax()} has a value out of range; expected fractions in [0, 1]")
    return rows
