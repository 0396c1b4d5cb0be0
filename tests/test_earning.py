"""Revenue in a run: recomputed from what was spoken, credited by say, kept as a running mean."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss

from hfkd import data, federation, hearing, revenue
from hfkd.config import configure
from hfkd.books import heard_weights, opened
from hfkd.earning import spoken
from hfkd.knowledge import pool, teaching_weights
from hfkd.methods import METHODS
from hfkd.streams import stream

SMALL = dict(clients=6, rounds=6, eval_every=1, pool_size=700, public_size=100, balanced_size=100, batch=16, lr=.05,
             alpha=.5, public_labels=True, refresh=2)  # fmt: skip
GROUPS = dict(peers=False, feedback=False)  # small enough for Shapley values
OTHERS = ~np.eye(6, dtype=bool)


def run(seeds=(0,), method="hfkd", **more):
    config = configure("smoke", **(SMALL | dict(method=method) | more))
    return federation.run(config, METHODS[method], data.load("digits"), seeds)


def watched(patch, name, seen, of=federation):
    """Keep (arguments, result) of a step of the run."""
    step = getattr(of, name)

    def watch(*given):
        found = step(*given)
        seen.append((given, found.clone() if torch.is_tensor(found) else found))
        return found

    patch.setattr(of, name, watch)


def asked(fed, config, round):
    """Public images that are answered in a round, and their place in the public set."""
    size = config.spoken or len(fed.public)
    return np.roll(fed.public, -(round * size) % len(fed.public))[:size]


def loss(state, at, share, p):
    """Cross-entropy of posteriors p on public images, reweighted to label shares, by scikit-learn."""
    labels = state.labels[at].numpy()
    counts = np.bincount(labels, minlength=10)
    p = p.double().numpy()
    return log_loss(labels, p / p.sum(1, keepdims=True), sample_weight=(share / np.maximum(counts, 1))[labels],
                    labels=range(10))  # fmt: skip


def of_edges(ledger, seed, round):
    """(N, N) [listener, speaker] revenue of a period; NaN where there is no edge."""
    found = np.full((6, 6), np.nan)
    rows = ledger[(ledger["seed"] == seed) & (ledger["round"] == round)]
    found[rows["to"], rows["from"]] = rows["revenue"]
    return found


@pytest.mark.parametrize("more", [{}, dict(revenue_personality=.4)])
def test_labelled_revenue_of_a_run_is_the_running_mean_of_the_loss_saved(monkeypatch, more):
    spoken = []
    watched(monkeypatch, "speak", spoken, hearing)
    out = run((0, 1), revenue="labelled", **more)
    dial, value = more.get("revenue_personality", 1), np.zeros((2, 6, 6))
    for (state, config, round), said in spoken:
        for z, fed in enumerate(state.splits):
            at = asked(fed, config, round)
            share = dial * fed.counts / fed.counts.sum(1, keepdims=True) + (1 - dial) / 10
            answers = said[6 * z : 6 * z + 6].exp()
            losses = np.array([[loss(state, at, own, p) for p in answers] for own in share])
            own = np.diagonal(losses)[:, None]
            value[z] = .7 * value[z] + .3 * np.clip((own - losses) / own, -1, 1) * OTHERS
            if round in (3, 5):  # what is known when the graph is made anew
                found = of_edges(out.ledger, z, round - 1)
                np.testing.assert_allclose(found, np.where(np.isnan(found), np.nan, value[z]), rtol=0, atol=1e-5)
    assert [round for (_, _, round), _ in spoken] == [2, 3, 4, 5, 6] and set(out.ledger["round"]) == {2, 4, 6}
    assert (out.ledger["revenue"] > .01).any() and (out.ledger["revenue"] < -.01).any()


def test_realised_credit_sums_to_the_relative_drop_and_is_split_by_what_was_heard(monkeypatch):
    monkeypatch.setattr(revenue, "EXPLORATION", .4)
    losses, earned = [], []
    watched(monkeypatch, "own_losses", losses)
    step = federation.measure_revenue

    def measure(books, config, state, lessons, *rest):
        heard = [heard_weights(books, lesson, z).mean(-1).numpy() for z, lesson in enumerate(lessons)]
        earned.append((heard, books.alone_with.copy(), step(books, config, state, lessons, *rest)))
        return earned[-1][-1]

    monkeypatch.setattr(federation, "measure_revenue", measure)
    run((0, 1), revenue="realised", rounds=8)
    assert not earned[0][-1].any()  # in the first round with news nothing is known of the round before
    for (_, before), (_, after), (say, alone, fresh) in zip(losses[:-1], losses[1:], earned[1:], strict=True):
        drop = np.clip((before - after) / before, -1, 1)
        for z, s in np.ndindex(2, 6):
            assert not fresh[z, s, s]
            assert fresh[z, s].sum() + drop[z, s] * say[z][s, s] == pytest.approx(drop[z, s], abs=1e-9)
            if alone[z, s] >= 0:  # who heard one partner alone gives it all
                assert fresh[z, s, alone[z, s]] == pytest.approx(drop[z, s], abs=1e-9)
    assert any((alone >= 0).any() for _, alone, _ in earned)


def explored(patch, seeds=(0,), **more):
    """(rounds, z, N) whom each listener hears alone in each round of listening, or -1."""
    seen = []
    with patch.context() as watch:
        watch.setattr(revenue, "EXPLORATION", .4)
        step = federation.explore
        watch.setattr(federation, "explore", lambda books, _: step(books, _) or seen.append(books.alone_with.copy()))
        run(seeds, revenue="realised", **more)
    return np.array(seen)


def test_exploration_depends_on_seed_and_client_alone(monkeypatch):
    found = explored(monkeypatch)
    draws = np.array([stream(0, "exploration", i).random((5, 2)) for i in range(6)])  # of rounds 2 to 6
    assert ((found[:, 0] >= 0) == (draws[:, :, 0] < .4).T).all() and (found >= 0).any() and (found < 0).any()
    assert (explored(monkeypatch, (3, 0))[:, 1] == found[:, 0]).all()
    everybody = explored(monkeypatch, method="fedmd")[:, 0]
    assert ((everybody >= 0) == (found[:, 0] >= 0)).all()
    partners = [[t for t in range(6) if t != s] for s in range(6)]
    wanted = [[partners[s][int(draws[s, r, 1] * 5)] for s in range(6)] for r in range(5)]
    assert (np.where(everybody >= 0, wanted, -1) == everybody).all()
    assert revenue.EXPLORATION == .1


def test_who_explores_hears_one_partner_alone():
    books = opened((0, 1), 3)
    lesson = federation.Teaching(torch.full((3, 3, 2), 1 / 3, dtype=torch.float64), np.ones((3, 3), bool))
    books.alone_with[1] = [-1, 2, 0]
    assert heard_weights(books, lesson, 0) is lesson.weights
    third = [[1 / 3] * 2] * 3
    assert heard_weights(books, lesson, 1).tolist() == [third, [[0, 0], [0, 0], [1, 1]], [[1, 1], [0, 0], [0, 0]]]
    assert (lesson.weights == 1 / 3).all()


def test_shapley_values_of_a_run_sum_to_what_the_pooled_target_saves(monkeypatch):
    answers, step, checked = [], federation.measure_shapley, []
    watched(monkeypatch, "speak", answers, hearing)

    def measure(books, config, state, lessons, said, ears, round):
        before = books.revenue.copy()
        step(books, config, state, lessons, said, ears, round)
        ((_, _, spoken_in), latest), (fed,) = (answers[-1][0], answers[-1][1]), state.splits
        at, log_p = asked(fed, config, spoken_in), latest
        for s in range(6):
            group = lessons[0].mask[s] | ~OTHERS[s]
            share, earned = fed.counts[s] / fed.counts[s].sum(), (books.revenue[0, s] - .7 * before[0, s]) / .3
            target = pool(log_p, teaching_weights(group[None], fed.counts))[0]
            alone, together = (loss(state, at, share, p) for p in (log_p[s].exp(), target))
            assert (np.abs(earned) < 1).all()  # nothing is clipped here
            assert earned.sum() == pytest.approx((alone - together) / alone * (group.sum() > 1), abs=1e-4)
            assert not earned[~group | ~OTHERS[s]].any()
            checked.append(abs(earned.sum()) > .01)

    monkeypatch.setattr(federation, "measure_shapley", measure)
    run(revenue="shapley", refresh=3, **GROUPS)
    assert len(checked) == 2 * 6 and sum(checked) > 5  # before rounds 4 and after round 6


def test_a_seed_does_not_depend_on_the_seeds_beside_it(monkeypatch):
    monkeypatch.setattr(revenue, "EXPLORATION", .4)
    for rule, more in (("labelled", {}), ("realised", {}), ("shapley", GROUPS)):
        given = dict(revenue=rule, gate=True, revenue_matching=.5, **more)
        alone, both = run((0,), **given), run((3, 0), **given)
        for one, two in zip(alone, both):
            assert one.equals(two[two["seed"] == 0].reset_index(drop=True)), rule


def test_who_does_not_listen_owes_nothing_to_anybody():
    out = run(revenue="realised", beta=0.0, refresh=2)
    heard, level = out.ledger[out.ledger["kind"] != "self"], out.rows.groupby("client")["level"].first()
    deaf = heard["to"].map(level) == 3  # beta = 0: the most capable level hears its students and weighs them by 0
    assert deaf.any() and not heard.loc[deaf, "revenue"].any() and not heard.loc[deaf, "bytes"].any()
    assert heard.loc[~deaf & (heard["round"] == 6), "revenue"].all()


def test_whom_nobody_hears_has_sent_nothing_and_earns_nothing():
    books, lesson = opened((0,), 3), SimpleNamespace(mask=np.array([[1, 1, 0], [0, 1, 1], [0, 0, 1]], bool))
    assert spoken(books, lesson, np.array([True, False, True]), 0).tolist() == [False, True, False]  # 1 is deaf
    books.strikes[0, 0] = 2  # and now the gate has closed 0
    assert not spoken(books, lesson, np.array([True, False, True]), 0).any()
