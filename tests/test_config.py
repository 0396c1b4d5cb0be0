"""The configuration: every field is known, typed and in range; what stands on a command line becomes one."""

import ast
import math
from dataclasses import FrozenInstanceError, fields, replace

import pytest

from hfkd import learning, revenue, transport
from hfkd.config import CHOICES, MOST, PROFILES, RANGES, Config, configure, parse_seeds, parse_set, seeds_of, settings
from hfkd.knowledge import POOLINGS
from hfkd.levels import WIDTHS
from hfkd.losses import DIRECTIONS
from hfkd.matching import RULES
from hfkd.methods import METHODS
from hfkd.partition import PARTITIONS
from hfkd.weighting import RULES as WEIGHTINGS

# What makes every number and every word fit: each alone is tried beside these.
FITS = dict(public_labels=True, refresh=5, peers=False, feedback=False)
EARNING = FITS | dict(revenue="labelled")
NUMBERS = [f.name for f in fields(Config) if f.type in (int, float, int | None, float | None)]


def test_profiles_as_promised():
    assert list(PROFILES) == ["smoke", "lite", "paper"]
    smoke, lite, paper = (configure(name) for name in PROFILES)
    assert (smoke.dataset, smoke.clients, seeds_of("smoke")) == ("digits", 12, (0, 1))
    assert (lite.dataset, lite.clients, lite.pool_size, len(seeds_of("lite"))) == ("fashion_mnist", 20, 12_000, 10)
    assert (paper.dataset, paper.levels, paper.pool_size, len(seeds_of("paper"))) == ("fashion_mnist", "cnn", None, 20)
    assert smoke.device == lite.device == "cpu" and paper.device == "cuda"
    assert configure() == smoke  # smoke is the default


def test_overrides_replace_and_nothing_else():
    config = configure("lite", alpha=.5, clients=7, rule="random")
    assert config == replace(configure("lite"), alpha=.5, clients=7, rule="random")
    with pytest.raises(FrozenInstanceError):
        config.alpha = .6


def test_values_take_the_type_of_the_field():
    assert type(configure(skew=1).skew) is float and type(configure(alpha=1).alpha) is float
    assert configure(level_share=[.2, .3, .5]).level_share == (.2, .3, .5)
    assert configure(pool_size=None).pool_size is None and configure(fan_out=3).fan_out == 3


MISTYPED = [("clients", 2.0), ("clients", "12"), ("clients", True), ("rounds", None), ("skew", "0.1"), ("skew", False),
            ("alpha", "x"), ("feedback", 1), ("feedback", "False"), ("rule", 3), ("pool_size", 1e3), ("device", None),
            ("level_share", .5), ("weighting", 1)]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), MISTYPED)
def test_mistyped_values(name, value):
    with pytest.raises(ValueError, match=rf"^{name} is {value!r}; expected \w"):
        configure(**{name: value})


def test_every_number_has_a_range_and_its_ends_hold():
    assert set(RANGES) == set(NUMBERS)
    for name, (low, high) in RANGES.items():
        earning = {} if name == "spoken" else EARNING  # revenue by labels needs all images
        assert getattr(configure(**(earning | {name: low})), name) == low
        top, fits = MOST if high is None else high, {"public_size": MOST} if name == "spoken" else EARNING
        assert getattr(configure(**(fits | {name: top})), name) == top
        above = top + 1 if isinstance(low, int) else math.nextafter(top, math.inf)
        with pytest.raises(ValueError, match=f"^{name} is .*; expected {low} or more, at most {top}$"):
            configure(**{name: above})
        below = low - 1 if isinstance(low, int) else math.nextafter(low, -math.inf)
        with pytest.raises(ValueError, match=f"^{name} is {below!r}; expected {low} or more"):
            configure(**{name: below})


@pytest.mark.parametrize("name", ["skew", "alpha", "lr", "temperature"])
def test_not_a_number(name):
    with pytest.raises(ValueError, match=f"^{name} is nan; expected"):
        configure(**{name: math.nan})


@pytest.mark.parametrize(("name", "words"), CHOICES.items())
def test_words_are_one_of_their_choices(name, words):
    for word in words:
        assert getattr(configure(**(FITS | {name: word})), name) == word
    with pytest.raises(ValueError, match=f"^{name} is 'gpu'; expected one of {', '.join(words)}$"):
        configure(**{name: "gpu"})  # of devices too: what torch calls cuda


def test_choices_are_those_of_the_modules_that_read_them():
    assert CHOICES["pooling"] == POOLINGS and CHOICES["kl_direction"] == DIRECTIONS
    assert set(CHOICES["levels"]) == set(WIDTHS)
    assert list(CHOICES["weighting"]) == list(CHOICES["beta_weighting"]) == list(WEIGHTINGS)
    assert list(CHOICES["revenue"]) == list(revenue.RULES) and list(CHOICES["transport"]) == list(transport.KINDS)
    assert list(CHOICES["schedule"]) == list(learning.SCHEDULES) and list(CHOICES["wire"]) == list(transport.WIDTH)
    for profile in PROFILES:
        config = configure(profile)
        assert config.method in METHODS and config.rule in RULES and config.partition in PARTITIONS


NO_LABELS = "reads labels of the public images; set public_labels=True, or take another rule$"
NOT_PUBLIC = "needs answers on public images; transport is '{}', expected public$"
LABELLED = dict(public_labels=True, refresh=5)
UNFIT = [
    (dict(level_share=(.5, .5)), r"^level_share is \(0.5, 0.5\); expected three shares, of level 1, 2 and 3$"),
    (dict(revenue="labelled", refresh=5), f"^revenue=labelled {NO_LABELS}"),
    (dict(revenue="shapley", refresh=5, feedback=False, peers=False), f"^revenue=shapley {NO_LABELS}"),
    (dict(weighting="loss_ratio"), f"^weighting=loss_ratio {NO_LABELS}"),
    (dict(beta_weighting="loss_ratio"), f"^beta_weighting=loss_ratio {NO_LABELS}"),
    (dict(public_labels=True, public="mnist"),
     "^public_labels is True with public 'mnist', labelled otherwise; expected 'same'$"),
    (dict(beta_weighting="gradient", kl_direction="student_first"),
     "^weighting gradient follows KL.q .. p.; kl_direction is 'student_first', expected teacher_first$"),
    (dict(weighting="loss_ratio", public_labels=True, transport="private"),
     "^weighting loss_ratio " + NOT_PUBLIC.format("private")),
    (dict(weighting="gradient", transport="visit"), "^weighting gradient " + NOT_PUBLIC.format("visit")),
    (dict(beta_weighting="uncertainty", transport="classwise"),
     "^weighting uncertainty " + NOT_PUBLIC.format("classwise")),
    (LABELLED | dict(revenue="labelled", transport="classwise"), "^revenue labelled " + NOT_PUBLIC.format("classwise")),
    (dict(prior_power=.5, transport="private"), "^prior_power 0.5 " + NOT_PUBLIC.format("private")),
    (dict(spoken=10, transport="visit"), "^spoken 10 " + NOT_PUBLIC.format("visit")),
    (LABELLED | dict(revenue="labelled", spoken=50), "^revenue=labelled needs images of every class each round; spoken is 50"),
    (dict(spoken=50, schedule="top_down"), "^schedule is 'top_down' with spoken 50; expected simultaneous$"),
    (dict(weighting="uncertainty", kl_direction="student_first"), "^weighting uncertainty follows "),
    (dict(spoken=201), "^spoken is 201; expected at most public_size, 200$"),
    (dict(gate=True), "^gate is True with revenue none; set revenue=labelled$"),
    (dict(revenue_matching=.5), "^revenue_matching is 0.5 with revenue none; set revenue=labelled$"),
    (dict(revenue="realised"), "^revenue is 'realised' and refresh None: nobody would read it; set refresh=5$"),
]
FITTING = [
    dict(weighting="revenue", transport="classwise"), dict(weighting="ramp", transport="visit"),
    dict(revenue="realised", gate=True, refresh=5, transport="private"), dict(spoken=200), dict(public="mnist"),
    dict(kl_direction="student_first", weighting="revenue"),
    dict(revenue="realised", refresh=1, revenue_matching=1),
]  # fmt: skip


@pytest.mark.parametrize(("given", "sentence"), UNFIT)
def test_fields_that_do_not_fit_together(given, sentence):
    with pytest.raises(ValueError, match=sentence):
        configure(**given)


@pytest.mark.parametrize("given", FITTING)
def test_fields_that_fit_together(given):
    assert {name: getattr(configure(**given), name) for name in given} == given


@pytest.mark.parametrize(("groups", "fits"), [
    (dict(peers=False, feedback=False), True), (dict(peers=False, feedback=False, fan_in=6), True),
    (dict(peers=False, fan_out=2), True), (dict(feedback=False), False), (dict(peers=False), False),
    (dict(peers=False, feedback=False, fan_in=7), False), (dict(peers=False, fan_out=3), False),
])  # fmt: skip
def test_exact_shapley_values_need_small_groups(groups, fits):
    given = LABELLED | dict(revenue="shapley") | groups
    if fits:
        assert configure(**given).revenue == "shapley"
        return
    with pytest.raises(ValueError, match="^revenue shapley is exact for up to 6 partners; fan_in ., fan_out .* allow"):
        configure(**given)


def test_unknown_names():
    with pytest.raises(ValueError, match="^parameter 'alhpa' is unknown; expected one of alpha, balanced_size, batch"):
        configure("lite", alhpa=.5)
    with pytest.raises(ValueError, match="^profile is 'full'; expected one of smoke, lite, paper$"):
        configure("full")


def test_settings_list_every_field_with_its_default():
    listed = settings()
    assert list(listed) == [field.name for field in fields(Config)]
    for field in fields(Config):
        default, meaning = listed[field.name].split("  ", 1)
        assert ast.literal_eval(default) == field.default and meaning.strip(), field.name


@pytest.mark.parametrize(("text", "seeds"), [
    ("0", (0,)), ("0-4", (0, 1, 2, 3, 4)), ("0,3,7-9", (0, 3, 7, 8, 9)), ("5,1", (5, 1)), ("3-3", (3,)),
    ("1, 2", (1, 2)),
])  # fmt: skip
def test_seeds_from_text(text, seeds):
    assert parse_seeds(text) == seeds


NO_SEEDS = ["", "a", "0-", "-1", "1-2-3", "0;1", "1.5", "4-2", "0-1,5-3", "0,0", "0-2,1", "0,", "-2-1"]


@pytest.mark.parametrize("text", NO_SEEDS)
def test_seeds_that_are_none(text):
    with pytest.raises(ValueError, match="^seeds is '.*'; expected numbers and ranges such as .*, each once$"):
        parse_seeds(text)


def test_assignments_are_literals_or_words():
    given = ["alpha=0.5", "rounds = 3", "rule=random", "fan_out=None", "feedback=False", "level_share=(.2,.3,.5)",
             "x=a=b", "dataset='my data.npz'", "skew=0.1", "skew=0.5"]  # fmt: skip
    assert parse_set(given) == {"alpha": .5, "rounds": 3, "rule": "random", "fan_out": None, "feedback": False,
                                "level_share": (.2, .3, .5), "x": "a=b", "dataset": "my data.npz", "skew": .5}
    assert parse_set([]) == {}


def test_assignment_without_equals():
    with pytest.raises(ValueError, match="^--set 'alpha' has no '='; expected name=value, such as alpha=0.5$"):
        parse_set(["rounds=3", "alpha"])
