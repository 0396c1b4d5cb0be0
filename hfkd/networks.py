"""Transports that carry networks: a partner's network at the listener's data, or the listener's at its partners'.

    private: the own group, oneself included, answers on the listener's own images; pooled per class as public answers.
        With schedule bottom_up this is the alternating training of the authors' code, student first.
    visit: after a round at home (hard loss alone) the network goes round its partners' data. At each it learns that
        partner's answers by the soft loss times alpha, as many steps in all as at home, split in proportion to the
        partners' say. Momentum starts at 0 and goes along from partner to partner; it is not counted in the bytes,
        and a partner at whom it stays no step is counted all the same.

Axes: b member of a cohort, n image, c class.
"""

import numpy as np
import torch

from hfkd import cohorts, training
from hfkd.knowledge import pool
from hfkd.shares import apportion
from hfkd.state import stack
from hfkd.transport import own_images


def hosted(state, config, cohort, said, lessons):
    """What `transport.material` returns, for private: every member's group answers on the member's own images.

    Args:
        said: level -> cohort of networks as they arrived.
        lessons: a Teaching per seed.
    """
    at, there = own_images(state, cohort)
    sizes = there.sum(1).tolist()
    targets = torch.zeros(*at.shape, state.prior.shape[-1], device=at.device)
    for b, (i, size) in enumerate(zip(cohort.members.tolist(), sizes)):
        z, s = divmod(i, state.clients)
        partners = np.flatnonzero(lessons[z].mask[s]).tolist()
        own = at[b : b + 1, :size]
        log_p = torch.stack([_answer(state, config, said, z * state.clients + t, own) for t in partners])
        kind = config.pooling or lessons[z].pooling
        targets[b, :size] = pool(log_p, lessons[z].weights[s : s + 1, partners], kind)[0]
    return at, targets, sizes


def _answer(state, config, said, speaker, at):
    """(n, c) log-posteriors of one network on a list of images (1, n)."""
    row, cohort = _place(said, speaker)
    answers = cohorts.logits(cohorts.part(cohort, [row]), state.images, at)[0]
    return torch.log_softmax(answers / config.temperature, dim=-1)


def _place(said, flat):
    """(row, cohort) of a client among the networks."""
    for cohort in said.values():
        row = (cohort.members == flat).nonzero()
        if len(row):
            return int(row), cohort
    raise LookupError(f"no network of client {flat}")


def tour(state, config, cohort, said, lessons, steps):
    """(asked, targets, rows) for visit: all partners' images and their owners' answers, and the stops of each member.

    Args:
        cohort: members that have partners. steps: (b,) steps of each, as many as it took at home.

    Returns:
        asked (b, n), targets (b, n, c), rows (b, k, i).
    """
    answered = {}
    parts = []
    for i, k in zip(cohort.members.tolist(), steps):
        z, s = divmod(i, state.clients)
        hosts = np.flatnonzero(lessons[z].mask[s] & (np.arange(state.clients) != s))
        say = lessons[z].weights[s].mean(-1).cpu().numpy()[hosts]
        asked, targets, rows, first = [], [], [], 0
        for t, stay in zip(hosts.tolist(), apportion(k, say if say.sum() > 0 else np.ones(len(hosts)))):
            if stay == 0:
                continue
            own = state.splits[z].train[t]
            if (z, t) not in answered:
                at = torch.from_numpy(own)[None].to(state.images.device)
                answered[z, t] = _answer(state, config, said, z * state.clients + t, at).exp()
            asked.append(own)
            targets.append(answered[z, t])
            rows.append(first + training.batches(state.public_streams[i], len(own), stay, config.batch))
            first += len(own)
        parts.append((np.concatenate(asked), torch.cat(targets), np.concatenate(rows)))
    asked, targets, rows = zip(*parts)
    padded = torch.nn.utils.rnn.pad_sequence(list(targets), batch_first=True)
    return stack(asked).to(padded.device), padded, stack(rows).to(padded.device)


def check_memory(config, state, lessons) -> None:
    """Networks that travel fit the clients that they come to.

    Raises:
        ValueError: transport private or visit brings a network larger than client_memory times the client's own.
    """
    if config.client_memory is None or config.transport not in ("private", "visit"):
        return
    for z, lesson in enumerate(lessons):
        if lesson.mask is None:
            continue
        listener, speaker = np.nonzero(lesson.mask & ~np.eye(state.clients, dtype=bool))
        if not len(listener):
            continue
        host, guest = (listener, speaker) if config.transport == "private" else (speaker, listener)
        size, level = state.parameters[z], state.splits[z].levels
        worst = (size[guest] / size[host]).argmax()
        s, t = host[worst], guest[worst]
        if size[t] > config.client_memory * size[s]:
            raise ValueError(
                f"transport {config.transport!r} brings networks of level {level[t]} ({size[t]:,} parameters) to "
                f"level {level[s]} ({size[s]:,}), which holds at most client_memory = {config.client_memory:g} times "
                "its own; take transport public or classwise, or a larger client_memory"
            )
