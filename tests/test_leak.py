"""The attack on label histograms: its parts against plain loops and other people's code, and that it learns what is
there to learn and nothing else; the tables of `hfkd privacy` are what they say.
"""

import json
import os
import signal
from contextlib import suppress

import numpy as np
import pandas as pd
import pytest
from scenes import SMALL
from scipy.stats import pearsonr
from sklearn.metrics import roc_auc_score

from hfkd import cli, data, disclosure, eavesdropping, exhibits, federation, hearing, leak, outputs
from hfkd.assess import distributions
from hfkd.config import configure
from hfkd.methods import METHODS
from hfkd.privacy import kept, messages, told
from hfkd.state import split_of

TINY = dict(clients=6, pool_size=400, public_size=40, balanced_size=100, batch=32, rounds=2, eval_every=2)
DIGITS = data.load("digits")


def federations(rng, prior=1.0, number=4, clients=12, images=300, classes=5):
    """(counts, log-posteriors) of federations whose clients say p(c|u) ~ p_i(c)^prior p(u|c) of the same images."""
    for _ in range(number):
        counts = np.stack([rng.multinomial(200, p) for p in rng.dirichlet([.3] * classes, clients)])
        likelihood = 3 * np.eye(classes)[rng.integers(classes, size=images)] + rng.normal(size=(images, classes))
        logits = likelihood + rng.normal(scale=.5, size=(clients, images, classes))
        logits = logits + prior * np.log((counts + .5) / (counts + .5).sum(1, keepdims=True))[:, None]
        yield counts, logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def attacked(prior, attacker="together", seed=0):
    """success of an attacker that is fitted on three federations and tried on a fourth."""
    counts, said = zip(*federations(np.random.default_rng(seed), prior))
    scores = [leak.statistics(each)[..., leak.ATTACKERS[attacker]] for each in said]
    weights = leak.fit(scores[1:], counts[1:])
    return leak.success(leak.estimate(scores[0], weights, leak.mean_of(counts[0])), counts[0]), weights


def test_statistics_are_those_of_a_plain_loop():
    _, said = next(federations(np.random.default_rng(0), number=1, clients=4, images=7))
    n, m, classes = said.shape
    raw = np.zeros((n, classes, 3))
    for i in range(n):
        others = np.exp(np.mean([said[j] for j in range(n) if j != i], axis=0))
        q = others / others.sum(1, keepdims=True)
        raw[i, :, 0] = np.log(np.exp(said[i]).sum(0))
        avoided = said[i].mean(0)
        raw[i, :, 1] = (avoided - avoided.mean()) / avoided.std()
        for c in range(classes):
            raw[i, c, 2] = np.log(sum(q[u, c] * np.exp(said[i, u, c]) for u in range(m)) / q[:, c].sum())
    wanted = [raw[i] - np.mean([raw[j] for j in range(n) if j != i], axis=0) for i in range(n)]
    np.testing.assert_allclose(leak.statistics(said), wanted, atol=1e-9)


def test_relabelling_and_reordering_go_through_and_equal_answers_tell_nothing():
    counts, said = next(federations(np.random.default_rng(1), number=1))
    who, images, what = map(np.random.default_rng(2).permutation, said.shape)
    found = leak.statistics(said)
    np.testing.assert_allclose(leak.statistics(said[who][:, images][:, :, what]), found[who][:, what], atol=1e-9)
    np.testing.assert_allclose(leak.statistics(np.stack([said[0]] * 3)), 0, atol=1e-9)
    moved = leak.success(leak.estimate(found, [1, 0, 0], leak.mean_of(counts)), counts)
    other = counts[who][:, what]
    again = leak.success(leak.estimate(found[who][:, what], [1, 0, 0], leak.mean_of(other)), other)
    assert moved == pytest.approx(again)


@pytest.mark.parametrize(("prior", "most"), [(1., .15), (-.5, .35)])
def test_the_attacker_learns_what_answers_hold_even_backwards(prior, most):
    (blind, none), (found, _) = attacked(prior, "nothing"), attacked(prior)
    assert len(none) == 0 and blind["correlation"] == 0 and blind["auc"] == .5
    assert found["distance"] < most < .4 < blind["distance"] and found["correlation"] > .8 and found["auc"] > .8
    alone, (weight,) = attacked(prior, "log")
    assert np.sign(weight) == np.sign(prior) and alone["distance"] < blind["distance"] - .1
    assert found["distance"] < alone["distance"] + .02


def test_answers_without_any_prior_tell_nothing():
    found = pd.DataFrame([attacked(0., seed=seed)[0] for seed in range(10)]).mean()
    blind = pd.DataFrame([attacked(0., "nothing", seed)[0] for seed in range(10)]).mean()
    assert blind["distance"] - .01 < found["distance"] < blind["distance"] + .05
    assert abs(found["auc"] - .5) < .08 and abs(found["correlation"]) < .1


def test_fit_is_the_minimum_of_its_loss():
    counts, said = zip(*federations(np.random.default_rng(3), number=2))
    scores = [leak.statistics(each) for each in said]

    def loss(w):
        spread = np.concatenate(scores).std(axis=(0, 1))
        total = [-(distributions(n) * np.log(leak.estimate(s, w, leak.mean_of(n)))).sum(1)
                 for n, s in zip(counts, scores)]  # fmt: skip
        return np.concatenate(total).mean() + leak.RIDGE * ((w * spread) ** 2).sum()

    best = leak.fit(scores, counts)
    rng = np.random.default_rng(0)
    assert all(loss(best) < loss(best + size * rng.normal(size=3)) for size in (.01, .1, 1) for _ in range(20))


def test_success_is_that_of_other_peoples_code():
    rng = np.random.default_rng(4)
    counts, guess = rng.integers(0, 3, (8, 6)) + np.eye(8, 6, dtype=int), rng.dirichlet([1] * 6, 8)
    p, base = distributions(counts), leak.mean_of(counts)
    found = leak.success(guess, counts)
    assert found["auc"] == pytest.approx(roc_auc_score((counts > 0).ravel(), (guess / base).ravel()))
    assert found["distance"] == pytest.approx(np.mean([np.maximum(g - q, 0).sum() for g, q in zip(guess, p)]))
    centred = (guess - base).ravel(), (p - base).ravel()  # rows sum to 0, so this is Pearson's
    assert found["correlation"] == pytest.approx(pearsonr(*centred).statistic)
    exact = leak.success(p, counts)
    assert exact["distance"] == 0 and exact["correlation"] == pytest.approx(1) and exact["auc"] == 1


def test_everybody_has_everything_and_a_class_that_nobody_has():
    assert np.isnan(leak.success(np.full((2, 2), .5), np.array([[1, 2], [2, 1]]))["auc"])
    counts = np.array([[3, 0, 0], [1, 2, 0]])
    found = leak.success(leak.estimate(np.zeros((2, 3, 1)), [1.], leak.mean_of(counts)), counts)
    assert found["auc"] == .5 and found["correlation"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("said", [np.zeros((1, 3, 2)), np.zeros((3, 2)), np.full((2, 3, 2), -np.inf)])
def test_answers_that_are_none(said):
    with pytest.raises(ValueError, match="answers have shape .*; expected finite"):
        leak.statistics(said)


@pytest.mark.parametrize("method", ["fedmd", "hfkd_avg"])  # the latter has an exchange of its own
def test_an_eavesdropper_changes_nothing_and_hears_what_is_said(method, monkeypatch):
    config, said = configure("smoke", **SMALL | {"alpha": None}, method=method), []
    speak = hearing.speak
    monkeypatch.setattr(hearing, "speak", lambda *given: said.append(speak(*given)) or said[-1])
    plain = federation.run(config, METHODS[method], DIGITS, (0, 1)).rows
    rows, run = [], federation.run
    monkeypatch.setattr(federation, "run", lambda *given: rows.append(run(*given).rows))
    counts, heard = eavesdropping.overheard(config, (0, 1))
    assert rows[0].equals(plain) and counts.shape == (2, 6, 10) and len(heard) == config.rounds
    for after, spoken in enumerate(said[: config.rounds - 1]):  # the first round is one of warming up
        each = spoken.double().numpy().reshape(2, 6, *spoken.shape[1:])
        np.testing.assert_array_equal(heard[after], np.stack([leak.statistics(one) for one in each]))


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    out = tmp_path_factory.mktemp("tables") / "70_privacy.csv"
    lines = []
    return out, disclosure.write(out, "smoke", (0, 1), report=lines.append, **TINY), lines


def test_tables_hold_every_run_round_and_attacker_and_say_how_they_were_made(written):
    out, tables, lines = written
    assert sorted(p.name for p in out.parent.iterdir()) == [
        f"70_privacy.{name}.{kind}" for name in ("leak", "matching") for kind in ("csv", "json")]
    leaks = tables["leak"]
    assert len(leaks) == 2 * 5 * 2 * 2 * len(leak.ATTACKERS) and not leaks.duplicated(disclosure.KEYS["leak"]).any()
    assert lines[-1] == "10/10 cells done: about 0 s left"
    assert leaks["distance"].between(0, 1).all() and leaks["correlation"].between(-1, 1).all()
    record = json.loads((out.parent / "70_privacy.leak.json").read_text())
    assert record["commands"][0].startswith("hfkd privacy --profile smoke --set balanced_size=100")
    assert record["shadow"] == [100, 101, 102] and record["parameters"]["clients"] == 6
    assert list(record["checksums"]) == ["digits"]
    blind = leaks[leaks["attacker"] == "nothing"]
    assert (blind["correlation"] == 0).all() and (blind["auc"].dropna() == .5).all()
    heard = leaks[(leaks["attacker"] == "together") & (leaks["method"] == "fedmd") & (leaks["variant"] == "")]
    assert heard["distance"].mean() < blind["distance"].mean() - .1


def test_the_table_of_the_matching_is_the_noise_of_the_runs(written):
    rows = written[1]["matching"]
    assert len(rows) == 2 * 2 * 3 * 6
    config = configure("smoke", **TINY, skew=.5, epsilon=.3)
    begun = federation.start(config, DIGITS, (1,))
    row = rows[(rows["skew"] == .5) & (rows["seed"] == 1) & (rows["fan_in"] == 1) & (rows["epsilon"] == .3)].iloc[0]
    fed = split_of(config, DIGITS, 1)
    assert (messages(fed.counts, .3, 1) == begun.released[0]).all()
    paths = eavesdropping.Paths(fed.levels, fan_in=1)
    assert row["kept"] == pytest.approx(kept(fed.counts, begun.released[0], paths), rel=1e-5)
    assert row["told"] == pytest.approx(told(fed.counts, begun.released[0]).mean(), rel=1e-5)


def test_tables_are_the_same_again_side_by_side_and_from_the_command(written, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(disclosure, "SKEWS", (.5,))
    monkeypatch.setattr(disclosure, "RUNS", disclosure.RUNS[:2])
    given = [f"--set={name}={value}" for name, value in TINY.items()]
    out = tmp_path / "70_privacy.csv"
    assert cli.main(["privacy", "--seeds", "0-1", "--jobs", "2", "--out", str(out), *given]) == 0
    assert "distance" in capsys.readouterr().out
    for name, wanted in written[1].items():
        kept = wanted[(wanted["skew"] == .5) & (wanted.get("method", "fedmd") == "fedmd")].reset_index(drop=True)
        pd.testing.assert_frame_equal(disclosure.load(disclosure.path_of(out, name)), kept)


def test_tables_that_were_altered_or_are_not_there(written, tmp_path):
    out, tables, _ = written
    path = disclosure.path_of(out, "matching")
    pd.testing.assert_frame_equal(disclosure.load(path), tables["matching"])
    for suffix in (".csv", ".json"):
        (tmp_path / f"x{suffix}").write_text(path.with_suffix(suffix).read_text().replace("0.1", "0.2"))
    with pytest.raises(ValueError, match="is not the file that"):
        disclosure.load(tmp_path / "x.csv")
    with pytest.raises(FileNotFoundError, match="`hfkd privacy` makes it"):
        disclosure.load(tmp_path / "y.csv")


@pytest.mark.parametrize(("given", "words"), [
    (dict(seeds=(0, 100)), r"seeds are \[0, 100\]; expected none of \[100, 101, 102\], which fit the attack"),
    (dict(seeds=()), r"seeds are \[\]; expected integers >= 0, each once"),
    (dict(epsilon=1.), "epsilon is an axis of both tables"),
    (dict(seeds=(0, "1")), r"seeds are \[0, '1'\]"),
    (dict(seeds=(0, 0)), r"seeds are \[0, 0\]"),
    (dict(method="fedmd"), "method is an axis of both tables; leave it to them"),
    (dict(transport="classwise"), "transport is 'classwise'; expected public"),
    (dict(rule="best"), "rule is 'best'"),
    (dict(roundz=3), "parameter 'roundz' is unknown"),
])  # fmt: skip
def test_bad_input_is_refused_before_anything_runs(given, words, tmp_path, monkeypatch):
    monkeypatch.setattr(federation, "run", lambda *_: pytest.fail("something ran"))
    with pytest.raises(ValueError, match=words):
        disclosure.write(tmp_path / "a.csv", **given)
    assert not list(tmp_path.iterdir())


def died(cell, tick):
    """In place of a run: one of the processes is killed, as for want of memory."""
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_process_that_dies_ends_the_command_and_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(disclosure, "leak_rows", died)
    with pytest.raises(ChildProcessError, match="a process that ran cells died"):
        disclosure.write(tmp_path / "a.csv", "smoke", (0,), jobs=2, report=lambda line: None, **TINY)
    assert not list(tmp_path.iterdir())


def test_two_commands_at_one_file_and_what_a_killed_one_has_left(tmp_path, monkeypatch):
    monkeypatch.setattr(disclosure, "spread", lambda *_: pytest.fail("something ran"))
    with outputs.alone(tmp_path / "a.leak.csv"), pytest.raises(ValueError, match=r"a\.leak\.csv is taken"):
        disclosure.write(tmp_path / "a.csv", **TINY)
    (tmp_path / ".a.leak.csv.1.tmp").mkdir()
    with outputs.alone(tmp_path / "a.leak.csv"):
        pass
    assert not list(tmp_path.iterdir())


def test_both_tables_are_new_or_none_is_wherever_a_kill_falls(written, tmp_path, monkeypatch):
    tables, ends = written[1], []
    for steps in range(9):
        out = tmp_path / str(steps) / "a.csv"
        old = {name: table.head(1) for name, table in tables.items()}
        disclosure.save(out, old, {})
        left, real = iter(range(steps)), os.replace
        with monkeypatch.context() as killer:
            killer.setattr(os, "replace", lambda *given: real(*given) if next(left, None) is not None else 1 / 0)
            with suppress(ZeroDivisionError):
                disclosure.save(out, tables, {})
        with outputs.alone(disclosure.path_of(out, "leak")):
            pass
        ends.append([len(disclosure.load(disclosure.path_of(out, name))) for name in tables])
    assert ends == [[1, 1]] + [[len(table) for table in tables.values()]] * 8


def test_a_guess_from_noisy_counts_is_never_much_further_off_than_the_counts_or_nothing():
    rng = np.random.default_rng(5)
    true = [np.stack([rng.multinomial(300, p) for p in rng.dirichlet([.2] * 10, 20)]) for _ in range(13)]
    for epsilon in (.001, .03, .1, .3, 10.):
        seen = [messages(counts, epsilon, seed) for seed, counts in enumerate(true)]
        w, t = leak.fit_counts(seen[10:], true[10:], epsilon)

        def off(guess):
            return np.mean([.5 * abs(guess(s, n) - n / n.sum(1, keepdims=True)).sum(1).mean()
                            for s, n in zip(seen[:10], true[:10])])  # fmt: skip

        found = off(lambda s, n: leak.denoised(s, leak.mean_of(n), w, t))
        raw, blind = off(lambda s, n: distributions(s)), off(lambda s, n: leak.mean_of(n))
        assert found < min(raw, blind) + .01
        assert found < .97 * raw or epsilon == 10  # below the threshold it is noise
        assert found > blind - .02 or epsilon > .001


def test_denoised_is_what_its_formula_says():
    base, seen = np.array([.5, .3, .2]), np.array([[7, 2, 1], [1, 1, 0]])
    np.testing.assert_array_equal(leak.denoised(seen, base, 1, 0), distributions(seen))
    np.testing.assert_array_equal(leak.denoised(seen, base, 0, 3), [base, base])
    np.testing.assert_allclose(leak.denoised(seen, base, .5, 1), [[19 / 28, 31 / 140, .1], (base + 1 / 3) / 2])


def test_the_table_of_the_matching_says_how_near_a_guess_comes_and_who_is_small(written, monkeypatch):
    rows, counts = written[1]["matching"], split_of(configure("smoke", **TINY, skew=.5), DIGITS, 0).counts
    mine = rows[(rows["skew"] == .5) & (rows["seed"] == 0)]
    assert mine["small"].unique() == pytest.approx((counts.sum(1) < 300).mean())
    blind = leak.success(np.tile(leak.mean_of(counts), (6, 1)), counts)["distance"]
    assert abs(mine[mine["epsilon"] == .001]["guessed"] - blind).max() < .1
    assert (mine[mine["epsilon"] == 10]["guessed"] < .01).all()
    table = rows.assign(kept=1., small=.25)
    monkeypatch.setattr(disclosure, "load", lambda path: table)
    said = exhibits.kept_at_one()
    assert said.startswith("at epsilon 1 the matching loses 0.2 % at most: yes\n")
    assert said.endswith("fewer than 300 records, of whom that was not asked: 25 % (Dirichlet 0.1), 25 % (Dirichlet 0.5)")
