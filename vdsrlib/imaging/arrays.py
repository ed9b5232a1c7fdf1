"""Take the images that callers hand over: what is certain is converted, and the rest refused."""

from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from vdsrlib.errors import InputError

SAMPLES = "uint8, uint16, or floating in [0, 1]"
MOST_OF_UNIT = 2  # to which floats in [0, 1] may overshoot


def as_image(image: Any) -> np.ndarray:
    """Convert an image to the library's own kind.

    Args:
        image: an array, a nested list or an image of Pillow: H x W, H x W x 1, H x W x 3, or H x W x 4 with
            no transparency. Samples are uint8, uint16 or floating in [0, 1]; floats in [0, 255], booleans,
            and integers of other types up to 255 are converted.

    Returns:
        H x W or H x W x 3; uint8, uint16, float32 or float64. Floats lie about [0, 1], neither rounded nor
        clipped. What is right already is returned as it is.

    Raises:
        InputError: the array is no image, has transparency, or what its samples mean is not certain.

    >>> as_image(np.array([[0, 128, 255]]))
    array([[  0, 128, 255]], dtype=uint8)
    >>> as_image(np.array([[0, 51.0, 255]]))
    array([[0. , 0.2, 1. ]])
    """
    pixels, alpha = split_alpha(image)
    if alpha is not None and (alpha < (1 if alpha.dtype.kind == "f" else np.iinfo(alpha.dtype).max)).any():
        raise InputError("image must be opaque, got transparency; lay it on a background, or drop its alpha")
    return pixels


class Samples(NamedTuple):
    """An image as arrays.

    Attributes:
        pixels: H x W or H x W x 3.
        alpha: H x W of the same type, or None.
        measured: whether these are mere numbers, of any type, without a certain black and white.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None
    measured: bool


def split_alpha(image: Any) -> tuple[np.ndarray, np.ndarray | None]:
    """Convert an image as ``as_image`` does; return its colours and its alpha, or None.

    Raises:
        InputError: the array is no image, or what its samples mean is not certain.
    """
    samples, alpha = _from_any(image)
    known = _with_known_samples(samples)
    if known is None:
        low, high = samples.min(), samples.max()
        raise InputError(f"image must be {SAMPLES}, got {samples.dtype} from {low:.6g} to {high:.6g}")
    if known.ndim == 3 and known.shape[2] == 4:
        return known[..., :3], known[..., 3]
    return known, alpha


def as_samples(image: Any) -> Samples:
    """Convert an image as ``split_alpha`` does, but leave numbers as they are where that would change them.

    Raises:
        InputError: the array is no image, or has alpha and samples whose meaning is not certain.

    >>> as_samples(np.array([[3000, 3500]], np.int32)).measured
    True
    >>> as_samples(np.array([[0, 0.5, 3]])).measured
    True
    """
    samples, _ = _from_any(image)
    known = (
        None if samples.dtype.kind == "f" and samples.max() > MOST_OF_UNIT else _with_known_samples(samples)
    )
    if known is None and samples.shape[2:] != (4,):
        return Samples(samples, None, True)
    return Samples(*split_alpha(image), False)


def _from_any(image: Any) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the samples of an image, and the alpha of one of Pillow's."""
    return _from_pillow(image) if isinstance(image, Image.Image) else (_channels_last(as_array(image)), None)


def as_array(image: Any) -> np.ndarray:
    """Convert a nested list, or what offers NumPy its samples, to an array of numbers.

    Raises:
        InputError: it is no array of numbers, or empty.
    """
    try:
        samples = np.asarray(image)
    except Exception as error:  # a tensor on a GPU, lists of unequal length
        raise InputError(f"image must be an array, got {type(image).__name__} ({error})") from error
    if samples.dtype.kind not in "buif":
        raise InputError(f"image must be an array of numbers, got {type(image).__name__} of {samples.dtype}")
    if not samples.size:
        raise InputError(f"image must have pixels, got {_shape(samples)}")
    return samples.astype(samples.dtype.newbyteorder("="), copy=False)


def _from_pillow(image: Image.Image) -> tuple[np.ndarray, np.ndarray | None]:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return as_array(image), None
    if image.mode not in ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX"):
        raise InputError(f"image must be grey or RGB, got Pillow's mode {image.mode}; convert it first")
    grey = image.mode in ("1", "L", "LA", "La")
    if "transparency" in image.info or image.mode in ("LA", "La", "PA", "RGBA", "RGBa"):
        samples = np.asarray(image.convert("LA" if grey else "RGBA"))
        return samples[..., 0] if grey else samples[..., :3], samples[..., -1]
    return as_array(image.convert("L" if grey else "RGB")), None


def _channels_last(samples: np.ndarray) -> np.ndarray:
    if samples.ndim == 3 and samples.shape[2] == 1:
        return samples[..., 0]
    if samples.ndim == 2 or (samples.ndim == 3 and samples.shape[2] in (3, 4)):
        return samples
    advice = "; move the channels last" if samples.ndim == 3 and samples.shape[0] in (1, 3, 4) else ""
    raise InputError(f"image must be H x W, H x W x 3 or H x W x 4, got {_shape(samples)}{advice}")


def _shape(samples: np.ndarray) -> str:
    return " x ".join(map(str, samples.shape)) or "one number"


def _with_known_samples(samples: np.ndarray) -> np.ndarray | None:
    """Convert samples to uint8, uint16 or floats about [0, 1]; None where it is not certain how."""
    if samples.dtype in (np.uint8, np.uint16):
        return samples
    if samples.dtype == bool:
        return samples.astype(np.uint8) * np.uint8(255)
    low, high = samples.min(), samples.max()
    if samples.dtype.kind in "ui":
        # The samples 0 and 1 alone may be a mask, and more than 255 any number of bits.
        if low >= 0 and (high == 0 or 1 < high <= 255):
            return samples.astype(np.uint8)
    elif np.isfinite([low, high]).all():
        samples = samples if samples.dtype in (np.float32, np.float64) else samples.astype(np.float64)
        if low >= -0.5 and high <= MOST_OF_UNIT:
            return samples
        if low >= -0.5 and high <= 255.5:
            return samples / samples.dtype.type(255)
    return None
