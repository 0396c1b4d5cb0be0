"""KT-pFL: every client learns which mixture of all clients' answers to listen to (Zhang et al. 2021, arXiv:2111.02545).

The paper takes gradient steps on the coefficients; here they are the exact minimum, anew in each round.
"""

import numpy as np
import torch
from scipy.optimize import nnls

from hfkd import knowledge
from hfkd.engine.method import Method
from hfkd.methods.consensus import alike

RHO, SOFTNESS = 0.7, 10.0  # of the paper: pull to the uniform mixture, temperature of the answers compared
SUM_TO_ONE = 1e4  # weight of the constraint in the least squares; what is left of it is divided out


def pool(arrived, graph, fed, config):
    """Mixtures with the coefficients of each client."""
    return mixtures(arrived, [coefficients(log_p) for log_p in arrived])


def mixtures(arrived, shares):
    """(z, s, u, c) sum_t C[s, t] p_t(c|u); shares: C (N, N) of every seed."""
    each = [torch.from_numpy(own).unsqueeze(-1).expand(-1, -1, arrived.shape[-1]) for own in shares]
    return torch.stack([knowledge.pool(log_p, w, "arithmetic") for log_p, w in zip(arrived, each)])


def coefficients(log_p) -> np.ndarray:
    """C (N, N), rows on the simplex: argmin_c T^2 mean_u |p_i(u) - sum_j c_j p_j(u)|^2 + rho |c - 1/N|^2.

    p are the answers softened by T = 10; T^2 undoes that this shrinks their differences (ours).

    >>> apart = coefficients(torch.tensor([[[-0.1, -9.0]], [[-0.1, -9.0]], [[-9.0, -0.1]]]))
    >>> bool(apart[0, 1] > apart[0, 2]), apart.sum(1).round(9).tolist()
    (True, [1.0, 1.0, 1.0])
    """
    soft = torch.softmax(log_p.double() / SOFTNESS, dim=-1).flatten(1).cpu().numpy()
    n, images = len(soft), log_p.shape[1]
    products = SOFTNESS**2 * soft @ soft.T / images
    root = np.linalg.cholesky(products + RHO * np.eye(n) + SUM_TO_ONE).T  # minimises c'Ac - 2 b'c as |root c - y|^2
    wanted = np.linalg.solve(root.T, products + RHO / n + SUM_TO_ONE)
    found = np.stack([nnls(root, wanted[:, i])[0] for i in range(n)])
    return found / found.sum(1, keepdims=True)


KTPFL = Method("ktpfl", "KT-pFL (2111.02545): a mixture of everybody's answers that each client learns for itself",
               decide=alike, pool=pool, needs=("public", "simultaneous", "everybody"), settings={"digest": 1})
