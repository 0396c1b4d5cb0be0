"""What everybody earned everybody, and who listens to nobody any more, written into the books of a run.

Revenue is measured each round on what was spoken, kept as a running mean, and read whenever the graph is made anew
(`refresh`). All rules are in `revenue`; this module says what they are fed with.

Axes: z seed, s listener, t speaker, c class.
"""

import numpy as np
import torch

from hfkd import revenue
from hfkd.books import present, reach, truth
from hfkd.knowledge import pool, teaching_weights
from hfkd.transport import asked_about


def take_losses(books, now) -> None:
    """Take in the validation losses (z, N) of this round, and move their running mean to those before it."""
    before, books.loss = books.loss, now
    blank = np.isnan(books.usual)
    books.usual = np.where(blank, before, revenue.KEEP * books.usual + (1 - revenue.KEEP) * before)
    books.before = before


def measure_revenue(books, config, state, lessons, said, ears, round) -> np.ndarray:
    """What everybody that has spoken earned everybody in this round, taken into the running mean.

    Args:
        ears: (z, N) bool, who may listen in this round: whom nobody hears has sent nothing and earns nothing.

    Returns:
        (z, N, N) revenue of this round, 0 where nothing was measured.
    """
    fresh = np.zeros_like(books.revenue)
    if config.revenue not in ("labelled", "realised"):
        return fresh
    others = ~np.eye(state.clients, dtype=bool)
    for z, lesson in enumerate(lessons):
        if config.revenue == "labelled":
            losses = losses_of(state, config, z, said[z * state.clients : (z + 1) * state.clients], round)
            answers = truth(books, said)[z * state.clients : (z + 1) * state.clients]
            mine = losses if books.own is None else losses_of(state, config, z, answers, round)
            known = others & spoken(books, lesson, ears[z], z) & present(books, z)[:, None]
            fresh[z] = revenue.labelled(losses, np.diagonal(mine)) * known
        else:
            credit = revenue.realised(books.before[z], books.loss[z], books.shares[z]) * others
            fresh[z] = credit * books.listened[z][:, None]  # who did not listen owes it to nobody
            known = fresh[z] != 0
        books.revenue[z] = revenue.running(books.revenue[z], fresh[z], known)
    return fresh


def spoken(books, lesson, ears, z) -> np.ndarray:
    """(N,) bool: who has spoken to anybody else in this round, those included whose answers are quarantined."""
    mask = reach(books, lesson, z, refused=True)
    return (mask & (ears & (books.strikes[z] < 2))[:, None]).any(0)


def measure_shapley(books, config, state, lessons, said, ears, round) -> None:
    """Exact Shapley value of each partner in the pooled target, in shares of the listener's own loss; once a period.

    Pooled by label counts alone, without the revenue that it is to become, and with the listener's own answers.
    """
    for z, lesson in enumerate(lessons):
        sent, within = spoken(books, lesson, ears[z], z), reach(books, lesson, z)
        labels, part = public_labels(state, config, z, round), shares(state, config, z)
        answers, mine = (each[z * state.clients : (z + 1) * state.clients] for each in (said, truth(books, said)))
        for s in range(state.clients):
            partners = [t for t in np.flatnonzero(within[s] & sent).tolist()]
            if not partners:
                continue
            members = [s, *partners]
            with_self = np.insert(revenue.coalitions(len(partners)), 0, True, axis=1)
            w = teaching_weights(with_self, state.released[z][members], config.power)
            targets = pool(torch.cat([mine[s : s + 1], answers[partners]]), w, config.pooling or lesson.pooling)
            by_class = revenue.class_losses(targets.clamp_min(1e-30).log(), labels)
            losses = revenue.weighed(by_class.cpu(), part[s : s + 1])[0]
            earned = np.clip(revenue.shapley(losses[0] - losses) / max(losses[0], 1e-12), -1, 1)
            books.revenue[z, s, partners] = revenue.running(books.revenue[z, s, partners], earned, True)


def judge(books, config, lessons, fresh, signals) -> None:
    """The do-no-harm gate: count for every listener the rounds in a row in which nobody helped."""
    for z, lesson in enumerate(lessons):
        mask = reach(books, lesson, z)
        members = (books.revenue[z] if config.revenue == "shapley" else fresh[z]) * mask
        pooled = (books.before[z] - books.loss[z] if config.revenue == "realised"
                  else signals.own[z] - signals.other[z])  # fmt: skip
        known = mask.any(1) & np.isfinite(pooled) & present(books, z)
        known &= books.listened[z] | (config.revenue != "realised")  # without listening a drop is one's own
        strikes = revenue.gate(members, np.nan_to_num(pooled), books.strikes[z], known)
        books.strikes[z] = np.where(books.strikes[z] >= 2, 2, strikes)  # closed is closed until the refresh


def explore(books, lessons) -> None:
    """With probability EXPLORATION a listener hears one partner alone in this round: whose credit is then its own."""
    for z, lesson in enumerate(lessons):
        for s, rng in enumerate(books.streams[z]):
            chance, choice = rng.random(2)  # both drawn each round, so that later draws do not depend on the outcome
            partners = np.flatnonzero(reach(books, lesson, z)[s]).tolist()
            tries = partners and chance < revenue.EXPLORATION
            books.alone_with[z, s] = partners[int(choice * len(partners))] if tries else -1


def losses_of(state, config, z, log_p, round) -> np.ndarray:
    """L_s(t) (N, T) on the labelled public images of a seed, reweighted to the labels of each listener s.

    Args:
        log_p: (T, m, C) answers of any T speakers.
    """
    by_class = revenue.class_losses(log_p, public_labels(state, config, z, round))
    return revenue.weighed(by_class.cpu(), shares(state, config, z))


def public_labels(state, config, z, round):
    """(m,) labels of the public images of a seed that are answered in this round: read by rules, never trained on."""
    asked = state.splits[z].public[asked_about(config, round)]
    return state.labels[torch.from_numpy(asked).to(state.labels.device)]


def shares(state, config, z) -> np.ndarray:
    """(N, C) how much each class counts for each client: its released label shares, mixed with 1/C as
    revenue_personality says; 1/C for a client that released nothing.
    """
    counts = np.asarray(state.released[z], float)
    total, even = counts.sum(1, keepdims=True), 1 / counts.shape[1]
    own = np.where(total > 0, counts / np.maximum(total, 1), even)
    return config.revenue_personality * own + (1 - config.revenue_personality) * even
