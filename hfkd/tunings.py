"""The grids of tuning, which use seeds that no table uses, and the values that they try."""

from hfkd.cells import Grid

ALPHAS = (0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 1.0)
STRENGTHS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
RATES = (0.002, 0.003, 0.005, 0.01, 0.02, 0.03, 0.05)
LOSSES = {"hard_loss": ("own", "balanced")}
ADAPTIVE = ("loss_ratio", "revenue", "gradient", "uncertainty")
LABELLED = {"public_labels": True, "refresh": 5}  # what rules of weight and revenue read; changes nothing by itself
BOTH = {"skew": (0.1, 0.5)}

TUNINGS = {
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
