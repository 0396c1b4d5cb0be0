"""Tables with a row per client: checked, and all their pairs walked through in blocks of bounded memory (ours).

Letters: R students, T teachers, C classes.
"""

from collections.abc import Callable, Iterator

import numpy as np

MOST = 2.0**53  # float64 holds every integer up to here
BLOCK = 2**16  # numbers in a temporary array: there is none of (R, T, C), and these stay in the processor's cache


def evenness(m: np.ndarray) -> np.ndarray:
    """`hfkd.assess.uniformity` of m / |m| without its checks, for arrays of any shape (..., C); 1 where all of m is 0.

    >>> evenness(np.array([[2., 2.], [3., 1.], [0., 0.]])).round(6).tolist()
    [1.0, 0.811278, 1.0]
    """
    total = m.sum(axis=-1, keepdims=True)
    q = m / np.where(total > 0, total, 1)
    logs = np.maximum(q, 1e-300)  # 0 ln 0 = 0
    spread = -np.einsum("...c,...c->...", q, np.log(logs, out=logs))
    return np.where(total[..., 0] > 0, spread / np.log(m.shape[-1]), 1.0)


def blocks(length: int, width: int) -> Iterator[slice]:
    """Slices that cut `length` rows of `width` numbers each into blocks of at most BLOCK numbers, or of one row.

    >>> list(blocks(5, BLOCK // 2))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    step = max(1, BLOCK // max(1, width))
    return (slice(start, min(start + step, length)) for start in range(0, length, step))


def mixtures(x: np.ndarray, y: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """`evenness` of x_s + y_t for every pair, a block of students (r, T) at a time."""
    for s in blocks(len(x), y.size):
        found = [evenness(x[s, None] + y[None, t]) for t in blocks(len(y), y.shape[1])]
        yield s, np.concatenate(found, axis=1)


def two(check: Callable, students: np.ndarray, teachers: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Both tables, checked; the first stands for both where there is no second."""
    students = check(students)
    teachers = students if teachers is None else check(teachers)
    if students.shape[1] != teachers.shape[1]:
        raise ValueError(f"students have {students.shape[1]} classes, teachers {teachers.shape[1]}; expected as many")
    return students, teachers


def _table(values: np.ndarray, name: str) -> np.ndarray:
    """`values` as a float64 table (N >= 1, C >= 2), or an error that says what it is instead."""
    try:
        found = np.asarray(values)
        found = found.astype(np.float64) if found.dtype.kind in "biufO" else None
    except (TypeError, ValueError, OverflowError):
        found = None
    if found is None:
        raise ValueError(f"{name} is no table of numbers; expected shape (clients, classes)")
    if found.ndim != 2 or found.shape[0] < 1 or found.shape[1] < 2:
        raise ValueError(f"{name} has shape {found.shape}; expected (clients, classes) with at least 1 and 2")
    return found


def counted(counts: np.ndarray) -> np.ndarray:
    """`counts` as float64 whole numbers, or an error that names client and class."""
    n = _table(counts, "counts")
    wrong = ~((n >= 0) & (n <= MOST) & (n == np.floor(n)))
    if wrong.any():
        i, c = np.argwhere(wrong)[0]
        raise ValueError(f"counts of client {i}, class {c} is {n[i, c]:g}; expected a non-negative integer up to 2**53")
    return n


def shared(p: np.ndarray) -> np.ndarray:
    """`p` as float64 label distributions, or an error that names the client."""
    p = _table(p, "p")
    wrong = ~((p >= 0) & (p <= 1 + 1e-6))
    if wrong.any():
        i, c = np.argwhere(wrong)[0]
        raise ValueError(f"p of client {i}, class {c} is {p[i, c]:g}; expected a share from 0 to 1")
    off = np.abs(p.sum(axis=1) - 1) > 1e-6
    if off.any():
        i = int(np.argmax(off))
        raise ValueError(f"p of client {i} sums to {p[i].sum():g}; expected 1 (make it with distributions(counts))")
    return p


def dial(personality: float) -> None:
    """Refuse a dial that is no number from 0 to 1.

    >>> dial(1.5)
    Traceback (most recent call last):
    ValueError: personality is 1.5; expected a number from 0 (consistency) to 1 (personality)
    """
    if not _fraction(personality):
        raise ValueError(f"personality is {personality!r}; expected a number from 0 (consistency) to 1 (personality)")


def paid(revenue: np.ndarray | None, share: float, n: int) -> np.ndarray:
    """(N, N) share * revenue, 0 where there is none, or an error that says what is wrong with them.

    >>> paid([[0, 1], [-1, 0]], 0.5, 2).tolist()
    [[0.0, 0.5], [-0.5, 0.0]]
    """
    if not _fraction(share):
        raise ValueError(f"share is {share!r}; expected a number from 0 to 1")
    if revenue is None:
        return np.broadcast_to(0.0, (n, n))
    revenue = numbers("revenue", revenue)
    if revenue.shape != (n, n) or not (np.abs(revenue) <= 1).all():
        raise ValueError(f"revenue has shape {revenue.shape}, or an entry outside -1..1; expected ({n}, {n}) in -1..1")
    return share * revenue.astype(np.float64)


def numbers(name: str, values) -> np.ndarray:
    """`values` as an array of numbers, or an error that names them.

    >>> numbers("sizes", [[1], [2, 3]])
    Traceback (most recent call last):
    ValueError: sizes is no table of numbers; expected rows of equal length
    """
    try:
        found = np.asarray(values)
    except ValueError:
        found = None
    if found is None or found.dtype.kind not in "biuf":
        raise ValueError(f"{name} is no table of numbers; expected rows of equal length")
    return found


def _fraction(value) -> bool:
    """Whether it is a number from 0 to 1."""
    return isinstance(value, (int, float, np.integer, np.floating)) and 0 <= value <= 1
