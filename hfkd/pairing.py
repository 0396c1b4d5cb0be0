"""One method against another, seed by seed, in one scene (data set, public set, partition, skew).

Seeds without a partner and scenes that differ are errors that name them: nothing is dropped or averaged over in silence
(METHOD section 9; *ours*).
"""

import re
from collections.abc import Mapping

import numpy as np
import pandas as pd

from hfkd.endpoints import KEY, POINTS, SCENE, per_seed


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

    >>> from hfkd.endpoints import COLUMNS
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
