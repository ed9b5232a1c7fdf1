"""Find test images, whole or in part, among training images."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import imagehash
import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter, gaussian_laplace, maximum_filter

from vdsrlib.imaging.colour import as_rgb, luma
from vdsrlib.imaging.image_file import read_image

SAME_PICTURE = 12  # of 64 bits; over the 510 images of the six sets, other pictures differ by 14 and more


class Leak(NamedTuple):
    """A training image that shows a test image's picture, whole or in part."""

    training: str
    test: str
    how: str


def perceptual_hash(image: np.ndarray) -> np.ndarray:
    """64 bits of a uint8 image that recompression, resizing and loss of colour hardly change."""
    return imagehash.phash(Image.fromarray(as_rgb(image))).hash.ravel()


def leaks(training: Sequence[Path], test: Sequence[Path]) -> list[Leak]:
    """Training images that show the picture of a test image, whole at any size, or a crop of it.

    The whole picture is found by its perceptual hash. A crop is found by 64-bit hashes of the surroundings of
    characteristic points, which a crop keeps: two that agree and are displaced alike propose a place, and
    there the pixels must correlate. Of crops with 120 pixels a side, 9 in 10 are found, with 60 pixels every
    other one, greyscale and JPEG or not; crops that were resized or turned are not.
    """
    found = []
    tests = [(path, image, perceptual_hash(image), _points(image)) for path, image in _read(test)]
    for path, image in _read(training):
        whole, points = perceptual_hash(image), _points(image)
        for other, shown, other_whole, other_points in tests:
            sizes = f"{image.shape[1]}x{image.shape[0]} and {shown.shape[1]}x{shown.shape[0]} pixels"
            if np.count_nonzero(whole != other_whole) <= SAME_PICTURE:
                found.append(Leak(path.name, other.name, f"the whole picture, {sizes}"))
            else:
                shift = _shift(points, other_points)
                if shift is not None and _correlation(luma(image), luma(shown), shift) > 0.9:
                    found.append(Leak(path.name, other.name, f"a part of it, {sizes}"))
    return found


def _read(paths: Sequence[Path]) -> Iterator[tuple[Path, np.ndarray]]:
    """One image at a time: a training set may be larger than the memory."""
    return ((path, read_image(path)) for path in paths)


Points = tuple[np.ndarray, np.ndarray]


def _points(image: np.ndarray) -> Points:
    """Places (n x 2) of an image's blobs, and 64 signs (n x 64, ±1) that describe each one's surroundings."""
    grey = luma(image).astype(np.float32)
    blob = np.abs(gaussian_laplace(grey, 2.0))
    peak = (blob == maximum_filter(blob, 17)) & (blob > 3.0)
    inner = np.zeros_like(peak)
    inner[14:-14, 14:-14] = True
    places = np.argwhere(peak & inner)
    steps = np.arange(-14, 15, 4)
    rows, cols = places[:, 0, None, None] + steps[:, None], places[:, 1, None, None] + steps
    around = gaussian_filter(grey, 2.0)[rows, cols].reshape(-1, 64)
    signs = np.where(around > np.median(around, axis=1, keepdims=True), 1, -1).astype(np.float32)
    return places, signs


def _shift(points: Points, others: Points) -> tuple[int, int] | None:
    """The displacement (rows, columns) of one image in another on which most points agree, at least 2."""
    mine, theirs = np.nonzero(points[1] @ others[1].T >= 64 - 2 * 6)  # at most 6 signs differ
    shifts = Counter((int(y), int(x)) for y, x in others[0][theirs] - points[0][mine])
    shift, count = shifts.most_common(1)[0] if shifts else ((0, 0), 0)
    return shift if count >= 2 else None


def _correlation(image: np.ndarray, other: np.ndarray, shift: tuple[int, int]) -> float:
    """Correlation of two grey images where they overlap, ``image`` displaced by ``shift``; 0 if hardly."""
    (top, left), (other_top, other_left) = np.maximum(0, np.negative(shift)), np.maximum(0, shift)
    height = min(image.shape[0] - top, other.shape[0] - other_top)
    width = min(image.shape[1] - left, other.shape[1] - other_left)
    mine = image[top : top + height, left : left + width].astype(float)
    theirs = other[other_top : other_top + height, other_left : other_left + width].astype(float)
    if min(height, width) < 24 or min(mine.std(), theirs.std()) < 1:
        return 0.0
    return float(np.corrcoef(mine.ravel(), theirs.ravel())[0, 1])
