"""The plan of a federation: a JSON file on the relay's host, told to every client with the first message (ours)."""

from hfkd import __version__
from hfkd.config import FAULTS, Config
from hfkd.engine.federation import configured
from hfkd.methods import METHODS
from hfkd.study.grids import checked

CARRIED = {  # setting -> what one message a round can carry
    "method": ("hfkd",), "schedule": ("simultaneous",), "revenue": ("none",), "weighting": ("fixed", "ramp"),
    "spoken": (None,), "refresh": (None,), "epsilon": (None,), "device": ("cpu",), "public": ("same",),
    **{fault: (0.0,) for fault in FAULTS}}  # fmt: skip
FIELDS = {"names": list, "seed": int, "set": dict, "classes": int, "public": str}


def settle(given: dict) -> Config:
    """The configuration of a plan's settings. Raises ValueError: what `checked` refuses, or a message cannot carry.

    >>> settle({"alpha": 0.2}).weighting
    'ramp'
    """
    for name, values in CARRIED.items():  # before other advice, which would lead here in the end
        if (value := given.get(name, values[0])) not in values:
            said = " or ".join(map(repr, values)) + "; noise is each client's own, --epsilon" * (name == "epsilon")
            raise ValueError(f"{name} is {value!r}, which one message a round cannot carry; expected {said}")
    return configured(checked("smoke", **given), METHODS["hfkd"])


def told(plan: dict) -> dict:
    """What clients are told of a plan, or a ValueError: a field missing, of another kind, or out of range."""
    for name, kind in FIELDS.items():
        value = plan.get(name)
        if (type(value) is not kind or kind is int and value < 2 * (name == "classes")
                or kind is list and not 1 < len(value) == len({*map(str, value)})):  # fmt: skip
            raise ValueError(f"{name} of the plan is {value!r}; see hfkd/deploy/ADMIN.md")
    return {"version": __version__} | {name: plan[name] for name in FIELDS}
