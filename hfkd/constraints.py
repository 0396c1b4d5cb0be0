"""RQ1, path constraints: who may teach whom, and how much. `hfkd.matching` re-exports `Paths` and `admissible`.

Every pair matrix is [student s, teacher t]. The poster asks for path constraints and names none; these are ours, except
that knowledge goes between adjacent levels (authors' code, LIFE).
"""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from hfkd.shares import integer
from hfkd.tables import numbers


@dataclass(frozen=True, eq=False)
class Paths:
    """Levels of the clients and the limits on who teaches whom (METHOD section 2; ours).

    Args:
        levels: (N,) integers >= 1; the largest is the most capable.
        max_gap: a teacher stands at most this many levels above its student, >= 1.
        max_size_ratio: parameters of the teacher over parameters of the student, at most; inf: no limit.
        fan_in: teachers per student, at most, >= 1.
        fan_out: students per teacher, at most, >= 1; None: no limit.
        budget_bytes: bytes per round over all edges, at most; None: no limit.
        topology: (N, N) bool [student, teacher], True where a link exists; None: everywhere.
        sizes: (N,) parameters per client, needed if max_size_ratio is finite.
        edge_bytes: bytes per round of an edge, one number or (N, N), > 0, needed if budget_bytes is given.

    Raises:
        ValueError: a limit that is none or cannot hold; the sentence names it.

    >>> Paths([1, 2], fan_in=0)
    Traceback (most recent call last):
    ValueError: fan_in is 0; expected an integer >= 1
    """

    levels: np.ndarray
    max_gap: int = 1
    max_size_ratio: float = np.inf
    fan_in: int = 4
    fan_out: int | None = None
    budget_bytes: float | None = None
    topology: np.ndarray | None = None
    sizes: np.ndarray | None = None
    edge_bytes: np.ndarray | float | None = None

    def __post_init__(self):
        self._keep("levels", _levels(self.levels))
        integer("max_gap", self.max_gap, 1)
        integer("fan_in", self.fan_in, 1)
        integer("fan_out", 1 if self.fan_out is None else self.fan_out, 1)
        if not _above_zero(self.max_size_ratio):
            raise ValueError(f"max_size_ratio is {self.max_size_ratio!r}; expected a number > 0, or inf for no limit")
        n = len(self.levels)
        if self.sizes is not None:
            self._keep("sizes", _positive("sizes", self.sizes, (n,)))
        if np.isfinite(self.max_size_ratio) and self.sizes is None:
            raise ValueError(f"max_size_ratio is {self.max_size_ratio} but sizes (parameters per client) is missing")
        if self.topology is not None:
            self._keep("topology", _mask(self.topology, n))
        if self.edge_bytes is not None:
            self._keep("edge_bytes", _positive("edge_bytes", self.edge_bytes, (n, n)))
        if self.budget_bytes is not None:
            _check_budget(self)

    def _keep(self, name: str, value: np.ndarray) -> None:
        """Store a read-only copy, so that a frozen record is frozen."""
        value = np.array(value)
        value.setflags(write=False)
        object.__setattr__(self, name, value)


def admissible(paths: Paths) -> np.ndarray:
    """Edges t -> s with l_t > l_s, l_t - l_s <= max_gap, params_t/params_s <= max_size_ratio, and a link.

    Such edges form a directed acyclic graph, because each goes down a level; it is checked all the same.

    Args:
        paths: the levels and limits.

    Returns:
        (N, N) bool [student, teacher].

    Raises:
        ValueError: the edges contain a cycle.

    Source: ours (METHOD section 2); max_gap = 1 is the adjacent-levels rule of the *authors' code*.

    >>> admissible(Paths([1, 2, 3])).astype(int).tolist()
    [[0, 1, 0], [0, 0, 1], [0, 0, 0]]
    """
    levels, n = paths.levels, len(paths.levels)
    mask = np.empty((n, n), dtype=bool)
    for level in np.unique(levels):
        mask[levels == level] = (levels > level) & (levels <= level + paths.max_gap)
    if np.isfinite(paths.max_size_ratio):
        for i in range(n):
            mask[i] &= paths.sizes / paths.sizes[i] <= paths.max_size_ratio
    if paths.topology is not None:
        mask &= paths.topology
    if not is_acyclic(mask):
        raise ValueError("the admissible edges contain a cycle; expected every teacher above its student")
    return mask


def is_acyclic(edges: np.ndarray) -> bool:
    """Whether directed edges form no cycle: every strong component is a single client, and nobody teaches itself.

    >>> is_acyclic(np.array([[0, 1], [1, 0]], dtype=bool))
    False
    """
    n_components, _ = connected_components(csr_array(edges), directed=True, connection="strong")
    return n_components == len(edges) and not np.diagonal(edges).any()


def why_alone(i: int, allowed: np.ndarray, left: np.ndarray, paths: Paths) -> str:
    """The limit that leaves client i without a teacher; `allowed` are the admissible edges, `left` is the `load_left`.

    >>> why_alone(0, np.zeros((2, 2), dtype=bool), np.ones(2), Paths([1, 3]))
    'no admissible teacher within max_gap 1'
    """
    gap = paths.levels - paths.levels[i]
    above = (gap >= 1) & (gap <= paths.max_gap)
    if paths.levels[i] == paths.levels.max():
        return f"level {paths.levels[i]} is the most capable"
    if not above.any():
        return f"no admissible teacher within max_gap {paths.max_gap}"
    if not allowed[i].any():
        small = above if paths.sizes is None else above & (paths.sizes / paths.sizes[i] <= paths.max_size_ratio)
        limit = "that the topology links to" if small.any() else f"within max_size_ratio {paths.max_size_ratio:g}"
        return f"no admissible teacher {limit}"
    if not (left[allowed[i]] > 0).any():
        return "no teacher had load left (fan_out)"
    return "budget_bytes spent"


def load_left(edges: np.ndarray, paths: Paths) -> np.ndarray:
    """(N,) students that each teacher can still take; N minus those it has where fan_out sets no limit.

    >>> load_left(np.array([[False, True], [False, False]]), Paths([1, 2], fan_out=3)).tolist()
    [3, 2]
    """
    return (len(edges) if paths.fan_out is None else paths.fan_out) - edges.sum(axis=0)


def _levels(levels: np.ndarray) -> np.ndarray:
    """Levels as (N,) int64, or an error that names the client."""
    levels = numbers("levels", levels)
    if levels.ndim != 1 or levels.size == 0:
        raise ValueError(f"levels has shape {levels.shape}; expected (clients,) with at least one client")
    if levels.dtype.kind not in "iu":
        raise ValueError(f"levels has type {levels.dtype}; expected integers >= 1")
    if levels.min() < 1:
        i = int(np.argmin(levels))
        raise ValueError(f"level of client {i} is {levels[i]}; expected an integer >= 1")
    return levels.astype(np.int64)


def _above_zero(value) -> bool:
    """Whether it is a number > 0 that a float can hold; inf is."""
    return isinstance(value, (int, float, np.number)) and 0 < value and (value < 1e300 or value == np.inf)


def _positive(name: str, values: np.ndarray, shape: tuple) -> np.ndarray:
    """Positive float64 numbers of a shape (one number fills an edge matrix), or an error that names the entry."""
    values = numbers(name, values).astype(np.float64)
    if values.ndim == 0 and len(shape) == 2:
        values = np.full(shape, values)
    if values.shape != shape:
        raise ValueError(f"{name} has shape {values.shape}; expected {shape}, one entry per client on each axis")
    if not (np.isfinite(values) & (values > 0)).all():
        i = np.argwhere(~(np.isfinite(values) & (values > 0)))[0]
        raise ValueError(f"{name}{i.tolist()} is {values[tuple(i)]:g}; expected a number > 0")
    return values


def _mask(topology: np.ndarray, n: int) -> np.ndarray:
    """The topology as (N, N) bool; numbers other than 0 and 1 are refused, they would be a weight misread as a link."""
    topology = numbers("topology", topology)
    if topology.shape != (n, n):
        raise ValueError(f"topology has shape {topology.shape}; expected ({n}, {n}), [student, teacher]")
    if not np.isin(topology, (0, 1)).all():
        raise ValueError("topology has entries other than True and False; expected a bool mask [student, teacher]")
    return topology.astype(bool)


def _check_budget(paths: Paths) -> None:
    """The budget must pay for at least one admissible edge."""
    if paths.edge_bytes is None:
        raise ValueError(f"budget_bytes is {paths.budget_bytes} but edge_bytes (bytes per round of an edge) is missing")
    if not _above_zero(paths.budget_bytes):
        raise ValueError(f"budget_bytes is {paths.budget_bytes!r}; expected a number > 0, or None for no limit")
    cost = np.where(admissible(paths), paths.edge_bytes, np.inf)
    s, t = np.unravel_index(np.argmin(cost), cost.shape)
    if np.isfinite(cost[s, t]) and paths.budget_bytes < cost[s, t]:
        raise ValueError(f"budget_bytes is {paths.budget_bytes}; the cheapest admissible edge, student {s} from "
                         f"teacher {t}, needs {cost[s, t]:g}")
