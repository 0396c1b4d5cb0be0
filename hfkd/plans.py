"""What `hfkd reproduce` will run: every notebook and every parameter checked before the first one starts (ours)."""

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from hfkd import cells, config, data, disclosure, notebooks, paths, state
from hfkd.grids import GRIDS
from hfkd.shares import integer

MORE = {"70": ("70", "faults")}  # the grids of a notebook, where it runs others than that of its own number


def chosen(only: str | None) -> list[Path]:
    """The notebooks, or those whose number is named ("10,40"), in order.

    Raises:
        ValueError: a number that no notebook has.
    """
    every = sorted(paths.NOTEBOOKS.glob("[0-9]*.ipynb"))
    known = [book.name[:2] for book in every]
    wanted = known if only is None else only.split(",")
    if missing := [number for number in wanted if number not in known]:
        raise ValueError(f"--only names notebook {missing[0]!r}; expected one of {', '.join(known)}")
    return [book for book in every if book.name[:2] in wanted]


def plan(profile: str, only: str | None, assignments: Sequence[str]) -> dict[Path, dict]:
    """Notebook -> its parameters, all checked; the data and the device that the profile needs are there.

    Args:
        profile, only: see `config.configure` and `chosen`.
        assignments: `name=value` texts (the command's -p); each goes to the notebooks that have the name.

    Raises:
        ValueError: an unknown profile, notebook or parameter, or a value that its notebook would refuse.
    """
    settings, books, given = config.configure(profile), chosen(only), _given(assignments)
    if "profile" in given:
        raise ValueError("-p profile=... is not how to choose the profile; use --profile")
    found, known = {}, set()
    for book in books:
        own = notebooks.parameters(book)
        known |= own.keys()
        mine = {name: value for name, value in given.items() if name in own}
        found[book] = notebooks.checked(book, mine | {"profile": profile})
        _fits({name: line.value for name, line in own.items()} | found[book], book.name[:2])
    if unknown := sorted(given.keys() - known):
        where, names = ", ".join(book.stem for book in books), ", ".join(sorted(known - {"profile"}))
        raise ValueError(f"parameter {unknown[0]!r} is in none of {where}; expected one of {names}")
    if any(book.stem != "90_claims" for book in books):
        state.check_device(settings)
        data.load(settings.dataset)
    return found


def _given(assignments) -> dict[str, str]:
    """Name -> text."""
    given = {}
    for text in assignments:
        name, equals, value = text.partition("=")
        if not equals or name in given:
            wrong = "is there twice" if equals else "has no '='"
            raise ValueError(f"-p {text!r} {wrong}; expected name=value, each name once")
        given[name] = value
    return given


def _fits(values: dict, number: str) -> None:
    """Return if a notebook, its grids if it has any, and the tables of notebook 70 can be made of these parameters."""
    own, more = {field.name for field in fields(config.Config)}, config.parse_set(values.get("overrides", []))
    named = {name: value for name, value in values.items() if name in own}
    if twice := sorted(named.keys() & more.keys()):
        raise ValueError(f"{twice[0]} is a parameter and in overrides; expected one of the two")
    settings = config.configure(values["profile"], **(named | more))
    cells.check_names(settings)
    seeds = config.parse_seeds(values["seeds"]) if values.get("seeds") else None
    for name in MORE.get(number, GRIDS.keys() & {number}):
        cells.cells(GRIDS[name], values["profile"], more)
    if number == "70":
        disclosure.check(values["profile"], seeds, **more)
    integer("seed", values.get("seed", 0), 0)
    if integer("client", values.get("client", 0), 0) >= settings.clients:
        raise ValueError(f"client is {values['client']}; expected one of 0 to {settings.clients - 1}")
