"""The weight of soft knowledge: constant, ramp of the authors' code, and by role."""

import numpy as np
import pytest

from hfkd.weighting import RULES, by_role, fixed, ramp


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


def test_by_role():
    # 0 has a teacher; 1 hears its student 0; 2 hears only itself; 3 hears nobody at all
    edges, mask = np.zeros((4, 4), bool), np.eye(4, dtype=bool)
    edges[0, 1] = mask[0, 1] = mask[1, 0] = True
    mask[3, 3] = False
    before = mask.copy()
    assert by_role(mask, edges, .5, .1).tolist() == [.5, .1, 0, 0]
    assert (mask == before).all()  # the diagonal is set aside in a copy
    assert by_role(mask, np.zeros((4, 4), bool), .5, .1).tolist() == [.1, .1, 0, 0]


def test_every_rule_is_named():
    assert set(RULES) == {"fixed", "ramp"}
