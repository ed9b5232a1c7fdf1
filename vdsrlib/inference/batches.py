"""The network's input and output as batches of one image."""

import numpy as np
import torch
from torch import Tensor

from vdsrlib.errors import InputError
from vdsrlib.models.vdsr import VDSR
from vdsrlib.protocol import Protocol


def to_batch(model: VDSR, ilr: np.ndarray, protocol: Protocol) -> Tensor:
    """Make the network's input of ILR: 1 x C x H x W, float32, in the network's range and on its device."""
    check_channels(model, protocol)
    planes = np.atleast_3d(protocol.normalize(ilr)).transpose(2, 0, 1)[None]
    return torch.from_numpy(planes.astype(np.float32)).to(next(model.parameters()).device)


def from_batch(batch: Tensor, protocol: Protocol) -> np.ndarray:
    """Make an image of the network's output: float64 about [0, 1], H x W x C, not clipped."""
    return protocol.denormalize(batch[0].permute(1, 2, 0).cpu().numpy().astype(np.float64))


def check_channels(model: VDSR, protocol: Protocol) -> None:
    """Raise InputError where the network's channels are not the protocol's."""
    if model.channels != protocol.channels:
        raise InputError(
            f"The {protocol.name} protocol works on {protocol.colour} ({protocol.channels} channels), "
            f"and these weights on {model.channels}; choose weights or a protocol that fit."
        )
