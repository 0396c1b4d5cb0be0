"""The endpoints of METHOD section 9, read off result rows: pick a round, average over clients, subtract seed by seed.

Rows are tidy: one per client and evaluated round. A run (one method, one scene, one seed) is a CELL; a SCENE is what
two compared runs must share. Test accuracies never decide which round or row is read (*ours*).
"""

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


def chosen(frame: pd.DataFrame) -> pd.Series:
    """The best value of each method on validation data: what a tuning grid is for.

    The last part of a variant is what is tuned, such as alpha=0.2; what stands before it is part of the method, such as
    hard_loss=balanced. The score is the mean over clients, seeds and scenes of val_personality + val_consistency at the
    last round; test columns are not read. The first of tied values wins.

    Returns:
        Series, "fedmd" or "fedmd[hard_loss=balanced]" -> "alpha=0.2".

    Raises:
        ValueError: a method whose values were not run in the same scenes with the same seeds, or no validation split.

    Source: *ours* (METHOD section 9).
    """
    score = sum(per_seed(frame, metric).set_index(CELL)[metric] for metric in ("val_personality", "val_consistency"))
    if score.isna().any():
        raise ValueError("rows have no validation accuracy (val_share is 0?); expected one per client to choose by")
    table = score.rename("score").reset_index()
    parts = table["variant"].str.rpartition(",")
    table["value"] = parts[2]
    table["run"] = table["method"] + parts[0].map(lambda prefix: f"[{prefix}]" if prefix else "")
    groups = table.groupby(["run", "value"])["score"]
    for run, sizes in groups.size().groupby(level="run"):
        if sizes.nunique() > 1:
            raise ValueError(f"values of {run} have {sizes.tolist()} runs; expected the same scenes and seeds")
    return groups.mean().round(9).groupby(level="run").idxmax().map(lambda pair: pair[1])


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
