"""What each method decides, what it costs on the wire, and that without soft knowledge it is its own local training."""

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from hfkd import data, federation, methods
from hfkd.config import configure
from hfkd.matching import Paths, admissible
from hfkd.methods import METHODS
from hfkd.needs import NEEDS

SMALL = dict(clients=5, rounds=3, eval_every=1, pool_size=600, public_size=40, balanced_size=100, batch=16, lr=.05)
MESSAGE = 40 * 10 * 4  # bytes of what one client says of the public images: m C float32
SCORES = ["personality", "consistency", "consistency_corrected", "val_personality", "val_consistency"]
BALANCED = ["balanced_local", "hfkd", "hfkd_ramp", "hfkd_avg"]
LISTENING = ["fedmd", "expertise_mean", "dsfl", "ktpfl", "rhfl", "dml"]  # plain, on public images
FITS = {"inclusivefl": {"levels": "depth"}}  # what a method needs to run at all


def went(method, seeds=(0,), watch=None, teach=None, **more):
    """Rows of a small run; with `watch` (a pytest monkeypatch) also the weights of each client.

    `teach` replaces what the method decides.
    """
    states, start, module = [], federation.start, METHODS[method]
    if watch:
        watch.setattr(federation, "start", lambda *given: states.append(start(*given)) or states[-1])
    if teach:
        module = SimpleNamespace(LOSS=module.LOSS, CHOSEN=module.CHOSEN, OWN=module.OWN, teach=teach)
    config = configure("smoke", **(SMALL | FITS.get(method, {}) | dict(method=method) | more))
    frame = federation.run(config, module, data.load("digits"), seeds).rows
    if not watch:
        return frame
    watch.undo()
    rows = {i: (c, row) for c in states[0].cohorts for row, i in enumerate(c.members.tolist())}
    return frame, [{name: w[row] for name, w in c.weights.items()} for c, row in (rows[i] for i in sorted(rows))]


def same(one, other):
    """Whether two clients have the same weights, bit for bit."""
    return all(one[name].equal(other[name]) for name in one)


def test_names_and_what_each_method_says_of_itself():
    assert list(METHODS)[:2] == ["local", "balanced_local"] and list(METHODS)[-3:] == ["hfkd", "hfkd_ramp", "hfkd_avg"]
    assert len(METHODS) == 23 and {path.stem for path in Path(methods.__file__).parent.glob("[!_]*.py")} == set(METHODS)
    for name, method in METHODS.items():
        assert method.LOSS == ("balanced" if name in BALANCED else "plain") and len(method.SUMMARY) > 20, name
        assert "\n" not in method.SUMMARY and set(method.NEEDS) <= set(NEEDS), name
        # its one tuned setting, the same for every loss; the rules that hear nobody have the common learning rate
        assert method.LOSS in method.CHOSEN and set(method.CHOSEN) <= {"plain", "balanced"}, name
        tuned = {setting for chosen in method.CHOSEN.values() for setting in chosen}
        assert len(tuned) == (name not in ("local", "balanced_local")) and tuned <= {"alpha", "lr", "strength"}, name
        assert name in BALANCED or name == "local" or set(method.CHOSEN) == {"plain", "balanced"}, name
        for settings in (method.OWN, *method.CHOSEN.values()):
            configure(**settings)  # fields of a configuration, in their ranges
        assert not tuned & set(method.OWN), name


def test_hooks_of_a_method_are_those_of_the_contract():
    # what a method has in public beside the contract is its own arithmetic, tested by name elsewhere
    hooks = {"teach", "hear", "loss", "given", "begin", "exchange", "answers"}
    told = set(re.findall(r"^(\w+)\(", methods.__doc__, re.M))
    assert told == hooks
    for name, method in METHODS.items():
        assert callable(method.teach) and all(callable(getattr(method, hook, len)) for hook in hooks), name
        assert hasattr(method, "loss") == hasattr(method, "given"), name
        assert hasattr(method, "begin") or name == "rhfl" or not hasattr(method, "exchange"), name


@pytest.mark.parametrize(("method", "own"), [
    *((name, "local") for name in LISTENING), ("hfkd", "balanced_local"), ("hfkd_ramp", "balanced_local"),
])  # fmt: skip
def test_alpha_zero_is_local_training_bit_for_bit(method, own, monkeypatch):
    alone, weights = went(own, (0, 1), monkeypatch)
    frame, zero = went(method, (0, 1), monkeypatch, alpha=0.0)
    assert len(zero) == 10 and all(same(a, b) for a, b in zip(weights, zero, strict=True))
    columns = [*SCORES, "seed", "round", "client", "level", "samples", "alpha", "bytes_up", "bytes_down"]
    assert frame[columns].equals(alone[columns]) and not frame["bytes_up"].any()
    _, heard = went(method, (0, 1), monkeypatch, alpha=.5)
    first = frame[frame["round"] == 1].reset_index(drop=True)
    only = first.index[~first.duplicated(["seed", "level"], keep=False)] if method == "dml" else []
    unmoved = [i for i, (a, b) in enumerate(zip(weights, heard, strict=True)) if same(a, b)]
    assert unmoved == list(only)  # in DML who has no other of its level hears nobody


def test_weight_zero_among_clients_that_listen_is_local_training_bit_for_bit(monkeypatch):
    # alpha = 0 < beta: students hear nothing, the teacher on top hears its students, all in one federation
    _, weights = went("balanced_local", (0, 1), monkeypatch)
    frame, mixed = went("hfkd", (0, 1), monkeypatch, alpha=0.0, beta=.5)
    last = frame[frame["round"] == 3]
    assert set(zip(last["level"], last["alpha"])) == {(1, 0), (2, 0), (3, .5)}
    assert [same(a, b) for a, b in zip(weights, mixed, strict=True)] == (last["level"] < 3).tolist()


def test_the_hard_loss_is_what_tells_local_from_balanced_local(monkeypatch):
    for method, loss, twin in (("local", "balanced", "balanced_local"), ("balanced_local", "plain", "local")):
        rows, weights = went(method, watch=monkeypatch, hard_loss=loss)
        wanted, others = went(twin, watch=monkeypatch)
        assert all(map(same, weights, others)) and rows[SCORES].equals(wanted[SCORES])
    assert not rows[SCORES].equals(went("balanced_local")[SCORES])


def test_without_edges_hfkd_is_balanced_local(monkeypatch):
    rows, weights = went("hfkd", watch=monkeypatch, rule="none")
    _, alone = went("balanced_local", watch=monkeypatch)
    assert all(map(same, weights, alone)) and not rows[["teachers", "alpha", "bytes_up", "bytes_down"]].any(axis=None)


@pytest.mark.parametrize("method", METHODS)
def test_prior_correction_matters_for_plain_training_only(method):
    frame = went(method, skew=.1, alpha=.2)
    no_prior = method in BALANCED or "readout" in METHODS[method].OWN  # the nearest prototype knows none
    assert (frame["consistency"] == frame["consistency_corrected"]).all() == no_prior
    if method not in BALANCED:
        frame = went(method, skew=.1, alpha=.2, readout="head")
        assert not (frame["consistency"] == frame["consistency_corrected"]).all()
    if "balanced" in METHODS[method].CHOSEN and method not in BALANCED:
        rebalanced = went(method, alpha=.2, hard_loss="balanced")
        assert (rebalanced["consistency"] == rebalanced["consistency_corrected"]).all()


COUNTS = np.array([[8, 2, 0, 0], [2, 3, 0, 0], [0, 3, 0, 5], [0, 0, 0, 5], [6, 0, 0, 0], [4, 4, 0, 4]])
LEVELS = np.array([1, 1, 2, 2, 1, 3])


def taught(method, **more):
    """What a method decides for COUNTS and LEVELS."""
    signals = federation.Signals(COUNTS, LEVELS, np.zeros((len(COUNTS), len(COUNTS))))
    return METHODS[method].teach(signals, configure("smoke", **more), np.random.default_rng(0))


@pytest.mark.parametrize("method", [*LISTENING, "hfkd", "hfkd_ramp"])
def test_weights_of_a_decision_sum_to_one(method):
    w = taught(method).weights
    assert w.shape == (6, 6, 4) and (w >= 0).all()
    np.testing.assert_allclose(w.sum(1), np.ones((6, 4)), rtol=0, atol=1e-12)


def test_decisions_of_the_means_by_hand():
    assert (taught("fedmd").weights == 1 / 6).all() and taught("fedmd").pooling == "log"
    assert taught("local").weights is taught("balanced_local").weights is None
    mixture = taught("expertise_mean")
    wanted = COUNTS / np.array([20, 12, 1, 14])  # columns sum to 20, 12, 0 (nobody: all alike), 14
    wanted[:, 2] = 1 / 6
    np.testing.assert_allclose(mixture.weights, np.broadcast_to(wanted, (6, 6, 4)), rtol=0, atol=1e-12)
    assert mixture.pooling == "arithmetic"


def test_decision_of_hfkd():
    found, one_way = taught("hfkd"), taught("hfkd", feedback=False, peers=False)
    assert (found.edges == one_way.edges).all() and not (found.edges & ~admissible(Paths(LEVELS))).any()
    assert found.edges[LEVELS < 3].any(1).all() and not found.edges[LEVELS == 3].any()  # level 3 has no teacher
    hears, hears_above = ((teaching.weights > 0).any(-1).numpy() for teaching in (found, one_way))
    me, alike = np.eye(6, dtype=bool), LEVELS[:, None] == LEVELS
    # one way: oneself and one's teachers, unless they have nothing to say where somebody else has
    assert not (hears_above & ~(found.edges | me)).any()
    shared = (found.edges.astype(int) @ found.edges.T.astype(int) > 0) & alike
    assert not (hears & ~(found.edges | found.edges.T | shared | me)).any() and hears[5].sum() > 1
    # a class's say by hand: client 0 hears itself and those in its row, in proportion to their samples of class 1
    group = (found.edges | found.edges.T | shared | me)[0]
    np.testing.assert_allclose(found.weights[0, :, 1], COUNTS[:, 1] * group / (COUNTS[:, 1] * group).sum(), atol=1e-12)
    assert taught("hfkd", fan_in=1).edges.sum(1).max() == 1 and not taught("hfkd", rule="none").edges.any()
    assert not (taught("hfkd", max_gap=2, rule="all").edges == taught("hfkd", rule="all").edges).all()


def test_ramp_by_round():
    # r0 = warmup = 1, B = 2: alpha_max (r - 1) / 2, held at alpha_max
    run = dict(rounds=4, alpha=.4, ramp_length=2, feedback=False)
    for method, more, wanted in (
        ("hfkd_ramp", {}, [0, .2, .4, .4]),
        ("hfkd", dict(weighting="ramp"), [0, .2, .4, .4]),
        ("hfkd_ramp", dict(weighting="fixed"), [0, .4, .4, .4]),
        ("hfkd_ramp", dict(ramp_power=2.0), [0, .1, .4, .4]),
        ("hfkd_ramp", dict(warmup=2), [0, 0, .2, .4]),
    ):  # fmt: skip
        frame = went(method, **run, **more)
        of_students = frame[frame["level"] < 3].groupby("round")["alpha"]
        assert of_students.unique().map(list).tolist() == [[alpha] for alpha in wanted]
        assert not frame.loc[frame["level"] == 3, ["alpha", "teachers"]].any(axis=None)


def sent(frame, level=None):
    """(up, down) in messages, by round, for the clients of a level; they must all have the same."""
    rows = frame if level is None else frame[frame["level"] == level]
    pairs = {r: set(zip(part["bytes_up"] / MESSAGE, part["bytes_down"] / MESSAGE)) for r, part in rows.groupby("round")}
    assert all(len(each) == 1 for each in pairs.values()), pairs
    return [each.pop() for each in pairs.values()]


def test_bytes_of_fedmd_by_hand():
    # round 1 is the warmup; then everybody says m C float32 once and hears one pooled answer, each round
    assert sent(went("fedmd")) == [(0, 0), (1, 1), (2, 2)]
    assert sent(went("fedmd", warmup=0)) == [(1, 1), (2, 2), (3, 3)]
    assert sent(went("local")) == sent(went("balanced_local")) == [(0, 0)] * 3


def test_bytes_of_hfkd_by_hand():
    # 4 clients are of levels 1, 1, 2, 3; with max_gap 1 only level 2 can teach level 1, and only level 3 level 2
    four = dict(clients=4, rounds=2, fan_in=1, alpha=.5)
    one_way = went("hfkd", feedback=False, peers=False, **four)
    assert [sent(one_way, level)[-1] for level in (1, 2, 3)] == [(0, 1), (1, 1), (1, 0)]
    mutual = went("hfkd", feedback=True, peers=False, **four)
    assert [sent(mutual, level)[-1] for level in (1, 2, 3)] == [(1, 1)] * 3
    deaf_teacher = went("hfkd", beta=0.0, feedback=True, peers=False, **four)  # level 3 weighs what it hears by 0
    assert [sent(deaf_teacher, level)[-1] for level in (1, 2, 3)] == [(1, 1), (1, 1), (1, 0)]
    for frame, roles in ((one_way, [.5, .5, 0]), (mutual, [.5, .5, .5]), (deaf_teacher, [.5, .5, 0])):
        last = frame[frame["round"] == 2]
        for level, role, teachers in zip((1, 2, 3), roles, (1, 1, 0)):
            of_level = last[last["level"] == level]
            assert set(of_level["alpha"]) == {role} and set(of_level["teachers"]) == {teachers}


def test_bytes_of_a_graph_by_hand():
    # 0 hears 1, 2 hears 0 and 1, 3 hears 4; all hear themselves too, which costs nothing
    edges = np.zeros((5, 5), bool)
    edges[[0, 2, 2, 3], [1, 0, 1, 4]] = True

    def teach(signals, config, rng):
        mask = edges | np.eye(5, dtype=bool)
        w = torch.from_numpy(mask).double()
        return federation.Teaching((w / w.sum(1, keepdim=True)).unsqueeze(-1).expand(5, 5, 10), mask, edges)

    last = went("hfkd", teach=teach, rounds=2, alpha=.5).query("round == 2")
    assert (last["bytes_up"] / MESSAGE).tolist() == [1, 1, 0, 0, 1]
    assert (last["bytes_down"] / MESSAGE).tolist() == [1, 0, 1, 1, 0]
    assert last["teachers"].tolist() == [1, 0, 2, 1, 0] and last["alpha"].tolist() == [.5, 0, .5, .5, 0]
