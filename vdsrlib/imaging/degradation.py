"""From HR to LR, and back up to ILR, the network's input: the two degradations of the study.

Both are separable and linear, so each is one matrix an axis for the way down and one for the way up,
applied in the same words to an image or to a whole batch on a GPU: sparse for an image, which may have sides
of any length, and dense for batches of patches.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from scipy.sparse import csr_array

from vdsrlib.imaging.crops import downscaled_length
from vdsrlib.imaging.resize import Array, Taps, apply_separable, bicubic_taps, spatial_size


def blur_taps(length: int, sigma: float) -> Taps:
    """Gaussian blur along one axis, cut off at four sigma as SciPy does, the edge pixel repeated."""
    reach = int(4 * sigma + 0.5)
    kernel = np.zeros(2 * reach + 1)
    kernel[reach] = 1
    if reach:
        kernel = gaussian_filter1d(kernel, sigma, mode="constant")
    index = np.arange(length)[:, None] + np.arange(-reach, reach + 1)
    return Taps(np.clip(index, 0, length - 1), np.broadcast_to(kernel, index.shape))


def bilinear_taps(length: int, out_length: int) -> Taps:
    """Bilinear resize of one axis without antialiasing, the edge pixel repeated.

    The same as ``skimage.transform.resize(order=1, mode="edge", anti_aliasing=False)``.
    """
    centre = (np.arange(out_length) + 0.5) * length / out_length - 0.5
    left = np.floor(centre)
    index = np.clip(np.stack([left, left + 1], axis=1), 0, length - 1).astype(int)
    return Taps(index, np.stack([1 - (centre - left), centre - left], axis=1))


@dataclass(frozen=True)
class Degradation:
    """A way down and a way up, each a function that makes the weights of one axis.

    Attributes:
        name: as in a protocol and in a checkpoint's metadata.
        down: (HR length, LR length, scale) -> sparse matrix (LR x HR).
        up: (LR length, HR length) -> taps of HR's pixels.
    """

    name: str
    down: Callable[[int, int, float], csr_array]
    up: Callable[[int, int], Taps]

    def matrices(self, length: int, scale: float) -> tuple[csr_array, csr_array]:
        """The matrices down and up of an axis with ``length`` pixels; LR has int(length / scale)."""
        small = max(1, downscaled_length(length, scale))
        return self.down(length, small, scale), self.up(small, length).sparse(small)

    def __call__(self, hr: Array, scale: float) -> tuple[Array, Array]:
        """HR (NumPy H x W [x C], or torch ... x H x W; floating) to (LR, ILR); ILR is HR's size."""
        matrices = _dense if isinstance(hr, torch.Tensor) else Degradation.matrices
        (down_rows, up_rows), (down_cols, up_cols) = (
            matrices(self, side, scale) for side in spatial_size(hr)
        )
        lr = apply_separable(hr, down_rows, down_cols)
        return lr, apply_separable(lr, up_rows, up_cols)


@lru_cache(maxsize=32)  # every scale of a training patch
def _dense(degradation: Degradation, length: int, scale: float) -> tuple[np.ndarray, np.ndarray]:
    down, up = degradation.matrices(length, scale)
    return down.toarray(), up.toarray()


BICUBIC = Degradation(
    "bicubic",
    down=lambda hr, lr, scale: bicubic_taps(hr, lr, lr / hr).sparse(hr),
    up=lambda lr, hr: bicubic_taps(lr, hr, hr / lr),
)
"""MATLAB's bicubic down (antialiased) and up: the paper's degradation."""


BLUR_BILINEAR = Degradation(
    "blur_bilinear",
    down=lambda hr, lr, scale: (
        bilinear_taps(hr, lr).sparse(hr) @ blur_taps(hr, max(0.0, (scale - 1.0) / 2.0)).sparse(hr)
    ),
    up=bilinear_taps,
)
"""Gaussian blur of sigma (scale - 1) / 2, then bilinear: what the 2018 replication calls bicubic."""

DEGRADATIONS = {d.name: d for d in (BICUBIC, BLUR_BILINEAR)}
