"""The notebook contract, read on every notebook of the artifact; and running and refreshing of small ones."""

import ast
import json
import os
import re
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from hfkd import notebooks, paths

BOOKS = sorted(paths.NOTEBOOKS.glob("*.ipynb"))
CELLS, LINES, FUNCTIONS = 14, 120, 1  # at most, in the code cells of one notebook
ABSOLUTE = re.compile(r"""(?<![\w.:/~])/(?:\w[\w.-]*/)+|\b[A-Z]:\\""")  # /a/b, not a/b, ../a, https://a/b
LINE = re.compile(r"\w+: (bool|int|float|str|list\[(bool|int|float|str)\]) = [^=#]+  # \S[^=]*")


def lint(path: Path) -> list[str]:
    """What in a notebook breaks the contract; empty where nothing does."""
    cells = nbformat.read(path, as_version=4).cells
    code = [cell for cell in cells if cell.cell_type == "code"]
    tags = [cell.metadata.get("tags", []) for cell in code]
    first, *paragraphs = [part for part in re.split(r"\n\s*\n", cells[0].source) if part.strip()]
    knobs, lines = code[0].source.splitlines(), sum(len(cell.source.splitlines()) for cell in code)
    functions = sum(len(re.findall(r"^\s*(?:async )?def ", cell.source, re.M)) for cell in code)
    wrong = {
        "the first cell is no title": not re.match(r"# \S", first) or "\n" in first,
        "under the title is no single paragraph with the question": len(paragraphs) != 1 or "?" not in paragraphs[0],
        "the first code cell is not tagged `parameters`": tags[0] != ["parameters"],
        "parameters are not lines `name: type = value  # help`": not all(map(LINE.fullmatch, knobs)),
        "the default profile is not committed": not {'profile: str = "committed"'} & {knob[:26] for knob in knobs},
        "the last code cell is not compared": "nbval-check-output" not in tags[-1] or not code[-1].outputs,
        "execution counts are not 1..n": [cell.execution_count for cell in code] != list(range(1, len(code) + 1)),
        f"{len(code)} code cells, {lines} lines, {functions} functions": len(code) > CELLS or lines > LINES
        or functions > FUNCTIONS,
    }  # fmt: skip
    return [text for text, so in wrong.items() if so] + [text for cell in code for text in _in_code(cell)]


def _in_code(cell) -> list[str]:
    """Magics, paths of a machine, stderr, errors and bare reprs in one code cell and its outputs."""
    texts = [output.get("text", "") + output.get("data", {}).get("text/plain", "") for output in cell.outputs]
    found = [f"absolute path {hit.group()}" for text in [cell.source, *texts] for hit in ABSOLUTE.finditer(text)]
    found += [f"output: {o.output_type} {o.get('name', '')}" for o in cell.outputs
              if o.get("name") == "stderr" or o.output_type == "error"]  # fmt: skip
    found += ["a repr of matplotlib; assign it to _"] if any("<matplotlib." in text for text in texts) else []
    try:
        ast.parse(cell.source)
    except SyntaxError:
        found.append(f"no plain Python (a magic?): {cell.source.splitlines()[0]}")
    return found


def make(path: Path, *cells, knobs='profile: str = "committed"  # p\nalpha: float = 0.5  # weight', outputs=()) -> Path:
    """Write a small notebook that has run: title, parameters, cells, the last one compared; with a noisy kernelspec."""
    code = [new_code_cell(knobs, metadata={"tags": ["parameters"]}), *map(new_code_cell, cells)]
    for count, cell in enumerate(code, start=1):
        cell.execution_count = count
    code[1].outputs, code[-1].metadata["tags"] = list(outputs), ["nbval-check-output"]
    code[-1].outputs = [new_output("stream", name="stdout", text="1\n")]
    noise = {"kernelspec": {"name": "elsewhere", "display_name": "x"}, "language_info": {"name": "python"}}
    nbformat.write(new_notebook(cells=[new_markdown_cell("# T\n\nWhy?"), *code], metadata=noise), path)
    return path


@pytest.mark.parametrize("path", BOOKS, ids=lambda path: path.stem)
def test_contract(path):
    assert lint(path) == []


BREACHES = [
    ({"cells": ["%matplotlib inline"]}, "no plain Python"), ({"cells": ["open('/" + "home/me/x')"]}, "absolute path"),
    ({"cells": ["def a(): pass\ndef b(): pass"]}, "2 functions"), ({"cells": ["x = 1\n" * 121]}, "124 lines"),
    ({"cells": ["1"] * 13}, "15 code cells"), ({"knobs": "alpha = 1"}, "parameters are not lines"),
    ({"knobs": 'a: str = "x=y"  # two'}, "parameters are not lines"), ({"knobs": "a: int = 1  # one"}, "not committed"),
    ({"outputs": [new_output("stream", name="stderr", text="careful")]}, "stderr"),
    ({"outputs": [new_output("display_data", data={"text/plain": "[<matplotlib.lines.Line2D>]"})]}, "repr"),
    ({"outputs": [new_output("error", ename="E", evalue="e", traceback=[])]}, "output: error"),
]  # fmt: skip


@pytest.mark.parametrize(("done", "said"), BREACHES, ids=[said for _, said in BREACHES])
def test_lint_sees(done, said, tmp_path):
    assert lint(make(tmp_path / "a.ipynb", "x = 1", "print(1)")) == []
    cells = done.get("cells", ["x = 1"])
    more = {name: value for name, value in done.items() if name != "cells"}
    assert [text for text in lint(make(tmp_path / "a.ipynb", *cells, "print(1)", **more)) if said in text]


KNOBS = "n: int = 3  # n\nr: float = 0.5  # r\nname: str = 'x'  # x\nseeds: list[int] = [0, 1]  # s"
KNOBS += "\non: bool = True  # on"


@pytest.mark.parametrize(("given", "value"), [
    ({"n": "4"}, 4), ({"r": "1"}, 1.0), ({"r": 2}, 2.0), ({"name": "[0, 1]"}, "[0, 1]"), ({"name": "5"}, "5"),
    ({"seeds": "[0, 1]"}, [0, 1]), ({"on": "False"}, False),
    ({"n": "0.5"}, None), ({"n": "True"}, None), ({"r": "much"}, None), ({"seeds": "3"}, None), ({"on": "1"}, None),
    ({"seeds": "[.5]"}, None), ({"name": 5}, None), ({"n": "(" * 500}, None),
])  # fmt: skip
def test_parameters_arrive_in_the_types_of_the_notebook(given, value, tmp_path):
    path = make(tmp_path / "a.ipynb", "1", knobs=KNOBS)
    if value is not None:
        planned = notebooks.plan([path], given | {"profile": "lite"})  # which not every notebook has
        assert repr(planned[path]) == repr({next(iter(given)): value})
        return
    with pytest.raises(ValueError, match=r"^a\.ipynb: \w+ is .*; expected (int|float|str|bool|list\[int\]), such as "):
        notebooks.plan([path], given)
    with pytest.raises(ValueError, match=r"^parameter 'm' is in no notebook that runs; expected one of \['n', "):
        notebooks.plan([path], {"m": 1})


def test_execute_runs_a_copy_here_and_names_a_failure(tmp_path, monkeypatch):
    elsewhere = {"argv": ["/nowhere/python", "{connection_file}"], "display_name": "mine", "language": "python"}
    (kernel := tmp_path / "jupyter" / "kernels" / "python3").mkdir(parents=True)
    (kernel / "kernel.json").write_text(json.dumps(elsewhere))
    (tmp_path / "matplotlibrc").write_text("text.latex.unicode: True")
    for name, value in (("JUPYTER_PATH", tmp_path / "jupyter"), ("MATPLOTLIBRC", tmp_path / "matplotlibrc"),
                        ("MPLBACKEND", "agg")):  # fmt: skip
        monkeypatch.setenv(name, str(value))  # a user's own kernel, style and backend
    look = "import os, sys\nimport matplotlib.pyplot\nprint(sys.executable, os.getcwd(), os.environ['MPLBACKEND'])"
    path, out = make(tmp_path / "a.ipynb", look, "print(1 / alpha)"), tmp_path / "o" / "a.ipynb"
    source, before = path.read_bytes(), dict(os.environ)
    with pytest.raises(ValueError, match=r"a.ipynb failed in cell \[4\] with ZeroDivisionError: .*a.partial.ipynb$"):
        notebooks.execute(path, out, {"alpha": 0.0})
    assert [file.name for file in out.parent.iterdir()] == ["a.partial.ipynb"] and path.read_bytes() == source
    assert notebooks.execute(path, out, {"alpha": 0.25}) > 0 and dict(os.environ) == before
    outputs = [cell.outputs[0].text for cell in nbformat.read(out, as_version=4).cells if cell.get("outputs")]
    assert outputs == [f"{sys.executable} {paths.ROOT} module://matplotlib_inline.backend_inline\n", "4.0\n"]
    assert [file.name for file in out.parent.iterdir()] == ["a.ipynb"]


def test_a_second_refresh_changes_no_byte(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "RUNS", tmp_path / "runs")
    path = make(tmp_path / "a.ipynb", "print('x')\nprint('y')", "print(alpha)")
    notebooks.refresh(path)
    first = path.read_bytes()
    notebooks.refresh(path)
    assert path.read_bytes() == first and lint(path) == []
    book = json.loads(first)
    assert [cell["id"] for cell in book["cells"]] == [f"cell-0{n}" for n in range(1, 5)]
    assert book["metadata"] == notebooks.METADATA and book["cells"][1]["metadata"] == {"tags": ["parameters"]}
    broken = make(path, "1 / 0").read_bytes()
    with pytest.raises(ValueError, match=r"a.ipynb failed in cell \[2\] with ZeroDivisionError: division by zero"):
        notebooks.refresh(path)
    assert path.read_bytes() == broken
