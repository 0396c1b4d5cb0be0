"""The accuracies of a run against scikit-learn, computed from plain networks one client at a time."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scenes import DIGITS, METHODS, N, begun, doubled, network, weights_of
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from hfkd.engine.record import COLUMNS, measure
from hfkd.engine.state import shown


def wanted(fed, flat, readout):
    """The columns of one client by scikit-learn, from a network of plain layers."""
    own, client, labels = fed.splits[flat // N], flat % N, DIGITS().labels
    counts, net = np.bincount(labels[own.train[client]], minlength=10), network(*weights_of(fed)[flat])
    prior = np.log((counts + 0.5) / (counts.sum() + 5))

    def said(at, way):
        return (net(shown(fed, flat // N, at)).detach().numpy() + {"plain": 0, "prior": 1, "corrected": -1}[way] * prior).argmax(1)

    union, val, found = np.concatenate(own.val), own.val[client], {}
    for name, way in (("personality", "plain"), ("personality_prior", "prior")):
        way = "prior" if readout == "prior" else way
        found[name] = accuracy_score(labels[own.test[client]], said(own.test[client], way))
        found[f"val_{name}"] = accuracy_score(labels[val], said(val, way))
    for name, way in (("consistency", "plain"), ("consistency_corrected", "corrected")):
        way = "corrected" if readout == "corrected" else way
        found[name] = accuracy_score(labels[own.balanced], said(own.balanced, way))
        found[f"val_{name}"] = balanced_accuracy_score(labels[union], said(union, way))
    return found


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
@pytest.mark.parametrize("readout", ["plain", "prior", "corrected"])
@pytest.mark.parametrize("missing", [False, True])
def test_against_scikit_learn(readout, missing):
    config, method, fed = begun(readout=readout)
    doubled(fed)  # or an image could tip where two classes are equal to rounding
    if missing:  # a class without validation samples is left out of the mean
        labels = DIGITS().labels
        fed.splits = [replace(own, val=tuple(at[labels[at] != 4] for at in own.val)) for own in fed.splits]
    found = measure(fed, config, method)
    assert tuple(found) == COLUMNS and all(column.shape == (2 * N,) for column in found.values())
    for flat in range(2 * N):
        for name, value in wanted(fed, flat, readout).items():
            assert found[name][flat] == pytest.approx(value, abs=1e-12), (flat, name)
    assert all(len(set(column)) > 2 for column in found.values())  # no column is the same for everybody


def test_readouts_differ_where_they_should():
    balanced, plain = (measure(begun(hard_loss=loss)[2], *begun(hard_loss=loss)[:2]) for loss in ("balanced", "plain"))
    assert (balanced["personality"] == balanced["personality_prior"]).all()  # the loss says which reading is usual
    assert (plain["personality"] != plain["personality_prior"]).any()
    assert (balanced["consistency"] == plain["consistency"]).all()  # as the logits are
    assert np.isnan(measure(begun(val_share=0.0)[2], *begun()[:2])["val_personality"]).all()


def test_scores_of_prototypes_are_taken_as_they_are():
    config, _, fed = begun("fedproto", hard_loss="balanced", readout="prototype")
    nine = replace(METHODS["fedproto"], answers=lambda fed, config, cohort, at: torch.eye(10)[9].expand(*at.shape, 10))
    found, labels = measure(fed, config, nine), DIGITS().labels
    assert config.readout == "prototype" and found["consistency"] == pytest.approx(np.full(2 * N, 0.1), abs=1e-12)
    own = [accuracy_score(labels[at], np.full(len(at), 9)) for split in fed.splits for at in split.test]
    np.testing.assert_allclose(found["personality"], own, rtol=0, atol=1e-12)
    personal = measure(fed, replace(config, readout="personal"), nine)  # consistency is then the logits' word
    assert (personal["personality"] == found["personality"]).all() and (personal["consistency"] != 0.1).any()
