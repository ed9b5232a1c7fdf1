"""Score the output of any method against its ground truth, under the rules of a published table."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, overload

import numpy as np

from vdsrlib.errors import InputError
from vdsrlib.evaluation.cache import TimedScore
from vdsrlib.evaluation.frames import ImageScores, score_images
from vdsrlib.evaluation.images import find_images
from vdsrlib.evaluation.pairing import pair_by_name
from vdsrlib.imaging.arrays import as_image
from vdsrlib.imaging.colour import as_rgb, luma_to_grey, split_luma, to_eight_bits, to_float, to_uint8
from vdsrlib.imaging.image_file import read_with_notes
from vdsrlib.protocol import Protocol, Score, get_protocol
from vdsrlib.utils.hashing import hash_file
from vdsrlib.utils.parsing import parse_scale
from vdsrlib.utils.paths import user_path

if TYPE_CHECKING:
    import pandas as pd

Source = np.ndarray | str | Path


@overload
def score(sr: np.ndarray, hr: Source, scale: float, protocol: Protocol | str = "paper") -> Score: ...
@overload
def score(
    sr: Source, hr: Source, scale: float, protocol: Protocol | str = "paper", *, skip_broken: bool = False
) -> Score | pd.DataFrame: ...
def score(
    sr: Source, hr: Source, scale: float, protocol: Protocol | str = "paper", *, skip_broken: bool = False
) -> Score | pd.DataFrame:
    """Measure PSNR and SSIM of super-resolved images, whatever made them.

    An image must have the size of its ground truth, or of the ground truth cropped to a multiple of the
    scale. It is scored as it is: LR must have been made by the protocol's degradation.

    Args:
        sr: the image, an array that ``as_image`` takes or a file; or a folder of images. A grey image of a
            colour photograph is taken for its luma.
        hr: the ground truth, likewise, or for a folder the name of a set in VDSR_DATA; files are paired by
            name, see ``pair_by_name``.
        scale: a real number above 1; decides the crop and the border.
        protocol: the rules, or their name.
        skip_broken: of folders, leave out what cannot be scored or has no partner, instead of raising.

    Returns:
        Of two images, their ``Score``. Of two folders, a frame like that of ``evaluate``, of method "sr"; its
        ``attrs["failed"]`` says what was left out.

    Raises:
        InputError: a file cannot be read, sizes or colours do not fit, or a name has no partner.

    >>> hr = np.tile(np.arange(60, dtype=np.uint8), (60, 1))
    >>> score(hr + np.uint8(1), hr, scale=2).psnr.__round__(2)
    48.13
    """
    scale = parse_scale(scale)
    rules = get_protocol(protocol) if isinstance(protocol, str) else protocol
    sr, hr = (user_path(side) if isinstance(side, str) else side for side in (sr, hr))
    # os.path answers for any name, however long
    folders = [isinstance(side, Path) and os.path.isdir(side) for side in (sr, hr)]  # noqa: PTH112
    if isinstance(sr, Path) and isinstance(hr, Path) and folders[0] and not os.path.isfile(hr):  # noqa: PTH113
        return _score_folders(sr, hr, scale, rules, skip_broken)
    if any(folders):
        raise InputError("sr and hr must be two images or two folders, got an image and a folder")
    return score_pair(_read(sr)[0], _read(hr)[0], scale, rules)


def _score_folders(sr: Path, hr: Path, scale: float, rules: Protocol, skip_broken: bool) -> pd.DataFrame:
    (images, notes), (truths, more) = find_images(sr), find_images(hr)
    pairs, problems = pair_by_name(images, truths)
    if problems and not (skip_broken and pairs):
        raise InputError("; ".join(problems))
    jobs = [(truth, scale) for truth in pairs]
    frame = score_images(partial(_score_files, pairs, rules), jobs, skip_broken=skip_broken)
    frame.attrs["failed"] += problems
    frame.attrs["notes"] = [*notes, *more, *frame.attrs["notes"]]
    return frame


def _score_files(pairs: dict[Path, Path], rules: Protocol, truth: Path, scale: float) -> ImageScores:
    image = pairs[truth]
    (sr, notes), (hr, more) = _read(image), _read(truth)
    try:
        found = score_pair(sr, hr, scale, rules)
    except InputError as error:
        raise InputError(f"{image} and {truth}: {error}") from error
    return ImageScores(hash_file(image), {"sr": TimedScore(found, None)}, (*notes, *more))


def score_pair(sr: np.ndarray, hr: np.ndarray, scale: float, rules: Protocol) -> Score:
    """Score an image, as ``as_image`` returns it, against its ground truth."""
    truth = rules.ground_truth(to_uint8(hr), scale)
    if sr.shape[:2] not in (hr.shape[:2], truth.shape[:2]):
        (height, width), (rows, cols) = hr.shape[:2], truth.shape[:2]
        crop = f", or of hr cropped for x{scale:g}, {cols}x{rows}" if (rows, cols) != (height, width) else ""
        got = f"{sr.shape[1]}x{sr.shape[0]}"
        raise InputError(f"sr must have the size of hr, {width}x{height} pixels{crop}; got {got}")
    planes = _planes(sr, rules, grey=hr.ndim == 2)
    return rules.score(planes[: truth.shape[0], : truth.shape[1]], truth, scale)


def _planes(sr: np.ndarray, rules: Protocol, *, grey: bool) -> np.ndarray:
    """Turn SR into what the protocol compares with its ground truth, float64."""
    if rules.quantise:
        sr = to_uint8(sr)
    if grey and sr.ndim == 3:  # most methods write a grey image as RGB
        sr = _grey(sr)
    if sr.ndim == 2:
        if rules.colour == "rgb" and not grey:
            raise InputError("sr must be in colour, as hr is; got a grey image")
        return to_float(sr if rules.colour == "luma" else as_rgb(sr))
    return to_float(rules.samples(sr)) if sr.dtype == np.uint8 else rules.split(sr)[0]


def _grey(rgb: np.ndarray) -> np.ndarray:
    """Make RGB grey: the luma, stretched from 16..235 to the whole range; of equal channels, one of them."""
    grey = luma_to_grey(split_luma(rgb)[0])
    return to_uint8(grey) if rgb.dtype == np.uint8 else grey


def _read(image: Source) -> tuple[np.ndarray, Sequence[str]]:
    """Read a file, or convert an array: uint8 or floating, H x W or H x W x 3; and what reading changed."""
    if isinstance(image, str | Path):
        return read_with_notes(image)
    return to_eight_bits(as_image(image)), ()
