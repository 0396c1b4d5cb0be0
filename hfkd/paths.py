"""Every folder of the artifact, found from this file (notebooks run in any folder), and the one way to write a file."""

import os
from itertools import count
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent  # the repository
CLAIMS = ROOT / "data" / "claims.csv"  # one row per claim of the paper
RESULTS = ROOT / "data" / "results"  # committed result tables with their provenance
CHECKSUMS = ROOT / "data" / "checksums.sha256"  # sha256 of the raw data files, paths relative to data_home()
FIGURES = ROOT / "figures"  # figures made from the committed results
NOTEBOOKS = ROOT / "notebooks"
RUNS = ROOT / "runs"  # ignored by git: cells, results and executed notebooks of a run
_NUMBER = count()  # of temporary files of this process


def data_home() -> Path:
    """Folder of the raw data sets: HFKD_DATA, relative to the repository, or data/raw in it; read at every call."""
    chosen = os.environ.get("HFKD_DATA", "").strip()
    return ROOT / Path(chosen).expanduser() if chosen else ROOT / "data" / "raw"


def write(path: Path, content: str | bytes) -> Path:
    """Write a file, in a folder made for it, whole or not at all (an OSError): to a temporary name, then renamed."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name[:100]}.{os.getpid()}.{next(_NUMBER)}")
    try:
        with open(beside, "wb") as file:
            file.write(content.encode("utf-8") if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    return path
