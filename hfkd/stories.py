"""One client's story as numbers, from a result file and its journals: who it is, whom it hears, what that earned it.

Nothing is run and no data set is read; classes are numbers, because the journals hold no names. `explaining` writes a
story for a terminal, `plots.fig_story` draws it. Source: ours.
"""

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from hfkd import endpoints, journals, results
from hfkd.assess import coverage, distributions, similarity, union_gain
from hfkd.config import parse_set
from hfkd.provenance import read_record

KINDS = journals.KINDS[:-1]  # all but oneself
ALWAYS = "`hfkd run ... --out X.csv` always writes them, a grid keeps those of some variants only"


class Story(NamedTuple):
    """One client of one run; accuracies and weights as in the files, fractions in [0, 1]."""

    path: Path
    run: dict  # column of journals.RUN, or seed -> value
    client: int
    settings: dict  # the parameters of the run, those of its variant included
    counts: np.ndarray  # (N, C) label counts that the clients released
    levels: np.ndarray  # (N,) 1..L
    samples: int
    partners: pd.DataFrame  # index client: kind, level, similarity, gain, coverage, brings, now, weight, bytes
    revenue: pd.DataFrame  # index client, a column per period (its last round): running mean; NaN: not in the group
    measured: bool  # whether anybody of this run measured revenue
    own_say: float  # the weight of its own answers in its target, in the last period; 0 if it hears nobody
    rounds: pd.DataFrame  # index round: weight, closed, hard, soft, own, other, cosine
    shares: pd.DataFrame  # index "round 5", ..., "local": personality, consistency


def story(path: str | Path, client: int, seed: int | None = None, **where) -> Story:
    """What a result file and its journals say about one client.

    Args:
        path: X.csv, X, or a folder with one result file that has journals.
        client: its number, from 0. seed: None: the smallest there is.
        where: any of journals.RUN, needed where the file has journals of several runs; None: any.

    Raises:
        FileNotFoundError: no result file, or no journals beside it.
        ValueError: no such run, seed or client, or several runs that fit (they are named).

    Source: ours.
    """
    path = find(path)
    rows, books = results.load(path), {name: journals.load(path, name) for name in journals.NAMES}
    run = _run(path, books, where)
    books = {name: _of(frame, **run) for name, frame in books.items()}
    seeds = sorted(books["weights"]["seed"].unique().tolist())
    if seed is not None and seed not in seeds:
        raise ValueError(f"seed is {seed}; expected one of {some(seeds)}, of which {path.name} has journals")
    run["seed"] = seeds[0] if seed is None else seed
    held, rounds, edges = (_of(books[name], seed=run["seed"]) for name in ("counts", "weights", "ledger"))
    counts = held.pivot(index="client", columns="class", values="count")
    if counts.isna().any(axis=None) or list(counts.index) != list(range(len(counts))) or counts.shape[1] < 2:
        file = journals.path_of(path, "counts")
        raise ValueError(f"{file} has {len(held)} counts of seed {run['seed']}; expected one for each client from 0 "
                         "and each of two or more classes")
    counts = counts.to_numpy(int)
    if not 0 <= client < len(counts):
        raise ValueError(f"client is {client}; expected one of 0 to {len(counts) - 1}")
    levels = held.groupby("client")["level"].first().to_numpy(int)
    settings = _settings(path) | run | parse_set(re.split(r",(?=\w+=)", run["variant"] or "variant="))
    if len(edges) and (most := edges[["from", "to"]].to_numpy().max()) >= len(counts):
        raise ValueError(f"{journals.path_of(path, 'ledger')} names client {most}; expected 0 to {len(counts) - 1}")
    edges, last = edges[edges["to"] == client], edges["round"].max()
    own, others = edges[edges["from"] == client], edges[edges["from"] != client]
    return Story(
        path, run, client, settings, counts, levels, int(_of(rows, **run, client=client)["samples"].iloc[0]),
        _partners(others, last, counts, levels, client),
        others.pivot(index="from", columns="round", values="revenue").astype(float),
        bool((books["ledger"]["revenue"] != 0).any()), float(own.loc[own["round"] == last, "weight"].sum()),
        _of(rounds, client=client).set_index("round")[["weight", "closed", "hard", "soft", "own", "other", "cosine"]],
        _shares(rows, run, client),
    )  # fmt: skip


def _settings(path) -> dict:
    """The parameters that the rows of a result file share, with those that a page tells."""
    settings = read_record(path).get("parameters", {})
    if missing := sorted({"fan_in", "gate", "max_gap", "personality", "revenue", "rule"} - settings.keys()):
        names = ", ".join(missing)
        raise ValueError(f"{path.with_suffix('.json')} lacks the parameters {names}; expected those of a run")
    return settings


def find(path: str | Path) -> Path:
    """The result file with journals that is meant by a path: X.csv, X, or a folder with only one of them."""
    path = Path(path)
    if path.is_dir():
        found = sorted(p for p in path.glob("*.csv") if journals.path_of(p, "ledger").is_file())
        if len(found) > 1:
            there = some([p.name for p in found], 6)
            raise ValueError(f"folder {path} has {len(found)} result files with journals ({there}); name one of them")
        if not found:
            raise FileNotFoundError(f"folder {path} has no result file with journals; {ALWAYS}")
        return found[0]
    file = path.with_name(re.sub(rf"(\.({'|'.join(journals.NAMES)}))?(\.csv|\.json)?$", "", path.name) + ".csv")
    if not file.is_file():
        raise FileNotFoundError(f"no result file {file}; `hfkd run --method hfkd --out {file}` makes one with journals")
    if missing := [p.name for n in journals.NAMES if not (p := journals.path_of(file, n)).is_file()]:
        raise FileNotFoundError(f"{file} has no journals beside it ({missing[0]} is missing); {ALWAYS}")
    return file


def _run(path, books, where) -> dict:
    """The run that is asked for, or the only one that listens: journals.RUN -> value."""
    if unknown := sorted(where.keys() - set(journals.RUN)):
        raise ValueError(f"unknown condition {unknown[0]!r}; expected some of {', '.join(journals.RUN)}")
    runs = books["weights"][journals.RUN].drop_duplicates()
    asked = {name: value for name, value in where.items() if value is not None}
    found = _of(runs, **asked)
    if len(found) > 1:  # whoever trains alone has journals too, of empty groups
        heard = found.merge(books["ledger"][journals.RUN].drop_duplicates())
        found = found if heard.empty else heard
    if found.empty:
        words = ", ".join(f"{name} {value!r}" for name, value in asked.items())
        raise ValueError(f"{path.name} has no journals of {words}; it has those of {_listed(runs, asked)}; {ALWAYS}")
    if len(found) > 1:
        options = " and ".join(f"--{name}" for name in journals.RUN if found[name].nunique() > 1)
        raise ValueError(f"{path.name} has journals of {len(found)} runs ({_listed(found)}); say which with {options}")
    return found.iloc[0].to_dict()


def _listed(runs, asked=()) -> str:
    """Runs by what differs between them, and by what was asked for."""
    names = [name for name in journals.RUN if runs[name].nunique() > 1 or name in asked]
    rows = runs[names].to_dict("records")
    return some([" ".join(f"{name} {value!r}" for name, value in row.items()) for row in rows], 6)


def some(items, most=12) -> str:
    """Items as words, at most so many.

    >>> some([1, 2, 3, 4], 2)
    '1, 2, ... (4 in all)'
    """
    words = [str(item) for item in items]
    return ", ".join(words if len(words) <= most else [*words[:most], f"... ({len(words)} in all)"])


def _of(frame, **where):
    """The rows that meet every condition column = value."""
    keep = np.ones(len(frame), bool)
    for name, value in where.items():
        keep &= (frame[name] == value).to_numpy()
    return frame[keep]


def _partners(edges, last, counts, levels, client) -> pd.DataFrame:
    """Everybody that the client has heard: by kind, then by weight in the last period."""
    p, by = distributions(counts), edges.groupby("from")
    now = edges[edges["round"] == last].set_index("from")
    table = pd.DataFrame({"kind": by["kind"].last(), "bytes": by["bytes"].sum()})
    of = table.index.to_numpy(int)
    brings = (p[of] >= 1 / p.shape[1]) & lacks(counts)[client]
    measures = {"similarity": similarity(p), "gain": union_gain(counts), "coverage": coverage(p)}
    table = table.assign(
        level=levels[of], **{name: matrix[client, of] for name, matrix in measures.items()},
        brings=[np.flatnonzero(row).tolist() for row in brings], now=table.index.isin(now.index),
        weight=now["weight"].reindex(table.index).astype(float),
    )  # fmt: skip
    order = np.lexsort([of, -table["weight"].fillna(0), table["kind"].map(KINDS.index)])
    return table.iloc[order]


def lacks(counts) -> np.ndarray:
    """(N, C) bool: classes of which a client has less than a fair share 1/C of its labels (as in assess.coverage).

    >>> lacks([[3, 1], [2, 2]]).tolist()
    [[False, True], [False, False]]
    """
    p = distributions(counts)
    return p < 1 / p.shape[1]


def _shares(rows, run, client) -> pd.DataFrame:
    """Accuracies at the first and the last measured round, and at the last under local and balanced_local."""
    mine = _of(rows, **run, client=client).set_index("round").sort_index()
    found = {f"round {at}": mine.loc[at] for at in (mine.index[0], mine.index[-1])}
    scene = {name: run[name] for name in [*endpoints.SCENE, "seed"]}
    for method in ("local", "balanced_local"):
        for variant in ("", run["variant"]):  # its own variant if there is one, else the base configuration
            same = _of(rows, method=method, variant=variant, client=client, **scene)
            if len(same) and method != run["method"]:
                found[method] = same.sort_values("round").iloc[-1]
    return pd.DataFrame(found).T[["personality", "consistency"]].astype(float)
