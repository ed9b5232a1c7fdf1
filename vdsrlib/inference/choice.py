"""Choose between the shipped luma networks by the image that is to be enlarged."""

from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vdsrlib.errors import InputError
from vdsrlib.imaging.arrays import as_samples
from vdsrlib.imaging.formats import MAX_PIXELS
from vdsrlib.imaging.image_file import open_image, read_picture
from vdsrlib.imaging.jpeg import estimate_quality
from vdsrlib.imaging.noise import estimate_noise

CLEAN_QUALITY = 90  # of JPEG, from which on vdsr does better
NOISY = 4.5  # levels of 255, which the clean photographs of Kodak24 do not reach


class Choice(NamedTuple):
    """Which shipped weights fit an image, and why: a few words, or None where nothing is special."""

    weights: str
    reason: str | None = None


def choose_weights(
    image: str | Path | np.ndarray, scale: float | None = None, max_pixels: int = MAX_PIXELS
) -> Choice:
    """Choose weights for an image: vdsr-photo for what is noisy or a JPEG of low quality, else vdsr.

    Scores never ask it: they need one network for all images.

    Args:
        image: a file; or an array as ``upscale`` takes it, which has no JPEG's tables to tell its quality.
        scale: at 1, the image is cleaned, which vdsr-photo alone has learnt.
        max_pixels: the most pixels to decode.

    Raises:
        InputError: the file cannot be read.

    >>> from vdsrlib.datasets.catalog import embedded
    >>> choose_weights(embedded(["coffee.png"])[0])
    Choice(weights='vdsr', reason=None)
    """
    if scale == 1:
        return Choice("vdsr-photo", "scale 1")
    if isinstance(image, np.ndarray):
        pixels, _, measured = as_samples(image)
    else:
        quality = _jpeg_quality(image)
        if quality and quality < CLEAN_QUALITY:
            return Choice("vdsr-photo", f"JPEG of quality {quality}")
        picture = read_picture(image, max_pixels, measurements=True)
        pixels, measured = picture.pixels, picture.measured
    noise = 0.0 if measured else estimate_noise(pixels)
    return Choice("vdsr-photo", f"noise of {noise:.0f} levels") if noise > NOISY else Choice("vdsr")


def _jpeg_quality(path: str | Path) -> int | None:
    """Estimate the quality of a JPEG from the first of its tables; None for other files."""
    with suppress(InputError), open_image(path) as file:
        if tables := getattr(file, "quantization", None):
            return estimate_quality(tables[min(tables)])
    return None
