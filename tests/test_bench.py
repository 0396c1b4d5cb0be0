"""The bench: counted arithmetic against a formula, every table's work really runs, and the JSON is what was printed."""

import inspect
import json

import pytest
import torch
from torch import nn

from hfkd import bench, benchmarks, blocks, floor, levels, sweep, training, workloads
from hfkd.cli import main
from hfkd.config import configure
from hfkd.needs import check_needs


@pytest.fixture(autouse=True)
def one_thread():
    """torch counts operations in the thread that asks, so the engine has to stay in it."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_flops_of_a_perceptron_by_hand():
    # a private and a public batch, forward and twice backward, but nobody needs the gradient by the image
    job = bench.rehearsal("mlp", 1, (1, 8, 8), [40, 24], public=30, batch=8)
    steps, layers = 5 + 3, [(64, 8), (8, 32), (32, 10)]
    each = sum(2 * 8 * a * b * (2 if a == 64 else 3) for a, b in layers)
    found = bench.measured("it", [job], "cpu", 1)
    assert found.flops == steps * 2 * each
    assert found.floor == found.flops / found.rate and 0 < found.seconds and 0 < found.sequential
    assert floor.flops(lambda: training.train(*job)) == found.flops  # the batched program does no other arithmetic


@pytest.mark.parametrize("members", [1, 3])
def test_flops_of_a_convolution_by_hand_grouped_or_not(members):
    job = bench.rehearsal("cnn", 1, (1, 8, 8), [8] * members, public=8, batch=8)
    first, second = 4 * 4 * 8 * 9, 2 * 2 * 16 * 9 * 8  # places, channels out, kernel, channels in
    rest = 2 * 2 * 16 * 32 + 32 * 10
    each = 2 * 8 * (2 * first + 3 * (second + rest))
    blocks.activations(job[0].module, job[1].shape[1:])  # asked once per network; not part of a round
    assert floor.flops(lambda: training.train(*job)) == members * 2 * each


def test_the_published_rounds_have_the_published_sizes():
    assert len(workloads.SIZES) == 20 and sum(workloads.SIZES) == 52_492
    four, (one,) = workloads.published("fml-round"), workloads.published("fedavg-round")
    assert [len(job[4]) for job in four] == [5, 5, 5, 5] and len(one[4]) == 20
    steps = sorted(k for job in four for k in job[4])
    assert steps == sorted(-(-size // 10) for size in workloads.SIZES)
    assert one[4] == [-(-size // 32) for size in workloads.SIZES]
    for job in four:  # everybody's images are its own, each at least once
        cohort, images, _, private, own, *_ = job
        rows = [set(private[b, :k].flatten().tolist()) for b, k in enumerate(own)]
        assert set().union(*rows) == set(range(len(images))) and sum(map(len, rows)) == len(images)


def test_reversing_pooling_and_relu_changes_nothing():
    x = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0), requires_grad=True)
    one, other = nn.Sequential(nn.ReLU(), nn.MaxPool2d(2))(x), nn.Sequential(nn.MaxPool2d(2), nn.ReLU())(x)
    by_one, by_other = (torch.autograd.grad(y.square().sum(), x)[0] for y in (one, other))
    assert one.equal(other) and by_one.equal(by_other)


def test_every_table_has_work_and_a_small_one_runs():
    for table in sweep.TABLES:
        assert sweep.plan(table, "cpu")
    figure = sweep.level_round("mlp", 1, 8, "cpu", 1, 1, members=3, mean_size=20)
    assert figure.what == "mlp level 1, batch 8, 3 members" and figure.flops > 0
    crowd = sweep.crowd_round(6)
    assert crowd.seconds > 0 and crowd.sequential > 0 and crowd.flops > 0
    for method in sweep.plan("methods", "cpu"):
        check_needs(configure("lite", method=method.args[0]))
    assert sweep.method_round("local", seeds=(0,)).flops is None
    names = {"device": "cpu", "threads": 1, "repeats": 1}
    for table in sweep.TABLES:  # the three that the bench hands over stand where each work expects them
        for work in sweep.plan(table, "cuda"):
            bound = inspect.signature(work).bind(*names.values()).arguments
            assert {name: bound[name] for name in names} == names


def test_a_round_counts_its_arithmetic_once(monkeypatch):
    # of a round of crowd_round: every client's steps, what it says, and the pooling
    monkeypatch.setattr(sweep, "round_seconds", lambda *_: 1.0)
    figure = sweep.crowd_round(12)
    sizes = [6_898, 26_506, 104_938]
    assert levels.sizes("mlp", (1, 28, 28), 10)[2]["parameters"] == sizes[2]
    least = 12 * 200 * 2 * 6_800  # everybody speaks about 200 images
    most = 12 * (4 * 60 / 32 + 4) * 64 * 6 * sizes[2] + 12 * 200 * 2 * sizes[2] + 2 * 12 * 12 * 200 * 10
    assert least < figure.flops < most


def test_bench_prints_and_writes_the_same(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(sweep, "plan", lambda table, device: [table])
    made = floor.Figure("some round", 2.0, 8.0, 10**12, 1e12)
    monkeypatch.setattr(floor, "apart", lambda work, *given: (made, 10**9))
    out = tmp_path / "b.json"
    assert main(["bench", "--only", "fml-round", "--threads", "1", "--json", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "fml-round, cpu, 1 threads" in printed and benchmarks.LEGEND in printed
    assert "some round" in printed and printed.split("some round")[1].split()[:6] == [
        "2.000", "1.000", "2.0", "8.000", "4.0", "1000.0"]  # fmt: skip
    record = json.loads(out.read_text())
    assert record["figures"] == [{"table": "fml-round", "what": "some round", "seconds": 2.0, "sequential": 8.0,
                                  "flops": 10**12, "rate": 1e12, "floor": 1.0, "memory": 10**9}]  # fmt: skip
    assert record["threads"] == 1 and record["parameters"] == {"repeats": 3} and record["versions"]["torch"]


def test_work_apart_tells_its_own_peak():
    found, peak = floor.apart(len, [1, 2, 3])
    assert found == 3 and peak > 10_000_000


@pytest.mark.parametrize(("options", "sentence"), [
    (["--threads", "0"], "threads is 0; expected 1 or more"),
    (["--repeats", "0"], "repeats is 0; expected an integer >= 1"),
    (["--device", "tpu"], "device is 'tpu'; expected one of cpu, cuda"),
])  # fmt: skip
def test_bench_refuses(options, sentence, capsys):
    assert main(["bench", "--only", "fml-round", *options]) == 2
    assert sentence in capsys.readouterr().err
