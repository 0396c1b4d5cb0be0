"""Checkpoints: what rounds have changed, as one file from which the same run goes on to the same bytes (ours).

The file is safetensors. Arrays lie in it under the names of their places; its header holds, as JSON, the outline of the
tree that they hang in, streams included (bit generator states), what the file belongs to (configuration, seeds, code,
data, versions, machine), and a digest of it all. Nothing is unpickled. A file that belongs to anything else, or is
broken, is removed: the run then starts from its beginning and ends the same.
"""

import hashlib
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as packed

from hfkd.outputs import write_files
from hfkd.provenance import plain

EVERY = 30.0  # seconds of work between two checkpoints: shorter runs never write one


class Place(NamedTuple):
    """Where checkpoints lie, what they belong to, and how often they are written."""

    path: Path  # a file; of a whole grid its folder
    origin: dict  # JSON values; only a file with the same is read
    seconds: float = EVERY  # 0: after each round


def of_cell(place: Place, variant: str, config: dict, **more) -> Place:
    """The place of one cell in the folder of its grid; the same settings give the same file.

    Args:
        place: of the grid. config: the fields of the cell's Config. more: what else it belongs to: seeds, checksums.

    >>> of_cell(Place(Path("a"), {}), "", {"lr": 0.1}).path == of_cell(Place(Path("a"), {}), "", {"lr": 0.2}).path
    False
    """
    cell = plain({"variant": variant, "config": config})
    name = hashlib.sha256(json.dumps(cell, sort_keys=True).encode()).hexdigest()[:16]
    return place._replace(path=place.path / f"{name}.safetensors", origin=plain(place.origin | cell | more))


def save(place: Place, tree) -> None:
    """Write a tree (see `pack`) to its place; the file appears whole or not at all.

    Raises:
        OSError: it cannot be written; the file from before is as it was.
    """
    outline, arrays = pack(tree)
    text = json.dumps({"origin": place.origin, "tree": outline})
    write_files({place.path: packed(arrays, {"hfkd": text, "sha256": _digest(text, arrays)})})


def load(place: Place):
    """The tree that lies there; None if there is none. A broken file, or one of another origin, is removed."""
    if not place.path.is_file():
        return None
    try:
        with safe_open(place.path, framework="numpy") as file:
            about, arrays = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        record = json.loads(about["hfkd"])
        if record["origin"] == place.origin and about["sha256"] == _digest(about["hfkd"], arrays):
            return unpack(record["tree"], arrays)
    except (SafetensorError, KeyError, TypeError, ValueError):  # truncated, or not ours
        pass
    place.path.unlink(missing_ok=True)
    return None


def pack(tree) -> tuple:
    """(outline, arrays): a tree as JSON values, and its arrays by the names of their places; `unpack` is the inverse.

    The arrays may share memory with the tree; what `unpack` makes does not.

    Args:
        tree: dicts with text as keys, lists, tuples, numbers, text, None, tensors, arrays, data frames with a plain
            index, and Generators (PCG64). A tensor is kept as it lies in memory, strides included.

    Raises:
        ValueError: a value of another type; the sentence names its place.

    >>> outline, arrays = pack({"sent": np.arange(2), "rounds": (1, None)})
    >>> outline, list(arrays)
    ({'dict': {'sent': {'array': 'sent'}, 'rounds': {'tuple': [1, None]}}}, ['sent'])
    """
    arrays = {}
    return _outline(tree, "", arrays), arrays


def unpack(outline, arrays: dict):
    """The tree that `pack` made these of.

    >>> unpack(*pack([0.5, {"a": np.arange(3)}]))
    [0.5, {'a': array([0, 1, 2])}]
    """
    if not isinstance(outline, dict):
        return outline
    ((kind, held),) = outline.items()
    if kind == "dict":
        return {name: unpack(each, arrays) for name, each in held.items()}
    if kind in ("list", "tuple"):
        return {"list": list, "tuple": tuple}[kind](unpack(each, arrays) for each in held)
    if kind == "array":
        return arrays[held].copy()
    if kind == "tensor":
        flat = torch.from_numpy(arrays[held["at"]]).to(held["device"], copy=True)  # into torch's own, aligned memory
        return flat.as_strided(held["shape"], held["strides"])
    if kind == "text":
        return pd.Series(np.array(held["words"], dtype=object)[unpack(held["codes"], arrays)], dtype=held["type"])
    if kind == "frame":
        return pd.DataFrame({name: unpack(each, arrays) for name, each in held.items()})
    stream = np.random.default_rng()
    stream.bit_generator.state = held
    return stream


def _outline(value, at, arrays):
    """One node as JSON; what it holds of arrays goes to `arrays`."""
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, dict) and all(isinstance(name, str) for name in value):
        return {"dict": {name: _outline(each, f"{at}.{name}".strip("."), arrays) for name, each in value.items()}}
    if type(value) in (list, tuple):
        each = [_outline(part, f"{at}.{place}".strip("."), arrays) for place, part in enumerate(value)]
        return {type(value).__name__: each}
    if isinstance(value, torch.Tensor):
        name, device, strides = _put(arrays, at, _flat(value)), str(value.device), list(value.stride())
        return {"tensor": {"at": name, "shape": list(value.shape), "strides": strides, "device": device}}
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        return {"array": _put(arrays, at, np.asarray(value, order="C"))}
    if isinstance(value, np.random.Generator) and isinstance(value.bit_generator, np.random.PCG64):
        return {"stream": value.bit_generator.state}
    if isinstance(value, pd.DataFrame):
        return {"frame": {name: _column(value[name], f"{at}.{name}", arrays) for name in value}}
    where = at or "the whole"
    raise ValueError(f"{where} is a {type(value).__name__}, which a checkpoint cannot hold; expected tensors, arrays, "
                     "streams, frames, numbers or text, in dicts with text as keys, lists or tuples")  # fmt: skip


def _put(arrays, at, array):
    """The name under which the array now is: its place, with a number where another place reads alike."""
    name = at if at and at not in arrays else f"{at}#{len(arrays)}"
    arrays[name] = array
    return name


def _flat(tensor):
    """(extent,) the memory that a tensor covers, from its first to its last entry."""
    covered = [(size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride())]
    extent = sum(covered) + 1 if tensor.numel() else 0
    return tensor.detach().as_strided((extent,), (1,)).cpu().numpy()


def _column(column, at, arrays):
    """A column of a frame: numbers as an array, text as words and the number of each."""
    if column.dtype.kind in "biuf":
        return _outline(column.to_numpy(), at, arrays)
    words, codes = np.unique(column.to_numpy(dtype=str), return_inverse=True)
    return {"text": {"words": words.tolist(), "codes": _outline(codes, at, arrays), "type": str(column.dtype)}}


def _digest(text, arrays) -> str:
    """sha256 over the header and all arrays, by name."""
    digest = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        digest.update(arrays[name])
    return digest.hexdigest()
