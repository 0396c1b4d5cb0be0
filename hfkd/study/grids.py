"""The grids of the experiments, by notebook, and those of tuning: blocks of axes whose products are run (ours).

Blocks are dicts, axis -> values. An axis with a column of its own in the rows is part of the scene or the method; all
others make the variant, such as "feedback=False,peers=True".
"""

import itertools
from typing import NamedTuple

from hfkd.config import CHOICES, PROFILES, Config, configure
from hfkd.data import PARTITIONS
from hfkd.engine.method import check
from hfkd.engine.state import check_device
from hfkd.matching import RULES
from hfkd.methods import METHODS
from hfkd.study.results import SCENE

OWN_COLUMNS, SIZES = ("method", *SCENE), ("clients", "minimum", "rounds")
Cell = NamedTuple("Cell", [("variant", str), ("config", Config)])  # of a grid; all its seeds train as one program


class Grid(NamedTuple):
    """An experiment."""

    name: str  # of its files
    blocks: tuple[dict, ...]
    about: str
    seeds: tuple | None = None  # its own, in place of the profile's
    ledger: tuple[str, ...] = ()  # variants whose ledger is kept
    clients: tuple[str, ...] = ()  # variants of which the last row of every client is kept
    base: dict = {}  # noqa: RUF012  fields that differ from the profile in every cell; never changed


def cells(grid: Grid, profile: str, overrides: dict) -> list[Cell]:
    """Every cell of a grid, each checked. `smoke` cuts all grids alike: to the first scene, and to its own sizes.
    overrides: fields of Config; one with a column of its own narrows that axis to its value. Raises ValueError: an
    override of another axis, a method that the grid has not, or what `checked` refuses.
    >>> grid = Grid("a", ({"method": ("local", "fedmd"), "skew": (0.1, 0.5), "alpha": (0.5,)},), "two of two")
    >>> [(cell.variant, cell.config.skew) for cell in cells(grid, "lite", {"method": "fedmd"})]
    [('alpha=0.5', 0.1), ('alpha=0.5', 0.5)]
    """
    axes = {axis for block in grid.blocks for axis in block} - {*OWN_COLUMNS}
    for axis in sorted(axes & overrides.keys()):  # it would be in neither the rows nor the record
        raise ValueError(f"{axis} is an axis of {grid.name}; leave it to the grid, or `hfkd run --set {axis}=...`")
    base = {name: value for name, value in grid.base.items() if profile != "smoke" or name not in SIZES}
    found = []
    for block in grid.blocks:
        if overrides.get("method", block["method"][0]) not in block["method"]:
            continue
        values_of = {axis: (overrides[axis],) if axis in overrides else values for axis, values in block.items()}
        for values in itertools.product(*values_of.values()):
            chosen = dict(zip(values_of, values))
            variant = ",".join(f"{axis}={value}" for axis, value in chosen.items() if axis not in OWN_COLUMNS)
            chosen |= {"public_size": 500} if profile == "smoke" and "public_size" in chosen else {}  # digits are few
            cell = Cell(variant, checked(profile, **(base | overrides | chosen)))
            found += [cell] if cell not in found else []  # an override may make two blocks one
    if not found:
        own = dict.fromkeys(method for block in grid.blocks for method in block["method"])
        raise ValueError(f"method is {overrides['method']!r}; expected one of {', '.join(own)} in {grid.name}")
    return [cell for cell in found if profile != "smoke" or scene(cell.config) == scene(found[0].config)]


def scene(config: Config) -> tuple:
    """Data set, public set, partition and skew: what two compared runs share."""
    return tuple(getattr(config, name) for name in SCENE)


def checked(profile: str, **overrides) -> Config:
    """A configuration whose method, partition and rule are there, and with what its method needs; else ValueError."""
    if profile not in PROFILES or profile == "committed":
        raise ValueError(f"profile is {profile!r}; expected smoke, lite or paper (committed is read, not run)")
    config = configure(profile, **overrides)
    if config.device == "auto":
        config = configure(profile, **overrides | {"device": check_device(config).type})
    for name, known in (("method", METHODS), ("partition", PARTITIONS), ("rule", RULES)):
        if (value := getattr(config, name)) not in known:
            raise ValueError(f"{name} is {value!r}; expected one of {', '.join(known)}")
    check(config, METHODS[config.method], METHODS)
    return config


ALPHAS = (0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 1.0)
ADAPTIVE = ("loss_ratio", "controller", "gradient", "uncertainty")
AT_BEST = (  # every rule at its best value on validation data (tuning_rules)
    {"weighting": ("ramp",), "ramp_length": (20,), "alpha": (0.5,)},
    *({"weighting": (rule,), "alpha": (best,)} for rule, best in zip(ADAPTIVE, (0.5, 0.1, 0.35, 0.5))))
BOTH = {"skew": (0.1, 0.5)}
SCENES, HIERARCHY = (BOTH, {"partition": ("pathological",)}), {"partition": ("level_dependent",)}
OWN = {"method": ("local", "balanced_local"), **BOTH}
HFKD, ALONE = {"method": ("hfkd",), **BOTH}, {"feedback": (False,), "peers": (False,)}
LABELLED = {"public_labels": True, "refresh": 5}  # what rules of weight and revenue read; changes nothing by itself
ANCHOR = {"method": ("labelled_public",), **BOTH}  # what those labels would do alone
EARNING = {"revenue": ("labelled",)}
SHARP = {**EARNING, "revenue_temperature": (0.2,)}
STRUCK = ({"dropout": (0.2,)}, {"straggling": (0.2,)}, {"liars": (0.2,), "lie": CHOICES["lie"]})
FIRST_EDITION = {"gamma": (1.0,), "kappa": (0.0,), "digest": (0,), "mixup": (0.0,)}  # of the method
MAIN = ("local", "balanced_local", "hfkd", "fedmd", "fedavg", "feddf", "heterofl", "feddf_nested", "hfkd_nested")
WIDE = (*MAIN, *(name for name, method in METHODS.items()  # first what matters most; the others: grid depth
                 if name not in MAIN and "depths" not in method.needs))
SWITCHED = tuple(name for name in WIDE if METHODS[name].loss != METHODS[name].tuned.get("hard_loss", "plain"))
PROTOTYPES = (  # the nearest prototype, as published, with what is best for it: validation prefers their logits
    {"method": ("fedproto",), "readout": ("prototype",), "strength": (1.0,), "lr": (0.005,)},
    {"method": ("fedtgp",), "readout": ("prototype",), "strength": (0.3,), "lr": (0.005,)})
CRITERIA = ("coverage", "similarity", "uniformity", "complementarity")
DRAWN = {"rule": ("random",), "draw": (0, 1, 2)}
ANSWERS = ("fedmd", "expertise_mean", "dsfl", "scarlet", "suwa", "ktpfl", "rhfl", "dml")
DOUBLE = ("fml", "fedkd", "alternating")  # networks, or passes, for every private batch
SINGLE = tuple(name for name in WIDE if name not in (*ANSWERS, *DOUBLE, "hfkd", "labelled_public"))
NUMBERS = (  # the number of its own that a method has, beside the value that it starts from
    ({"alpha": (0.1, 0.35, 0.5), "epochs": (2,)}, ("fedmd", "expertise_mean", "dsfl", "suwa", "ktpfl", "rhfl", "dml")),
    ({"alpha": (0.2, 0.7)}, ("alternating",)), ({"gamma": (1.25, 2.0, 3.0)}, ("scarlet",)),
    ({"strength": (0.01, 0.1)}, ("fd", "fedkd")), ({"strength": (0.03, 0.3)}, ("fedgh", "fml")),
    ({"strength": (0.003, 0.3)}, ("fedprox",)), ({"strength": (2.0, 4.0)}, ("fedavg_ft",)),
    ({"strength": (0.001, 0.003, 0.01)}, ("feddf", "feddf_nested", "hfkd_nested")),
    ({"digest": (3,)}, ("feddf", "feddf_nested", "hfkd_nested")),
    ({"readout": ("prototype",), "strength": (0.1, 0.3, 1.0, 3.0)}, ("fedproto", "fedtgp")),
    ({"readout": ("plain",), "strength": (0.003, 0.03, 0.1)}, ("fedproto", "fedtgp")))
SLOW = ("local", "balanced_local", "labelled_public", "fedmd", "dsfl", "suwa", "rhfl", "dml", "fd", "fedgh",
        "lg_fedavg", "fedkd")  # they were best at the lowest of three rates
LISTENING = ("hfkd", "fedmd", "expertise_mean", "dsfl", "scarlet", "suwa", "ktpfl", "rhfl", "dml")
DEEP, FIRST_FIVE, TUNING = ("fedavg", "inclusivefl", "fedmd"), (0, 1, 2, 3, 4), (100, 101, 102)  # 100 on: tuning

GRIDS = {
    "10": Grid("10_matching", (
        *({"method": ("local", "balanced_local"), **where} for where in (*SCENES, HIERARCHY)),
        *({"method": ("hfkd",), **where, "fan_in": (1, 2, 4), **ALONE, **rules}
          for where in SCENES for rules in ({"rule": CRITERIA}, DRAWN)),
        *({"method": ("hfkd",), **where, "fan_in": each, **rules}
          for where, each in ((BOTH, (1, 2, 4)), (SCENES[1], (2,)), (HIERARCHY, (2,)))
          for rules in ({"rule": (*CRITERIA, "mutual")}, DRAWN)),
        *({"method": ("hfkd",), **HIERARCHY, "fan_in": (2,), **ALONE, **how} for how in ({"rule": CRITERIA}, DRAWN)),
        *({"method": ("hfkd",), **BOTH, "fan_in": (2,), "fan_out": (4,), "rule": ("coverage", "random"), **group}
          for group in ({}, ALONE)),  # 4: 1.2 times what a teacher of level 2 has on average, and whole
    ), "RQ1 at 60 clients: the criteria against teachers at random, one to four, teachers alone and whole groups",
        FIRST_FIVE, base={"clients": 60, "minimum": 20}, clients=("", *(
            f"fan_in=2,feedback=False,peers=False,rule={rule}" for rule in (*CRITERIA, "random,draw=0")))),
    "classes": Grid("10_matching_classes", tuple({"method": ("hfkd",), **SCENES[1], "fan_in": (1, 4), **rules}
                                                 for rules in ({"rule": (*CRITERIA, "mutual")}, DRAWN)),
                    "RQ1 in whole groups at two classes each", FIRST_FIVE, base={"clients": 60, "minimum": 20}),
    "20": Grid("20_weighting", (
        OWN, HFKD, {**HFKD, "weighting": ("fixed",), "alpha": (0.0, *ALPHAS)}, *({**HFKD, **rule} for rule in AT_BEST),
        {**HFKD, "beta": (0.0, 0.1, 0.5)}, {**HFKD, "gamma": (1.0, 1.5, 3.0)}, {**HFKD, "digest": (0, 2)}, ANCHOR,
    ), "RQ2: the curve of fixed alphas, every rule at the alpha chosen on other seeds, beta, sharpness and digest",
        base=LABELLED),
    "30": Grid("30_group_distillation", (
        OWN, HFKD, {**HFKD, "feedback": (False,), "peers": (True, False)}, {**HFKD, "peers": (False,)},
        {**HFKD, "include_self": (False,)}, {**HFKD, **EARNING}, {**HFKD, **SHARP, "revenue_personality": (1.0, 0.0)},
        {**HFKD, "schedule": ("top_down", "bottom_up")}, ANCHOR,
    ), "RQ3: every member of a group on and off, revenue, and the order", base=LABELLED, ledger=("revenue=labelled",)),
    "40": Grid("40_comparison", tuple(
        {**block, **where} for where in SCENES for block in ({"method": WIDE}, *PROTOTYPES)),
               "every method at three label skews, each as validation chose it"),
    "losses": Grid("40_comparison_losses", tuple({**block, **where} for where in SCENES for block in (
        {"method": ("local",)},
        {"method": tuple(name for name in SWITCHED if name != "fedtgp"), "hard_loss": ("plain",)},
        {"method": ("fedtgp",), "hard_loss": ("plain",), "readout": ("corrected",)},
        {"method": ("fedproto",), "hard_loss": ("balanced",), "readout": ("prior",)},
    )), "the baselines with the loss that validation did not choose, nearly always the published one", FIRST_FIVE),
    "depth": Grid("40_comparison_depth", tuple({**block, **where} for where in SCENES for block in (
        {"method": ("local", "balanced_local", *DEEP, "hfkd")}, {"method": DEEP, "hard_loss": ("plain",)},
    )), "levels that differ in depth, which InclusiveFL is made for", FIRST_FIVE, base={"levels": "depth"}),
    "cnn": Grid("40_comparison_cnn", ({"method": MAIN, **BOTH},), "convolutional levels, the main methods, 15 rounds",
                FIRST_FIVE, base={"levels": "cnn", "rounds": 15}),
    "mnist": Grid("40_comparison_mnist_public", ({"method": ("local", "balanced_local", "hfkd", "fedmd"), **BOTH},
                                                 {**HFKD, "kappa": (0.0, 1.0)}),
                  "public images of another domain", FIRST_FIVE, base={"public": "mnist"}),
    "rounds": Grid("40_comparison_rounds", ({"method": MAIN, **BOTH}, {"method": MAIN, **BOTH, "dropout": (0.8,)}),
                   "the main methods over 60 rounds, and with a fifth of the clients in each", FIRST_FIVE,
                   base={"rounds": 60}),
    "anchors": Grid("40_comparison_anchors", (OWN, *(
        {**block, **BOTH, "level_share": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))} for block in (
            {"method": ("local",), "clients": (1,)}, {"method": ("fedavg",)}))),
        "central training of each level, and all clients of one level", FIRST_FIVE),
    "50": Grid("50_ablations", (
        OWN, HFKD, *({**HFKD, **one} for one in (
            {"hard_loss": ("plain",)}, {"pooling": ("arithmetic",)}, {"gamma": (1.0,)}, {"kappa": (0.0, 1.0)},
            {"digest": (0,)}, {"mixup": (0.0,)}, {"epochs": (1,)}, FIRST_EDITION, {"kl_direction": ("student_first",)},
            {"spoken": (100,)}, {"public_size": (300, 3000)}, {"public_skew": (1.0,), "kappa": (0.0, 0.5, 1.0)},
            {"temperature": (2.0,)}, {"power": (0.0,)}, {"rule": ("random", "all")}, {"fan_in": (1, 8)},
            {"max_gap": (2,)}, {"personality": (0.0, 1.0)})),
    ), "what each part is worth: taken away alone", FIRST_FIVE),
    "70": Grid("70_privacy", (OWN, HFKD, {**HFKD, "epsilon": (0.1, 0.3, 1.0, 3.0, 10.0)}),  # and the true counts
               "label counts released with noise: both endpoints over epsilon"),
    "faults": Grid("70_faults", (
        OWN, HFKD, *({**HFKD, **struck} for struck in STRUCK), {**HFKD, "exploding": (0.2,)},
        *({**HFKD, **struck, **SHARP, "revenue_personality": (0.0,)} for struck in ({}, *STRUCK)),
    ), "who is absent, late, broken or lying, and what revenue saves", FIRST_FIVE, base=LABELLED),
    "tuning_loss": Grid("tuning_loss", (
        {"method": (*SWITCHED, "fedproto"), **BOTH, "hard_loss": ("plain", "balanced")},
    ), "the loss of every method, published or balanced; seeds that no table uses", TUNING),
    "tuning_epochs": Grid("tuning_epochs", (
        {"method": SINGLE, **BOTH, "epochs": (1, 2, 3, 6)}, {"method": DOUBLE, **BOTH, "epochs": (1, 2, 3)},
        *({"method": names, **BOTH, **own} for names, own in (
            (("labelled_public",), {"epochs": (1, 2)}), ((*ANSWERS, "hfkd"), {"alpha": (0.0,), "epochs": (1, 2, 3)}),
            ((*ANSWERS, "hfkd"), {"alpha": (0.2,), "epochs": (1, 2)}))),
    ), "its own epochs, as many as 100 batches a round allow; seeds that no table uses", TUNING),
    "tuning_rates": Grid("tuning_rates", ({"method": tuple(sorted({*WIDE} - {"hfkd"})), **BOTH, "lr": (0.005, 0.02)},),
                         "its learning rate, beside 0.01; seeds that no table uses", TUNING),
    "tuning_numbers": Grid("tuning_numbers", tuple(
        {"method": names, **BOTH, **own} for own, names in NUMBERS),
        "the number of its own that a method has; seeds that no table uses", TUNING),
    "tuning_edges": Grid("tuning_edges", (
        {"method": SLOW, **BOTH, "lr": (0.002,)}, {"method": LISTENING, **BOTH, "alpha": (0.0,), "epochs": (4, 5)},
        {"method": ("scarlet",), **BOTH, "epochs": (3, 4, 5), "lr": (0.005,)},
        {"method": ("feddf_nested",), **BOTH, "lr": (0.02,), "strength": (0.003, 0.01)},
        {"method": ("hfkd_nested",), **BOTH, "lr": (0.005, 0.02), "strength": (0.01,)},
    ), "beyond the edge at which a choice lay, and pairs of choices; seeds that no table uses", TUNING),
    "tuning_limits": Grid("tuning_limits", (
        *({"method": names, **BOTH, **own} for names, own in (
            (("heterofl", "fedprox", "feddf_nested"), {"lr": (0.04,)}), (("labelled_public",), {"lr": (0.001,)}),
            (("alternating",), {"alpha": (0.05, 0.1)}), (("fedproto", "fedtgp"), {"strength": (0.001,)}),
            (("fedtgp", "labelled_public"), {"hard_loss": ("plain",), "readout": ("corrected",)}))),
        *({"method": ("inclusivefl",), **BOTH, "levels": ("depth",), **own} for own in (
            {"hard_loss": ("plain", "balanced"), "lr": (0.005, 0.01, 0.02)}, {"epochs": (2, 3)},
            {"strength": (0.03, 0.3)})),
    ), "further still, losses in another reading, and InclusiveFL; seeds that no table uses", TUNING),
    "tuning_depth": Grid("tuning_depth", ({"method": ("inclusivefl",), **BOTH, "lr": (0.04,)},),
                         "InclusiveFL further still; seeds that no table uses", TUNING, base={"levels": "depth"}),
    "tuning_hfkd": Grid("tuning_hfkd", tuple({**HFKD, **one} for one in (
        {"epochs": (1, 2)}, {"alpha": (0.0,), "epochs": (1, 2, 3)}, {"alpha": (0.1, 0.2, 0.5, 0.7)},
        {"lr": (0.005, 0.02, 0.03)}, {"gamma": (1.0, 1.5, 3.0)}, {"kappa": (0.0, 1.0)}, {"mixup": (0.0, 1.0)},
        {"digest": (2,), "epochs": (1,)}, {"ramp_length": (20,), "alpha": (0.35, 0.7)},
    )), "one change at a time to HFKD as a pilot on these seeds left it; seeds that no table uses", TUNING),
    "tuning_rules": Grid("tuning_rules", (
        {**HFKD, "weighting": ADAPTIVE, "alpha": ALPHAS},
        {**HFKD, "weighting": ("ramp",), "ramp_length": (10, 20), "alpha": ALPHAS},
    ), "RQ2: alpha of every weighting rule, the same values each; seeds that no table uses", TUNING, base=LABELLED),
}  # fmt: skip
