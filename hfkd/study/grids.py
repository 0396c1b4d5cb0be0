"""The grids of the experiments, by notebook, and those of tuning: blocks of axes whose products are run (ours).

Blocks are dicts, axis -> values. An axis with a column of its own in the rows is part of the scene or the method; all
others make the variant, such as "feedback=False,peers=True".
"""

import itertools
from typing import NamedTuple

from hfkd.config import Config, configure
from hfkd.data import PARTITIONS
from hfkd.engine.method import check
from hfkd.matching import RULES
from hfkd.methods import METHODS
from hfkd.study.results import SCENE

OWN_COLUMNS = ("method", *SCENE)
Cell = NamedTuple("Cell", [("variant", str), ("config", Config)])  # of a grid; all its seeds train as one program


class Grid(NamedTuple):
    """An experiment."""

    name: str  # of its files
    blocks: tuple[dict, ...]
    about: str
    seeds: tuple | None = None  # its own, in place of the profile's
    ledger: tuple[str, ...] = ()  # variants whose ledger is kept
    base: dict = {}  # noqa: RUF012  fields that differ from the profile in every cell; never changed


def cells(grid: Grid, profile: str, overrides: dict) -> list[Cell]:
    """Every cell of a grid, each checked. `smoke` cuts all grids alike: it takes the first scene alone.
    overrides: fields of Config; one with a column of its own narrows that axis to its value. Raises ValueError: an
    override of another axis, a method that the grid has not, or what `checked` refuses.
    >>> grid = Grid("a", ({"method": ("local", "fedmd"), "skew": (0.1, 0.5), "alpha": (0.5,)},), "two of two")
    >>> [(cell.variant, cell.config.skew) for cell in cells(grid, "lite", {"method": "fedmd"})]
    [('alpha=0.5', 0.1), ('alpha=0.5', 0.5)]
    """
    axes = {axis for block in grid.blocks for axis in block} - {*OWN_COLUMNS}
    for axis in sorted(axes & overrides.keys()):  # it would be in neither the rows nor the record
        raise ValueError(f"{axis} is an axis of {grid.name}; leave it to the grid, or `hfkd run --set {axis}=...`")
    found = []
    for block in grid.blocks:
        if overrides.get("method", block["method"][0]) not in block["method"]:
            continue
        values_of = {axis: (overrides[axis],) if axis in overrides else values for axis, values in block.items()}
        for values in itertools.product(*values_of.values()):
            chosen = dict(zip(values_of, values))
            variant = ",".join(f"{axis}={value}" for axis, value in chosen.items() if axis not in OWN_COLUMNS)
            cell = Cell(variant, checked(profile, **(grid.base | overrides | chosen)))
            found += [cell] if cell not in found else []  # an override may make two blocks one
    if not found:
        raise ValueError(f"method is {overrides['method']!r}; expected one of {', '.join(METHODS)} in {grid.name}")
    return [cell for cell in found if profile != "smoke" or scene(cell.config) == scene(found[0].config)]


def scene(config: Config) -> tuple:
    """Data set, public set, partition and skew: what two compared runs share."""
    return tuple(getattr(config, name) for name in SCENE)


def checked(profile: str, **overrides) -> Config:
    """A configuration whose method, partition and rule are there, and with what its method needs; else ValueError."""
    if profile == "committed":
        raise ValueError("profile is 'committed', which is read, not run; expected smoke, lite or paper")
    config = configure(profile, **overrides)
    for name, known in (("method", METHODS), ("partition", PARTITIONS), ("rule", RULES)):
        if (value := getattr(config, name)) not in known:
            raise ValueError(f"{name} is {value!r}; expected one of {', '.join(known)}")
    check(config, METHODS[config.method], METHODS)
    return config


BASE = "hfkd"
ALPHAS = (0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 1.0)
STRENGTHS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
RATES = (0.002, 0.003, 0.005, 0.01, 0.02, 0.03, 0.05)
ADAPTIVE = ("loss_ratio", "controller", "gradient", "uncertainty")
AT_BEST = (  # every rule at its best value on validation data (tuning_rules)
    *({"weighting": ("ramp",), "ramp_length": (n,), "alpha": (best,)} for n, best in ((10, 0.35), (20, 0.7))),
    *({"weighting": (rule,), "alpha": (best,)} for rule, best in zip(ADAPTIVE, (0.5, 0.1, 1.0, 0.5))))
BOTH = {"skew": (0.1, 0.5)}
SCENES = (BOTH, {"partition": ("pathological",)})
OWN = {"method": ("local", "balanced_local"), **BOTH}
HFKD, FIXED = {"method": (BASE,), **BOTH}, {"method": ("hfkd",), **BOTH}
BALANCED, TUNED = {"hard_loss": ("balanced",)}, {**BOTH, "hard_loss": ("own", "balanced")}
LABELLED = {"public_labels": True, "refresh": 5}  # what rules of weight and revenue read; changes nothing by itself
EARNING = {"revenue": ("labelled",)}
SHARP = {**EARNING, "revenue_temperature": (0.2,)}
LYING = {"liars": (0.2,), "lie": ("flip", "random", "constant", "collude")}
WIDE = tuple(name for name, method in METHODS.items() if "depths" not in method.needs)  # the others: grid depth
PLAIN = tuple(name for name in WIDE if METHODS[name].loss == "plain" and name != "local")
DEEP, CLASSES = ("fedavg", "inclusivefl", "fedmd"), {"method": ("fedproto", "fedtgp")}
ANSWERS = ("fedmd", "expertise_mean", "dsfl", "scarlet", "suwa", "ktpfl", "rhfl", "dml")
AVERAGING = ("fedavg", "fedavg_ft", "fedprox", "feddf", "heterofl", "feddf_nested", "fd", "fedproto", "fedtgp", "fedgh",
             "lg_fedavg")  # fmt: skip
RATE = {"lr": (0.01,)}
FIVE, THREE = (100, 101, 102, 103, 104), (100, 101, 102)  # seeds of tuning, which no table uses

GRIDS = {
    "20": Grid("20_weighting", (
        OWN, {**FIXED, "weighting": ("fixed",), "alpha": ALPHAS}, *({**FIXED, **rule} for rule in AT_BEST),
        HFKD, {**HFKD, "beta": (0.0, 0.1, 0.5)},
    ), "RQ2: the curve of fixed alphas, every rule at the alpha chosen on other seeds, and beta", base=LABELLED),
    "30": Grid("30_group_distillation", (
        OWN, HFKD, {**HFKD, "feedback": (False,), "peers": (True, False)}, {**HFKD, "peers": (False,)},
        {**HFKD, "include_self": (False,)}, {**HFKD, **EARNING}, {**HFKD, **SHARP, "revenue_personality": (1.0, 0.0)},
    ), "RQ3: every member of a group on and off, and revenue", base=LABELLED, ledger=("revenue=labelled",)),
    "40": Grid("40_comparison", tuple({**block, **where} for where in SCENES for block in (
        # neither the loss nor the readout alone may explain a gain: the baselines with the balanced softmax too
        {"method": WIDE}, {"method": PLAIN, **BALANCED}, {**CLASSES, "readout": ("head",)},
        {**CLASSES, **BALANCED, "readout": ("head",)}, {"method": ("hfkd",), **AT_BEST[0]},
    )) + (
        # is it the matching? HFKD with teachers at random, with all admissible ones, and with no groups at all
        {**FIXED, "rule": ("random", "all")}, {"method": ("expertise_mean",), **BOTH, **BALANCED, "pooling": ("log",)},
    ), "every method at three label skews, baselines also with the balanced softmax, HFKD also with matching controls"),
    "depth": Grid("40_comparison_depth", tuple({**block, **where} for where in SCENES for block in (
        {"method": ("local", "balanced_local", *DEEP, "hfkd")}, {"method": DEEP, **BALANCED},
    )), "levels that differ in depth, which InclusiveFL is made for", base={"levels": "depth"}),
    "50": Grid("50_ablations", (
        OWN, HFKD, {**HFKD, "hard_loss": ("plain",), "pooling": ("log", "arithmetic")},
        {**HFKD, "pooling": ("arithmetic",)},
        {**HFKD, "fan_in": (2,), "rule": ("coverage", "similarity", "uniformity", "complementarity", "random")},
        {**HFKD, "fan_in": (2,), "rule": ("coverage",), "personality": (0.0, 0.5, 1.0)},
        {**HFKD, "fan_in": (1, 8)}, {**HFKD, "max_gap": (2,)}, {**HFKD, "schedule": ("top_down", "bottom_up")},
        {**HFKD, "kl_direction": ("student_first",)}, {**HFKD, "spoken": (10, 100)},
    ), "what each part is worth: knowledge, matching, paths, schedule, divergence, images spoken about"),
    "70": Grid("70_privacy", (OWN, FIXED, {**FIXED, "epsilon": (0.1, 0.3, 1.0, 3.0, 10.0)}),  # and the true counts
               "label counts released with noise: both endpoints over epsilon"),
    "faults": Grid("70_faults", (
        OWN, FIXED, {**FIXED, "dropout": (0.3,)}, {**FIXED, "straggling": (0.3,)}, {**FIXED, "exploding": (0.2,)},
        {**FIXED, **LYING}, *({**FIXED, **liars, **SHARP, "revenue_personality": (0.0,)} for liars in ({}, LYING)),
    ), "who is absent, late, broken or lying, and what revenue saves", base=LABELLED),
    "tuning_epochs": Grid("tuning_epochs", (
        {"method": ("local", "balanced_local", "hfkd_nested", "fedrod"), **BOTH, **RATE, "epochs": (1, 2, 3, 6)},
        {"method": AVERAGING, **TUNED, **RATE, "epochs": (1, 2, 3, 6)},
        {"method": ("fml", "fedkd", "alternating"), **TUNED, **RATE, "epochs": (1, 2, 3)},
        {"method": ("labelled_public",), **TUNED, **RATE, "epochs": (1, 2)},
        {"method": ANSWERS, **TUNED, **RATE, "alpha": (0.0,), "epochs": (1, 2, 3)},
        {"method": ANSWERS, **TUNED, **RATE, "alpha": (0.2,), "epochs": (1, 2)},
        {"method": ("hfkd",), **BOTH, **RATE, "alpha": (0.0,), "epochs": (1, 2, 3)},
        {"method": ("hfkd",), **BOTH, **RATE, "alpha": (0.2,), "epochs": (1, 2)},
    ), "own epochs and loss of every method, as many as 100 batches a round allow; seeds that no table uses", THREE),
    "tuning_rules": Grid("tuning_rules", (
        {**FIXED, "weighting": ADAPTIVE, "alpha": ALPHAS},
        {**FIXED, "weighting": ("ramp",), "ramp_length": (10, 20), "alpha": ALPHAS},
    ), "RQ2: alpha of every weighting rule, the same values each; the seeds of tuning", FIVE, base=LABELLED),
}  # fmt: skip
