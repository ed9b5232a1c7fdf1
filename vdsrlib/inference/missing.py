"""Pixels that hold no value, such as NaN in an elevation: left out of an enlargement, and put back."""

import numpy as np
from scipy.ndimage import distance_transform_edt

from vdsrlib.inference.tiling import tiles


def find_missing(pixels: np.ndarray, nodata: float | None) -> np.ndarray | None:
    """Find the pixels that hold no value, H x W of bool; None where all hold one.

    Args:
        pixels: H x W or H x W x 3, of any type of number. A sample that is not finite is no value.
        nodata: the sample that means that there is none, in all channels of a pixel; or None.
    """
    missing = np.zeros(pixels.shape[:2], bool)
    channels = tuple(range(2, pixels.ndim))
    if pixels.dtype.kind == "f":
        missing |= ~np.isfinite(pixels).all(axis=channels)
    if nodata is not None:
        with np.errstate(over="ignore"):  # a file may name a number beyond the type
            missing |= (pixels == nodata).all(axis=channels)
    return missing if missing.any() else None


def fill_missing(pixels: np.ndarray, missing: np.ndarray, reach: int) -> np.ndarray:
    """Copy pixels, and give missing ones the nearest value; farther away than ``reach``, any value."""
    pixels = pixels.copy()
    pixels[missing] = 0 if missing.all() else pixels[~missing][0]
    return fill_from_nearest(pixels, missing, reach)


def put_back(result: np.ndarray, pixels: np.ndarray, missing: np.ndarray) -> None:
    """Set the pixels of an enlargement that lie in missing ones to what those were."""
    rows, cols = (
        np.arange(new) * old // new for new, old in zip(result.shape[:2], missing.shape, strict=True)
    )
    for row, source in enumerate(rows):
        hole = missing[source, cols]
        values = pixels[source, cols[hole]]
        result[row, hole] = values if values.ndim == result.ndim - 1 else values[:, None]


def fill_from_nearest(pixels: np.ndarray, hidden: np.ndarray, reach: int) -> np.ndarray:
    """Give each hidden pixel the value of the nearest visible one.

    Interpolation would mix the hidden values into their neighbours. The result is a copy, which is right
    within ``reach`` of the visible pixels. It is computed in tiles, since the work takes 40 bytes a pixel.
    """
    if not hidden.any() or hidden.all():
        return pixels
    filled, (height, width) = pixels.copy(), hidden.shape
    for tile in tiles(height, width, reach, 2**20):
        inside = hidden[tile.seen]
        if inside.any() and not inside.all():
            nearest = distance_transform_edt(inside, return_distances=False, return_indices=True)
            filled[tile.result] = pixels[tile.seen][tuple(nearest)][tile.inner]
    return filled
