"""What travels between relay and clients: a record, one line of JSON, then float32 numbers; nothing is parsed whose
size is not known before (ours).
"""

import hashlib
import json
from math import prod
from multiprocessing.connection import Client

import numpy as np

LONGEST, LARGEST = 2**20, 2**28  # bytes of the line, and of a record: 60 000 public images of 1 000 classes


def pack(fields: dict, tables=()) -> bytes:
    """A record of JSON fields and of tables of one shape, if any.

    >>> unpack(pack({"round": 2}, np.ones((1, 1, 2))), (1, 2))
    ({'round': 2}, array([[[1., 1.]]], dtype=float32))
    """
    return json.dumps(fields).encode() + b"\n" + np.asarray(tables, "<f4").tobytes()


def unpack(record: bytes, shape=(1,)) -> tuple[dict, np.ndarray]:
    """Fields, and the tables (k, *shape), k from 0. Raises ValueError: no such line, or bytes that make no tables."""
    line, _, packed = record.partition(b"\n")
    try:
        fields = dict(json.loads(line if len(line) <= LONGEST else b""))
    except (ValueError, TypeError, RecursionError):
        raise ValueError(f"a record of {len(record)} bytes does not begin with a line of JSON fields") from None
    if len(packed) % (4 * prod(shape)):
        raise ValueError(f"tables of {len(packed)} bytes came; expected {shape} float32 each")
    return fields, np.frombuffer(packed, "<f4").reshape(-1, *shape).astype(np.float32)


def checksum(what) -> str:
    """16 hex digits of sha256 over shape and values of an array, or over what JSON can hold."""
    said, values = (what.shape, what.tobytes()) if isinstance(what, np.ndarray) else (what, b"")
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode() + values).hexdigest()[:16]


def call(path, record: bytes) -> bytes:
    """What the member behind a unix socket answers; an OSError where nobody listens, an EOFError where it ends."""
    with Client(str(path), "AF_UNIX") as line:
        line.send_bytes(record)
        return line.recv_bytes(LARGEST)
