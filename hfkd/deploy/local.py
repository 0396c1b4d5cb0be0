"""`hfkd federate`: a whole federation on one machine, every client a process, TLS and keys as between hosts (ours)."""

import numpy as np

from hfkd.deploy import plan as plans
from hfkd.deploy import wire
from hfkd.engine import state


def parties(given: dict, dataset, seed: int):
    """The plan of a federation in which a data set is dealt as in the engine, the clients' own arrays and the public
    images; the constants are those by which the engine standardises.
    """
    config = plans.settle(given)
    own, known = state.split_of(config, dataset, seed), dataset.images[~dataset.is_test]
    images = dataset.images.transpose(0, 2, 3, 1)
    arrays = [{"images": images[at], "labels": dataset.labels[at], "is_test": np.arange(len(at)) >= len(train)}
              for train, test in zip(own.train, own.test) for at in [np.concatenate([train, test])]]  # fmt: skip
    plan = {"names": [f"client-{i}" for i in range(config.clients)], "seed": seed, "set": given,
            "mean": float(known.mean(dtype=np.float64)), "deviation": float(known.std(dtype=np.float64)),
            "classes": dataset.n_classes, "public": wire.checksum(images[own.public])}  # fmt: skip
    return plan, arrays, images[own.public], own.levels
