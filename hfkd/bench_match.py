"""`hfkd bench --only match`: what assessment and matching cost, from 100 clients to 10,000. All of it is ours.

Each case runs in a process of its own, so that the peak of its memory is no other case's.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import NamedTuple

from hfkd.matching import Paths, match
from hfkd.paths import ROOT
from hfkd.peaks import peak
from hfkd.shares import draw_levels
from hfkd.streams import stream

CASES = (("coverage", None), ("coverage", 8), ("assignment", None), ("nearest", None))  # rule, fan_out


class Cost(NamedTuple):
    """One case: wall seconds of `match`, which assesses what it needs, and the peak memory of its process in bytes."""

    clients: int
    classes: int
    rule: str
    fan_out: int | None
    seconds: float
    memory: int
    edges: int


def costs(sizes=(100, 1_000, 10_000), classes: int = 100, cases=CASES) -> Iterator[Cost]:
    """Times assessment and matching of every case at every number of clients.

    The peak is that of a fresh process, about 0.1 GB of it the libraries.

    Args:
        sizes: numbers of clients, each >= 3; levels in shares .5/.3/.2.
        classes: >= 2; everybody has 200 samples in Dirichlet(.1) shares.
        cases: (rule, fan_out) each; any rule but "random".

    Yields:
        A Cost per size and case.

    Raises:
        ValueError: a case that does not run to its end, with the last line that it said.
    """
    for case in ((n, classes, *case) for n in sizes for case in cases):
        command = [sys.executable, "-m", "hfkd.bench_match", json.dumps(case)]
        child = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
        if child.returncode:
            said = child.stderr.strip().splitlines()[-1:] or [f"exit code {child.returncode}"]
            raise ValueError(f"matching case {case} did not run to its end: {said[0]}")
        yield Cost(*case, *json.loads(child.stdout))


def measure(clients: int, classes: int, rule: str, fan_out: int | None) -> tuple[float, int, int]:
    """Seconds, peak memory of this process so far in bytes, and edges of one case.

    >>> measure(6, 10, "nearest", None)[2] > 0
    True
    """
    rng = stream(0, "bench match")
    counts = rng.multinomial(200, rng.dirichlet([0.1] * classes, size=clients))
    levels = draw_levels(clients, (0.5, 0.3, 0.2), rng)
    start = time.perf_counter()
    edges = match(counts, Paths(levels, fan_out=fan_out), rule).edges
    seconds = time.perf_counter() - start
    return seconds, peak(), int(edges.sum())


if __name__ == "__main__":
    print(json.dumps(measure(*json.loads(sys.argv[1]))))
