"""The grids of the experiments, by notebook, and those of tuning."""

from hfkd.cells import Grid
from hfkd.methods import METHODS
from hfkd.tunings import ALPHAS, BOTH, LABELLED, TUNINGS

EPSILONS = (0.1, 0.3, 1.0, 3.0, 10.0)  # and None, the true counts
BASE = "hfkd_ramp"  # what notebooks 30 and 50 vary: the method of the highest validation score in `tuning`
RULED = (  # every rule at its best value on validation data (tuning_rules)
    {"weighting": "ramp", "ramp_length": 10, "alpha": 0.35},
    {"weighting": "ramp", "ramp_length": 20, "alpha": 0.7},
    {"weighting": "loss_ratio", "alpha": 0.5},
    {"weighting": "revenue", "alpha": 0.1},
    {"weighting": "gradient", "alpha": 1.0},
    {"weighting": "uncertainty", "alpha": 0.5},
)
ONE_SCENE = {"skew": (0.1,), "partition": ()}
SMALL_GROUPS = {"peers": (False,), "fan_in": (3,), "fan_out": (3,)}  # at most 6 partners: 2^6 coalitions
OWN = {"method": ("local", "balanced_local"), **BOTH}
HFKD = {"method": (BASE,), **BOTH}
FIXED = {"method": ("hfkd",), **BOTH}
BALANCED = {"hard_loss": ("balanced",)}
LYING = {"liars": (0.2,), "lie": ("flip", "random", "constant", "collude")}
DEFENCES = (  # beside none; the revenue that listens to all classes alike and sharply is one of notebook 30
    {"revenue": ("labelled",)},
    {"revenue": ("labelled",), "gate": (True,)},
    {"revenue": ("labelled",), "revenue_temperature": (0.2,), "revenue_personality": (0.0,)},
    {"pooling": ("median", "trimmed")},
    {"doubt": (True,)},
    {"doubt": (True,), "revenue": ("labelled",)},
)
BASELINES = tuple(name for name, method in METHODS.items() if method.LOSS == "plain" and name != "local")
GRIDS = {
    "20": Grid(
        "20_weighting",
        (
            OWN,
            {"method": ("hfkd",), **BOTH, "weighting": ("fixed",), "alpha": ALPHAS},
            *({"method": ("hfkd",), **BOTH, **{name: (value,) for name, value in rule.items()}} for rule in RULED),
            HFKD,
            {**HFKD, "beta": (0.0, 0.1, 0.5)},
            {**HFKD, "prior_power": (0.5, 1.0)},
        ),
        "RQ2: the curve of fixed alphas, every rule at the alpha chosen on other seeds, beta, and v(u)",
        base=LABELLED,
    ),
    "30": Grid(
        "30_group_distillation",
        (
            OWN,
            HFKD,
            {**HFKD, "feedback": (False,), "peers": (True, False)},
            {**HFKD, "peers": (False,)},
            {**HFKD, "include_self": (False,)},
            {**HFKD, "revenue": ("labelled", "realised")},
            {**HFKD, "revenue": ("labelled",), "revenue_temperature": (0.2,), "revenue_personality": (1.0, 0.0)},
            {**HFKD, "revenue": ("labelled",), "revenue_matching": (0.5,)},
            {**HFKD, "revenue": ("labelled", "realised"), "gate": (True,)},
            {**HFKD, **SMALL_GROUPS, "revenue": ("none", "shapley", "labelled")},
        ),
        "RQ3: every member of a group on and off, every revenue, the gate, Shapley values in small groups",
        base=LABELLED,
        journals=("revenue=labelled",),
    ),
    "40": Grid(
        "40_comparison",
        tuple(
            {**block, **scene}
            for scene in (BOTH, {"partition": ("pathological",)})
            for block in (
                {"method": tuple(name for name in METHODS if name != "inclusivefl")},
                # neither the loss nor the readout alone may explain a gain: the baselines with the balanced softmax too
                {"method": tuple(name for name in BASELINES if name != "inclusivefl"), **BALANCED},
                {"method": ("fedproto", "fedtgp"), "readout": ("head",)},
                {"method": ("fedproto", "fedtgp"), **BALANCED, "readout": ("head",)},
                {"method": ("hfkd",), **{name: (value,) for name, value in RULED[0].items()}},
            )
        ) + (
            # is it the matching? HFKD with teachers at random, with all admissible ones, and with no groups at all
            {"method": ("hfkd",), **BOTH, "rule": ("random", "all")},
            {"method": ("expertise_mean",), **BOTH, **BALANCED, "pooling": ("log",)},
        ),
        "every method at three label skews, baselines also with the balanced softmax, HFKD also with matching controls",
        smoke=ONE_SCENE,
    ),
    "depth": Grid(
        "40_comparison_depth",
        tuple(
            {**block, **scene}
            for scene in (BOTH, {"partition": ("pathological",)})
            for block in (
                {"method": ("local", "balanced_local", "fedavg", "inclusivefl", "fedmd", "hfkd", "hfkd_ramp")},
                {"method": ("fedavg", "inclusivefl", "fedmd"), **BALANCED},
            )
        ),
        "levels that differ in depth, which InclusiveFL is made for",
        base={"levels": "depth"},
        smoke=ONE_SCENE,
    ),
    "50": Grid(
        "50_ablations",
        (
            OWN,
            HFKD,
            {**HFKD, "hard_loss": ("plain",), "pooling": ("log", "arithmetic")},
            {**HFKD, "pooling": ("arithmetic",)},
            {**HFKD, "fan_in": (2,), "rule": ("coverage", "nearest", "uniformity", "complementarity", "random")},
            {**HFKD, "fan_in": (2,), "rule": ("coverage",), "personality": (0.0, 0.5, 1.0)},
            {**HFKD, "fan_in": (1, 8)},
            {**HFKD, "max_gap": (2,)},
            {**HFKD, "schedule": ("top_down", "bottom_up")},
            {**HFKD, "kl_direction": ("student_first",)},
            {**HFKD, "transport": ("classwise", "private", "visit")},
            {**HFKD, "spoken": (10, 100)},
            {**HFKD, "wire": ("fp16",)},
        ),
        "what each part is worth: knowledge, matching, paths, schedule, transport, divergence",
    ),
    "70": Grid(
        "70_privacy",
        (
            OWN,
            {"method": ("hfkd",), **BOTH},
            {"method": ("hfkd",), **BOTH, "epsilon": EPSILONS},
        ),
        "label counts released with noise: both endpoints over epsilon; the base configuration releases the true ones",
    ),
    "faults": Grid(
        "70_faults",
        (
            OWN,
            FIXED,
            {**FIXED, "dropout": (0.3,), "recall": (True,)},
            *({**FIXED, fault: (0.3,)} for fault in ("dropout", "straggling", "offline")),
            {**FIXED, "exploding": (0.2,)},
            {**FIXED, **LYING},
            *({**FIXED, **liars, **defence} for defence in DEFENCES for liars in ({}, LYING)),
        ),
        "who is absent, late, offline, broken or lying, and what revenue, the gate, robust pooling and doubt save",
        base=LABELLED,
        journals=("liars=0.2,lie=flip,revenue=labelled", "liars=0.2,lie=flip,doubt=True,revenue=labelled"),
        smoke=ONE_SCENE,
    ),
} | TUNINGS  # fmt: skip
