"""Estimate the noise of an image."""

import numpy as np
from scipy.ndimage import convolve

from vdsrlib.imaging.colour import luma, to_uint8

# The difference of two Laplacians (Immerkaer 1996): 0 on what is linear; noise keeps its deviation.
KERNEL = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]]) / 6
BLOCK = 8
SMOOTHEST = 10  # per cent of the blocks, in which detail hardly counts
BIAS = 0.83  # what the smoothest blocks of pure noise have of its deviation
SIDE = 1024  # pixels of the part of the image that is looked at


def estimate_noise(image: np.ndarray) -> float:
    """Estimate the standard deviation of the noise of luma, in levels of 255, from the smoothest blocks.

    Blocks without any change, as of a clipped sky, do not count. Fine texture all over an image counts as
    noise: the clean photographs of Kodak24 give 0.4 to 3.8, and one of grass alone gives 8.

    Args:
        image: uint8, uint16 or floating in [0, 1]; H x W or H x W x 3.

    >>> noise = np.random.default_rng(0).normal(0.5, 10 / 255, (300, 400))
    >>> round(estimate_noise(noise))
    10
    """
    top, left = (max(0, (side - SIDE) // 2) for side in image.shape[:2])
    part = image[top : top + SIDE, left : left + SIDE]
    levels = luma(to_uint8(part / 65535 if part.dtype == np.uint16 else part)).astype(float)
    response = convolve(levels, KERNEL)[1:-1, 1:-1]
    height, width = (side // BLOCK * BLOCK for side in response.shape)
    blocks = response[:height, :width].reshape(height // BLOCK, BLOCK, width // BLOCK, BLOCK)
    deviations = np.sqrt((blocks**2).mean((1, 3)))
    changing = deviations[deviations > 0]
    return float(np.percentile(changing, SMOOTHEST)) / BIAS if changing.size else 0.0
