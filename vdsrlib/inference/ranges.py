"""The range of values that a network knows, and the way there and back.

Networks were trained on RGB photographs, whose luma is 16 to 235 of 255. Beyond that they extrapolate. A grey
image has 0 to 255, and 12 bits in a file of 16 fill a sixteenth of it; so what enters a network is mapped to
the range it knows, and what leaves it is mapped back. Interpolation is linear, so that it may come before.
"""

from typing import NamedTuple

import numpy as np

from vdsrlib.protocol import Protocol

SMALL = 0.25  # of their range, from which on 16-bit samples are taken as they are


class LinearMap(NamedTuple):
    """From an image's planes to what the network gets: ``gain * planes + offset``."""

    gain: float
    offset: float

    def apply(self, planes: np.ndarray) -> np.ndarray:
        """Map an image's planes to the range that the network knows."""
        return self.gain * planes + self.offset

    def invert(self, planes: np.ndarray) -> np.ndarray:
        """Map the network's planes back to the image's range."""
        return (planes - self.offset) / self.gain


def map_to_known(pixels: np.ndarray, protocol: Protocol) -> LinearMap:
    """Find the map that takes an image's black and white to those of the photographs in training.

    Args:
        pixels: uint8, uint16, or floating in [0, 1]; H x W or H x W x 3. Samples of 16 bits that use a small
            part of their range are stretched: their darkest becomes black, their brightest white.
        protocol: the one that the network was trained under.

    >>> from vdsrlib.protocol import PAPER
    >>> map_to_known(np.zeros((2, 2, 3), np.uint8), PAPER)
    LinearMap(gain=1.0, offset=0.0)
    >>> grey = map_to_known(np.zeros((2, 2), np.uint8), PAPER)
    >>> [round(255 * float(grey.apply(value))) for value in (0, 1)]
    [16, 235]
    """
    low, high = 0, np.iinfo(pixels.dtype).max if np.issubdtype(pixels.dtype, np.integer) else 1
    if pixels.dtype == np.uint16:
        darkest, brightest = int(pixels.min()), int(pixels.max())
        if darkest < brightest < darkest + SMALL * high:
            low, high = darkest, brightest
    black, white = (plane_of(value, pixels.shape[2:], pixels.dtype, protocol) for value in (low, high))
    known_black, known_white = (plane_of(value, (3,), np.dtype(np.uint8), protocol) for value in (0, 255))
    gain = (known_white - known_black) / (white - black)
    return LinearMap(gain, known_black - gain * black)


def plane_of(value: int, colours: tuple[int, ...], dtype: np.dtype, protocol: Protocol) -> float:
    """Return what the network gets of an image of equal samples."""
    return float(protocol.split(np.full((1, 1, *colours), value, dtype))[0].flat[0])
