"""Apply a network to ILR: once, over eight orientations, or to luma alone."""

from collections.abc import Callable

import numpy as np

from vdsrlib.imaging.arrays import as_image
from vdsrlib.imaging.colour import to_float
from vdsrlib.inference.backends import prepare
from vdsrlib.inference.batches import from_batch, to_batch
from vdsrlib.inference.options import InferenceOptions
from vdsrlib.inference.tiling import tile_pixels, tiled
from vdsrlib.models.vdsr import VDSR
from vdsrlib.protocol import PAPER, Protocol


def predict(
    model: VDSR, ilr: np.ndarray, protocol: Protocol, options: InferenceOptions | None = None
) -> np.ndarray:
    """Apply a network to ILR, on the network's device.

    Args:
        model: in evaluation mode, on any device.
        ilr: about [0, 1], H x W (luma) or H x W x 3, as many channels as the network has; other types as
            ``as_image`` takes them.
        protocol: gives the range in which the network works.
        options: backend, precision, and memory: an image that needs more is computed in tiles, exactly.
            Default: float32, since this is what scores.

    Returns:
        SR, float64, same shape and range, not clipped.
    """
    options, ilr = options or InferenceOptions(precision="float32"), to_float(as_image(ilr))
    batch = to_batch(model, ilr, protocol)
    network = prepare(model, options.backend, options.precision, protocol)
    sr = tiled(network, batch, model.depth, tile_pixels(model, options.memory))
    return from_batch(sr, protocol).reshape(ilr.shape)


def self_ensemble(model: VDSR, ilr: np.ndarray, protocol: Protocol) -> np.ndarray:
    """Average ``predict`` over the eight rotations and flips of ILR, which is eight times the work."""
    total = np.zeros(ilr.shape)
    for turns in range(4):
        for flip in (slice(None), slice(None, None, -1)):
            sr = predict(model, np.rot90(ilr, turns)[:, flip].copy(), protocol)
            total += np.rot90(sr[:, flip], -turns)
    return total / 8


def predict_luma(model: VDSR, ilr: np.ndarray, protocol: Protocol) -> np.ndarray:
    """Apply a luma network to RGB (H x W x 3): it takes the luma, and chroma stays ILR's.

    The network works on [0, 1], whatever the range in which the protocol scores. SR is clipped to [0, 1].
    """
    planes, chroma = PAPER.split(ilr)
    return PAPER.merge(predict(model, planes, PAPER), chroma)


Predict = Callable[[VDSR, np.ndarray, Protocol], np.ndarray]
