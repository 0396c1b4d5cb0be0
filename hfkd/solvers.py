"""RQ1, two exact answers: deferred acceptance, and the integer programme under a byte budget. Both are ours.

Letters, places and groups as in `hfkd.rounds`; `fit` (R, T) is what a student gains from a teacher.
"""

from collections import deque

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array, vstack

from hfkd.rounds import DECIMALS, Part, keep_best

_MOST = 1_000_000  # variables of an integer programme


def stable(fit: np.ndarray, back: np.ndarray, part: Part) -> np.ndarray:
    """Deferred acceptance: students propose down their list, a full teacher keeps those that it gains most from.

    `back` (R, T) is what the teacher gains from the student. Returns groups (R, 1).
    """
    fit, back = np.round(fit, DECIMALS), np.round(back, DECIMALS)
    wishes = np.argsort(-np.where(part.allowed, fit, -np.inf), axis=1, kind="stable")
    asked, many = np.zeros(len(fit), dtype=np.int64), part.allowed.sum(axis=1)
    held, waiting = [[] for _ in part.teachers], deque(range(len(fit)))
    while waiting:
        s = waiting.popleft()
        if asked[s] == many[s]:
            continue
        t = wishes[s, asked[s]]
        asked[s] += 1
        held[t].append(s)
        if len(held[t]) > part.load[t]:
            rejected = min(held[t], key=lambda i, t=t: (back[i, t], -i))  # what t gains least from; then the largest id
            held[t].remove(rejected)
            waiting.append(rejected)
    groups = np.full((len(fit), 1), -1)
    for t, students in enumerate(held):
        groups[students] = t
    s = np.flatnonzero(groups[:, 0] >= 0)
    kept = keep_best(fit[s, groups[s, 0]], part.cost[s, groups[s, 0]], part.budget)
    return np.where(np.isin(np.arange(len(fit)), s[kept])[:, None], groups, -1)


def largest(fit: np.ndarray, part: Part, fan_in: int) -> np.ndarray:
    """Maximise sum_e fit_e x_e, x binary, under fan_in, load and budget; one variable per admissible edge.

    Returns groups (R, T): in column t teacher t or -1.
    """
    (students, teachers), (n, m) = np.nonzero(part.allowed), part.allowed.shape
    if len(students) > _MOST:
        raise ValueError(f"rule 'milp' has {len(students)} admissible edges to choose from; expected at most {_MOST}, "
                         "try rule 'coverage' or 'assignment'")
    one, each = np.ones(len(students)), np.arange(len(students))
    rows, limits = [csr_array((one, (students, each)), shape=(n, len(one)))], [np.full(n, fan_in)]
    if (part.load < n).any():
        rows, limits = rows + [csr_array((one, (teachers, each)), shape=(m, len(one)))], limits + [part.load]
    cost = part.cost[students, teachers]
    if np.isfinite(part.budget):  # in units of the budget, or HiGHS's absolute tolerances would not fit it
        rows, limits = rows + [csr_array((cost / part.budget)[None])], limits + [np.ones(1)]
    weight = fit[students, teachers] + 1e-9  # an edge of affinity 0 is still a voice
    answer = milp(-weight, integrality=one, bounds=Bounds(0, 1), options={"mip_rel_gap": 0},
                  constraints=LinearConstraint(vstack(rows), ub=np.concatenate(limits)))
    if not answer.success:
        raise ValueError(f"rule 'milp' found no answer for {len(one)} admissible edges ({answer.message}); "
                         "try another rule")
    x = np.flatnonzero(answer.x > 0.5)  # the solver's tolerance may overspend by a millionth: it is checked once more
    kept = x[keep_best(fit[students[x], teachers[x]], cost[x], part.budget)]
    groups = np.full((n, m), -1)
    groups[students[kept], teachers[kept]] = teachers[kept]
    return groups
