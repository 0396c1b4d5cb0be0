"""Journals beside a result file X.csv: X.ledger.csv (edges), X.weights.csv (weights), X.counts.csv (who holds what).

Rows are those of `hfkd.ledger`, with the run that they belong to in front. They appear together with the result file,
whole or not at all, and its JSON holds their digests. Source: ours.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from hfkd.endpoints import CELL
from hfkd.provenance import read_record, rows_digest

NAMES = ("ledger", "weights", "counts")
RUN = CELL[:-1]  # method, dataset, public, partition, skew, variant
TEXT = [*RUN, "kind"]
WHOLE = ["seed", "round", "from", "to", "client", "closed", "level", "class", "count", "bytes"]
KEYS = {"ledger": ["seed", "round", "to", "from"], "weights": ["seed", "round", "client"],
        "counts": ["seed", "client", "class"]}  # fmt: skip


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
        FileNotFoundError: no such journal. ValueError: it is not the one that the JSON was written for.
    """
    path = Path(path)
    file = path_of(path, name)
    if not file.is_file():
        raise FileNotFoundError(f"{path} has no {file.name} beside it; `hfkd run ... --out {path.name}` writes one")
    if read_record(path).get("journals", {}).get(name) != rows_digest(file.read_bytes()):
        raise ValueError(f"{file} is not the file that the JSON of {path.name} was written for; restore both")
    frame = pd.read_csv(file, dtype={column: str for column in TEXT}, keep_default_na=False, na_values=None,
                        encoding="utf-8")  # fmt: skip
    for column in frame.columns.difference(TEXT):
        cells = pd.to_numeric(frame[column].replace("", np.nan))
        frame[column] = cells if column in WHOLE else cells.astype(float)
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
