"""The parameters cell of a notebook: its lines, its one place, and given values in its types."""

import json
import re
from pathlib import Path

import pytest

from hfkd.parameters import checked, parameters, parse_line


def notebook(folder: Path, knobs: str) -> Path:
    """A file with as much of a notebook as the parameters cell needs."""
    cell = {"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": knobs.splitlines(keepends=True)}
    other = {"cell_type": "code", "metadata": {}, "source": "a = 1"}
    (folder / "a.ipynb").write_text(json.dumps({"cells": [other, cell]}), "utf-8")
    return folder / "a.ipynb"


def test_parameters_of_a_notebook(tmp_path):
    knobs = 'name: str = "a # b"  # with é\nsteps: list[int] = []  # none\n\nrate: float = -1  # made a float'
    found = parameters(notebook(tmp_path, knobs))
    assert found["name"] == ("str", "a # b", "with é") and found["steps"] == ("list[int]", [], "none")
    assert found["rate"] == ("float", -1.0, "made a float") and list(found) == ["name", "steps", "rate"]
    assert type(found["rate"].value) is float


OTHER_FORMS = """
a = 1  # no type
a: int = 1
a: int = 1  #
a: int  # no value
a: int = b  # no literal
a: int = 1  # b=2
a: int = 1.5  # a float
a: int = True  # a bool
a: tuple = (1, 2)  # a tuple
a: list[int] = [1, 'b']  # a str in it
a: int = 1; b: int = 2  # two
a.b: int = 1  # an attribute
import os  # x
# only a comment
%magic
""".split("\n")[1:-1]


@pytest.mark.parametrize("line", OTHER_FORMS)
def test_lines_of_another_form(line):
    with pytest.raises(ValueError, match=re.escape(f"the line `{line}`")):
        parse_line(line)


def test_parameters_needs_one_cell_and_one_line_per_name(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no notebook"):
        parameters(tmp_path / "none.ipynb")
    with pytest.raises(ValueError, match="`a` is there twice"):
        parameters(notebook(tmp_path, "a: int = 1  # x\na: int = 2  # y"))
    (tmp_path / "b.ipynb").write_text(json.dumps({"cells": []}))
    with pytest.raises(ValueError, match="has 0 cells tagged `parameters`"):
        parameters(tmp_path / "b.ipynb")
    (tmp_path / "c.ipynb").write_text("no JSON")
    with pytest.raises(ValueError, match="c.ipynb is no notebook"):
        parameters(tmp_path / "c.ipynb")


KNOBS = """n: int = 3  # n
r: float = 0.5  # r
on: bool = True  # on
s: str = "x"  # s
l: list[int] = [0]  # l
m: list = []  # m"""


def test_values_take_the_declared_type(tmp_path):
    path = notebook(tmp_path, KNOBS)
    given = {"n": "5", "r": "1", "on": "false", "s": "[0,1]", "l": "[0,1]", "m": "['a', 1]"}
    assert checked(path, given) == {"n": 5, "r": 1.0, "on": False, "s": "[0,1]", "l": [0, 1], "m": ["a", 1]}
    assert checked(path, {"r": 2, "l": [4]}) == {"r": 2.0, "l": [4]} and checked(path, {}) == {}


MISTYPED = [("n", "2.5"), ("n", True), ("r", "fast"), ("on", "1"), ("s", 3), ("l", "0,1"), ("l", "[0.5]"), ("m", "x=1")]


@pytest.mark.parametrize(("name", "value"), MISTYPED)
def test_mistyped_values(tmp_path, name, value):
    with pytest.raises(ValueError, match=re.escape(f"`{name}` is {value!r}; expected a value of type ")):
        checked(notebook(tmp_path, KNOBS), {name: value})


def test_unknown_name_lists_the_known(tmp_path):
    with pytest.raises(ValueError, match="a.ipynb has no parameter `seed`; it has n, r, on, s, l, m"):
        checked(notebook(tmp_path, KNOBS), {"seed": "1"})
