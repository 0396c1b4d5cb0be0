"""A rule against a whole curve: the best mixture of its points, found here by linear programming."""

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import linprog

from hfkd import claims
from hfkd.curves import in_words, members, mixture, over_curve
from hfkd.endpoints import COLUMNS


@pytest.mark.parametrize("seed", range(20))
def test_mixture_is_the_optimum_of_the_linear_programme(seed):
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(6, 2))
    x = float(rng.uniform(points[:, 0].min() - .5, points[:, 0].max()))
    # maximise y over shares that sum to 1 and reach x
    wanted = linprog(-points[:, 1], A_ub=-points[None, :, 0], b_ub=[-x], A_eq=np.ones((1, 6)), b_eq=[1])
    shares = mixture(x, points)
    assert shares.sum() == pytest.approx(1) and (shares >= 0).all() and (shares > 0).sum() <= 2
    assert shares @ points[:, 0] >= x - 1e-9 and shares @ points[:, 1] == pytest.approx(-wanted.fun)


def test_out_of_reach_the_nearest_point_answers():
    assert mixture(9.0, [(0, 1), (2, 0), (1, 5)]).tolist() == [0, 1, 0]
    assert mixture(-9.0, [(0, 1), (2, 0), (1, 5)]).tolist() == [0, 0, 1]  # all reach it: the largest y


def rows(runs, skew=.1):
    """Result rows of one client: (method, variant) -> personality and consistency of each seed."""
    blank = dict.fromkeys(COLUMNS, 0) | {"experiment": "x", "dataset": "d", "public": "same", "partition": "p"}
    return pd.DataFrame([
        blank | {"method": method, "variant": variant, "skew": skew, "seed": seed, "personality": p, "consistency": c}
        for (method, variant), pairs in runs.items() for seed, (p, c) in enumerate(pairs)
    ])  # fmt: skip


CURVE = {("hfkd", "alpha=0.1"): [(.90, .40), (.90, .42)], ("hfkd", "alpha=0.5"): [(.80, .60), (.80, .62)]}
RULE = {("hfkd_ramp", ""): [(.85, .55), (.85, .53)]}


def test_difference_at_nearly_equal_personality_by_hand():
    # 90 - 10 w reaches 85 - .5 points of personality at w = .55 of alpha 0.5, with 51 and 53 of consistency
    frame = rows(CURVE | RULE)
    found = over_curve(frame, "hfkd_ramp", "hfkd[alpha=*]", "consistency", skew=.1)
    np.testing.assert_allclose(found, [4, 0], atol=1e-6)
    assert in_words(frame, "hfkd_ramp", "hfkd[alpha=*]", "consistency") == "0.45 hfkd[alpha=0.1] + 0.55 hfkd[alpha=0.5]"
    # 54 - .5 points of consistency on average: 41 + 20 w = 53.5, so w = .625 of alpha 0.5, and 90 - 10 w = 83.75
    np.testing.assert_allclose(over_curve(frame, "hfkd_ramp", "hfkd[alpha=*]", "personality"), [1.25, 1.25], atol=1e-6)


def test_the_curve_of_another_scene_does_not_count():
    frame = pd.concat([rows(CURVE | RULE), rows({("hfkd", "alpha=0.9"): [(.99, .99)] * 2}, skew=.5)])
    with pytest.raises(ValueError, match="no rows of hfkd"):
        over_curve(frame, "hfkd_ramp", "hfkd[alpha=*]", "consistency", skew=.5)


def test_what_is_no_curve():
    frame = rows(CURVE | RULE)
    with pytest.raises(ValueError, match=r"curve 'hfkd\[beta=\*\]' has 0 runs; expected at least two"):
        members(frame, "hfkd[beta=*]")
    with pytest.raises(ValueError, match="metric is 'worst20'; a curve trades consistency against personality"):
        over_curve(frame, "hfkd_ramp", "hfkd[alpha=*]", "worst20")


def test_a_claim_may_name_a_curve():
    how = "hfkd_ramp - hfkd[weighting=fixed,alpha=*] | consistency | skew=0.1"
    assert claims.parse(how)[0] == ["hfkd_ramp", "hfkd[weighting=fixed,alpha=*]"]
