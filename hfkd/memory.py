"""How much memory a run takes, predicted before it starts, and refused in one sentence where it does not fit."""

import os
from functools import lru_cache
from pathlib import Path

import torch

from hfkd import blocks, data, levels
from hfkd.partition import check_sizes

SILENT = {  # methods that pool no answers; a test holds it against what they decide
    "local", "balanced_local", "fedavg", "fedprox", "heterofl", "inclusivefl", "fml", "fedkd", "fd", "fedproto",
    "fedtgp", "fedgh", "lg_fedavg",
}  # fmt: skip
LIBRARY = 400e6  # bytes of Python, torch and the scientific packages, measured


def needed(config, dataset, seeds: int, public=None, speaks=True) -> dict[str, float]:
    """Bytes that a run holds at its peak, by what holds them.

        images     every image as float32
        networks   weights and momentum of Z N clients
        batches    indices of every step of every client of the largest level, private and public
        answers    Z N m C numbers: spoken, pooled, pooling, and once more by level; 0 without public images
        weights    W, N N C float64 for every seed, and three more for the seed that is being decided; 0 likewise
        measuring  answers of the largest level on the balanced test set and the union of the validation splits

    Args:
        config: a Config. dataset: a Dataset. seeds: Z, how many train as one program. public: a foreign Dataset.
        speaks: whether the method pools answers; False where nobody listens by a W.

    Source: ours, an upper estimate: the largest client is taken to hold four times the mean.
    """
    n, m, classes = config.clients, config.spoken or config.public_size, dataset.n_classes
    shape = tuple(dataset.images.shape[1:])
    pixels = torch.Size(shape).numel()
    pool = config.pool_size or len(dataset.labels)
    share = [each / sum(config.level_share) for each in config.level_share]
    size = sum(part * row["bytes"] for part, row in zip(share, levels.sizes(config.levels, shape, classes)))
    crowd = seeds * n * max(share)
    longest = min(pool, 4 * pool / n)
    return {
        "images": 4.0 * pixels * (len(dataset.labels) + (0 if public is None else len(public.labels))),
        "networks": 2.0 * size * seeds * n,
        "batches": 16.0 * crowd * config.epochs * (longest + config.batch),
        "answers": 16.0 * seeds * n * m * classes if speaks else 0.0,
        "weights": 8.0 * classes * n**2 * (seeds + 3) if speaks else 0.0,
        "measuring": crowd * (config.balanced_size + config.val_share * pool) * (12 * classes + 24),
        "blocks": 4.0 * blocks.CACHE,
    }


def check(config, dataset, seeds: int, public=None) -> float:
    """The bytes of `needed`, if the device has them.

    Raises:
        ValueError: more than is free; the sentence says what takes most and what to change. Or what
            `partition.check_sizes` refuses.

    Source: ours.
    """
    check_sizes(dataset, config.clients, config.balanced_size)
    parts = needed(config, dataset, seeds, public, config.public != "none" and config.method not in SILENT)
    total, free = sum(parts.values()), available(config.device)
    if total > free:
        most = max(parts, key=parts.get)
        ways = "fewer seeds at once" if seeds > 1 else "fewer clients"
        ways += ", a smaller public_size or spoken" if most == "answers" else ""
        raise ValueError(
            f"{config.clients} clients and {seeds} seeds need about {total / 1e9:.1f} GB, {parts[most] / 1e9:.1f} of "
            f"them for {most}, and {free / 1e9:.1f} GB are free; take {ways}"
        )
    return total


def tell(cells, jobs, report) -> None:
    """What the cells of a grid need, before any of them starts, where together they take a gigabyte or more.

    Args:
        cells: each with a config and its seeds. jobs: how many run at once. report: called with one line of text.

    Raises:
        ValueError: as `check`, cells that fit alone but not together, or what `data.load` refuses.
    """
    load, largest, jobs = lru_cache(data.load), 0.0, min(jobs, len(cells))
    for cell in cells:
        config = cell.config
        public = None if config.public in ("same", "none") else load(config.public)
        largest = max(largest, check(config, load(config.dataset), len(cell.seeds), public))
    if jobs > 1 and jobs * largest > available():
        raise ValueError(
            f"{jobs} cells at once need about {jobs * largest / 1e9:.1f} GB and {available() / 1e9:.1f} GB are free; "
            "take fewer --jobs"
        )
    if jobs * largest >= 1e9:
        report(f"{len(cells)} cells, {jobs} at once, each takes up to {largest / 1e9:.1f} GB beside the libraries")


def available(device: str = "cpu") -> float:
    """Bytes that a run may take: the free memory of a GPU, or of the machine within its control group, less LIBRARY.

    Infinite where the operating system does not say.

    >>> available() > 0
    True
    """
    if device == "cuda" and not torch.cuda.is_available():
        return float("inf")  # who asks for one that is not there is told so elsewhere
    if device == "cuda":
        return blocks.free(torch.device("cuda"))
    found = [float("inf")]
    info = Path("/proc/meminfo")
    if info.exists():
        kilobytes = dict(line.split(":") for line in info.read_text(encoding="utf-8").splitlines())
        found.append(1024.0 * int(kilobytes["MemAvailable"].split()[0]) - LIBRARY)
    group = Path("/sys/fs/cgroup")
    if (group / "memory.max").exists() and (limit := (group / "memory.max").read_text().strip()) != "max":
        cached = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())["inactive_file"]
        used = float((group / "memory.current").read_text()) - float(cached)  # the kernel gives cached files back
        found.append(float(limit) - used - LIBRARY)
    elif not info.exists() and hasattr(os, "sysconf") and "SC_AVPHYS_PAGES" in os.sysconf_names:
        found.append(float(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")) - LIBRARY)
    return max(0.0, min(found))
