"""What travels between relay and clients: a record, one line of JSON and one array; nothing is unpickled (ours)."""

import hashlib
import io
import json
import socket

import numpy as np

LONGEST, LARGEST = 2**16, 2**28  # bytes of the line, and of a record: 60 000 public images of 1 000 classes


def pack(fields: dict, array=None) -> bytes:
    """A record of JSON fields and float32 numbers, if any.

    >>> unpack(pack({"round": 2}, np.ones((1, 2))), (1, 2))
    ({'round': 2}, array([[1., 1.]], dtype=float32))
    """
    packed = io.BytesIO()
    if array is not None:
        np.save(packed, np.ascontiguousarray(array, dtype="<f4"), allow_pickle=False)
    return json.dumps(fields).encode() + b"\n" + packed.getvalue()


def unpack(record: bytes, shape: tuple[int, ...]) -> tuple[dict, np.ndarray | None]:
    """Fields, and the array if there is one. Raises ValueError: what `pack` does not make, or another shape or type;
    what a header promises is held against `shape` before anything of that size is made.
    """
    line, _, packed = record.partition(b"\n")
    try:
        fields = json.loads(line if len(line) <= LONGEST else b"")
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        raise ValueError(f"a record of {len(record)} bytes does not begin with a line of JSON fields")
    if not packed:
        return fields, None
    file = io.BytesIO(packed)
    try:
        np.lib.format.read_magic(file)
        found = np.lib.format.read_array_header_1_0(file)
    except Exception as error:  # numpy has several for bytes that are not its own
        raise ValueError(f"an array cannot be read: {str(error).splitlines()[0][:100]}") from None
    left = len(packed) - file.tell()
    if found != (shape, False, np.dtype("<f4")) or left != 4 * int(np.prod(shape)):
        raise ValueError(f"an array is {found[0]} {found[2]} in {left} bytes; expected {shape} float32")
    return fields, np.frombuffer(file.read(), "<f4").reshape(shape).astype(np.float32)


def checksum(*parts) -> str:
    """16 hex digits of sha256 over shapes and values of arrays, or over JSON.

    >>> checksum(np.zeros((1, 2), np.uint8)) == checksum(np.zeros((2, 1), np.uint8))
    False
    """
    told = [[repr(part.shape).encode(), np.ascontiguousarray(part)] if isinstance(part, np.ndarray) else
            [json.dumps(part, sort_keys=True).encode()] for part in parts]  # fmt: skip
    return hashlib.sha256(b"".join(each for pair in told for each in pair)).hexdigest()[:16]


def send(line: socket.socket, record: bytes) -> None:
    """A record over a socket, after its length."""
    line.sendall(len(record).to_bytes(8) + record)


def receive(line: socket.socket) -> bytes:
    """The record that comes over a socket. Raises ValueError: too long, or cut off."""
    with line.makefile("rb") as file:
        if (length := int.from_bytes(file.read(8))) > LARGEST:
            raise ValueError(f"a record of {length} bytes is announced; expected at most {LARGEST}")
        if not length or len(record := file.read(length)) < length:
            raise ValueError(f"a record of {length} bytes was cut off before its end")
        return record


def call(path: str, record: bytes, timeout: float | None = None) -> bytes:
    """What the member behind a unix socket answers to a record; an OSError where nobody listens."""
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(timeout)
        line.connect(path)
        send(line, record)
        return receive(line)
