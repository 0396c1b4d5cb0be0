"""npz of JPEG images that do not hold what they say."""

import io
import struct

import numpy as np
import pytest
from bad import SMALL, npz, refused  # noqa: F401  a fixture


def jpegs(**change) -> bytes:
    """An npz of four small JPEG images with some arrays replaced."""
    from PIL import Image
    pieces = []
    for side in change.pop("sides", (8, 8, 8, 8)):
        Image.new("RGB", (side, side)).save(piece := io.BytesIO(), "JPEG")
        pieces.append(piece.getvalue())
    arrays = {"jpeg": np.frombuffer(b"".join(pieces), np.uint8), "offsets": np.cumsum([0, *map(len, pieces)]),
              "labels": np.arange(4)}  # fmt: skip
    return npz(**arrays | change)


def single(piece: bytes) -> bytes:
    """An npz of one image."""
    return npz(jpeg=np.frombuffer(piece, np.uint8), offsets=np.array([0, len(piece)]), labels=np.array([0]))


def drawn(kind="JPEG") -> bytes:
    """An image file of 64x64 pixels."""
    from PIL import Image
    Image.effect_noise((64, 64), 50).save(file := io.BytesIO(), kind)
    return file.getvalue()


def enormous() -> bytes:
    """A JPEG image that says it has 65,000 x 65,000 pixels."""
    piece = drawn()
    at = piece.index(b"\xff\xc0") + 5  # start of frame: marker, length, precision, height, width
    return piece[:at] + struct.pack(">HH", 65000, 65000) + piece[at + 4 :]


JPEG = {
    "a PNG": (single(drawn("PNG")), "cifar10_jpeg_train.npz cannot be read: cannot identify image file"),
    "an enormous image": (single(enormous()), "it has a huge image (Image size (4225000000 pixels) exceeds limit"),
    "a cut image": (single(drawn()[:-500]), "image file is truncated"),
    "several sizes": (jpegs(sides=(8, 8, 9, 8)), "its images have sizes [(8, 8), (9, 9)]; expected images of one size"),
    "too few offsets": (jpegs(offsets=np.array([0, 9])), "its 2 offsets do not cut"),
    "falling offsets": (jpegs(offsets=np.array([0, 9, 5, 9, 1])), "its 5 offsets do not cut"),
    "no offsets": (jpegs(offsets=np.zeros(0, int), labels=np.zeros(0, int)), "its 0 offsets do not cut"),
    "offsets of floats": (jpegs(offsets=np.arange(5.)), "jpeg, offsets and labels have types uint8, float64, int64"),
    "bytes of floats": (jpegs(jpeg=np.zeros(9)), "its jpeg, offsets and labels have types float64, int64, int64"),
    "labels of floats": (jpegs(labels=np.zeros(4)), "its jpeg, offsets and labels have types uint8, int64, float64"),
    "one label": (jpegs(labels=np.array(3)), "have types uint8, int64, int64; expected uint8 and integers, one"),
    "other arrays": (npz(images=np.zeros(3)), "it has arrays images; expected jpeg, offsets and labels"),
}


@pytest.mark.parametrize("what", JPEG)
def test_jpeg(what, tmp_path, refused):  # noqa: F811
    content, said = JPEG[what]
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "cifar10_jpeg_train.npz").write_bytes(content)
    (tmp_path / "raw" / "cifar10_jpeg_test.npz").write_bytes(jpegs())
    assert said in refused("run", "--dataset", "cifar10_jpeg", *SMALL)
