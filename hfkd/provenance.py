"""Where a result file comes from: parameters, code and machine, in a JSON beside it.

The CSV of a result holds nothing volatile; what may differ from one machine or day to the next (seconds, versions,
commit) is in the JSON, together with the resolved parameters and a digest of the code that made the numbers. A file is
continued only by the same parameters and the same code (HOUSE "A result"; *ours*).
"""

import hashlib
import importlib.metadata
import json
import math
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from hfkd import paths
from hfkd.bystanders import BYSTANDERS

LARGEST = 2**30  # bytes of a result file, some millions of rows
KINDS = {"parameters": dict, "checksums": dict, "commands": list, "methods": dict, "journals": dict,
         "seconds": float | int}  # of what is read back from a record
NEXT = "choose another --out, or start over with --fresh (make reproduce FRESH=1)"


def provenance(base: Mapping, *, seconds: float, device: str, threads: int, checksums: Mapping[str, str],
               **more) -> dict:
    """Where a result comes from, as plain JSON values.

    Args:
        base: the resolved parameters that all rows of the file share (not the methods, skews and seeds of the grid,
            which may grow from one call to the next).
        seconds: wall time spent on the rows.
        device: as torch names it.
        threads: torch threads; they change results.
        checksums: data set name -> sha256.
        more: further fields.

    Returns:
        dict with parameters, code, git (commit, and whether hfkd/ differs from it; "unknown" without git), versions,
        threads, device, checksums, seconds.

    Raises:
        ValueError: `more` names a field that is filled in already.

    Source: *ours* (HOUSE "A result").

    >>> provenance({"clients": 12}, seconds=1.26, device="cpu", threads=2, checksums={})["seconds"]
    1.3
    """
    fixed = {"parameters": base, "code": code_digest(), "git": _git(), "versions": versions(), "threads": threads,
             "device": device, "checksums": checksums, "seconds": round(seconds, 1)}
    if clash := sorted(fixed.keys() & more.keys()):
        raise ValueError(f"provenance field {clash[0]!r} is filled in already; expected another name")
    return plain(fixed | more)


def code_digest(folder: str | Path = Path(__file__).parent) -> str:
    """sha256 over the names and sources of the modules that make numbers, sorted by name.

    Args:
        folder: the package; its *.py and methods/*.py count, except BYSTANDERS.

    Returns:
        64 hexadecimal digits. A comment counts too: equal digests mean equal code to the byte (line ends apart).

    >>> len(code_digest())
    64
    """
    folder, digest = Path(folder), hashlib.sha256()
    sources = [f for f in folder.glob("*.py") if f.stem not in BYSTANDERS] + list(folder.glob("methods/*.py"))
    for name, file in sorted((f.relative_to(folder).as_posix(), f) for f in sources):
        source = file.read_bytes().replace(b"\r\n", b"\n")
        digest.update(f"{name} {len(source)}\n".encode() + source)
    return digest.hexdigest()


def in_the_way(path: str | Path, base: Mapping, code: str) -> None:
    """Return if rows of configuration `base` and code digest `code` may be added to `path`; otherwise say why not.

    Args:
        path: the CSV; nothing is in the way if there is none.
        base: as for `provenance`.
        code: as `code_digest()` returns it.

    Raises:
        ValueError: the file there has other parameters (named with both values), was made by other code, was altered,
            or has no JSON; the sentence names the next step.
    """
    path = Path(path)
    if not path.exists():
        return
    record = read_record(path)
    there, asked = record.get("parameters", {}), plain(base)
    differing = [f"{k} is {there.get(k, 'absent')!r} there and {asked.get(k, 'absent')!r} here"
                 for k in sorted(there.keys() | asked.keys()) if there.get(k, "absent") != asked.get(k, "absent")]
    if differing:
        rest = f"; {len(differing) - 3} more" if len(differing) > 3 else ""
        raise ValueError(f"{path} holds another configuration ({'; '.join(differing[:3])}{rest}); {NEXT}")
    if record.get("code") != code:
        digests = f"digest {str(record.get('code'))[:12]} there, {code[:12]} here"
        raise ValueError(f"{path} was made by other code ({digests}); {NEXT}")


def read_record(path: Path) -> dict:
    """The JSON beside a CSV.

    Raises:
        ValueError: there is none, it is broken, or it was written for other rows than those in the CSV; one of them is
            over LARGEST.
    """
    note, rows = path.with_suffix(".json"), paths.bounded(path, LARGEST)
    if not note.is_file():
        raise ValueError(f"{path} has no {note.name} beside it, so nobody knows how it was made; {NEXT}")
    try:
        record = json.loads(paths.bounded(note, LARGEST).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{note} is not valid JSON ({error}); {NEXT}") from error
    whole = isinstance(record, dict) and all(isinstance(record[k], kind) for k, kind in KINDS.items() if k in record)
    if not whole or not all(isinstance(command, str) for command in record.get("commands", [])):
        raise ValueError(f"{note} is no record of a result; expected an object as `hfkd run` writes it; {NEXT}")
    if record.get("rows_sha256") != rows_digest(rows.read_bytes()):
        raise ValueError(f"{path} is not the file that {note.name} was written for; restore both, or {NEXT}")
    return record


def rows_digest(rows: bytes) -> str:
    """sha256 of a CSV, line ends apart (git may change them).

    >>> rows_digest(b"a\\n") == rows_digest(b"a\\r\\n")
    True
    """
    return hashlib.sha256(rows.replace(b"\r\n", b"\n")).hexdigest()


def plain(value):
    """`value` as strict JSON can hold it: tuples as lists, numpy numbers as Python's, inf and other objects as text.

    >>> plain({"max_gap": np.int64(1), "max_size_ratio": float("inf"), "level_share": (.5, .3, .2)})
    {'max_gap': 1, 'max_size_ratio': 'inf', 'level_share': [0.5, 0.3, 0.2]}
    """
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    holds = isinstance(value, (bool, int, str, type(None))) or isinstance(value, float) and math.isfinite(value)
    return value if holds else str(value)


def _git() -> dict:
    """Commit of this checkout, and whether hfkd/ differs from it; "unknown" where git or the checkout is absent."""
    def ask(*words):
        return subprocess.run(["git", "-C", str(paths.ROOT), *words], capture_output=True, text=True, check=True).stdout
    try:
        top, commit = ask("rev-parse", "--show-toplevel", "HEAD").split("\n")[:2]
        if Path(top).resolve() == paths.ROOT.resolve():  # not unpacked inside somebody else's repository
            return {"commit": commit, "dirty": bool(ask("status", "--porcelain", "--", "hfkd").strip())}
    except (OSError, subprocess.CalledProcessError):
        pass
    return {"commit": "unknown", "dirty": "unknown"}


def versions() -> dict[str, str]:
    """Python and the packages whose numerics matter, without importing them."""
    packages = ("torch", "numpy", "scipy", "scikit-learn", "pandas")
    return {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in packages}
