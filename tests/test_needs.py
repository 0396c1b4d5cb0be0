"""What a method cannot do without: a refusal is one sentence that names the switch, and what fits is not refused."""

import pytest

from hfkd import levels
from hfkd.config import configure
from hfkd.methods import METHODS
from hfkd.needs import NEEDS, check_needs, data_free

FREE = ["local", "balanced_local", "fedavg", "fedprox", "heterofl", "inclusivefl", "fml", "fedkd", "fd", "fedproto",
        "fedtgp", "fedgh", "lg_fedavg"]  # fmt: skip
ASKING = ["feddf", "fedmd", "expertise_mean", "dsfl", "ktpfl", "rhfl", "dml", "hfkd", "hfkd_ramp", "hfkd_avg"]


def asked(method, **more):
    """check_needs of a small configuration, on levels that the method can have."""
    family = "depth" if method == "inclusivefl" else "mlp"
    check_needs(configure("smoke", **({"levels": family, "method": method} | more)))


def test_data_free_methods_are_those_that_do_without_public_images():
    assert [name for name in METHODS if data_free(name)] == FREE and {*FREE, *ASKING} == set(METHODS)


@pytest.mark.parametrize("method", ASKING)
def test_no_public_images(method):
    with pytest.raises(ValueError) as refusal:
        asked(method, public="none")
    assert str(refusal.value) == (
        f"method '{method}' needs images that everybody may speak about and public is 'none'; set public=same, or take "
        f"a data-free method: {', '.join(FREE)}"
    )


@pytest.mark.parametrize("method", FREE)
def test_data_free_methods_need_no_public_images(method):
    asked(method, public="none")
    asked(method, public="none", transport="classwise")


def test_no_public_images_are_needed_where_something_else_travels():
    for transport in ("classwise", "private", "visit"):
        asked("hfkd", public="none", transport=transport)
        asked("fedmd", public="none", transport=transport)


@pytest.mark.parametrize(("method", "family", "sentence"), [
    *((name, "mlp_own", "the same number of features before the head at every level, which levels 'mlp_own' are not; "
       "set levels=mlp or levels=cnn or levels=depth") for name in ("fedproto", "fedtgp", "fedgh", "lg_fedavg")),
    ("heterofl", "depth", "levels that differ in width only, which levels 'depth' are not; "
     "set levels=mlp or levels=cnn or levels=mlp_own"),
    *(("inclusivefl", family, f"levels that differ in depth only, which levels '{family}' are not; set levels=depth")
      for family in ("mlp", "cnn", "mlp_own")),
])  # fmt: skip
def test_levels_that_do_not_fit(method, family, sentence):
    with pytest.raises(ValueError) as refusal:
        asked(method, levels=family)
    assert str(refusal.value) == f"method '{method}' needs {sentence}"


def test_levels_that_fit():
    for method, module in METHODS.items():
        for family in levels.FAMILIES:
            fits = {"features": family != "mlp_own", "widths": family != "depth", "depths": family == "depth"}
            if all(fits.get(need, True) for need in module.NEEDS):
                asked(method, levels=family)
    assert set(NEEDS) == {"public", "answers", "features", "widths", "depths"}


@pytest.mark.parametrize("method", [name for name in METHODS if name not in ("fedproto", "fedtgp")])
def test_no_prototypes_to_predict_by(method):
    with pytest.raises(ValueError) as refusal:
        asked(method, readout="prototype")
    assert str(refusal.value) == (
        f"method '{method}' has no prototypes to predict by; set readout=head, or take one of fedproto, fedtgp"
    )
    for keeps in ("fedproto", "fedtgp"):
        asked(keeps, readout="prototype"), asked(keeps, readout="head")


@pytest.mark.parametrize("transport", ["classwise", "private", "visit"])
@pytest.mark.parametrize("method", ["dsfl", "ktpfl", "rhfl", "feddf"])
def test_methods_that_pool_answers_in_their_own_way_need_answers(method, transport):
    with pytest.raises(ValueError) as refusal:
        asked(method, transport=transport)
    assert str(refusal.value) == (
        f"method '{method}' needs answers on public images, whatever else travels; transport is '{transport}', "
        "expected public"
    )


def test_answers_about_some_public_images_are_enough():
    for method in ("feddf", "dsfl", "ktpfl", "rhfl", "dml", "fedmd"):
        asked(method, spoken=10)


@pytest.mark.parametrize("method", ["dsfl", "ktpfl", "rhfl", "feddf"])
def test_targets_made_once_a_round_need_everybody_to_learn_at_once(method):
    with pytest.raises(ValueError, match=f"^method '{method}' makes its targets once a round; schedule is 'top_down', "
                                         "expected simultaneous$"):
        asked(method, schedule="top_down")
    asked("fedmd", schedule="top_down")


def test_what_is_exchanged_is_not_rounded():
    for method in ("fedavg", "fml", "fedproto", "hfkd_avg"):
        with pytest.raises(ValueError, match=f"^method '{method}' exchanges more than answers, which is not rounded; "
                                             "wire is 'fp16', expected fp32$"):
            asked(method, wire="fp16")
    asked("fedmd", wire="fp16")
