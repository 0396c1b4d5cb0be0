"""What a federation is at a moment: the data split of every seed, the networks by level, and the open random streams.

Flat id of a client: z * N + client, z the position of its seed among the seeds of the run.
"""

from dataclasses import dataclass, field, replace

import numpy as np
import torch

from hfkd.data import Split, split
from hfkd.engine.cohort import Cohort, cohort
from hfkd.knowledge import log_prior
from hfkd.privacy import messages
from hfkd.streams import stream


@dataclass
class Federation:
    """All that a round reads and changes. Axes: z seed, s who listens, t who speaks, c class."""

    splits: list[Split]  # one per seed
    levels: np.ndarray  # (z, N) 1..L
    counts: np.ndarray  # (z, N, c) label counts as the clients release them: all that anybody else knows of them
    cohorts: list[Cohort]  # one per level, smallest first
    images: torch.Tensor  # (n, channel, height, width) standardised; public images of another data set follow
    labels: torch.Tensor  # (n,)
    prior: torch.Tensor  # (z * N, c) log prior of every client by its true counts, for its own loss and readout alone
    private_streams: list[np.random.Generator]  # one per flat id; nothing but private batches draws from them
    public_streams: list[np.random.Generator]
    revenue: np.ndarray  # (z, s, t) running mean of what t would save s, in [-1, 1]; 0 where nobody has measured it
    loss: np.ndarray  # (z, N) own validation loss, nats; NaN: no rule reads it
    usual: np.ndarray  # (z, N) its running mean before this round
    memory: dict = field(default_factory=dict)  # what a method's server, or its clients, keep between rounds

    @property
    def clients(self) -> int:
        """N, clients per seed."""
        return self.counts.shape[1]

    @property
    def seeds(self) -> int:
        """How many repeats run side by side."""
        return len(self.splits)


def begin(config, dataset, seeds, public=None) -> Federation:
    """Data split, networks with first weights, streams: a function of (seed, client) alone, never of the method.

    public: a Dataset to draw the public images from, or None: carved out of `dataset`. Raises ValueError: CUDA asked
    for and absent, public images of another shape, or what `data.split` refuses.
    """
    device = check_device(config)
    if public is not None:
        _check_public(dataset, public)
    splits = [split_of(config, dataset, seed, public) for seed in seeds]
    images, labels = _tensors(dataset, public, device)
    n, counts = config.clients, np.stack([own.counts for own in splits])
    levels = np.stack([own.levels for own in splits])
    ids = np.argsort(-counts.sum(-1).reshape(-1), kind="stable")  # largest training set first, within every cohort
    cohorts = []
    for level in np.unique(levels).tolist():
        members = ids[levels.reshape(-1)[ids] == level]
        rngs = [stream(seeds[i // n], "weights", i % n) for i in members]
        shape = tuple(dataset.images.shape[1:])
        cohorts.append(cohort(level, config.levels, shape, dataset.n_classes, members, rngs, device))
    blank, flat = np.full((len(seeds), n), np.nan), [(seed, client) for seed in seeds for client in range(n)]
    return Federation(
        splits, levels, np.stack([messages(own, config.epsilon, seed) for own, seed in zip(counts, seeds)]), cohorts,
        images, labels, log_prior(counts.reshape(len(flat), -1)).to(device, images.dtype),
        [stream(seed, "batches", client) for seed, client in flat],
        [stream(seed, "public batches", client) for seed, client in flat],
        np.zeros((len(seeds), n, n)), blank, blank.copy(),
    )  # fmt: skip


def check_device(config) -> torch.device:
    """The device of the configuration, or a ValueError: CUDA asked for and absent."""
    if config.device == "cuda" and not torch.cuda.is_available():
        raise ValueError("device is 'cuda' and torch finds none; expected a CUDA GPU, or --set device=cpu")
    return torch.device(config.device)


def split_of(config, dataset, seed, public=None) -> Split:
    """The split of one seed; with a foreign public set its indices point behind the images of the data set."""
    names = ("clients", "partition", "skew", "level_share", "pool_size", "public_size", "balanced_size",
             "classes_per_client", "minimum", "test_share", "val_share")  # fmt: skip
    own = split(dataset, seed=seed, **{name: getattr(config, name) for name in names})
    if public is None:
        return own
    if config.public_size > len(public.labels):
        held = f"the {len(public.labels)} images of {public.name}"
        raise ValueError(f"public_size is {config.public_size}; expected at most {held}")
    drawn = stream(seed, "foreign public").choice(len(public.labels), config.public_size, replace=False)
    return replace(own, public=drawn + len(dataset.labels))


def public_images(fed: Federation, ids):
    """(b, m) indices of the public images that each of the flat ids sees: those of its seed."""
    return torch.from_numpy(np.stack([fed.splits[i // fed.clients].public for i in ids])).to(fed.images.device)


def own_images(fed: Federation, cohort, part="train"):
    """(b, n) indices of the members' own images, and (b, n) bool which of them are there; part: train, val or test."""
    sets = [getattr(fed.splits[i // fed.clients], part)[i % fed.clients] for i in cohort.members.tolist()]
    return padded(sets, fed.images.device)


def padded(lists, device):
    """Index lists of unequal length as (b, n) int64, zeros behind the end, and (b, n) bool which of them are there."""
    at = stack(lists)
    there = torch.arange(at.shape[1]) < torch.tensor([len(own) for own in lists])[:, None]
    return at.to(device), there.to(device)


def stack(parts):
    """Index arrays of unequal length as one tensor, zeros behind the end (never read)."""
    out = np.zeros((len(parts), max(map(len, parts)), *parts[0].shape[1:]), dtype=np.int64)
    for row, part in zip(out, parts):
        row[: len(part)] = part
    return torch.from_numpy(out)


def _check_public(dataset, public):
    """A foreign public set has the same image shape, and is no copy of the private data under another name."""
    here, there = dataset.images.shape[1:], public.images.shape[1:]
    if there != here:
        raise ValueError(f"public images of {public.name} are {there}; expected {here} as in {dataset.name}")
    copies = {dataset.name, public.name} == {"cifar10", "cifar10_jpeg"}  # a lossy copy shares no image to the byte
    seen = {image.tobytes() for image in dataset.images}
    if copies or any(image.tobytes() in seen for image in public.images):
        shared = f"which has images of the private {dataset.name}"
        raise ValueError(f"public is {public.name!r}, {shared}; expected 'same' or other images")


def _tensors(dataset, public, device):
    """Images with mean 0, deviation 1 over the publisher's training part; public ones follow by the same constants."""
    known = dataset.images[~dataset.is_test]
    mean, deviation = known.mean(dtype=np.float64), known.std(dtype=np.float64)
    if deviation == 0:
        raise ValueError(f"data set {dataset.name} has pixels of value {mean:g} only; expected images that differ")
    parts = [dataset.images] if public is None else [dataset.images, public.images]
    images = torch.cat([torch.from_numpy(part).to(device, torch.float32) for part in parts])
    labels = np.concatenate([dataset.labels] + ([np.full(len(public.labels), -1)] if public else []))
    return images.sub_(float(mean)).div_(float(deviation)), torch.from_numpy(labels).to(device)
