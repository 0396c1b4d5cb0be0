"""RQ1, two exact answers: deferred acceptance, and the integer programme under a byte budget. Both are ours.

Pair matrices are [student s, teacher t]; `fit` is what a student gains from a teacher, `allowed` the admissible edges.
"""

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array, vstack

from hfkd.constraints import Paths, load_left
from hfkd.coverage import keep_best


def stable(fit: np.ndarray, allowed: np.ndarray, paths: Paths) -> np.ndarray:
    """Deferred acceptance: students propose down their list, a full teacher keeps those that it gains most from."""
    fit, edges = np.round(fit, 12), np.zeros_like(allowed)
    wishes = [[t for t in np.argsort(-fit[s], kind="stable") if allowed[s, t]] for s in range(len(fit))]
    waiting = list(range(len(fit)))
    while waiting:
        s = waiting.pop(0)
        if not wishes[s]:
            continue
        t = wishes[s].pop(0)
        edges[s, t] = True
        if load_left(edges, paths)[t] < 0:
            held = np.flatnonzero(edges[:, t])
            rejected = held[np.lexsort((-held, fit[t, held]))[0]]  # the reverse pair: what t gains; then the largest id
            edges[rejected, t] = False
            waiting.append(int(rejected))
    return keep_best(fit, *np.nonzero(edges), paths, np.zeros_like(edges))


def largest(fit: np.ndarray, allowed: np.ndarray, paths: Paths) -> np.ndarray:
    """Maximise sum_e fit_e x_e, x binary, under fan_in, fan_out and budget_bytes; one variable per admissible edge."""
    students, teachers = np.nonzero(allowed)
    edges, m, n = np.zeros_like(allowed), len(students), len(allowed)
    if m == 0:
        return edges
    one, each = np.ones(m), np.arange(m)
    rows, limits = [csr_array((one, (students, each)), shape=(n, m))], [np.full(n, paths.fan_in)]
    if paths.fan_out is not None:
        rows, limits = rows + [csr_array((one, (teachers, each)), shape=(n, m))], limits + [np.full(n, paths.fan_out)]
    if paths.budget_bytes is not None:  # in units of the budget, or HiGHS's absolute tolerances would not fit it
        share = paths.edge_bytes[allowed] / paths.budget_bytes
        rows, limits = rows + [csr_array(share[None])], limits + [np.ones(1)]
    weight = fit[allowed] + 1e-9  # an edge of affinity 0 is still a voice
    answer = milp(-weight, integrality=one, bounds=Bounds(0, 1), options={"mip_rel_gap": 0},
                  constraints=LinearConstraint(vstack(rows), ub=np.concatenate(limits)))
    if not answer.success:
        raise ValueError(f"rule 'milp' found no answer for {m} admissible edges ({answer.message}); try another rule")
    x = answer.x > 0.5  # the solver's tolerance may overspend the budget by a millionth, so it is checked once more
    return keep_best(fit, students[x], teachers[x], paths, edges)
