"""What each layer makes of an image: activations one layer at a time, and mosaics of them."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch

from vdsrlib.evaluation import network_input
from vdsrlib.model import VDSR
from vdsrlib.protocol import Protocol


class Layer(NamedTuple):
    """Activations of one layer: its name and float32 maps, maps x H x W."""

    name: str
    maps: np.ndarray


@torch.inference_mode()
def activations(model: VDSR, ilr: np.ndarray, protocol: Protocol) -> Iterator[Layer]:
    """Yield conv.1 (before its ReLU), relu.1, conv.2 ... conv.20 (the residual), in this order.

    One layer is in memory at a time: all of them for a 1024 x 1024 image would take 10 GB.

    Args:
        model: in evaluation mode, on any device.
        ilr: floating, about [0, 1], H x W or H x W x 3.
        protocol: gives the network's range.
    """
    x = network_input(model, ilr, protocol)
    for i, conv in model.conv.items():
        x = conv(x)
        yield Layer(f"conv.{i}", x[0].cpu().numpy())
        if i in model.relu:
            x = model.relu[i](x)
            yield Layer(f"relu.{i}", x[0].cpu().numpy())


class Statistics(NamedTuple):
    """A layer in numbers: mean |activation|, share of exact zeros, and maps that are zero everywhere."""

    name: str
    magnitude: float
    zeros: float
    dead: int


def statistics(layer: Layer) -> Statistics:
    """Sum a layer up; zeros and dead maps tell something of a relu layer only."""
    dead = int((layer.maps == 0).all(axis=(1, 2)).sum())
    magnitude = float(np.abs(layer.maps).mean(dtype=np.float64))
    return Statistics(layer.name, magnitude, float((layer.maps == 0).mean()), dead)


def display_range(maps: np.ndarray) -> float:
    """The symmetric range to show a layer in: the 95th percentile of its non-zero |activation|s.

    A few maps are much brighter than the rest; they may saturate, so that the rest is seen.
    """
    magnitudes = np.abs(maps[maps != 0])
    return float(np.quantile(magnitudes, 0.95)) if magnitudes.size else 1.0


def mosaic(maps: np.ndarray, limit: float | None = None) -> np.ndarray:
    """Lay maps x H x W out on a square grid (64 maps: 8 x 8), a pixel of white between them.

    Args:
        maps: activations of one layer.
        limit: activations -limit .. limit become 0 .. 1 (0 is mid-grey), clipped; default
            ``display_range``. A fixed range for all layers would show most of them as plain grey.

    Returns:
        Float in [0, 1], grey.
    """
    limit = display_range(maps) if limit is None else limit
    count, height, width = maps.shape
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    canvas = np.ones((rows * (height + 1) - 1, columns * (width + 1) - 1))
    for i, tile in enumerate(maps):
        top, left = (i // columns) * (height + 1), (i % columns) * (width + 1)
        tile = np.clip(0.5 + 0.5 * tile / limit, 0.0, 1.0)
        canvas[top : top + height, left : left + width] = tile
    return canvas


def receptive_field_map(model: VDSR, size: int = 61) -> np.ndarray:
    """|d output / d input| of the residual's central pixel (size x size, largest value 1).

    The input is uniform noise, so that about half of the ReLUs pass; summed over channels.
    """
    generator = torch.Generator().manual_seed(0)
    ilr = torch.rand(1, model.channels, size, size, generator=generator)
    ilr = ilr.to(next(model.parameters()).device).requires_grad_()
    model.residual(ilr)[:, :, size // 2, size // 2].sum().backward()
    assert ilr.grad is not None
    gradient = ilr.grad[0].abs().sum(0).cpu().numpy()
    return gradient / max(gradient.max(), 1e-30)
