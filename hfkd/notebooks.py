"""Notebooks: run a copy with other parameters, renew the committed outputs, show how far a run is (ours).

The only module that imports papermill, nbclient and nbformat, and only inside its functions: the rest of hfkd runs on a
machine without Jupyter. Notebooks run in the repository's folder, by this interpreter, one at a time: two papermill
kernels at once race for ports.
"""

import json
import logging
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from hfkd.outputs import write_files
from hfkd.parameters import Parameter, checked, parameters, tags
from hfkd.paths import ROOT
from hfkd.progress import VARIABLE, reporting

__all__ = ["Parameter", "checked", "execute", "parameters", "refresh"]


LIMITS = {"smoke": 600, "lite": 2 * 3600, "paper": 24 * 3600}  # seconds that a cell may take


def execute(path: Path, out: Path, given: Mapping[str, object] | None = None, progress: str | None = None,
            limit: int | None = None) -> float:
    """Run a copy of a notebook with papermill; returns the seconds that it took (ours).

    Args:
        path: the notebook, which stays as it is.
        out: the executed copy; while it runs, and when it fails, `<name>.partial.ipynb` in the same folder.
        given: parameter values, as for `checked`.
        progress: what stands before the line on stderr, such as "[2/4]"; None prints nothing. Until the run itself
            says how far it is, the estimate is the time of the last run, kept in `timings.json` beside `out`.
        limit: seconds that a cell may take, see LIMITS; None: no limit.

    Raises:
        FileNotFoundError: no such notebook.
        ValueError: a wrong parameter (nothing is written), or a failing notebook (names it, the cell and the error).
    """
    path, out = Path(path), Path(out)
    values = checked(path, given or {})
    out.parent.mkdir(parents=True, exist_ok=True)
    partial, timings = out.with_name(f"{out.stem}.partial.ipynb"), out.with_name("timings.json")
    started = time.monotonic()
    with _prepared() as live, reporting(progress, out.stem, live, _timings(timings).get(out.stem)):
        _run_papermill(path, partial, values, limit)
    os.replace(partial, out)
    seconds = round(time.monotonic() - started, 1)
    write_files({timings: json.dumps(_timings(timings) | {out.stem: seconds}, indent=1, sort_keys=True) + "\n"})
    return seconds


def refresh(path: Path, progress: str | None = None) -> float:
    """Run a notebook in place with its own defaults; returns the seconds that it took (ours).

    A second refresh leaves the file as it is, byte for byte: no time, version or machine is kept. Metadata is cut to
    kernel, language and tags, and cells are numbered in place of random ids. A failing notebook is left as it was.

    Args:
        path: the notebook.
        progress: as for `execute`.

    Raises:
        FileNotFoundError: no such notebook.
        ValueError: a malformed parameters cell, or a failing notebook (names it, the cell and the error).
    """
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, DeadKernelError

    path = Path(path)
    parameters(path)
    book = nbformat.v4.upgrade(nbformat.read(path, as_version=4))
    options = {"record_timing": False, "coalesce_streams": True, "timeout": None, "kernel_name": "python3"}
    place = {"metadata": {"path": str(ROOT)}}
    started = time.monotonic()
    with _prepared() as live, reporting(progress, path.stem, live, None):
        try:
            NotebookClient(book, kernel_manager_class=_own_kernel(), resources=place, **options).execute()
        except CellExecutionError as error:
            count = max(cell.get("execution_count") or 0 for cell in book.cells)
            raise _failure(path, count, error.ename, error.evalue, "the file is left as it was") from None
        except DeadKernelError:
            raise _failure(path, None, "", "", "the file is left as it was") from None
    write_files({path: nbformat.writes(_normalised(book)).rstrip("\n") + "\n"})
    return round(time.monotonic() - started, 1)


def _run_papermill(path: Path, partial: Path, values: Mapping[str, object], limit: int | None) -> None:
    """Let papermill write the executed copy to `partial`; its errors become one sentence."""
    import papermill
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    shown = partial.relative_to(ROOT) if partial.is_relative_to(ROOT) else partial
    options = {"kernel_name": "python3", "language": "python", "progress_bar": False, "log_output": False,
               "execution_timeout": limit}
    try:
        papermill.execute_notebook(
            path, partial, dict(values), cwd=ROOT, kernel_manager_class=_own_kernel(), coalesce_streams=True, **options
        )
    except PapermillExecutionError as error:
        where = f"the partly executed notebook is {shown}"
        raise _failure(path, error.exec_count, error.ename, error.evalue, where) from None
    except KeyboardInterrupt:
        logging.getLogger("asyncio").disabled = True  # it would tell at length of the task that is dropped
        raise
    except CellTimeoutError:
        late = f"{path.name}: a cell took more than {limit} s"
        raise ValueError(f"{late}; the partly executed notebook is {shown}") from None
    except DeadKernelError:
        raise _failure(path, None, "", "", f"the partly executed notebook is {shown}") from None


def _failure(path: Path, count: int | None, name: str, text: str, where: str) -> ValueError:
    """The error of a notebook that failed in the cell numbered `count`, or whose kernel died (None)."""
    if count is None:
        return ValueError(f"{path.name}: its Python process died, most often for want of memory; {where}")
    last = next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "no message")
    return ValueError(f"{path.name} failed in cell [{count}] with {name}: {last}; {where}")


def _own_kernel() -> type:
    """A kernel manager that starts this very interpreter, whatever kernels named python3 a user has installed."""
    from jupyter_client import AsyncKernelManager
    from jupyter_client.kernelspec import KernelSpecManager
    from traitlets import default

    class OwnKernel(AsyncKernelManager):
        @default("kernel_spec_manager")
        def _native_only(self) -> KernelSpecManager:
            return KernelSpecManager(kernel_dirs=[])

        @default("transport_encryption")
        def _encrypted(self) -> str:
            return "auto"  # else newer kernels warn on stderr; older managers do not know the setting

    return OwnKernel


@contextmanager
def _prepared() -> Iterator[Path]:
    """The environment that a kernel inherits; gives the file in which a run says how far it is."""
    import matplotlib.font_manager  # noqa: F401  builds the font cache here: the message about it stays out of outputs

    with tempfile.TemporaryDirectory() as folder:
        live = Path(folder) / "progress"
        wanted = {
            VARIABLE: str(live),
            "IPYTHONDIR": folder,  # a user's start-up files would change outputs
            "MPLBACKEND": "module://matplotlib_inline.backend_inline",
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # else a warning of the debugger on stderr
        }
        before = {name: os.environ.get(name) for name in wanted}
        os.environ.update(wanted)
        try:
            yield live
        finally:
            for name, value in before.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})


def _normalised(book: dict) -> dict:
    """The notebook without what changes from run to run or from machine to machine."""
    book["nbformat"], book["nbformat_minor"] = 4, 5  # the first format with cell ids
    book["metadata"] = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for number, cell in enumerate(book["cells"], start=1):
        cell["id"] = f"cell-{number:02d}"
        cell["metadata"] = {"tags": tags(cell)} if tags(cell) else {}
    return book


def _timings(path: Path) -> dict[str, float]:
    """Seconds of the last run by notebook; a hint only, so a damaged file counts as none."""
    try:
        return {str(name): float(seconds) for name, seconds in json.loads(path.read_text("utf-8")).items()}
    except (FileNotFoundError, ValueError, AttributeError, TypeError):
        return {}
