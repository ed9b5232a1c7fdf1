"""Sample types, luma and chroma.

An image is a NumPy array, height x width (grey) or height x width x 3 (RGB), either uint8 in 0..255 (uint16
in 0..65535, where that is said) or floating point in [0, 1].
"""

import numpy as np
from numpy.typing import DTypeLike
from skimage.color import rgb2ycbcr, ycbcr2rgb


def to_eight_bits(samples: np.ndarray) -> np.ndarray:
    """uint16 to uint8, rounded; uint8 as it is."""
    return np.rint(samples / 257.0).astype(np.uint8) if samples.dtype == np.uint16 else samples


def to_float(image: np.ndarray) -> np.ndarray:
    """uint8 0..255, or uint16 0..65535, to float64 [0, 1]; a float image is returned as float64."""
    if np.issubdtype(image.dtype, np.integer):
        return image / float(np.iinfo(image.dtype).max)
    return np.asarray(image, dtype=np.float64)


def to_uint8(image: np.ndarray) -> np.ndarray:
    """Clip a [0, 1] float image and round it to 0..255, halves up as MATLAB does."""
    return image if image.dtype == np.uint8 else quantise(image, np.uint8)


def quantise(image: np.ndarray, dtype: DTypeLike) -> np.ndarray:
    """Clip a [0, 1] float image and round it to the whole range of uint8 or uint16, halves up."""
    return np.floor(np.clip(image, 0.0, 1.0) * np.iinfo(dtype).max + 0.5).astype(dtype)


def as_rgb(image: np.ndarray) -> np.ndarray:
    """H x W to H x W x 3 with equal channels; RGB unchanged."""
    return np.stack([image] * 3, axis=-1) if image.ndim == 2 else image


def luma(image: np.ndarray) -> np.ndarray:
    """Luma of a uint8 image: Y of BT.601 studio-range YCbCr, rounded to uint8 (16..235).

    A grey image is its own luma, as in the framework that the paper's tables were made with.
    """
    if image.ndim == 2:
        return image
    return np.floor(rgb2ycbcr(image)[..., 0] + 0.5).astype(np.uint8)


def split_luma(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """uint8 or uint16 RGB to unrounded float64 luma (H x W) and chroma (H x W x 2), both / 255."""
    ycbcr = rgb2ycbcr(image) / 255.0
    return ycbcr[..., 0], ycbcr[..., 1:]


def merge_luma(y: np.ndarray, chroma: np.ndarray) -> np.ndarray:
    """Inverse of ``split_luma``: [0, 1] float RGB, clipped."""
    return np.clip(ycbcr2rgb(np.concatenate([y[..., None], chroma], axis=-1) * 255.0), 0.0, 1.0)


def to_unit(image: np.ndarray) -> np.ndarray:
    """uint8, or float about [0, 1], to float in [0, 1], clipped."""
    return image / 255.0 if image.dtype == np.uint8 else np.clip(image, 0.0, 1.0)
