"""Tables with a row per client: checked, and all their pairs walked through in blocks of bounded memory (ours).

Letters: R students, T teachers, C classes.
"""

from collections.abc import Callable, Iterator

import numpy as np

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


def _numbers(values: np.ndarray, name: str) -> np.ndarray:
    """`values` as a float64 table (N >= 1, C >= 2), or an error that says what it is instead."""
    try:
        table = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{name} is no table of numbers; expected shape (clients, classes)") from None
    if table.ndim != 2 or table.shape[0] < 1 or table.shape[1] < 2:
        raise ValueError(f"{name} has shape {table.shape}; expected (clients, classes) with at least 1 and 2")
    return table


def counted(counts: np.ndarray) -> np.ndarray:
    """`counts` as float64 whole numbers, or an error that names client and class."""
    n = _numbers(counts, "counts")
    wrong = ~np.isfinite(n) | (n < 0) | (n != np.floor(n))
    if wrong.any():
        i, c = np.argwhere(wrong)[0]
        raise ValueError(f"counts of client {i}, class {c} is {n[i, c]:g}; expected a non-negative integer")
    return n


def shared(p: np.ndarray) -> np.ndarray:
    """`p` as float64 label distributions, or an error that names the client."""
    p = _numbers(p, "p")
    wrong = ~np.isfinite(p) | (p < 0)
    if wrong.any():
        i, c = np.argwhere(wrong)[0]
        raise ValueError(f"p of client {i}, class {c} is {p[i, c]:g}; expected a share >= 0")
    off = np.abs(p.sum(axis=1) - 1) > 1e-6
    if off.any():
        i = int(np.argmax(off))
        raise ValueError(f"p of client {i} sums to {p[i].sum():g}; expected 1 (make it with distributions(counts))")
    return p


def dial(personality: float) -> None:
    """Refuse a dial outside [0, 1].

    >>> dial(1.5)
    Traceback (most recent call last):
    ValueError: personality is 1.5; expected a number from 0 (consistency) to 1 (personality)
    """
    if not 0 <= personality <= 1:
        raise ValueError(f"personality is {personality}; expected a number from 0 (consistency) to 1 (personality)")
