"""The matching bench: its rows are those of `match`, from processes of their own, and a broken case is told."""

import numpy as np
import pytest

from hfkd import bench_match
from hfkd.matching import Paths, match
from hfkd.shares import draw_levels
from hfkd.streams import stream


def test_rows_are_what_match_does_in_a_process_of_its_own():
    cases = (("coverage", 2), ("nearest", None))
    found = list(bench_match.costs(sizes=(6, 40), classes=10, cases=cases))
    assert [row[:4] for row in found] == [(n, 10, *case) for n in (6, 40) for case in cases]
    rng = stream(0, "bench match")
    counts = rng.multinomial(200, rng.dirichlet(np.full(10, 0.1), size=40))
    levels = draw_levels(40, (0.5, 0.3, 0.2), rng)
    assert found[2].edges == match(counts, Paths(levels, fan_out=2)).edges.sum()
    for row in found:  # an interpreter with numpy and scipy needs tens of megabytes, and these sizes little more
        assert row.seconds > 0 and 3e7 < row.memory < 4e9


def test_a_case_that_breaks_is_told():
    with pytest.raises(ValueError, match="case .*'no_such_rule'.* did not run to its end: ValueError: rule is"):
        list(bench_match.costs(sizes=(6,), classes=10, cases=(("no_such_rule", None),)))
