"""What a federation is at a moment: the data split of every seed, the networks by level, the open random streams; which
images its clients look at; and what they say about the public ones, which are taken to be there already.

Flat id of a client: z * N + client, z the position of its seed among the seeds of the run. Axes: z seed, s who listens,
t who speaks, b member of a cohort, u public image, c class.
"""

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from hfkd.data import Split, split
from hfkd.engine.cohort import Cohort, cohort, logits
from hfkd.engine.layers import pick
from hfkd.knowledge import log_prior
from hfkd.privacy import messages
from hfkd.streams import stream


@dataclass
class Federation:
    """All that a round reads and changes."""

    seeds: tuple[int, ...]  # of the repeats that run side by side
    clients: int  # N, per seed
    splits: list[Split]  # one per seed
    levels: np.ndarray  # (z, N) 1..L
    counts: np.ndarray  # (z, N, c) label counts as the clients release them: all that anybody else knows of them
    cohorts: list[Cohort]  # one per level, smallest first
    images: torch.Tensor  # (n, channel, height, width) uint8; public images of another data set follow
    labels: torch.Tensor  # (n,)
    scales: torch.Tensor  # (z, 2) mean and deviation of public pixels, by which everybody standardises all images
    prior: torch.Tensor  # (z * N, c) log prior of every client by its true counts, for its own loss and readout alone
    private_streams: list[np.random.Generator]  # one per flat id; nothing but private batches draws from them
    public_streams: list[np.random.Generator]
    revenue: np.ndarray  # (z, s, t) running mean of what t would save s, in [-1, 1]; 0 where nobody has measured it
    batches: np.ndarray  # (z, N) batches that each client has trained on so far, forward and backward
    round: int  # the one that runs, from 1; 0 before the first
    away: np.ndarray  # (z, N) bool, who neither trains nor sends anything in this round
    loss: np.ndarray  # (z, N) own validation loss, nats; NaN: no rule reads it
    usual: np.ndarray  # (z, N) its running mean before this round
    memory: dict = field(default_factory=dict)  # what a method's server, or its clients, keep between rounds


def begin(config, dataset, seeds, public=None) -> Federation:
    """Data split, networks with first weights, streams: a function of (seed, client) alone, never of the method.

    public: a Dataset to draw the public images from, or None: carved out of `dataset`. Raises ValueError: CUDA asked
    for and absent, public images of another shape or of the data set itself, or what `data.split` refuses.
    """
    images, labels = _tensors(dataset, public, check_device(config))
    splits = [split_of(config, dataset, seed, public) for seed in seeds]
    return opened(config, splits, images, labels, dataset.n_classes, seeds, range(config.clients))


def opened(config, splits, images, labels, n_classes: int, seeds, numbers) -> Federation:
    """The same of splits that are there, a Split per seed, and of tensors; numbers: of the clients that they hold,
    which name the streams: all, or those of one machine (`deploy.member`).
    """
    n, counts, device = len(numbers), np.stack([own.counts for own in splits]), images.device
    levels, shape = np.stack([own.levels for own in splits]), tuple(images.shape[1:])
    scales = torch.tensor([_scale(images[own.public].numpy(force=True)) for own in splits], device=device)
    ids = np.argsort(-counts.sum(-1).reshape(-1), kind="stable")  # largest training set first, within every cohort
    blank, flat = np.full((len(seeds), n), np.nan), [(seed, client) for seed in seeds for client in numbers]
    cohorts = []
    for level in np.unique(levels).tolist():
        members = ids[levels.reshape(-1)[ids] == level]
        rngs = [stream(flat[i][0], "weights", flat[i][1]) for i in members]
        cohorts.append(cohort(level, config.levels, shape, n_classes, members, rngs, scales[members // n]))
    released = np.stack([messages(own, config.epsilon, seed) for own, seed in zip(counts, seeds)])
    return Federation(
        tuple(seeds), n, splits, levels, released, cohorts, images, labels, scales,
        log_prior(counts.reshape(len(flat), -1)).float().to(device),
        [stream(seed, "batches", client) for seed, client in flat],
        [stream(seed, "public batches", client) for seed, client in flat],
        np.zeros((len(seeds), n, n)), np.zeros(levels.shape, int), 0, np.zeros(levels.shape, bool), blank, blank.copy(),
    )  # fmt: skip


def check_device(config) -> torch.device:
    """The device of the configuration, with auto CUDA where there is one; ValueError: CUDA asked for and absent."""
    if config.device == "cuda" and not torch.cuda.is_available():
        raise ValueError("device is 'cuda' and torch finds none; expected a CUDA GPU, or --set device=cpu")
    return torch.device(config.device if config.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu")


def split_of(config, dataset, seed, public=None) -> Split:
    """The split of one seed; with a foreign public set its indices point behind the images of the data set."""
    names = ("clients", "partition", "skew", "level_share", "pool_size", "public_size", "public_skew", "balanced_size",
             "minimum", "test_share", "val_share")  # fmt: skip
    own = split(dataset, seed=seed, **{name: getattr(config, name) for name in names})
    if public is None:
        return own
    if config.public_size > (most := len(public.labels)):
        raise ValueError(f"public_size is {config.public_size}; expected at most the {most} images of {public.name}")
    drawn = stream(seed, "foreign public").choice(most, config.public_size, replace=False)
    return replace(own, public=drawn + len(dataset.labels))


def speak(fed: Federation, config, round: int, said=None, among=None):
    """(z, t, u, c) log p_t(c|u): what every client says, softened by T, without gradient. said: what was said before,
    to be replaced in place for the members of the cohorts `among` (None: everybody).
    """
    if said is None:
        shape = len(fed.seeds), fed.clients, config.spoken or config.public_size, fed.prior.shape[-1]
        said = torch.zeros(shape, device=fed.images.device)
    for cohort in among or fed.cohorts:
        at = public_images(fed, config, round, cohort.members)
        said.flatten(0, 1)[cohort.members] = (logits(cohort, fed.images, at) / config.temperature).log_softmax(-1)
    return said


def images_of(fed: Federation, ids, part="train") -> list[np.ndarray]:
    """Indices of images of flat ids: of each its own train, val or test, or what its seed has for all: public, balanced
    or vals, all validation splits together.
    """
    found = []
    for z, client in (divmod(int(i), fed.clients) for i in ids):
        own = np.concatenate(fed.splits[z].val) if part == "vals" else getattr(fed.splits[z], part)
        found.append(own[client] if isinstance(own, tuple) else own)
    return found


def public_images(fed: Federation, config, round: int, ids):
    """(b, m) indices of the public images that flat ids are asked about: all of their seed, or `spoken` in turn."""
    size = config.spoken or config.public_size
    asked = (np.arange(size) + round * size * (size < config.public_size)) % config.public_size
    return torch.from_numpy(np.stack(images_of(fed, ids, "public"))[:, asked]).to(fed.images.device)


def shown(fed: Federation, z: int, at) -> torch.Tensor:
    """(n, channel, height, width) some images as every network of a seed sees them: standardised."""
    return pick(fed.images, torch.as_tensor(at, device=fed.images.device)[None], fed.scales[z : z + 1])[0]


def own_images(fed: Federation, cohort, part="train"):
    """(b, n) `images_of` every member, zeros behind the end, and (b, n) bool which of them are there."""
    lists = images_of(fed, cohort.members, part)
    at = stack(lists)
    there = torch.arange(at.shape[1]) < torch.tensor([len(own) for own in lists])[:, None]
    return at.to(fed.images.device), there.to(fed.images.device)


def _scale(public):
    """Mean and deviation of pixels, or a ValueError: all are alike."""
    mean, deviation = float(public.mean(dtype=np.float64)), float(public.std(dtype=np.float64))
    if deviation == 0:
        raise ValueError(f"all pixels of the public images are {mean:g}; expected images that differ")
    return mean, deviation


def stack(parts):
    """Arrays of unequal length as one tensor, zeros behind the end."""
    return pad_sequence([torch.from_numpy(part) for part in parts], batch_first=True)


def _tensors(dataset, public, device):
    """Images and labels; a foreign public set follows, without labels."""
    parts = [dataset.images]
    if public is not None:  # of the same shape, and no copy of the private data under another name
        here, there = dataset.images.shape[1:], public.images.shape[1:]
        if there != here:
            raise ValueError(f"public images of {public.name} are {there}; expected {here} as in {dataset.name}")
        private = {image.tobytes() for image in dataset.images}
        if any(image.tobytes() in private for image in public.images):
            raise ValueError(f"public is {public.name!r}, which has images of the private {dataset.name}; "
                             "expected 'same' or other images")
        parts.append(public.images)
    images = torch.from_numpy(np.concatenate(parts))
    labels = torch.full((len(images),), -1)
    labels[: len(dataset.labels)] = torch.from_numpy(dataset.labels)
    return images.to(device), labels.to(device)
