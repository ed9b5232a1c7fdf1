"""Degrade HR to LR, and interpolate LR to ILR, the network's input, in the study's two ways.

Both ways are separable and linear. Each is therefore one matrix an axis down and one up, and the same code
applies it to an image and to a batch on a GPU. The matrices are sparse for an image, whose sides may have any
length, and dense for batches of patches.
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
    """Make the taps of a Gaussian blur, cut off at four sigma as in SciPy, with the edge pixel repeated."""
    reach = int(4 * sigma + 0.5)
    kernel = np.zeros(2 * reach + 1)
    kernel[reach] = 1
    if reach:
        kernel = gaussian_filter1d(kernel, sigma, mode="constant")
    index = np.arange(length)[:, None] + np.arange(-reach, reach + 1)
    return Taps(np.clip(index, 0, length - 1), np.broadcast_to(kernel, index.shape))


def bilinear_taps(length: int, out_length: int) -> Taps:
    """Make the taps of a bilinear resize without antialiasing, with the edge pixel repeated.

    It equals ``skimage.transform.resize(order=1, mode="edge", anti_aliasing=False)``.
    """
    centre = (np.arange(out_length) + 0.5) * length / out_length - 0.5
    left = np.floor(centre)
    index = np.clip(np.stack([left, left + 1], axis=1), 0, length - 1).astype(int)
    return Taps(index, np.stack([1 - (centre - left), centre - left], axis=1))


@dataclass(frozen=True)
class Degradation:
    """A way down and a way up, each given by a function that makes the weights of one axis.

    Attributes:
        name: the name in a protocol and in a checkpoint's metadata.
        down: (HR length, LR length, scale) -> sparse matrix (LR x HR).
        up: (LR length, HR length) -> taps of HR's pixels.
    """

    name: str
    down: Callable[[int, int, float], csr_array]
    up: Callable[[int, int], Taps]

    def matrices(self, length: int, scale: float) -> tuple[csr_array, csr_array]:
        """Make the matrices down and up of an axis with ``length`` pixels; LR has int(length / scale)."""
        small = max(1, downscaled_length(length, scale))
        return self.down(length, small, scale), self.up(small, length).sparse(small)

    def __call__(
        self, hr: Array, scale: float, damage: Callable[[Array], Array] | None = None
    ) -> tuple[Array, Array]:
        """Degrade HR to LR and interpolate that to ILR.

        Args:
            hr: floating NumPy H x W or H x W x C, or torch ... x H x W on any device.
            scale: factor between HR and LR; 1 leaves HR as it is.
            damage: what happens to LR before it is interpolated.

        Returns:
            LR, and ILR, which has HR's size; both of the same kind as ``hr``.
        """
        matrices = _dense if isinstance(hr, torch.Tensor) else Degradation.matrices
        (down_rows, up_rows), (down_cols, up_cols) = (
            matrices(self, side, scale) for side in spatial_size(hr)
        )
        lr = apply_separable(hr, down_rows, down_cols)
        if damage:
            lr = damage(lr)
        return lr, apply_separable(lr, up_rows, up_cols)

    def interpolate(self, lr: np.ndarray, height: int, width: int) -> np.ndarray:
        """Interpolate LR, floating H x W or H x W x C, to ILR of another size."""
        sides = zip(lr.shape[:2], (height, width), strict=True)
        rows, cols = (self.up(small, side).sparse(small) for small, side in sides)
        return apply_separable(lr, rows, cols)


@lru_cache(maxsize=32)  # every scale of a training patch
def _dense(degradation: Degradation, length: int, scale: float) -> tuple[np.ndarray, np.ndarray]:
    down, up = degradation.matrices(length, scale)
    return down.toarray(), up.toarray()


BICUBIC = Degradation(
    "bicubic",
    down=lambda hr, lr, scale: bicubic_taps(hr, lr, lr / hr).sparse(hr),
    up=lambda lr, hr: bicubic_taps(lr, hr, hr / lr),
)
"""The paper's degradation: MATLAB's bicubic, antialiased down, and up."""


BLUR_BILINEAR = Degradation(
    "blur_bilinear",
    down=lambda hr, lr, scale: (
        bilinear_taps(hr, lr).sparse(hr) @ blur_taps(hr, max(0.0, (scale - 1.0) / 2.0)).sparse(hr)
    ),
    up=bilinear_taps,
)
"""The 2018 replication's degradation: a Gaussian blur of sigma (scale - 1) / 2, then bilinear.

The replication calls it bicubic.
"""

DEGRADATIONS = {d.name: d for d in (BICUBIC, BLUR_BILINEAR)}
