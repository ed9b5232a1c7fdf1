"""From HR to LR, and back up to ILR, the network's input: the two degradations of the study.

Both are separable and linear, so each is one matrix an axis for the way down and one for the way
up, built once a size and applied to an image, or to a whole batch on a GPU, in the same words.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.ndimage import gaussian_filter1d

from vdsrlib.resize import Array, Taps, bicubic_matrix, bicubic_taps, separable, sides


def blur_matrix(length: int, sigma: float) -> np.ndarray:
    """Gaussian blur along one axis, the edge pixel repeated (length x length)."""
    if sigma == 0:
        return np.eye(length)
    return gaussian_filter1d(np.eye(length), sigma, axis=0, mode="nearest")


def bilinear_matrix(length: int, out_length: int) -> np.ndarray:
    """Bilinear resize of one axis without antialiasing, the edge pixel repeated.

    The same as ``skimage.transform.resize(order=1, mode="edge", anti_aliasing=False)``.
    """
    return bilinear_taps(length, out_length).matrix(length)


def bilinear_taps(length: int, out_length: int) -> Taps:
    """The same as ``bilinear_matrix`` without its zeros."""
    centre = (np.arange(out_length) + 0.5) * length / out_length - 0.5
    left = np.floor(centre)
    index = np.clip(np.stack([left, left + 1], axis=1), 0, length - 1).astype(int)
    return Taps(index, np.stack([1 - (centre - left), centre - left], axis=1))


def lr_length(length: int, scale: float) -> int:
    """Pixels of an LR axis whose HR has ``length``: the whole part of length / scale."""
    return int(length / scale + 1e-9)  # 1e-9: 3.3 / 1.1 is 2.9999…


@dataclass(frozen=True)
class Degradation:
    """A way down and a way up, each a function that makes the weights of one axis.

    Attributes:
        name: as in a protocol and in a checkpoint's metadata.
        down: (HR length, LR length, scale) -> matrix (LR x HR).
        up: (LR length, HR length) -> taps of HR's pixels.
    """

    name: str
    down: Callable[[int, int, float], np.ndarray]
    up: Callable[[int, int], Taps]

    def matrices(self, length: int, scale: float) -> tuple[np.ndarray, np.ndarray]:
        """The matrices down and up of an axis with ``length`` pixels; LR has int(length / scale)."""
        return (_two if length > LARGE else _many)(self, length, scale)

    def __call__(self, hr: Array, scale: float) -> tuple[Array, Array]:
        """HR (NumPy H x W [x C], or torch ... x H x W; floating) to (LR, ILR); ILR is HR's size."""
        height, width = sides(hr)
        down_rows, up_rows = self.matrices(height, scale)
        down_cols, up_cols = self.matrices(width, scale)
        lr = separable(hr, down_rows, down_cols)
        return lr, separable(lr, up_rows, up_cols)


def _matrices(degradation: Degradation, length: int, scale: float) -> tuple[np.ndarray, np.ndarray]:
    small = max(1, lr_length(length, scale))
    return degradation.down(length, small, scale), degradation.up(small, length).matrix(small)


LARGE = 512  # pixels: a pair of matrices takes 2 MiB for ×2, and 275 MiB at 6000 pixels
_many = lru_cache(maxsize=32)(_matrices)  # every scale of a training patch, and of a set of one size
_two = lru_cache(maxsize=2)(_matrices)  # both axes of one image


BICUBIC = Degradation(
    "bicubic",
    down=lambda hr, lr, scale: bicubic_matrix(hr, lr, lr / hr),
    up=lambda lr, hr: bicubic_taps(lr, hr, hr / lr),
)
"""MATLAB's bicubic down (antialiased) and up: the paper's degradation."""

BLUR_BILINEAR = Degradation(
    "blur_bilinear",
    down=lambda hr, lr, scale: bilinear_matrix(hr, lr) @ blur_matrix(hr, max(0.0, (scale - 1.0) / 2.0)),
    up=bilinear_taps,
)
"""Gaussian blur of sigma (scale - 1) / 2, then bilinear: what the 2018 replication calls bicubic."""

DEGRADATIONS = {d.name: d for d in (BICUBIC, BLUR_BILINEAR)}
