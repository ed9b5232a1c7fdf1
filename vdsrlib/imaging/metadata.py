"""Interpret what an image file says of its pixels: the orientation and the colour profile."""

import numpy as np
from PIL import Image, ImageCms

UPRIGHT = {
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: np.swapaxes(x, 0, 1),
    6: lambda x: np.rot90(x, -1),
    7: lambda x: np.swapaxes(x, 0, 1)[::-1, ::-1],
    8: lambda x: np.rot90(x),
}
"""What turns an array upright, by EXIF's orientation."""
SRGB = ImageCms.createProfile("sRGB")


def orientation_of_exif(content: bytes | None) -> int | None:
    """Return EXIF's orientation, 1 to 8; None where it has none.

    Pillow would also take the orientation in XMP, by which cameras and viewers turn nothing.
    """
    exif = Image.Exif()
    try:
        exif.load(content or b"")
        return exif.get(0x0112)
    except Exception:  # damaged EXIF is no reason to refuse the pixels
        return None


def matching_profile(icc: bytes | None, samples: np.ndarray) -> bytes | None:
    """Return the profile if it is one for such samples, which its header says; None otherwise."""
    grey = samples.ndim == 2 or samples.shape[2] == 2
    return icc if icc and icc[16:20] == (b"GRAY" if grey else b"RGB ") else None
