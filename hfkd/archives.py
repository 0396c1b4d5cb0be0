"""npz files: bytes in, arrays out. Sizes are read before anything is unpacked, and nothing is ever unpickled (ours)."""

import io
import math
import re
import warnings
import zipfile

import numpy as np

from hfkd.parameters import literal

LARGEST = 2**32  # bytes that one data file may unpack to, over twenty times CIFAR-10
HEADER = 10_000  # bytes of an array's header at most, as numpy has it
TYPES = r"\|[biu]1|[<>][iu][248]|[<>]f[248]"  # booleans, integers, floats, as numpy writes them
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # what np.savez and np.savez_compressed write


def parse_npz(content: bytes) -> dict[str, np.ndarray]:
    """All arrays of an npz by name; an array of Python objects is refused, it would have to be unpickled (ours).

    Raises:
        ValueError: no npz, a name twice, an array of another type or size than it says, over LARGEST bytes in all.
        zipfile.BadZipFile, RuntimeError: the archive is broken, or packed in a way that zipfile does not know.

    >>> packed = io.BytesIO(); np.savez(packed, labels=np.array([3, 1]))
    >>> parse_npz(packed.getvalue())["labels"].tolist()
    [3, 1]
    """
    if content[:2] != b"PK":
        raise ValueError("it is not an npz archive (pickles are never read, they can run code)")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = archive.infolist()
        if (size := sum(member.file_size for member in members)) > LARGEST:
            raise ValueError(f"it says that it unpacks to {size} bytes; expected at most {LARGEST}")
        names = [member.filename.removesuffix(".npy") for member in members]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"it has array {twice[0]!r} more than once; expected each once")
        return {name: _array(archive, member, f"its array {name!r}") for name, member in zip(names, members)}


def _array(archive, member, what: str) -> np.ndarray:
    """One array in the npy format (numpy.lib.format): magic, version, length of the header, header, values."""
    if member.compress_type not in METHODS:
        raise ValueError(f"{what} is packed by zip's method {member.compress_type}; expected 0 or 8")
    with archive.open(member) as file:
        start = file.read(8)
        if start not in (b"\x93NUMPY\x01\x00", b"\x93NUMPY\x02\x00"):
            raise ValueError(f"{what} begins with bytes {start.hex() or 'none'}; an npy file begins with 934e554d5059")
        length = int.from_bytes(file.read(2 * start[6]), "little")
        shape, fortran, kind = _header(file.read(min(length, HEADER)), what)
        promised, there = math.prod(shape) * kind.itemsize, member.file_size - file.tell()
        if promised != there:
            raise ValueError(f"{what} promises {promised} bytes by its shape {shape}, but {there} are there")
        return np.frombuffer(bytearray(file.read()), kind).reshape(shape, order="F" if fortran else "C")


def _header(text: bytes, what: str) -> tuple[tuple, bool, np.dtype]:
    """(shape, whether columns come first, type) from the Python literal that describes an array."""
    try:
        fields = literal(text.decode("latin-1").strip())
    except ValueError:
        fields = None
    if not isinstance(fields, dict) or fields.keys() != {"descr", "fortran_order", "shape"}:
        raise ValueError(f"{what} has a header {text[:40]!r}; expected descr, fortran_order and shape")
    shape, kind = fields["shape"], str(fields["descr"])
    if "O" in kind:
        raise ValueError(f"{what} holds Python objects; expected numbers (allow_pickle=False: pickles are never read)")
    if not re.fullmatch(TYPES, kind):
        raise ValueError(f"{what} has the type {kind!r}; expected booleans, integers or floats")
    if not isinstance(shape, tuple) or not all(type(n) is int and 0 <= n <= LARGEST for n in shape):
        raise ValueError(f"{what} has the shape {shape!r}; expected a tuple of lengths")
    return shape, bool(fields["fortran_order"]), np.dtype(kind)


def parse_jpegs(content: bytes) -> tuple[np.ndarray, np.ndarray]:
    """An npz of JPEG images: images (n,3,h,w) uint8 and labels (n,); lossy, the pixels are not the publisher's (ours).

    Image i is `jpeg[offsets[i]:offsets[i+1]]`. 60,000 images take about 10 s; nothing decoded is written to disk.

    Raises:
        ValueError: an array is missing, the offsets do not cut the bytes into a piece per label, images of several or
            of large sizes. OSError: a piece is no JPEG.

    >>> packed = io.BytesIO(); np.savez(packed, labels=np.array([3, 1]))
    >>> parse_jpegs(packed.getvalue())
    Traceback (most recent call last):
    ValueError: it has arrays labels; expected jpeg, offsets and labels
    """
    arrays = parse_npz(content)
    if not {"jpeg", "offsets", "labels"} <= set(arrays):
        raise ValueError(f"it has arrays {', '.join(arrays)}; expected jpeg, offsets and labels")
    packed, offsets, labels = arrays["jpeg"], arrays["offsets"], arrays["labels"]
    kinds = [each.ndim == 1 and each.dtype.kind in "iu" for each in (packed, offsets, labels)]
    if not all(kinds) or packed.dtype != np.uint8:
        types = f"{packed.dtype}, {offsets.dtype}, {labels.dtype}"
        raise ValueError(f"its jpeg, offsets and labels have types {types}; expected uint8 and integers, one row each")
    cuts = offsets.tolist()
    if len(cuts) != len(labels) + 1 or (cuts[0], cuts[-1]) != (0, len(packed)) or (np.diff(offsets) <= 0).any():
        raise ValueError(f"its {len(cuts)} offsets do not cut {len(packed)} bytes into {len(labels)} images")
    return _decoded([packed[start:end].tobytes() for start, end in zip(cuts, cuts[1:])]), labels


def _decoded(pieces: list[bytes]) -> np.ndarray:
    """JPEG files of one size as (n,3,h,w) uint8."""
    from PIL import Image  # matplotlib brings Pillow; only this reader needs it

    try:
        with warnings.catch_warnings(action="ignore"):  # of a header that promises a large image: it is refused below
            images = [Image.open(io.BytesIO(piece), formats=["JPEG"]) for piece in pieces]
    except Image.DecompressionBombError as error:
        raise ValueError(f"it has a huge image ({error}); expected small ones") from error
    sizes = {image.size for image in images}
    if len(sizes) != 1 or len(images) * 3 * math.prod(min(sizes)) > LARGEST:
        few = sorted(sizes)[:3]
        raise ValueError(f"its images have sizes {few}; expected images of one size, at most {LARGEST} bytes in all")
    return np.ascontiguousarray(np.stack([image.convert("RGB") for image in images]).transpose(0, 3, 1, 2))
