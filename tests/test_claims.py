"""Claims: all hold on the committed rows, and the summaries say what the full rows of the first study said."""

import math

import pandas as pd
import pytest

from hfkd.study import claims, compare, results

LINE = dict(zip(claims.COLUMNS, ["C1", "yes", "HFKD gains | a lot", "40", "x.csv", "hfkd - local | consistency",
                                 "dirichlet 0.1; dirichlet 0.5", "above", "20", ""]))


def claim(**changes):
    return claims._claim(LINE | changes)


@pytest.fixture
def folder(tmp_path):
    """Ten seeds; HFKD is 25 + k/5 points above Local in seed k at skew .1, half a point less at .5; FedMD is Local."""
    blank = dict.fromkeys(results.COLUMNS, 0)
    blank |= {"dataset": "d", "public": "same", "partition": "dirichlet", "variant": ""}
    table = [blank | {"method": method, "skew": skew, "seed": k, "round": 5, "personality": .5 + .01 * (k % 3),
                      "consistency": .4 + .001 * k + (method == "hfkd") * (.25 + k / 500 - .005 * (skew > .1))}
             for method in ("local", "fedmd", "hfkd") for skew in (.1, .5) for k in range(10)]
    record = {"commands": ["hfkd run | x"], "seeds": list(range(10)), "device": "cpu", "threads": 1, "seconds": 90.0,
              "commit": "abcdef0123"}
    results.save(pd.DataFrame(table), tmp_path / "x.csv", record)
    return tmp_path


# --- what is committed

@pytest.fixture(scope="module")
def committed():
    return claims.verdicts()


def test_every_claim_holds_with_room_for_another_processor(committed):
    assert 20 <= len(committed) <= 30
    for verdict in committed:
        assert verdict.holds, verdict.line
        # another processor moves a seed's mean by up to .7 points, so no claim hangs on less
        assert min(room for _, room in verdict.found.values()) > .7, verdict.line
    lines = claims.closing_lines(committed)
    assert len(lines) <= 10 and sum(line.startswith("- ") for line in lines) >= 5
    assert lines[0].startswith(f"{len(committed)} of {len(committed)} claims hold, 0 do not, 0 are open")


# --- one claim

@pytest.mark.parametrize("changes, holds, state", [
    ({"expected": "20"}, [True, True], ""),  # the means are 25.9 and 25.4, the intervals +- .43
    ({"expected": "25"}, [True, False], "inconclusive, "),
    ({"expected": "26.5"}, [False, False], "contradicted, "),
    ({"kind": "below", "expected": "26.4"}, [True, True], ""),
    ({"kind": "below", "expected": "26"}, [False, True], "inconclusive, "),
    ({"kind": "below", "expected": "24"}, [False, False], "contradicted, "),
    ({"kind": "within", "expected": "25.7", "tolerance": ".7"}, [True, True], ""),
    ({"kind": "within", "expected": "25.7", "tolerance": ".5"}, [False, False], "inconclusive, "),
    ({"kind": "within", "expected": "20", "tolerance": "3"}, [False, False], "contradicted, "),
    ({"how": "hfkd - local / fedmd | consistency"}, [True, True], ""),
    ({"how": "hfkd / fedmd - local | consistency"}, [False, False], "contradicted, "),  # one of them does not gain
    ({"how": "hfkd - local | consistency / personality"}, [False, False], "contradicted, "),
])
def test_each_kind_is_judged_in_every_scene(folder, changes, holds, state):
    verdict = claims.check(claim(**changes), folder)
    assert [room > 0 for _, room in verdict.found.values()] == holds and verdict.holds == all(holds)
    assert list(verdict.found) == ["dirichlet 0.1", "dirichlet 0.5"]
    assert verdict.words == f"{state}holds in {sum(holds)} of 2"


def test_room_is_what_is_left_of_the_interval_and_p_that_of_its_test(folder):
    verdict = claims.check(claim(), folder)
    sample = compare.paired(results.load(folder / "x.csv"), "hfkd", "local", "consistency", skew=.5)
    low = compare.interval(sample).low
    assert verdict.found["dirichlet 0.5"][1] == pytest.approx(low - 20) and verdict.p == compare.student(sample, 20)
    assert verdict.measured == "dirichlet 0.1: +25.9 (25.5 to 26.3); dirichlet 0.5: +25.4 (25.0 to 25.8)"
    assert claims.check(claim(expected="26"), folder).p == 1.0  # on the wrong side


def test_what_cannot_be_judged_is_open_and_an_altered_file_is_an_error(folder):
    for changes, reason in (({"result_file": "y.csv"}, "no result file y.csv"),
                            ({"how": "hfkd - dsfl | consistency"}, "no rows of dsfl")):
        verdict = claims.check(claim(**changes), folder)
        assert verdict.holds is None and reason in verdict.words
    frame = results.load(folder / "x.csv")
    results.save(frame[frame["seed"] == 0], folder / "x.csv", {})
    assert claims.check(claim(), folder).words == "open: one seed has no interval"
    (folder / "x.csv").write_text((folder / "x.csv").read_text().replace("fedmd", "dsfl"))
    with pytest.raises(ValueError, match=r"not the file that x\.json"):
        claims.check(claim(), folder)


def test_holm_counts_every_tested_claim(folder):
    verdict = claims.check(claim(), folder)
    found = [verdict._replace(claim=claim(id=f"C{k}"), p=p) for k, p in enumerate((.01, .03, .04, math.nan))]
    assert claims.survivors(found) == ["C0"]  # .01 * 3 survives, .03 * 2 does not, and .04 * 1 comes after it
    assert claims.survivors([one._replace(p=.02) for one in found]) == []
    assert claims.survivors(found, claims.false_discovery_control) == ["C0", "C1", "C2"]  # .03, .045 -> .04, .04


# --- files and tables

@pytest.mark.parametrize("changes, sentence", [
    ({"how": "hfkd - local"}, "how is 'hfkd - local'"),
    ({"how": "hfkd | personality"}, "with ''"),
    ({"how": "hfkd - local | accuracy"}, "with 'accuracy'"),
    ({"scenes": "dirichlet"}, "scenes are 'dirichlet'"),
    ({"kind": "near"}, "kind is 'near'"),
    ({"kind": "within"}, "each with its numbers"),
    ({"expected": "much"}, "could not convert string to float: 'much'"),
])
def test_bad_lines_are_named(changes, sentence):
    with pytest.raises(ValueError, match=f"claim C1: .*{sentence}"):
        claim(**changes)


def test_bad_files_are_named(tmp_path):
    head, line = ",".join(claims.COLUMNS), ",".join(f'"{LINE[name]}"' for name in claims.COLUMNS)
    for text in (f"id,what\n{line}", f"{head}\n{line}\n{line}"):
        (tmp_path / "c.csv").write_text(text)
        with pytest.raises(ValueError, match="each id once"):
            claims.read(tmp_path / "c.csv")
    (tmp_path / "c.csv").write_text(f"{head}\n{line}\n")
    assert [row[:9] for row in claims.read(tmp_path / "c.csv")] == [claim()[:9]]  # the tolerance is NaN


def test_tables_land_between_the_marks(folder):
    changed = ({}, {"id": "C2", "expected": "99"}, {"id": "C3", "result_file": "y.csv"})
    found = [claims.check(claim(**changes), folder) for changes in changed]
    table = claims.claims_table(found)
    assert "| C1 | HFKD gains \\| a lot | 40 | above 20 |" in table and "holds in 0 of 2" in table
    first, second, *_ = claims.closing_lines(found)
    assert first.startswith("1 of 3 claims hold, 1 do not, 1 are open") and second.startswith("Not holding: C2;")
    assert "| `x.csv` | `hfkd run \\| x` | 10 | cpu, 1 thread a run | 2 | `abcdef0` |" in claims.commands_table(folder)
    assert claims.between("a <!-- x -->old<!-- /x --> z", "x", "new") == "a <!-- x -->\n\nnew\n\n<!-- /x --> z"
    chosen = {"fedmd": {"hard_loss": "balanced", "digest": 1, "epochs": 3, "lr": 0.01, "alpha": 0.0}}
    table = claims.comparison_table(results.load(folder / "x.csv"), chosen).splitlines()[2:]
    assert [line.split(" | ")[0] for line in table] == ["| local", "| hfkd", "| fedmd"]  # then the most consistent
    assert table[0].startswith("| local | 40.4 % | 40.4 % | 50.9 % | 50.9 % | 0 | 0 | 0 |")
    assert table[1].startswith("| hfkd | +25.9 (25.5 to 26.3) | +25.4 (25.0 to 25.8) | +0.0 (0.0 to 0.0) | ")
    assert table[2].endswith("| balanced, 3 epochs, rate 0.01, digest 1, alpha 0.0 |")
    with pytest.raises(ValueError, match="needs the marks"):
        claims.between("<!-- /x --><!-- x -->", "x", "new")
