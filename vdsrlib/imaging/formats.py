"""Know the image formats: what can be read and written, and their limits."""

from pathlib import Path

try:
    from PIL.AvifImagePlugin import SUPPORTED as HAS_AVIF
except ImportError:  # an older Pillow
    HAS_AVIF = False

import numpy as np
from numpy.typing import DTypeLike

from vdsrlib.errors import InputError

FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
}
"""The formats that are read and written, by suffix. A file's content, not its name, says what it is."""

READABLE = {
    **FORMATS,
    ".gif": "GIF",
    **({".avif": "AVIF"} if HAS_AVIF else {}),
    ".jxl": "JPEG XL",
    **dict.fromkeys((".heic", ".heif", ".hif"), "HEIC"),
}
"""The formats that are read, by suffix; AVIF only where Pillow has it, HEIC with the extra ``heic``."""

PILLOWS = [kind for kind in dict.fromkeys(READABLE.values()) if kind not in ("JPEG XL", "HEIC")]
"""Those that Pillow reads, by its names."""

LONGEST_SIDE = {"JPEG": 65_535, "WEBP": 16_383}
WITH_ALPHA = {"PNG", "WEBP", "TIFF"}
WITH_16_BITS = {"PNG", "TIFF"}

EIGHT_BITS = "16 bits became 8"

MAX_PIXELS = 500_000_000
"""Pixels of the largest image that is read or made by default; a larger one may be a decompression bomb."""


class TooLarge(InputError):
    """An image has, or would have, more pixels than the limit."""


def check_pixels(path: str | Path, height: int, width: int, max_pixels: int) -> None:
    """Raise TooLarge if an image has, or would have, more pixels than the limit."""
    if height * width > max_pixels:
        raise TooLarge(
            f"{path}: {width} x {height} are {height * width / 1e6:.15g} megapixels, and the limit is "
            f"{max_pixels / 1e6:.15g}."
        )


def check_target(
    path: str | Path, height: int = 1, width: int = 1, *, alpha: bool = False, dtype: DTypeLike = np.uint8
) -> None:
    """Raise InputError if no such image can be written under this name; ask before a long computation."""
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        raise InputError(f"{path}: the name must end in one of {', '.join(sorted(FORMATS))}.")
    kind = FORMATS[suffix]
    if max(height, width) > LONGEST_SIDE.get(kind, 2**31 - 1):
        raise InputError(
            f"{path}: {width} x {height} pixels are more than {suffix} holds, {LONGEST_SIDE[kind]} a side; "
            "write .png instead."
        )
    if np.dtype(dtype) not in (np.uint8, np.uint16) and kind != "TIFF":
        raise InputError(f"{path}: {suffix} cannot hold samples of {np.dtype(dtype)}; write .tif instead.")
    if alpha and kind not in WITH_ALPHA:
        raise InputError(f"{path}: {suffix} cannot hold transparency; write .png, .webp or .tif instead.")
