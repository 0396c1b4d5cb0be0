"""Claims: every number that the text states, as a line of data/claims.csv that a machine can check.

A claim names a result file and says in `how` what to read from it:

    hfkd - local | consistency | skew=0.1            difference, metric, conditions
    hfkd[alpha=0.5] - hfkd | personality             a variant against the base configuration
    hfkd | worst20 | skew=0.1, level=1               one method's level
    hfkd_ramp - hfkd[alpha=*] | consistency          a whole curve, at no less of the other endpoint (`hfkd.curves`)

Conditions: dataset, public, partition, skew, variant, level, round (last or validation), honest (without the clients
that lie where this share does: `faults.honest`). The estimate is the mean over seeds, in points for accuracies. Kinds:
"above" / "below" (the whole 95 % interval is above / below `expected`), "within" (equivalence: the mean is within
`tolerance` of `expected`, TOST p < .05), "about" (the estimate itself is within `tolerance` of `expected`; for a re-run
elsewhere). A negative finding is a claim like any other (*ours*).
"""

import csv
import math
import re
from dataclasses import dataclass
from pathlib import Path

from hfkd import faults, paths
from hfkd.curves import over_curve
from hfkd.results import METRICS, POINTS, load, paired, values
from hfkd.statistics import Interval, interval, tost

COLUMNS = ["id", "statement", "notebook", "exhibit", "result_file", "kind", "expected", "tolerance", "how"]
NUMBERS = {"skew": float, "level": int, "honest": float}
KINDS = ("above", "below", "within", "about")
CONDITIONS = ("dataset", "public", "partition", "skew", "variant", "level", "round", "honest")
WORDS = {True: "holds", False: "fails", None: "open"}


@dataclass(frozen=True)
class Claim:
    """One line of claims.csv; `expected` and `tolerance` in points for accuracies, else in the metric's unit."""
    id: str
    statement: str
    notebook: str
    exhibit: str
    result_file: str  # name inside data/results
    kind: str  # one of KINDS
    expected: float
    tolerance: float  # NaN for above and below
    how: str


@dataclass(frozen=True)
class Verdict:
    """What the rows say about a claim."""

    claim: Claim
    estimate: Interval | None
    holds: bool | None  # None: open, the rows to judge it are not there
    line: str  # one sentence for the reader


def read(path: str | Path = paths.CLAIMS) -> list[Claim]:
    """The claims of a CSV with the columns COLUMNS, in its order.

    Raises:
        FileNotFoundError: no such file.
        ValueError: other columns, a repeated id, an unknown kind, a number missing, a `how` that does not parse; the
            sentence names the claim.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no list of claims {path}; expected a CSV with the columns {', '.join(COLUMNS)}")
    try:
        with path.open(encoding="utf-8", newline="") as file:
            table = csv.DictReader(file, strict=True)
            names, rows = table.fieldnames, list(table)
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} cannot be read ({error}); expected a CSV in UTF-8") from error
    if names != COLUMNS:
        raise ValueError(f"{path} has the columns {names}; expected {COLUMNS}")
    found = [_claim(row, path) for row in rows]
    ids = [claim.id for claim in found]
    if twice := sorted({i for i in ids if ids.count(i) > 1}):
        raise ValueError(f"{path} has claim {twice[0]} more than once; expected one line per id")
    return found


def parse(how: str) -> tuple[list[str], str, dict]:
    """Read "method [- baseline] | metric [| name=value, ...]"; nothing is guessed.

    Returns:
        one or two methods, the metric, and the conditions: all but honest are arguments of `results.paired`.

    Raises:
        ValueError: anything else: the offending part and what was expected.

    >>> parse("hfkd - local | consistency | skew=0.1, round=validation")
    (['hfkd', 'local'], 'consistency', {'skew': 0.1, 'which': 'validation'})
    """
    parts = [part.strip() for part in how.split("|")]
    if len(parts) not in (2, 3):
        raise ValueError(f"how is {how!r}; expected 'method - baseline | metric | name=value, ...'")
    methods = parts[0].split(" - ")
    if len(methods) > 2 or not all(re.fullmatch(r"[A-Za-z]\w*(\[[^\[\]]+\])?", method) for method in methods):
        raise ValueError(f"how has the methods {parts[0]!r}; expected such as 'hfkd', 'hfkd[alpha=0.5] - local'")
    if parts[1] not in METRICS:
        raise ValueError(f"how has the metric {parts[1]!r}; expected one of {', '.join(METRICS)}")
    conditions = {}
    for word in parts[2].split(",") if len(parts) == 3 else []:
        name, value = _condition(word.strip())
        if name in conditions:
            raise ValueError(f"how has the condition {word.strip()!r} after another {name}; expected each once")
        conditions[name] = value
    return methods, parts[1], conditions


def check(claim: Claim, folder: str | Path = paths.RESULTS) -> Verdict:
    """Hold one claim against the result file in `folder`.

    `holds` is None if the file, the rows or the second seed are not there, and the line says which.
    """
    methods, metric, conditions = parse(claim.how)
    try:
        frame = faults.honest(load(Path(folder) / claim.result_file), conditions.pop("honest", 0.0))
    except FileNotFoundError:
        return _verdict(claim, None, None, f"no result file {claim.result_file}; REPRODUCE.md has its command")
    try:
        read = values if len(methods) == 1 else over_curve if "*" in methods[1] else paired
        numbers = read(frame, *methods, metric, **conditions)
    except ValueError as error:
        return _verdict(claim, None, None, str(error))
    estimate = interval(numbers)
    if estimate.n == 1 and claim.kind != "about":
        return _verdict(claim, estimate, None, f"{measured(claim, estimate)}, which has no interval")
    holds = {"above": lambda: estimate.low > claim.expected,
             "below": lambda: estimate.high < claim.expected,
             "within": lambda: tost(numbers - claim.expected, claim.tolerance) < .05,
             "about": lambda: abs(estimate.mean - claim.expected) <= claim.tolerance}[claim.kind]()
    return _verdict(claim, estimate, holds, measured(claim, estimate))


def verdicts(folder: str | Path = paths.RESULTS, path: str | Path = paths.CLAIMS) -> list[Verdict]:
    """A verdict per claim, in the order of the CSV. Source: *ours*."""
    return [check(claim, folder) for claim in read(path)]


def measured(claim: Claim, estimate: Interval) -> str:
    """The estimate in words; a difference carries its sign.

    >>> claim = Claim("C03", "", "", "", "", "above", 0.0, 0.0, "hfkd - local | consistency")
    >>> measured(claim, Interval(28.24, 27.01, 29.36, 10))
    '+28.24 points, 95 % 27.01 to 29.36, 10 seeds'
    """
    methods, metric, _ = parse(claim.how)
    mean = format(estimate.mean, "+z.2f" if len(methods) == 2 else "z.2f")
    spread = "" if math.isnan(estimate.low) else f"95 % {estimate.low:z.2f} to {estimate.high:z.2f}, "
    unit = "points" if metric in POINTS else metric
    return f"{mean} {unit}, {spread}{estimate.n} seed{'s' if estimate.n > 1 else ''}"


def _claim(row: dict, path: Path) -> Claim:
    """One checked line of the CSV."""
    name = f"{path}: claim {row['id'] or '(no id)'}"
    if None in row or None in row.values() or not all(row[c].strip() for c in COLUMNS if c != "tolerance"):
        raise ValueError(f"{name} has an empty or surplus field; expected all of {', '.join(COLUMNS)} but tolerance")
    if row["kind"] not in KINDS:
        raise ValueError(f"{name} has the kind {row['kind']!r}; expected one of {', '.join(KINDS)}")
    if Path(row["result_file"]).name != row["result_file"] or not row["result_file"].endswith(".csv"):
        raise ValueError(f"{name} has the result file {row['result_file']!r}; expected a bare name such as x.csv")
    try:
        parse(row["how"])
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    try:
        expected, tolerance = float(row["expected"]), float(row["tolerance"] or "nan")
    except ValueError:
        expected = tolerance = math.nan
    if not math.isfinite(expected) or row["kind"] in ("within", "about") and not 0 < tolerance < math.inf:
        raise ValueError(f"{name} has expected {row['expected']!r}, tolerance {row['tolerance']!r}; expected a finite "
                         f"number and, for within and about, a tolerance > 0")
    return Claim(**row | {"expected": expected, "tolerance": tolerance})


def _condition(word: str) -> tuple[str, str | float | int]:
    """ "skew=0.1" -> ("skew", 0.1), as a keyword argument of results.paired."""
    name, equals, value = (part.strip() for part in word.partition("="))
    if name not in CONDITIONS or not equals or not (value or name == "variant"):
        raise ValueError(f"how has the condition {word!r}; expected name=value with a name of {', '.join(CONDITIONS)} "
                         "(a variant that holds a comma goes into brackets: hfkd[a=1,b=2])")
    if name == "round" and value not in ("last", "validation"):
        raise ValueError(f"how has the round {value!r}; expected last or validation")
    try:
        if name in NUMBERS and not 0 < (value := NUMBERS[name](value)) < math.inf or name == "honest" and value > 1:
            raise ValueError
    except ValueError:
        raise ValueError(f"how has {name}={value}; expected a number > 0{', at most 1' * (name == 'honest')}") from None
    return "which" if name == "round" else name, value


def _verdict(claim: Claim, estimate: Interval | None, holds: bool | None, reason: str) -> Verdict:
    """A verdict with its sentence: what became of the claim, why, and where to look."""
    where = f"see {claim.notebook}, {claim.exhibit}"
    return Verdict(claim, estimate, holds, f"{claim.id} {WORDS[holds]}: {claim.statement} [{reason}] {where}")
