"""What the bench wrote is read as it stands or refused in a sentence."""

import json

import pytest
from bench_record import record

from hfkd import costs


def test_targets_by_hand(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(record()))
    found = costs.read(tmp_path / "a.json")
    assert found.rounds["ratio"][:2].tolist() == [2, 2.5] and found.rounds["faster"][0] == 2.5
    told = costs.targets(found)
    assert told["measured"].round(9).tolist() == [2, 2.5, 8, 3.5, 1.5, 50, 2, 50, 2]
    assert told["holds"].tolist() == [True, True, True, False, False, True, True, True, True]
    assert "10,000 clients x 100 classes matched by coverage, 8 students each" in told["what"].iloc[-1]


BREACHES = {
    "no record of": lambda record: record.pop("match"),
    "figures is 3; expected a list": lambda record: record.update(figures=3),
    r"figures\[1\] has no floor": lambda record: record["figures"][1].pop("floor"),
    r"figures\[0\] has seconds None; expected a number": lambda record: record["figures"][0].update(seconds=None),
    r"figures\[0\] has rate '1'; expected": lambda record: record["figures"][0].update(rate="1"),
    r"figures\[0\] has seconds nan": lambda record: record["figures"][0].update(seconds=float("nan")),
    r"match\[0\] has clients True": lambda record: record["match"][0].update(clients=True),
    r"match\[2\] has rule 5; expected text": lambda record: record["match"][2].update(rule=5),
}  # fmt: skip


@pytest.mark.parametrize("said", BREACHES)
def test_another_shape_is_a_sentence(said, tmp_path):
    BREACHES[said](broken := record())
    (tmp_path / "a.json").write_text(json.dumps(broken))
    with pytest.raises(ValueError, match=said):
        costs.read(tmp_path / "a.json")


@pytest.mark.parametrize("text", ["", "{", "[1]", "7", "null", "[" * 100_000])
def test_no_record_is_a_sentence(text, tmp_path):
    with pytest.raises(FileNotFoundError, match="hfkd bench --json a.json` makes one"):
        costs.read(tmp_path / "a.json")
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ValueError, match="no record of `hfkd bench --json`"):
        costs.read(tmp_path / "a.json")


def test_the_committed_record_says_how_it_was_made():
    record = json.loads(costs.RECORD.read_text("utf-8"))
    assert record["git"]["commit"] != "unknown" and not record["git"]["dirty"] and record["seconds"] > 0
    assert len(costs.targets(costs.read())) > 4  # both published rounds, the levels, the growth, the matching
