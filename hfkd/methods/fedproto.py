"""FedProto: everybody's features of a class are drawn to the mean of all clients' (Tan et al. 2022, arXiv:2105.00243).

Predicts by the nearest prototype, as published; `readout = head` scores the same networks by their heads.
"""

import torch

from hfkd import averaging, cohorts
from hfkd.batched import seen
from hfkd.losses import hard_loss
from hfkd.methods.local import LOSS, teach  # noqa: F401

OWN = {"readout": "prototype"}
CHOSEN = {"plain": {"strength": 1.0}, "balanced": {"strength": 1.0}}
NEEDS = ("features",)
SUMMARY = "FedProto (2105.00243): features of a class drawn to their mean over all clients"
FAR = 1e6  # squared distance to a class that nobody has a prototype of


def begin(state, config, seeds) -> None:
    """No class has a prototype."""
    classes, wide = state.cohorts[0].weights["head.weight"].shape[1:]
    blank = torch.zeros(len(seeds), classes, wide, device=state.images.device)
    state.memory.update(prototypes=blank, known=blank[..., 0])


def given(state, config, cohort) -> tuple:
    """Prototypes (b, c, d), whether there is one (b, c), and the weight of the term (b,)."""
    at = averaging.seats(state, cohort)
    return state.memory["prototypes"][at], state.memory["known"][at], averaging.strength(state, config, cohort)


def loss(module, weights, x, y, prior, prototypes, known, weight):
    """CE + lambda mean over samples and features of (h(x) - P_y)^2."""
    features, logits = seen(module, weights, x)
    apart = ((features - torch.take_along_dim(prototypes, y.unsqueeze(-1), 1)) ** 2).mean(-1)
    return hard_loss(logits, y, prior) + weight * (known.gather(1, y) * apart).mean(-1)


def exchange(state, config, round) -> None:
    """P_c = sum_i n_i(c) P_i(c) / sum_i n_i(c): d numbers up for each class a client has, down for each there is."""
    own, counts = averaging.prototypes(state), averaging.samples(state)
    merged = []
    for z in range(len(state.splits)):
        mine = slice(z * state.clients, (z + 1) * state.clients)
        weight = counts[mine].to(own.device).unsqueeze(-1)
        merged.append((weight * own[mine].double()).sum(0) / weight.sum(0).clamp_min(1))
    known = counts.reshape(len(state.splits), state.clients, -1).sum(1) > 0
    state.memory.update(prototypes=torch.stack(merged).to(own), known=known.to(own))
    count_prototypes(state, config, known.sum(1) * own.shape[-1])


def count_prototypes(state, config, down) -> None:
    """d numbers up for every class that a client has, and `down` numbers back, the same for all or (z,)."""
    counts, wide = averaging.samples(state), state.cohorts[0].weights["head.weight"].shape[-1]
    for cohort in state.cohorts:
        back = down if isinstance(down, int) else down[averaging.seats(state, cohort)]
        averaging.count(state, config, cohort, (counts[cohort.members] > 0).sum(1) * wide, back)


def answers(state, cohort, images, at):
    """(b, n, c) -|h(x) - P_c|^2: the nearest prototype wins."""
    where = averaging.seats(state, cohort)
    prototypes, known = state.memory["prototypes"][where], state.memory["known"][where]
    apart = torch.cdist(cohorts.features(cohort, images, at), prototypes) ** 2
    return -torch.where(known.unsqueeze(1) > 0, apart, FAR)
