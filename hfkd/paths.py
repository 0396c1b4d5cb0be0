"""Every folder of the artifact, found from this file; HFKD_DATA says where the raw data sets lie; `bounded` (ours).

papermill runs a notebook in the caller's folder and nbval in the notebook's own, so the working folder must not matter.
"""

import os
import stat
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent  # the repository
CLAIMS = ROOT / "data" / "claims.csv"  # one row per claim of the paper
RESULTS = ROOT / "data" / "results"  # committed result tables with their provenance
CHECKSUMS = ROOT / "data" / "checksums.sha256"  # sha256 of the raw data files, paths relative to data_home()
FIGURES = ROOT / "figures"  # figures made from the committed results
NOTEBOOKS = ROOT / "notebooks"
RUNS = ROOT / "runs"  # ignored by git: executed notebooks, results of a run


def data_home() -> Path:
    """Folder of the raw data sets: the environment variable HFKD_DATA, or data/raw in the repository (ours).

    Read at every call, so that setting HFKD_DATA after the import still counts. A relative HFKD_DATA is taken from the
    repository, never from the working folder: a notebook and the command line then see the same files.

    Raises:
        ValueError: it begins with the home folder of a user that does not exist.

    >>> import os
    >>> before = os.environ.get("HFKD_DATA")
    >>> os.environ["HFKD_DATA"] = "../shared/data"
    >>> data_home().relative_to(ROOT.parent).as_posix()
    'shared/data'
    >>> _ = os.environ.pop("HFKD_DATA")
    >>> data_home().relative_to(ROOT).as_posix()
    'data/raw'
    >>> if before is not None: os.environ["HFKD_DATA"] = before
    """
    chosen = os.environ.get("HFKD_DATA", "").strip()
    try:
        return (ROOT / Path(chosen).expanduser()).resolve() if chosen else ROOT / "data" / "raw"
    except RuntimeError:
        raise ValueError(f"HFKD_DATA is {chosen!r}, whose home folder nobody knows; expected a folder") from None


def bounded(path: Path, most: int) -> Path:
    """The same path, if it leads to a file whose reading comes to an end: no pipe, no device, `most` bytes (ours).

    Raises:
        ValueError: something else. OSError: nothing is there, or it cannot be asked.

    >>> bounded(Path("/dev/zero"), 100)
    Traceback (most recent call last):
    ValueError: /dev/zero is no regular file; expected one
    """
    about = path.stat()
    if not stat.S_ISREG(about.st_mode):
        raise ValueError(f"{path} is no regular file; expected one")
    if about.st_size > most:
        raise ValueError(f"{path} has {about.st_size} bytes; expected at most {most}")
    return path
