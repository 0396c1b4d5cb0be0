"""Result files: stable bytes, nothing half written, and endpoints against brute force over plain Python loops."""

import json
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest

from hfkd import paths, results
from hfkd.results import CELL, COLUMNS, KEY

BASE = {"clients": 6, "rounds": 3, "skew_unit": "alpha", "max_size_ratio": float("inf"), "level_share": (.5, .3, .2)}


def rows(methods=("local", "fedmd", "hfkd"), seeds=(0, 1, 2), rounds=(1, 2, 3), clients=6, variant="", skew=.1):
    """Result rows with random accuracies that depend on all keys."""
    rng = np.random.default_rng(7)
    table = []
    for method in methods:
        for seed in seeds:
            for r in rounds:
                for client in range(clients):
                    a, b, c, d = rng.random(4)
                    key = ("40_comparison", method, "digits", "digits", "dirichlet", skew, variant, seed, r, client)
                    table.append((*key, 1 + client % 3, 50 + client, a, b, np.nan, c, d, .2, 4, 1000 * r, 2000 * r))
    return pd.DataFrame(table, columns=COLUMNS)


def record(**more):
    return results.provenance(BASE, seconds=1.0, device="cpu", threads=1, checksums={"digits": "ab"}, **more)


# --- files

def test_two_saves_are_identical_to_the_byte_whatever_the_order(tmp_path):
    frame = rows()
    results.save(frame, tmp_path / "a.csv", record())
    shuffled = frame.sample(frac=1, random_state=3)[COLUMNS[::-1]]
    results.save(shuffled, tmp_path / "b.csv", record())
    results.save(results.load(tmp_path / "a.csv"), tmp_path / "c.csv", record())
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes() == (tmp_path / "c.csv").read_bytes()
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_the_written_line_is_what_a_reader_expects(tmp_path):
    frame = rows(methods=["hfkd"], seeds=[0], rounds=[1], clients=1)
    frame[["personality", "consistency", "val_personality", "val_consistency"]] = [.5, 1 / 3, 0, 1]
    results.save(frame, tmp_path / "x.csv", record())
    head, line = (tmp_path / "x.csv").read_text().splitlines()
    assert head == ",".join(COLUMNS)
    # skew %g, variant and consistency_corrected empty, thirds cut at six decimals, integers without a point
    assert line == ("40_comparison,hfkd,digits,digits,dirichlet,0.1,,0,1,0,1,50,0.500000,0.333333,,0.000000,1.000000,"
                    "0.200000,4,1000,2000")


def test_load_gives_back_types_and_values(tmp_path):
    frame = rows()
    frame.loc[frame["method"] == "fedmd", "method"] = "NA"  # pandas would read this as missing
    results.save(frame, tmp_path / "x.csv", record())
    back = results.load(tmp_path / "x.csv")
    expected = frame.sort_values(KEY).reset_index(drop=True)
    assert list(back.columns) == COLUMNS
    assert (back["variant"] == "").all() and set(back["method"]) == {"NA", "hfkd", "local"}
    assert back["consistency_corrected"].isna().all()
    assert all(back[c].dtype == np.int64 for c in results.WHOLE) and back["skew"].dtype == float
    np.testing.assert_allclose(back["personality"], expected["personality"], rtol=0, atol=.5e-6)
    assert back["client"].tolist() == expected["client"].tolist()


def test_json_beside_it_is_strict_sorted_and_knows_its_rows(tmp_path):
    results.save(rows(), tmp_path / "x.csv", record(note="pilot"))
    text = (tmp_path / "x.json").read_text()
    found = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert list(found) == sorted(found) and text.endswith("}\n") and text.startswith('{\n "')
    assert {"parameters", "code", "git", "versions", "threads", "device", "checksums", "seconds", "note"} < found.keys()
    assert found["parameters"] == {"clients": 6, "rounds": 3, "skew_unit": "alpha", "max_size_ratio": "inf",
                                   "level_share": [.5, .3, .2]}
    assert found["versions"]["numpy"] == np.__version__
    with pytest.raises(ValueError, match="field 'git' is filled in already"):
        record(git="mine")


@pytest.mark.parametrize("spoil, sentence", [
    (lambda f: f.drop(columns="client"), "lack the columns \\['client'\\]"),
    (lambda f: f.assign(loss=1.0), "unknown columns \\['loss'\\]"),
    (lambda f: pd.concat([f, f.iloc[:1]]), "1 result rows repeat a key.*client 0"),
    (lambda f: f.assign(variant=None), "'variant' has a missing value"),
    (lambda f: f.assign(skew=np.nan), "'skew' has a missing value"),
    (lambda f: f.assign(variant=.5), "'variant' has the value 0.5; expected text"),
    (lambda f: f.assign(personality=71.5), "'personality' has the value 71.5; expected a fraction"),
    (lambda f: f.assign(bytes_up=.5), "'bytes_up' has the value 0.5; expected an integer"),
    (lambda f: f.assign(bytes_up=np.nan), "'bytes_up' has the value nan; expected an integer"),
    (lambda f: f.assign(seed=-1), "'seed' has the value -1; expected an integer"),
    (lambda f: f.assign(alpha="high"), "'alpha' has a value that is no number"),
])
def test_bad_rows_are_refused_and_nothing_is_written(tmp_path, spoil, sentence):
    with pytest.raises(ValueError, match=sentence):
        results.save(spoil(rows()), tmp_path / "new" / "x.csv", record())
    assert list(tmp_path.iterdir()) == []


def test_skews_that_look_alike_in_the_file_are_a_repeated_key(tmp_path):
    near = pd.concat([rows(skew=.1), rows(skew=.1 + 1e-9)])  # %g writes both as 0.1
    with pytest.raises(ValueError, match="repeat a key"):
        results.save(near, tmp_path / "x.csv", record())
    with pytest.raises(ValueError, match="does not end in .csv"):
        results.save(rows(), tmp_path / "x.json", record())


def test_a_failing_disk_leaves_the_old_files_and_no_temporary_one(tmp_path, monkeypatch):
    results.save(rows(seeds=[0]), tmp_path / "x.csv", record())
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}

    def full(*_):
        raise OSError("no space left on device")
    monkeypatch.setattr(results.os, "replace", full)
    with pytest.raises(OSError, match="no space"):
        results.save(rows(), tmp_path / "x.csv", record())
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_missing_truncated_and_altered_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="hfkd grid 40 --profile lite"):
        results.load(tmp_path / "40_comparison.csv")
    with pytest.raises(FileNotFoundError, match="hfkd grid 50 --profile smoke"):
        results.load(tmp_path / "smoke" / "50_ablations.csv")
    with pytest.raises(FileNotFoundError, match="hfkd grid 40 --profile paper"):
        results.load(tmp_path / "40_comparison_paper.csv")
    file = tmp_path / "40_x.csv"
    results.save(rows(), file, record())
    whole = file.read_text()
    file.write_text(whole.replace("0.200000", "0.300000", 1))
    with pytest.raises(ValueError, match="not the file that 40_x.json was written for"):
        results.load(file)
    (tmp_path / "40_x.json").unlink()
    for broken in (whole[:-9], whole[:len(whole) // 2], "", whole.replace("personality", "accuracy", 1)):
        file.write_text(broken)
        with pytest.raises(ValueError, match="40_x.csv cannot be read .*hfkd grid 40 --profile lite --fresh"):
            results.load(file)


# --- provenance

def test_code_digest_sees_every_number_making_module_and_only_those(tmp_path):
    (tmp_path / "methods").mkdir()
    (tmp_path / "plots").mkdir()
    for name in ("assess.py", "claims.py", "plots/canvas.py", "methods/hfkd.py"):
        (tmp_path / name).write_text("x = 1\n")
    first = results.code_digest(tmp_path)
    for name in ("claims.py", "plots/canvas.py"):
        (tmp_path / name).write_text("x = 2\n")
    (tmp_path / "assess.py").write_bytes(b"x = 1\r\n")  # a checkout on Windows
    assert results.code_digest(tmp_path) == first
    (tmp_path / "methods" / "hfkd.py").write_text("x = 2\n")
    second = results.code_digest(tmp_path)
    (tmp_path / "revenue.py").write_text("")
    assert len({first, second, results.code_digest(tmp_path)}) == 3


def test_in_the_way(tmp_path):
    file = tmp_path / "x.csv"
    results.in_the_way(file, BASE, "abc")  # nothing there
    results.save(rows(), file, record())
    code = results.code_digest()
    results.in_the_way(file, dict(reversed(BASE.items())), code)
    with pytest.raises(ValueError, match="clients is 6 there and 12 here; tau is 'absent' there and 1.0 here.*--fresh"):
        results.in_the_way(file, BASE | {"clients": 12, "tau": 1.0}, code)
    with pytest.raises(ValueError, match="; 2 more\\); choose another --out"):
        results.in_the_way(file, {}, code)
    with pytest.raises(ValueError, match="made by other code .*0000.*--out"):
        results.in_the_way(file, BASE, "0" * 64)
    file.with_suffix(".json").write_text("{")
    with pytest.raises(ValueError, match="not valid JSON"):
        results.in_the_way(file, BASE, code)
    file.with_suffix(".json").unlink()
    with pytest.raises(ValueError, match="has no x.json beside it"):
        results.in_the_way(file, BASE, code)


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_git_commit_dirty_flag_and_absence(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    assert record()["git"] == {"commit": "unknown", "dirty": "unknown"}

    def git(*words):
        who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=no"]
        done = subprocess.run(["git", "-C", str(tmp_path), *who, *words], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()
    git("init", "-q")
    assert record()["git"]["commit"] == "unknown"  # no commit yet
    (tmp_path / "hfkd").mkdir()
    (tmp_path / "hfkd" / "a.py").write_text("1")
    git("add", "."), git("commit", "-qm", "one")
    (tmp_path / "x.csv").write_text("a result does not make the code dirty")
    assert record()["git"] == {"commit": git("rev-parse", "HEAD"), "dirty": False}
    (tmp_path / "hfkd" / "a.py").write_text("2")
    assert record()["git"]["dirty"] is True
    monkeypatch.setattr(paths, "ROOT", tmp_path / "hfkd")  # unpacked inside somebody else's repository
    assert record()["git"]["commit"] == "unknown"
    monkeypatch.setenv("PATH", "")
    assert record()["git"]["commit"] == "unknown"


# --- endpoints

def brute(frame, metric, method, seed, level=None):
    """Mean over clients at the last round, by a loop over records."""
    found = [r[metric] for r in frame.to_dict("records")
             if r["method"] == method and r["seed"] == seed and r["round"] == 3 and level in (None, r["level"])]
    return sum(found) / len(found)


@pytest.mark.parametrize("level", [None, 2])
def test_per_seed_values_and_paired_against_a_loop(level):
    frame = rows().sample(frac=1, random_state=1)
    table = results.per_seed(frame, "consistency", level=level)
    assert list(table.columns) == [*CELL, "consistency"] and len(table) == 9
    for r in table.to_dict("records"):
        assert r["consistency"] == pytest.approx(brute(frame, "consistency", r["method"], r["seed"], level), abs=1e-12)
    found = results.paired(frame, "hfkd", "fedmd", "consistency", level=level)
    expected = [100 * (brute(frame, "consistency", "hfkd", s, level) - brute(frame, "consistency", "fedmd", s, level))
                for s in (0, 1, 2)]
    np.testing.assert_allclose(found, expected, atol=1e-8)
    np.testing.assert_array_equal(results.paired(frame, "fedmd", "hfkd", "consistency", level=level), -found)


def test_summary_is_the_mean_over_seeds_in_points():
    frame = rows()
    table = results.summary(frame)
    expected = np.mean([100 * brute(frame, "consistency", "fedmd", seed) for seed in (0, 1, 2)])
    line = table.loc[("fedmd", "digits", "digits", "dirichlet", .1, "")]
    assert line["consistency"] == pytest.approx(expected, abs=.005) and line["seeds"] == 3 and len(table) == 3


def test_bytes_are_not_turned_into_points():
    frame = rows()
    frame.loc[frame["method"] == "hfkd", "bytes_up"] = 10
    assert results.values(frame, "hfkd", "bytes_up").tolist() == [10, 10, 10]
    # the others count 1000 a round, three rounds
    assert results.paired(frame, "hfkd", "local", "bytes_up").tolist() == [-2990, -2990, -2990]


def test_worst_fifth_and_below_local_by_hand():
    frame = rows(methods=["local", "hfkd"], seeds=[0], rounds=[3], clients=10)
    frame.loc[frame["method"] == "local", "personality"] = np.arange(10) / 10
    frame.loc[frame["method"] == "hfkd", "personality"] = [0, .2, .1, .3, .4, .5, .6, .6, .7, .9]
    # 10 // 5 = 2 worst: (0 + .1) / 2; clients 2 (.1 < .2), 7 (.6 < .7) and 8 (.7 < .8) lose, equal is not below
    assert results.values(frame, "hfkd", "worst20").tolist() == pytest.approx([5.0])
    assert results.values(frame, "hfkd", "below_local").tolist() == pytest.approx([30.0])
    assert results.values(frame, "local", "below_local").tolist() == [0.0]
    assert results.paired(frame, "hfkd", "local", "below_local").tolist() == pytest.approx([30.0])
    few = frame[frame["client"] < 4]  # 4 // 5 = 0: still the worst one
    assert results.values(few, "hfkd", "worst20").tolist() == [0.0]


def test_below_local_uses_local_of_the_variant_else_of_the_base():
    base = rows(methods=["local"], seeds=[0], rounds=[3])
    other = rows(methods=["hfkd"], seeds=[0], rounds=[3], variant="a=1")
    base["personality"], other["personality"] = .5, .4
    assert results.values(pd.concat([base, other]), "hfkd[a=1]", "below_local").tolist() == [100.0]
    own = base.assign(variant="a=1", personality=.3)
    assert results.values(pd.concat([base, own, other]), "hfkd[a=1]", "below_local").tolist() == [0.0]
    with pytest.raises(ValueError, match="client 0 of hfkd, seed 0, has no row under local"):
        results.values(other, "hfkd[a=1]", "below_local")


def test_rounds_last_and_validation_selected():
    frame = rows(methods=["hfkd"], seeds=[0, 1], rounds=[1, 2, 3], clients=2)
    best = {(0, 1): .3, (0, 2): .8, (0, 3): .8, (1, 1): .9, (1, 2): .1, (1, 3): .2}
    scores = [best[s, r] for s, r in zip(frame["seed"], frame["round"], strict=True)]
    frame["val_personality"] = scores + np.where(frame["client"] == 0, -.1, .1)
    frame["val_consistency"] = 0.0
    chosen = results.at_round(frame, "validation")
    # seed 0 ties at rounds 2 and 3: the first; seed 1: round 1
    assert set(zip(chosen["seed"], chosen["round"], strict=True)) == {(0, 2), (1, 1)} and len(chosen) == 4
    assert set(results.at_round(frame)["round"]) == {3}
    test_columns = frame.assign(personality=frame["round"] / 3, consistency=frame["round"] / 3)
    assert results.at_round(test_columns, "validation")["round"].tolist() == chosen["round"].tolist()
    with pytest.raises(ValueError, match="round is 'best'; expected 'last' or 'validation'"):
        results.at_round(frame, "best")
    with pytest.raises(ValueError, match="hfkd, seed 0, round 1 has no validation accuracy"):
        results.at_round(frame.assign(val_consistency=np.nan), "validation")
    with pytest.raises(ValueError, match="several experiments"):
        results.at_round(pd.concat([frame, frame.assign(experiment="50")]))


def test_a_seed_without_partner_is_named_not_dropped():
    frame = rows()
    short = frame[(frame["method"] != "local") | (frame["seed"] != 1)]
    for pair in (("hfkd", "local"), ("local", "hfkd")):
        with pytest.raises(ValueError, match="seeds \\[1\\] of hfkd have no partner in local"):
            results.paired(short, *pair, "personality")


def test_what_is_ambiguous_unknown_or_missing_is_an_error():
    frame = pd.concat([rows(skew=.1), rows(skew=.5), rows(methods=["hfkd"], variant="alpha=0.5", skew=.5)])
    with pytest.raises(ValueError, match="several values of skew, \\[.*0.1.*0.5.*\\]; say which"):
        results.paired(frame, "hfkd", "local", "personality")
    one = results.paired(frame, "hfkd", "local", "personality", skew=.5)
    np.testing.assert_array_equal(one, results.paired(rows(skew=.5), "hfkd", "local", "personality"))
    assert len(results.paired(frame, "hfkd[alpha=0.5]", "hfkd", "personality", skew=.5)) == 3
    with pytest.raises(ValueError, match="no rows of hfkt, skew 0.5; the file has fedmd, hfkd, hfkd\\[alpha=0.5"):
        results.values(frame, "hfkt", "personality", skew=.5)
    with pytest.raises(ValueError, match="unknown condition 'client'"):
        results.values(frame, "hfkd", "personality", client=3)
    with pytest.raises(ValueError, match="metric is 'accuracy'; expected one of personality"):
        results.values(frame, "hfkd", "accuracy", skew=.5)
    with pytest.raises(ValueError, match="consistency_corrected of hfkd is missing for seed 0"):
        results.values(frame, "hfkd", "consistency_corrected", skew=.5)
    with pytest.raises(ValueError, match="no client of level 4"):
        results.values(frame, "hfkd", "personality", level=4, skew=.5)
    with pytest.raises(ValueError, match="method is 'hfkd\\['"):
        results.values(frame, "hfkd[", "personality", skew=.5)


def test_done_lists_whole_runs_only(tmp_path):
    frame = rows()
    cut = frame.drop(frame.query("method == 'hfkd' and seed == 2 and round == 3 and client == 5").index)
    assert len(cut) == len(frame) - 1
    results.save(cut, tmp_path / "x.csv", record())
    found = results.done(results.load(tmp_path / "x.csv"))
    every = {(m, "digits", "digits", "dirichlet", .1, "", s) for m in ("local", "fedmd", "hfkd") for s in (0, 1, 2)}
    assert every - found == {("hfkd", "digits", "digits", "dirichlet", .1, "", 2)} and found < every
    assert results.done(frame.iloc[:0]) == set()
