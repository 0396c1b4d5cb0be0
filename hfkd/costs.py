"""What `hfkd bench --json` has measured, as tables, and the same against what was asked for (ours; no torch here)."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from hfkd import paths

RECORD = paths.RESULTS / "60_cost_and_scale.json"
TEXT = ("table", "what", "rule")
ROUND = ["table", "what", "seconds", "sequential", "flops", "rate", "floor", "memory"]
MATCH = ["clients", "classes", "rule", "fan_out", "seconds", "memory", "edges"]
BLANK = ("sequential", "flops", "floor", "fan_out", "edges")  # null or 0 where it was not asked for
MANY = 100  # clients from which on growth is asked: below, most of a round is what every round costs


class Costs(NamedTuple):
    """One run of `hfkd bench`.

    rounds: a row per round, columns ROUND (seconds, FLOP, FLOP/s, bytes), clients (of a round of many clients, else
        NaN), ratio = seconds / floor, faster = sequential / seconds.
    matched: a row per matching, columns MATCH (fan_out NaN: no limit), and case, the rule and its limit in words.
    """

    rounds: pd.DataFrame
    matched: pd.DataFrame
    device: str
    threads: int


def read(path: str | Path = RECORD) -> Costs:
    """The tables of a JSON that `hfkd bench --json FILE` wrote.

    Args:
        path: the committed record, or that of another machine.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no JSON, or of another shape; the sentence names the field.

    Source: *ours*.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no record {path}; `hfkd bench --json {path.name}` makes one")
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        record["figures"], record["match"], record["device"], record["threads"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ValueError(f"{path} is no record of `hfkd bench --json`: {type(error).__name__} {error}") from error
    rounds = _table(record["figures"], ROUND, f"{path}: figures")
    rounds["clients"] = rounds["what"].str.extract(r"^hfkd (\d+) clients", expand=False).astype(float)
    rounds["ratio"] = rounds["seconds"] / rounds["floor"]
    rounds["faster"] = rounds["sequential"] / rounds["seconds"]
    matched = _table(record["match"], MATCH, f"{path}: match")
    cases = zip(matched["rule"], matched["fan_out"], strict=True)
    matched["case"] = [rule if np.isnan(most) else f"{rule}, {most:.0f} students each" for rule, most in cases]
    return Costs(rounds, matched, str(record["device"]), record["threads"])


def crowds(rounds: pd.DataFrame) -> pd.DataFrame:
    """The rounds of many clients, fewest first.

    Raises:
        ValueError: fewer than two of them.

    >>> crowds(pd.DataFrame({"clients": [30.0, None, 10.0]}))["clients"].tolist()
    [10.0, 30.0]
    """
    found = rounds[rounds["clients"].notna()].sort_values("clients", ignore_index=True)
    if len(found) < 2:
        raise ValueError(f"the record has {len(found)} rounds of many clients, expected two or more; "
                         "`hfkd bench --json FILE` without --only measures them")
    return found


def growth(sizes: np.ndarray, seconds: np.ndarray) -> float:
    """The power p of seconds ~ sizes^p: slope of the least-squares line of the logarithms; 1 is linear growth.

    Args:
        sizes, seconds: (n,) positive, n >= 2.

    >>> round(growth([10, 100], [.5, 50]), 9)
    2.0
    """
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def targets(costs: Costs) -> pd.DataFrame:
    """What was asked for and what was measured; only what the record has.

    Returns:
        columns what, measured, limit, holds; `what` says in which direction the limit is.

    Source: *ours*.
    """
    rounds, found = costs.rounds, []
    for name, limit in (("fml-round", 3.0), ("fedavg-round", 2.5)):
        ratios = rounds[rounds["table"] == name]["ratio"].dropna()
        found += [(f"{name}: seconds over its floor, at most", ratio, limit, ratio <= limit) for ratio in ratios]
    for row in rounds[rounds["what"].str.startswith("mlp level") & rounds["faster"].notna()].itertuples():
        found.append((f"{row.what}: times as fast as one by one, at least", row.faster, 4, row.faster >= 4))
    many = rounds[rounds["clients"] >= MANY]
    if len(many) > 1:
        power = growth(many["clients"], many["seconds"])
        found.append((f"a round grows with clients, from {MANY} on, to the power, at most", power, 1.1, power <= 1.1))
    for row in costs.matched[costs.matched["clients"] == costs.matched["clients"].max()].itertuples():
        what = f"{row.clients:,} clients x {row.classes} classes matched by {row.case}"
        found.append((f"{what}: seconds, at most", row.seconds, 60, row.seconds <= 60))
        found.append((f"{what}: GiB, at most", row.memory / 2**30, 4, row.memory <= 4 * 2**30))
    return pd.DataFrame(found, columns=["what", "measured", "limit", "holds"])


def _table(rows: object, columns: list[str], where: str) -> pd.DataFrame:
    """Checked rows as a frame: text where text is due, all else numbers above 0 or, where BLANK allows it, null."""
    if not isinstance(rows, list):
        raise ValueError(f"{where} is {rows!r:.60}; expected a list of rows")
    for k, row in enumerate(rows):
        for name in columns:
            if not isinstance(row, dict) or name not in row:
                raise ValueError(f"{where}[{k}] has no {name}; expected {', '.join(columns)}")
            value, text = row[name], name in TEXT
            number = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < np.inf
            if not (isinstance(value, str) if text else number or name in BLANK and value in (None, 0)):
                due = "text" if text else "a number above 0"
                raise ValueError(f"{where}[{k}] has {name} {value!r:.60}; expected {due}")
    frame = pd.DataFrame(rows, columns=columns)
    return frame.astype({name: float for name in columns if name in BLANK})
