"""Choose the part of an image to use: a multiple of the scale, or the square worth magnifying."""

import math

import numpy as np

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
