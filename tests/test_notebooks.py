"""The notebook contract, read on every notebook of the artifact; and running and refreshing of small ones."""

import ast
import io
import json
import re
import sys
import time
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from hfkd import notebooks
from hfkd.parameters import tags
from hfkd.progress import reporting

NOTEBOOKS = sorted((Path(__file__).resolve().parent.parent / "notebooks").glob("*.ipynb"))
CELLS, LINES, FUNCTIONS = 14, 120, 1  # at most, in the code cells of one notebook
ABSOLUTE = re.compile(r"""(?<![\w.:/~])/(?:\w[\w.-]*/)+|\b[A-Z]:\\""")  # /a/b, not a/b, ../a, https://a/b


def lint(path: Path) -> list[str]:
    """What in a notebook breaks the contract; empty where nothing does."""
    book = nbformat.read(path, as_version=4)
    code = [cell for cell in book.cells if cell.cell_type == "code" and cell.source.strip()]
    found = [text for cell in code for text in _in_code(cell)] + _in_title(book.cells[0] if book.cells else None)
    try:
        known = notebooks.parameters(path)
        if "profile" in known and known["profile"].value != "smoke":
            found.append("the default profile is not smoke")
    except ValueError as error:
        found.append(str(error))
    if not code or tags(code[0]) != ["parameters"]:
        found.append("the first code cell is not the one tagged `parameters`")
    if not code or "nbval-check-output" not in tags(code[-1]) or not code[-1].outputs:
        found.append("the last code cell is not tagged `nbval-check-output`, or has no output")
    if [cell.execution_count for cell in code] != list(range(1, len(code) + 1)):
        found.append("execution counts are not 1..n; run `make refresh`")
    sizes = {
        "code cells": (len(code), CELLS),
        "lines of code": (sum(len(cell.source.splitlines()) for cell in code), LINES),
        "functions": (sum(len(re.findall(r"^\s*(?:async )?def ", cell.source, re.M)) for cell in code), FUNCTIONS),
    }
    return found + [f"{size} {name}; at most {limit}" for name, (size, limit) in sizes.items() if size > limit]


def _in_title(cell) -> list[str]:
    """The first cell: a title, then one paragraph with the question."""
    if cell is None or cell.cell_type != "markdown" or not re.match(r"# \S", cell.source):
        return ["the first cell is no title"]
    paragraphs = [part for part in re.split(r"\n\s*\n", cell.source.partition("\n")[2]) if part.strip()]
    asked = len(paragraphs) == 1 and "?" in paragraphs[0]
    return [] if asked else ["under the title is no single paragraph with the question"]


def _in_code(cell) -> list[str]:
    """Magics, progress bars, paths of a machine, stderr, errors and bare reprs in one code cell and its outputs."""
    found = []
    try:
        ast.parse(cell.source)
    except SyntaxError:
        found.append(f"no plain Python (a magic?): {cell.source.splitlines()[0]}")
    texts = [output.get("text", "") + output.get("data", {}).get("text/plain", "") for output in cell.outputs]
    found += [f"absolute path {hit.group()}" for text in [cell.source, *texts] for hit in ABSOLUTE.finditer(text)]
    found += ["tqdm"] if "tqdm" in cell.source else []
    found += ["output on stderr"] if any(output.get("name") == "stderr" for output in cell.outputs) else []
    found += ["an error"] if any(output.output_type == "error" for output in cell.outputs) else []
    found += ["a repr of matplotlib; assign it to _"] if any("<matplotlib." in text for text in texts) else []
    return found


def make(path: Path, *, knobs="alpha: float = 0.5  # weight", cells=("print(alpha)",), title="# T\n\nWhy?") -> Path:
    """Write a small notebook: title, parameters, `cells`, the last one compared; random ids and a noisy kernelspec."""
    code = [new_code_cell(knobs, metadata={"tags": ["parameters"]}), *map(new_code_cell, cells)]
    code[-1].metadata["tags"] = ["nbval-check-output"]
    noise = {"kernelspec": {"name": "elsewhere", "display_name": "x"}, "language_info": {"name": "python"}}
    nbformat.write(new_notebook(cells=[new_markdown_cell(title), *code], metadata=noise), path)
    return path


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_contract(path):
    assert lint(path) == []


@pytest.mark.skipif(bool(NOTEBOOKS), reason="there are notebooks: test_contract reads them")
def test_notebooks_are_there():
    pytest.skip("notebooks/ has no notebook yet")


BREACHES = [  # what is done to a cell, what lint says about it
    ("%matplotlib inline", [], "no plain Python"),
    ("!ls", [], "no plain Python"),
    ("from tqdm import tqdm", [], "tqdm"),
    ("open('/" + "home/me/x')", [], "absolute path"),
    ("def a(): pass\ndef b(): pass", [], "2 functions"),
    ("x = 1\n" * 121, [], "lines of code"),
    ("1", [new_output("stream", name="stderr", text="careful")], "stderr"),
    ("1", [new_output("display_data", data={"text/plain": "[<matplotlib.lines.Line2D>]"})], "repr"),
    ("1", [new_output("error", ename="E", evalue="e", traceback=[])], "an error"),
]


@pytest.mark.parametrize(("source", "outputs", "said"), BREACHES, ids=[breach[2] for breach in BREACHES])
def test_lint_sees(tmp_path, source, outputs, said):
    def numbered(source, outputs):
        book = nbformat.read(make(tmp_path / "a.ipynb", cells=(source, "print(1)")), as_version=4)
        for count, cell in enumerate(book.cells[1:], start=1):
            cell.execution_count = count
        book.cells[2].outputs = outputs
        book.cells[3].outputs = [new_output("stream", name="stdout", text="1\n")]
        nbformat.write(book, tmp_path / "a.ipynb")
        return lint(tmp_path / "a.ipynb")

    assert numbered("x = 1", []) == []
    assert [text for text in numbered(source, outputs) if said in text]


def test_lint_sees_what_is_missing(tmp_path):
    said = " ".join(lint(make(tmp_path / "a.ipynb", title="T", knobs="alpha = 1", cells=["1"] * 14)))
    for text in ("no title", "`alpha = 1` has another form", "has no output", "counts are not 1..n", "15 code cells"):
        assert text in said


def test_unknown_name_writes_nothing(tmp_path):
    path = make(tmp_path / "a.ipynb", knobs="n: int = 3  # n\nr: float = 0.5  # r")
    with pytest.raises(ValueError, match="no parameter `alpah`; it has n, r"):
        notebooks.execute(path, tmp_path / "runs" / "a.ipynb", {"alpah": "1"})
    assert sorted(tmp_path.iterdir()) == [path]


def test_execute_runs_a_copy_and_names_a_failure(tmp_path, capsys, monkeypatch):
    elsewhere = {"argv": ["/nowhere/python", "{connection_file}"], "display_name": "mine", "language": "python"}
    (kernel := tmp_path / "jupyter" / "kernels" / "python3").mkdir(parents=True)
    (kernel / "kernel.json").write_text(json.dumps(elsewhere))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))  # another kernel of that name comes first
    monkeypatch.setenv("MPLBACKEND", "agg")
    cells = ["import os, sys", "print(sys.executable, os.getcwd(), os.environ['MPLBACKEND'])", "print(1 / alpha)"]
    path, out = make(tmp_path / "a.ipynb", cells=cells), tmp_path / "runs" / "a.ipynb"
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"a.ipynb failed in cell \[5\] with ZeroDivisionError: .*a.partial.ipynb$"):
        notebooks.execute(path, out, {"alpha": "0"}, progress="[1/1]")
    assert not out.exists() and out.with_name("a.partial.ipynb").exists() and path.read_bytes() == before
    assert "[1/1] a stopped after" in capsys.readouterr().err
    seconds = notebooks.execute(path, out, {"alpha": "0.25"})
    outputs = [cell.outputs[0].text for cell in nbformat.read(out, as_version=4).cells if cell.get("outputs")]
    assert outputs == [f"{sys.executable} {notebooks.ROOT} module://matplotlib_inline.backend_inline\n", "4.0\n"]
    assert sorted(p.name for p in out.parent.iterdir()) == ["a.ipynb", "timings.json"]
    assert json.loads(out.with_name("timings.json").read_text()) == {"a": seconds}


def test_second_refresh_changes_no_byte(tmp_path):
    path = make(tmp_path / "a.ipynb", cells=["print('x')\nprint('y')", "alpha"])
    notebooks.refresh(path)
    first = path.read_bytes()
    notebooks.refresh(path)
    assert path.read_bytes() == first and lint(path) == []
    book = json.loads(first)
    assert [cell["id"] for cell in book["cells"]] == ["cell-01", "cell-02", "cell-03", "cell-04"]
    assert book["metadata"]["language_info"] == {"name": "python"}
    assert book["metadata"]["kernelspec"]["name"] == "python3"
    make(path, cells=["1 / 0"])
    broken = path.read_bytes()
    with pytest.raises(ValueError, match=r"a.ipynb failed in cell \[2\] with ZeroDivisionError: division by zero; "):
        notebooks.refresh(path)
    assert path.read_bytes() == broken


def test_a_terminal_shows_what_the_run_says(tmp_path, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    monkeypatch.setenv("COLUMNS", "60")
    (tmp_path / "progress").write_text("round 5/20, about 40 s left\n")
    with reporting("[2/4]", "40_comparison", tmp_path / "progress"):
        time.sleep(1.3)  # one line after a second
    lines = terminal.getvalue().split("\r")[1:]
    assert {len(line.rstrip("\n")) for line in lines} == {59}  # each covers the one before
    assert re.fullmatch(r"\[2/4\] 40_comparison \d s: round 5/20, about 40 s left +", lines[0])
    assert re.fullmatch(r"\[2/4\] 40_comparison done in \d s +\n", lines[-1])
