"""Find test images, whole or in part, among training images."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter, gaussian_laplace, maximum_filter
from tqdm import tqdm

from vdsrlib.imaging.colour import as_rgb, luma
from vdsrlib.imaging.image_file import read_image
from vdsrlib.utils.extras import need

SAME_PICTURE = 12  # of 64 bits; over the 743 images of the eight sets, other pictures differ by 14 and more
SAME_POINT = 6  # of the 64 signs that describe a point's surroundings
CORRELATED = 0.9  # pixels that are the same, but for compression
GRID = 4  # of a test image, every fourth pixel in each direction stays in memory
PERHAPS = 0.7  # of those pixels; where all correlate by 0.9, these hardly correlate by less
BLOCK = 2**21  # pairs of points at a time, which the processor's cache holds


class Leak(NamedTuple):
    """A training image that shows a test image's picture, whole or in part."""

    training: str
    test: str
    how: str


def find_leaks(training: Sequence[Path], test: Sequence[Path]) -> list[Leak]:
    """Find training images that show the picture of a test image, whole at any size, or a crop of it.

    The whole picture is found by its perceptual hash. A crop is found by the surroundings of characteristic
    points, which a crop keeps. Two points that agree and are displaced alike propose a place, and there the
    pixels must correlate. Of crops with 120 pixels a side, 9 in 10 are found; of crops with 60 pixels, every
    other one. Loss of colour and JPEG do not matter. Crops that were resized or turned are not found.

    Every image is read once, save test images at a promising place. No more than one image of each set is in
    memory at a time. After five seconds a bar shows the progress.

    >>> from vdsrlib.datasets.catalog import EMBEDDED_TEST, EMBEDDED_TRAIN, embedded
    >>> find_leaks(embedded(EMBEDDED_TRAIN[:2]), embedded(EMBEDDED_TEST[:1]))
    []

    Raises:
        InputError: an image cannot be read, or imagehash is not installed.
    """
    if not test:
        return []
    with tqdm(total=len(test) + len(training), desc="Leaks", delay=5, disable=None, leave=False) as bar:
        tests = _describe_all(test, bar)
        return [leak for path in training for leak in _leaks_from(path, tests, bar)]


def perceptual_hash(image: np.ndarray) -> np.ndarray:
    """Compute 64 bits of a uint8 image that recompression, resizing and loss of colour hardly change.

    Raises:
        InputError: imagehash is not installed.
    """
    return need("imagehash", "data").phash(Image.fromarray(as_rgb(image))).hash.ravel()


class _TestImages(NamedTuple):
    """What is kept of n test images, which have m points in all."""

    paths: Sequence[Path]
    shapes: list[tuple[int, ...]]
    hashes: np.ndarray  # n x 64, bool
    grids: list[np.ndarray]  # of each image, every fourth pixel of its luma
    owners: np.ndarray  # m, the image of each point
    places: np.ndarray  # m x 2
    signs: np.ndarray  # m x 64, ±1


def _describe_all(paths: Sequence[Path], bar: tqdm) -> _TestImages:
    shapes, hashes, grids, points = [], [], [], []
    for path in paths:
        image = read_image(path)
        grey = luma(image)
        shapes.append(image.shape)
        hashes.append(perceptual_hash(image))
        grids.append(grey[::GRID, ::GRID].copy())  # a view would keep the whole image
        points.append(_points(grey))
        bar.update()
    places, signs = (np.concatenate(parts) for parts in zip(*points, strict=True))
    owners = np.repeat(np.arange(len(paths)), [len(found) for found, _ in points])
    return _TestImages(paths, shapes, np.array(hashes), grids, owners, places, signs)


def _points(grey: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places (n x 2) of an image's blobs, and 64 signs (n x 64, ±1) that describe each one's surroundings."""
    grey = grey.astype(np.float32)
    blob = np.abs(gaussian_laplace(grey, 2.0))
    peak = (blob == maximum_filter(blob, 17)) & (blob > 3.0)
    inner = np.zeros_like(peak)
    inner[14:-14, 14:-14] = True
    places = np.argwhere(peak & inner)
    steps = np.arange(-14, 15, 4)
    rows, cols = places[:, 0, None, None] + steps[:, None], places[:, 1, None, None] + steps
    around = gaussian_filter(grey, 2.0)[rows, cols].reshape(-1, 64)
    signs = np.where(around > np.median(around, axis=1, keepdims=True), 1, -1).astype(np.int8)
    return places, signs


def _leaks_from(path: Path, tests: _TestImages, bar: tqdm) -> Iterator[Leak]:
    """Find the test images that one training image shows."""
    image = read_image(path)
    grey = luma(image)
    same = np.count_nonzero(tests.hashes != perceptual_hash(image), axis=1) <= SAME_PICTURE
    shifts = _shifts(*_points(grey), tests)
    for k in sorted({*np.flatnonzero(same).tolist(), *shifts}):
        (height, width), (other_height, other_width) = grey.shape, tests.shapes[k][:2]
        sizes = f"{width}x{height} and {other_width}x{other_height} pixels"
        if same[k]:
            yield Leak(path.name, tests.paths[k].name, f"the whole picture, {sizes}")
        elif (
            _correlation(grey, tests.grids[k], shifts[k], GRID) > PERHAPS
            and _correlation(grey, luma(read_image(tests.paths[k])), shifts[k]) > CORRELATED
        ):
            yield Leak(path.name, tests.paths[k].name, f"a part of it, {sizes}")
    bar.update()


def _shifts(places: np.ndarray, signs: np.ndarray, tests: _TestImages) -> dict[int, np.ndarray]:
    """Find where an image may lie in test images: image -> (rows, columns).

    It is the displacement on which most points agree, at least 2; of several, the one that comes first.
    """
    step = max(1, BLOCK // max(1, len(signs)))
    pairs = []
    floats = signs.astype(np.float32)
    for start in range(0, len(tests.signs), step):
        alike = floats @ tests.signs[start : start + step].T.astype(np.float32) >= 64 - 2 * SAME_POINT
        mine, theirs = np.divmod(np.flatnonzero(alike), alike.shape[1])  # faster than nonzero
        pairs.append((mine, theirs + start))
    if not pairs:
        return {}
    mine, theirs = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
    order = np.argsort(mine, kind="stable")
    mine, theirs = mine[order], theirs[order]
    votes = np.column_stack([tests.owners[theirs], tests.places[theirs] - places[mine]])
    found, first, counts = np.unique(votes, axis=0, return_index=True, return_counts=True)
    best: dict[int, np.ndarray] = {}
    for i in np.lexsort((first, -counts)):
        if counts[i] >= 2:
            best.setdefault(int(found[i, 0]), found[i, 1:])
    return best


def _correlation(image: np.ndarray, other: np.ndarray, shift: np.ndarray, step: int = 1) -> float:
    """Correlate two grey images where they overlap; 0 if they hardly do, or where one is flat.

    Args:
        image: all pixels.
        other: every ``step``-th pixel in each direction.
        shift: the place of ``image`` in the other one, in pixels.
        step: in pixels.
    """
    top, left = (-(-max(0, int(side)) // step) for side in shift)  # the first of other's that is on image
    mine = image[top * step - shift[0] :: step, left * step - shift[1] :: step]
    theirs = other[top:, left:]
    height, width = np.minimum(mine.shape, theirs.shape)
    mine, theirs = mine[:height, :width].astype(float), theirs[:height, :width].astype(float)
    if min(height, width) * step < 24 or min(mine.std(), theirs.std()) < 1:
        return 0.0
    return float(np.corrcoef(mine.ravel(), theirs.ravel())[0, 1])
