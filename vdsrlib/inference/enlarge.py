"""The computation of an enlargement, tile by tile, and of what is partly transparent.

Transparency is enlarged as it is seen: the picture laid on black and the picture laid on white are enlarged,
and the colours and the alpha are found that give both.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array

from vdsrlib.imaging.colour import to_float
from vdsrlib.imaging.degradation import DEGRADATIONS
from vdsrlib.imaging.resize import apply_separable
from vdsrlib.inference.backends import prepare
from vdsrlib.inference.batches import check_channels, from_batch, to_batch
from vdsrlib.inference.options import InferenceOptions
from vdsrlib.inference.ranges import SampleRange
from vdsrlib.inference.size import Shape
from vdsrlib.inference.tiling import Area, tile_pixels, tiles
from vdsrlib.models.checkpoint import Checkpoint

FAINT = 0.5 / 65535  # of alpha: what is fainter is not seen


class EnlargedTile(NamedTuple):
    """A part of an enlargement: its area, its image in [0, 1], and its alpha, or None where all is opaque."""

    area: Area
    image: np.ndarray
    alpha: np.ndarray | None


def enlarge_tiles(
    net: Checkpoint,
    pixels: np.ndarray,
    opacity: np.ndarray | None,
    shape: Shape,
    known: SampleRange,
    options: InferenceOptions,
) -> Iterator[EnlargedTile]:
    """Enlarge tile by tile, each from no more of the small image than it is made of.

    Args:
        net: from ``vdsrlib.load``.
        pixels: of the small image, H x W or H x W x 3.
        opacity: its alpha, H x W, or None.
        shape: height and width of the whole enlargement.
        known: the samples that are black and white to the network.
        options: backend, precision, memory, progress.
    """
    model, protocol = net.model, net.protocol
    check_channels(model, protocol)
    up = DEGRADATIONS[protocol.degradation].up
    taps = [up(old, new) for old, new in zip(pixels.shape[:2], shape, strict=True)]
    plan = list(tiles(*shape, model.depth, tile_pixels(model, options.memory)))
    network = prepare(model, options.backend, options.precision, protocol)  # once, as it hashes all weights

    def apply(ilr: np.ndarray) -> np.ndarray:
        return from_batch(network(to_batch(model, ilr, protocol)), protocol).reshape(ilr.shape)

    for done, tile in enumerate(plan, start=1):
        (rows, down), (cols, across) = (axis.window(part) for axis, part in zip(taps, tile.seen, strict=True))
        inner = down[tile.inner[0]], across[tile.inner[1]]
        planes, chroma = protocol.split(known.to_unit(pixels[rows, cols]))
        alpha = None if opacity is None else to_float(opacity[rows, cols])
        if alpha is None or (alpha == 1).all():
            sr, seen = apply(apply_separable(planes, down, across)), None
            chroma = None if chroma is None else apply_separable(chroma, *inner)
        else:
            sr, seen = _enlarge_seen(apply, planes, alpha, down, across, protocol.black_and_white)
            chroma = None if chroma is None else _interpolate_seen(chroma, alpha, *inner)
            seen = seen[tile.inner]
        yield EnlargedTile(tile.result, protocol.merge(sr[tile.inner], chroma), seen)
        if options.progress:
            options.progress(done, len(plan))


def _enlarge_seen(
    apply: Callable[[np.ndarray], np.ndarray],
    planes: np.ndarray,
    alpha: np.ndarray,
    rows: csr_array,
    cols: csr_array,
    ends: tuple[float, float],
) -> tuple[np.ndarray, np.ndarray]:
    """Enlarge what is seen on black and on white, and find the colours and the alpha that give both.

    Args:
        apply: the network, from ILR to SR.
        planes: of the small image, H x W or H x W x 3.
        alpha: of the small image, H x W in [0, 1].
        rows: what interpolates the small image to ILR.
        cols: likewise.
        ends: the planes' values of black and white.

    Returns:
        SR, of colours that nobody sees their interpolation; and its alpha.
    """
    black, white = ends
    weight = alpha.reshape(*alpha.shape, *planes.shape[2:] and (1,))
    dark, light = (
        # clipped, as they are seen
        apply(apply_separable(planes * weight + end * (1 - weight), rows, cols)).clip(black, white)
        for end in ends
    )
    seen = 1 - (light - dark) / (white - black)
    seen = seen.mean(axis=-1, keepdims=True) if seen.ndim == 3 else seen
    visible = seen > FAINT
    hidden = apply_separable(planes, rows, cols)
    sr = np.where(visible, black + (dark - black) / np.where(visible, seen, 1), hidden)
    return sr, seen.reshape(seen.shape[:2])


def _interpolate_seen(chroma: np.ndarray, alpha: np.ndarray, rows: csr_array, cols: csr_array) -> np.ndarray:
    """Interpolate chroma as it is seen: weighted with its alpha."""
    seen = apply_separable(alpha, rows, cols)[..., None]
    visible = seen > FAINT
    weighted = apply_separable(chroma * alpha[..., None], rows, cols) / np.where(visible, seen, 1)
    return np.where(visible, weighted.clip(0, 1), apply_separable(chroma, rows, cols))
