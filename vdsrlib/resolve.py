"""Enlarging an image: with its ground truth at hand (to score) or directly (to use)."""

import math
from dataclasses import dataclass

import numpy as np

from vdsrlib.degradation import DEGRADATIONS
from vdsrlib.evaluation import check_fit, predict
from vdsrlib.images import as_rgb, merge_luma, split_luma, to_float
from vdsrlib.model import VDSR
from vdsrlib.protocol import Protocol, Score
from vdsrlib.resize import separable


@dataclass(frozen=True)
class Resolved:
    """An enlargement; every picture is float in [0, 1], H x W (grey) or H x W x 3.

    Attributes:
        lr: the small image.
        ilr: LR interpolated to the size of the result; what the network saw.
        sr: the result.
        hr: the ground truth, or None.
        interpolation, model: scores of ILR and SR against HR, or None.
    """

    lr: np.ndarray
    ilr: np.ndarray
    sr: np.ndarray
    hr: np.ndarray | None = None
    interpolation: Score | None = None
    model: Score | None = None


def super_resolve(model: VDSR, image: np.ndarray, scale: float, protocol: Protocol) -> Resolved:
    """Enlarge an image by a real factor; each side becomes ceil(side * scale).

    A luma network enlarges luma; chroma is interpolated, as in the paper. An RGB network enlarges all
    three channels.

    Args:
        model: in evaluation mode, on any device.
        image: uint8, H x W or H x W x 3.
        scale: a real number above 1.
        protocol: the one the weights were trained under; gives the interpolation and the colour.
    """
    check_fit(model, protocol)
    up = DEGRADATIONS[protocol.degradation].up
    rows, cols = (up(side, math.ceil(side * scale - 1e-9)) for side in image.shape[:2])
    lr, lr_chroma = _planes(image, protocol)
    ilr = separable(lr, rows, cols)
    chroma = None if lr_chroma is None else separable(lr_chroma, rows, cols)
    sr = predict(model, ilr, protocol)
    return Resolved(to_float(image), _picture(ilr, chroma), _picture(sr, chroma))


def degrade_and_resolve(model: VDSR, image: np.ndarray, scale: float, protocol: Protocol) -> Resolved:
    """Ground-truth mode: make LR from an HR image by the protocol, enlarge it, and score the result.

    Args and colour as in ``super_resolve``; ``image`` is HR.

    Raises:
        InputError: the image is too small to be scored at this scale.
    """
    check_fit(model, protocol)
    hr = protocol.ground_truth(image, scale)
    image = image[: hr.shape[0], : hr.shape[1]]
    lr, ilr = protocol.degrade(hr, scale)
    sr = predict(model, ilr, protocol)
    _, hr_chroma = _planes(image, protocol)
    lr_chroma, chroma = (None, None) if hr_chroma is None else protocol.degrade(hr_chroma, scale)
    return Resolved(
        _picture(lr, lr_chroma),
        _picture(ilr, chroma),
        _picture(sr, chroma),
        to_float(image),
        protocol.score(ilr, hr, scale),
        protocol.score(sr, hr, scale),
    )


def _planes(image: np.ndarray, protocol: Protocol) -> tuple[np.ndarray, np.ndarray | None]:
    """What the network works on, and the chroma that only rides along."""
    if protocol.colour == "rgb":
        return to_float(as_rgb(image)), None
    return split_luma(image) if image.ndim == 3 else (to_float(image), None)


def _picture(plane: np.ndarray, chroma: np.ndarray | None) -> np.ndarray:
    return np.clip(plane, 0.0, 1.0) if chroma is None else merge_luma(plane, chroma)
