"""The parameters cell of a notebook: read it, and turn given values into its types (ours).

papermill alone only warns about an unknown parameter, overlooks a line with a second `=`, and passes "[0, 1]" as a
string. So every value is checked here, against the cell itself, before anything is written.
"""

import ast
import json
import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

SCALARS = {"bool": bool, "int": int, "float": float, "str": str}
TYPES = (*SCALARS, "list", *(f"list[{name}]" for name in SCALARS))  # papermill loses tuples and `| None`


class Parameter(NamedTuple):
    """One line of the parameters cell: `name: type = value  # help`."""

    type: str
    value: object
    help: str


def parameters(path: Path) -> dict[str, Parameter]:
    """The parameters of a notebook by name, read from its one cell tagged `parameters` (ours).

    Args:
        path: an .ipynb file; each line of that cell is `name: type = literal  # help`, with a type of `TYPES`.

    Raises:
        FileNotFoundError: no such notebook.
        ValueError: no notebook in the file, not exactly one such cell, or a line of another form.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no notebook {path}; the folder {path.parent} has none of that name")
    try:
        cells = [cell for cell in json.loads(path.read_text("utf-8"))["cells"] if "parameters" in tags(cell)]
        kinds, lines = [cell["cell_type"] for cell in cells], ["".join(cell["source"]).splitlines() for cell in cells]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):  # no JSON, or of another shape
        raise ValueError(f"{path.name} is no notebook; expected a JSON file with cells") from None
    if kinds != ["code"]:
        raise ValueError(f"{path.name} has {len(cells)} cells tagged `parameters`; expected one code cell")
    found: dict[str, Parameter] = {}
    for line in filter(str.strip, lines[0]):
        try:
            name, parameter = parse_line(line)
        except ValueError as error:
            raise ValueError(f"{path.name}, parameters cell: {error}") from None
        if name in found:
            raise ValueError(f"{path.name}, parameters cell: `{name}` is there twice; expected one line per name")
        found[name] = parameter
    return found


def tags(cell: Mapping) -> list[str]:
    """The tags of a notebook cell, in order.

    >>> tags({"metadata": {"tags": ["parameters"]}}), tags({})
    (['parameters'], [])
    """
    return list(cell.get("metadata", {}).get("tags", []))


def parse_line(line: str) -> tuple[str, Parameter]:
    """Name and parameter of one line `name: type = literal  # help` with no other `=` on it (ours).

    Raises:
        ValueError: the line has another form, a type outside `TYPES`, or a literal that is not of its type.

    >>> parse_line("seeds: list[int] = [0, 1]  # repeats")
    ('seeds', Parameter(type='list[int]', value=[0, 1], help='repeats'))
    """
    wrong = ValueError(f"the line `{line}` has another form; expected `name: type = literal  # help` with a single `=`")
    try:
        (node,) = ast.parse(line).body
    except (SyntaxError, ValueError):
        raise wrong from None
    if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name) or line.count("=") != 1:
        raise wrong
    comment = line.encode()[node.end_col_offset :].decode().strip()  # ast counts in bytes of UTF-8
    if not (comment.startswith("#") and comment.strip("# ")):
        raise wrong
    kind = ast.unparse(node.annotation)
    if kind not in TYPES:
        raise ValueError(f"the line `{line}` has the type {kind}; expected one of {', '.join(TYPES)}")
    try:
        return node.target.id, Parameter(kind, _fitted(ast.literal_eval(node.value), kind), comment.lstrip("# "))
    except ValueError:
        raise ValueError(f"the line `{line}` has another value; expected a literal of type {kind}") from None


def checked(path: Path, given: Mapping[str, object]) -> dict[str, object]:
    """The given parameter values in the types of the notebook; text is read as a literal of that type (ours).

    Args:
        path: the notebook.
        given: name -> value, or its text as typed on a command line ("0.3", "[0, 1]", "true").

    Raises:
        FileNotFoundError: no such notebook.
        ValueError: a name that the notebook does not have, or a value that is not of the declared type.
    """
    known = parameters(path)
    values = {}
    for name, value in given.items():
        if name not in known:
            raise ValueError(f"{Path(path).name} has no parameter `{name}`; it has {', '.join(known) or 'none'}")
        kind, default, _ = known[name]
        try:
            values[name] = _fitted(_literal(value) if isinstance(value, str) and kind != "str" else value, kind)
        except ValueError:
            raise ValueError(
                f"{Path(path).name}: `{name}` is {value!r}; expected a value of type {kind}, such as {default!r}"
            ) from None
    return values


def literal(text: str) -> object:
    """The Python literal that a text spells (ours).

    Raises:
        ValueError: it spells none, or one that is too deep to be read.

    >>> literal("(1, .5)"), literal("'a'")
    ((1, 0.5), 'a')
    """
    try:
        with warnings.catch_warnings(action="ignore"):  # of "1is 2" the compiler warns before it is refused
            return ast.literal_eval(text)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError) as error:  # all that it may raise
        raise ValueError(f"{text!r} is no literal") from error


def _literal(text: str) -> object:
    """The Python literal that a text spells; `true` and `false` count as well."""
    return literal({"true": "True", "false": "False"}.get(text.strip(), text.strip()))


def _fitted(value: object, kind: str) -> object:
    """The value if it is of the declared type (an int also serves as a float); ValueError if not."""
    if kind.startswith("list"):
        if not isinstance(value, list):
            raise ValueError
        return [_fitted(item, kind[5:-1]) for item in value] if "[" in kind else value
    if kind == "float" and type(value) is int and abs(value) < 2**53:
        return float(value)
    if type(value) is not SCALARS[kind] or kind == "float" and not math.isfinite(value):  # `is`: True is no int here
        raise ValueError
    return value
