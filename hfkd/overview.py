"""Many methods at once: which loss of each is compared, and what each changes, in one table (torch-free).

Test columns choose nothing here: `chosen_runs` looks at validation columns alone (METHOD section 9; *ours*).
"""

import re
from collections.abc import Sequence

import pandas as pd

from hfkd.endpoints import CELL, POINTS, SCENE, at_round, per_seed
from hfkd.pairing import select
from hfkd.statistics import interval

LOWER = ("below_local", "bytes_up", "bytes_down")  # less is better
PRIMARY = ("personality", "consistency")  # the co-primary endpoints: with intervals, and per level
MORE = ("consistency_corrected", "worst20", "below_local")


def by_seed(frame: pd.DataFrame, methods: Sequence[str], cells: Sequence[tuple[str, int | None]], *,
            which: str = "last", **where) -> list[pd.DataFrame]:
    """One table per (metric, level), all in one scene: a row per seed, a column per method.

    The same numbers as `pairing.values`, read for many methods in one pass.

    Args:
        frame: rows of one experiment.
        methods: names, or "name[variant]".
        cells: (metric, level) with a name of `endpoints.METRICS`; level None counts all clients.
        which, where: as for `pairing.values`.

    Returns:
        accuracies in points, all else in its own unit.

    Raises:
        ValueError: what `pairing.select` or `endpoints.per_seed` raise, a method that lacks a seed, a missing value.

    Source: *ours* (METHOD section 9: all comparisons are paired).

    >>> from hfkd.endpoints import COLUMNS
    >>> rows = pd.DataFrame([dict.fromkeys(COLUMNS, 0) | {"method": m, "variant": "", "seed": s, "personality": p}
    ...                      for m, s, p in (("local", 0, .5), ("local", 1, .6), ("hfkd", 0, .75), ("hfkd", 1, .8))])
    >>> by_seed(rows, ["hfkd", "local"], [("personality", None)])[0].to_numpy().tolist()
    [[75.0, 50.0], [80.0, 60.0]]
    """
    asked = list(dict.fromkeys(methods))
    listeners = ["local"] * any(metric == "below_local" for metric, _ in cells)  # that metric compares with Local
    rows = at_round(select(frame, list(dict.fromkeys([*asked, *listeners])), **where), which)
    tables = []
    for metric, level in cells:
        found = per_seed(rows, metric, level=level)
        found["run"] = list(map(key, zip(found["method"], found["variant"], strict=True)))
        table = found.pivot(index="seed", columns="run", values=metric).reindex(columns=asked)
        if table.isna().any(axis=None):
            run = table.columns[table.isna().any()][0]
            alone = table.index[table[run].isna()].tolist()
            raise ValueError(f"seeds {alone} have no partner in {run}: no {metric}; run all with the same seeds")
        tables.append(table * (100 if metric in POINTS else 1))
    return tables


def gains(frame: pd.DataFrame, rivals: Sequence[str], baseline: str, cells: Sequence[tuple[str, int | None]], *,
          which: str = "last", **where) -> pd.DataFrame:
    """Each rival minus the baseline, paired by seed, for each (metric, level): mean and 95 % interval, untested.

    Args:
        rivals: names, or "name[variant]"; baseline: written the same way.
        frame, cells, which, where: see `by_seed`.

    Returns:
        columns method, metric, level (0: all clients), seeds, difference, low, high; accuracies in points.

    Raises:
        ValueError: what `by_seed` raises.

    Source: *ours* (METHOD section 9).

    >>> from hfkd.endpoints import COLUMNS
    >>> rows = pd.DataFrame([dict.fromkeys(COLUMNS, 0) | {"method": m, "variant": "", "seed": s, "personality": p}
    ...                      for m, s, p in (("local", 0, .5), ("local", 1, .6), ("hfkd", 0, .75), ("hfkd", 1, .8))])
    >>> gains(rows, ["hfkd"], "local", [("personality", None)])[["difference", "low", "high"]].round(2).values.tolist()
    [[22.5, -9.27, 54.27]]
    """
    found = []
    for (metric, level), table in zip(cells, by_seed(frame, [*rivals, baseline], cells, which=which, **where)):
        for method in rivals:
            mean = interval((table[method] - table[baseline]).round(9))  # as `pairing.paired` rounds
            found.append((method, metric, level or 0, mean.n, mean.mean, mean.low, mean.high))
    return pd.DataFrame(found, columns=["method", "metric", "level", "seeds", "difference", "low", "high"])


def table(frame: pd.DataFrame, rivals: Sequence[str], baseline: str = "local", *, which: str = "last",
          **where) -> pd.DataFrame:
    """What each method changes in one scene, a row per method: the whole of METHOD section 9 to be read at once.

    Args:
        rivals: names, or "name[variant]".
        baseline: written the same way; whose differences are 0.
        frame, which, where: see `by_seed`.

    Returns:
        columns method, seeds; the primary endpoints as differences to the baseline, each with _low and _high (95 %);
        consistency_corrected and worst20 as differences; below_local, the share of clients below Local itself, no
        difference; the primary endpoints of each level, such as personality_1, as differences; bytes, sent and
        received by a client in a round (mean over clients, rounds and seeds). Accuracies and shares in points.

    Raises:
        ValueError: what `by_seed` raises.

    Source: *ours* (METHOD section 9).

    >>> from hfkd.endpoints import COLUMNS
    >>> rows = pd.DataFrame([dict.fromkeys(COLUMNS, 0) | {"method": m, "variant": "", "seed": 0, "consistency": c,
    ...     "level": 1, "round": 4, "bytes_up": b} for m, c, b in (("local", .25, 0), ("hfkd", .75, 80))])
    >>> table(rows, ["hfkd"])[["method", "consistency", "consistency_1", "bytes"]].values.tolist()
    [['hfkd', 50.0, 50.0, 20.0]]
    """
    levels = [(metric, int(level)) for metric in PRIMARY for level in sorted(frame["level"].unique())]
    cells = [(metric, None) for metric in (*PRIMARY, *MORE)] + levels
    long = gains(frame, rivals, baseline, cells, which=which, **where)
    long["name"] = long["metric"] + long["level"].map(lambda level: f"_{level}" if level else "")
    wide = long.pivot(index="method", columns="name", values=["difference", "low", "high"])
    found = {"seeds": long.groupby("method")["seeds"].first()}
    for metric in PRIMARY:
        found[metric] = wide["difference", metric]
        found |= {f"{metric}_{end}": wide[end, metric] for end in ("low", "high")}
    found |= {name: wide["difference", name] for name in (*MORE, *(f"{metric}_{level}" for metric, level in levels))}
    found["below_local"] = by_seed(frame, rivals, [("below_local", None)], which=which, **where)[0].mean()
    found["bytes"] = traffic(frame, rivals, which=which, **where)
    return pd.DataFrame(found).loc[list(rivals)].rename_axis("method").reset_index()


def traffic(frame: pd.DataFrame, methods: Sequence[str], *, which: str = "last", **where) -> pd.Series:
    """Bytes that a client sends and receives in a round: mean over clients, rounds and seeds; index = methods.

    The rows count from the first round on, so the sum at the round that is read is divided by that round.

    Raises:
        ValueError: what `by_seed` raises.

    Source: *ours* (METHOD section 9).
    """
    rows = at_round(select(frame, list(methods), **where), which)
    rows = rows.assign(bytes_up=rows["bytes_up"] / rows["round"], bytes_down=rows["bytes_down"] / rows["round"])
    up, down = by_seed(rows, methods, [("bytes_up", None), ("bytes_down", None)], **where)
    return (up + down).mean()


def chosen_runs(frame: pd.DataFrame, over: Sequence[str] = ("hard_loss",)) -> list[str]:
    """Per method the better of its losses on validation data; what else makes a variant stays a method of its own.

    The score is the mean over clients, seeds and scenes of val_personality + val_consistency at the last round, as for
    `endpoints.chosen`; test columns are not read. The first of tied runs wins, the published loss before the balanced.

    Args:
        frame: rows of one experiment.
        over: the settings that are chosen; ("hard_loss", "readout") also chooses how a method is read out.

    Returns:
        "fedmd[hard_loss=balanced]", ..., sorted by method.

    Raises:
        ValueError: runs of one method that were not made in the same scenes with the same seeds.

    Source: *ours* (METHOD section 9: a baseline gets its better loss, never by its test score).

    >>> from hfkd.endpoints import COLUMNS
    >>> rows = pd.DataFrame([dict.fromkeys(COLUMNS, 0) | {"method": "fedmd", "variant": v, "val_consistency": c}
    ...                      for v, c in (("", .4), ("hard_loss=balanced", .5), ("readout=head", .3))])
    >>> chosen_runs(rows)
    ['fedmd[hard_loss=balanced]', 'fedmd[readout=head]']
    """
    free = re.compile("|".join(rf"(?:^|,){re.escape(name)}=[^,]*" for name in over))
    kinds = {}
    for (method, variant), row in scores(frame).iterrows():
        kinds.setdefault((method, free.sub("", variant).strip(",")), []).append((key((method, variant)), row))
    for runs in kinds.values():
        if len({row["cells"] for _, row in runs}) > 1:
            raise ValueError(f"{' and '.join(name for name, _ in runs)} were not run in the same scenes with the same "
                             "seeds; expected all losses of a method alike")
    return [max(runs, key=lambda run: run[1]["score"])[0] for runs in kinds.values()]


def scores(frame: pd.DataFrame) -> pd.DataFrame:
    """The validation score of each run and what it ran on: index (method, variant), columns score, cells (ours)."""
    value = sum(per_seed(frame, f"val_{metric}").set_index(CELL)[f"val_{metric}"] for metric in PRIMARY)
    value = value.rename("score").reset_index()
    value["cells"] = list(zip(*(value[column] for column in [*SCENE, "seed"]), strict=True))
    groups = value.groupby(["method", "variant"])
    return pd.DataFrame({"score": groups["score"].mean().round(9), "cells": groups["cells"].agg(tuple)})


def key(run: tuple[str, str]) -> str:
    """A run (method, variant) as `pairing.values` wants it named.

    >>> key(("hfkd", "alpha=0.5")), key(("local", ""))
    ('hfkd[alpha=0.5]', 'local')
    """
    return f"{run[0]}[{run[1]}]" if run[1] else run[0]
