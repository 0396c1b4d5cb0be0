"""What travels between relay and clients: a record, one line of JSON, then float32 numbers; nothing is parsed whose
size is not known before (ours).
"""

import hashlib
import json
import socket

import numpy as np

LONGEST, LARGEST = 2**16, 2**28  # bytes of the line, and of a record: 60 000 public images of 1 000 classes


def pack(fields: dict, array=None) -> bytes:
    """A record of JSON fields and of an array, if any.

    >>> unpack(pack({"round": 2}, np.ones((1, 2))), (1, 2))
    ({'round': 2}, array([[1., 1.]], dtype=float32))
    """
    return json.dumps(fields).encode() + b"\n" + (b"" if array is None else np.asarray(array, "<f4").tobytes())


def unpack(record: bytes, shape=None) -> tuple[dict, np.ndarray | None]:
    """Fields, and the array of that shape if there is one (shape None: not looked at). Raises ValueError: no such
    line, or bytes of another number.
    """
    line, _, packed = record.partition(b"\n")
    try:
        fields = dict(json.loads(line if len(line) <= LONGEST else b""))
    except (ValueError, TypeError, RecursionError):
        raise ValueError(f"a record of {len(record)} bytes does not begin with a line of JSON fields") from None
    if shape is None or not packed:
        return fields, None
    if len(packed) != 4 * int(np.prod(shape)):
        raise ValueError(f"an array of {len(packed)} bytes came; expected {shape} float32")
    return fields, np.frombuffer(packed, "<f4").reshape(shape).astype(np.float32)


def checksum(what) -> str:
    """16 hex digits of sha256 over shape and values of an array, or over what JSON can hold."""
    array = isinstance(what, np.ndarray)
    return hashlib.sha256(json.dumps(what.shape if array else what, sort_keys=True).encode()
                          + (what.tobytes() if array else b"")).hexdigest()[:16]  # fmt: skip


def framed(record: bytes) -> bytes:
    """A record behind its length, as it goes over a socket."""
    return len(record).to_bytes(8) + record


def receive(line: socket.socket) -> bytes:
    """The record that comes over a socket. Raises ValueError: too long, or cut off."""
    with line.makefile("rb") as file:
        length = int.from_bytes(file.read(8))
        record = file.read(length) if length <= LARGEST else b""
    if not 0 < length == len(record):
        raise ValueError(f"a record of {length} bytes is cut off, or longer than {LARGEST}")
    return record


def call(path: str, record: bytes) -> bytes:
    """What the member behind a unix socket answers to a record; an OSError where nobody listens."""
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(path)
        line.sendall(framed(record))
        return receive(line)
