"""Scores: a network and interpolation, image by image, under one protocol."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vdsrlib.engine import prepare
from vdsrlib.files import InputError
from vdsrlib.images import read_image
from vdsrlib.model import VDSR
from vdsrlib.protocol import Protocol, Score
from vdsrlib.tiling import MEMORY, tile_pixels, tiled


def predict(
    model: VDSR, ilr: np.ndarray, protocol: Protocol, engine: str = "auto", memory: int = MEMORY
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
    return protocol.from_network(sr.reshape(ilr.shape))


def network_input(model: VDSR, ilr: np.ndarray, protocol: Protocol) -> torch.Tensor:
    """ILR as for ``predict`` to a batch of one, 1 x C x H x W, float32, in the network's range and place."""
    check_fit(model, protocol)
    planes = np.atleast_3d(protocol.to_network(ilr)).transpose(2, 0, 1)[None]
    return torch.from_numpy(planes.astype(np.float32)).to(next(model.parameters()).device)


def check_fit(model: VDSR, protocol: Protocol) -> None:
    """Raise InputError where the network's channels are not the protocol's."""
    if model.channels != protocol.channels:
        raise InputError(
            f"The {protocol.name} protocol works on {protocol.colour} ({protocol.channels} channels), "
            f"and these weights on {model.channels}; choose weights or a protocol that fit."
        )


def evaluate(
    model: VDSR,
    protocol: Protocol,
    paths: Sequence[Path],
    scale: float,
    progress: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """PSNR and SSIM of interpolation and of the network on a set of images.

    Args:
        model: in evaluation mode, on any device.
        protocol: the rules.
        paths: HR images.
        scale: a real number above 1.
        progress: is given the name of each image when it is done.

    Returns:
        {"images": [{"name", "interpolation": {"psnr", "ssim"}, "model": {...}}], "mean": {...}}.

    Raises:
        InputError: an image cannot be read or is too small, or the network does not fit.
    """
    rows: list[dict[str, Any]] = []
    for path in paths:
        try:
            hr = protocol.ground_truth(read_image(path), scale)
        except InputError as error:
            raise InputError(str(error) if path.name in str(error) else f"{path}: {error}") from error
        _, ilr = protocol.degrade(hr, scale)
        scores = {
            "interpolation": protocol.score(ilr, hr, scale),
            "model": protocol.score(predict(model, ilr, protocol), hr, scale),
        }
        rows.append({"name": path.stem, **{k: v._asdict() for k, v in scores.items()}})
        if progress:
            progress(path.stem)
    mean = {
        method: {metric: float(np.mean([row[method][metric] for row in rows])) for metric in Score._fields}
        for method in ("interpolation", "model")
    }
    return {"images": rows, "mean": mean}
