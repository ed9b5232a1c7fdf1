"""Orientation and colour profile of an image file."""

import struct
import zlib

import numpy as np
from PIL import Image, ImageCms

UPRIGHT = {  # by EXIF's orientation: what to do with the array
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: np.swapaxes(x, 0, 1),
    6: lambda x: np.rot90(x, -1),
    7: lambda x: np.swapaxes(x, 0, 1)[::-1, ::-1],
    8: lambda x: np.rot90(x),
}
SRGB = ImageCms.createProfile("sRGB")


def exif_orientation(file: Image.Image) -> int | None:
    """EXIF's orientation of an image, 1 to 8; None where it says none."""
    try:
        return file.getexif().get(0x0112)
    except Exception:  # damaged EXIF is no reason to refuse the pixels
        return None


def matching_profile(icc: bytes | None, samples: np.ndarray) -> bytes | None:
    """The profile, if it is one for such samples, with alpha or not: its header names the colour space."""
    grey = samples.ndim == 2 or samples.shape[2] == 2
    return icc if icc and icc[16:20] == (b"GRAY" if grey else b"RGB ") else None


def insert_png_profile(png: bytes, icc: bytes | None) -> bytes:
    """A PNG file with its colour profile, a chunk right behind the header, which is 33 bytes long."""
    if not icc:
        return png
    content = b"iCCPICC profile\0\0" + zlib.compress(icc)
    chunk = struct.pack(">I", len(content) - 4) + content + struct.pack(">I", zlib.crc32(content))
    return png[:33] + chunk + png[33:]
