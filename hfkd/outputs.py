"""Files appear whole: all those of a result or none, one writer at a time, no traces of a killed one (ours).

While a command works on X.csv the folder X.csv.checkpoints lies beside it, with the lock and with checkpoints of what
is not yet saved. The kernel lets go of the lock when the process ends, however it ends: what then lies there belongs to
nobody, and whoever comes next finishes it, goes on from it or removes it.
"""

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path


@contextmanager
def alone(out: Path, fresh: bool = False) -> Iterator[Path]:
    """Nobody else works on `out` while the body runs, which gets the folder of its checkpoints.

    Args:
        out: the CSV. fresh: checkpoints that are there are removed.

    Raises:
        ValueError: somebody else does. OSError: the folder takes no file.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as home, alone(Path(home) / "x.csv") as folder:
    ...     folder.name, [path.name for path in folder.iterdir()]
    ('x.csv.checkpoints', ['lock'])
    """
    folder = out.with_name(f"{out.name}.checkpoints")
    new = [each for each in out.absolute().parents if not each.exists()]
    with writing(out):
        lock = _locked(folder / "lock", out)
    try:
        with writing(out):
            os.ftruncate(lock, 0)
            os.pwrite(lock, str(os.getpid()).encode(), 0)
            finish(out)
            old = folder.glob("*.safetensors") if fresh else ()
            for left in [*out.parent.glob(f".{escape(out.name)}.*.tmp"), *folder.glob(".*.tmp"), *old]:
                shutil.rmtree(left) if left.is_dir() else left.unlink()
        yield folder
    finally:
        with suppress(OSError):
            finish(out)  # after Ctrl-C in the middle of it
        (folder / "lock").unlink(missing_ok=True)
        with suppress(OSError):  # checkpoints are in it, or somebody else is there already
            for each in (folder, *new):
                each.rmdir()
        os.close(lock)


def _locked(path, out):
    """The open file whose lock this process now has."""
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):  # who was here before has just tidied up: once more
            file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.path.samestat(os.fstat(file), os.stat(path)):
                    return file
            except BlockingIOError:
                who = os.pread(file, 20, 0).decode() or "unknown"
                os.close(file)
                there = f"another run (process {who}) is writing to it"
                raise ValueError(f"{out} is taken: {there}; wait for that one, or choose another --out") from None
            except OSError:
                os.close(file)
                raise
            os.close(file)


def publish(out: Path, texts: Mapping[Path, str]) -> None:
    """Write a result and what belongs to it, all in one folder; a process that is killed leaves all of them or none.

    They are written to a folder of their own, whose renaming saves them; then each is moved to its place. What a killed
    process has not moved, `finish` does. A power cut counts as a kill: the disk has them before they are renamed.

    Args:
        out: the CSV. texts: path -> text, `out` among them.

    Raises:
        OSError: as `writing`; the files there are as they were.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as home:
    ...     publish(Path(home) / "x.csv", {Path(home) / "x.csv": "one", Path(home) / "x.json": "two"})
    ...     sorted(path.name for path in Path(home).iterdir())
    ['x.csv', 'x.json']
    """
    half = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    with writing(out):
        finish(out)
        try:
            half.mkdir(parents=True)
            for path, text in texts.items():
                _written(half / path.name, text.encode())
            _on_disk(half)
            os.replace(half, _saved(out))
            _on_disk(out.parent)
        finally:
            shutil.rmtree(half, ignore_errors=True)
        finish(out)


def finish(out: Path) -> None:
    """Move to its place what was saved, but not yet moved when its process was killed."""
    if _saved(out).is_dir():
        for file in sorted(_saved(out).iterdir()):
            os.replace(file, out.with_name(file.name))
        _saved(out).rmdir()


def _saved(out):
    """The folder whose appearance saves what is in it."""
    return out.with_name(f".{out.name}.saved")


def _written(path, content):
    """Write a file that may be renamed then: its name never stands for less, not even after a power cut."""
    path.write_bytes(content)
    _on_disk(path)


def _on_disk(path):
    """Wait until the disk has a file's content, or the names in a folder."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    except OSError as error:
        if error.errno != errno.EINVAL:  # file systems that know no such thing for folders say this
            raise
    finally:
        os.close(file)


def write_files(texts: Mapping[Path, str | bytes]) -> None:
    """Write every text to a temporary name in its own folder, then rename all: no reader ever sees half a file.

    Args:
        texts: path -> text, written as UTF-8, or bytes.

    Raises:
        OSError: as `writing`; no temporary file is left.

    Source: *ours*.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_files({Path(folder) / "a.csv": "one", Path(folder) / "a.json": "two"})
    ...     sorted(p.name for p in Path(folder).iterdir())
    ['a.csv', 'a.json']
    """
    temporary = {path: path.with_name(f".{path.name}.{os.getpid()}.tmp") for path in texts}
    with writing(next(iter(texts))):
        try:
            for path, text in texts.items():
                path.parent.mkdir(parents=True, exist_ok=True)
                _written(temporary[path], text if isinstance(text, bytes) else text.encode())
            for path, name in temporary.items():
                os.replace(name, path)
        finally:
            for name in temporary.values():
                name.unlink(missing_ok=True)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Whatever keeps the body from writing (a full disk, a folder that is read only) is said in one sentence.

    Raises:
        OSError: names the file and the reason.

    >>> with writing(Path("x.csv")):
    ...     raise OSError(28, "No space left on device")
    Traceback (most recent call last):
    OSError: x.csv cannot be written (No space left on device); what was saved is kept: mend that and try again
    """
    try:
        yield
    except OSError as error:
        again = "what was saved is kept: mend that and try again"
        raise OSError(f"{path} cannot be written ({error.strerror or error}); {again}") from error
