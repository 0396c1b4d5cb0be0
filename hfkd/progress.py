"""How far a run is: it says so in one line of a small file, and whoever started it shows the line (ours).

The environment variable HFKD_PROGRESS names the file. What a notebook prints on stderr would end up among its outputs,
hence the file. The run replaces it as a whole by a line such as "cell 3/10 fedmd: round 5/20, about 40 s left".
"""

import shutil
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

VARIABLE = "HFKD_PROGRESS"


def state(said: str, elapsed: float, expected: float | None) -> str:
    """Seconds so far, then what the run says of itself, or else what the last run lets one expect (ours).

    Args:
        said: the run's own line, "" where it said nothing yet.
        elapsed: seconds since the start.
        expected: seconds of the last run, None where unknown.

    >>> state("", 12.0, 40.0), state("round 5/20", 12.0, 40.0), state("", 50.0, 40.0)
    ('12 s: about 28 s left', '12 s: round 5/20', '50 s: longer than the 40 s of the last run')
    """
    if not said and expected is not None:
        late = f"longer than the {expected:.0f} s of the last run"
        said = f"about {expected - elapsed:.0f} s left" if elapsed < expected else late
    return f"{elapsed:.0f} s: {said or 'running'}"


@contextmanager
def reporting(prefix: str | None, name: str, file: Path, expected: float | None = None) -> Iterator[None]:
    """Show on stderr how far a run is, while the body runs: each second on a terminal, else each 15 s (ours).

    Args:
        prefix: what stands before the line, such as "[2/4]"; None shows nothing.
        name: what runs.
        file: where the run says how far it is; need not exist.
        expected: seconds of the last run, None where unknown.
    """
    if prefix is None:
        yield
        return
    terminal, started, stop = sys.stderr.isatty(), time.monotonic(), threading.Event()

    def report() -> None:
        while not stop.wait(1 if terminal else 15):
            said = file.read_text("utf-8").strip() if file.is_file() else ""
            _show(f"{prefix} {name} {state(said, time.monotonic() - started, expected)}", "" if terminal else "\n")

    thread = threading.Thread(target=report, daemon=True)
    thread.start()
    word = "stopped after"
    try:
        yield
        word = "done in"
    finally:
        stop.set()
        thread.join()
        _show(f"{prefix} {name} {word} {time.monotonic() - started:.0f} s", "\n")


def _show(line: str, end: str) -> None:
    """Print on stderr; on a terminal over the line that is there."""
    if sys.stderr.isatty():
        width = shutil.get_terminal_size().columns - 1
        line = f"\r{line[:width]:<{width}}"
    print(line, end=end, file=sys.stderr, flush=True)
