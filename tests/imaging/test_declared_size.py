"""The size in the header of a compressed image, as its own decoder finds it."""

import io

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from vdsrlib.errors import InputError
from vdsrlib.imaging.declared_size import declared_size
from vdsrlib.imaging.image_file import read_picture

SIZES = [(1, 1), (8, 16), (96, 120), (100, 100), (30, 700), (600, 400), (270, 480), (9000, 3)]


def with_pillow(image: np.ndarray, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, kind, **options)
    return buffer.getvalue()


ENCODERS = {
    "JPEG": lambda image: with_pillow(image, "JPEG"),
    "progressive JPEG": lambda image: with_pillow(image, "JPEG", progressive=True, exif=bytes(9999)),
    "PNG": lambda image: with_pillow(image, "PNG"),
    "WebP": lambda image: with_pillow(image, "WEBP"),
    "lossless WebP": lambda image: with_pillow(image, "WEBP", lossless=True),
    "WebP with EXIF": lambda image: with_pillow(image, "WEBP", exif=b"Exif\0\0II*\0\x08\0\0\0\0\0"),
    "JPEG 2000": lambda image: imagecodecs.jpeg2k_encode(image, codecformat="J2K"),
    "JPEG XL": lambda image: imagecodecs.jpegxl_encode(image, usecontainer=False),
    "LERC": imagecodecs.lerc_encode,
}


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("size", SIZES)
def test_of_every_kind(name, size):
    content = bytes(ENCODERS[name](np.zeros((*size, 3), np.uint8)))
    assert declared_size(content) == size
    for end in (0, 2, 5, 11, 13):
        assert declared_size(content[:end]) in (None, size)


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xd8", b"\xff\xd8\xff\xda", b"RIFFxxxxWEBPxxxx", b"something else"]
)
def test_of_no_kind(content):
    assert declared_size(content) is None


@pytest.mark.parametrize("compression", ["jpeg", "png", "webp", "jpeg2000", "jpegxl"])
def test_a_strip_that_claims_to_be_larger(tmp_path, photo, compression):
    """It would take the memory that it claims: for a JPEG up to 13 GB."""
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, photo, photometric="rgb", compression=compression, rowsperstrip=96)
    read_picture(path)
    with tifffile.TiffFile(path, mode="r+b") as file:
        file.pages.first.tags["ImageLength"].overwrite(20)
        if compression != "jpeg":
            file.pages.first.tags["RowsPerStrip"].overwrite(20)
    with pytest.raises(InputError, match="a part of 120 x 20 pixels claims to be larger"):
        read_picture(path)
