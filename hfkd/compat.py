"""`hfkd run --compat pflib`: the protocol of the PFLlib / HtFLlib family beside ours, so that its tables can be read.

Published tables of that family (2312.04992, 2506.03954) split each client's samples 75/25 with no validation part,
train by plain gradient descent at lr .01 on batches of 10, in the given order and full ones only, and print for each
run the largest test accuracy of any round, over all clients' test samples together. Large clients count more there
than in our mean over clients, and the test data choose the round: such a number is optimistic, and no table of ours is
made of it.

What stays ours: the public and the balanced set are put aside before clients get their data, where that family deals
out every image, the publisher's test part too; the networks are those of `levels`; a client with fewer samples than a
batch takes a step all the same. HtFLlib keeps the order of the batches; newer versions of PFLlib shuffle them.
"""

import pandas as pd

from hfkd.endpoints import CELL, at_round

PROTOCOLS = {
    "pflib": dict(test_share=0.25, val_share=0.0, pool_size=None, shuffle=False, batch=10, epochs=1, lr=0.01,
                  momentum=0.0, eval_every=1),
}  # fmt: skip


def settings(protocol: str, given) -> dict:
    """The fields of Config that a protocol sets.

    Args:
        protocol: a name of PROTOCOLS.
        given: names of the fields that were given as well.

    Raises:
        ValueError: unknown protocol, or a field that it sets itself.

    >>> settings("pflib", ["rounds"])["batch"]
    10
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"compat is {protocol!r}; expected one of {', '.join(PROTOCOLS)}")
    own = PROTOCOLS[protocol]
    if both := [name for name in own if name in given]:
        raise ValueError(f"{both[0]} is {own[both[0]]} by --compat {protocol}; leave --set {both[0]} out, or --compat")
    return dict(own)


def about() -> dict[str, str]:
    """A line per protocol: what it sets.

    >>> about()["pflib"][:29]
    'test_share=0.25 val_share=0.0'
    """
    return {name: " ".join(f"{k}={v}" for k, v in own.items()) for name, own in PROTOCOLS.items()}


def reported(frame: pd.DataFrame, tested: pd.Series) -> pd.DataFrame:
    """Three readings of the same rows, a row per run: ours, ours weighted by test samples, and that family's.

        last        mean_i a_i(R)                                R the last round, i client, a_i personality
        weighted    sum_i n_i a_i(R) / sum_i n_i                 n_i test samples of client i
        best        max_r sum_i n_i a_i(r) / sum_i n_i           over all measured rounds r; `round` is the first such r

    Args:
        frame: rows of one experiment.
        tested: n_i by (seed, client), as `experiments.tested` counts them.

    Returns:
        columns CELL, last, weighted, best, round; accuracies in [0, 1].

    Raises:
        ValueError: rows of several experiments, or a client whose test samples are not counted.

    Source: last: ours (METHOD section 9); best: Server.evaluate of PFLlib (2312.04992) and HtFLlib (2506.03954).

    >>> cell = dict.fromkeys(["experiment", *CELL], "") | {"seed": 0}
    >>> rows = pd.DataFrame([cell | {"round": r, "client": i, "personality": a}
    ...                      for r, i, a in ((1, 0, .5), (1, 1, 1.), (2, 0, .75), (2, 1, .5))])
    >>> tested = pd.Series({(0, 0): 4, (0, 1): 12}).rename_axis(["seed", "client"])
    >>> reported(rows, tested)[["last", "weighted", "best", "round"]].values.tolist()  # (2 + 12) / 16 in round 1
    [[0.625, 0.5625, 0.875, 1.0]]
    """
    last = at_round(frame).groupby(CELL)["personality"].mean().rename("last")
    rows = frame.merge(tested.rename("tested"), how="left", left_on=["seed", "client"], right_index=True)
    if rows["tested"].isna().any():
        lone = rows[rows["tested"].isna()].iloc[0]
        who = f"client {lone['client']} of seed {lone['seed']}"
        raise ValueError(f"{who} has no count of test samples; expected one for every client")
    sums = rows.assign(right=rows["personality"] * rows["tested"]).groupby([*CELL, "round"])[["right", "tested"]].sum()
    # rounded, because two equal shares may differ in the last bit; idxmax then takes the first of the tied rounds
    share = (sums["right"] / sums["tested"]).round(9).rename("best").reset_index()
    best = share.loc[share.groupby(CELL)["best"].idxmax()].set_index(CELL)[["best", "round"]]
    end = share.loc[share.groupby(CELL)["round"].idxmax()].set_index(CELL)["best"].rename("weighted")
    return pd.concat([last, end, best], axis=1).reset_index()


def page(protocol: str, frame: pd.DataFrame, tested: pd.Series) -> str:
    """What `hfkd run --compat` prints below our own summary: means over seeds, in points, and what they are."""
    found = reported(frame, tested)
    groups = found.assign(**{name: 100 * found[name] for name in ("last", "weighted", "best")}).groupby(CELL[:-1])
    table = groups[["last", "weighted", "best", "round"]].mean().round(2).assign(seeds=groups.size())
    lines = [f"\nown test data as {protocol} reports it, beside ours:", table.to_string()]
    lines += ["last: ours, the last round, mean over clients; weighted: the same by test samples",
              f"best: as {protocol}, by test samples at the round where that is best",
              "The test data choose that round: best is optimistic, and never used in our tables."]  # fmt: skip
    return "\n".join(lines)
