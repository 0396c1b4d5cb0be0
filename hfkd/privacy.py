"""Privacy of the label histogram: integer counts leave a client once, with two-sided geometric noise.

The claim, exactly: record-level differential privacy of the histogram message. Neighbours are two training sets of one
client that differ by one record, the split into training, validation and test taken as given. That record changes one
count by 1, so noise with P(k) ~ exp(-epsilon |k|) on every count makes the message epsilon-differentially private;
clipping at 0 and dividing by the sum afterwards cost nothing. Of a client's records before the split nothing is
claimed: here the split is drawn over all of them, and one record more may change many counts.

Whatever else travels is outside of the claim: answers (`leak` measures what an attacker learns of them), levels,
reports of revenue, and the presence of a class, which class means and classwise answers tell.

OpenDP's mechanism is the one to release real counts by. The seeded twin is for simulation only: who knows the seed
knows the noise. Source: Ghosh, Roughgarden and Sundararajan 2012 (0811.2841); its use here is ours (METHOD section 8).
"""

import math

import numpy as np

from hfkd.assess import distance, distributions
from hfkd.matching import Paths, admissible, group_value, match
from hfkd.streams import stream
from hfkd.tables import numbers

SMALLEST = 1e-3  # epsilon: below it the noise is beyond any count


def release(counts, epsilon: float, rng: np.random.Generator) -> np.ndarray:
    """max(0, n + K), K two-sided geometric: P(k) = (1 - a)/(1 + a) a^|k|, a = exp(-epsilon), drawn for every count.

    K is the difference of two geometric numbers of failures. A simulation: use `release_opendp` on real counts.

    Args:
        counts: integers >= 0 of any shape, one person's records each counted once.
        epsilon: >= SMALLEST; inf gives the counts.
        rng: the stream (seed, "histogram", client).

    Returns:
        int64 of the same shape, >= 0.

    Raises:
        ValueError: counts that are no integers >= 0, or epsilon out of range.

    >>> release([30, 0, 2], float("inf"), np.random.default_rng(0)).tolist()
    [30, 0, 2]
    >>> release([30, 0, 2], 0.5, np.random.default_rng(0)).tolist() == [30, 0, 2]
    False
    """
    counts = _checked(counts, epsilon)
    if math.isinf(epsilon):
        return counts
    share = -math.expm1(-epsilon)  # 1 - a
    return np.maximum(counts + rng.geometric(share, counts.shape) - rng.geometric(share, counts.shape), 0)


def release_opendp(counts, epsilon: float) -> np.ndarray:
    """The same by OpenDP's integer mechanism, from the system's entropy: not reproducible, and meant to be so.

    Args:
        counts, epsilon: as for `release`.

    Returns:
        int64 of the same shape, >= 0.

    Raises:
        ValueError: as `release`, or OpenDP is not installed.

    Source: OpenDP, make_laplace on integers, after Canonne, Kamath and Steinke 2020 (2004.00010).

    >>> release_opendp([[3, 1]], float("inf")).tolist()
    [[3, 1]]
    """
    counts = _checked(counts, epsilon)
    if math.isinf(epsilon):
        return counts
    noisy = _mechanism(epsilon)(counts.ravel().tolist())
    return np.maximum(np.array(noisy, np.int64).reshape(counts.shape), 0)


def messages(counts, epsilon: float | None, seed: int) -> np.ndarray:
    """What all clients of a seed release, each once, by `release` and the stream (seed, "histogram", client).

    Args:
        counts: (N, C). epsilon: None: the true counts. seed: the repeat.

    Returns:
        (N, C) int64, a copy.

    >>> messages([[3, 1]], None, 0).tolist()
    [[3, 1]]
    """
    own = np.array(counts)
    if epsilon is None:
        return own
    return np.stack([release(n, epsilon, stream(seed, "histogram", client)) for client, n in enumerate(own)])


def _mechanism(epsilon):
    """OpenDP's measurement of integer vectors, whose own privacy map says at most epsilon at L1 distance 1."""
    try:
        import opendp.prelude as dp
    except ModuleNotFoundError as error:
        raise ValueError("release_opendp needs OpenDP, which is not installed; expected `pip install -e .[privacy]`, "
                         "or release(counts, epsilon, rng) for a simulation") from error  # fmt: skip
    dp.enable_features("contrib")
    scale, space = 1 / epsilon, (dp.vector_domain(dp.atom_domain(T=int)), dp.l1_distance(T=int))
    while (mechanism := dp.m.make_laplace(*space, scale=scale)).map(1) > epsilon:  # 1/epsilon was rounded down
        scale = math.nextafter(scale, math.inf)
    return mechanism


def kept(counts, released, paths: Paths, rule: str = "coverage", personality: float = 0.25) -> float:
    """How much of the matching survives: V(edges made from the released counts) / V(edges made from the true ones).

        V(edges) = mean `group_value` of the true counts, over clients with an admissible teacher.

    Args:
        counts, released: (N, C) true counts, and what the matching reads.
        paths: levels and limits.
        rule, personality: as for `match`.

    Returns:
        a ratio, 1 if nothing is lost; above 1 where the rule is no exact maximum and the noise was lucky.

    Raises:
        ValueError: as `match`; nobody has an admissible teacher.

    Source: ours.

    >>> paths = Paths([1, 2, 2], fan_in=1)
    >>> round(kept([[4, 0], [0, 4], [2, 2]], [[4, 0], [0, 1], [2, 0]], paths, personality=0), 3)
    1.0
    >>> round(kept([[4, 0], [0, 4], [3, 1]], [[4, 0], [0, 0], [0, 4]], paths, personality=0), 3)
    0.75
    """
    may = admissible(paths).any(axis=1)
    if not may.any():
        raise ValueError(f"levels are {paths.levels.tolist()}: nobody has an admissible teacher; expected two levels")
    true, noisy = (group_value(counts, match(seen, paths, rule, personality).edges, personality)[may].mean()
                   for seen in (counts, released))  # fmt: skip
    return float(noisy / true)


def told(counts, released) -> np.ndarray:
    """Total variation between each client's true and released label distribution, 1/2 sum_c |p_i(c) - p~_i(c)|.

    Args:
        counts, released: (N, C); an all-zero row counts as uniform.

    Returns:
        (N,) in [0, 1].

    Source: ours.

    >>> told([[4, 0]], [[3, 1]]).tolist()
    [0.25]
    """
    return distance(distributions(counts), distributions(released))


def _checked(counts, epsilon) -> np.ndarray:
    """The counts as int64, a copy; or a ValueError."""
    given = numbers("counts to release", counts)
    if given.dtype.kind not in "iu" or (given < 0).any():
        bad = given.dtype if given.dtype.kind not in "iu" else given.min()
        raise ValueError(f"counts to release hold {bad}; expected integers >= 0")
    if not isinstance(epsilon, (int, float)) or not epsilon >= SMALLEST:
        raise ValueError(f"epsilon is {epsilon!r}; expected {SMALLEST:g} or more, or inf for the counts themselves")
    return given.astype(np.int64)
