"""Compute a large image in tiles, with the same result as in one piece.

A 3 x 3 convolution looks one pixel beyond each edge, so a network of ``depth`` convolutions looks ``depth``
pixels beyond, half its receptive field. A tile that is given to the network with this halo around it comes
out as it would in the whole image. At the image's own border there is no halo: every layer pads with the same
zeros there as it would for the whole image.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from vdsrlib.inference.backends import Network
from vdsrlib.models.vdsr import VDSR

MEMORY = 2**29
"""Bytes that the network's work on one tile may take, unless said otherwise: half a GiB.

A smaller budget is kept down to the smallest tile (see ``tiles``): 14 MiB at 20 layers of 64 maps.
"""

COPIES = 9  # of one layer's maps, the most that a backend held at a time

Area = tuple[slice, slice]


def tile_pixels(model: VDSR, memory: int) -> int:
    """Compute how many pixels the network can be given at once, for its work to fit in ``memory`` bytes."""
    return memory // (4 * max(model.width, 16) * COPIES)  # planes of its own, however narrow it is


class Tile(NamedTuple):
    """A part of an image, rows and columns.

    Attributes:
        result: the pixels that this tile contributes.
        seen: those and their halo, as far as the image reaches.
    """

    result: Area
    seen: Area

    @property
    def inner(self) -> Area:
        """The result's place within what is seen."""
        rows, cols = (
            slice(part.start - around.start, part.stop - around.start)
            for part, around in zip(self.result, self.seen, strict=True)
        )
        return rows, cols


def tiles(height: int, width: int, halo: int, pixels: int) -> Iterator[Tile]:
    """Divide an image into tiles of about equal size, row by row.

    Args:
        height: of the image.
        width: of the image.
        halo: pixels that the network must see around a tile, its depth.
        pixels: that the network may be given at once, halo included. Where so few would be mostly halo, it
            is given four times the halo a side, however small the budget.
    """
    side = max(math.isqrt(pixels), 4 * halo)  # of that, half a side is result
    down = _divide(height, halo, max(side, pixels // width))  # a narrow image may have longer tiles
    across = _divide(width, halo, max(side, pixels // height))
    for rows in down:
        for cols in across:
            seen = _around(rows, halo, height), _around(cols, halo, width)
            yield Tile((rows, cols), seen)


def _divide(length: int, halo: int, side: int) -> list[slice]:
    """Divide an axis into parts, of which none is longer than ``side`` with its halo."""
    count = 1 if length <= side else math.ceil(length / max(1, side - 2 * halo))
    return [slice(length * i // count, length * (i + 1) // count) for i in range(count)]


def _around(part: slice, halo: int, length: int) -> slice:
    return slice(max(0, part.start - halo), min(length, part.stop + halo))


@torch.inference_mode()
def tiled(network: Network, batch: Tensor, halo: int, pixels: int) -> Tensor:
    """Compute ``network(batch)`` in tiles.

    Args:
        network: from N x C x H x W to the same shape.
        batch: its input.
        halo: as in ``tiles``.
        pixels: as in ``tiles``.
    """
    height, width = batch.shape[-2:]
    result = torch.empty_like(batch)
    for tile in tiles(height, width, halo, pixels):
        result[(..., *tile.result)] = network(batch[(..., *tile.seen)])[(..., *tile.inner)]
    return result
