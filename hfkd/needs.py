"""What a method cannot do without, checked before anything runs: one sentence that names the switch."""

from functools import cache

from hfkd import levels
from hfkd.faults import SHARES
from hfkd.methods import METHODS

NEEDS = {
    "public": "images that everybody may speak about",
    "answers": "answers on public images, whatever else travels",
    "features": "the same number of features before the head at every level",
    "widths": "levels that differ in width only",
    "depths": "levels that differ in depth only",
}


def data_free(name: str) -> bool:
    """Whether a method does without public images.

    >>> data_free("fedproto"), data_free("fedmd")
    (True, False)
    """
    return "public" not in METHODS[name].NEEDS


def check_needs(config) -> None:
    """Return if the configuration has what its method needs.

    Raises:
        ValueError: it has not; the sentence names the setting to change.
    """
    name, method = config.method, METHODS[config.method]
    if config.public == "none" and not data_free(name) and config.transport == "public":
        free = ", ".join(other for other in METHODS if data_free(other))
        raise ValueError(f"method {name!r} needs {NEEDS['public']} and public is 'none'; set public=same, or take a "
                         f"data-free method: {free}")
    for need in set(method.NEEDS) - {"public", "answers"}:
        fits = [family for family in levels.FAMILIES if _has(need, family)]
        if config.levels not in fits:
            raise ValueError(f"method {name!r} needs {NEEDS[need]}, which levels {config.levels!r} are not; "
                             f"set levels={' or levels='.join(fits)}")
    if config.transport != "public" and "answers" in method.NEEDS:
        raise ValueError(f"method {name!r} needs {NEEDS['answers']}; transport is {config.transport!r}, "
                         "expected public")
    if config.schedule != "simultaneous" and "answers" in method.NEEDS:
        raise ValueError(f"method {name!r} makes its targets once a round; schedule is {config.schedule!r}, expected "
                         "simultaneous")
    if config.wire != "fp32" and hasattr(method, "exchange"):
        raise ValueError(f"method {name!r} exchanges more than answers, which is not rounded; wire is "
                         f"{config.wire!r}, expected fp32")
    faults = [fault for fault in (*SHARES, "recall", "doubt") if getattr(config, fault)]
    if faults and (hasattr(method, "hear") or hasattr(method, "exchange")):
        value = getattr(config, faults[0])
        raise ValueError(f"{faults[0]} is {value} and method {name!r} does more than pool answers by a W, which faults "
                         f"are not modelled for; expected {type(value)()}")
    if config.readout == "prototype" and not hasattr(method, "answers"):
        keeps = ", ".join(other for other, module in METHODS.items() if hasattr(module, "answers"))
        raise ValueError(f"method {name!r} has no prototypes to predict by; set readout=head, or take one of {keeps}")


@cache
def _has(need, family) -> bool:
    """Whether a family of networks has it, by the shapes of its three levels."""
    nets = [levels.build(family, level, (1, 8, 8), 10) for level in (1, 2, 3)]
    shapes = [{name: tuple(w.shape) for name, w in net.named_parameters()} for net in nets]
    if need == "features":
        return len({net.head.in_features for net in nets}) == 1
    same = [{name: shape for name, shape in one.items() if name in shapes[-1]} for one in shapes]
    if need == "depths":  # a shallow network has some of the layers of a deep one, each of the same size
        return all(own == part and all(shapes[-1][n] == s for n, s in own.items()) for own, part in zip(shapes, same))
    return all(own.keys() == shapes[-1].keys() for own in shapes)
