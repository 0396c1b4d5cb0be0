"""The accuracies of a run against scikit-learn, computed from plain networks one client at a time."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, balanced_accuracy_score
from torch import nn

from hfkd import data, state
from hfkd.config import configure
from hfkd.measure import COLUMNS, measure

SEEDS, N = (3, 0), 5


@pytest.fixture(scope="module")
def begun():
    """A federation with first weights: what random networks say differs enough from client to client."""
    config = configure("smoke", clients=N, pool_size=700, public_size=40, balanced_size=100)
    return state.start(config, data.load("digits"), SEEDS)


def spoken(begun, flat):
    """image indices -> logits of one client, by a network of plain layers."""
    (cohort,) = [c for c in begun.cohorts if flat in c.members.tolist()]
    width = (8, 32, 128)[cohort.level - 1]
    body = (nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 32), nn.ReLU())
    net = nn.Sequential(nn.Flatten(), *body, nn.Linear(32, 10))
    row = cohort.members.tolist().index(flat)
    net.load_state_dict({to: w[row] for to, w in zip(net.state_dict(), cohort.weights.values(), strict=True)})
    digits = data.load("digits").images.astype(np.float64)
    images = torch.from_numpy((digits - digits.mean()) / digits.std()).float()
    return lambda at: net(images[at]).detach().double().numpy()


def wanted(begun, flat, balanced):
    """The columns of one client by scikit-learn."""
    fed, client, labels = begun.splits[flat // N], flat % N, data.load("digits").labels
    counts, speak = np.bincount(labels[fed.train[client]], minlength=10), spoken(begun, flat)
    prior = np.log((counts + .5) / (counts.sum() + 5))

    def own(at):
        return (speak(at) + (prior if balanced else 0)).argmax(1)

    def free(at):
        return (speak(at) - (0 if balanced else prior)).argmax(1)

    native, union = free if balanced else own, np.concatenate(fed.val)
    return {
        "personality": accuracy_score(labels[fed.test[client]], own(fed.test[client])),
        "consistency": accuracy_score(labels[fed.balanced], native(fed.balanced)),
        "consistency_corrected": accuracy_score(labels[fed.balanced], free(fed.balanced)),
        "val_personality": accuracy_score(labels[fed.val[client]], own(fed.val[client])),
        "val_consistency": balanced_accuracy_score(labels[union], native(union)),
    }


@pytest.mark.parametrize("balanced", [True, False])
def test_against_scikit_learn(begun, balanced):
    found = measure(begun, balanced)
    assert tuple(found) == COLUMNS and all(column.shape == (len(SEEDS) * N,) for column in found.values())
    for flat in range(len(SEEDS) * N):
        for name, value in wanted(begun, flat, balanced).items():
            assert found[name][flat] == pytest.approx(value, abs=1e-12), (flat, name)
    assert all(len(set(column)) > 2 for column in found.values())  # no column is the same for everybody


def test_readouts_differ_where_they_should(begun):
    balanced, plain = measure(begun, True), measure(begun, False)
    assert (balanced["consistency"] == balanced["consistency_corrected"]).all()
    assert (plain["consistency"] != plain["consistency_corrected"]).any()
    # the balanced readout without prior and the plain one with the prior inside are the same argmax
    assert (balanced["consistency"] == plain["consistency"]).all()


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
def test_a_class_without_validation_samples_is_left_out_of_the_mean(begun):
    labels = data.load("digits").labels
    short = [replace(fed, val=tuple(at[labels[at] != 4] for at in fed.val)) for fed in begun.splits]
    found = measure(replace(begun, splits=short), False)["val_consistency"]
    for flat in range(len(SEEDS) * N):
        union = np.concatenate(short[flat // N].val)
        assert len(set(labels[union])) == 9
        said = spoken(begun, flat)(union).argmax(1)
        assert found[flat] == pytest.approx(balanced_accuracy_score(labels[union], said), abs=1e-12)
