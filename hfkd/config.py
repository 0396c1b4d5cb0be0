"""The configuration: one frozen, flat record, and its profiles. Unknown or mistyped parameters are errors."""

import ast
import inspect
import re
from dataclasses import dataclass, fields, replace
from math import isclose
from numbers import Integral


@dataclass(frozen=True)
class Config:
    """One run, all seeds aside. `None` means: the method's own value (lr, alpha, ...) or no limit."""
    method: str = "hfkd"  # who learns what from whom: `hfkd list methods`
    dataset: str = "digits"  # `hfkd list datasets`, or a path to an npz
    public: str = "same"  # public images: "same" distribution, another data set of the same shape, or "none"
    partition: str = "dirichlet"  # `hfkd list partitions`
    skew: float = 0.1  # concentration of the Dirichlet draw; smaller is more skewed
    clients: int = 12  # N, clients in the federation
    level_share: tuple = (0.5, 0.3, 0.2)  # share of clients at level 1, 2, 3 (authors' code)
    levels: str = "mlp"  # family of networks: mlp, cnn, depth
    pool_size: int | None = None  # private images in all; None: every one there is
    public_size: int = 200  # m, unlabelled images that everybody has
    public_skew: float | None = None  # concentration of a Dirichlet draw of their classes; None: as they come
    balanced_size: int = 300  # images of the balanced global test set
    minimum: int = 20  # smallest client the partition may draw
    test_share: float = 0.2  # of a client's samples: its own test split, cut even where the data set has a test part
    val_share: float = 0.1  # of the rest: its validation split; 0: none, so nothing can be chosen by it
    rounds: int = 8  # communication rounds
    epochs: int | None = None  # passes over the private data per round; None: the method's, as of all below that may be
    batch: int = 32  # private images per step, and public images per step
    lr: float | None = None  # learning rate; None: the method's, chosen on validation data (`hfkd list grids`)
    momentum: float = 0.9  # of the stochastic gradient descent
    hard_loss: str = "own"  # own: the method's; plain: cross-entropy; balanced: balanced softmax
    strength: float | None = None  # of a method's own term, such as mu of FedProx; None: the method's
    readout: str | None = None  # plain logits, with the owner's prior, corrected by it, prototype, personal
    alpha: float | None = None  # soft against hard knowledge for students, in [0, 1]; of a rule its maximum or start
    beta: float | None = None  # the same for teachers that hear only their students; None: alpha
    weighting: str | None = None  # `hfkd list weightings`; None: the method's
    warmup: int = 1  # rounds of training alone before anybody listens
    ramp_length: int | None = None  # B, rounds from 0 to alpha (ramp; authors' code)
    digest: int | None = None  # passes over the public images, by the soft loss alone, before the own epochs
    mixup: float | None = None  # concentration of the Beta that mixes public images and their targets; 0: none
    gamma: float | None = None  # sharpening of the pooled targets; 1: none
    kappa: float | None = None  # alignment of the pooled targets with even classes, in [0, 1]; 0: none
    temperature: float = 1.0  # T of the soft labels
    kl_direction: str = "teacher_first"  # or student_first, as the poster prints it
    rule: str = "coverage"  # matching of teachers and students: `hfkd list rules`
    draw: int = 0  # which of a seed's random matchings (rule = random)
    personality: float = 0.25  # eta, the dial of the matching: 1 similar teachers, 0 complementary teachers
    fan_in: int = 4  # teachers per student
    fan_out: int | None = None  # students per teacher
    max_gap: int = 1  # levels between teacher and student
    feedback: bool = True  # students teach their teachers back
    peers: bool = True  # students of one level that share a teacher teach each other
    epsilon: float | None = None  # privacy of the label counts that a client releases, from 0.001; None: the true ones
    include_self: bool = True  # one's own answers are part of the pooled target
    pooling: str | None = None  # log or arithmetic; None: the method's
    power: float = 1.0  # a, how much more say a teacher with more samples of a class has
    refresh: int | None = None  # rounds between two decisions who hears whom; None: once, before the first round
    revenue: str = "none"  # what a partner earns: none, or labelled: the loss it saves on labelled public images
    revenue_personality: float = 1.0  # that loss counts classes as one's own labels (1) or all alike (0)
    revenue_temperature: float = 1.0  # tau_R: say is multiplied by exp(revenue / tau_R)
    public_labels: bool = False  # public images have labels, read by loss_ratio and revenue, learned by labelled_public
    schedule: str = "simultaneous"  # or top_down, bottom_up: levels learn in turn, each hears what the last one learned
    spoken: int | None = None  # public images answered each round, in turn; None: all
    dropout: float = 0.0  # share of clients absent in a round: they neither train, speak nor listen
    straggling: float = 0.0  # share of clients in a round whose answers are those of the round before
    liars: float = 0.0  # share of clients that lie, the same in all rounds
    lie: str = "flip"  # what they send: flip, random, constant, collude
    exploding: float = 0.0  # share of clients that from a round of their own on send what is not finite
    eval_every: int = 2  # rounds between two measurements; the last round is always measured
    device: str = "cpu"  # cpu, cuda, or auto: cuda where there is one
    threads: int = 1  # CPU threads of one run


_LITE = dict(dataset="fashion_mnist", clients=20, pool_size=12_000, public_size=1_000, balanced_size=2_000, minimum=40,
             rounds=20, eval_every=5)  # fmt: skip
PROFILES = {  # name -> (settings, seeds, what it is): values for the same experiment
    "committed": (_LITE, tuple(range(10)), "the committed rows of lite, read in seconds: nothing is run"),
    "smoke": (dict(rounds=6, eval_every=3, batch=16), (0, 1),
              "digits, 12 clients, 2 seeds: minutes on 2 cores, proves that everything runs, carries no claim"),
    "lite": (_LITE, tuple(range(10)),
             "Fashion-MNIST, 12 000 images, 20 clients, 10 seeds: the CPU reference of the claims"),
    "paper": (dict(dataset="fashion_mnist", clients=20, public_size=4_000, balanced_size=10_000, minimum=40,
                   levels="cnn", rounds=20, batch=128, eval_every=5, device="cuda"), tuple(range(10)),
              "Fashion-MNIST, every image, CNN levels, 20 clients, 10 seeds: a GPU; as many steps a round as lite"),
}  # fmt: skip
FAULTS = ("dropout", "straggling", "liars", "exploding")  # fields that are shares of struck clients
MOST = 10**9  # no number of a configuration is larger: more is a slip of the keyboard, and float32 would not hold it
RANGES = {  # name -> (lowest, highest) of every number, both allowed
    "test_share": (0.01, 0.9), "val_share": (0.0, 0.9), "minimum": (3, MOST),
    **dict.fromkeys(("skew", "public_skew"), (1e-6, MOST)),
    **dict.fromkeys(("temperature", "revenue_temperature", "epsilon"), (1e-3, MOST)),
    **dict.fromkeys(("lr", "strength", "power", "mixup", "gamma"), (0.0, MOST)),
    **dict.fromkeys(("momentum", "alpha", "beta", "kappa", "personality", "revenue_personality", *FAULTS), (0.0, 1.0)),
    **dict.fromkeys(("draw", "warmup", "digest"), (0, MOST)),
    **dict.fromkeys(("clients", "pool_size", "public_size", "balanced_size", "rounds", "epochs", "batch", "ramp_length",
                     "fan_in", "fan_out", "max_gap", "refresh", "spoken", "eval_every", "threads"), (1, MOST))}
CHOICES = {
    "hard_loss": ("own", "plain", "balanced"), "pooling": ("log", "arithmetic"),
    "readout": ("plain", "prior", "corrected", "prototype", "personal"),
    "weighting": ("fixed", "ramp", "loss_ratio", "controller", "gradient", "uncertainty"),
    "kl_direction": ("teacher_first", "student_first"), "revenue": ("none", "labelled"),
    "schedule": ("simultaneous", "top_down", "bottom_up"), "levels": ("mlp", "cnn", "depth"),
    "lie": ("flip", "random", "constant", "collude"), "device": ("cpu", "cuda", "auto")}  # fmt: skip
DEFAULTS = {"lr": 0.01, "weighting": "fixed", "alpha": 0.0, "epochs": 1, "digest": 0, "mixup": 0.0, "gamma": 1.0,
            "kappa": 0.0, "ramp_length": 50}  # where a method says nothing


def configure(profile: str = "smoke", **overrides) -> Config:
    """The configuration of a profile with some fields replaced; int passes for float, a list for a tuple.
    Raises ValueError: unknown profile or field, a value of another type, out of range, or that fits no other."""
    if profile not in PROFILES:
        raise ValueError(f"profile is {profile!r}; expected one of {', '.join(PROFILES)}")
    config = replace(Config(**PROFILES[profile][0]), **{name: _typed(name, v) for name, v in overrides.items()})
    if complaint := next(_complaints(config), None):
        raise ValueError(complaint)
    return config


def settled(config: Config, own: dict) -> Config:
    """The configuration with every `None` that is the method's to choose filled in, by its settings, then DEFAULTS.
    >>> settled(configure(beta=0.5), {"alpha": 0.2, "beta": 0.1}).alpha, settled(configure(lr=0.1), {}).lr
    (0.2, 0.1)
    """
    return replace(config, **{name: v for name, v in (DEFAULTS | own).items() if getattr(config, name) is None})


def settings() -> dict[str, str]:
    """Every field with its default and what it means, read from the comments of Config: one place to say it."""
    found = (re.match(r"    (\w+): .+? = (.+?)  # (.+)", line) for line in inspect.getsource(Config).splitlines())
    return {match[1]: f"{match[2]}  {match[3]}" for match in found if match}


def parse_seeds(given, usual=()) -> tuple[int, ...]:
    """Seeds from text, single numbers and ranges with both ends, 1000 at most, or from numbers; each once, or a
    ValueError. None and "" are the usual ones, if there are such."""
    if usual and isinstance(given, str | None) and not given:
        return tuple(usual)
    if isinstance(given, str):
        spans = given.split(",") if re.fullmatch(r"(\d{1,9}(-\d{1,9})?,)+", f"{given},") else []
        ends = [(int(a), int(b or a)) for a, _, b in (span.partition("-") for span in spans)]
        fits = all(a <= b for a, b in ends) and sum(b - a + 1 for a, b in ends) <= 1000  # counted before written out
        seeds = tuple(seed for a, b in ends for seed in range(a, b + 1)) if fits else ()
        said = f"seeds is {given!r}; expected numbers and ranges such as 0-4 or 0,3,7-9, 1000 at most, each once"
    else:
        seeds = tuple(given)
        said = f"seeds are {list(seeds)}; expected integers >= 0, each once, up to {MOST}"
    if not seeds or len(set(seeds)) < len(seeds) or not all(isinstance(s, Integral) and 0 <= s <= MOST for s in seeds):
        raise ValueError(said)
    return seeds


def parse_set(assignments: list[str]) -> dict:
    """`name=value` texts (the command's --set) as overrides for `configure`; values are read as Python literals."""
    overrides = {}
    for text in assignments:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not equals or name in overrides:
            wrong = "is there twice" if equals else "has no '='"
            raise ValueError(f"--set {text!r} {wrong}; expected name=value, each name once, such as alpha=0.5")
        try:
            overrides[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            overrides[name] = value
    return overrides


def _typed(name, value):
    types = {field.name: field.type for field in fields(Config)}
    if name not in types:
        raise ValueError(f"parameter {name!r} is unknown; expected one of {', '.join(sorted(types))}")
    wanted = types[name]
    value = tuple(value) if wanted is tuple and isinstance(value, list) else value
    value = float(value) if wanted in (float, float | None) and type(value) is int and abs(value) <= MOST else value
    if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):  # True is no number
        raise ValueError(f"{name} is {value!r}; expected {getattr(wanted, '__name__', wanted)}")
    return value


def _complaints(config):
    """What is wrong with a configuration, a sentence each: single values, then settings that do not go together."""
    for name, (low, high) in RANGES.items():
        value = getattr(config, name)
        if value is not None and not low <= value <= high:  # nan is refused as well
            yield f"{name} is {value!r}; expected {low} or more, at most {high}"
    for name, words in CHOICES.items():
        if getattr(config, name) not in (None, *words):
            yield f"{name} is {getattr(config, name)!r}; expected one of {', '.join(words)}"
    share, rule, spoken = config.level_share, config.weighting, config.spoken
    numbers = len(share) == 3 and all(type(each) in (int, float) and each >= 0 for each in share)
    if not numbers or not isclose(sum(share), 1, abs_tol=1e-6):
        yield f"level_share is {share}; expected three shares, of level 1, 2 and 3, that sum to 1"
    if rule in ("controller", "gradient", "uncertainty") and config.val_share == 0:
        yield f"weighting={rule} reads the own validation split and val_share is 0; set val_share=0.1, or another rule"
    asks = "weighting=loss_ratio" if rule == "loss_ratio" else f"revenue={config.revenue}"
    if asks != "revenue=none" and not config.public_labels:
        yield f"{asks} reads labels of the public images; set public_labels=True, or take another rule"
    if asks != "revenue=none" and spoken:
        yield f"{asks} needs images of every class each round; spoken is {spoken}, expected None"
    if config.public_labels and config.public != "same":
        yield f"public_labels is True with public {config.public!r}, labelled otherwise; expected 'same'"
    if config.revenue != "none" and config.refresh is None:
        yield "revenue is 'labelled' and refresh None: nobody would read it; set refresh=5"
    if rule in ("gradient", "uncertainty") and config.kl_direction != "teacher_first":
        yield f"weighting={rule} follows KL(q || p); kl_direction is {config.kl_direction!r}, expected teacher_first"
    if spoken and spoken > config.public_size:
        yield f"spoken is {spoken}; expected at most public_size, {config.public_size}"
    partial = f"spoken {spoken}" if spoken else next((fault for fault in FAULTS if getattr(config, fault)), None)
    if partial and config.schedule != "simultaneous":
        yield f"schedule is {config.schedule!r} with {partial}; expected simultaneous"
    if config.straggling and spoken:
        yield f"spoken is {spoken} with straggling: late answers are about other images; expected None"
