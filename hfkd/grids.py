"""The grids of the experiments: which cells, that is configurations, an experiment consists of."""

import itertools
from typing import NamedTuple

from hfkd.config import Config, configure
from hfkd.matching import RULES
from hfkd.methods import METHODS

OWN_COLUMNS = ("method", "dataset", "public", "partition", "skew")  # axes with a column; the others go to `variant`
ALPHAS = (0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 1.0)
ADAPTIVE = ("loss_ratio", "revenue", "gradient", "uncertainty")
LABELLED = {"public_labels": True, "refresh": 5}  # what rules of weight and revenue read; changes nothing by itself


class Grid(NamedTuple):
    """An experiment: blocks of axes (name -> values) whose products are run, its own seeds if it has any, and the
    variants whose journals are kept.
    """

    name: str
    blocks: tuple[dict, ...]
    about: str
    seeds: tuple | None = None
    journals: tuple[str, ...] = ()
    base: dict = {}  # noqa: RUF012  fields that differ from the profile in every cell; never changed


GRIDS = {
    "40": Grid(
        "40_comparison",
        (
            {"method": tuple(METHODS), "skew": (0.1, 0.5)},
            # neither the loss nor the readout alone may explain a gain: the baselines with the balanced softmax too
            {"method": ("fedmd", "expertise_mean"), "skew": (0.1, 0.5), "hard_loss": ("balanced",)},
            # is it the matching? HFKD with teachers at random, with all admissible ones, and with no groups at all
            {"method": ("hfkd",), "skew": (0.1, 0.5), "rule": ("random", "all")},
            {"method": ("expertise_mean",), "skew": (0.1, 0.5), "hard_loss": ("balanced",), "pooling": ("log",)},
        ),
        "every method at two skews, baselines also with the balanced softmax, HFKD also with matching controls",
    ),
    "tuning": Grid(
        "tuning",
        (
            {"method": ("local", "balanced_local"), "skew": (0.1, 0.5), "lr": (0.003, 0.01, 0.02, 0.05)},
            {"method": ("fedmd", "expertise_mean", "hfkd", "hfkd_ramp"), "skew": (0.1, 0.5), "alpha": ALPHAS},
            {"method": ("fedmd", "expertise_mean"), "skew": (0.1, 0.5), "hard_loss": ("balanced",), "alpha": ALPHAS},
        ),
        "learning rate, then alpha of every method, the same values each; seeds that no table uses",
        seeds=(100, 101, 102, 103, 104),
    ),
    "tuning_rules": Grid(
        "tuning_rules",
        (
            {"method": ("hfkd",), "skew": (0.1, 0.5), "weighting": ADAPTIVE, "alpha": ALPHAS},
            {"method": ("hfkd",), "skew": (0.1, 0.5), "weighting": ("ramp",), "ramp_length": (10, 20), "alpha": ALPHAS},
        ),
        "RQ2: alpha of every weighting rule, the same values each; the seeds of tuning",
        seeds=(100, 101, 102, 103, 104),
        base=LABELLED,
    ),
}  # fmt: skip


def cells(grid: Grid, profile: str, overrides: dict) -> list[tuple[str, Config]]:
    """(variant, configuration) of every cell of a grid; all of them are checked before anything runs.

    Args:
        grid: blocks of axes.
        profile: smoke, lite or paper.
        overrides: fields of Config; one with a column of its own narrows that axis.

    Raises:
        ValueError: an override of another axis, an unknown method or rule, or what `configure` refuses.

    >>> len(cells(GRIDS["40"], "smoke", {"skew": 0.1, "method": "fedmd"}))  # its own loss and the balanced one
    2
    """
    found = []
    axes = {axis for block in grid.blocks for axis in block} - set(OWN_COLUMNS)
    for axis in sorted(axes & overrides.keys()):  # it would be in neither the rows nor the record
        raise ValueError(f"{axis} is an axis of {grid.name}; leave it to the grid, or `hfkd run --set {axis}=...`")
    for block in grid.blocks:
        if overrides.get("method", block["method"][0]) not in block["method"]:
            continue
        values_of = {axis: (overrides[axis],) if axis in overrides else values for axis, values in block.items()}
        for values in itertools.product(*values_of.values()):
            chosen = dict(zip(values_of, values))
            config = configure(profile, **(grid.base | overrides | chosen))
            check_names(config)
            found.append((",".join(f"{k}={v}" for k, v in chosen.items() if k not in OWN_COLUMNS), config))
    if not found:
        raise ValueError(f"method is {overrides['method']!r}; expected one of {', '.join(METHODS)} in {grid.name}")
    return found


def check_names(config):
    """The method exists, and the matching rule."""
    if config.method not in METHODS:
        raise ValueError(f"method is {config.method!r}; expected one of {', '.join(METHODS)}")
    if config.rule not in RULES:
        raise ValueError(f"rule is {config.rule!r}; expected one of {', '.join(RULES)}")
