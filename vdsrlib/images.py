"""Images in and out, luma, and the named image sets.

An image in this project is a NumPy array, height x width (grey) or height x width x 3 (RGB), either
uint8 in 0..255 (uint16, in 0..65535, where that is said) or floating point in [0, 1].
"""

import os
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import skimage
from numpy.typing import DTypeLike
from skimage.color import rgb2ycbcr, ycbcr2rgb

from vdsrlib.environment import data_root
from vdsrlib.files import InputError, reading
from vdsrlib.picture import FORMATS, MAX_PIXELS, Picture, eight_bits, read_picture, write_picture

TRAINING_SETS = ("T91", "BSD200")  # the paper's 291 images (section 5.1)
TEST_SETS = ("Set5", "Set14", "B100", "Urban100")

# scikit-image installs these photographs with itself, so the tutorial needs no data set.
EMBEDDED_TRAIN = (
    "brick.png",
    "camera.png",
    "coins.png",
    "grass.png",
    "gravel.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "moon.png",
    "motorcycle_left.png",
    "rocket.jpg",
)
EMBEDDED_TEST = ("astronaut.png", "chelsea.png", "coffee.png")
EMBEDDED_NAME = "scikit-image photographs (test)"


def read_image(path: str | Path, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Decode an image to uint8, H x W (grey) or H x W x 3: ``picture.read_picture``, and no more than that.

    Transparency is dropped, and 16-bit samples are reduced to 8.

    Raises:
        InputError: the file is missing, is no image that can be decoded whole, or is too large.
    """
    return read_with_notes(path, max_pixels)[0]


def read_with_notes(path: str | Path, max_pixels: int = MAX_PIXELS) -> tuple[np.ndarray, tuple[str, ...]]:
    """``read_image``, and what that changed or left out, each a few words for people."""
    picture = read_picture(path, max_pixels)
    alpha, notes = picture.alpha, picture.notes
    if alpha is not None and (alpha != np.iinfo(alpha.dtype).max).any():
        notes += ("transparency is dropped",)
    if picture.pixels.dtype == np.uint16:
        notes += ("16-bit samples are reduced to 8",)
    return eight_bits(picture.pixels), notes


def save_image(path: str | Path, image: np.ndarray, *, replace: bool = True) -> None:
    """Write a uint8 or [0, 1] float image, atomically; the suffix chooses the format.

    Raises:
        InputError: the suffix is unknown, the format or the place cannot take it, or there is such a file
            and it may not be replaced.
    """
    write_picture(path, Picture(to_uint8(image)), replace=replace)


def to_float(image: np.ndarray) -> np.ndarray:
    """uint8 0..255, or uint16 0..65535, to float64 [0, 1]; a float image is returned as float64."""
    if np.issubdtype(image.dtype, np.integer):
        return image / float(np.iinfo(image.dtype).max)
    return np.asarray(image, dtype=np.float64)


def to_uint8(image: np.ndarray) -> np.ndarray:
    """Clip a [0, 1] float image and round it to 0..255, halves up as MATLAB does."""
    return image if image.dtype == np.uint8 else quantise(image, np.uint8)


def quantise(image: np.ndarray, dtype: DTypeLike) -> np.ndarray:
    """Clip a [0, 1] float image and round it to the whole range of uint8 or uint16, halves up."""
    return np.floor(np.clip(image, 0.0, 1.0) * np.iinfo(dtype).max + 0.5).astype(dtype)


def as_rgb(image: np.ndarray) -> np.ndarray:
    """H x W to H x W x 3 with equal channels; RGB unchanged."""
    return np.stack([image] * 3, axis=-1) if image.ndim == 2 else image


def luma(image: np.ndarray) -> np.ndarray:
    """Luma of a uint8 image: Y of BT.601 studio-range YCbCr, rounded to uint8 (16..235).

    A grey image is its own luma, as in the framework that the paper's tables were made with.
    """
    if image.ndim == 2:
        return image
    return np.floor(rgb2ycbcr(image)[..., 0] + 0.5).astype(np.uint8)


def split_luma(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """uint8 or uint16 RGB to unrounded float64 luma (H x W) and chroma (H x W x 2), both / 255."""
    ycbcr = rgb2ycbcr(image) / 255.0
    return ycbcr[..., 0], ycbcr[..., 1:]


def merge_luma(y: np.ndarray, chroma: np.ndarray) -> np.ndarray:
    """Inverse of ``split_luma``: [0, 1] float RGB, clipped."""
    return np.clip(ycbcr2rgb(np.concatenate([y[..., None], chroma], axis=-1) * 255.0), 0.0, 1.0)


def list_images(folder: str | Path, suffixes: Collection[str] = FORMATS) -> list[Path]:
    """The images of a folder, by name: files with one of the suffixes, other than hidden ones.

    A link that leads nowhere, or where nothing can be read, is among them: what reads it says so.

    Raises:
        InputError: there is no such folder, it cannot be read, or there is no image in it.
    """
    folder = Path(folder)
    with reading(folder):
        if not folder.is_dir():
            raise InputError(f"There is no folder {folder}.")
        paths = sorted(
            path
            for path in folder.iterdir()
            if path.suffix.lower() in suffixes
            and not path.name.startswith(".")
            and (os.path.isfile(path) or not os.path.exists(path))  # noqa: PTH110, PTH113  these never raise
        )
    if not paths:
        raise InputError(f"There is no image in {folder} (looked for {', '.join(sorted(suffixes))}).")
    return paths


def image_set(name: str | Path) -> list[Path]:
    """The images of a folder, or of the set of that name in the folder that the variable VDSR_DATA names.

    Raises:
        InputError: there is neither, or no image in it.
    """
    folder = Path(name)
    with reading(name):
        if not folder.is_dir() and (root := data_root()):
            folder = root / name
        if not folder.is_dir():
            sentence = f"There is no folder {name}, nor a set of that name in a folder named by VDSR_DATA."
            raise InputError(sentence)
    return list_images(folder)


def embedded(names: Sequence[str]) -> list[Path]:
    """Paths of the bundled photographs of those names."""
    return [Path(skimage.__file__).parent / "data" / name for name in names]


def training_images(data_path: str | Path | None = None) -> tuple[str, list[Path]]:
    """Name and paths of the training set.

    ``data_path`` (default: the variable VDSR_DATA) is either a folder of images or a folder that
    holds T91 and BSD200; without either, the bundled photographs are used.
    """
    root = data_root(data_path)
    if root is None:
        return "scikit-image photographs (training)", embedded(EMBEDDED_TRAIN)
    sets = [name for name in TRAINING_SETS if (root / name).is_dir()]
    if sets:
        return "+".join(sets), [path for name in sets for path in list_images(root / name)]
    return root.name, list_images(root)


def benchmark_images(name: str = "Set5", data_path: str | Path | None = None) -> tuple[str, list[Path]]:
    """Name and paths of the benchmark ``name`` under ``data_path`` (default: VDSR_DATA).

    Without a data folder, or where it holds no such set, the bundled test photographs stand in for the
    known sets. The name that comes back says which: print it.

    Raises:
        InputError: the name is neither a folder there nor one of ``TEST_SETS``.
    """
    root = data_root(data_path)
    if root and (root / name).is_dir():
        return name, list_images(root / name)
    if name in (*TEST_SETS, EMBEDDED_NAME):
        return EMBEDDED_NAME, embedded(EMBEDDED_TEST)
    inside = sorted(path.name for path in root.iterdir() if path.is_dir()) if root else []
    where = f"no folder {name} in {root}" if root else f"no image set {name}"
    raise InputError(f"There is {where}; write one of {', '.join(dict.fromkeys([*inside, *TEST_SETS]))}.")
