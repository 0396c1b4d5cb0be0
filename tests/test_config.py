"""The configuration: every field is known, typed and in range; what stands on a command line becomes one."""

import ast
import math
from dataclasses import FrozenInstanceError, fields, replace

import pytest

from hfkd.config import CHOICES, PROFILES, RANGES, Config, configure, parse_seeds, parse_set, seeds_of, settings
from hfkd.knowledge import POOLINGS
from hfkd.levels import WIDTHS
from hfkd.losses import DIRECTIONS
from hfkd.matching import RULES
from hfkd.methods import METHODS
from hfkd.partition import PARTITIONS
from hfkd.weighting import RULES as WEIGHTINGS

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
        assert getattr(configure(**{name: low}), name) == low
        if high is not None:
            assert getattr(configure(**{name: high}), name) == high
            with pytest.raises(ValueError, match=f"^{name} is .*; expected {low} or more, at most {high}$"):
                configure(**{name: math.nextafter(high, math.inf)})
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
        assert getattr(configure(**{name: word}), name) == word
    with pytest.raises(ValueError, match=f"^{name} is 'gpu'; expected one of {', '.join(words)}$"):
        configure(**{name: "gpu"})  # of devices too: what torch calls cuda


def test_choices_are_those_of_the_modules_that_read_them():
    assert CHOICES["pooling"] == POOLINGS and CHOICES["kl_direction"] == DIRECTIONS
    assert set(CHOICES["levels"]) == set(WIDTHS) and set(CHOICES["weighting"]) == set(WEIGHTINGS)
    for profile in PROFILES:
        config = configure(profile)
        assert config.method in METHODS and config.rule in RULES and config.partition in PARTITIONS


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
