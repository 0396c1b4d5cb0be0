"""The two losses against scikit-learn, scipy and torch, the T^2 of the gradient, and what gets no gradient."""

import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.special import log_softmax, softmax
from scipy.stats import entropy
from sklearn.metrics import log_loss

from hfkd.losses import DIRECTIONS, distillation_loss, hard_loss, soft_loss

N, C = 6, 5


def drawn(seed=0):
    """Logits (N, C), labels (N,) and a target (N, C), float64."""
    rng = np.random.default_rng(seed)
    logits, labels = rng.normal(0, 2, (N, C)), np.array([0, 1, 2, 3, 4, 2])
    return torch.from_numpy(logits), torch.from_numpy(labels), torch.from_numpy(rng.dirichlet(np.ones(C), N))


def oracle(logits, target, temperature, direction, weight=1.0):
    """T^2 times the (weighted) mean over samples of scipy's relative entropy."""
    p, q = softmax(logits.numpy() / temperature, axis=1), target.numpy()
    each = entropy(q, p, axis=1) if direction == "teacher_first" else entropy(p, q, axis=1)
    return temperature**2 * np.mean(weight * each)


def test_hard_loss_is_cross_entropy_of_the_posterior_with_that_prior():
    logits, labels, _ = drawn()
    zero = torch.zeros(C, dtype=torch.float64)
    assert float(hard_loss(logits, labels, zero)) == float(F.cross_entropy(logits, labels))
    prior = np.array([.5, .2, .15, .1, .05])
    # balanced softmax, eq. 4 of Ren et al.: n_c exp(z_c) / sum_j n_j exp(z_j)
    posterior = prior * np.exp(logits.numpy())
    posterior /= posterior.sum(1, keepdims=True)
    wanted = log_loss(labels.numpy(), posterior, labels=range(C))
    assert float(hard_loss(logits, labels, torch.from_numpy(np.log(prior)))) == pytest.approx(wanted, abs=1e-12)


def test_a_uniform_prior_changes_nothing():
    logits, labels, _ = drawn()
    uniform = torch.full((C,), 1 / C, dtype=torch.float64).log()
    assert float(hard_loss(logits, labels, uniform)) == pytest.approx(float(F.cross_entropy(logits, labels)), abs=1e-12)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("temperature", [.5, 1.0, 4.0])
def test_soft_loss_against_scipy(direction, temperature):
    logits, _, target = drawn()
    found = float(soft_loss(logits, target, temperature, direction))
    assert found == pytest.approx(oracle(logits, target, temperature, direction), rel=1e-12)


def test_the_default_puts_the_teacher_first_at_temperature_one():
    logits, _, target = drawn()
    assert float(soft_loss(logits, target)) == pytest.approx(oracle(logits, target, 1.0, "teacher_first"), rel=1e-12)


def test_directions_agree_only_where_student_and_teacher_agree():
    logits, _, target = drawn()
    same = torch.softmax(logits, 1)
    for direction in DIRECTIONS:
        assert float(soft_loss(logits, same, direction=direction)) == pytest.approx(0, abs=1e-14)
        assert float(soft_loss(logits, target, direction=direction)) > .1
    forward, backward = (float(soft_loss(logits, target, direction=d)) for d in DIRECTIONS)
    assert abs(forward - backward) > .1


def test_the_default_of_torch_is_weaker_by_the_number_of_classes():
    logits, _, target = drawn()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch itself warns of its default
        default = torch.nn.KLDivLoss()(F.log_softmax(logits, 1), target)
    assert float(soft_loss(logits, target)) == pytest.approx(C * float(default), rel=1e-12)


@pytest.mark.parametrize("temperature", [1.0, 3.0, 1000.0])
def test_gradient_is_the_temperature_times_the_difference_of_the_posteriors(temperature):
    # d/dz T^2 KL(q || softmax(z/T)) = T (p - q), a mean over N samples
    logits, _, _ = drawn()
    teacher = drawn(1)[0]
    logits.requires_grad_()
    soft_loss(logits, torch.softmax(teacher / temperature, 1), temperature).backward()
    p, q = softmax(logits.detach().numpy() / temperature, 1), softmax(teacher.numpy() / temperature, 1)
    np.testing.assert_allclose(logits.grad.numpy(), temperature * (p - q) / N, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_gradient_keeps_its_size_at_high_temperature(direction):
    # Hinton et al. 2015, eq. 4: for large T the gradient is ((z - mean z) - (v - mean v)) / C, whatever T is; with the
    # roles exchanged the divergence is the same to second order, and so is the limit
    logits, teacher = drawn()[0].requires_grad_(), drawn(1)[0]
    soft_loss(logits, torch.softmax(teacher / 1e4, 1), 1e4, direction).backward()
    z, v = (x.detach().numpy() - x.detach().numpy().mean(1, keepdims=True) for x in (logits, teacher))
    np.testing.assert_allclose(logits.grad.numpy(), (z - v) / C / N, rtol=0, atol=1e-3 / N)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_an_impossible_class_costs_something_finite(direction):
    logits = torch.tensor([[1.0, 0.0, -1.0]], dtype=torch.float64, requires_grad=True)
    loss = soft_loss(logits, torch.tensor([[.5, .5, 0.0]], dtype=torch.float64), direction=direction)
    loss.backward()
    assert loss.isfinite() and logits.grad.isfinite().all()
    if direction == "teacher_first":  # 0 ln 0 = 0: .5 ln(.5/p_0) + .5 ln(.5/p_1)
        p = np.exp(log_softmax([1.0, 0, -1]))
        assert loss.item() == pytest.approx(.5 * np.log(.5 / p[0]) + .5 * np.log(.5 / p[1]), rel=1e-12)
    else:  # p_2 = .0900 times -ln of the smallest positive double 2.2e-308, that is 708.4: the rest is below 1
        assert loss.item() == pytest.approx(.0900 * 708.4, abs=1)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_sample_weights(direction):
    logits, _, target = drawn()
    v = np.array([0.0, 2.0, 1.0, .5, .5, 2.0])  # mean 1
    found = soft_loss(logits, target, 2.0, direction, torch.from_numpy(v))
    assert float(found) == pytest.approx(oracle(logits, target, 2.0, direction, v), rel=1e-12)
    assert soft_loss(logits, target, sample_weight=torch.ones(N)).equal(soft_loss(logits, target))


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_target_and_sample_weights_get_no_gradient(direction):
    logits, _, _ = drawn()
    teacher, doubt = drawn(1)[0].requires_grad_(), torch.ones(N, dtype=torch.float64, requires_grad=True)
    logits.requires_grad_()
    soft_loss(logits, torch.softmax(teacher, 1), 2.0, direction, doubt).backward()
    assert teacher.grad is None and doubt.grad is None and logits.grad.abs().max() > 0


def test_distillation_loss_mixes():
    hard, soft = torch.tensor(2.0), torch.tensor(6.0)
    assert [float(distillation_loss(hard, soft, w)) for w in (0.0, .25, 1.0)] == [2.0, 3.0, 6.0]  # 1.5 + 1.5


def test_a_weight_of_its_own_for_the_hard_loss():
    hard, soft = torch.tensor(2.0, requires_grad=True), torch.tensor(6.0, requires_grad=True)
    assert [distillation_loss(hard, soft, .25, w).item() for w in (None, .75, 1.0, .5)] == [3.0, 3.0, 3.5, 2.5]
    public_only = distillation_loss(hard, soft, .25, 0)
    public_only.backward()
    assert public_only.item() == 1.5 and hard.grad == 0 and soft.grad == .25


def test_weight_zero_is_the_hard_loss_to_the_last_bit():
    logits, labels, target = (x.float() if x.is_floating_point() else x for x in drawn())
    prior = torch.full((C,), -1.7)
    alone, joint = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    hard = hard_loss(alone, labels, prior)
    hard.backward()
    mixed = distillation_loss(hard_loss(joint, labels, prior), soft_loss(joint, target), torch.tensor(0.0))
    mixed.backward()
    assert mixed.equal(hard) and joint.grad.equal(alone.grad)


def test_unknown_direction():
    logits, _, target = drawn()
    with pytest.raises(ValueError, match="kl_direction is 'both'; expected one of teacher_first, student_first"):
        soft_loss(logits, target, direction="both")
