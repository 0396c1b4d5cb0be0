"""The endpoints of METHOD section 9, read off result rows: pick a round, average over clients, subtract seed by seed.

Rows are tidy: one per client and evaluated round. A run (one method, one scene, one seed) is a CELL; a SCENE is what
two compared runs must share. Test accuracies never decide which round or row is read (*ours*).
"""

import re
from collections.abc import Mapping

import numpy as np
import pandas as pd

COLUMNS = ["experiment", "method", "dataset", "public", "partition", "skew", "variant", "seed", "round", "client",
           "level", "samples", "personality", "consistency", "consistency_corrected", "val_personality",
           "val_consistency", "alpha", "teachers", "bytes_up", "bytes_down"]
KEY = COLUMNS[:10]
CELL = COLUMNS[1:8]
SCENE = COLUMNS[2:6]
SHARES = COLUMNS[12:17]
POINTS = [*SHARES, "worst20", "below_local"]  # fractions; differences and levels are reported in points (times 100)
METRICS = [*POINTS, "alpha", "teachers", "samples", "bytes_up", "bytes_down"]


def at_round(frame: pd.DataFrame, which: str = "last") -> pd.DataFrame:
    """The rows of one round of each run.

    Args:
        frame: rows of one experiment.
        which: "last", the last evaluated round; "validation", the first round with the largest mean over clients of
            val_personality + val_consistency.

    Raises:
        ValueError: another `which`, several experiments, or a validation accuracy missing.

    Source: *ours* (METHOD section 9: never best-on-test).
    """
    if frame["experiment"].nunique() > 1:
        raise ValueError(f"rows of several experiments {sorted(frame['experiment'].unique())}; expected those of one")
    if which not in ("last", "validation"):
        raise ValueError(f"round is {which!r}; expected 'last' or 'validation'")
    if which == "last" or frame.empty:
        return frame[frame["round"] == frame.groupby(CELL)["round"].transform("max")]
    score = frame["val_personality"] + frame["val_consistency"]
    if score.isna().any():
        gap = frame[score.isna()].iloc[0]
        run = f"{gap['method']}, seed {gap['seed']}, round {gap['round']}"
        raise ValueError(f"{run} has no validation accuracy; expected one per client, or use round 'last'")
    # rounded, because two equal means may differ in the last bit; idxmax then takes the first of the tied rounds
    means = frame.assign(score=score).groupby([*CELL, "round"])["score"].mean().round(9).reset_index()
    chosen = means.loc[means.groupby(CELL)["score"].idxmax(), [*CELL, "round"]]
    return frame.merge(chosen, on=[*CELL, "round"])


def per_seed(frame: pd.DataFrame, metric: str, *, which: str = "last", level: int | None = None) -> pd.DataFrame:
    """One row per run: the mean of `metric` over its clients, in the unit of the file (accuracies in [0, 1]).

    Args:
        frame: rows of one experiment, any number of rounds.
        metric: a name of METRICS. "worst20" is the mean personality of the worst fifth of the clients (n // 5, at
            least one); "below_local" the share of clients whose personality is below that of the same client and seed
            under Local (Local of the same variant if there is one, else of the base configuration).
        which: see `at_round`.
        level: count the clients of this level only (1 is the smallest).

    Returns:
        columns CELL and `metric`; NaN where a client's value is missing.

    Raises:
        ValueError: unknown metric, a run without a client of that level, "below_local" without Local.

    Source: *ours* (METHOD section 9).
    """
    if metric not in METRICS:
        raise ValueError(f"metric is {metric!r}; expected one of {', '.join(METRICS)}")
    rows = at_round(frame, which)
    if metric == "below_local":
        rows = rows.assign(below_local=_below_local(rows))
    if level is not None:
        kept = rows[rows["level"] == level]
        if len(kept.drop_duplicates(CELL)) < len(rows.drop_duplicates(CELL)):
            raise ValueError(f"a run has no client of level {level}; the levels are {sorted(rows['level'].unique())}")
        rows = kept
    column, fold = ("personality", _worst_fifth) if metric == "worst20" else (metric, _mean)
    return rows.groupby(CELL)[column].agg(fold).rename(metric).reset_index()


def values(frame: pd.DataFrame, method: str, metric: str, *, which: str = "last", level: int | None = None,
           **where) -> pd.Series:
    """`metric` of one method, a value per seed: accuracies in points (times 100), all else in its own unit.

    Args:
        frame: rows of one experiment.
        method: a method's name, for the base configuration; "hfkd[alpha=0.5]" names the variant "alpha=0.5".
        metric, which, level: see `per_seed`.
        where: any of dataset, public, partition, skew, variant; needed where the file holds several.

    Returns:
        Series, its index the seeds in rising order.

    Raises:
        ValueError: no such rows, several scenes left (see `select`), or a value missing.

    Source: *ours*.
    """
    rows = select(frame, [method], **where)
    name, variant = _named(method, where)
    if metric == "below_local":
        scene = {column: rows[column].iloc[0] for column in SCENE}
        rows = pd.concat([rows, _filtered(frame, scene | {"method": "local"})]).drop_duplicates(KEY)
    table = per_seed(rows, metric, which=which, level=level)
    table = table[(table["method"] == name) & (table["variant"] == variant)]
    if table[metric].isna().any():
        raise ValueError(f"{metric} of {method} is missing for seed {table.loc[table[metric].isna(), 'seed'].iloc[0]}")
    return table.set_index("seed")[metric].sort_index() * (100 if metric in POINTS else 1)


def paired(frame: pd.DataFrame, method: str, baseline: str, metric: str, *, which: str = "last",
           level: int | None = None, **where) -> np.ndarray:
    """Differences method - baseline, one per seed in rising order (n,): accuracies in points, all else in its own unit.

    Args:
        baseline: written like `method`, and looked up in the same scene; for the others see `values`.

    Raises:
        ValueError: what `values` raises, or seeds that only one of the two has (they are named, never dropped).

    Source: *ours* (METHOD section 9: all comparisons are paired).

    >>> rows = pd.DataFrame([dict.fromkeys(COLUMNS, 0) | {"method": m, "variant": "", "seed": s, "personality": p}
    ...                      for m, s, p in (("local", 0, .5), ("local", 1, .6), ("hfkd", 0, .75), ("hfkd", 1, .8))])
    >>> paired(rows, "hfkd", "local", "personality").tolist()
    [25.0, 20.0]
    """
    select(frame, [method, baseline], **where)  # one scene for both, or a sentence that says otherwise
    ours, theirs = (values(frame, m, metric, which=which, level=level, **where) for m in (method, baseline))
    for one, other, has, lacks in ((ours, theirs, method, baseline), (theirs, ours, baseline, method)):
        if alone := sorted(set(one.index) - set(other.index)):
            raise ValueError(f"seeds {alone} of {has} have no partner in {lacks}; run both with the same seeds")
    return (ours - theirs).round(9).to_numpy()  # noise of the last bit must not break a tie


def select(frame: pd.DataFrame, methods: list[str], **where) -> pd.DataFrame:
    """The rows of some methods in one scene: one data set, public set, partition and skew.

    Args:
        methods: written as for `values`.
        where: any of dataset, public, partition, skew, and variant for those methods that have no brackets.

    Raises:
        ValueError: an unknown word in `where`, no rows for a method, or several scenes left (say which).

    Source: *ours*.
    """
    if unknown := sorted(where.keys() - {*SCENE, "variant"}):
        raise ValueError(f"unknown condition {unknown[0]!r}; expected some of {', '.join(SCENE)}, variant")
    parts = []
    for method in methods:
        name, variant = _named(method, where)
        parts.append(_filtered(frame, where | {"method": name, "variant": variant}))
        if parts[-1].empty:
            known = sorted({f"{m}[{v}]" if v else m for m, v in zip(frame["method"], frame["variant"], strict=True)})
            asked = "".join(f", {k} {v}" for k, v in where.items())
            raise ValueError(f"no rows of {method}{asked}; the file has {', '.join(known) or 'no rows'}")
    rows = pd.concat(parts).drop_duplicates(KEY)
    for column in SCENE:
        if len(found := sorted(rows[column].unique())) > 1:
            raise ValueError(f"rows of {' and '.join(methods)} have several values of {column}, {found}; say which")
    return rows


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """Means over seeds at the last round, in points: a row per method, scene and variant, for a first look.

    Returns:
        columns seeds, personality, consistency, worst20; index CELL without the seed.

    Source: *ours*.
    """
    metrics = ["personality", "consistency", "worst20"]
    table = pd.concat([per_seed(frame, metric).set_index(CELL)[metric] * 100 for metric in metrics], axis=1)
    groups = table.groupby(level=CELL[:-1])
    return groups.mean().round(2).assign(seeds=groups.size())[["seeds", *metrics]]


def _named(method: str, where: Mapping) -> tuple[str, str]:
    """Name and variant: brackets first, else the variant of `where`, else the base configuration ""."""
    found = re.fullmatch(r"(\w+)(?:\[(.*)\])?", method)
    if not found:
        raise ValueError(f"method is {method!r}; expected a name such as hfkd or hfkd[alpha=0.5]")
    return found[1], where.get("variant", "") if found[2] is None else found[2]


def _filtered(frame: pd.DataFrame, where: Mapping) -> pd.DataFrame:
    """The rows that meet every condition column = value."""
    keep = np.ones(len(frame), bool)
    for column, value in where.items():
        cells = frame[column].to_numpy()
        keep &= np.isclose(cells.astype(float), float(value), rtol=1e-9) if column == "skew" else cells == value
    return frame[keep]


def _below_local(rows: pd.DataFrame) -> np.ndarray:
    """1.0 where a client's personality is below that of the same client and seed under Local, else 0.0."""
    local = rows.loc[rows["method"] == "local", [*CELL[1:], "client", "personality"]]
    local = local.rename(columns={"personality": "bar", "variant": "reference"})
    asked = rows.assign(reference=rows["variant"].where(rows["variant"].isin(local["reference"]), ""))
    keys = [*SCENE, "reference", "seed", "client"]
    bars = asked[keys].merge(local, on=keys, how="left", validate="many_to_one")["bar"].to_numpy(float)
    if np.isnan(bars).any():
        lone = rows.iloc[int(np.isnan(bars).argmax())]
        raise ValueError(f"below_local: client {lone['client']} of {lone['method']}, seed {lone['seed']}, has no row "
                         "under local; run local with the same seeds and configuration")
    return (rows["personality"].to_numpy() < bars).astype(float)


def _mean(cells: pd.Series) -> float:
    """The mean; NaN if any value is missing (pandas would skip it silently)."""
    return float(np.mean(cells.to_numpy()))


def _worst_fifth(cells: pd.Series) -> float:
    """The mean of the n // 5 smallest values, at least one of them."""
    return float(np.mean(np.sort(cells.to_numpy())[:max(1, len(cells) // 5)]))
