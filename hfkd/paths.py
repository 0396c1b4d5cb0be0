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
RUNS = ROOT / Path(os.environ.get("HFKD_RUNS", "").strip() or "runs").expanduser()  # ignored by git: what runs leave
_NUMBER = count()  # of temporary files of this process


def data_home() -> Path:
    """Folder of the raw data sets: HFKD_DATA, relative to the repository, or data/raw in it; read at every call."""
    chosen = os.environ.get("HFKD_DATA", "").strip()
    return ROOT / Path(chosen).expanduser() if chosen else ROOT / "data" / "raw"


def expect_writable(path: Path, advice: str) -> None:
    """Nothing, or a ValueError with the advice: what could only fail at the save is tried before the work."""
    try:
        write(path.with_name(f".{path.name[:100]}.try"), b"").unlink()
    except OSError as error:
        raise ValueError(f"{path.parent} cannot be written ({error.strerror}); {advice}") from error


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
    except BaseException as error:
        beside.unlink(missing_ok=True)
        if isinstance(error, OSError):
            error.filename = str(path)  # a full disk does not name it
        raise
    return path
