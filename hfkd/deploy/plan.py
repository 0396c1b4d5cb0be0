"""The plan of a federation: a JSON file on the relay's host, told to every client with the first message (ours)."""

import json
from math import isfinite
from pathlib import Path

from hfkd import __version__
from hfkd.config import FAULTS, Config, configure
from hfkd.engine.federation import configured
from hfkd.methods import METHODS

CARRIED = {  # setting -> what one message a round can carry
    "method": ("hfkd",), "schedule": ("simultaneous",), "revenue": ("none",), "weighting": ("fixed", "ramp"),
    "spoken": (None,), "refresh": (None,), "epsilon": (None,), "device": ("cpu",), "public": ("same",),
    **{fault: (0.0,) for fault in FAULTS}}  # fmt: skip
FIELDS = {  # name -> (kind, what it is)
    "names": (list, "who may take part, in the order that numbers the clients"),
    "seed": (int, "of first weights, batches and matching"),
    "set": (dict, "settings; what is left out is the method's"),
    "mean": (float, "subtracted from every image"), "deviation": (float, "divides every image"),
    "classes": (int, "how many there are"), "public": (str, "checksum of the public images")}  # fmt: skip


def settle(given: dict) -> Config:
    """The configuration of a plan's settings. Raises ValueError: what `configure` refuses, or a message cannot carry.

    >>> settle({"alpha": 0.2}).weighting
    'ramp'
    """
    config = configured(configure("smoke", **given), METHODS["hfkd"])
    for name, values in CARRIED.items():
        if (value := getattr(config, name)) not in values:
            said = " or ".join(map(repr, values)) + "; noise is each client's own, --epsilon" * (name == "epsilon")
            raise ValueError(f"{name} is {value!r}, which one message a round cannot carry; expected {said}")
    return config


def checked(plan: dict) -> tuple[dict, Config]:
    """What clients are told of a plan, and its configuration, or a ValueError: a field missing, of another kind, or
    out of range, or settings that `settle` refuses.
    """
    for name, (kind, about) in FIELDS.items():
        value = plan.get(name)
        fits = isinstance(value, (int, float) if kind is float else kind) and not isinstance(value, bool)
        names = name != "names" or fits and 1 < len(value) == len({*map(str, value)})
        least = {"deviation": 1e-9, "seed": 0, "classes": 2}.get(name, float("-inf"))
        if not fits or not names or kind in (int, float) and not (isfinite(value) and value >= least):
            raise ValueError(f"{name} of the plan is {value!r}; expected {kind.__name__}, {about}")
    return {"version": __version__} | {name: plan[name] for name in FIELDS}, settle(plan["set"])


def read(path: Path) -> dict:
    """The plan in a file, or a ValueError."""
    try:
        return dict(json.loads(Path(path).read_text("utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(f"the plan {path} cannot be read: {error}") from error
