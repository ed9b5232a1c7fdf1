"""Which part of an image is used: the crop to a multiple of the scale, and the part worth magnifying."""

import math

import numpy as np

from vdsrlib.imaging.colour import to_unit


def downscaled_length(length: int, scale: float) -> int:
    """Pixels of an LR axis whose HR has ``length``: the whole part of length / scale."""
    return int(length / scale + 1e-9)  # 1e-9: 3.3 / 1.1 is 2.9999…


def modcrop_length(length: int, scale: float) -> int:
    """The longest side <= length that is a multiple of the scale.

    For a real scale, where few lengths are, it is the smallest side whose LR has as many pixels as that of
    ``length``: LR and HR then have the scale between them to within one HR pixel.
    """
    return math.ceil(scale * downscaled_length(length, scale) - 1e-9)


Box = tuple[int, int, int, int]


def most_detailed_crop(image: np.ndarray, size: int) -> Box:
    """The size x size square with the most fine detail: a fair place to magnify."""
    size = min(size, *(side - 1 for side in image.shape[:2]))
    grey = to_unit(image).mean(axis=-1) if image.ndim == 3 else to_unit(image)
    detail = np.abs(np.diff(grey, axis=0))[:, :-1] + np.abs(np.diff(grey, axis=1))[:-1]
    total = np.pad(detail.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    sums = total[size:, size:] - total[:-size, size:] - total[size:, :-size] + total[:-size, :-size]
    top, left = np.unravel_index(sums.argmax(), sums.shape)
    return int(top), int(left), size, size


def crop(image: np.ndarray, box: Box) -> np.ndarray:
    """The part of an image in a box: (top, left, height, width) in pixels."""
    top, left, height, width = box
    return image[top : top + height, left : left + width]
