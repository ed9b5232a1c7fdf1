"""Look into the network: the activations of each layer, their statistics, and its receptive field."""

import math
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from vdsrlib.inference.batches import to_batch
from vdsrlib.models.vdsr import VDSR
from vdsrlib.protocol import Protocol
from vdsrlib.utils.device import without_tf32
from vdsrlib.utils.hashing import hash_bytes

# A survey keeps at most this many values (256 MiB as float16) ...
KEPT_VALUES = 2**27


# ... and the surveys of the last images and weights are kept, so that going back costs nothing.
KEPT_SURVEYS = 2


# Pixels that pass the network at once: a layer of 64 maps is then 64 MiB.
STRIP_PIXELS = 2**18


class Layer(NamedTuple):
    """Activations of one layer.

    Attributes:
        name: conv.1 (before its ReLU), relu.1, conv.2 ...
        maps: floating, maps x H x W.
        limit: the range to show them in, -limit (black) to limit (white).
    """

    name: str
    maps: np.ndarray
    limit: float


class Statistics(NamedTuple):
    """A layer in numbers: mean |activation|, share of exact zeros, and maps that are zero everywhere."""

    name: str
    magnitude: float
    zeros: float
    dead: int


@dataclass(frozen=True)
class Survey:
    """All that a network makes of one image, small enough to be looked at.

    Attributes:
        layers: by name, in the order of the network; float16, each value the mean of ``pooling`` x
            ``pooling`` pixels, not writable.
        statistics: of every layer, in the same order, of the activations before pooling.
        pooling: 1 where the image is small enough to be kept as it is.
        sr: the network's result, float64, shape and range of ILR, not clipped.
    """

    layers: dict[str, Layer]
    statistics: list[Statistics]
    pooling: int
    sr: np.ndarray


def layer_outputs(model: VDSR, x: Tensor) -> Iterator[tuple[str, Tensor]]:
    """Yield every layer's name and output for a batch, N x C x H x W in the network's range."""
    for name, layer in model.layers():
        with without_tf32():
            x = layer(x)
        yield name, x


@torch.inference_mode()
def activations(model: VDSR, ilr: np.ndarray, protocol: Protocol) -> Iterator[Layer]:
    """Yield conv.1 (before its ReLU), relu.1, conv.2 ... conv.20 (the residual), in full size.

    One layer is in memory at a time; for images of more than a million pixels ``survey`` needs less.

    Args:
        model: in evaluation mode, on any device.
        ilr: floating, about [0, 1], H x W or H x W x 3.
        protocol: gives the network's range.

    Yields:
        float32 maps in the network's range.
    """
    for name, x in layer_outputs(model, to_batch(model, ilr, protocol)):
        maps = x[0].cpu().numpy()
        yield Layer(name, maps, display_range(maps))


def survey(
    model: VDSR,
    ilr: np.ndarray,
    protocol: Protocol,
    progress: Callable[[float], None] | None = None,
) -> Survey:
    """Pass an image through the network once, and keep of every layer what can be looked at.

    The image passes in strips, each with as many rows beside it as the network looks far, so memory is
    bounded for any image and the result is the same as in one piece. The survey of an image and
    weights that were surveyed just before is returned at once.

    Args:
        model: in evaluation mode, on any device.
        ilr: floating, about [0, 1], H x W or H x W x 3.
        protocol: gives the network's range.
        progress: is given the share done, 0 to 1.
    """
    weights = {name: weight.cpu().numpy() for name, weight in model.state_dict().items()}
    key = hash_bytes(repr((ilr.shape, protocol, *weights)).encode(), ilr, *weights.values())
    if key not in _SURVEYS:
        _SURVEYS[key] = _survey(model, ilr, protocol, progress or (lambda _: None))
    _SURVEYS.move_to_end(key)
    while len(_SURVEYS) > KEPT_SURVEYS:
        _SURVEYS.popitem(last=False)
    return _SURVEYS[key]


_SURVEYS: OrderedDict[str, Survey] = OrderedDict()


@torch.inference_mode()
def _survey(model: VDSR, ilr: np.ndarray, protocol: Protocol, progress: Callable[[float], None]) -> Survey:
    batch = to_batch(model, ilr, protocol)
    height, width = ilr.shape[:2]
    count = 2 * model.depth - 1
    pooling = math.ceil(math.sqrt(height * width * model.width * count / KEPT_VALUES))
    rows = max(1, STRIP_PIXELS // (width * pooling)) * pooling
    pooled: dict[str, np.ndarray] = {}
    sums: dict[str, list[Tensor]] = {}
    residual = np.empty((model.channels, height, width))
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        above = min(top, model.depth)
        strip = batch[:, :, top - above : bottom + model.depth]
        for i, (name, x) in enumerate(layer_outputs(model, strip), start=1):
            x = x[:, :, above : above + bottom - top]
            means = avg_pool2d(x, pooling, ceil_mode=True, count_include_pad=False)[0].cpu().numpy()
            if name not in pooled:
                shape = len(means), math.ceil(height / pooling), means.shape[2]
                pooled[name], sums[name] = np.empty(shape, np.float16), []
            largest = np.finfo(np.float16).max
            pooled[name][:, top // pooling :][:, : means.shape[1]] = means.clip(-largest, largest)
            sums[name].append(torch.stack([x.abs().sum((0, 2, 3)), (x == 0).sum((0, 2, 3))]).cpu().double())
            progress((top + (bottom - top) * i / count) / height)
        residual[:, top:bottom] = x[0].cpu().numpy()
    layers, statistics = {}, []
    for name, maps in pooled.items():
        maps.flags.writeable = False
        layers[name] = Layer(name, maps, display_range(maps))
        magnitude, zeros = torch.stack(sums[name]).sum(0).numpy()
        pixels = height * width
        mean = float(magnitude.mean() / pixels)
        statistics.append(Statistics(name, mean, float(zeros.mean() / pixels), int((zeros == pixels).sum())))
    sr = sr_from_last_layer(model, ilr, residual, protocol)
    sr.flags.writeable = False
    return Survey(layers, statistics, pooling, sr)


def sr_from_last_layer(model: VDSR, ilr: np.ndarray, maps: np.ndarray, protocol: Protocol) -> np.ndarray:
    """Make SR, shaped as ILR and in its range, of the last layer's maps (C x H x W, network's range)."""
    last = maps.transpose(1, 2, 0).reshape(ilr.shape).astype(np.float64)
    low, high = protocol.input_range
    return ilr + last / (high - low) if model.global_skip else protocol.denormalize(last)


def display_range(maps: np.ndarray) -> float:
    """Choose the symmetric range to show a layer in: the 95th percentile of its non-zero |activation|s.

    A few maps are much brighter than the rest. They saturate, so that the rest is seen.
    """
    magnitudes = np.abs(maps[maps != 0]).astype(np.float32)
    return float(np.quantile(magnitudes, 0.95, overwrite_input=True)) if magnitudes.size else 1.0


def receptive_field_map(model: VDSR, size: int = 61) -> np.ndarray:
    """Compute the gradient's magnitude of the residual's central pixel (size x size, largest value 1).

    The input is uniform noise, so that about half of the ReLUs pass. Channels are summed.
    """
    generator = torch.Generator().manual_seed(0)
    ilr = torch.rand(1, model.channels, size, size, generator=generator)
    ilr = ilr.to(next(model.parameters()).device).requires_grad_()
    model.residual(ilr)[:, :, size // 2, size // 2].sum().backward()
    assert ilr.grad is not None
    gradient = ilr.grad[0].abs().sum(0).cpu().numpy()
    return gradient / max(gradient.max(), 1e-30)


def central_shares(gradient: np.ndarray) -> np.ndarray:
    """Compute which share of a receptive field map (odd size) lies in the central 1, 3, 5 ... pixels."""
    centre = len(gradient) // 2
    row, col = np.abs(np.indices(gradient.shape) - centre)
    rings = np.bincount(np.maximum(row, col).ravel(), gradient.ravel().astype(np.float64))
    return rings.cumsum() / rings.sum()
