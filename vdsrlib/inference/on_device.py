"""The computation of an enlargement on a GPU from end to end.

Whole samples go to the device once, and whole samples come back once. Between them colour is separated,
interpolated and merged on the device, too, in float32. After rounding, single samples differ by one level
from those of ``enlarge``, which computes in float64.
"""

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from vdsrlib.imaging.degradation import DEGRADATIONS
from vdsrlib.inference.backends import prepare
from vdsrlib.inference.batches import check_channels
from vdsrlib.inference.options import InferenceOptions
from vdsrlib.inference.ranges import SampleRange
from vdsrlib.inference.size import Shape
from vdsrlib.inference.tiling import tile_pixels, tiles
from vdsrlib.models.checkpoint import Checkpoint
from vdsrlib.models.vdsr import VDSR
from vdsrlib.protocol import Protocol


def can_enlarge_on_device(model: VDSR, pixels: np.ndarray) -> bool:
    """Tell whether the network is on a CUDA device, and the samples are of a type that it is given."""
    return next(model.parameters()).device.type == "cuda" and pixels.dtype in (np.uint8, np.uint16)


@torch.inference_mode()
def enlarge_on_device(
    net: Checkpoint, pixels: np.ndarray, shape: Shape, known: SampleRange, options: InferenceOptions
) -> np.ndarray:
    """Enlarge an opaque image on the network's device.

    Beside the samples of the image and of the result, the device holds one tile.

    Args:
        net: from ``vdsrlib.load``.
        pixels: uint8 or uint16, H x W or H x W x 3.
        shape: height and width of the enlargement.
        known: the samples that are black and white to the network.
        options: backend, precision, memory, progress.

    Returns:
        The enlargement, of the type of ``pixels``; H x W for a grey image and a luma network, else H x W x 3.
    """
    model, protocol = net.model, net.protocol
    check_channels(model, protocol)
    device, channels = next(model.parameters()).device, model.channels
    network = prepare(model, options.backend, options.precision, protocol)
    image = torch.tensor(np.atleast_3d(pixels), device=device).permute(2, 0, 1)
    if channels == 3:
        image = image.expand(3, -1, -1)
    matrix, offset = (torch.from_numpy(part).to(device) for part in _planes_of(protocol, len(image)))
    inverse = torch.linalg.inv(matrix.double().cpu()).float().to(device)
    up = DEGRADATIONS[protocol.degradation].up
    height, width = image.shape[1:]
    vertical, horizontal = up(height, shape[0]), up(width, shape[1])

    @lru_cache(maxsize=256)  # tiles of a row have their rows in common, those of a column their columns
    def window(down: bool, start: int, stop: int) -> tuple[slice, Tensor]:
        inputs, weights = (vertical if down else horizontal).window(slice(start, stop))
        return inputs, torch.from_numpy(weights.toarray()).float().to(device)

    result = torch.empty((len(image), *shape), dtype=image.dtype, device=device)
    plan = list(tiles(*shape, model.depth, tile_pixels(model, options.memory)))
    for done, tile in enumerate(plan, start=1):
        (rows, down), (cols, across) = (
            window(vertically, part.start, part.stop)
            for vertically, part in zip((True, False), tile.seen, strict=True)
        )
        samples = (image[:, rows, cols].float() - known.black) / (known.span or 1.0)
        planes = torch.tensordot(matrix, samples, 1) + offset
        ilr = down @ planes @ across.T
        sr = protocol.denormalize(network(protocol.normalize(ilr[:channels])[None]))[0]
        merged = torch.cat([sr, ilr[channels:]])[(slice(None), *tile.inner)] - offset
        unit = torch.tensordot(inverse, merged, 1).clamp(0, 1)
        result[(slice(None), *tile.result)] = (known.black + known.span * unit + 0.5).floor().to(result.dtype)
        if options.progress:
            options.progress(done, len(plan))
    return result.permute(1, 2, 0).squeeze(-1).cpu().numpy()


def _planes_of(protocol: Protocol, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Find the linear map of ``Protocol.split``, from samples in [0, 1] to planes and chroma.

    Returns:
        A matrix (channels x channels) and an offset (channels x 1 x 1), float32.
    """
    corners = np.concatenate([np.zeros((1, channels)), np.eye(channels)])[:, None]  # black, and full channels
    planes, chroma = protocol.split(corners if channels == 3 else corners[..., 0])
    parts = [np.atleast_3d(part) for part in (planes, chroma) if part is not None]
    found = np.concatenate(parts, axis=2)[:, 0]
    matrix, offset = (found[1:] - found[0]).T, found[0][:, None, None]
    return matrix.astype(np.float32), offset.astype(np.float32)
