"""What a federation knows at a moment: the data split of every seed, the networks by level, and the open random
streams.

Flat id of a client: z * N + client, z the position of its seed among the seeds of the run.
"""

from dataclasses import dataclass, field, replace

import numpy as np
import torch

from hfkd import memory
from hfkd.cohorts import Cohort, cohort
from hfkd.knowledge import log_prior
from hfkd.partition import Federation, split
from hfkd.privacy import messages
from hfkd.streams import stream


@dataclass
class State:
    """All that a round reads and changes."""

    splits: list[Federation]  # one per seed
    cohorts: list[Cohort]
    images: torch.Tensor  # (n, channel, height, width) standardised; public images of another data set follow
    labels: torch.Tensor  # (n,)
    prior: torch.Tensor  # (z * N, c) log prior of every client by its true counts, for its own loss and readout alone
    released: np.ndarray  # (z, N, c) counts as the clients release them: all that anybody else knows of their labels
    parameters: np.ndarray  # (z, N) parameters of each client's network
    private_streams: list[np.random.Generator]  # one per flat id; nothing but private batches draws from them
    public_streams: list[np.random.Generator]
    sent: np.ndarray  # (z, N, 2) bytes up and down so far
    memory: dict = field(default_factory=dict)  # what a method's server, or its clients, keep between rounds

    @property
    def clients(self) -> int:
        """N, clients per seed."""
        return self.released.shape[1]


def start(config, dataset, seeds, public=None) -> State:
    """Data split, networks initialised, streams opened: a function of (seed, client) alone, never of the method.

    Args:
        config: a Config. dataset: a Dataset. seeds: repeats.
        public: a Dataset to draw the public images from, or None: carved out of `dataset`.

    Raises:
        ValueError: CUDA asked for and absent, public images of another shape, too little memory, or what
            `partition.split` refuses.
    """
    device = check_device(config)
    if public is not None:
        _check_public(dataset, public)
    memory.check(config, dataset, len(seeds), public)
    splits = [split_of(config, dataset, seed, public) for seed in seeds]
    images, labels = _tensors(dataset, public, device)
    n = config.clients
    counts = np.stack([fed.counts for fed in splits])
    shape = tuple(dataset.images.shape[1:])
    held = counts.sum(-1).reshape(-1)
    ids = np.argsort(-held, kind="stable")  # largest training set first, within every cohort
    level_of = np.concatenate([fed.levels for fed in splits])
    cohorts = []
    for level in sorted(set(level_of.tolist())):
        members = ids[level_of[ids] == level]
        rngs = [stream(seeds[i // n], "weights", i % n) for i in members]
        cohorts.append(cohort(level, config.levels, shape, dataset.n_classes, members, rngs, device))
    released = np.stack([messages(own, config.epsilon, seed) for own, seed in zip(counts, seeds)])
    flat = [(seed, client) for seed in seeds for client in range(n)]
    return State(
        splits, cohorts, images, labels, log_prior(counts.reshape(len(flat), -1)).to(device, images.dtype),
        released, _parameters(cohorts, len(seeds), n),
        [stream(seed, "batches", client) for seed, client in flat],
        [stream(seed, "public batches", client) for seed, client in flat],
        np.zeros((len(seeds), n, 2), dtype=np.int64),
    )  # fmt: skip


def _parameters(cohorts, seeds, n):
    """(z, N) parameters of each client's network."""
    sizes = np.zeros(seeds * n, dtype=np.int64)
    for cohort in cohorts:
        sizes[cohort.members.numpy()] = sum(w[0].numel() for w in cohort.weights.values())
    return sizes.reshape(seeds, n)


def check_device(config) -> torch.device:
    """The device of the configuration.

    Raises:
        ValueError: CUDA asked for and absent.
    """
    if config.device == "cuda" and not torch.cuda.is_available():
        raise ValueError("device is 'cuda' and torch finds none; expected a CUDA GPU, or --set device=cpu")
    return torch.device(config.device)


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


def split_of(config, dataset, seed, public=None) -> Federation:
    """The split of one seed; with a foreign public set its indices point behind the images of the data set."""
    fed = split(
        dataset, seed=seed, clients=config.clients, partition=config.partition, skew=config.skew,
        level_share=config.level_share, pool_size=config.pool_size, public_size=config.public_size,
        balanced_size=config.balanced_size, classes_per_client=config.classes_per_client, minimum=config.minimum,
        test_share=config.test_share, val_share=config.val_share,
    )  # fmt: skip
    if public is None:
        return fed
    if config.public_size > len(public.labels):
        held = f"the {len(public.labels)} images of {public.name}"
        raise ValueError(f"public_size is {config.public_size}; expected at most {held}")
    drawn = stream(seed, "foreign public").choice(len(public.labels), config.public_size, replace=False)
    return replace(fed, public=drawn + len(dataset.labels))


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


def public_images(state: State, ids):
    """(b, m) indices of the public images that each of the flat ids sees: those of its seed."""
    stacked = np.stack([state.splits[i // state.clients].public for i in ids])
    return torch.from_numpy(stacked).to(state.images.device)


def stack(parts):
    """Index arrays of unequal length as one tensor, zeros behind the end (never read)."""
    out = np.zeros((len(parts), max(map(len, parts)), *parts[0].shape[1:]), dtype=np.int64)
    for row, part in zip(out, parts):
        row[: len(part)] = part
    return torch.from_numpy(out)
