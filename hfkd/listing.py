"""`hfkd list`: what there is, a line each."""

from importlib import import_module

LISTS = {
    "methods": lambda: {name: method.SUMMARY if "public" in method.NEEDS else f"{method.SUMMARY} [data-free]"
                        for name, method in _module("methods").METHODS.items()},
    "datasets": lambda: _module("data").NAMES,
    "partitions": lambda: _module("partition").PARTITIONS,
    "rules": lambda: _module("matching").RULES,
    "protocols": lambda: _module("compat").about(),
    "profiles": lambda: {name: about for name, (_, _, about) in _module("config").PROFILES.items()},
    "weightings": lambda: _module("weighting").RULES,
    "revenues": lambda: _module("revenue").RULES,
    "schedules": lambda: _module("learning").SCHEDULES,
    "transports": lambda: _module("transport").KINDS,
    "grids": lambda: {key: f"{grid.name}: {grid.about}" for key, grid in _module("grids").GRIDS.items()},
    "claims": lambda: {claim.id: claim.statement for claim in _module("claims").read()},
    "settings": lambda: _module("config").settings(),
}


def _module(name):
    """A module when it is needed: `--help` should not wait for torch."""
    return import_module(f"hfkd.{name}")


def show(options):
    """`hfkd list`."""
    lines = LISTS[options.what]()
    width = max(map(len, lines), default=0)
    for name, about in lines.items():
        print(f"{name:{width}}  {about}")
