"""Journals beside a result file X.csv: X.ledger.csv (edges), X.weights.csv (weights), X.counts.csv (who holds what).

Rows are those of `hfkd.ledger`, with the run that they belong to in front. They appear together with the result file,
whole or not at all, and its JSON holds their digests. Source: ours.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from hfkd import paths
from hfkd.endpoints import CELL
from hfkd.provenance import LARGEST, read_record, rows_digest

KINDS = ("teacher", "feedback", "peer", "fallback", "quarantined", "self")  # what a speaker is to its listener
NAMES = ("ledger", "weights", "counts")
RUN = CELL[:-1]  # method, dataset, public, partition, skew, variant
TEXT = [*RUN, "kind"]
WHOLE = ["seed", "round", "from", "to", "client", "closed", "level", "class", "count", "bytes"]
KEYS = {"ledger": ["seed", "round", "to", "from"], "weights": ["seed", "round", "client"],
        "counts": ["seed", "client", "class"]}  # fmt: skip
MORE = {"ledger": ["kind", "revenue", "weight", "bytes"], "counts": ["level", "count"],
        "weights": ["weight", "closed", "hard", "soft", "own", "other", "cosine"]}  # fmt: skip


def of_run(outcome, where: tuple) -> dict[str, pd.DataFrame]:
    """The journals of one run, each row with the run that it belongs to.

    Args:
        outcome: federation.Outcome. where: values of RUN.
    """
    marked = dict(zip(RUN, where, strict=True))
    marked["skew"] = f"{marked['skew']:g}"
    frames = {name: getattr(outcome, name) for name in NAMES}
    return {name: frame.assign(**marked)[[*RUN, *frame.columns]] for name, frame in frames.items()}


def path_of(path: Path, name: str) -> Path:
    """Where the journal of a result file lies.

    >>> path_of(Path("a/x.csv"), "ledger").name
    'x.ledger.csv'
    """
    return path.with_suffix(f".{name}.csv")


def load(path: str | Path, name: str) -> pd.DataFrame:
    """A journal of a result file.

    Args:
        path: the result file. name: one of NAMES.

    Raises:
        FileNotFoundError: no such journal.
        ValueError: it is not the one that the JSON was written for, or not a journal.
    """
    path = Path(path)
    file = path_of(path, name)
    if not file.is_file():
        raise FileNotFoundError(f"{path} has no {file.name} beside it; `hfkd run ... --out {path.name}` writes one")
    paths.bounded(file, LARGEST)
    if read_record(path).get("journals", {}).get(name) != rows_digest(file.read_bytes()):
        raise ValueError(f"{file} is not the file that the JSON of {path.name} was written for; restore both")
    try:
        return _checked(pd.read_csv(file, dtype=str, keep_default_na=False, encoding="utf-8"), name)
    except ValueError as error:  # so are pandas' own parser errors
        raise ValueError(f"{file} cannot be read ({str(error).strip()}); restore it, or run again") from error


def _checked(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """A journal, read as text, with its types; or a ValueError."""
    columns = [*RUN, *KEYS[name], *MORE[name]]
    if missing := [column for column in columns if column not in frame]:
        raise ValueError(f"it lacks the columns {', '.join(missing)}; expected {', '.join(columns)}")
    for column in frame.columns.difference(TEXT):
        cells = pd.to_numeric(frame[column].replace("", np.nan)).astype(float)
        bad = ~((cells >= 0) & (cells < 2**53) & (cells % 1 == 0)) if column in WHOLE else np.isinf(cells)
        if bad.any():
            expected = "integers >= 0" if column in WHOLE else "finite numbers"
            raise ValueError(f"{column} has the value {cells[bad].iloc[0]:g}; expected {expected}")
        frame[column] = cells.astype(np.int64) if column in WHOLE else cells
    if "kind" in frame and len(odd := frame.loc[~frame["kind"].isin(KINDS), "kind"]):
        raise ValueError(f"kind has the value {odd.iloc[0]!r}; expected one of {', '.join(KINDS)}")
    if (twice := frame.duplicated([*RUN, *KEYS[name]])).any():
        raise ValueError(f"{twice.sum()} rows repeat a key; expected each {', '.join(KEYS[name])} once")
    return frame.assign(skew=frame["skew"].astype(float))


def there(path: Path, runs: set[tuple]) -> dict[str, pd.DataFrame]:
    """The journals that lie beside a result file, of complete runs only; empty if there are none.

    Args:
        runs: (*RUN, seed) of the runs that are complete.
    """
    kept = {}
    for name in NAMES:
        if name in read_record(path).get("journals", {}) and path_of(path, name).is_file():  # who left it out meant it
            frame = load(path, name)
            frame = frame[pd.MultiIndex.from_frame(frame[CELL]).isin(runs)]
            kept[name] = frame.assign(skew=frame["skew"].map("{:g}".format))
    return kept


def joined(before: dict, new: dict) -> dict[str, pd.DataFrame]:
    """Two sets of journals as one; a run that is in both comes from `new`."""
    return {name: pd.concat([before[name], new[name]]) if name in before else new[name] for name in new} | {
        name: frame for name, frame in before.items() if name not in new
    }


def texts(path: Path, frames: dict) -> dict[str, tuple[Path, str]]:
    """Name -> (path, CSV text) of each journal, sorted; floats with %.6g, integers as integers."""
    files = {}
    for name, frame in frames.items():
        numbers = {c: np.int64 if c in WHOLE else float for c in frame.columns.difference(TEXT)}
        rows = frame.astype(numbers).drop_duplicates([*RUN, *KEYS[name]], keep="last")
        rows = rows.sort_values([*RUN, *KEYS[name]], kind="stable")
        files[name] = path_of(path, name), rows.to_csv(index=False, float_format="%.6g", lineterminator="\n")
    return files
