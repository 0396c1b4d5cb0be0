"""Claims: every finding that the text states, as a line of data/claims.csv that a machine can check (ours).

`how` says what to read, and `scenes` where: the claim must hold for every combination in every scene.
    hfkd - local | consistency                     a difference at the last round, paired by seed
    hfkd - fedmd / dsfl | consistency / personality     against each of them, in each metric
Kinds: "above" / "below" (the 95 % interval is above / below `expected`), "within" (equivalence: the 90 % interval is
within `tolerance` of `expected`, which is TOST at .05); in points for accuracies, else in the metric's unit. What has a
`headline` is shown at the end of `make reproduce`. A claim holds, is inconclusive, or contradicted: some interval lies
wholly on the other side. One that does not hold is an error of the artifact.
"""

import itertools
import math
import re
from collections import namedtuple
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from scipy.stats import false_discovery_control

from hfkd import paths
from hfkd.study import compare
from hfkd.study.results import METRICS, PRIMARY, load, load_record

COLUMNS = ["id", "headline", "statement", "notebook", "result_file", "how", "scenes", "kind", "expected", "tolerance"]
Claim = namedtuple("Claim", COLUMNS)  # as text, but headline is a bool, scenes a list, the last two numbers or NaN


class Verdict(NamedTuple):
    """What the rows say: per scene the comparison that comes nearest to failing, and its room until it does."""

    claim: Claim
    found: dict[str, tuple[compare.Interval, float]]
    p: float  # the largest of all comparisons; NaN if it is open
    against: bool = False  # whether an interval says the opposite
    open: str = ""  # why nothing can be said: the rows to judge it are not there

    @property
    def holds(self) -> bool | None:
        """In every scene; None if it is open."""
        return None if self.open else all(room > 0 for _, room in self.found.values())

    @property
    def words(self) -> str:
        """Such as "holds in 3 of 3", or "contradicted, holds in 1 of 2"."""
        held = sum(room > 0 for _, room in self.found.values())
        state = "" if self.holds else "contradicted, " if self.against else "inconclusive, "
        return f"open: {self.open}" if self.open else f"{state}holds in {held} of {len(self.found)}"

    @property
    def measured(self) -> str:
        """Such as "dirichlet 0.1: +32.7 (31.1 to 34.4)"."""
        return "; ".join(f"{scene}: {e.mean:+z.1f} ({e.low:z.1f} to {e.high:z.1f})"
                         for scene, (e, _) in self.found.items())

    @property
    def line(self) -> str:
        return f"{self.claim.id} {self.words}: {self.claim.statement} [{self.measured}] see {self.claim.notebook}"


def read(path: str | Path = paths.CLAIMS) -> list[Claim]:
    """The claims of a CSV, in its order; a ValueError for other columns, an id twice, a field that cannot be read."""
    table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8")
    if list(table) != COLUMNS or table["id"].duplicated().any():
        raise ValueError(f"{path} has the columns {list(table)} or an id twice; expected {COLUMNS}, each id once")
    return [_claim(row) for row in table.to_dict("records")]


def parse(how: str) -> list[tuple[str, str, str]]:
    """All combinations (run, baseline, metric).
    >>> parse("hfkd - local / fedmd[hard_loss=balanced] | consistency")
    [('hfkd', 'local', 'consistency'), ('hfkd', 'fedmd[hard_loss=balanced]', 'consistency')]
    """
    names, _, metrics = how.partition(" | ")
    ours, theirs, metrics = (part.split(" / ") for part in (*names.partition(" - ")[::2], metrics))
    bad = [run for run in ours + theirs if not re.fullmatch(r"\w+(\[[^\[\]]+\])?", run)]
    if bad := bad + [metric for metric in metrics if metric not in METRICS]:
        raise ValueError(f"how is {how!r}, with {bad[0]!r}; expected 'run - baseline / baseline | metric'")
    return list(itertools.product(ours, theirs, metrics))


def judge(claim: Claim, sample: pd.Series) -> tuple[compare.Interval, float, float, bool]:
    """The 95 % interval, the room that is left until the claim fails (it holds while > 0), the p of its test, and
    whether the interval lies wholly where the claim says that it does not.
    """
    found, over = compare.interval(sample), sample - claim.expected
    if claim.kind == "within":
        (_, low, high, _), (_, least, most, _) = compare.interval(over, .90), compare.interval(over)
        against = least > claim.tolerance or most < -claim.tolerance
        return found, claim.tolerance - max(-low, high), compare.tost(over, claim.tolerance), against
    mean, room, most, _ = compare.interval(over if claim.kind == "above" else -over)
    return found, room, compare.student(over) if mean > 0 else 1.0, most < 0


def check(claim: Claim, folder: str | Path = paths.RESULTS) -> Verdict:
    """Hold one claim against the result file in `folder`; it is open if file, rows or a second seed are not there."""
    path = Path(folder, claim.result_file)
    if not path.is_file():
        return Verdict(claim, {}, math.nan, open=f"no result file {claim.result_file}")
    frame, names = load(path), parse(claim.how)  # an altered file is an error, not open
    where = {scene: {"partition": scene.split()[0], "skew": float(scene.split()[1])} for scene in claim.scenes}
    try:
        judged = {scene: [judge(claim, compare.paired(frame, *name, **where[scene])) for name in names]
                  for scene in claim.scenes}  # fmt: skip
    except ValueError as error:
        return Verdict(claim, {}, math.nan, open=str(error))
    found = {scene: min(every, key=lambda one: one[1])[:2] for scene, every in judged.items()}
    if any(e.n < 2 for e, _ in found.values()):
        return Verdict(claim, found, math.nan, open="one seed has no interval")
    every = [one for each in judged.values() for one in each]
    return Verdict(claim, found, max(p for _, _, p, _ in every), any(against for *_, against in every))


def verdicts(folder: str | Path = paths.RESULTS, path: str | Path = paths.CLAIMS) -> list[Verdict]:
    """A verdict per claim, in the order of the CSV."""
    return [check(claim, folder) for claim in read(path)]


def survivors(found: list[Verdict], adjusted=compare.holm) -> list[str]:
    """The ids of claims still shown when all are tested at once, of Student's p as the interval: adjusted p <= .05, by
    Holm (no claim is wrong), or by Benjamini and Hochberg (`false_discovery_control`: of those shown one in twenty).
    """
    tested = [verdict for verdict in found if not math.isnan(verdict.p)]
    return [v.claim.id for v, p in zip(tested, adjusted([v.p for v in tested])) if p <= .05]


def closing_lines(found: list[Verdict]) -> list[str]:
    """At most ten lines for who has just reproduced: how many claims hold, which do not, the main findings, where."""
    held, failed, unjudged = ([v for v in found if v.holds is state] for state in (True, False, None))
    lines = [f"{len(held)} of {len(found)} claims hold, {len(failed)} do not, {len(unjudged)} are open (no rows here to"
             f" judge them by); {len(survivors(found))} survive Holm's correction for their number,"
             f" {len(survivors(found, false_discovery_control))} that of Benjamini and Hochberg."]
    if failed:
        lines.append(f"Not holding: {', '.join(v.claim.id for v in failed)}; `hfkd verify` says why.")
    heads = [f"- {v.claim.statement} [{v.measured}]" for v in held if v.claim.headline]
    return [*lines, *heads[:7], "All claims, points with 95 % intervals: notebooks/90_claims.ipynb and REPRODUCE.md."]


def rendered(text: str) -> str:
    """The text of REPRODUCE.md with its tables, between their marks, made anew from the committed results."""
    comparison = paths.RESULTS / "40_comparison.csv"
    tables = {"claims": claims_table(verdicts()), "commands": commands_table(paths.RESULTS),
              "comparison": comparison_table(load(comparison), load_record(comparison)["methods"])}
    for mark, table in tables.items():
        text = between(text, mark, table)
    return text


def between(text: str, mark: str, content: str) -> str:
    """`text` with `content` between the lines <!-- mark --> and <!-- /mark -->, which it must have once each."""
    parts = re.split(f"(<!-- /?{mark} -->)", text)
    if parts[1::2] != [f"<!-- {mark} -->", f"<!-- /{mark} -->"]:
        raise ValueError(f"the document needs the marks <!-- {mark} --> and <!-- /{mark} -->, each once, in this order")
    return "".join([*parts[:2], "\n\n", content, "\n\n", *parts[3:]])


def claims_table(found: list[Verdict]) -> str:
    """The verdicts as a GitHub table."""
    kept, likely = survivors(found), survivors(found, false_discovery_control)
    return _table(["claim", "what was found", "notebook", "claimed", "measured", "verdict", "Holm", "BH"], [
        [claim.id, claim.statement, claim.notebook,
         f"{claim.kind} {claim.expected:g}" + f" ± {claim.tolerance:g}" * (claim.kind == "within"),
         verdict.measured, verdict.words, "yes" * (claim.id in kept), "yes" * (claim.id in likely)]
        for verdict in found for claim in [verdict.claim]])


def comparison_table(frame: pd.DataFrame, chosen: dict) -> str:
    """Every run against Local at the last round, both endpoints in every scene, points with 95 % intervals; what it
    takes at the first scene: batches, and kB up and down, of a client in a round; and its settings, of `chosen` by
    method, where it ran with no others. Local comes first, with its percentages; then the most consistent there.
    """
    scenes = [dict(zip(("partition", "skew"), each)) for each in sorted({*zip(frame["partition"], frame["skew"])})]
    columns, end = [(metric, where) for metric in PRIMARY[::-1] for where in scenes], compare.last(frame)
    names = [run for run in compare.runs(frame) if run != "local"]
    names.sort(key=compare.by_seed(end, names, "consistency", **scenes[0]).mean().get, reverse=True)
    cells = pd.concat([compare.gains(frame, names, "local", [metric], **where) for metric, where in columns]).apply(
        lambda row: f"{row['difference']:+.1f} ({row['low']:.1f} to {row['high']:.1f})", axis=1)
    alone = [f"{compare.by_seed(end, ['local'], metric, **where)['local'].mean():.1f} %" for metric, where in columns]
    names, cells = ["local", *names], [alone, *cells.to_numpy().reshape(len(columns), len(names)).T.tolist()]
    cost = [compare.by_seed(end, names, column, **scenes[0]).mean() / end["round"].iloc[0]
            for column in ("batches", "bytes_up", "bytes_down")]  # fmt: skip
    heads = [f"{metric}, {where['partition']} {where['skew']:g}" for metric, where in columns]
    return _table(["method", *heads, "batches", "kB up", "kB down", "chosen"], [
        [name, *own, f"{cost[0][name]:.0f}", *(f"{each[name] / 1e3:.3g}" for each in cost[1:]),
         _settings(chosen.get(name, {}))] for name, own in zip(names, cells)])  # fmt: skip


def _settings(own: dict) -> str:
    first = {"hard_loss": "{}", "epochs": "{} epochs", "lr": "rate {}"}
    return ", ".join(first.get(key, key + " {}").format(own[key]) for key in sorted(own, key=[*first, *own].index))


def commands_table(folder: str | Path) -> str:
    """Every result file with a record: what made its rows, over how many seeds, on what, in how many minutes."""
    made = {path.stem: load_record(path) for path in sorted(Path(folder).glob("*.csv"))
            if path.with_suffix(".json").is_file()}
    return _table(["rows", "command", "seeds", "machine", "minutes", "commit"], [
        [f"`{name}.csv`", "<br>".join(f"`{command}`" for command in record["commands"]), f"{len(record['seeds'])}",
         f"{record['device']}, {record['threads']} thread a run", f"{record['seconds'] / 60:.0f}",
         f"`{record['commit'][:7]}`"]
        for name, record in made.items()])


def _table(names: list[str], rows: list[list[str]]) -> str:
    lines = [[cell.replace("|", "\\|") for cell in row] for row in [names, ["---"] * len(names), *rows]]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _claim(row: dict) -> Claim:
    try:
        parse(row["how"])
        expected, tolerance = (float(row[name] or "nan") for name in ("expected", "tolerance"))
        scenes, kind = re.split("; *", row["scenes"]), row["kind"]
        known = kind in ("above", "below") or kind == "within" and tolerance > 0
        if not (known and math.isfinite(expected) and all(re.fullmatch(r"\w+ [0-9.]+", scene) for scene in scenes)):
            raise ValueError(f"scenes are {row['scenes']!r}, kind is {kind!r}; expected such as 'dirichlet 0.1;"
                             " dirichlet 0.5', and above, below or within, each with its numbers")
    except ValueError as error:
        raise ValueError(f"claim {row['id']}: {error}") from error
    return Claim(**row)._replace(headline=bool(row["headline"]), scenes=scenes, expected=expected, tolerance=tolerance)
