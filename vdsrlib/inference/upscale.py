"""Enlarging: an array, a picture with transparency and a colour profile, or a file.

A luma network enlarges luma; chroma is interpolated by the protocol's own rule, as in the paper. An RGB
network enlarges all three channels. Samples are taken as they are, gamma-encoded, as the networks were
trained; linear light is not tried.
"""

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

from vdsrlib.imaging.arrays import as_image, as_samples
from vdsrlib.imaging.colour import as_rgb, from_float, to_float
from vdsrlib.imaging.degradation import DEGRADATIONS
from vdsrlib.imaging.image_file import Picture, read_picture, writing
from vdsrlib.imaging.resize import apply_separable
from vdsrlib.inference.enlarge import enlarge_tiles
from vdsrlib.inference.missing import fill_from_nearest, fill_missing, find_missing, put_back
from vdsrlib.inference.on_device import can_enlarge_on_device, enlarge_on_device
from vdsrlib.inference.options import InferenceOptions
from vdsrlib.inference.ranges import sample_range, split_outliers
from vdsrlib.inference.size import Shape, Size, result_shape, stretch, upscaled_shape
from vdsrlib.models.checkpoint import Checkpoint, check_scale, scale_advice
from vdsrlib.protocol import Protocol, Score


@dataclass(frozen=True)
class Upscaled:
    """An enlargement and what it was made of; every image is float in [0, 1], H x W (grey) or H x W x 3.

    Attributes:
        lr: the small image.
        ilr: LR interpolated to the size of the result; what the network saw.
        sr: the result.
        hr: the ground truth, or None.
        interpolation_score, network_score: scores of ILR and SR against HR, or None.
    """

    lr: np.ndarray
    ilr: np.ndarray
    sr: np.ndarray
    hr: np.ndarray | None = None
    interpolation_score: Score | None = None
    network_score: Score | None = None


def upscale(
    net: Checkpoint,
    image: np.ndarray,
    scale: float | None = None,
    *,
    size: Size | None = None,
    fit: bool = False,
    options: InferenceOptions | None = None,
) -> np.ndarray:
    """Enlarge an image by a real factor, or to a size.

    Args:
        net: from ``vdsrlib.load``.
        image: uint8, uint16 or floating in [0, 1]; H x W, H x W x 3 or H x W x 4, with straight alpha. An
            image of Pillow, and other types whose samples are certain, are converted, see ``as_image``. Any
            other numbers, such as elevations or floats in [0, 255], keep type and range, and NaN its place.
        scale: above 1 and up to 8; each side becomes ceil(side * scale). At 1, vdsr-photo cleans the image.
        size: height and width of the result, instead of a scale; None for a side that follows the other.
        fit: whether the image keeps its proportions, and ``size`` is the largest that it may become.
        options: backend, precision, memory; transparency, and borders that wrap.

    Returns:
        The same type; H x W for a grey image and a luma network, else H x W x 3, or H x W x 4 with alpha.

    Raises:
        InputError: the image's type or shape, the scale or the size is none of these.

    >>> from vdsrlib.models.checkpoint import load
    >>> small = np.zeros((20, 30, 3), np.uint8)
    >>> upscale(load(), small, scale=2.5).shape
    (50, 75, 3)
    """
    check_scale(net, scale)
    pixels, alpha, measured = as_samples(image)
    shape = result_shape(pixels.shape[:2], scale, size, fit)
    result = upscale_picture(net, Picture(pixels, alpha, measured=measured), shape, options)
    return result.pixels if result.alpha is None else np.dstack([result.pixels, result.alpha])


def upscale_file(
    net: Checkpoint,
    source: str | Path,
    target: str | Path,
    scale: float | None = None,
    *,
    size: Size | None = None,
    fit: bool = False,
    options: InferenceOptions | None = None,
    replace: bool = True,
) -> Picture:
    """Enlarge an image file; the result appears under its name when it is complete.

    Samples keep their type, also integers of 32 bits and floats of a TIFF; transparency and colour profile
    are kept.

    Args:
        net: from ``vdsrlib.load``.
        source: an image file.
        target: the name to write, in any of ``formats.FORMATS``.
        scale: above 1 and up to 8; each side becomes ceil(side * scale). At 1, vdsr-photo cleans the image.
        size: height and width of the result, instead of a scale; None for a side that follows the other.
        fit: whether the image keeps its proportions, and ``size`` is the largest that it may become.
        options: backend, precision, memory, and the most pixels; transparency, and borders that wrap; how the
            file is written.
        replace: whether a file that has the target's name may be lost.

    Returns:
        The result; its notes say what reading and enlarging changed, what the target's format cannot hold,
        and whether the network was not trained for this scale.

    Raises:
        InputError: of the source, the target, or the size, before the long work begins.
    """
    check_scale(net, scale)
    options = options or InferenceOptions()
    picture = read_picture(source, options.max_pixels, measurements=True)
    old = picture.pixels.shape[:2]
    shape = result_shape(old, scale, size, fit)
    if picture.alpha is not None and (picture.alpha == np.iinfo(picture.alpha.dtype).max).all():
        picture = dataclasses.replace(picture, alpha=None)  # nothing is transparent
    with writing(target, picture, shape, options.encoding, options.max_pixels, replace=replace) as write:
        result = upscale_picture(net, picture, shape, options)
        left_out = write(result)
    advice = scale_advice(net, scale or math.sqrt(math.prod(shape) / math.prod(old)))
    told = filter(None, [stretch(old, shape), advice])
    return dataclasses.replace(result, notes=(*result.notes, *told, *left_out))


def upscale_picture(
    net: Checkpoint, picture: Picture, shape: Shape, options: InferenceOptions | None = None
) -> Picture:
    """Enlarge a picture: its samples keep type and range, and transparency and colour profile are kept.

    Beside ``picture`` and the result, both of whole samples, it takes the memory of one tile, and where some
    of the picture is transparent or missing, of its pixels once more.

    Args:
        net: from ``vdsrlib.load``.
        picture: what a file held. Pixels without a value, which are not finite or which its metadata call so,
            stay where they are.
        shape: height and width of the result.
        options: backend, precision, memory; transparency, and borders that wrap.

    Returns:
        The result; its notes say, too, what enlarging left out or changed.
    """
    options = options or InferenceOptions()
    if options.wrap:
        return _upscale_wrapped(net, picture, shape, options)
    pixels, opacity, notes = picture.pixels, picture.alpha, picture.notes
    reach = 2 * net.model.depth + 8
    missing = find_missing(pixels, picture.metadata.nodata)
    if missing is not None:
        pixels = fill_missing(pixels, missing, reach)
        notes += ("pixels without a value stay as they are",)
    alpha = None
    if opacity is not None and options.alpha == "separate":
        alpha, opacity = _upscale_alpha(net, opacity, shape, options), None
    elif opacity is not None and not opacity.any():
        alpha, opacity = np.zeros(shape, pixels.dtype), None  # nothing is seen
    elif opacity is not None:
        alpha = np.full(shape, from_float(np.array(1.0), pixels.dtype))
        notes += _changed_colours(pixels[opacity == 0])
        pixels = fill_from_nearest(pixels, opacity == 0, reach)
    known = sample_range(pixels, measured=picture.measured)
    inside, outliers = split_outliers(pixels, known) if picture.measured else (pixels, None)
    if opacity is None and can_enlarge_on_device(net.model, inside):
        sr = enlarge_on_device(net, inside, shape, known, options)
    else:
        sr = _empty(pixels, shape, net.protocol, pixels.dtype)
        for tile in enlarge_tiles(net, inside, opacity, shape, known, options):
            sr[tile.area] = known.from_unit(tile.image, pixels.dtype)
            if alpha is not None and tile.alpha is not None:
                alpha[tile.area] = from_float(tile.alpha, pixels.dtype)
    if outliers is not None:
        _add_interpolated(sr, outliers, pixels, net.protocol)
    if missing is not None:
        put_back(sr, picture.pixels, missing)
    return dataclasses.replace(picture, pixels=sr, alpha=alpha, notes=notes)


def upscale_stages(
    net: Checkpoint, image: np.ndarray, scale: float, options: InferenceOptions | None = None
) -> Upscaled:
    """Enlarge an image, to look at: in floating point, with LR and ILR beside the result.

    Args:
        net: from ``vdsrlib.load``.
        image: H x W or H x W x 3, as ``as_image`` takes it.
        scale: above 1 and up to 8; each side becomes ceil(side * scale).
        options: backend, precision, memory.
    """
    image, protocol = as_image(image), net.protocol
    shape = upscaled_shape(image.shape[:2], scale)
    planes, chroma = protocol.split(image)
    chroma = None if chroma is None else _interpolate(chroma, shape, protocol)
    ilr = protocol.merge(_interpolate(planes, shape, protocol), chroma)
    known, top = sample_range(image), np.iinfo(image.dtype).max if image.dtype.kind == "u" else 1
    sr = _empty(image, shape, protocol, np.float64)
    for tile in enlarge_tiles(net, image, None, shape, known, options or InferenceOptions()):
        sr[tile.area] = known.from_unit(tile.image, np.float64) / top
    return Upscaled(to_float(image), ilr, sr)


def _empty(pixels: np.ndarray, shape: Shape, protocol: Protocol, dtype: DTypeLike) -> np.ndarray:
    """Make an array for the enlargement of ``pixels``, grey or RGB as the protocol makes it."""
    return np.empty(shape if pixels.ndim == 2 and protocol.colour == "luma" else (*shape, 3), dtype)


def _interpolate(image: np.ndarray, shape: Shape, protocol: Protocol) -> np.ndarray:
    """Interpolate a whole float image as the protocol makes ILR."""
    up = DEGRADATIONS[protocol.degradation].up
    rows, cols = (up(old, new).sparse(old) for old, new in zip(image.shape[:2], shape, strict=True))
    return apply_separable(image, rows, cols)


def _add_interpolated(sr: np.ndarray, outliers: np.ndarray, pixels: np.ndarray, protocol: Protocol) -> None:
    """Add to an enlargement, interpolated, what lies beyond the range that the network was given."""
    outliers, (height, width) = outliers if sr.ndim == 2 else as_rgb(outliers), sr.shape[:2]
    whole = sr + _interpolate(outliers, (height, width), protocol)
    whole = whole.clip(float(pixels.min()), float(pixels.max()))
    sr[:] = np.rint(whole) if sr.dtype.kind in "iu" else whole


def _upscale_alpha(
    net: Checkpoint, opacity: np.ndarray, shape: Shape, options: InferenceOptions
) -> np.ndarray:
    """Enlarge alpha as a grey image of its own."""
    quiet = dataclasses.replace(options, progress=None)
    alpha = upscale_picture(net, Picture(opacity), shape, quiet).pixels
    return alpha if alpha.ndim == 2 else alpha[..., 1]  # an RGB network made three


def _changed_colours(hidden: np.ndarray) -> tuple[str, ...]:
    """Note that colours which nobody sees are not kept, unless they are all black or all white."""
    top = np.iinfo(hidden.dtype).max if hidden.dtype.kind == "u" else 1
    if (hidden == 0).all() or (hidden == top).all():
        return ()
    return ("colours under alpha 0 are changed; --alpha separate keeps them",)


def _upscale_wrapped(net: Checkpoint, picture: Picture, shape: Shape, options: InferenceOptions) -> Picture:
    """Enlarge a picture whose opposite borders meet.

    The picture is continued on all sides by as many of its pixels as the network looks far, and the result is
    cut to its own. The margins are whole pixels before and after, so that nothing is shifted.
    """
    old = picture.pixels.shape[:2]
    margins, wide, inner = [], [], []
    for side, new in zip(old, shape, strict=True):
        step = side // math.gcd(side, new)
        margin = step * math.ceil((net.model.depth * side / new + 4) / step)
        margins.append((margin, margin))
        beside = margin * new // side
        wide.append(new + 2 * beside)
        inner.append(slice(beside, beside + new))

    def wrapped(samples: np.ndarray) -> np.ndarray:
        return np.pad(samples, [*margins, (0, 0)][: samples.ndim], mode="wrap")

    alpha = None if picture.alpha is None else wrapped(picture.alpha)
    around = dataclasses.replace(picture, pixels=wrapped(picture.pixels), alpha=alpha)
    result = upscale_picture(net, around, (wide[0], wide[1]), dataclasses.replace(options, wrap=False))
    alpha = None if result.alpha is None else result.alpha[tuple(inner)]
    return dataclasses.replace(result, pixels=result.pixels[tuple(inner)], alpha=alpha)
