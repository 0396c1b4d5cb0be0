"""Overview and ranking find what plain numpy and the published tables say, and read no test column to choose."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from hfkd import overview, ranking
from hfkd.endpoints import COLUMNS
from hfkd.pairing import paired

RUNS = [("local", ""), ("fedmd", ""), ("fedmd", "hard_loss=balanced"), ("hfkd", ""), ("fd", ""), ("fd", "readout=head")]
NAMES = [overview.key(run) for run in RUNS]
SKEWS, SEEDS = (.1, .5), range(7)


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(0)
    rows = [dict.fromkeys(COLUMNS, 0) | {
                "experiment": "x", "method": method, "partition": "dirichlet", "skew": skew, "variant": variant,
                "seed": seed, "round": r, "client": client, "level": client % 3 + 1, "bytes_up": 100 * r * k,
                "bytes_down": 300 * r * k, "consistency_corrected": rng.uniform(.4, .5),
                "personality": rng.uniform(.7, .9), "consistency": .3 + .1 * k + rng.uniform(-.1, .1),
                "val_personality": rng.uniform(.7, .9), "val_consistency": .3 + .1 * (variant != "") + .01 * k}
            for k, (method, variant) in enumerate(RUNS) for skew in SKEWS for seed in SEEDS for r in (5, 10)
            for client in range(9)]
    return pd.DataFrame(rows)


# Demsar 2006, table 5(a): critical values of the two-tailed Nemenyi test
@pytest.mark.parametrize(("alpha", "published"), [
    (.05, [1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164]),
    (.10, [1.645, 2.052, 2.291, 2.459, 2.589, 2.693, 2.780, 2.855, 2.920]),
])  # fmt: skip
def test_critical_values_are_those_of_demsar(alpha, published):
    for k, q in enumerate(published, start=2):
        found = ranking.nemenyi(k, 10, alpha) / np.sqrt(k * (k + 1) / 60)
        assert found == pytest.approx(q, abs=.0011)  # the printed table is off by one in its last digit at k = 7, 9


def test_demsars_example_of_four_trees():
    # section 3.2.2: average ranks 3.143, 2.000, 2.893, 1.964 on 14 data sets; chi2 9.28, CD 1.25 at .05
    table = np.array([
        [.763, .768, .771, .798], [.599, .591, .590, .569], [.954, .971, .968, .967], [.628, .661, .654, .657],
        [.882, .888, .886, .898], [.936, .931, .916, .931], [.661, .668, .609, .685], [.583, .583, .563, .625],
        [.775, .838, .866, .875], [1.0, 1.0, 1.0, 1.0], [.940, .962, .965, .962], [.619, .666, .614, .669],
        [.972, .981, .9751, .975], [.957, .978, .946, .970]])
    rows = pd.DataFrame([dict.fromkeys(COLUMNS, 0) | {"method": m, "variant": "", "seed": s, "personality": table[s, k]}
                         for k, m in enumerate("abcd") for s in range(14)])
    found = ranking.ranks(rows, list("abcd"), "personality")
    np.testing.assert_allclose(found.mean[list("abcd")], [3.143, 2.0, 2.893, 1.964], atol=.001)
    plain = 12 * 14 / (4 * 5) * ((found.mean ** 2).sum() - 4 * 5 ** 2 / 4)  # Demsar's formula, not corrected for ties
    assert plain == pytest.approx(9.28, abs=.005) and found.chi2 > plain
    assert found.distance == pytest.approx(1.25, abs=.005)


@pytest.mark.parametrize("metric", ["consistency", "below_local"])
def test_ranks_are_those_of_numpy_and_friedman_of_scipy(frame, metric):
    values = np.array([[per_run(frame, run, skew, seed, metric) for run in RUNS] for skew in SKEWS for seed in SEEDS])
    found = ranking.ranks(frame, NAMES, metric)
    good = -values if metric == "below_local" else values
    mine, others = good[:, :, None], good[:, None]
    equal = np.isclose(mine, others) & ~np.eye(len(RUNS), dtype=bool)
    better = (others > mine) & ~equal
    wanted = (1 + better.sum(axis=2) + equal.sum(axis=2) / 2).mean(axis=0)
    np.testing.assert_allclose(found.mean[NAMES], wanted)
    assert found.blocks == len(values) and found.mean.is_monotonic_increasing
    wanted = stats.friedmanchisquare(*values.T)
    assert (found.chi2, found.p) == pytest.approx((wanted.statistic, wanted.pvalue))
    assert found.distance == pytest.approx(2.850 * np.sqrt(6 * 7 / (6 * 14)), abs=.001)
    assert ranking.ranks(frame, NAMES, metric, [{"skew": .1}]).blocks == len(SEEDS)


def per_run(frame, run, skew, seed, metric):
    rows = frame[(frame["skew"] == skew) & (frame["seed"] == seed) & (frame["round"] == 10)].set_index("client")
    mine = rows[(rows["method"] == run[0]) & (rows["variant"] == run[1])]
    if metric == "below_local":
        return (mine["personality"] < rows.loc[rows["method"] == "local", "personality"]).mean()
    return mine[metric].mean()


def test_groups_of_alike_methods_are_the_largest(frame):
    found = ranking.ranks(frame, NAMES, "consistency")
    groups, mean = ranking.alike(found), found.mean.to_numpy()
    close = {(i, j) for i in range(len(mean)) for j in range(i + 1, len(mean)) if mean[j] - mean[i] < found.distance}
    assert close == {(i, j) for first, last in groups for i in range(first, last + 1) for j in range(i + 1, last + 1)}
    assert not [a for a in groups for b in groups if a != b and b[0] <= a[0] and a[1] <= b[1]]


def test_nobody_differs_from_anybody(frame):
    same = frame.assign(personality=.5)
    found = ranking.ranks(same, NAMES, "personality")
    assert (found.chi2, found.p) == (0, 1) and set(found.mean) == {3.5} and ranking.alike(found) == [(0, 5)]


def test_improvement_counts_seeds(frame):
    for metric, sign in (("personality", 1), ("below_local", -1)):
        gains = sign * paired(frame, "hfkd", "fedmd", metric, skew=.1)
        wins, ties = (gains > 0).sum(), (gains == 0).sum()
        found = ranking.improvement(frame, "hfkd", "fedmd", metric, skew=.1)
        assert found.share == pytest.approx((wins + ties / 2) / 7) and found.n == 7
        assert found.p == pytest.approx(stats.binomtest(wins, 7 - ties).pvalue)
        other = ranking.improvement(frame, "fedmd", "hfkd", metric, skew=.1)
        assert (other.share, other.low, other.high) == pytest.approx((1 - found.share, 1 - found.high, 1 - found.low))


def test_improvement_limits_are_exact_and_wider_with_ties(frame):
    rows = frame[(frame["method"] != "hfkd") & (frame["variant"] == "")]
    local = rows[rows["method"] == "local"]

    def against(*shifts):
        shift = local["seed"].map(dict(enumerate(shifts)))
        both = pd.concat([rows, local.assign(method="hfkd", personality=local["personality"] + shift)])
        return ranking.improvement(both, "hfkd", "local", "personality", skew=.1)

    # Clopper and Pearson: 7 of 7 give .025^(1/7) and 1, any other number quantiles of the beta distribution
    assert (against(*[.01] * 7).low, against(*[.01] * 7).high) == pytest.approx((.025 ** (1 / 7), 1))
    found = against(*[.01] * 5, -.01, -.01)
    assert (found.low, found.high) == pytest.approx((stats.beta.ppf(.025, 5, 3), stats.beta.ppf(.975, 6, 2)))
    tied = against(*[.01] * 5, -.01, 0)
    assert tied.low == pytest.approx(found.low) and tied.high > found.high and tied.share == 5.5 / 7
    nothing = against(*[0] * 7)
    assert (nothing.share, nothing.low, nothing.high, nothing.p) == (.5, 0, 1, 1)


def test_table_holds_the_paired_differences(frame):
    table = overview.table(frame, NAMES[1:], skew=.5).set_index("method")
    assert list(table.index) == NAMES[1:] and (table["seeds"] == 7).all()
    for name in NAMES[1:]:
        for metric in ("personality", "consistency"):
            gains = paired(frame, name, "local", metric, skew=.5)
            half = stats.t.ppf(.975, 6) * gains.std(ddof=1) / np.sqrt(7)
            found = table.loc[name, [metric, f"{metric}_low", f"{metric}_high"]]
            np.testing.assert_allclose(found.astype(float), gains.mean() + half * np.array([0, -1, 1]))
            for level in (1, 2, 3):
                wanted = paired(frame, name, "local", metric, skew=.5, level=level).mean()
                assert table.loc[name, f"{metric}_{level}"] == pytest.approx(wanted)
        for metric in ("consistency_corrected", "worst20", "below_local"):  # below Local, Local itself has 0
            assert table.loc[name, metric] == pytest.approx(paired(frame, name, "local", metric, skew=.5).mean())
        assert table.loc[name, "bytes"] == 400 * NAMES.index(name)
    against = overview.table(frame, ["hfkd", "local"], "fedmd", skew=.5).set_index("method")
    assert against.loc["local", "below_local"] == 0  # a share, no difference to the baseline
    assert against.loc["hfkd", "worst20"] == pytest.approx(paired(frame, "hfkd", "fedmd", "worst20", skew=.5).mean())


def test_the_better_loss_is_chosen_by_validation_alone(frame):
    wanted = ["fd", "fd[readout=head]", "fedmd[hard_loss=balanced]", "hfkd", "local"]
    assert overview.chosen_runs(frame) == wanted
    rng = np.random.default_rng(1)
    tests = ["personality", "consistency", "consistency_corrected", "samples", "bytes_up", "bytes_down"]
    assert overview.chosen_runs(frame.assign(**{name: rng.random(len(frame)) for name in tests})) == wanted
    worse = frame["val_consistency"].where(frame["variant"] != "hard_loss=balanced", 0)
    assert "fedmd" in overview.chosen_runs(frame.assign(val_consistency=worse))
    early = frame["val_consistency"].where((frame["variant"] != "hard_loss=balanced") | (frame["round"] == 10), 9)
    assert overview.chosen_runs(frame.assign(val_consistency=early)) == wanted  # the last round counts
    both = overview.chosen_runs(frame, over=("hard_loss", "readout"))
    assert both == ["fd[readout=head]", "fedmd[hard_loss=balanced]", "hfkd", "local"]
    tied = frame.assign(val_personality=.5, val_consistency=.5)
    assert overview.chosen_runs(tied) == ["fd", "fd[readout=head]", "fedmd", "hfkd", "local"]  # the published loss


@pytest.mark.parametrize(("call", "words"), [
    (lambda f: ranking.ranks(f, NAMES[:2], "personality"), "expected three or more"),
    (lambda f: ranking.ranks(f, ["hfkd", "hfkd", "local"], "personality"), "each once"),
    (lambda f: ranking.ranks(f, [*NAMES, "fedx"], "personality"), "no rows of fedx"),
    (lambda f: ranking.ranks(f[(f["method"] != "hfkd") | (f["seed"] > 0)], NAMES, "personality"),
     r"seeds \[0\] have no partner in hfkd: no personality"),
    (lambda f: ranking.ranks(f[(f["method"] != "hfkd") | (f["skew"] > .1)], NAMES, "personality"), "no rows of hfkd"),
    (lambda f: ranking.ranks(f, NAMES, "accuracy"), "metric is 'accuracy'"),
    (lambda f: ranking.nemenyi(1, 5), "at least two methods"),
    (lambda f: ranking.improvement(f, "hfkd", "local", "personality", 95, skew=.1), "level is 95"),
    (lambda f: ranking.improvement(f, "hfkd", "local", "personality"), "several values of skew"),
    (lambda f: overview.table(f, ["hfkd"]), "several values of skew"),
    (lambda f: overview.chosen_runs(f[(f["variant"] == "") | (f["seed"] > 0)]), "were not run in the same scenes"),
])  # fmt: skip
def test_wrong_questions_are_refused(frame, call, words):
    with pytest.raises(ValueError, match=words):
        call(frame)
