"""The losses of the baselines, by hand and by a plain engine: numbers on small tensors, and where gradients flow."""

from collections import OrderedDict
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from hfkd import batched, levels, training, workloads
from hfkd.bench import rehearsal, sequential
from hfkd.methods import fd, fedkd, fedprox, fedproto, fml
from hfkd.streams import stream

LN = np.log
OWN = np.array([[0.5, 0.25, 0.25], [0.2, 0.6, 0.2]])  # what the own network says of two images
SMALL = np.array([[0.25, 0.5, 0.25], [0.1, 0.8, 0.1]])  # and the small one
Y, ONE_HOT = torch.tensor([[0, 1]]), np.eye(3)[[0, 1]]  # one member in front of everything
X, NO_PRIOR = torch.eye(2)[None], torch.zeros(1, 3)
CE_OWN, CE_SMALL = (LN(2) - LN(0.6)) / 2, (LN(4) - LN(0.8)) / 2
KL_OWN = (0.25 * LN(2) + 0.8 * LN(4 / 3) - 0.2 * LN(2)) / 2  # KL(small || own): what the own network learns by
KL_SMALL = (0.25 * LN(2) + 0.4 * LN(2) + 0.6 * LN(3 / 4)) / 2  # KL(own || small)


def pair():
    """Two linear networks that say OWN and SMALL of the two images X, and their weights by name."""
    own, small = (nn.Sequential(OrderedDict(body=nn.Sequential(), head=nn.Linear(2, 3))) for _ in range(2))
    weights = {"head.weight": OWN, "small.head.weight": SMALL}
    weights = {name: torch.from_numpy(LN(p.T)).float()[None] for name, p in weights.items()}
    weights |= {"head.bias": torch.zeros(1, 3), "small.head.bias": torch.zeros(1, 3)}
    return fml.Beside(own, small), {name: w.requires_grad_() for name, w in weights.items()}


def slopes(loss, weights):
    """numpy gradients of the loss by the logits of both networks: X is the identity, so those by the weights."""
    found = torch.autograd.grad(loss, [weights["head.weight"], weights["small.head.weight"]])
    return [g[0].numpy().T for g in found]


def test_fml_by_hand_and_targets_get_no_gradient():
    module, weights = pair()
    a = 0.25
    loss = fml.loss(module, weights, X, Y, NO_PRIOR, torch.tensor(a))
    assert float(loss.detach()) == pytest.approx((1 - a) * (CE_OWN + CE_SMALL) + a * (KL_OWN + KL_SMALL), rel=1e-6)
    assert float(loss.detach()) == pytest.approx(1.1228714, abs=1e-6)  # the same as a number
    by_own, by_small = slopes(loss, weights)
    np.testing.assert_allclose(by_own, ((1 - a) * (OWN - ONE_HOT) + a * (OWN - SMALL)) / 2, atol=1e-6)
    np.testing.assert_allclose(by_small, ((1 - a) * (SMALL - ONE_HOT) + a * (SMALL - OWN)) / 2, atol=1e-6)


def test_the_default_of_kldivloss_is_weaker_by_the_number_of_classes():
    module, weights = pair()
    only_soft = float(fml.loss(module, weights, X, Y, NO_PRIOR, torch.tensor(1.0)).detach())
    with pytest.warns(UserWarning, match="batchmean"):
        default = nn.KLDivLoss()(torch.from_numpy(LN(OWN)), torch.from_numpy(SMALL))
        default += nn.KLDivLoss()(torch.from_numpy(LN(SMALL)), torch.from_numpy(OWN))
    assert only_soft == pytest.approx(KL_OWN + KL_SMALL, rel=1e-6) and only_soft / float(default) == pytest.approx(3)


def test_fedkd_by_hand_and_the_denominator_gets_no_gradient():
    module, weights = pair()
    loss, hard = fedkd.loss(module, weights, X, Y, NO_PRIOR, torch.tensor(2.0)), CE_OWN + CE_SMALL
    assert float(loss.detach()) == pytest.approx(hard + 2 * (KL_OWN + KL_SMALL) / hard, rel=1e-6)
    assert float(loss.detach()) == pytest.approx(1.7925286, abs=1e-6)
    for found, p, q in zip(slopes(loss, weights), (OWN, SMALL), (SMALL, OWN)):
        np.testing.assert_allclose(found, (p - ONE_HOT + 2 * (p - q) / hard) / 2, atol=1e-6)


def test_balanced_softmax_in_both_networks_and_soft_knowledge_without_the_prior():
    module, weights = pair()
    prior = torch.tensor([[0.5, 0.25, 0.25]]).log()
    shifted = [p * [2, 1, 1] / (p * [2, 1, 1]).sum(1, keepdims=True) for p in (OWN, SMALL)]
    hard = -LN(np.stack(shifted)[:, [0, 1], [0, 1]]).mean(1).sum()
    soft = KL_OWN + KL_SMALL
    for loss, wanted in ((fml.loss, 0.5 * (hard + soft)), (fedkd.loss, hard + 0.5 * soft / hard)):
        assert float(loss(module, weights, X, Y, prior, torch.tensor(0.5)).detach()) == pytest.approx(wanted, rel=1e-6)


def test_fd_by_hand_a_class_without_a_target_counts_for_nothing():
    module, weights = pair()
    targets = torch.tensor([[[0.8, 0.1, 0.1], [0.0, 0.0, 0.0], [1 / 3] * 3]])
    loss = fd.loss(module, weights, X, Y, NO_PRIOR, targets, torch.tensor(0.5))
    kl = 0.8 * LN(0.8 / 0.5) + 0.2 * LN(0.1 / 0.25)
    assert float(loss.detach()) == pytest.approx(CE_OWN + 0.5 * kl / 2, rel=1e-6)
    (by_own,) = torch.autograd.grad(loss, [weights["head.weight"]])
    wanted = (OWN - ONE_HOT + 0.5 * np.stack([OWN[0] - targets[0, 0].numpy(), [0] * 3])) / 2
    np.testing.assert_allclose(by_own[0].T, wanted, atol=1e-6)


def test_fedproto_by_hand_and_is_a_mean_over_samples_and_features():
    module, weights = pair()  # the body hands on the image, so features are X
    prototypes = torch.tensor([[[3.0, 4.0], [9.0, 9.0], [9.0, 9.0]]], requires_grad=True)
    known = torch.tensor([[1.0, 0.0, 1.0]])
    x = X.clone().requires_grad_()
    loss = fedproto.loss(module, weights, x, Y, NO_PRIOR, prototypes.detach(), known, torch.tensor(0.5))
    apart = ((1 - 3) ** 2 + (0 - 4) ** 2) / 2  # sample 0; nobody has a prototype of the class of sample 1
    assert float(loss.detach()) == pytest.approx(CE_OWN + 0.5 * apart / 2, rel=1e-6)
    logits = x[0] @ weights["head.weight"][0].T
    plain = F.cross_entropy(logits, Y[0]) + 0.5 * F.mse_loss(x[0, 0], prototypes[0, 0].detach()) / 2
    for one, other in zip(*(torch.autograd.grad(each, x) for each in (loss, plain))):
        torch.testing.assert_close(one, other)


def test_fedprox_by_hand():
    module, weights = pair()
    start = {name: (w + 2).detach() for name, w in weights.items()}
    loss = fedprox.loss(module, weights, X, Y, NO_PRIOR, start, torch.tensor(0.1))
    numbers = sum(w.numel() for w in weights.values())
    assert float(loss.detach()) == pytest.approx(CE_OWN + 0.1 / 2 * 4 * numbers, rel=1e-6)
    (slope,) = torch.autograd.grad(loss, [weights["small.head.bias"]])
    np.testing.assert_allclose(slope[0], [0.1 * -2] * 3, rtol=1e-6)


SIZES = [44, 30, 9, 3]  # 6, 4, 2 and 1 steps of 8


def rehearsed(family, method):
    """(arguments of training.train in float64, a Term) for a small cohort of four."""
    cohort, *rest = rehearsal(family, 2, (1, 8, 8), SIZES, public=30, batch=8, dtype=torch.float64)
    rng = torch.Generator().manual_seed(0)
    weight = torch.rand(4, generator=rng, dtype=torch.float64)
    if method in (fml, fedkd):
        small = levels.build(family, 1, (1, 8, 8), 10)
        for name, w in levels.initial(small, stream(0, "server")).items():
            cohort.weights[f"small.{name}"] = w.double().expand(4, *w.shape).clone()
            cohort.momentum[f"small.{name}"] = torch.zeros(4, *w.shape, dtype=torch.float64)
        cohort.module = fml.Beside(cohort.module, small)
        given = (weight,)
    elif method is fedprox:
        given = {name: w + 0.1 for name, w in cohort.weights.items()}, weight
    elif method is fedproto:
        there = (torch.arange(10.0) % 3 > 0).expand(4, 10)
        given = torch.rand(4, 10, 32, generator=rng, dtype=torch.float64), there, weight
    else:
        targets = torch.rand(4, 10, 10, generator=rng, dtype=torch.float64).softmax(-1)
        given = targets, weight
    return [cohort, *rest], training.Term(method.loss, given)


@pytest.mark.parametrize("lesson", [False, True], ids=["alone", "joint"])
@pytest.mark.parametrize(("method", "family"), [
    (fedprox, "mlp"), (fml, "mlp"), (fml, "cnn"), (fedkd, "mlp"), (fedproto, "mlp"), (fd, "mlp"),
], ids=lambda it: getattr(it, "__name__", it).split(".")[-1])  # fmt: skip
def test_the_batched_engine_is_torchs_autograd_client_by_client(method, family, lesson):
    (cohort, *rest, heard), term = rehearsed(family, method)
    heard = heard if lesson else None
    wanted = sequential(cohort, *rest, heard, term)
    first = {name: w.clone() for name, w in cohort.weights.items()}
    training.train(cohort, *rest, heard, term)
    for name, w in cohort.weights.items():
        torch.testing.assert_close(w, wanted[name], rtol=0, atol=1e-9)
        assert not w.equal(first[name])
    alone, _ = rehearsed(family, method)
    plain = sequential(*alone[:-1], heard)
    assert not all(torch.allclose(plain[name], w) for name, w in cohort.weights.items())  # the term does something


def test_a_term_of_plain_cross_entropy_is_no_term_to_the_last_bit():
    ends = []
    for term in (None, training.Term(training.plain)):
        cohort, *rest, lesson = rehearsal("mlp", 2, (1, 8, 8), SIZES, public=30, batch=8)
        twin = replace(cohort, weights={name: w.clone() for name, w in cohort.weights.items()})
        training.train(twin, *rest, lesson, term)
        ends.append(twin.weights)
    assert all(w.equal(ends[1][name]) for name, w in ends[0].items())


def test_features_and_logits_are_those_of_the_whole_network():
    for family, shape in (("mlp", (1, 8, 8)), ("cnn", (1, 8, 8)), ("cnn", (3, 16, 16)), ("depth", (1, 8, 8))):
        net = levels.build(family, 2, shape, 10)
        each = [levels.initial(net, stream(0, "weights", client)) for client in range(3)]
        x = torch.randn(3, 5, *shape, generator=torch.Generator().manual_seed(0))
        for rows in ([0, 1, 2], [1]):  # side by side, and alone
            weights = {name: torch.stack([each[b][name] for b in rows]) for name in each[0]}
            features, logits = batched.seen(net, weights, x[rows])
            for at, b in enumerate(rows):
                wanted = torch.func.functional_call(net, each[b], (x[b],))
                torch.testing.assert_close(logits[at], wanted, rtol=1e-5, atol=1e-5)
                head = F.linear(features[at], each[b]["head.weight"], each[b]["head.bias"])
                torch.testing.assert_close(head, logits[at], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("sizes", [(23, 20, 11, 9), (12,)])
def test_the_published_rounds_are_torchs_on_their_own_networks(sizes):
    # pooling and the channels-last path of a member alone, against nn.Module.forward and torch's SGD
    (job,) = workloads.published("fedavg-round", sizes=sizes)
    cohort, images, labels, private, steps, prior, *rest = job
    cohort.weights = {name: w.double() for name, w in cohort.weights.items()}
    job = cohort, images.double(), labels, private, steps, prior.double(), *rest
    wanted = sequential(*job)  # F.cross_entropy on functional_call
    training.train(*job)
    for name, w in cohort.weights.items():
        torch.testing.assert_close(w, wanted[name], rtol=0, atol=1e-9)
