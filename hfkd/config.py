"""The configuration: one frozen, flat record. Unknown or mistyped parameters are errors.

A profile is a set of values for the same experiment: `smoke` proves that everything runs, `lite` is the CPU
reference that the claims rest on, `paper` is the full size for a GPU.
"""

import ast
import inspect
import math
import re
from dataclasses import dataclass, fields, replace


@dataclass(frozen=True)
class Config:
    """One run, all seeds aside. `None` means: the method's own value (alpha, beta, weighting) or no limit."""

    method: str = "hfkd"  # who learns what from whom: `hfkd list methods`
    dataset: str = "digits"  # `hfkd list datasets`, or a path to an npz
    public: str = "same"  # data set of the public images: "same" distribution, or another data set of the same shape
    partition: str = "dirichlet"  # dirichlet, pathological, quantity, level_dependent, natural
    skew: float = 0.1  # concentration of the Dirichlet draw; smaller is more skewed
    classes_per_client: int = 2  # for partition = pathological
    clients: int = 12  # N, clients in the federation
    level_share: tuple = (0.5, 0.3, 0.2)  # share of clients at level 1, 2, 3 (authors' code)
    levels: str = "mlp"  # family of networks: mlp, cnn, depth
    pool_size: int | None = None  # private images in all; None: every one there is
    public_size: int = 200  # m, unlabelled images that everybody has
    balanced_size: int = 300  # images of the balanced global test set
    minimum: int = 20  # smallest client the partition may draw
    rounds: int = 8  # communication rounds
    epochs: int = 1  # passes over the private data per round
    batch: int = 32  # private images per step, and public images per step
    lr: float = 0.01  # learning rate (chosen on validation data: `hfkd grid tuning`)
    momentum: float = 0.9  # of the stochastic gradient descent
    hard_loss: str = "own"  # own: the method's; plain: cross-entropy; balanced: balanced softmax
    alpha: float | None = None  # soft against hard knowledge for students, in [0, 1]
    refresh: int | None = None  # rounds between two decisions who hears whom; None: once, before the first round
    beta: float | None = None  # the same for teachers that hear only their students; None: alpha
    weighting: str | None = None  # fixed or ramp
    warmup: int = 1  # rounds of training alone before anybody listens (fixed)
    ramp_length: int = 50  # B, rounds until alpha_max (ramp; authors' code)
    ramp_power: float = 1.0  # exponent of the ramp
    temperature: float = 1.0  # T of the soft labels
    kl_direction: str = "teacher_first"  # or student_first, as the poster prints it
    rule: str = "coverage"  # matching of teachers and students: `hfkd list rules`
    personality: float = 0.25  # eta, the dial of the matching: 1 similar teachers, 0 complementary teachers
    fan_in: int = 4  # teachers per student
    fan_out: int | None = None  # students per teacher
    max_gap: int = 1  # levels between teacher and student
    feedback: bool = True  # students teach their teachers back
    peers: bool = True  # students of one level that share a teacher teach each other
    pooling: str | None = None  # log or arithmetic
    power: float = 1.0  # a, how much more say a teacher with more samples of a class has
    revenue_temperature: float = 1.0  # tau_R, how much more say a teacher has that has earned more
    eval_every: int = 2  # rounds between two measurements; the last round is always measured
    device: str = "cpu"  # cpu or cuda
    threads: int = 1  # CPU threads of one run: with 1, mlp rows do not depend on which seeds run beside


PROFILES = {
    "smoke": (
        dict(rounds=20, eval_every=5, batch=8),
        (0, 1),
        "digits, 12 clients, 2 seeds: a minute on 2 cores, proves that everything runs, carries no claim",
    ),
    "lite": (
        dict(dataset="fashion_mnist", clients=20, pool_size=12_000, public_size=1_000, balanced_size=2_000, minimum=40,
             rounds=20, eval_every=5),
        tuple(range(10)),
        "Fashion-MNIST, 12 000 images, 20 clients, 10 seeds: the CPU reference for the claims",
    ),
    "paper": (
        dict(dataset="fashion_mnist", clients=20, public_size=5_000, balanced_size=10_000, minimum=40, levels="cnn",
             rounds=50, eval_every=10, device="cuda"),
        tuple(range(20)),
        "Fashion-MNIST, every image, CNN levels, 20 clients, 20 seeds: a GPU",
    ),
}  # fmt: skip


def configure(profile: str = "smoke", **overrides) -> Config:
    """The configuration of a profile with some fields replaced.

    Args:
        profile: smoke, lite or paper.
        overrides: any field of Config; numbers are checked against the field's type, int is accepted for float.

    Raises:
        ValueError: unknown profile or field, a value of another type or out of range.

    >>> configure("lite", alpha=0.5).clients
    20
    """
    if profile not in PROFILES:
        raise ValueError(f"profile is {profile!r}; expected one of {', '.join(PROFILES)}")
    config = replace(Config(**PROFILES[profile][0]), **{name: _typed(name, v) for name, v in overrides.items()})
    _check_ranges(config)
    return config


def seeds_of(profile: str) -> tuple[int, ...]:
    """The seeds of a profile.

    >>> seeds_of("smoke")
    (0, 1)
    """
    return PROFILES[profile][1]


def settings() -> dict[str, str]:
    """Every field with its default and what it means, read from the comments of Config: one place to say it.

    >>> settings()["rounds"]
    '8  communication rounds'
    """
    lines = inspect.getsource(Config).splitlines()
    found = (re.match(r"    (\w+): .+? = (.+?)  # (.+)", line) for line in lines)
    return {match[1]: f"{match[2]}  {match[3]}" for match in found if match}


def parse_seeds(text: str) -> tuple[int, ...]:
    """Seeds from text: single numbers and ranges with both ends, "0-4" or "0,3,7-9".

    >>> parse_seeds("0-2,7")
    (0, 1, 2, 7)
    """
    try:
        spans = [part.split("-") for part in str(text).split(",")]
        seeds = [seed for span in spans for seed in range(int(span[0]), int(span[-1]) + 1)]
        if any(len(span) > 2 or int(span[-1]) < int(span[0]) for span in spans) or len(set(seeds)) < len(seeds):
            raise ValueError
    except ValueError:
        raise ValueError(f"seeds is {text!r}; expected numbers and ranges such as 0-4 or 0,3,7-9, each once") from None
    return tuple(seeds)


def parse_set(assignments: list[str]) -> dict:
    """`name=value` texts (the command's --set) as overrides for `configure`; values are read as Python literals.

    >>> parse_set(["alpha=0.5", "rule=random", "fan_out=None"])
    {'alpha': 0.5, 'rule': 'random', 'fan_out': None}
    """
    overrides = {}
    for text in assignments:
        name, equals, value = text.partition("=")
        if not equals:
            raise ValueError(f"--set {text!r} has no '='; expected name=value, such as alpha=0.5")
        try:
            overrides[name.strip()] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            overrides[name.strip()] = value.strip()
    return overrides


def _typed(name, value):
    """The value if it fits the field's type; int passes for float, a list for a tuple."""
    types = {field.name: field.type for field in fields(Config)}
    if name not in types:
        raise ValueError(f"parameter {name!r} is unknown; expected one of {', '.join(sorted(types))}")
    wanted = types[name]
    if wanted in (float, float | None) and type(value) is int:
        value = float(value)
    if wanted is tuple and isinstance(value, list):
        value = tuple(value)
    if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
        raise ValueError(f"{name} is {value!r}; expected {getattr(wanted, '__name__', wanted)}")
    return value


RANGES = {  # (lowest, highest) of every number, both allowed; None: open
    "skew": (1e-6, None), "classes_per_client": (1, None), "clients": (1, None), "pool_size": (1, None),
    "public_size": (1, None), "balanced_size": (1, None), "minimum": (3, None), "rounds": (1, None),
    "epochs": (1, None), "batch": (1, None), "lr": (0.0, None), "momentum": (0.0, 1.0), "alpha": (0.0, 1.0),
    "beta": (0.0, 1.0), "refresh": (1, None), "revenue_temperature": (1e-3, None), "warmup": (0, None),
    "ramp_length": (1, None), "ramp_power": (1e-6, None),
    "temperature": (1e-3, None), "personality": (0.0, 1.0), "fan_in": (1, None), "fan_out": (1, None),
    "max_gap": (1, None), "power": (0.0, None), "eval_every": (1, None), "threads": (1, None),
}  # fmt: skip
CHOICES = {
    "hard_loss": ("own", "plain", "balanced"), "weighting": ("fixed", "ramp"), "pooling": ("log", "arithmetic"),
    "kl_direction": ("teacher_first", "student_first"), "levels": ("mlp", "cnn", "depth"), "device": ("cpu", "cuda"),
}  # fmt: skip


def _check_ranges(config):
    """Every number in its range, every word one of its choices."""
    for name, (low, high) in RANGES.items():
        value = getattr(config, name)
        if value is not None and not (math.isfinite(value) and value >= low and (high is None or value <= high)):
            raise ValueError(f"{name} is {value!r}; expected {low} or more" + (f", at most {high}" if high else ""))
    if len(config.level_share) != 3:
        raise ValueError(f"level_share is {config.level_share}; expected three shares, of level 1, 2 and 3")
    for name, words in CHOICES.items():
        value = getattr(config, name)
        if value is not None and value not in words:
            raise ValueError(f"{name} is {value!r}; expected one of {', '.join(words)}")
