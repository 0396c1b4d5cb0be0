"""Claims: a strict grammar, verdicts whose truth is built into the rows, documents that do not change by themselves."""

import csv

import numpy as np
import pandas as pd
import pytest

from hfkd import claims, faults, rendering, results
from hfkd.claims import Claim

LINE = {"id": "C01", "statement": "HFKD gains | on consistency", "notebook": "40_comparison", "exhibit": "fig 4",
        "result_file": "40_comparison.csv", "kind": "above", "expected": "20", "tolerance": "",
        "how": "hfkd - local | consistency | skew=0.1"}


def claim(**changes):
    return Claim(**LINE | {"expected": 20.0, "tolerance": .5} | changes)


def write(path, *lines):
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, claims.COLUMNS)
        table.writeheader()
        table.writerows(lines)
    return path


@pytest.fixture
def folder(tmp_path):
    """Ten seeds; at skew .1 HFKD is 25 + k/5 points above Local in seed k, at skew .5 it is Local."""
    blank = dict.fromkeys(results.COLUMNS, 0) | {"experiment": "40_comparison", "dataset": "digits", "public": "digits",
                                                 "partition": "dirichlet", "variant": ""}
    table = [blank | {"method": method, "skew": skew, "seed": seed, "round": r, "client": client,
                      "level": 1 + client % 3, "personality": .61 + .01 * (client % 3),
                      "consistency": .4 + (.25 + seed / 500) * (method == "hfkd" and skew == .1 and r == 2)}
             for method in ("local", "hfkd") for skew in (.1, .5) for seed in range(10) for r in (1, 2)
             for client in range(6)]
    results.save(pd.DataFrame(table), tmp_path / "40_comparison.csv", {"parameters": {}})
    return tmp_path


@pytest.mark.parametrize("how, expected", [
    ("hfkd | personality", (["hfkd"], "personality", {})),
    ("hfkd - balanced_local|worst20|level=1", (["hfkd", "balanced_local"], "worst20", {"level": 1})),
    ("hfkd[a=1,b=-2] - hfkd | bytes_up | dataset=digits, round=validation",
     (["hfkd[a=1,b=-2]", "hfkd"], "bytes_up", {"dataset": "digits", "which": "validation"})),
    ("hfkd - local | consistency | skew=.1, variant=a=0.5, partition=dirichlet, public=mnist",
     (["hfkd", "local"], "consistency", {"skew": .1, "variant": "a=0.5", "partition": "dirichlet", "public": "mnist"})),
])
def test_how_is_read(how, expected):
    assert claims.parse(how) == expected


@pytest.mark.parametrize("how, sentence", [
    ("hfkd", "expected 'method - baseline \\| metric"),
    ("hfkd | personality | skew=.1 | level=1", "expected 'method - baseline"),
    ("hfkd - local - fedmd | personality", "has the methods 'hfkd - local - fedmd'"),
    (" | personality", "has the methods ''"),
    ("hfkd-local | personality", "has the methods 'hfkd-local'"),
    ("hfkd | accuracy", "has the metric 'accuracy'"),
    ("hfkd | personality | seed=3", "has the condition 'seed=3'.*name of dataset"),
    ("hfkd | personality | skew", "has the condition 'skew'"),
    ("hfkd | personality | skew=", "has the condition 'skew='"),
    ("hfkd | personality | ", "has the condition ''"),
    ("hfkd | personality | skew=low", "has skew=low; expected a number"),
    ("hfkd | personality | level=1.5", "has level=1.5; expected a number"),
    ("hfkd | personality | round=best", "has the round 'best'"),
    ("hfkd | personality | skew=.1, skew=.5", "'skew=.5' after another skew"),
    ("hfkd | personality | variant=a=1,b=2", "has the condition 'b=2'.*brackets"),
])
def test_how_is_strict(how, sentence):
    with pytest.raises(ValueError, match=sentence):
        claims.parse(how)


def test_read(tmp_path):
    path = write(tmp_path / "claims.csv", LINE, LINE | {"id": "C02", "kind": "about", "tolerance": "1.5"})
    first, second = claims.read(path)
    assert first.expected == 20.0 and np.isnan(first.tolerance) and second.tolerance == 1.5
    assert first.statement == LINE["statement"]


@pytest.mark.parametrize("changes, sentence", [
    ({"kind": "exactly"}, "claim C01 has the kind 'exactly'; expected one of above"),
    ({"expected": "many"}, "claim C01 has expected 'many'"),
    ({"expected": "inf"}, "claim C01 has expected 'inf'"),
    ({"kind": "within"}, "claim C01 has expected '20', tolerance ''"),
    ({"kind": "about", "tolerance": "inf"}, "tolerance > 0"),
    ({"statement": " "}, "claim C01 has an empty or surplus field"),
    ({"id": ""}, "claim \\(no id\\) has an empty"),
    ({"how": "hfkd | accuracy"}, "claim C01: how has the metric"),
    ({"result_file": "../x.csv"}, "bare name"),
])
def test_bad_lines_are_named(tmp_path, changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        claims.read(write(tmp_path / "claims.csv", LINE | changes))


def test_bad_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no list of claims"):
        claims.read(tmp_path / "claims.csv")
    with pytest.raises(ValueError, match="claim C01 more than once"):
        claims.read(write(tmp_path / "claims.csv", LINE, LINE))
    (tmp_path / "claims.csv").write_text("id,claim\n1,2\n")
    with pytest.raises(ValueError, match="has the columns \\['id', 'claim'\\]"):
        claims.read(tmp_path / "claims.csv")
    (tmp_path / "claims.csv").write_text(",".join(claims.COLUMNS) + "\nC01,short\n")
    with pytest.raises(ValueError, match="claim C01 has an empty or surplus field"):
        claims.read(tmp_path / "claims.csv")


# differences at skew .1 are 25.0, 25.2, ..., 26.8: mean 25.9, sd .606, standard error .191, so roughly 25.5 to 26.3
@pytest.mark.parametrize("kind, expected, tolerance, holds", [
    ("above", 20.0, 0, True), ("above", 25.8, 0, False), ("above", 30.0, 0, False),
    ("below", 27.0, 0, True), ("below", 26.0, 0, False), ("below", 20.0, 0, False),
    # t = (.8 - .1) / .191 = 3.7 with 9 degrees of freedom: p = .003; t = .1 / .191 = .5: p = .3
    ("within", 26.0, .8, True), ("within", 25.9, .1, False), ("within", 24.0, .5, False),
    ("about", 25.5, .5, True), ("about", 25.5, .3, False),
])
def test_each_kind_of_verdict(folder, kind, expected, tolerance, holds):
    found = claims.check(claim(kind=kind, expected=expected, tolerance=tolerance), folder)
    assert found.holds is holds
    assert found.estimate.mean == pytest.approx(25.9) and found.estimate.n == 10
    word = "holds" if holds else "fails"
    assert found.line.startswith(f"C01 {word}: HFKD gains | on consistency [+25.90 points, 95 % 25.")
    assert found.line.endswith(", 10 seeds] see 40_comparison, fig 4")


def test_levels_of_one_method_and_equal_runs(folder):
    single = claims.check(claim(kind="about", expected=61, how="hfkd | personality | skew=.1, level=1"), folder)
    assert single.holds and "[61.00 points, 95 % 61.00 to 61.00, 10 seeds]" in single.line
    same = claims.check(claim(kind="within", expected=0.0, how="hfkd - local | consistency | skew=.5"), folder)
    assert same.holds and "[+0.00 points, 95 % 0.00 to 0.00, 10 seeds]" in same.line


def test_open_claims_say_what_is_missing_and_no_path_of_this_machine(folder):
    for changes, reason in (
            ({"result_file": "50_x.csv"}, "[no result file 50_x.csv; REPRODUCE.md has its command]"),
            ({"how": "fedmd - local | consistency | skew=.1"}, "[no rows of fedmd, skew 0.1; the file has hfkd"),
            ({"how": "hfkd - local | consistency"}, "several values of skew")):
        found = claims.check(claim(**changes), folder)
        assert found.holds is None and found.estimate is None
        assert found.line.startswith("C01 open: ") and reason in found.line and str(folder) not in found.line


def test_one_seed_proves_nothing_but_an_about(folder):
    frame = results.load(folder / "40_comparison.csv")
    results.save(frame[frame["seed"] == 0], folder / "40_comparison.csv", {})
    found = claims.check(claim(), folder)
    assert found.holds is None and "[+25.00 points, 1 seed, which has no interval]" in found.line
    assert claims.check(claim(kind="about", expected=25.0), folder).holds is True


def test_table_is_stable(folder):
    path = write(folder / "claims.csv", LINE, LINE | {"id": "C02", "kind": "within", "tolerance": "0.5"},
                 LINE | {"id": "C03", "result_file": "x.csv"})
    found = claims.verdicts(folder, path)
    table = rendering.claims_table(found)
    assert table == rendering.claims_table(claims.verdicts(folder, path))
    lines = table.splitlines()
    low, high = found[0].estimate.low, found[0].estimate.high
    assert lines[2] == ("| C01 | HFKD gains \\| on consistency | 40_comparison, fig 4 | above 20 | "
                        f"+25.90 points, 95 % {low:.2f} to {high:.2f}, 10 seeds | holds |")
    assert "| within 20 ± 0.5 |" in lines[3] and lines[3].endswith("| fails |")
    assert lines[4].endswith("| above 20 |  | open |")
    assert len({line.replace("\\|", "").count("|") for line in lines}) == 1


def test_text_lands_between_the_marks():
    once = rendering.between("# Title\n<!-- claims -->\nold\n<!-- /claims -->\nend\n", "claims", "| a |\n")
    assert once == "# Title\n<!-- claims -->\n\n| a |\n\n<!-- /claims -->\nend\n"
    assert rendering.between(once, "claims", "| a |\n") == once


@pytest.mark.parametrize("text", ["no marks", "<!-- claims -->", "<!-- /claims --> <!-- claims -->",
                                  "<!-- claims --> <!-- claims --> <!-- /claims -->"])
def test_a_document_without_marks_is_refused(text):
    with pytest.raises(ValueError, match="lacks the marks <!-- claims --> and <!-- /claims -->"):
        rendering.between(text, "claims", "| a |")


def test_an_altered_file_is_an_error_not_an_open_claim(folder):
    file = folder / "40_comparison.csv"
    file.write_text(file.read_text("utf-8").replace("0.", "0.0", 1), "utf-8")
    with pytest.raises(ValueError, match="is not the file that 40_comparison.json was written for"):
        claims.check(claim(), folder)


def test_liars_can_be_left_out_of_a_claim(folder):
    """Whoever lies is right about everything: a claim about the honest does not see it."""
    rows = results.load(folder / "40_comparison.csv")
    lying = {seed: faults.liars(seed, 6, .2) for seed in range(10)}
    lucky = [lying[seed][client] and method == "hfkd" for seed, client, method
             in zip(rows["seed"], rows["client"], rows["method"])]
    (folder / "other").mkdir()
    results.save(rows.assign(consistency=rows["consistency"].mask(lucky, 1.0)), folder / "other" / "40_comparison.csv",
                 {"parameters": {}})
    among = claims.check(claim(how=LINE["how"] + ", honest=0.2"), folder / "other").estimate
    assert among.mean == pytest.approx(claims.check(claim(), folder).estimate.mean)
    assert claims.check(claim(), folder / "other").estimate.mean > among.mean + 5
