"""The configuration: one frozen, flat record. Unknown or mistyped parameters are errors.

A profile is a set of values for the same experiment: `smoke` proves that everything runs, `lite` is the CPU
reference that the claims rest on, `paper` is the full size for a GPU.
"""

import inspect
import re
from dataclasses import dataclass, fields, replace

from hfkd.given import parse_seeds, parse_set
from hfkd.limits import CHOICES, MOST, RANGES, check

__all__ = ["CHOICES", "PROFILES", "RANGES", "Config", "configure", "parse_seeds", "parse_set", "seeds_of", "settings"]


@dataclass(frozen=True)
class Config:
    """One run, all seeds aside. `None` means: the method's own value (alpha, beta, weighting) or no limit."""

    method: str = "hfkd"  # who learns what from whom: `hfkd list methods`
    dataset: str = "digits"  # `hfkd list datasets`, or a path to an npz
    public: str = "same"  # public images: "same" distribution, another data set of the same shape, or "none"
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
    test_share: float = 0.2  # of a client's samples: its own test split, unless the data set gives one
    val_share: float = 0.1  # of the rest: its validation split; 0: none, so nothing can be chosen by it
    rounds: int = 8  # communication rounds
    epochs: int = 1  # passes over the private data per round
    batch: int = 32  # private images per step, and public images per step
    shuffle: bool = True  # private batches by fresh permutations; False: in the given order, full batches only
    lr: float | None = None  # learning rate; None: the method's, chosen on validation data (`hfkd grid tuning`)
    momentum: float = 0.9  # of the stochastic gradient descent
    hard_loss: str = "own"  # own: the method's; plain: cross-entropy; balanced: balanced softmax
    strength: float | None = None  # of a method's own term, such as mu of FedProx; None: the method's
    readout: str | None = None  # what predicts: head, or prototype (the nearest one); None: the method's
    alpha: float | None = None  # soft against hard knowledge for students, in [0, 1]; of a rule its maximum or start
    beta: float | None = None  # the same for teachers that hear only their students; None: alpha
    weighting: str | None = None  # fixed, ramp, loss_ratio, revenue, gradient or uncertainty; None: the method's
    beta_weighting: str | None = None  # the rule for beta; None: as weighting
    warmup: int = 1  # rounds of training alone before anybody listens
    ramp_length: int = 50  # B, rounds from 0 to alpha (ramp; authors' code)
    ramp_power: float = 1.0  # exponent of the ramp
    controller_rate: float = 1.0  # mu, how fast the weight follows the own validation loss (weighting revenue)
    prior_power: float = 0.0  # lambda, how much more a public image counts that resembles one's own labels
    temperature: float = 1.0  # T of the soft labels
    kl_direction: str = "teacher_first"  # or student_first, as the poster prints it
    rule: str = "coverage"  # matching of teachers and students: `hfkd list rules`
    personality: float = 0.25  # eta, the dial of the matching: 1 similar teachers, 0 complementary teachers
    fan_in: int = 4  # teachers per student
    fan_out: int | None = None  # students per teacher
    max_gap: int = 1  # levels between teacher and student
    feedback: bool = True  # students teach their teachers back
    peers: bool = True  # students of one level that share a teacher teach each other
    epsilon: float | None = None  # privacy of the label counts that a client releases, from 0.001; None: the true ones
    include_self: bool = True  # one's own answers are part of the pooled target
    pooling: str | None = None  # log, arithmetic, median or trimmed; None: the method's
    power: float = 1.0  # a, how much more say a teacher with more samples of a class has
    refresh: int | None = None  # rounds between two decisions who hears whom; None: once, before the first round
    revenue: str = "none"  # what a partner earns: none, labelled, realised, shapley
    revenue_personality: float = 1.0  # losses on public labels count classes as one's own labels (1) or all alike (0)
    revenue_temperature: float = 1.0  # tau_R: say is multiplied by exp(revenue / tau_R)
    revenue_matching: float = 0.0  # share of revenue in the score of the matching, in [0, 1]
    gate: bool = False  # do no harm: who gains from nobody twice in a row stops listening until the next refresh
    public_labels: bool = False  # the public images have labels (read by loss_ratio and by revenue, never trained on)
    schedule: str = "simultaneous"  # or top_down, bottom_up: levels learn in turn, each hears what the last one learned
    transport: str = "public"  # what travels: answers on public images, classwise answers, networks (private, visit)
    spoken: int | None = None  # public images answered each round, in turn; None: all
    wire: str = "fp32"  # precision of what travels: fp32 or fp16
    client_memory: float | None = None  # largest guest network a client can hold, in sizes of its own; None: any
    dropout: float = 0.0  # share of clients absent in a round: they neither train, speak nor listen
    straggling: float = 0.0  # share of clients in a round whose answers are those of the round before
    offline: float = 0.0  # share of clients in a round that nobody hears: students look for other teachers
    liars: float = 0.0  # share of clients that lie, the same in all rounds
    lie: str = "flip"  # what they send: flip, random, constant, collude
    exploding: float = 0.0  # share of clients that from a round of their own on send what is not finite; quarantined
    recall: bool = False  # what was last heard of a client that is absent is pooled in its place
    doubt: bool = False  # answers that do worse on labelled public images than uniform ones are not pooled
    eval_every: int = 2  # rounds between two measurements; the last round is always measured
    device: str = "cpu"  # cpu or cuda
    threads: int = 1  # CPU threads of one run: with 1, mlp rows do not depend on which seeds run beside


DEFAULTS = {"lr": 0.01, "weighting": "fixed", "readout": "head"}  # lr: of Local and Balanced-Local, so of all
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
    check(config)
    return config


def settled(config: Config, own: dict) -> Config:
    """The configuration with every `None` that is the method's to choose filled in: its own settings, then DEFAULTS.

    >>> settled(configure(beta=0.5), {"alpha": 0.2, "beta": 0.1}).alpha, settled(configure(lr=0.1), {}).lr
    (0.2, 0.1)
    """
    return replace(config, **{name: v for name, v in (DEFAULTS | own).items() if getattr(config, name) is None})


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


def _typed(name, value):
    """The value if it fits the field's type; int passes for float, a list for a tuple."""
    types = {field.name: field.type for field in fields(Config)}
    if name not in types:
        raise ValueError(f"parameter {name!r} is unknown; expected one of {', '.join(sorted(types))}")
    wanted = types[name]
    if wanted in (float, float | None) and type(value) is int:
        return float(value) if abs(value) <= MOST else value  # too large for any field: `check` says so
    if wanted is tuple and isinstance(value, list):
        value = tuple(value)
    if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
        raise ValueError(f"{name} is {value!r}; expected {getattr(wanted, '__name__', wanted)}")
    return value
