"""Score networks on small images as people have them: noisy, or JPEGs."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from vdsrlib.evaluation.cache import ScoreCache
from vdsrlib.imaging.colour import to_uint8
from vdsrlib.imaging.degradation import DEGRADATIONS
from vdsrlib.imaging.image_file import read_image
from vdsrlib.inference.predict import predict
from vdsrlib.models.checkpoint import Checkpoint
from vdsrlib.protocol import PAPER, Score
from vdsrlib.utils.hashing import hash_file
from vdsrlib.utils.parsing import lookup
from vdsrlib.utils.paths import user_path

if TYPE_CHECKING:  # takes half a second, which enlarging does not need
    import pandas as pd


def add_noise(plane: np.ndarray, sigma: float, seed: int = 0) -> np.ndarray:
    """Add Gaussian noise to luma in [0, 1], and round to 255 levels.

    Args:
        plane: H x W.
        sigma: standard deviation in levels of 255; 0 leaves the plane as it is, not rounded.
        seed: of the noise.
    """
    if sigma == 0:
        return plane
    noise = np.random.default_rng(seed).normal(0, sigma / 255, plane.shape)
    return to_uint8(plane + noise) / 255


def add_jpeg(plane: np.ndarray, quality: float) -> np.ndarray:
    """Round luma in [0, 1] to 255 levels, and return what Pillow's encoder leaves of it at a quality."""
    file = io.BytesIO()
    Image.fromarray(to_uint8(plane)).save(file, "jpeg", quality=int(quality))
    return np.asarray(Image.open(file)) / 255


DAMAGES: dict[str, Callable[[np.ndarray, float], np.ndarray]] = {"jpeg": add_jpeg, "noise": add_noise}
"""What can happen to LR, by a strength: a quality, or a standard deviation."""


def evaluate_damaged(
    networks: Mapping[str, Checkpoint],
    paths: Sequence[Path],
    scales: Sequence[float],
    strengths: Mapping[str, Sequence[float]],
    *,
    side: int = 0,
    cache: str | Path | None = None,
) -> pd.DataFrame:
    """Measure PSNR and SSIM of interpolation and of luma networks where LR is damaged, by the paper's rules.

    Args:
        networks: by name.
        paths: HR images.
        scales: real numbers from 1 up; at 1, LR is as large as HR.
        strengths: of each of ``DAMAGES``, such as {"jpeg": [50, 75], "noise": [0, 5]}; noise of 0 is clean.
        side: of the square in the middle of each image that is used; 0 for whole images.
        cache: a folder where scores are kept and found again, see ``ScoreCache``.

    Returns:
        A row for an image, a scale, a damage, a strength and a method: PSNR in dB and SSIM.

    Raises:
        InputError: a damage is unknown, or an image cannot be read or is too small.
    """
    import pandas as pd

    kept = ScoreCache(user_path(cache)) if cache else None
    methods = {"interpolation": None, **networks}
    cases = [(name, strength) for name, several in strengths.items() for strength in several]
    rows = []
    for path in paths:
        image, digest = _middle(read_image(path), side), hash_file(path)
        for scale, (name, strength) in itertools.product(scales, cases):
            pair = damaged_pair(image, scale, name, strength)
            for method, net in methods.items():
                key = digest, side, scale, name, strength, net.hash if net else None
                compute = partial(_score, net, *pair, scale)
                score = kept.get(compute, *key).score if kept else compute()
                rows.append((path.stem, scale, name, strength, method, *score))
    return pd.DataFrame(rows, columns=["image", "scale", "damage", "strength", "method", "psnr", "ssim"])


def damaged_pair(
    image: np.ndarray, scale: float, damage: str, strength: float
) -> tuple[np.ndarray, np.ndarray]:
    """Make HR and ILR of an image's luma, where LR is damaged before it is interpolated.

    Args:
        image: uint8, H x W or H x W x 3.
        scale: a real number from 1 up.
        damage: a name of ``DAMAGES``.
        strength: a quality, or a standard deviation.
    """
    add = lookup(DAMAGES, damage, "damage")
    hr = PAPER.ground_truth(image, scale)
    return hr, DEGRADATIONS[PAPER.degradation](hr, scale, lambda lr: add(lr, strength))[1]


def _middle(image: np.ndarray, side: int) -> np.ndarray:
    if not side:
        return image
    top, left = (max(0, (length - side) // 2) for length in image.shape[:2])
    return image[top : top + side, left : left + side]


def _score(net: Checkpoint | None, hr: np.ndarray, ilr: np.ndarray, scale: float) -> Score:
    return PAPER.score(predict(net.model, ilr, PAPER) if net else ilr, hr, scale)
