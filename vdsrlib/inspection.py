"""A look at a folder of images before hours are spent on it: what is there, what will be skipped and why,
and whether a test image, or a crop of one, lies among the training images.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import imagehash
import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter, gaussian_laplace, maximum_filter

from vdsrlib.files import InputError
from vdsrlib.images import as_rgb, luma, read_image, read_with_notes
from vdsrlib.picture import FORMATS, open_image, orientation_of, read_picture
from vdsrlib.protocol import crop_length

SAME_PICTURE = 12  # of 64 bits; over the 510 images of the six sets, other pictures differ by 14 and more


class Picture(NamedTuple):
    """One image file: its name, size in pixels, Pillow's mode, format, and bytes on disk."""

    name: str
    height: int
    width: int
    mode: str
    format: str
    bytes: int


class Remark(NamedTuple):
    """Something to know of a file: what training does with it, and why."""

    name: str
    what: str
    why: str


class Leak(NamedTuple):
    """A training image that shows a test image's picture, whole or in part."""

    training: str
    test: str
    how: str


def describe(paths: Sequence[Path]) -> list[Picture]:
    """What the headers of image files say; a broken file has size 0 and the mode "broken"."""
    sizes = [path.stat().st_size if os.path.exists(path) else 0 for path in paths]  # noqa: PTH110
    return [Picture(path.name, *_header(path), size) for path, size in zip(paths, sizes, strict=True)]


def _header(path: Path) -> tuple[int, int, str, str]:
    """Height, width, mode and format."""
    try:
        with open_image(path) as file:
            return file.height, file.width, file.mode, file.format or ""
    except InputError:
        pass
    try:
        picture = read_picture(path)  # a TIFF that Pillow does not know
    except InputError:
        return 0, 0, "broken", ""
    height, width = picture.pixels.shape[:2]
    mode = ("L" if picture.pixels.ndim == 2 else "RGB") + ("" if picture.alpha is None else "A")
    return height, width, mode, "TIFF"


def perceptual_hash(image: np.ndarray) -> np.ndarray:
    """64 bits of a uint8 image that recompression, resizing and loss of colour hardly change."""
    return imagehash.phash(Image.fromarray(as_rgb(image))).hash.ravel()


def report(folder: str | Path, patch: int = 41, scales: Sequence[float] = (2, 3, 4)) -> list[Remark]:
    """What training would do with each file of a folder, other than simply using it.

    Args:
        folder: of images.
        patch: side of a training patch in pixels.
        scales: scales to train for.

    Raises:
        InputError: there is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder}.")
    remarks: list[Remark] = []
    seen: dict[tuple[tuple[int, ...], bytes], str] = {}
    for path in sorted(folder.iterdir()):
        if os.path.isdir(path):  # noqa: PTH112  which answers also for a link into a locked place
            inside = sum(inner.suffix.lower() in FORMATS for inner in path.rglob("*"))
            if inside:
                remarks.append(Remark(path.name, "not looked into", f"a folder, with {inside} images"))
            continue
        if path.name.startswith("."):
            remarks.append(Remark(path.name, "ignored", "a hidden file"))
            continue
        if path.suffix.lower() not in FORMATS:
            remarks.append(Remark(path.name, "ignored", f"not one of {', '.join(sorted(FORMATS))}"))
            continue
        try:
            image, notes = read_with_notes(path)
        except InputError:
            remarks.append(Remark(path.name, "stops training", "it cannot be read as an image"))
            continue
        height, width = (min(crop_length(side, s) for s in scales) for side in image.shape[:2])
        if min(height, width) < patch:
            size = f"{image.shape[1]}x{image.shape[0]} pixels"
            remarks.append(Remark(path.name, "skipped", f"{size}, less than a patch of {patch}x{patch}"))
        first = seen.setdefault((image.shape, hashlib.sha256(image.tobytes()).digest()), path.name)
        if first != path.name:
            remarks.append(Remark(path.name, "counted twice", f"the same pixels as {first}"))
        with suppress(InputError), open_image(path) as file:  # Pillow does not know every TIFF
            if (orientation_of(file) or 1) != 1:
                notes += ("turned as its EXIF tag says",)
        remarks += [Remark(path.name, "used, changed", note) for note in notes]
    return remarks


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
