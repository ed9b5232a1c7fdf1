"""Apply a network to ILR: once, over eight orientations, or to luma alone."""

from collections.abc import Callable

import numpy as np
import torch

from vdsrlib.errors import InputError
from vdsrlib.inference.backends import Network, prepare
from vdsrlib.inference.tiling import MEMORY, tile_pixels, tiled
from vdsrlib.models.vdsr import VDSR
from vdsrlib.protocol import PAPER, Protocol


def predict(
    model: VDSR, ilr: np.ndarray, protocol: Protocol, engine: str | Network = "auto", memory: int = MEMORY
) -> np.ndarray:
    """ILR to SR with the network, in float32 on the network's device.

    Args:
        model: in evaluation mode, on any device.
        ilr: floating, about [0, 1], H x W (luma) or H x W x 3, as many channels as the network has.
        protocol: gives the range in which the network works.
        engine: as in ``engine.prepare``.
        memory: bytes for the network's work; an image that needs more is computed in tiles, exactly.

    Returns:
        float64, same shape and range, not clipped.
    """
    batch = network_input(model, ilr, protocol)
    out = tiled(prepare(model, engine), batch, model.depth, tile_pixels(model, memory))[0]
    sr = out.permute(1, 2, 0).cpu().numpy().astype(np.float64)
    return protocol.denormalize(sr.reshape(ilr.shape))


def network_input(model: VDSR, ilr: np.ndarray, protocol: Protocol) -> torch.Tensor:
    """ILR as for ``predict`` to a batch of one, 1 x C x H x W, float32, in the network's range and place."""
    check_channels(model, protocol)
    planes = np.atleast_3d(protocol.normalize(ilr)).transpose(2, 0, 1)[None]
    return torch.from_numpy(planes.astype(np.float32)).to(next(model.parameters()).device)


def check_channels(model: VDSR, protocol: Protocol) -> None:
    """Raise InputError where the network's channels are not the protocol's."""
    if model.channels != protocol.channels:
        raise InputError(
            f"The {protocol.name} protocol works on {protocol.colour} ({protocol.channels} channels), "
            f"and these weights on {model.channels}; choose weights or a protocol that fit."
        )


def self_ensemble(model: VDSR, ilr: np.ndarray, protocol: Protocol) -> np.ndarray:
    """The mean of ``predict`` over the eight rotations and flips of ILR; eight times the work."""
    total = np.zeros(ilr.shape)
    for turns in range(4):
        for flip in (slice(None), slice(None, None, -1)):
            sr = predict(model, np.rot90(ilr, turns)[:, flip].copy(), protocol)
            total += np.rot90(sr[:, flip], -turns)
    return total / 8


def predict_luma(model: VDSR, ilr: np.ndarray, protocol: Protocol) -> np.ndarray:
    """``predict`` for RGB (H x W x 3) with a luma network: it takes the luma, and chroma stays ILR's.

    The network works on [0, 1], whatever the range in which the protocol scores. SR is clipped to [0, 1].
    """
    planes, chroma = PAPER.split(ilr)
    return PAPER.merge(predict(model, planes, PAPER), chroma)


Predict = Callable[[VDSR, np.ndarray, Protocol], np.ndarray]
