"""`hfkd bench`: its tables on the terminal, and as JSON for programs."""

import json
import os
import time
from pathlib import Path

from hfkd import bench_match, floor, overhead, provenance, sweep
from hfkd.config import configure
from hfkd.outputs import write_files
from hfkd.results import check_out
from hfkd.running import device_name
from hfkd.shares import integer
from hfkd.state import check_device

HEAD = f"{'':44}{'seconds':>9}{'floor':>9}{'ratio':>7}{'one by one':>12}{'faster':>8}{'GFLOP':>10}{'MB':>8}"
LEGEND = """floor: its floating point operations at the rate of a 2048 x 2048 matrix product on this machine, same run
ratio: seconds over floor; one by one: one client after the other, autograd and torch's SGD, the same threads, for FML
through the engine's layers. The best of the repeats counts, but published rounds on a CPU and HFKD one by one run once.
MB: the peak of the process that measured all of it"""


def show(only: str | None, device: str, threads: int | None, repeats: int, out: Path | None) -> None:
    """Measure one table or all, print each figure as it is there, and write FILE at the end.

    Args:
        only: a table of `hfkd bench --help`, or None.
        threads: None: as many as there are processors.
        out: a JSON file, or None.

    Raises:
        ValueError: nothing to time, a device that is not there, a file that cannot be written.
    """
    threads = os.cpu_count() if threads is None else threads
    check_device(configure(device=device, threads=threads))
    integer("repeats", repeats, 1)
    if out is not None:
        check_out(out, ".json")
    start, found, matched = time.monotonic(), [], []
    for table in sweep.TABLES if only is None else [only] if only in sweep.TABLES else []:
        print(f"{table}, {device}, {threads} threads\n{HEAD}", flush=True)
        for work in sweep.plan(table, device):
            figure, memory = floor.apart(work, device, threads, repeats)
            found.append({"table": table, **figure._asdict(), "floor": figure.floor, "memory": memory})
            print(line(found[-1]), flush=True)
    if found:
        print(LEGEND)
    if only in (None, "match"):
        matched = _match()
    if only == "rules":  # takes as long as all others together, and says nothing about the engine
        overhead.show(device, threads, repeats)
    if out is not None:
        record = provenance.provenance(
            {"repeats": repeats}, seconds=time.monotonic() - start, device=device_name(device), threads=threads,
            checksums={}, figures=found, match=matched,
        )  # fmt: skip
        write_files({out: json.dumps(record, indent=1) + "\n"})


def line(row: dict) -> str:
    """One figure as a line of the table; what was not measured stays blank.

    >>> line({"what": "a", "seconds": 2.0, "floor": None, "sequential": 8.0, "flops": None, "memory": 3e6}).split()
    ['a', '2.000', '8.000', '4.0', '3']
    """
    took, least, plain = row["seconds"], row["floor"], row["sequential"]
    cells = [
        f"{row['what']:44}{took:9.3f}",
        f"{least:9.3f}{took / least:7.1f}" if least else " " * 16,
        f"{plain:12.3f}{plain / took:8.1f}" if plain else " " * 20,
        f"{row['flops'] / 1e9:10.1f}" if row["flops"] else " " * 10,
        f"{row['memory'] / 1e6:8.0f}",
    ]
    return "".join(cells)


def _match() -> list[dict]:
    """The table of matching at scale, as it is measured."""
    print("match, 100 classes")
    print(f"{'clients':>10}  {'rule':12}{'fan_out':>8}{'seconds':>10}{'MB':>8}{'edges':>8}")
    found = []
    for row in bench_match.costs():
        found.append(row._asdict())
        limit = "none" if row.fan_out is None else row.fan_out
        cells = f"{row.clients:10,}  {row.rule:12}{limit:>8}{row.seconds:10.2f}{row.memory / 1e6:8.0f}{row.edges:8,}"
        print(cells, flush=True)
    return found
