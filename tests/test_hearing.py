"""What is refused and what is recalled of what arrives: doubt and recall."""

import math

import numpy as np
import torch
from scenes import run, scene

from hfkd import faults
from hfkd.hearing import doubted, recall


def test_what_was_last_heard_of_the_absent_is_pooled_again():
    _, _, books, _, _ = scene()
    said = torch.randn(4, 12, 40, 10).log_softmax(-1)
    away = np.zeros((4, 2, 6), bool)
    away[1:3, 0, 3] = away[:2, 1, 5] = True  # one has spoken before, the other has not
    heard = []
    for now, absent in zip(said.clone(), away, strict=True):
        books.silent = absent.copy()
        recall(books, now, absent)
        heard.append((now, books.silent, books.kept))
    for (now, silent, kept), absent, round in zip(heard, away, (0, 0, 0, 3), strict=True):
        assert now[3].equal(said[round][3])
        assert (silent == absent & [[False], [True]]).all() and (kept == absent & ~silent).all()


def test_recalled_answers_change_what_is_learned_and_not_what_travels():
    """One client in two is absent: without recall its partners hear less, and send as much either way."""
    lost, kept = (run(dropout=.5, rounds=6, **more).rows for more in ({}, {"recall": True}))
    assert not kept["consistency"].equals(lost["consistency"])
    up, again = (rows.groupby(["seed", "round"])["bytes_up"].sum() for rows in (lost, kept))
    assert up.equals(again) and up.gt(0).any()
    assert run(rounds=6, recall=True).rows.equals(run(rounds=6).rows)  # nobody is absent


def test_doubt_by_loops_and_by_gibbs():
    config, state, _, _, said = scene(public_labels=True)
    found, labels = doubted(state, config, said, 2), [state.labels[fed.public].numpy() for fed in state.splits]
    for z, i in np.ndindex(2, 6):
        p = said[6 * z + i].numpy()
        loss = np.mean([np.mean([-p[u, c] for u in np.flatnonzero(labels[z] == c)]) for c in set(labels[z].tolist())])
        assert found[z, i] == (loss >= math.log(10))
    same = torch.stack([faults.lie(said[0], ("constant", "collude")[i % 2], 0, i, 2) for i in range(12)])
    assert doubted(state, config, same, 2).all()  # no answer that ignores the image is better than a uniform one
    right = torch.stack([torch.from_numpy(np.eye(10)[labels[i // 6]] * 5).log_softmax(-1) for i in range(12)])
    assert not doubted(state, config, right, 2).any()
