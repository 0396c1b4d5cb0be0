"""The weight of soft knowledge: every rule by hand or against an oracle, its range, and that it carries no gradient."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.optimize import minimize

from hfkd import weighting
from hfkd.weighting import LOWEST, RULES, by_role, fixed, gradient_cosine, head_gradient, loss_ratio, prior_weight
from hfkd.weighting import ramp, revenue_controller, uncertainty

N, M, C, D = 200, 8, 4, 3


def losses():
    """Two losses for each of N clients, over eight orders of magnitude."""
    return 10 ** np.random.default_rng(0).uniform(-6, 2, (2, N))


def drawn():
    """Features (M, D), labels (M,), logits (M, C) and a target (M, C), float64."""
    rng = np.random.default_rng(0)
    features, logits, target = rng.normal(size=(M, D)), rng.normal(0, 2, (M, C)), rng.dirichlet(np.ones(C), M)
    labels = torch.from_numpy(rng.integers(0, C, M))
    return torch.from_numpy(features), labels, torch.from_numpy(logits), torch.from_numpy(target)


def test_every_rule_is_named():
    assert set(RULES) == {"fixed", "ramp", "loss_ratio", "revenue", "gradient", "uncertainty"}
    functions = [name for name in dir(weighting) if callable(getattr(weighting, name))]
    assert all(any(name.startswith(rule) for name in functions) for rule in RULES)


def every_rule(alpha):
    """The weights by each rule, for random losses of N clients."""
    (own, other), cosine = losses(), np.random.default_rng(1).uniform(-1, 1, N)
    return {
        "fixed": fixed(alpha, 2), "ramp": ramp(alpha, 20), "loss_ratio": loss_ratio(alpha, own, other),
        "revenue": revenue_controller(alpha, own, other), "gradient": gradient_cosine(alpha, cosine),
        "uncertainty": uncertainty(alpha, own, other),
    }


def test_every_rule_gives_one_plain_number_per_client_in_its_range():
    alpha = np.random.default_rng(2).uniform(.1, 1, N)
    found, single = every_rule(alpha), every_rule(alpha[5])
    assert set(found) == set(RULES)
    for rule, weight in found.items():
        assert isinstance(weight, np.ndarray) and weight.shape == (N,) and weight.dtype == np.float64, rule
        assert (weight >= 0).all() and (weight <= (1 if rule == "revenue" else alpha)).all(), rule
        assert np.broadcast_to(single[rule], N)[5] == weight[5], rule  # alpha a number instead of an array


@pytest.mark.parametrize("rule", [loss_ratio, uncertainty, revenue_controller])
def test_tensors_become_numbers_and_those_with_gradient_are_refused(rule):
    own, other = losses()
    assert rule(.5, torch.from_numpy(own), torch.from_numpy(other)).tolist() == rule(.5, own, other).tolist()
    with pytest.raises(RuntimeError, match="requires grad"):
        rule(.5, torch.tensor(1.0, requires_grad=True), 2.0)


def test_fixed_waits_for_the_warmup():
    assert [fixed(.3, r, warmup=2) for r in (1, 2, 3, 99)] == [0, 0, .3, .3]
    assert fixed(.3, 1, warmup=0) == .3 and fixed(.3, 1) == 0.0


def test_ramp_by_hand():
    # alpha_max ((r - r0) / B)^power with alpha_max = .8, r0 = 3, B = 4: 0, 1/4, 2/4, 3/4, 1 from round 3 to 7
    assert [ramp(.8, r, 3, 4) for r in (1, 2, 3, 4, 5, 6, 7, 8)] == pytest.approx([0, 0, 0, .2, .4, .6, .8, .8])
    assert [ramp(.8, r, 3, 4, 2.0) for r in (4, 5, 7)] == pytest.approx([.05, .2, .8])  # 1/16, 1/4, 1
    assert ramp(.5, 2) == pytest.approx(.01)  # the authors' defaults: .5 (2 - 1) / 50


def test_ramp_rises_and_stays_within_alpha():
    for power in (.5, 1.0, 3.0):
        run = np.array([ramp(.7, r, 2, 9, power) for r in range(1, 30)])
        assert (np.diff(run) >= 0).all() and run[0] == 0 and run[-1] == run.max() == .7


def test_ramp_of_length_one_is_fixed():
    assert [ramp(.4, r, 2, 1) for r in range(1, 6)] == [fixed(.4, r, 2) for r in range(1, 6)]


def test_ramp_that_never_starts_is_refused():
    with pytest.raises(ValueError, match=r"ramp_start is 0; expected at least 1"):
        ramp(.5, 3, start=0)


def test_loss_ratio_by_hand_and_whoever_is_worse_listens_more():
    # .8 x 3/(3 + 1); equal losses, also 0 and 0: half; a perfect student: nothing; against a perfect target: everything
    assert loss_ratio(.8, [3, 1, 0, 0, 5], [1, 1, 0, 2, 0]).tolist() == pytest.approx([.6, .4, .4, 0, .8], abs=1e-15)
    assert (np.diff(loss_ratio(.8, np.linspace(0, 9, 50), 2.0)) > 0).all()
    assert (np.diff(loss_ratio(.8, 2.0, np.linspace(0, 9, 50))) < 0).all()


def test_loss_ratio_with_the_roles_exchanged_and_without_a_scale():
    own, other = losses()
    np.testing.assert_allclose(loss_ratio(.8, own, other) / .8 + loss_ratio(.3, other, own) / .3, 1, rtol=0, atol=1e-12)
    for scale in (1e-3, 7.0, 1e6):
        np.testing.assert_allclose(loss_ratio(.8, scale * own, scale * other), loss_ratio(.8, own, other), rtol=1e-12)


def test_controller_by_hand():
    # .2 exp(mu d), d = (usual - loss)/usual: .5, -.25, 0, and -3 cut to -1
    found = revenue_controller(.2, [1, 2.5, 2, 8], 2.0, rate=2.0)
    np.testing.assert_allclose(found, .2 * np.exp([1, -.5, 0, -2]), rtol=1e-12)


def test_controller_that_knows_nothing_changes_nothing():
    alpha = np.array([LOWEST, .3, 1])
    assert revenue_controller(alpha, [.1, 2, 9], np.nan).tolist() == alpha.tolist()
    assert revenue_controller(alpha, np.nan, np.nan).tolist() == alpha.tolist()
    assert revenue_controller(alpha, [.1, 2, 9], 1.0, rate=0.0).tolist() == alpha.tolist()


@pytest.mark.parametrize("rate", [.1, 1.0, 2.0])
def test_controller_moves_by_a_bounded_factor_and_against_the_loss(rate):
    now, usual = losses()
    factor = revenue_controller(.1, now, usual, rate) / .1
    assert (factor <= np.exp(rate) * (1 + 1e-12)).all() and (factor >= np.exp(-rate) * (1 - 1e-12)).all()
    assert (factor[now < usual] > 1).all() and (factor[now > usual] < 1).all()
    rising = revenue_controller(.1, np.linspace(0, 5, 99), 2.0, rate)
    assert (np.diff(rising) <= 0).all() and rising[0] > rising[40] > rising[-1]


def test_controller_stays_between_its_bounds_and_finds_back():
    weight = .5
    for loss, end in ((9.0, LOWEST), (0.0, 1)):
        for _ in range(20):
            weight = revenue_controller(weight, loss, 1.0)
        assert weight == end
    assert revenue_controller(.5, [0, 1, np.inf], 0.0).tolist() == pytest.approx([.5, .5 / np.e, .5 / np.e])


def test_opposed_gradients_silence_soft_knowledge():
    assert gradient_cosine(.5, [-1, -.1, 0, .5, 1]).tolist() == [0, 0, 0, .25, .5]
    features, labels, logits, _ = drawn()
    error = torch.softmax(logits, 1) - F.one_hot(labels, C)
    hard = head_gradient(features, error)
    for sign in (1, -1):  # a target that is the labels, and one that pulls the other way
        cosine = F.cosine_similarity(hard, head_gradient(features, sign * 3 * error), dim=-1)
        assert float(gradient_cosine(.5, cosine)) == pytest.approx(max(0, sign * .5), abs=1e-12)


@pytest.mark.parametrize("hard, soft", [(.3, .1), (2.0, .05), (1.0, 1.0)])
def test_uncertainty_is_the_optimum_of_kendalls_objective(hard, soft):
    both = np.array([hard, soft])
    found = minimize(lambda s: (np.exp(-s) * both + s).sum(), [0, 0], tol=1e-12)  # s = ln L, so exp(-s) = 1/L
    share = np.exp(-found.x) / np.exp(-found.x).sum()
    assert float(uncertainty(.8, hard, soft)) == pytest.approx(.8 * share[1], rel=1e-5)


@pytest.mark.parametrize("kind", ["cross-entropy", "kl"])
def test_head_gradient_against_autograd(kind):
    features, labels, _, target = drawn()
    layer = torch.nn.Linear(D, C, dtype=torch.float64)
    log_p = layer(features).log_softmax(1)
    (F.kl_div(log_p, target, reduction="batchmean") if kind == "kl" else F.cross_entropy(log_p, labels)).backward()
    wanted = torch.cat([layer.weight.grad, layer.bias.grad[:, None]], 1).flatten()
    error = log_p.detach().exp() - (target if kind == "kl" else F.one_hot(labels, C))
    torch.testing.assert_close(head_gradient(features, error), wanted, rtol=0, atol=1e-12)
    both = head_gradient(features.expand(2, -1, -1), torch.stack([error, 2 * error]))  # clients side by side
    torch.testing.assert_close(both, torch.stack([wanted, 2 * wanted]), rtol=0, atol=1e-12)
    padded = head_gradient(torch.cat([features, features]), torch.cat([error, 0 * error]))
    torch.testing.assert_close(2 * padded, wanted, rtol=0, atol=1e-12)  # the same direction


@pytest.mark.parametrize("power", [0.0, .5, 1.0, 3.0])
def test_prior_weight_by_hand_with_mean_one_and_whatever_the_classes_are_called(power):
    target, prior = drawn()[3], torch.tensor([.6, .3, .1, 0], dtype=torch.float64)
    alike = (target.numpy() @ prior.numpy()) ** power
    found = prior_weight(target, prior, power)
    np.testing.assert_allclose(found, alike / alike.mean(), rtol=1e-12)
    assert (found > 0).all() and float(found.mean()) == pytest.approx(1, abs=1e-12)
    assert (found == 1).all() == (power == 0)
    order = torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(prior_weight(target[:, order], prior[order], power), found, rtol=0, atol=1e-12)
    swapped = prior_weight(target.expand(2, -1, -1), torch.stack([prior, prior[order]]), power)  # two clients
    wanted = torch.stack([found, prior_weight(target, prior[order], power)])
    torch.testing.assert_close(swapped, wanted, rtol=0, atol=1e-12)


def test_prior_weight_carries_no_gradient_and_is_one_for_a_uniform_prior_or_foreign_images():
    found = prior_weight(drawn()[3].requires_grad_(), torch.full((C,), .25))
    assert not found.requires_grad and found.tolist() == pytest.approx([1] * M, abs=1e-12)
    assert prior_weight(torch.tensor([[1.0, 0], [1, 0]]), torch.tensor([0.0, 1])).tolist() == [1, 1]


def test_by_role():
    # 0 has a teacher; 1 hears its student 0; 2 hears only itself; 3 hears nobody at all
    edges, mask = np.zeros((4, 4), bool), np.eye(4, dtype=bool)
    edges[0, 1] = mask[0, 1] = mask[1, 0] = True
    mask[3, 3] = False
    before = mask.copy()
    assert by_role(mask, edges, .5, .1).tolist() == [.5, .1, 0, 0]
    assert (mask == before).all()  # the diagonal is set aside in a copy
    assert by_role(mask, np.zeros((4, 4), bool), .5, .1).tolist() == [.1, .1, 0, 0]
    assert by_role(mask, edges, np.array([.1, .2, .3, .4]), np.array([.5, .6, .7, .8])).tolist() == [.1, .6, 0, 0]
