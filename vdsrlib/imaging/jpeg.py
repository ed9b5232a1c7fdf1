"""JPEG's loss as matrices: an 8 x 8 cosine transform, quantisation, and back; batched, on any device.

The entropy coding of a JPEG loses nothing, so it is left out. Chroma is not treated: the planes are luma.
"""

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

SIDE = 8
"""Pixels of a block's side."""

# ITU-T T.81, table K.1, which every quality scales.
LUMINANCE = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ]
)


def cosine_matrix() -> np.ndarray:
    """Make the orthogonal matrix (8 x 8) of the cosine transform; a block's coefficients are ``C @ b @ C.T``.

    >>> bool(np.allclose(cosine_matrix() @ cosine_matrix().T, np.eye(8)))
    True
    """
    frequency, pixel = np.arange(SIDE)[:, None], np.arange(SIDE)
    matrix = np.cos(math.pi * frequency * (2 * pixel + 1) / (2 * SIDE)) / 2
    matrix[0] /= math.sqrt(2)
    return matrix


def quantisation_table(quality: int) -> np.ndarray:
    """Return the steps (8 x 8) by which libjpeg quantises luma at a quality from 1 to 100.

    >>> quantisation_table(75)[0]
    array([ 8,  6,  5,  8, 12, 20, 26, 31])
    """
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    return np.clip((LUMINANCE * percent + 50) // 100, 1, 255)


def estimate_quality(table: Sequence[int] | np.ndarray) -> int:
    """Estimate the quality from 1 to 100 whose steps for luma are, in sum, nearest to those of a file.

    Cameras have tables of their own, so that this is a comparison, not what the camera calls it.

    >>> estimate_quality(quantisation_table(85))
    85
    """
    sums = _tables()[1:].sum((1, 2)).numpy()
    return int(np.abs(sums - np.sum(table)).argmin()) + 1


def compress(planes: Tensor, quality: Tensor, phase: Tensor) -> Tensor:
    """Compute what remains of planes after JPEG.

    Where a plane does not end with a block, its edge pixels are repeated, as libjpeg does.

    Args:
        planes: N x H x W, whole grey levels in [0, 255], floating.
        quality: N whole numbers from 1 to 100.
        phase: N x 2, the rows and columns, 0 to 7, of the first block that lie outside the plane.

    Returns:
        The decoded planes: N x H x W, whole grey levels in [0, 255].
    """
    height, width = planes.shape[-2:]
    rows, cols = (
        torch.arange(-(-(side + SIDE - 1) // SIDE) * SIDE, device=planes.device) - start[:, None]
        for side, start in zip((height, width), phase.T, strict=True)
    )
    batch = torch.arange(len(planes), device=planes.device)[:, None, None]
    whole = planes[batch, rows.clamp(0, height - 1)[:, :, None], cols.clamp(0, width - 1)[:, None]]
    blocks = whole.unflatten(1, (-1, SIDE)).unflatten(3, (-1, SIDE)).transpose(2, 3)  # N x down x across
    transform = torch.as_tensor(cosine_matrix(), dtype=planes.dtype, device=planes.device)
    steps = _tables().to(planes)[quality][:, None, None]
    # libjpeg rounds coefficients to eighths first, so that halfway cases are common, and away from 0 in them.
    coefficients = (8 * (transform @ (blocks - 128) @ transform.T) + 0.5).floor() / 8 / steps
    quantised = coefficients.sign() * (coefficients.abs() + 0.5).floor() * steps
    decoded = (transform.T @ quantised @ transform + 128.5).floor().clamp(0, 255)
    whole = decoded.transpose(2, 3).flatten(3).flatten(1, 2)
    down, across = (
        torch.arange(side, device=planes.device) + start[:, None]
        for side, start in zip((height, width), phase.T, strict=True)
    )
    return whole[batch, down[:, :, None], across[:, None]]


@lru_cache(maxsize=1)
def _tables() -> Tensor:
    """Stack the tables of all qualities, for an index from 1 to 100."""
    return torch.from_numpy(np.stack([quantisation_table(max(1, quality)) for quality in range(101)]))
