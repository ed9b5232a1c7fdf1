"""Mosaics of feature maps: all maps of a layer on one grid."""

import math

import numpy as np

from vdsrlib.inference.features import Layer


def grey(layer: Layer) -> np.ndarray:
    """Make a layer's maps grey: uint8; -limit becomes 0, zero 128, and limit 255; the rest is clipped."""
    maps = layer.maps.astype(np.float32)
    maps *= 127.5 / layer.limit
    maps += 128
    return maps.clip(0, 255, out=maps).astype(np.uint8)


def mosaic(layer: Layer) -> np.ndarray:
    """Lay a layer's maps out on a square grid (64 maps: 8 x 8), a pixel of white between them.

    Returns:
        uint8, grey. Each layer is shown in its own range: a fixed one for all layers would show most of them
        as plain grey.
    """
    count, height, width = layer.maps.shape
    columns, rows = grid(count)
    canvas = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1), 255, np.uint8)
    for i, tile in enumerate(grey(layer)):
        top, left = (i // columns) * (height + 1), (i % columns) * (width + 1)
        canvas[top : top + height, left : left + width] = tile
    return canvas


def grid(count: int) -> tuple[int, int]:
    """Compute the columns and rows of a mosaic."""
    columns = math.ceil(math.sqrt(count))
    return columns, math.ceil(count / columns)
