"""Who hears everything: runs with an eavesdropper, and what it guesses of label histograms from answers and from noisy
counts. All clients are taken to be heard, and the attacker only listens. Source: ours.
"""

import itertools
from types import SimpleNamespace

import numpy as np
import pandas as pd

from hfkd import data, federation, leak
from hfkd.assess import distance, distributions
from hfkd.config import Config
from hfkd.endpoints import SCENE
from hfkd.grids import EPSILONS
from hfkd.matching import Paths
from hfkd.methods import METHODS
from hfkd.parallel import Cell
from hfkd.privacy import SMALLEST, kept, messages, told
from hfkd.state import split_of
from hfkd.transport import speak

SHADOW = (100, 101, 102)  # seeds that fit the attack; no table uses them
NOISE = SMALLEST
FEW = 300  # records: METHOD section 8 asks about the matching of clients that have as many


def matching_rows(config: Config, seeds, epsilons=(NOISE, *EPSILONS)) -> pd.DataFrame:
    """What noise on the counts does to the matching, and how much the released counts tell.

    Args:
        config: skew, rule, personality, fan_out, max_gap and what the split needs are read; fan_in beside 1 and 2,
            where there is more to choose.
    """
    dataset, rows = data.load(config.dataset), []
    feds = {seed: split_of(config, dataset, seed) for seed in (*seeds, *SHADOW)}
    true = {seed: fed.counts for seed, fed in feds.items()}
    for epsilon in epsilons:
        seen = {seed: messages(counts, epsilon, seed) for seed, counts in true.items()}
        fitted = leak.fit_counts([seen[s] for s in SHADOW], [true[s] for s in SHADOW], epsilon)
        for seed, fan_in in itertools.product(seeds, sorted({1, 2, config.fan_in})):
            own, heard = true[seed], seen[seed]
            paths = Paths(feds[seed].levels, max_gap=config.max_gap, fan_in=fan_in, fan_out=config.fan_out)
            guess, apart = leak.denoised(heard, leak.mean_of(own), *fitted), told(own, heard)
            rows.append({
                "seed": seed, "fan_in": fan_in, "epsilon": epsilon, "told": apart.mean(), "most": apart.max(),
                "kept": kept(own, heard, paths, config.rule, config.personality),
                "guessed": distance(guess, distributions(own)).mean(), "small": (own.sum(axis=1) < FEW).mean(),
            })  # fmt: skip
    return pd.DataFrame(rows).assign(**{name: getattr(config, name) for name in SCENE})


def leak_rows(cell: Cell, tick=None) -> pd.DataFrame:
    """How much every attacker learns after each round of one run, by seed; it is fitted on those of SHADOW.

    Args:
        cell: its last seeds are SHADOW. tick: called as tick(round, rounds), or None.
    """
    counts, rounds = overheard(cell.config, cell.seeds, tick)
    many, rows = len(cell.seeds) - len(SHADOW), []
    for round, scores in enumerate(rounds, 1):
        for attacker, used in leak.ATTACKERS.items():
            own = scores[..., used]
            weights = leak.fit(own[many:], counts[many:])
            for seed, score, true in zip(cell.seeds[:many], own, counts):
                found = leak.success(leak.estimate(score, weights, leak.mean_of(true)), true)
                rows.append({"seed": seed, "round": round, "attacker": attacker} | found)
    where = {name: getattr(cell.config, name) for name in (*SCENE, "method")}
    return pd.DataFrame(rows).assign(**where, variant=cell.variant)


def overheard(config: Config, seeds, tick=None) -> tuple[np.ndarray, list[np.ndarray]]:
    """A run with an eavesdropper, which changes nothing in it.

    Args:
        config: of a method that speaks about public images.
        tick: called as tick(round, rounds) after each round, or None.

    Returns:
        (z, N, C) true counts, and after each round (z, N, C, K) statistics of what clients would say.
    """
    method, counts, rounds = METHODS[config.method], [], []

    def exchange(state, settings, round):
        if hasattr(method, "exchange"):
            method.exchange(state, settings, round)
        said = speak(state, settings, round + 1).cpu().numpy()
        rounds.append(np.stack([leak.statistics(each) for each in said.reshape(len(seeds), -1, *said.shape[1:])]))
        counts[:] = [fed.counts for fed in state.splits]

    public = None if config.public in ("same", "none") else data.load(config.public)
    spied = SimpleNamespace(**(vars(method) | {"exchange": exchange}))
    federation.run(config, spied, data.load(config.dataset), seeds, public, tick)
    return np.stack(counts), rounds
