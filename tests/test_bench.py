"""The bench: operations counted by torch against a formula by hand, small rounds run, the JSON is what was said."""

import json

import pytest
import torch

from hfkd.cli import main
from hfkd.study import bench


@pytest.fixture(autouse=True)
def one_thread():
    """torch counts operations in the thread that asks."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", ["hfkd", "fedmd", "heterofl"])
def test_operations_of_a_round_by_hand(name):
    work = bench.a_round(name, seeds=range(2), clients=5, pool_size=400, public_size=50, balanced_size=100)
    (seen, _), count, talks = work.alone.args, 0, name != "heterofl"
    for split, levels in zip(seen.fed.splits, seen.fed.levels):
        for mine, width in zip(split.train, (8, 32, 128) @ (levels == [[1], [2], [3]])):
            first, rest = 784 * width, width * 32 + 32 * 10
            count += talks * 2 * 50 * (first + rest)  # it speaks; then two batches a step, forward and twice backward
            passes = -(-2 * len(mine) // 32) * (1 + talks) + 2 * talks  # of own and of public images; two of a digest
            count += passes * 32 * 2 * (2 * first + 3 * rest)
    assert work.flops == count
    found = bench.measured(work)
    assert found["what"] == f"{name}, mlp, batch 32, 5 clients x 2" and min(found["seconds"], found["sequential"]) > 0
    assert found["floor"] * found["rate"] == pytest.approx(count) and found["ratio"] > 0


def test_the_record_is_what_was_said(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(bench, "a_round", lambda name="hfkd", levels="mlp", **_: bench.Work(
        f"{name}, {levels}", lambda: None, lambda: None, 10**9))
    assert main(["bench", "--threads", "1", "--json", str(tmp_path / "b.json")]) == 0
    record, lines = json.loads((tmp_path / "b.json").read_text()), capsys.readouterr().out.splitlines()
    assert record["threads"] == 1 and record["device"] and record["torch"] == torch.__version__
    assert [row["what"] for row in record["rounds"]] == ["hfkd, mlp", "fedmd, mlp", "heterofl, mlp", "hfkd, cnn"]
    for row, line in zip(record["rounds"], lines[1:], strict=True):
        assert line.startswith(f"{row['what']}: {row['seconds']:.3f} s, ") and f"floor of {row['floor']:.3f} s" in line
