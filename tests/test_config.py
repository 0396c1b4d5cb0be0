"""The configuration: every field is known, typed and in range; what stands on a command line becomes one."""

import ast
import math
from dataclasses import fields, replace

import numpy as np
import pytest

from hfkd.config import CHOICES, PROFILES, RANGES, Config, configure, parse_seeds, parse_set, settings
from hfkd.data import PARTITIONS
from hfkd.engine.faults import LIES
from hfkd.engine.networks import WIDTHS
from hfkd.matching import RULES
from hfkd.methods import METHODS
from hfkd.weighting import RULES as WEIGHTINGS

LABELLED = dict(public_labels=True, refresh=5)


def test_overrides_replace_and_nothing_else():
    config = configure("lite", alpha=1, clients=7, level_share=[0.2, 0.3, 0.5])
    assert config == replace(configure("lite"), alpha=1.0, clients=7, level_share=(0.2, 0.3, 0.5))
    assert type(config.alpha) is float and type(config.level_share) is tuple and configure() == configure("smoke")
    assert {f.name for f in fields(Config) if f.type in (int, float, int | None, float | None)} == set(RANGES)
    listed = {name: ast.literal_eval(text.split("  ")[0]) for name, text in settings().items()}
    assert listed == {field.name: field.default for field in fields(Config)}
    for name, value in dict(clients=True, rounds=None, skew="0.1", feedback=1, pool_size=1e3, rule=3).items():
        with pytest.raises(ValueError, match=rf"^{name} is {value!r}; expected \w"):
            configure(**{name: value})


@pytest.mark.parametrize(("name", "ends"), RANGES.items())
def test_the_ends_of_a_range_hold_and_nothing_beyond(name, ends):
    fits, whole = {"public_size": ends[1]} if name == "spoken" else {}, isinstance(ends[0], int)
    for end, way in zip(ends, (-1, 1)):
        assert getattr(configure(**fits, **{name: end}), name) == end
        for beyond in (end + way if whole else math.nextafter(end, way * math.inf), math.nan):
            with pytest.raises(ValueError, match=f"^{name} is {beyond!r}; expected"):
                configure(**fits, **{name: beyond})


@pytest.mark.parametrize(("name", "words"), CHOICES.items())
def test_words_are_those_of_the_modules_that_read_them(name, words):
    for word in words:
        assert getattr(configure(**LABELLED, **{name: word}), name) == word
    with pytest.raises(ValueError, match=f"^{name} is 'gpu'; expected one of {', '.join(words)}$"):
        configure(**{name: "gpu"})
    owners = {"levels": WIDTHS, "weighting": WEIGHTINGS, "lie": LIES}
    assert name not in owners or list(owners[name]) == list(words)
    for config in map(configure, PROFILES):
        assert config.method in METHODS and config.rule in RULES and config.partition in PARTITIONS


@pytest.mark.parametrize(("given", "sentence"), [
    (dict(alhpa=0.5), "parameter 'alhpa' is unknown; expected one of alpha, balanced_size, batch"),
    (dict(level_share=(0.5, 0.5)), r"level_share is \(0.5, 0.5\); expected three shares, of level 1, 2 and 3"),
    (dict(weighting="loss_ratio"), "weighting=loss_ratio reads labels of the public images; set public_labels=True"),
    (LABELLED | dict(revenue="labelled", spoken=50), "revenue=labelled needs images of every class each round"),
    (dict(public_labels=True, public="mnist"), "public_labels is True with public 'mnist', labelled otherwise"),
    (dict(revenue="labelled", public_labels=True), "revenue is 'labelled' and refresh None: nobody would read it"),
    (dict(weighting="controller", val_share=0), "weighting=controller reads the own validation split and val_share is"),
    (dict(weighting="gradient", kl_direction="student_first"), "weighting=gradient follows KL.q .. p.; kl_direction"),
    (dict(spoken=201), "spoken is 201; expected at most public_size, 200"),
    (dict(spoken=50, schedule="top_down"), "schedule is 'top_down' with spoken 50; expected simultaneous"),
    (dict(straggling=0.1, spoken=5), "spoken is 5 with straggling: late answers are about other images"),
])  # fmt: skip
def test_settings_that_do_not_go_together(given, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}"):
        configure(**given)


def test_seeds_and_assignments_from_text():
    assert [parse_seeds(text) for text in ("0-2", "0,3,7-8", "5,1", "3-3")] == [(0, 1, 2), (0, 3, 7, 8), (5, 1), (3,)]
    for text in ("", "a", "0-", "-1", "1-2-3", "0;1", "1.5", "4-2", "0,0", "0-2,1", "0,", "0-1000", "1, 2"):
        with pytest.raises(ValueError, match="^seeds is '.*'; expected numbers and ranges such as .*, each once$"):
            parse_seeds(text)
    for seeds in ((), (0, 0), (-1,), (0.5,), (10**10,)):
        with pytest.raises(ValueError, match="^seeds are .*; expected integers >= 0, each once, up to 1000000000$"):
            parse_seeds(seeds)
    assert [parse_seeds(given, [4, 2]) for given in (None, "", "3", np.arange(2))] == [(4, 2), (4, 2), (3,), (0, 1)]
    found = parse_set(["alpha=0.5", "rounds = 3", "rule=random", "fan_out=None", "level_share=(.2,.8,0)", "x=a=b"])
    assert found == dict(alpha=0.5, rounds=3, rule="random", fan_out=None, level_share=(0.2, 0.8, 0), x="a=b")
    for text, wrong in (("alpha", "has no '='"), ("rounds=4", "is there twice")):
        with pytest.raises(ValueError, match=f"^--set '{text}' {wrong}; expected name=value, each name once"):
            parse_set(["rounds=3", text])
