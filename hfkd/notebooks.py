"""Notebooks: run a copy with other parameters, renew the committed outputs (ours).
The only module that imports papermill and nbformat, inside its functions: the rest of hfkd runs without Jupyter.
Notebooks run in the repository's folder, by this interpreter, one at a time."""

import ast
import logging
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from hfkd import paths

METADATA = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"}}  # fmt: skip


def chosen(only: str | None) -> list[Path]:
    """The notebooks, or those whose numbers are named ("10,40"). Raises ValueError for a number that none has."""
    every = {book.name[:2]: book for book in sorted(paths.NOTEBOOKS.glob("[0-9]*.ipynb"))}
    wanted = [*every] if only is None else only.split(",")
    if unknown := [number for number in wanted if number not in every]:
        raise ValueError(f"--only names notebook {unknown[0]!r}; expected one of {', '.join(every)}")
    return [every[number] for number in sorted({*wanted})]


def plan(books: Sequence[Path], given: Mapping[str, str]) -> dict[Path, dict]:
    """Notebook -> those of the given parameters that it has, in its own types: papermill would pass text on as text.
    Raises ValueError for a name that no notebook has (but "profile"), or a value of another type."""
    import papermill
    known = {book: papermill.inspect_notebook(str(book)) for book in books}
    if unknown := given.keys() - {"profile"}.union(*known.values()):
        raise ValueError(f"parameter {min(unknown)!r} is in no notebook that runs; "
                         f"expected one of {sorted(set().union(*known.values()))}")  # fmt: skip
    planned = {book: {} for book in books}
    for book, own in known.items():
        for name in [name for name in given if name in own]:
            kind, usual = own[name]["inferred_type_name"], own[name]["default"]
            try:
                planned[book][name] = _fitted(given[name], kind)
            except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):  # all that a literal may raise
                raise ValueError(f"{book.name}: {name} is {given[name]!r}; expected {kind}, such as {usual}") from None
    return planned


def execute(path: Path, out: Path, values: Mapping[str, object] | None = None) -> float:
    """Run a copy of a notebook with some parameters, as `plan` has them; its seconds. `out` is whole or not there.
    Raises ValueError for a notebook that fails: see `<name>.partial.ipynb`."""
    import papermill
    start, partial = time.monotonic(), out.with_name(f"{out.stem}.partial.ipynb")
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory() as folder:
            papermill.execute_notebook(
                path, partial, values, cwd=paths.ROOT, kernel_manager_class=_own_kernel(folder), coalesce_streams=True,
                kernel_name="python3", language="python", progress_bar=False, log_output=False)  # fmt: skip
    except papermill.PapermillExecutionError as error:
        said = f"{error.ename}: {' '.join(error.evalue.split()) or 'no message'}"
        raise ValueError(f"{path.name} failed in cell [{error.exec_count}] with {said}; see {partial}") from None
    except RuntimeError as error:  # the kernel did not start, or died
        raise ValueError(f"{path.name}: {error}; see {partial}") from None
    except KeyboardInterrupt:
        logging.getLogger("asyncio").disabled = True  # it would tell at length of the task that is dropped
        raise
    os.replace(partial, out)
    return time.monotonic() - start


def refresh(path: Path) -> float:
    """Run a notebook in place with its defaults; returns its seconds. One that fails is left as it was.
    A second refresh changes no byte: metadata are cut to kernel, language and tags, and cells are numbered."""
    import nbformat
    seconds = execute(path, out := paths.RUNS / "refresh" / path.name)
    book = nbformat.v4.upgrade(nbformat.read(out, as_version=4))
    book.update(nbformat=4, nbformat_minor=5, metadata=METADATA)
    for number, cell in enumerate(book["cells"], start=1):
        cell.update(id=f"cell-{number:02d}", metadata={k: v for k, v in cell["metadata"].items() if k == "tags" and v})
    paths.write(path, nbformat.writes(book).rstrip("\n") + "\n")
    return seconds


def _own_kernel(folder: str) -> type:
    """A kernel manager that starts this very interpreter, without the start-up files, styles and kernels of a user."""
    import matplotlib.font_manager  # builds the font cache here: the message about it stays out of outputs
    from jupyter_client import AsyncKernelManager
    from jupyter_client.kernelspec import KernelSpecManager
    environment = os.environ | {
        "IPYTHONDIR": folder, "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "MATPLOTLIBRC": os.devnull, "PYTHONWARNINGS": "", "PYDEVD_DISABLE_FILE_VALIDATION": "1"}  # none of the debugger
    class OwnKernel(AsyncKernelManager):
        kernel_spec_manager = KernelSpecManager(kernel_dirs=[])
        transport_encryption = "auto"  # else newer kernels warn on stderr
        transport = "ipc" if len(os.fsencode(folder)) < 80 else "tcp"  # sockets that are files need no loopback
        connection_file = str(Path(folder, "k.json"))
        async def start_kernel(self, **more):
            quiet = ["--IPKernelApp.log_level=CRITICAL"]  # else it may tell that its shutdown interrupted it
            await super().start_kernel(**more | {"env": environment, "extra_arguments": quiet})
    return OwnKernel


def _fitted(value: object, kind: str) -> object:
    """The value if it is of the type (an int also serves as a float), text read as a literal; ValueError if not."""
    if isinstance(value, str) and kind != "str":
        value = ast.literal_eval(value)
    if kind.startswith("list") and isinstance(value, list):
        return [_fitted(item, kind[5:-1] or "str") for item in value]
    value = float(value) if kind == "float" and type(value) is int else value
    if kind not in ("bool", "int", "float", "str") or type(value).__name__ != kind:
        raise ValueError
    return value
