"""Look at a folder of images before hours are spent on it: what is there, what will be skipped, and why."""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vdsrlib.errors import InputError
from vdsrlib.imaging.crops import modcrop_length
from vdsrlib.imaging.formats import FORMATS
from vdsrlib.imaging.image_file import open_image, plain_pixels, read_image, read_picture
from vdsrlib.utils.hashing import hash_bytes
from vdsrlib.utils.paths import user_path


class ImageInfo(NamedTuple):
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


def describe_images(paths: Sequence[Path]) -> list[ImageInfo]:
    """Read the headers of image files; a broken file has size 0 and the mode "broken"."""
    sizes = [path.stat().st_size if os.path.exists(path) else 0 for path in paths]  # noqa: PTH110
    return [ImageInfo(path.name, *_header(path), size) for path, size in zip(paths, sizes, strict=True)]


def _header(path: Path) -> tuple[int, int, str, str]:
    """Read height, width, mode and format."""
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


def inspect_folder(folder: str | Path, patch: int = 41, scales: Sequence[float] = (2, 3, 4)) -> list[Remark]:
    """Say what training would do with each file of a folder, other than simply using it.

    Args:
        folder: of images.
        patch: side of a training patch in pixels.
        scales: scales to train for.

    Raises:
        InputError: there is no such folder.
    """
    folder = user_path(folder)
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder}.")
    remarks: list[Remark] = []
    seen: dict[tuple[tuple[int, ...], str], str] = {}
    for path in sorted(folder.iterdir()):
        if os.path.isdir(path):  # noqa: PTH112  which answers also for a link into a locked place
            inside = sum(inner.suffix.lower() in FORMATS for inner in path.rglob("*"))
            if inside:
                remarks.append(Remark(path.name, "not looked into", f"a folder, with {count_images(inside)}"))
        elif path.name.startswith("."):
            remarks.append(Remark(path.name, "ignored", "a hidden file"))
        elif path.suffix.lower() not in FORMATS:
            remarks.append(Remark(path.name, "ignored", f"not one of {', '.join(sorted(FORMATS))}"))
        else:
            remarks += _inspect_image(path, patch, scales, seen)
    return remarks


def count_images(count: int) -> str:
    """Say how many images there are.

    >>> count_images(1), count_images(2)
    ('1 image', '2 images')
    """
    return f"{count} image" + ("s" if count != 1 else "")


def _inspect_image(
    path: Path, patch: int, scales: Sequence[float], seen: dict[tuple[tuple[int, ...], str], str]
) -> list[Remark]:
    """Say what training would do with an image; ``seen`` maps the pixels of earlier ones to their names."""
    try:
        picture = read_picture(path)
    except InputError:
        return [Remark(path.name, "stops training", "it cannot be read as an image")]
    remarks, (image, notes) = [], plain_pixels(picture)
    (height, width), (kept_height, kept_width) = image.shape[:2], _cropped_size(image, scales)
    if min(kept_height, kept_width) < patch:
        size = f"{width}x{height} pixels"
        if min(height, width) >= patch:
            size += f", of which whole multiples of a scale leave {kept_width}x{kept_height}"
        remarks.append(Remark(path.name, "skipped", f"{size}, less than a patch of {patch}x{patch}"))
    first = seen.setdefault((image.shape, hash_bytes(image)), path.name)
    if first != path.name:
        remarks.append(Remark(path.name, "counted twice", f"the same pixels as {first}"))
    if picture.turned:
        notes += ("turned as its EXIF tag says",)
    return remarks + [Remark(path.name, "used, changed", note) for note in notes]


def usable_images(
    paths: Sequence[Path], count: int, patch: int = 41, scales: Sequence[float] = (2, 3, 4)
) -> list[Path]:
    """Return the first ``count`` images that training can use: readable, and no smaller than a patch.

    Where there are none, the first ``count`` images come back, of which training says what is wrong.
    """
    found = []
    for path in paths:
        with suppress(InputError):
            if min(_cropped_size(read_image(path), scales)) >= patch:
                found.append(path)
        if len(found) == count:
            break
    return found or list(paths[:count])


def _cropped_size(image: np.ndarray, scales: Sequence[float]) -> tuple[int, int]:
    """Compute the smallest height and width that cropping to a multiple of a scale leaves."""
    height, width = (min(modcrop_length(side, scale) for scale in scales) for side in image.shape[:2])
    return height, width
