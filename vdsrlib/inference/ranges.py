"""The range of an image's samples: which of them are black and white to a network.

Networks were trained on photographs that reach from black to white. 12 bits in a file of 16 fill a sixteenth
of that, and elevations in metres have neither black nor white. Such samples are stretched to the whole range
before the network, and come back in their own.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike

SMALL = 0.25  # of their range, from which on 16-bit samples are taken as they are
OUTLIERS = 1  # percent of measured samples at either end that may lie far from all others


class SampleRange(NamedTuple):
    """The samples that are black and white to a network.

    Attributes:
        black: this sample is 0 to the network.
        span: from there to the sample that is 1; 0 where all samples are equal.
    """

    black: float
    span: float

    def to_unit(self, samples: np.ndarray) -> np.ndarray:
        """Map samples to float64 in [0, 1]."""
        return (samples.astype(np.float64) - self.black) / (self.span or 1.0)

    def from_unit(self, image: np.ndarray, dtype: DTypeLike) -> np.ndarray:
        """Clip a float image to [0, 1], and map it back to samples; integers are rounded, halves up.

        >>> SampleRange(3000, 500).from_unit(np.array([-0.1, 0.5]), np.int32)
        array([3000, 3250], dtype=int32)
        """
        samples = self.black + self.span * np.clip(image, 0.0, 1.0)
        return (np.floor(samples + 0.5) if np.issubdtype(dtype, np.integer) else samples).astype(dtype)


def sample_range(pixels: np.ndarray, *, measured: bool = False) -> SampleRange:
    """Find the range of an image's samples.

    Args:
        pixels: of any type of number, finite. The range of uint8, and of floats in [0, 1], is that of the
            type. That of uint16 is, too, unless the samples fill less than a quarter of it: then their
            darkest is black, and their brightest white.
        measured: whether no black and white are agreed, as of elevations: the darkest and the brightest
            sample are then taken, whatever the type, but for few that would leave less than a quarter of the
            range to all others, as a lamp or metal does. Other types than these three are always measured.

    >>> sample_range(np.array([[70, 4000]], np.uint16))
    SampleRange(black=70.0, span=3930.0)
    >>> sample_range(np.array([[70, 40_000]], np.uint16))
    SampleRange(black=0.0, span=65535.0)
    """
    if pixels.dtype == np.uint8 and not measured:
        return SampleRange(0.0, 255.0)
    if pixels.dtype.kind == "f" and not measured:
        return SampleRange(0.0, 1.0)
    darkest, brightest = float(pixels.min()), float(pixels.max())
    if pixels.dtype == np.uint16 and not measured and brightest - darkest >= SMALL * 65_535:
        return SampleRange(0.0, 65_535.0)
    if measured:
        low, high = (float(end) for end in np.percentile(pixels, (OUTLIERS, 100 - OUTLIERS)))
        if 0 < high - low < SMALL * (brightest - darkest):
            return SampleRange(low, high - low)
    return SampleRange(darkest, brightest - darkest)


def split_outliers(pixels: np.ndarray, known: SampleRange) -> tuple[np.ndarray, np.ndarray | None]:
    """Clip measured samples to the range; return them with what was cut off, or None if nothing was.

    >>> split_outliers(np.array([[1, 2, 900]]), SampleRange(1.0, 9.0))
    (array([[ 1.,  2., 10.]]), array([[  0.,   0., 890.]]))
    """
    if float(pixels.max()) - float(pixels.min()) <= known.span:
        return pixels, None
    samples = pixels.astype(np.float64)
    inside = samples.clip(known.black, known.black + known.span)
    return inside, samples - inside
