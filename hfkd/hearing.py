"""Who can hear whom in a round, and what arrives of what is said: faults strike here, and doubt answers them (ours).

Axes: z seed, s listener, t speaker, n image, c class.
"""

import math

import numpy as np
import torch

from hfkd import faults, revenue
from hfkd.books import reach
from hfkd.earning import public_labels
from hfkd.signals import listens
from hfkd.transport import speak


def hearing(state, books, config, seeds, lessons, fault, round, said=None):
    """Let everybody speak, once a round, and see what arrives; books.own, silent and shut then say what did not.

    Args:
        fault: faults.Faults of this round, or None. said: what has been said in this round already.

    Returns:
        (ears, said): (z, N) bool who may learn from others in this round, and what arrived, or None if nobody asked.
    """
    ears, books.absent = listens(config, lessons, round), fault.absent if fault else None
    if not ears.any():
        return ears, None
    if said is None:
        said = speak(state, config, round)
        if fault:
            own, before = said, books.own
            said, books.silent, books.shut = faults.arrive(own, before, fault, config, seeds, round)
            books.own = own
            if config.recall:
                recall(books, said, fault.absent & ~fault.offline)
        if config.doubt:
            none = np.zeros((len(lessons), state.clients), bool)
            silent, shut = (books.silent, books.shut) if fault else (none, none)
            worse = doubted(state, config, said, round) & ~silent
            books.silent, books.shut = silent | worse, shut | worse
    if books.silent is not None:
        ears &= np.stack([reach(books, lesson, z).any(1) for z, lesson in enumerate(lessons)])
    return ears & ~fault.absent if fault else ears, said


def recall(books, said, absent) -> None:
    """What was last heard of a client that is absent is heard once more, in place; it does not travel again.

    Args:
        said: (z * N, n, c) what arrives. absent: (z, N) bool. books.silent says who is not heard so far.

    Source: ours.
    """
    if books.last is None:
        books.last = torch.full_like(said, math.nan)
    known = books.last.flatten(1).isfinite().all(1).cpu().numpy().reshape(absent.shape)
    books.kept = absent & known
    back, heard = (np.flatnonzero(who) for who in (books.kept, ~books.silent))
    said[back] = books.last[back]
    books.last[heard] = said[heard]
    books.silent = books.silent & ~books.kept


def doubted(state, config, said, round) -> np.ndarray:
    """(z, N) bool: whose answers do no better on the labelled public images than uniform ones, all classes alike.

        mean over classes c of ( mean over images u of class c of -log p(c|u) )  >=  ln C

    Answers that do not depend on the image are never better: then the left side is ln C + KL(uniform || p). An honest
    client may be worse while it has hardly learned, and comes back when it has. Where all are worse nobody is heard,
    and that lasts if they could have learned better from each other alone, as where everybody has one class or two.

    Args:
        said: (z * N, n, c) log-posteriors.

    Source: ours.
    """
    worse = []
    for z, answers in enumerate(said.reshape(len(state.splits), state.clients, *said.shape[1:])):
        by_class = revenue.class_losses(answers.double(), public_labels(state, config, z, round))
        worse.append(np.nanmean(by_class.cpu().numpy(), axis=1) >= math.log(said.shape[-1]) - 1e-6)
    return np.stack(worse)
