"""Label counts, levels and limits that are none, given to assess and match: a ValueError that names what is wrong."""

import numpy as np
import pytest

from hfkd import assess
from hfkd.matching import Paths, match

COUNTS = {  # what is given as counts -> what the error says
    "None": (None, "has shape (); expected (clients, classes)"),
    "a number": (3, "has shape (); expected (clients, classes) with at least 1 and 2"),
    "a word": ("a", "is no table of numbers"),
    "a row": ([1, 2], "has shape (2,); expected (clients, classes)"),
    "nothing": ([], "has shape (0,); expected"),
    "no classes": ([[]], "has shape (1, 0); expected"),
    "one class": ([[1], [2]], "has shape (2, 1); expected"),
    "no clients": (np.zeros((0, 3)), "has shape (0, 3); expected"),
    "three axes": (np.zeros((2, 2, 2)), "has shape (2, 2, 2); expected"),
    "rows of two lengths": ([[1, 2], [3]], "is no table of numbers"),
    "words": ([["a", "b"]], "is no table of numbers"),
    "digits as text": ([["1", "2"]], "is no table of numbers"),
    "complex": ([[1j, 2]], "is no table of numbers"),
    "dates": (np.array([["2020-01-01"] * 2], "M8[D]"), "is no table of numbers"),
    "a mapping": ({"a": 1}, "is no table of numbers"),
    "objects": ([[object(), 1]], "is no table of numbers"),
    "a gap": ([[None, 1]], "of client 0, class 0 is nan; expected"),
    "NaN": ([[1, np.nan]], "of client 0, class 1 is nan; expected"),
    "inf": ([[1, 1], [1, np.inf]], "of client 1, class 1 is inf; expected"),
    "below 0": ([[1, -1]], "of client 0, class 1 is -1; expected"),
    "too large for float64": ([[10**400, 1]], "is no table of numbers"),
    "larger than 2**53": ([[2**70, 1]], "of client 0, class 0 is 1.18059e+21; expected"),
    "whose sum is inf": ([[1e308, 1e308]], "of client 0, class 0 is 1e+308; expected"),
}
HALVES = {"halves": ([[.5, 1]], "of client 0, class 0 is 0.5; expected a non-negative integer up to 2**53")}


@pytest.mark.parametrize("what", COUNTS | HALVES)
@pytest.mark.parametrize("read", [assess.distributions, assess.union_gain, assess.affinity,
                                  lambda counts: match(counts, Paths([1, 2, 2]))],
                         ids=["distributions", "union_gain", "affinity", "match"])  # fmt: skip
def test_counts(what, read):
    given, said = (COUNTS | HALVES)[what]
    with pytest.raises(ValueError) as error:
        read(given)
    assert str(error.value).startswith(f"counts {said}")


@pytest.mark.parametrize("what", COUNTS)
@pytest.mark.parametrize("read", [assess.uniformity, assess.similarity, assess.coverage])
def test_shares(what, read):
    given, said = COUNTS[what]
    with pytest.raises(ValueError) as error:
        read(given)
    assert str(error.value).startswith(f"p {said}")


LIMITS = {  # what is given to Paths in place of what is right -> what the error says
    "levels": {"None": None, "nothing": [], "a table": [[1]], "floats": [1.5], "words": ["a"], "from 0": [0, 1, 1],
               "booleans": [True], "two lengths": [1, [2]], "huge": [10**30, 1], "a number": 3},
    "max_gap": {"0": 0, "below 0": -1, "a half": 1.5, "a boolean": True, "None": None, "a word": "1"},
    "fan_in": {"0": 0, "None": None, "2.5": 2.5},
    "fan_out": {"0": 0, "a word": "x", "a float": 1e3},
    "max_size_ratio": {"0": 0, "below 0": -1, "nan": np.nan, "None": None, "a word": "a", "a list": [1], "complex": 1j,
                       "huge": 10**400, "without sizes": 2},
    "topology": {"a number": 1, "too small": [[1]], "weights": np.full((3, 3), .5), "NaN": np.full((3, 3), np.nan),
                 "two lengths": [[True]] * 2 + [[True, False]], "a word": "x"},
    "sizes": {"a word": "a", "too few": [1, 2], "0": [1, 2, 0], "below 0": [1, 2, -3], "nan": [1, 2, np.nan],
              "inf": [1, 2, np.inf], "two lengths": [1, [2], 3], "words": [1, 2, "c"], "a gap": [1, 2, None]},
    "edge_bytes": {"0": 0, "below 0": -1, "a word": "a", "too small": [[1]], "nan": np.nan, "two lengths": [1, [2]]},
    "budget_bytes": {"without prices": 5, "a word": "a"},
}


@pytest.mark.parametrize(("name", "what"), [(name, what) for name in LIMITS for what in LIMITS[name]])
def test_limits(name, what):
    with pytest.raises(ValueError) as error:
        Paths(**{"levels": [1, 2, 2]} | {name: LIMITS[name][what]})
    assert str(error.value).startswith((name, "level of client 0 is 0"))


@pytest.mark.parametrize("budget", [0, -1, np.nan, "a", [1], 10**400, 2])
def test_budget(budget):
    with pytest.raises(ValueError, match="^budget_bytes is "):
        Paths([1, 2, 2], budget_bytes=budget, edge_bytes=4.)


GIVEN = [("rule", "best"), ("rule", []), ("rule", None), ("rule", "random"), ("personality", -.1), ("personality", 2),
         ("personality", np.nan), ("personality", "a"), ("personality", None), ("personality", [.5]), ("share", -1),
         ("share", 2), ("share", np.nan), ("share", "x"), ("revenue", [[1]]), ("revenue", "x"),
         ("revenue", np.full((3, 3), 2.)), ("revenue", np.full((3, 3), np.nan)),
         ("revenue", [[1], [2, 3]])]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), GIVEN)
def test_match(name, value):
    with pytest.raises(ValueError, match=rf"^{name} .*; expected "):
        match([[4, 0], [0, 4], [2, 2]], Paths([1, 2, 2]), **{name: value})
