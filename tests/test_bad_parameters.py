"""Parameters of notebooks that no notebook takes, and notebooks that are none: refused before the first one runs."""

import json

import pytest
from bad import refused  # noqa: F401  a fixture

from hfkd import paths

DEEP = "[" * 500
PARAMETERS = {  # what stands behind `reproduce -p` -> what the sentence says
    "skew": "-p 'skew' has no '='; expected name=value",
    "": "-p '' has no '='; expected name=value",
    "=1": "parameter '' is in none of 00_data_and_levels, 10_matching",
    "colour=1": "parameter 'colour' is in none of 00_data_and_levels",
    "Skew=1": "parameter 'Skew' is in none of 00_data_and_levels",
    "profile=lite": "-p profile=... is not how to choose the profile; use --profile",
    "seed=1.5": "`seed` is '1.5'; expected a value of type int, such as 0",
    "seed=True": "`seed` is 'True'; expected a value of type int",
    "seed=": "`seed` is ''; expected a value of type int",
    "seed=-1": "seed is -1; expected an integer >= 0",
    "seed=1e3": "`seed` is '1e3'; expected a value of type int",
    "skew=fast": "`skew` is 'fast'; expected a value of type float, such as 0.1",
    "skew=nan": "`skew` is 'nan'; expected a value of type float",
    "skew=1e400": "`skew` is '1e400'; expected a value of type float",
    "skew=[.1]": "`skew` is '[.1]'; expected a value of type float",
    "skew=-1": "skew is -1.0; expected 1e-06 or more",
    "skew=1" + "0" * 400: "0'; expected a value of type float, such as 0.1",
    "personality=2": "personality is 2.0; expected 0.0 or more, at most 1.0",
    "fan_in=0": "fan_in is 0; expected 1 or more",
    "fan_in=__import__('os').getpid()": "`fan_in` is \"__import__('os').getpid()\"; expected a value of type",
    "fan_in=(lambda: 2)()": "`fan_in` is '(lambda: 2)()'; expected a value of type int",
    "rule=best": "rule is 'best'; expected one of coverage",
    "client=12": "client is 12; expected one of 0 to 11",
    "client=-1": "client is -1; expected an integer >= 0",
    "seeds=0-": "seeds is '0-'; expected numbers and ranges",
    "seeds=[0,1]": "seeds is '[0,1]'; expected numbers and ranges",
    "overrides=5": "`overrides` is '5'; expected a value of type list[str], such as []",
    "overrides=[5]": "`overrides` is '[5]'; expected a value of type list[str]",
    "overrides={[]:1}": "`overrides` is '{[]:1}'; expected a value of type list[str]",
    f"overrides={DEEP}": f"`overrides` is '{DEEP}'; expected a value of type list[str]",
    "overrides=['alpha']": "--set 'alpha' has no '='; expected name=value",
    "overrides=['alpha=7']": "alpha is 7.0; expected 0.0 or more",
    "overrides=['colour=7']": "parameter 'colour' is unknown; expected one of alpha",
    "overrides=['skew=.5']": "skew is a parameter and in overrides; expected one of the two",
    "overrides=['method=fedsgd']": "method is 'fedsgd'; expected one of",
    "overrides=['hard_loss=plain']": "hard_loss is an axis of 40_comparison; leave it to the grid",
    "overrides=['weighting=fixed']": "weighting is an axis of 20_weighting; leave it to the grid",
}
OF_70 = {  # the same, of the notebook that runs two grids and makes two tables
    "seeds=0,100": "seeds are [0, 100]; expected none of [100, 101, 102], which fit the attack",
    "overrides=['skew=.3']": "skew is an axis of both tables; leave it to them",
    "overrides=['transport=private']": "transport is 'private' with dropout; expected public",
    "overrides=['dropout=.3']": "dropout is an axis of 70_faults; leave it to the grid",
    "overrides=['epsilon=1']": "epsilon is an axis of 70_privacy; leave it to the grid",
}


@pytest.mark.parametrize("parameter", OF_70)
def test_parameters_of_notebook_70(parameter, refused):  # noqa: F811
    assert OF_70[parameter] in refused("reproduce", "--only", "70", "-p", parameter)


@pytest.mark.parametrize("parameter", PARAMETERS)
def test_parameters(parameter, refused):  # noqa: F811
    assert PARAMETERS[parameter] in refused("reproduce", "-p", parameter)


def test_a_parameter_twice(refused):  # noqa: F811
    assert "-p 'skew=.2' is there twice; expected" in refused("reproduce", "-p", "skew=.1", "-p", "skew=.2")


def book(source, kind="code", cells=1) -> str:
    """A notebook with a parameters cell."""
    cell = {"cell_type": kind, "metadata": {"tags": ["parameters"]}, "source": source}
    return json.dumps({"cells": [cell] * cells})


BOOKS = {  # the text of a notebook -> what the sentence says
    "": "10_x.ipynb is no notebook; expected a JSON file with cells",
    "{": "10_x.ipynb is no notebook; expected",
    "[]": "10_x.ipynb is no notebook; expected",
    '{"cells": 3}': "10_x.ipynb is no notebook; expected",
    '{"cells": [3]}': "10_x.ipynb is no notebook; expected",
    '{"cells": []}': "10_x.ipynb has 0 cells tagged `parameters`; expected one code cell",
    book("", "markdown"): "10_x.ipynb has 1 cells tagged `parameters`; expected one code cell",
    book("", cells=2): "10_x.ipynb has 2 cells tagged `parameters`; expected one code cell",
    book(["a = 1"]): "the line `a = 1` has another form; expected `name: type = literal",
    book(["a: int = open('x')  # x"]): "the line `a: int = open('x')  # x` has another value; expected a",
    book(["a: set = {1}  # x"]): "the line `a: set = {1}  # x` has the type set; expected one of bool, int",
    book(["a: int = 1  # x\n", "a: int = 2  # x"]): "parameters cell: `a` is there twice; expected one line per name",
    book(3): "10_x.ipynb is no notebook; expected",
    "[" * 100_000: "10_x.ipynb is no notebook; expected",
}


@pytest.mark.parametrize("number", range(len(BOOKS)))
@pytest.mark.parametrize("command", ["reproduce", "refresh"])
def test_notebooks(number, command, tmp_path, refused, monkeypatch):  # noqa: F811
    text, said = list(BOOKS.items())[number]
    monkeypatch.setattr(paths, "NOTEBOOKS", tmp_path)
    (tmp_path / "10_x.ipynb").write_text(text)
    assert said in refused(command, "--only", "10")


def test_a_binary_notebook(tmp_path, refused, monkeypatch):  # noqa: F811
    monkeypatch.setattr(paths, "NOTEBOOKS", tmp_path)
    (tmp_path / "10_x.ipynb").write_bytes(b"\x80\xff\0")
    assert "10_x.ipynb is no notebook; expected" in refused("reproduce", "--only", "10")
