"""A grid of runs as blocks of axes, and the cells, that is configurations, that it consists of."""

import itertools
from typing import NamedTuple

from hfkd.config import Config, configure
from hfkd.matching import RULES
from hfkd.methods import METHODS
from hfkd.needs import check_needs
from hfkd.partition import PARTITIONS

OWN_COLUMNS = ("method", "dataset", "public", "partition", "skew")  # axes with a column; the others go to `variant`


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
    smoke: dict = {}  # noqa: RUF012  axes that smoke, which proves only that everything runs, cuts down to


def cells(grid: Grid, profile: str, overrides: dict) -> list[tuple[str, Config]]:
    """(variant, configuration) of every cell of a grid; all of them are checked before anything runs.

    Args:
        grid: blocks of axes.
        profile: smoke, lite or paper.
        overrides: fields of Config; one with a column of its own narrows that axis.

    Raises:
        ValueError: an override of another axis, an unknown method or rule, or what `configure` refuses.

    >>> grid = Grid("a", ({"method": ("local", "fedmd"), "skew": (0.1, 0.5)},), "two methods, two skews")
    >>> [config.skew for _, config in cells(grid, "smoke", {"method": "fedmd"})]
    [0.1, 0.5]
    """
    found = []
    axes = {axis for block in grid.blocks for axis in block} - set(OWN_COLUMNS)
    for axis in sorted(axes & overrides.keys()):  # it would be in neither the rows nor the record
        raise ValueError(f"{axis} is an axis of {grid.name}; leave it to the grid, or `hfkd run --set {axis}=...`")
    for block in grid.blocks:
        if overrides.get("method", block["method"][0]) not in block["method"]:
            continue
        short = {axis: values for axis, values in grid.smoke.items() if profile == "smoke" and axis in block}
        values_of = {axis: (overrides[axis],) if axis in overrides else short.get(axis, v) for axis, v in block.items()}
        for values in itertools.product(*values_of.values()):
            chosen = dict(zip(values_of, values))
            config = configure(profile, **(grid.base | overrides | chosen))
            check_names(config)
            cell = ",".join(f"{k}={v}" for k, v in chosen.items() if k not in OWN_COLUMNS), config
            found += [cell] if cell not in found else []  # an override may make two blocks one
    if not found:
        raise ValueError(f"method is {overrides['method']!r}; expected one of {', '.join(METHODS)} in {grid.name}")
    return found


def check_names(config):
    """The method exists, the partition, and the matching rule."""
    if config.method not in METHODS:
        raise ValueError(f"method is {config.method!r}; expected one of {', '.join(METHODS)}")
    if config.partition not in PARTITIONS:
        raise ValueError(f"unknown partition {config.partition!r}; expected one of {', '.join(PARTITIONS)}")
    check_needs(config)
    readers = METHODS["hfkd"].teach, METHODS["local"].teach  # who hears nobody may share a file with those who earn
    if config.revenue != "none" and METHODS[config.method].teach not in readers:
        raise ValueError(f"revenue is {config.revenue!r}, which method {config.method!r} does not read; expected none")
    if config.rule not in RULES:
        raise ValueError(f"rule is {config.rule!r}; expected one of {', '.join(RULES)}")
