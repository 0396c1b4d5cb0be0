"""The two losses against scikit-learn, scipy and torch, the T^2 of the gradient, and what gets no gradient."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.special import log_softmax, softmax
from scipy.stats import entropy
from sklearn.metrics import log_loss

from hfkd.config import CHOICES
from hfkd.losses import distillation_loss, hard_loss, soft_loss

N, C = 6, 5


def drawn(seed=0):
    """Logits (N, C), labels (N,) and a target (N, C), float64."""
    rng = np.random.default_rng(seed)
    logits, labels = rng.normal(0, 2, (N, C)), np.array([0, 1, 2, 3, 4, 2])
    return torch.from_numpy(logits), torch.from_numpy(labels), torch.from_numpy(rng.dirichlet(np.ones(C), N))


def test_hard_loss_is_the_cross_entropy_of_the_posterior_with_that_prior():
    logits, labels, _ = drawn()
    for prior in ([0.5, 0.2, 0.15, 0.1, 0.05], [1 / C] * C):
        posterior = prior * np.exp(logits.numpy())  # eq. 4 of Ren et al.: n_c exp(z_c) / sum_j n_j exp(z_j)
        wanted = log_loss(labels.numpy(), posterior / posterior.sum(1, keepdims=True), labels=range(C))
        found = hard_loss(logits, labels, torch.tensor(prior, dtype=torch.float64).log())
        assert float(found) == pytest.approx(wanted, rel=1e-12)
    plain = hard_loss(logits, labels, torch.zeros(C, dtype=torch.float64))
    assert float(plain) == pytest.approx(float(F.cross_entropy(logits, labels)), rel=1e-14)


@pytest.mark.parametrize("direction", CHOICES["kl_direction"])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_soft_loss_is_scipys_relative_entropy_times_the_square_of_the_temperature(direction, temperature):
    logits, _, q = drawn()
    p = softmax(logits.numpy() / temperature, axis=1)
    each = entropy(q.numpy(), p, axis=1) if direction == "teacher_first" else entropy(p, q.numpy(), axis=1)
    found = float(soft_loss(logits, q, temperature, direction))
    assert found == pytest.approx(temperature**2 * each.mean(), rel=1e-12)
    same = soft_loss(logits, torch.from_numpy(p), temperature, direction)  # who agrees already has nothing to learn
    assert float(same) == pytest.approx(0, abs=1e-13) and found > 0.1
    assert direction == "student_first" or found == float(soft_loss(logits, q, temperature))  # the default


@pytest.mark.parametrize("temperature", [1.0, 3.0, 1000.0])
def test_the_gradient_is_the_temperature_times_the_difference_of_the_posteriors(temperature):
    logits, teacher = drawn()[0].requires_grad_(), drawn(1)[0].requires_grad_()
    soft_loss(logits, torch.softmax(teacher / temperature, 1), temperature).backward()
    p, q = (softmax(z.detach().numpy() / temperature, 1) for z in (logits, teacher))
    np.testing.assert_allclose(logits.grad.numpy(), temperature * (p - q) / N, rtol=1e-9, atol=1e-12)
    assert teacher.grad is None  # who teaches gets none


def test_an_impossible_class_costs_something_finite():
    logits, p = torch.tensor([[1.0, 0.0, -1.0]], dtype=torch.float64), np.exp(log_softmax([1.0, 0, -1]))
    q = torch.tensor([[0.5, 0.5, 0.0]], dtype=torch.float64)
    wanted = 0.5 * np.log(0.5 / p[0]) + 0.5 * np.log(0.5 / p[1])  # 0 ln 0 = 0
    assert soft_loss(logits, q).item() == pytest.approx(wanted, rel=1e-12)
    # p_2 = .0900 times -ln of the smallest positive double 2.2e-308, that is 708.4: the rest is below 1
    assert soft_loss(logits, q, direction="student_first").item() == pytest.approx(0.09 * 708.4, abs=1)


def test_the_weights_mix_and_weight_zero_is_the_hard_loss_to_the_last_bit():
    hard, soft = torch.tensor(2.0), torch.tensor(6.0)
    assert [float(distillation_loss(hard, soft, w)) for w in (0.0, 0.25, 1.0)] == [2.0, 3.0, 6.0]  # 1.5 + 1.5
    logits, labels, target = (x.float() if x.is_floating_point() else x for x in drawn())
    alone, joint, prior = logits.clone().requires_grad_(), logits.clone().requires_grad_(), torch.full((C,), -1.7)
    hard_loss(alone, labels, prior).backward()
    distillation_loss(hard_loss(joint, labels, prior), soft_loss(joint, target), torch.tensor(0.0)).backward()
    assert joint.grad.equal(alone.grad)


def test_members_side_by_side_have_each_its_own_loss():
    (z, y, q), (other, _, r) = drawn(), drawn(1)
    priors, both = torch.stack([z[0], other[0]]).log_softmax(1), torch.stack([z, other])
    hard = torch.stack([hard_loss(z, y, priors[0]), hard_loss(other, y, priors[1])])
    torch.testing.assert_close(hard_loss(both, torch.stack([y, y]), priors), hard, rtol=1e-12, atol=0)
    soft = torch.stack([soft_loss(z, q, 2.0), soft_loss(other, r, 2.0)])
    torch.testing.assert_close(soft_loss(both, torch.stack([q, r]), 2.0), soft, rtol=1e-12, atol=0)
