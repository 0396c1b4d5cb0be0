"""What a configuration may hold: ranges of numbers, choices of words, and what fits together.

Everything here is checked before anything runs; each refusal is one sentence that names the value and the way out.
"""

import math

from hfkd.faults import SHARES
from hfkd.privacy import SMALLEST
from hfkd.revenue import LARGEST
from hfkd.shares import shares

MOST = 10**9  # no number of a configuration is larger: more is a slip of the keyboard, and float32 would not hold it

RANGES = {  # (lowest, highest) of every number, both allowed; None: MOST
    "skew": (1e-6, None), "classes_per_client": (1, None), "clients": (1, None), "pool_size": (1, None),
    "public_size": (1, None), "balanced_size": (1, None), "minimum": (3, None), "rounds": (1, 1_000_000),
    "epochs": (1, 100_000), "batch": (1, 100_000), "lr": (0.0, None), "momentum": (0.0, 1.0), "alpha": (0.0, 1.0),
    "beta": (0.0, 1.0), "refresh": (1, None), "revenue_temperature": (1e-3, None), "warmup": (0, None),
    "ramp_length": (1, None), "ramp_power": (1e-6, None), "controller_rate": (0.0, None), "prior_power": (0.0, None),
    "strength": (0.0, None), "test_share": (0.01, 0.9), "val_share": (0.0, 0.9),
    "temperature": (1e-3, None), "personality": (0.0, 1.0), "fan_in": (1, None), "fan_out": (1, None),
    "max_gap": (1, None), "revenue_matching": (0.0, 1.0), "revenue_personality": (0.0, 1.0), "power": (0.0, None),
    "dropout": (0.0, 1.0), "straggling": (0.0, 1.0), "offline": (0.0, 1.0), "liars": (0.0, 1.0),
    "exploding": (0.0, 1.0),
    "spoken": (1, None), "client_memory": (1e-3, None), "eval_every": (1, None), "threads": (1, 1024),
    "epsilon": (SMALLEST, None),
}  # fmt: skip
WEIGHTINGS = ("fixed", "ramp", "loss_ratio", "revenue", "gradient", "uncertainty")
ROBUST = ("median", "trimmed")
CHOICES = {
    "hard_loss": ("own", "plain", "balanced"), "weighting": WEIGHTINGS, "beta_weighting": WEIGHTINGS,
    "pooling": ("log", "arithmetic", "median", "trimmed"), "lie": ("flip", "random", "constant", "collude"),
    "kl_direction": ("teacher_first", "student_first"),
    "revenue": ("none", "labelled", "realised", "shapley"),
    "schedule": ("simultaneous", "top_down", "bottom_up"), "wire": ("fp32", "fp16"),
    "transport": ("public", "classwise", "private", "visit"),
    "readout": ("head", "prototype"), "levels": ("mlp", "cnn", "depth", "mlp_own"), "device": ("cpu", "cuda"),
}  # fmt: skip


def check(config) -> None:
    """Return if every number is in its range, every word one of its choices, and all of them fit together.

    Raises:
        ValueError: the first field that is not, and what was expected.
    """
    for name, (low, high) in RANGES.items():
        value = getattr(config, name)
        high = MOST if high is None else high
        if value is not None and not low <= value <= high:  # nan is refused as well
            raise ValueError(f"{name} is {value!r}; expected {low} or more, at most {high}")
    if len(config.level_share) != 3:
        raise ValueError(f"level_share is {config.level_share}; expected three shares, of level 1, 2 and 3")
    shares("level_share", config.level_share)
    for name, words in CHOICES.items():
        value = getattr(config, name)
        if value is not None and value not in words:
            raise ValueError(f"{name} is {value!r}; expected one of {', '.join(words)}")
    _check_validation(config)
    _check_labels(config)
    _check_public(config)
    _check_revenue(config)
    _check_faults(config)


def _check_validation(config):
    """Rules that read the own validation split have one."""
    read = {"revenue", "gradient", "uncertainty"}
    asks = [f"{n}={getattr(config, n)}" for n in ("weighting", "beta_weighting") if getattr(config, n) in read]
    asks += ["revenue=realised"] if config.revenue == "realised" else []
    if asks and config.val_share == 0:
        raise ValueError(f"{asks[0]} reads the own validation split and val_share is 0; set val_share=0.1, or take "
                         "another rule")


def _check_labels(config):
    """Rules that read labels of public images have some."""
    asks = [f"revenue={config.revenue}"] if config.revenue in ("labelled", "shapley") else []
    asks += ["doubt=True"] * config.doubt
    asks += [f"{n}=loss_ratio" for n in ("weighting", "beta_weighting") if getattr(config, n) == "loss_ratio"]
    if asks and config.spoken:
        raise ValueError(f"{asks[0]} needs images of every class each round; spoken is {config.spoken}, expected None")
    if asks and not config.public_labels:
        raise ValueError(f"{asks[0]} reads labels of the public images; set public_labels=True, or take another rule")
    if config.public_labels and config.public != "same":
        raise ValueError(f"public_labels is True with public {config.public!r}, labelled otherwise; expected 'same'")


def _check_public(config):
    """Rules that compare answers on public images need the transport that carries such answers."""
    for rule in {"gradient", "uncertainty"} & {config.weighting, config.beta_weighting}:
        if config.kl_direction != "teacher_first":
            raise ValueError(f"weighting {rule} follows KL(q || p); kl_direction is {config.kl_direction!r}, "
                             "expected teacher_first")
    if config.transport == "public":
        return
    rules = {config.weighting, config.beta_weighting} & {"loss_ratio", "gradient", "uncertainty"}
    asks = [f"weighting {rule}" for rule in sorted(rules)]
    asks += [f"revenue {config.revenue}"] if config.revenue in ("labelled", "shapley") else []
    asks += [f"prior_power {config.prior_power:g}"] if config.prior_power else []
    asks += [f"spoken {config.spoken}"] if config.spoken else []
    if asks:
        raise ValueError(f"{asks[0]} needs answers on public images; transport is {config.transport!r}, "
                         "expected public")


def _check_faults(config):
    """Faults are those of answers on public images, once a round."""
    asks = [name for name in SHARES if getattr(config, name)]
    asks += [config.pooling] * (config.pooling in ROBUST) + ["doubt"] * config.doubt + ["recall"] * config.recall
    for name, wanted in (("transport", "public"), ("schedule", "simultaneous")):
        if asks and getattr(config, name) != wanted:
            raise ValueError(f"{name} is {getattr(config, name)!r} with {asks[0]}; expected {wanted}")
    old = "straggling: late" if config.straggling else "recall: old" if config.recall else None
    if old and config.spoken:
        raise ValueError(f"spoken is {config.spoken} with {old} answers are about other images; expected None")


def _check_revenue(config):
    """Revenue is read when the graph is made anew, and exact Shapley values need small groups."""
    if config.spoken and config.spoken > config.public_size:
        raise ValueError(f"spoken is {config.spoken}; expected at most public_size, {config.public_size}")
    if config.spoken and config.schedule != "simultaneous":
        raise ValueError(f"schedule is {config.schedule!r} with spoken {config.spoken}; expected simultaneous")
    if config.revenue == "none":
        for name in ("gate", "revenue_matching"):
            if getattr(config, name):
                raise ValueError(f"{name} is {getattr(config, name)} with revenue none; set revenue=labelled")
        return
    if config.refresh is None:
        raise ValueError(f"revenue is {config.revenue!r} and refresh None: nobody would read it; set refresh=5")
    if config.revenue != "shapley":
        return
    feedback = 0 if not config.feedback else math.inf if config.fan_out is None else config.fan_out
    if config.peers or config.fan_in + feedback > LARGEST:
        raise ValueError(
            f"revenue shapley is exact for up to {LARGEST} partners; fan_in {config.fan_in}, fan_out {config.fan_out}, "
            f"feedback {config.feedback} and peers {config.peers} allow more; set peers=False and fan_in + fan_out <= "
            f"{LARGEST}, or feedback=False"
        )
