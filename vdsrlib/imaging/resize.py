"""Resize with MATLAB's bicubic ``imresize``: two small matrices, ``out = rows @ image @ cols.T``.

Published PSNR depends on this one function more than on anything else. The kernel has a = -0.5 and is widened
when it shrinks an image (antialiasing); pixel centres lie at half-integers, and borders are mirrored.
"""

import math
from typing import NamedTuple, TypeVar, overload

import numpy as np
import torch
from PIL import Image
from scipy.sparse import csr_array

from vdsrlib.errors import InputError
from vdsrlib.imaging.arrays import as_array, as_image

Array = TypeVar("Array", np.ndarray, torch.Tensor)


def cubic(x: np.ndarray) -> np.ndarray:
    """Evaluate Keys' cubic convolution kernel with a = -0.5; it is zero beyond |x| = 2."""
    x = np.abs(x)
    near = (1.5 * x - 2.5) * x**2 + 1.0
    far = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return np.where(x <= 1, near, np.where(x <= 2, far, 0.0))


class Taps(NamedTuple):
    """A resize of one axis: the input pixels of each output pixel, and their weights.

    Attributes:
        inputs: out_length x taps, the input pixels; a mirrored border repeats some of them.
        weight: out_length x taps, float64.
    """

    inputs: np.ndarray
    weight: np.ndarray

    def matrix(self, length: int) -> np.ndarray:
        """Make the dense matrix, out_length x length, read-only."""
        matrix = np.zeros((len(self.inputs), length))
        np.add.at(matrix, (np.arange(len(self.inputs))[:, None], self.inputs), self.weight)
        matrix.flags.writeable = False
        return matrix

    def sparse(self, length: int) -> csr_array:
        """Make the sparse matrix, out_length x length; nearly all of the dense one is zeros."""
        rows = np.repeat(np.arange(len(self.inputs)), self.inputs.shape[1])
        entries = self.weight.ravel(), (rows, self.inputs.ravel())
        return csr_array(entries, (len(self.inputs), length))

    def window(self, outputs: slice) -> tuple[slice, csr_array]:
        """Find the input pixels that some output pixels need, and the sparse matrix between the two."""
        index, weight = self.inputs[outputs], self.weight[outputs]
        first, stop = int(index.min()), int(index.max()) + 1
        return slice(first, stop), Taps(index - first, weight).sparse(stop - first)


def bicubic_matrix(length: int, out_length: int, scale: float) -> np.ndarray:
    """Make the matrix (out_length x length, float64) that resizes one axis by ``scale``."""
    return bicubic_taps(length, out_length, scale).matrix(length)


def bicubic_taps(length: int, out_length: int, scale: float) -> Taps:
    """Make the taps that resize one axis by ``scale``."""
    stretch = min(scale, 1.0)  # < 1 widens the kernel: this is the antialiasing
    support = 4.0 / stretch
    centre = (np.arange(out_length) + 0.5) / scale - 0.5
    first = np.floor(centre - support / 2).astype(int)
    taps = first[:, None] + np.arange(math.ceil(support) + 2)
    weight = cubic(stretch * (centre[:, None] - taps))
    weight /= weight.sum(axis=1, keepdims=True)
    mirrored = taps % (2 * length)
    return Taps(np.minimum(mirrored, 2 * length - 1 - mirrored), weight)


def spatial_size(image: np.ndarray | torch.Tensor) -> tuple[int, int]:
    """Return height and width: the first two axes of a NumPy image, the last two of a torch batch."""
    height, width = image.shape[:2] if isinstance(image, np.ndarray) else image.shape[-2:]
    return height, width


def apply_separable(
    image: Array, rows: np.ndarray | csr_array | None, cols: np.ndarray | csr_array | None
) -> Array:
    """Compute ``rows @ image @ cols.T``; a matrix that is None leaves its axis as it is.

    Args:
        image: floating NumPy H x W or H x W x C, or torch ... x H x W on any device.
        rows: matrix (out height x H), for NumPy dense or sparse.
        cols: matrix (out width x W), likewise.
    """
    if isinstance(image, np.ndarray) and image.ndim == 3:
        planes = [apply_separable(image[..., i], rows, cols) for i in range(image.shape[-1])]
        return np.stack(planes, axis=-1)
    if rows is not None:
        image = _matrix_like(rows, image) @ image
    if cols is not None:
        image = image @ _matrix_like(cols, image).T
    # A product with a sparse matrix lies in memory column by column.
    return np.ascontiguousarray(image) if isinstance(image, np.ndarray) else image


def _matrix_like(matrix: np.ndarray | csr_array, image: Array) -> Array:
    if isinstance(image, torch.Tensor):
        return torch.as_tensor(matrix.copy(), dtype=image.dtype, device=image.device)
    return matrix.astype(image.dtype, copy=False)


def _as_floating(image: Array) -> Array:
    if isinstance(image, torch.Tensor):  # Apple's MPS has no float64
        return image.to(torch.float32 if image.device.type == "mps" else torch.float64)
    return image.astype(np.float64)


def _round_uint8(image: Array) -> Array:
    if isinstance(image, torch.Tensor):
        return (image.clamp(0, 255) + 0.5).floor().to(torch.uint8)
    return np.floor(np.clip(image, 0, 255) + 0.5).astype(np.uint8)


@overload
def imresize(image: Array, scale: float) -> Array: ...


@overload
def imresize(image: Array, *, shape: tuple[int, int]) -> Array: ...


def imresize(image: Array, scale: float | None = None, shape: tuple[int, int] | None = None) -> Array:
    """Resize an image with MATLAB's bicubic kernel, by a factor or to a shape.

    Args:
        image: NumPy H x W or H x W x C, or torch ... x H x W on any device; uint8 or floating. An image of
            Pillow is taken as an array.
        scale: factor > 0, any real number; the output has ceil(size * scale) pixels a side.
        shape: output (height, width), instead of a scale; each axis then has its own factor.

    Returns:
        The same kind and dtype as ``image``. A uint8 image is rounded and clipped after each of the
        two passes, as MATLAB does; a floating one is neither rounded nor clipped.

    Raises:
        InputError: not exactly one of ``scale`` and ``shape``, one that gives no pixel, or an image that is
            neither uint8 nor floating.

    >>> imresize(np.array([[0, 100, 200, 255]], np.uint8), 0.5)
    array([[ 48, 229]], dtype=uint8)
    >>> imresize(np.eye(3), shape=(6, 9)).shape
    (6, 9)
    """
    if (scale is None) == (shape is None):
        raise InputError("imresize takes either a scale or a shape")
    if not isinstance(image, torch.Tensor):
        image = as_image(image) if isinstance(image, Image.Image) else as_array(image)
    integer = image.dtype in (np.uint8, torch.uint8)
    if not integer and "float" not in str(image.dtype):
        raise InputError(f"imresize takes uint8 or floating images, got {image.dtype}")
    height, width = spatial_size(image)
    if scale is not None:
        if not (math.isfinite(scale) and scale > 0):
            raise InputError(f"scale must be a number above 0, got {scale}")
        shape = math.ceil(height * scale), math.ceil(width * scale)
        factors = float(scale), float(scale)
    else:
        assert shape is not None
        if min(shape) < 1:
            raise InputError(f"shape must have two sides of at least 1, got {shape}")
        factors = shape[0] / height, shape[1] / width
    rows = bicubic_matrix(height, shape[0], factors[0])
    cols = bicubic_matrix(width, shape[1], factors[1])
    if not integer:
        return apply_separable(image, rows, cols)
    # MATLAB resizes the axis with the smaller factor first, and rounds uint8 after each pass.
    passes = [(rows, None), (None, cols)]
    if factors[1] < factors[0]:
        passes.reverse()
    for left, right in passes:
        image = _round_uint8(apply_separable(_as_floating(image), left, right))
    return image
