"""The grids of the experiments, by notebook; the grids of tuning use seeds that no table uses."""

from hfkd.cells import Grid
from hfkd.methods import METHODS

ALPHAS = (0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 1.0)
STRENGTHS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
RATES = (0.002, 0.003, 0.005, 0.01, 0.02, 0.03, 0.05)
EPSILONS = (0.1, 0.3, 1.0, 3.0, 10.0)  # and None, the true counts
LOSSES = {"hard_loss": ("own", "balanced")}
ADAPTIVE = ("loss_ratio", "revenue", "gradient", "uncertainty")
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
LABELLED = {"public_labels": True, "refresh": 5}  # what rules of weight and revenue read; changes nothing by itself


BOTH = {"skew": (0.1, 0.5)}
OWN = {"method": ("local", "balanced_local"), **BOTH}
HFKD = {"method": (BASE,), **BOTH}
BALANCED = {"hard_loss": ("balanced",)}
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
    "tuning": Grid(
        "tuning",
        (
            {"method": ("local", "balanced_local"), **BOTH, "lr": (0.003, 0.01, 0.02, 0.05)},
            {"method": ("fedmd", "expertise_mean", "hfkd", "hfkd_ramp"), **BOTH, "alpha": ALPHAS},
            {"method": ("fedmd", "expertise_mean"), **BOTH, "hard_loss": ("balanced",), "alpha": ALPHAS},
        ),
        "learning rate, then alpha of every method, the same values each; seeds that no table uses",
        seeds=(100, 101, 102, 103, 104),
    ),
    "tuning_answers": Grid(
        "tuning_answers",
        ({"method": ("dsfl", "ktpfl", "rhfl", "dml"), **BOTH, **LOSSES, "alpha": ALPHAS},),
        "alpha of the other methods that answer about public images",
        seeds=(100, 101, 102),
    ),
    "tuning_weights": Grid(
        "tuning_weights",
        (
            {"method": ("fedavg", "heterofl"), **BOTH, **LOSSES, "lr": RATES},
            {"method": ("lg_fedavg",), **BOTH, **LOSSES, "lr": (0.001, *RATES[:-1])},  # it diverges at the largest
            {"method": ("feddf",), **BOTH, **LOSSES, "strength": (0.001, *RATES[1:-1], 0.1)},
            {"method": ("fedprox",), **BOTH, **LOSSES, "strength": STRENGTHS},
        ),
        "the one setting of methods that average weights: learning rate, that of the server, or mu",
        seeds=(100, 101, 102),
    ),
    "tuning_prototypes": Grid(
        "tuning_prototypes",
        (
            {"method": ("fd", "fedproto", "fedtgp", "fedgh"), **BOTH, **LOSSES, "strength": STRENGTHS},
        ),
        "the one setting of methods that exchange class means",
        seeds=(100, 101, 102),
    ),
    "tuning_pairs": Grid(
        "tuning_pairs",
        (
            {"method": ("fedkd",), **BOTH, **LOSSES, "strength": STRENGTHS},
            {"method": ("fml",), **BOTH, **LOSSES, "strength": ALPHAS},
        ),
        "the one setting of methods that share a small network",
        seeds=(100, 101, 102),
    ),
    "tuning_avg": Grid(
        "tuning_avg",
        ({"method": ("hfkd_avg",), **BOTH, "alpha": ALPHAS},),
        "alpha of HFKD whose levels average their weights",
        seeds=(100, 101, 102),
    ),
    "tuning_rates": Grid(
        "tuning_rates",
        ({"method": ("hfkd_ramp", "hfkd_avg"), **BOTH, "lr": RATES},),
        "what a learning rate of its own would give HFKD: averaging methods are tuned by theirs; chooses nothing",
        seeds=(100, 101, 102),
    ),
    "tuning_depth": Grid(
        "tuning_depth",
        ({"method": ("inclusivefl",), **BOTH, **LOSSES, "strength": ALPHAS},),
        "beta of InclusiveFL, whose levels differ in depth",
        seeds=(100, 101, 102),
        base={"levels": "depth"},
    ),
    "tuning_rules": Grid(
        "tuning_rules",
        (
            {"method": ("hfkd",), **BOTH, "weighting": ADAPTIVE, "alpha": ALPHAS},
            {"method": ("hfkd",), **BOTH, "weighting": ("ramp",), "ramp_length": (10, 20), "alpha": ALPHAS},
        ),
        "RQ2: alpha of every weighting rule, the same values each; the seeds of tuning",
        seeds=(100, 101, 102, 103, 104),
        base=LABELLED,
    ),
}  # fmt: skip
