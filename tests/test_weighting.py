"""The weight of soft knowledge: every rule by hand or against an oracle, and what it reads against torch and scipy."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scenes import begun, network, weights_of
from scipy.optimize import minimize
from scipy.special import rel_entr

from hfkd import weighting
from hfkd.config import configure
from hfkd.engine import federation, signals, state
from hfkd.weighting import LOWEST, by_role, controller, gradient_cosine, head_gradient, loss_ratio, ramp


def test_ramp_by_hand():
    # alpha_max (r - r0) / B with alpha_max = .8, r0 = 3, B = 4: 0, 1/4, 2/4, 3/4, 1 from round 3 to 7
    assert [ramp(0.8, r, 3, 4) for r in (1, 2, 3, 4, 5, 6, 7, 8)] == pytest.approx([0, 0, 0, 0.2, 0.4, 0.6, 0.8, 0.8])


def test_loss_ratio_by_hand_and_with_roles_exchanged():
    # .8 x 3/(3 + 1); equal losses, also 0 and 0: half; a perfect student: nothing; against a perfect target: everything
    found = loss_ratio(0.8, [3, 1, 0, 0, 5], [1, 1, 0, 2, 0])
    assert found == pytest.approx([0.6, 0.4, 0.4, 0, 0.8], abs=1e-15)
    own, other = 10 ** np.random.default_rng(0).uniform(-6, 2, (2, 200))  # over eight orders of magnitude
    np.testing.assert_allclose(loss_ratio(1.0, own, other) + loss_ratio(1.0, other, own), 1, rtol=0, atol=1e-12)


def test_controller_by_hand_and_within_its_bounds():
    # .2 exp(d), d = (usual - loss)/usual: .5, -.25, 0, and -3 cut to -1
    found = controller(0.2, [1, 2.5, 2, 8], 2.0)
    np.testing.assert_allclose(found, 0.2 * np.exp([0.5, -0.25, 0, -1]), rtol=1e-12)
    for loss, usual in (([0.1, 2, 9], np.nan), ([np.nan] * 3, 1.0)):
        assert controller(0.3, loss, usual) == pytest.approx([0.3] * 3)  # nothing known, no change
    weight = 0.5
    for loss, end in ((9.0, LOWEST), (0.0, 1)):
        for _ in range(20):
            weight = controller(weight, loss, 1.0)
        assert weight == end


@pytest.mark.parametrize("hard, soft", [(0.3, 0.1), (2.0, 0.05), (1.0, 1.0)])
def test_uncertainty_is_the_optimum_of_kendalls_objective(hard, soft):
    both = np.array([hard, soft])
    found = minimize(lambda s: (np.exp(-s) * both + s).sum(), [0, 0], tol=1e-12)  # s = ln L, so exp(-s) = 1/L
    share = np.exp(-found.x) / np.exp(-found.x).sum()
    assert float(loss_ratio(0.8, hard, soft)) == pytest.approx(0.8 * share[1], rel=1e-5)


@pytest.mark.parametrize("kind", ["cross-entropy", "kl"])
def test_head_gradient_against_autograd_and_opposed_gradients_silence_soft_knowledge(kind):
    rng = np.random.default_rng(0)
    features, target = torch.from_numpy(rng.normal(size=(8, 3))), torch.from_numpy(rng.dirichlet(np.ones(4), 8))
    layer, labels = torch.nn.Linear(3, 4, dtype=torch.float64), torch.arange(8) % 4
    log_p = layer(features).log_softmax(1)
    (F.kl_div(log_p, target, reduction="batchmean") if kind == "kl" else F.cross_entropy(log_p, labels)).backward()
    wanted = torch.cat([layer.weight.grad, layer.bias.grad[:, None]], 1).flatten()
    error = log_p.detach().exp() - (target if kind == "kl" else F.one_hot(labels, 4))
    both = head_gradient(features.expand(2, -1, -1), torch.stack([error, -2 * error]))  # clients side by side
    torch.testing.assert_close(both, torch.stack([wanted, -2 * wanted]), rtol=0, atol=1e-12)
    padded = head_gradient(torch.cat([features, features]), torch.cat([error, 0 * error]))
    torch.testing.assert_close(2 * padded, wanted, rtol=0, atol=1e-12)  # the same direction
    cosine = F.cosine_similarity(both[0], both, dim=-1)
    assert gradient_cosine(0.5, [*cosine.tolist(), 0.5, np.nan]) == pytest.approx([0.5, 0, 0.25, 0], abs=1e-12)


def test_a_client_has_the_weight_of_its_role():
    # 0 has a teacher; 1 hears its student 0; 2 hears only itself; 3 hears nobody at all
    edges, mask = np.zeros((4, 4), bool), np.diag([True, True, True, False])
    edges[0, 1] = mask[0, 1] = mask[1, 0] = True
    assert by_role(mask, edges, 0.5, 0.1).tolist() == [0.5, 0.1, 0, 0]
    assert by_role(mask, edges, np.arange(4) / 10, np.arange(5, 9) / 10).tolist() == [0, 0.6, 0, 0]
    hard, usual, soft, own, other, cosine = np.random.default_rng(0).uniform(0.1, 2, (6, 1, 4))
    reads = {"gradient": (cosine - 1,), "loss_ratio": (own, other), "uncertainty": (hard, soft),
             "controller": (hard, usual)}  # fmt: skip
    last = np.array([[np.nan, 0.2, 0.2, 0.2]])
    wanted = {
        "fixed": [0.8, 0.3], "ramp": [0.4, 0.15], "gradient": [0.8, 0.3] * np.clip(cosine - 1, 0, 1)[0, :2],
        "loss_ratio": [0.8, 0.3] * (own / (own + other))[0, :2],
        "uncertainty": [0.8, 0.3] * (hard / (hard + soft))[0, :2],
        "controller": [0.8, 0.2] * np.exp(np.clip((usual - hard) / usual, -1, 1))[0, :2],  # 0 begins, 1 goes on
    }  # fmt: skip
    assert set(wanted) == set(weighting.RULES)
    for rule, each in wanted.items():
        how = dict(weighting=rule, alpha=0.8, beta=0.3, ramp_length=2, public_labels=True, digest=0)
        found = weighting.decide(configure(**how), mask[None], edges[None], 2, reads.get(rule), last)
        np.testing.assert_allclose(found, [[*np.minimum(each, 1), 0, 0]], rtol=1e-12, err_msg=rule)
        for warmup in (1, 2):
            alone = configure(**how, warmup=warmup)
            assert not weighting.decide(alone, mask[None], edges[None], warmup, reads.get(rule), last).any()
        for more, ears in (({}, [1, 1, 0, 0]), (dict(beta=0.0), [1, 0, 0, 0]), (dict(alpha=0.0), [0, 1, 0, 0]),
                           (dict(alpha=0.0, beta=None), [0, 0, 0, 0]),
                           (dict(alpha=0.0, beta=None, digest=1), [1, 1, 0, 0]),
                           (dict(alpha=0.0, beta=0.0, digest=1), [1, 0, 0, 0])):
            assert weighting.listens(configure(**how | more), mask[None], edges[None], 2).tolist() == [ears]
        assert not weighting.listens(configure(**how), mask[None], edges[None], 1).any()


@pytest.mark.parametrize("balanced", [True, False])
@pytest.mark.parametrize(("temperature", "probe"), [(1.0, 256), (2.0, 25)])
def test_what_a_rule_reads_against_plain_networks(monkeypatch, temperature, probe, balanced):
    monkeypatch.setattr(signals, "PROBE", probe)
    more = dict(temperature=temperature, hard_loss="balanced" if balanced else "plain", weighting="gradient")
    config, method, fed = begun(**more)
    said = state.speak(fed, config, 2)
    q = federation.targets(fed, config, method, federation.decide(fed, config, method, (0, 1)), said, said)
    (cosine,) = signals.signals(fed, config, said, q, 2)
    for rule, heard in (("fixed", said), ("ramp", said), ("uncertainty", None)):
        assert signals.signals(fed, replace(config, weighting=rule), heard, q, 2) is None
    assert np.isnan(fed.loss).all()  # only what a rule reads is computed
    config = begun(**more | dict(weighting="uncertainty"))[0]
    hard, soft = signals.signals(fed, config, said, q, 2)
    assert fed.loss is hard
    np.testing.assert_allclose(soft, rel_entr(q.numpy(), said.exp().numpy()).sum(-1).mean(-1), rtol=1e-3)
    assert len({len(val) for own in fed.splits for val in own.val}) > 3  # so there is padding to go wrong
    for i, (level, weights) in weights_of(fed).items():
        at, net = divmod(i, fed.clients), network(level, weights)
        val, public = fed.splits[at[0]].val[at[1]], fed.splits[at[0]].public
        own = F.cross_entropy(net(state.shown(fed, at[0], val)) + fed.prior[i] * balanced, fed.labels[val])
        assert hard[at] == pytest.approx(own.item(), rel=1e-4)
        said_here = (net(state.shown(fed, at[0], public[:probe])) / temperature).log_softmax(1)
        apart = F.kl_div(said_here, q[at][:probe], reduction="batchmean")
        one, two = (torch.cat([g.flatten() for g in torch.autograd.grad(loss, [*net[-1].parameters()])])
                    for loss in (own, apart))  # fmt: skip
        assert cosine[at] == pytest.approx(float(F.cosine_similarity(one, two, dim=0)), abs=1e-4)
    assert cosine.min() < cosine.max() - 0.1
    fed.loss, fed.usual, losses = np.full((2, 6), np.nan), np.full((2, 6), np.nan), [1.0, 2.0, 4.0]
    monkeypatch.setattr(signals, "own_losses", lambda *given: np.full((2, 6), losses.pop(0)))
    for usual in (np.nan, 1.0, 0.7 * 1 + 0.3 * 2):  # the running mean before this round
        _, found = signals.signals(fed, replace(config, weighting="controller"), said, q, 2)
        assert found == pytest.approx(np.full((2, 6), usual), nan_ok=True)
