"""Choose the part of an image to use: a multiple of the scale, or the square worth magnifying."""

import math

import numpy as np

from vdsrlib.errors import InputError
from vdsrlib.imaging.colour import to_float

Box = tuple[int, int, int, int]
"""(top, left, height, width) of a part of an image, in pixels."""


def downscaled_length(length: int, scale: float) -> int:
    """Compute the pixels of an LR axis from those of its HR axis: the whole part of length / scale.

    >>> downscaled_length(100, 3)
    33
    """
    return int(length / scale + 1e-9)  # 3.3 / 1.1 is 2.9999… in floating point


def modcrop_length(length: int, scale: float) -> int:
    """Compute the longest side <= length that is a multiple of the scale.

    Few sides are multiples of a real scale. The result is then the shortest side that is downscaled to as
    many pixels as ``length``, so LR and HR have the scale between them to within one HR pixel.

    >>> modcrop_length(100, 3), modcrop_length(100, 2.5), modcrop_length(100, 2.7)
    (99, 100, 100)
    """
    return math.ceil(scale * downscaled_length(length, scale) - 1e-9)


def paired_size(hr: np.ndarray, lr: np.ndarray, scale: float) -> tuple[int, int]:
    """Compute the height and width of the part of HR that its own LR shows.

    Raises:
        InputError: LR has not the size of HR divided by the scale; or one of them is grey, the other is not.

    >>> paired_size(np.zeros((101, 60)), np.zeros((33, 20)), 3)
    (99, 60)
    """
    if hr.ndim != lr.ndim:
        grey, other = ("HR", "LR") if hr.ndim == 2 else ("LR", "HR")
        raise InputError(f"HR and LR must both be grey or both in colour; {grey} is grey and {other} is not")
    (height, width), (rows, cols) = hr.shape[:2], lr.shape[:2]
    wanted = downscaled_length(height, scale), downscaled_length(width, scale)
    if (rows, cols) != wanted:
        raise InputError(
            f"LR must have {wanted[1]}x{wanted[0]} pixels, those of HR ({width}x{height}) divided by "
            f"{scale:g}; got {cols}x{rows}, a factor of {width / cols:.4g} by {height / rows:.4g}"
        )
    return modcrop_length(height, scale), modcrop_length(width, scale)


def most_detailed_crop(image: np.ndarray, size: int) -> Box:
    """Find the size x size square with the most fine detail: a fair place to magnify."""
    size = min(size, *(side - 1 for side in image.shape[:2]))
    grey = np.clip(to_float(image), 0, 1)
    if grey.ndim == 3:
        grey = grey.mean(axis=-1)
    detail = np.abs(np.diff(grey, axis=0))[:, :-1] + np.abs(np.diff(grey, axis=1))[:-1]
    total = np.pad(detail.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    sums = total[size:, size:] - total[:-size, size:] - total[size:, :-size] + total[:-size, :-size]
    top, left = np.unravel_index(sums.argmax(), sums.shape)
    return int(top), int(left), size, size


def crop(image: np.ndarray, box: Box) -> np.ndarray:
    """Cut the part in a box out of an image."""
    top, left, height, width = box
    return image[top : top + height, left : left + width]
