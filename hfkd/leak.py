"""What answers give away at least: an attacker infers every client's label histogram from the log-posteriors it sends.

The attacker is whoever hears all answers, such as the relay that pools them. It knows no labels of the public images
and no counts but the federation's mean; what it has is how a client's answers differ from all others' on these images.
Three statistics, each a score s_i(c) in nats:

    mean      log mean_u p_i(c|u)                                     how often it says c
    log       mean_u log p_i(c|u), each client to mean 0, spread 1    how little it would shrink from saying c
    known     log sum_u q_i(c|u) p_i(c|u) / sum_u q_i(c|u)            how often it says c where the others do,
              q_i(.|u) ~ exp(mean_{j != i} log p_j(.|u))

each less its mean over the other clients. The estimate is p^_i(c) ~ b(c) exp(sum_k w_k s_ik(c)), b the federation's
mean label distribution; w = 0 is the attacker who has heard nothing. w is fitted on other federations whose labels the
attacker knows (shadow federations, after Shokri et al. 2017, 1610.05820): knowledge that is meant to be free of priors
may well be read backwards, w < 0. ATTACKERS use one statistic, or all of them, which was best on seeds 100 to 102; a
fourth (votes, largest answers, a fitted prior) brought the guess at most .01 nearer there. Another attacker may learn
more: an attack bounds what leaks from below.

Who hears the noisy counts themselves has the same means: the federation's mean, and numbers fitted on shadow
federations (`denoised`, `fit_counts`). Source: ours.

Axes: i client, u public image, c class, k statistic.
"""

import itertools

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax, logsumexp, softmax
from scipy.stats import rankdata

from hfkd.assess import distance, distributions

STATISTICS = ("mean", "log", "known")
ATTACKERS = {"nothing": [], "mean": [0], "log": [1], "known": [2], "together": [0, 1, 2]}  # name -> statistics
BEST = "together"
RIDGE = 1e-3  # keeps w finite where a statistic tells the shadow federations apart without error
TINY = 1e-9  # share of a class that nobody has


def statistics(log_p) -> np.ndarray:
    """The scores of every client.

    Args:
        log_p: (N, m, C) log-posteriors of all clients on the same images, natural logarithm; N >= 2.

    Returns:
        (N, C, K) in the order of STATISTICS; 0 for a client that answers as the others do on average.

    Raises:
        ValueError: fewer than two clients, or answers that are not finite.

    Source: ours.

    >>> statistics(np.log([[[.9, .1]], [[.1, .9]]]))[0].round(2).tolist()  # two clients, one image, two classes
    [[2.2, 2.0, 2.2], [-2.2, -2.0, -2.2]]
    """
    log_p = np.asarray(log_p, np.float64)
    if log_p.ndim != 3 or len(log_p) < 2 or not np.isfinite(log_p).all():
        raise ValueError(f"answers have shape {log_p.shape}; expected finite (clients, images, classes), of two "
                         "clients or more")  # fmt: skip
    log_q = log_softmax(_others(log_p), axis=-1)  # what all others say, image by image
    mean, known = logsumexp(log_p, axis=1), logsumexp(log_p + log_q, axis=1) - logsumexp(log_q, axis=1)
    log = log_p.mean(axis=1)
    log = log - log.mean(axis=1, keepdims=True)
    log = log / np.maximum(log.std(axis=1, keepdims=True), TINY)
    return np.stack([score - _others(score) for score in (mean, log, known)], axis=-1)


def _others(values):
    """For every client the mean over all others, along the first axis."""
    return (values.sum(axis=0) - values) / (len(values) - 1)


def fit(scores, counts) -> np.ndarray:
    """The weights w that make the shadow federations' true labels likeliest:

        min_w  - mean_i sum_c p_i(c) log p^_i(c)  +  RIDGE |w spread|^2,    convex; spread is that of each statistic.

    Args:
        scores: (N, C, K) of each shadow federation. counts: (N, C) true counts of each.

    Returns:
        (K,).

    Source: ours.

    >>> scores = statistics(np.log([[[.9, .1]], [[.1, .9]]]))
    >>> bool((fit([scores], [[[9, 1], [1, 9]]]) > 0).all()), bool((fit([scores], [[[1, 9], [9, 1]]]) < 0).all())
    (True, True)
    """
    bases = [np.log(np.maximum(np.tile(mean_of(own), (len(own), 1)), TINY)) for own in counts]
    x, b, p = np.concatenate(scores), np.concatenate(bases), np.concatenate([distributions(own) for own in counts])
    spread = np.maximum(x.std(axis=(0, 1)), TINY)
    x = x / spread

    def loss(w):
        log_q = log_softmax(x @ w + b, axis=1)
        slope = np.einsum("ic,ick->k", np.exp(log_q) - p, x) / len(p)
        return -(p * log_q).sum() / len(p) + RIDGE * w @ w, slope + 2 * RIDGE * w

    return minimize(loss, np.zeros(x.shape[2]), jac=True, method="L-BFGS-B").x / spread


def estimate(scores, weights, base) -> np.ndarray:
    """p^_i(c) ~ b(c) exp(sum_k w_k s_ik(c)).

    Args:
        scores: (N, C, K). weights: (K,). base: (C,) b, sums to 1.

    Returns:
        (N, C), rows sum to 1.

    >>> estimate(np.log([[[4], [1]]]), [.5], [.5, .5]).round(3).tolist()
    [[0.667, 0.333]]
    """
    return softmax(np.asarray(scores) @ np.asarray(weights, float) + np.log(np.maximum(base, TINY)), axis=1)


def denoised(released, base, weight: float, threshold: int) -> np.ndarray:
    """p^_i = (1 - w) b + w n^_i / |n^_i|, n^ = max(0, n~ - t): the guess of who hears noisy counts n~.

    Args:
        released: (N, C) n~, integers >= 0. base: (C,) b. weight: w in [0, 1]. threshold: t >= 0, below it is noise.

    Returns:
        (N, C), rows sum to 1; w = 1 and t = 0: the distributions as released, w = 0: nothing heard.

    >>> denoised([[8, 2]], [.5, .5], .5, 2).tolist()
    [[0.75, 0.25]]
    """
    return (1 - weight) * np.asarray(base) + weight * distributions(np.maximum(np.asarray(released) - threshold, 0))


def fit_counts(released, counts, epsilon: float) -> tuple[float, int]:
    """(w, t) of `denoised` with the smallest distance on shadow federations: w by tenths, t up to 4 / epsilon.

    Args:
        released, counts: (N, C) noisy and true counts of each shadow federation.
        epsilon: of the noise, which is no secret.

    >>> fit_counts([[[9, 1], [0, 9]]], [[[9, 0], [0, 9]]], 1.), fit_counts([[[0, 1]]], [[[9, 9]]], .1)
    ((1.0, 1), (0.0, 0))
    """
    def off(weight, threshold):
        return np.mean([distance(denoised(seen, mean_of(true), weight, threshold), distributions(true)).mean()
                        for seen, true in zip(released, counts, strict=True)])  # fmt: skip

    steps = sorted({int(each / epsilon) for each in (0, .5, 1, 2, 3, 4)})
    return min(itertools.product([tenth / 10 for tenth in range(11)], steps), key=lambda both: off(*both))


def mean_of(counts) -> np.ndarray:
    """(C,) the federation's mean label distribution: what the attacker is taken to know anyway."""
    return distributions(counts).mean(axis=0)


def success(guess, counts) -> dict[str, float]:
    """How near an estimate comes to the truth.

        distance     mean_i 1/2 sum_c |p^_i(c) - p_i(c)|, total variation in [0, 1]; smaller is better for the attacker
        correlation  of p^_i(c) - b(c) with p_i(c) - b(c) over all (i, c), in [-1, 1]; 0 for who guesses b
        auc          probability that a class that a client has gets a higher p^_i(c)/b(c) than one it has not, ties one
                     half; 1/2 for who guesses b; NaN if everybody has every class

    Args:
        guess: (N, C), rows sum to 1. counts: (N, C) true counts.

    >>> success(np.full((2, 2), .5), np.array([[4, 0], [0, 4]]))
    {'distance': 0.5, 'correlation': 0.0, 'auc': 0.5}
    """
    p, base = distributions(counts), mean_of(counts)
    ours, theirs = guess - base, p - base
    size = np.sqrt((ours**2).sum() * (theirs**2).sum())
    there = base > 0  # nobody guesses about a class that nobody has
    ranks = rankdata((np.asarray(guess)[:, there] / base[there]).round(12))  # the last bit must not break a tie
    owned = (np.asarray(counts)[:, there] > 0).ravel()
    pairs = int(owned.sum()) * int((~owned).sum())
    above = ranks[owned].sum() - owned.sum() * (owned.sum() + 1) / 2
    return {
        "distance": float(distance(guess, p).mean()),
        "correlation": float((ours * theirs).sum() / size) if size > TINY else 0.0,
        "auc": float(above / pairs) if pairs else float("nan"),
    }
