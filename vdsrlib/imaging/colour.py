"""Convert sample types, and split RGB into luma and chroma.

An image is a NumPy array, height x width (grey) or height x width x 3 (RGB). Its samples are uint8 in 0..255,
uint16 in 0..65535 where a function says so, or floating point in [0, 1].
"""

import numpy as np
from numpy.typing import DTypeLike
from skimage.color import rgb2ycbcr, ycbcr2rgb


def to_eight_bits(samples: np.ndarray) -> np.ndarray:
    """Round uint16 samples to uint8; return uint8 samples as they are."""
    return np.rint(samples / 257.0).astype(np.uint8) if samples.dtype == np.uint16 else samples


def to_full_range(samples: np.ndarray, bits: int) -> np.ndarray:
    """Spread integers of fewer bits than their type over its range.

    >>> to_full_range(np.array([0, 1023], np.uint16), 10)
    array([    0, 65535], dtype=uint16)
    """
    top, full = 2**bits - 1, np.iinfo(samples.dtype).max
    return samples if top >= full else np.rint(np.minimum(samples, top) * (full / top)).astype(samples.dtype)


def unpremultiply(colours: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Divide uint8 or uint16 colours by the alpha that had multiplied them; what is transparent had none."""
    full = np.iinfo(colours.dtype).max
    part = np.maximum(alpha, 1).astype(np.uint32)[..., None]
    return np.minimum((colours.astype(np.uint32) * full + part // 2) // part, full).astype(colours.dtype)


def to_float(image: np.ndarray) -> np.ndarray:
    """Convert an image to float64: integers by the range of their type to [0, 1], floats as they are.

    >>> to_float(np.array([0, 51, 255], np.uint8))
    array([0. , 0.2, 1. ])
    """
    if np.issubdtype(image.dtype, np.integer):
        return image / float(np.iinfo(image.dtype).max)
    return np.asarray(image, dtype=np.float64)


def to_uint8(image: np.ndarray) -> np.ndarray:
    """Quantise a [0, 1] float image to uint8, halves up as in MATLAB; return uint8 as it is.

    >>> to_uint8(np.array([-0.1, 0.5, 1.2]))
    array([  0, 128, 255], dtype=uint8)
    """
    return image if image.dtype == np.uint8 else from_float(image, np.uint8)


def from_float(image: np.ndarray, dtype: DTypeLike) -> np.ndarray:
    """Clip a float image to [0, 1]; convert it to a float type, or round it to the range of an integer type.

    >>> from_float(np.array([0.25, 1.5]), np.uint16)
    array([16384, 65535], dtype=uint16)
    """
    image = np.clip(image, 0.0, 1.0)
    if np.issubdtype(dtype, np.floating):
        return image.astype(dtype)
    return np.floor(image * np.iinfo(dtype).max + 0.5).astype(dtype)


def as_rgb(image: np.ndarray) -> np.ndarray:
    """Repeat a grey image's plane (H x W) three times (H x W x 3); return RGB as it is."""
    return np.stack([image] * 3, axis=-1) if image.ndim == 2 else image


def luma(image: np.ndarray) -> np.ndarray:
    """Compute the luma of a uint8 image: Y of BT.601 studio-range YCbCr, rounded to uint8 (16..235).

    A grey image is its own luma, as in the framework that made the paper's tables.

    >>> luma(np.array([[[0, 0, 0], [255, 255, 255]]], np.uint8))
    array([[ 16, 235]], dtype=uint8)
    """
    if image.ndim == 2:
        return image
    return np.floor(rgb2ycbcr(image)[..., 0] + 0.5).astype(np.uint8)


def split_luma(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Split uint8 or uint16 RGB into unrounded float64 luma (H x W) and chroma (H x W x 2), both / 255."""
    ycbcr = rgb2ycbcr(image) / 255.0
    return ycbcr[..., 0], ycbcr[..., 1:]


def grey_to_luma(grey: np.ndarray) -> np.ndarray:
    """Map a grey image in [0, 1] to the luma of the RGB image that looks the same, 16/255 to 235/255.

    Networks learn luma from RGB photographs, so this is the range that they know.

    >>> grey_to_luma(np.array([0, 1])) * 255
    array([ 16., 235.])
    """
    return (grey * 219.0 + 16.0) / 255.0


def luma_to_grey(y: np.ndarray) -> np.ndarray:
    """Invert ``grey_to_luma``; the result is not clipped."""
    return (y * 255.0 - 16.0) / 219.0


def merge_luma(y: np.ndarray, chroma: np.ndarray) -> np.ndarray:
    """Invert ``split_luma``: return float RGB, clipped to [0, 1]."""
    return np.clip(ycbcr2rgb(np.concatenate([y[..., None], chroma], axis=-1) * 255.0), 0.0, 1.0)
