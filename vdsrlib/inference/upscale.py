"""Enlarging: an array, a picture with transparency and a colour profile, or a file.

A luma network enlarges luma; chroma is interpolated by the protocol's own rule, as in the paper. An RGB
network enlarges all three channels. What is partly transparent is enlarged as it is seen on black and on
white. Samples are taken as they are, gamma-encoded, as the networks were trained; linear light is not tried.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike
from scipy.ndimage import distance_transform_edt
from scipy.sparse import csr_array

from vdsrlib.imaging.arrays import as_image, split_alpha
from vdsrlib.imaging.colour import from_float, to_float
from vdsrlib.imaging.degradation import DEGRADATIONS
from vdsrlib.imaging.formats import check_pixels, check_target
from vdsrlib.imaging.image_file import Picture, encode, read_picture
from vdsrlib.imaging.resize import apply_separable
from vdsrlib.inference.backends import prepare
from vdsrlib.inference.batches import check_channels, from_batch, to_batch
from vdsrlib.inference.options import InferenceOptions
from vdsrlib.inference.ranges import map_to_known, plane_of
from vdsrlib.inference.size import Shape, Size, result_shape, stretch, upscaled_shape
from vdsrlib.inference.tiling import Area, tile_pixels, tiles
from vdsrlib.models.checkpoint import Checkpoint, scale_advice
from vdsrlib.protocol import Protocol, Score
from vdsrlib.utils.atomic import atomic

Pair = tuple[np.ndarray, np.ndarray]
FAINT = 0.5 / 65535  # of alpha: what is fainter is not seen


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
            image of Pillow, and other types whose samples are certain, are converted, see ``as_image``.
        scale: above 1 and up to 8; each side becomes ceil(side * scale).
        size: height and width of the result, instead of a scale; None for a side that follows the other.
        fit: whether the image keeps its proportions, and ``size`` is the largest that it may become.
        options: backend, precision, memory.

    Returns:
        The same type; H x W for a grey image and a luma network, else H x W x 3, or H x W x 4 with alpha.

    Raises:
        InputError: the image's type or shape, the scale or the size is none of these.

    >>> from vdsrlib.models.checkpoint import load
    >>> small = np.zeros((20, 30, 3), np.uint8)
    >>> upscale(load(), small, scale=2.5).shape
    (50, 75, 3)
    """
    pixels, alpha = split_alpha(image)
    shape = result_shape(pixels.shape[:2], scale, size, fit)
    result = upscale_picture(net, Picture(pixels, alpha), shape, options)
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

    16 bits stay 16 bits; transparency and colour profile are kept.

    Args:
        net: from ``vdsrlib.load``.
        source: an image file.
        target: the name to write, in any of ``formats.FORMATS``.
        scale: above 1 and up to 8; each side becomes ceil(side * scale).
        size: height and width of the result, instead of a scale; None for a side that follows the other.
        fit: whether the image keeps its proportions, and ``size`` is the largest that it may become.
        options: backend, precision, memory, and the most pixels.
        replace: whether a file that has the target's name may be lost.

    Returns:
        The result; its notes say what reading changed, what the target's format cannot hold, and whether the
        network was not trained for this scale.

    Raises:
        InputError: of the source, the target, or the size, before the long work begins.
    """
    options = options or InferenceOptions()
    check_target(target)
    options.encoding.check(target)
    picture = read_picture(source, options.max_pixels)
    old = picture.pixels.shape[:2]
    shape = result_shape(old, scale, size, fit)
    check_pixels(target, *shape, options.max_pixels)
    if picture.alpha is not None and (picture.alpha == np.iinfo(picture.alpha.dtype).max).all():
        picture = dataclasses.replace(picture, alpha=None)  # nothing is transparent
    check_target(target, *shape, alpha=picture.alpha is not None)
    check_channels(net.model, net.protocol)
    with atomic(target, replace=replace) as temporary:  # which asks now whether that can be written
        result = upscale_picture(net, picture, shape, options)
        left_out = encode(temporary, result, options.encoding)
    advice = scale_advice(net, scale or math.sqrt(math.prod(shape) / math.prod(old)))
    told = filter(None, [stretch(old, shape), advice])
    return dataclasses.replace(result, notes=(*result.notes, *told, *left_out))


def upscale_picture(
    net: Checkpoint, picture: Picture, shape: Shape, options: InferenceOptions | None = None
) -> Picture:
    """Enlarge a picture: 16 bits stay 16 bits, transparency and colour profile are kept.

    Beside ``picture`` and the result, both of whole samples, it takes the memory of one tile, and where some
    of the picture is transparent, of its pixels once more.

    Args:
        net: from ``vdsrlib.load``.
        picture: what a file held.
        shape: height and width of the result.
        options: backend, precision, memory.
    """
    pixels, opacity = picture.pixels, picture.alpha
    if opacity is not None:
        pixels = _fill_transparent(pixels, opacity, 2 * net.model.depth + 8)
    sr = _empty(pixels, shape, net.protocol, pixels.dtype)
    alpha = None if opacity is None else np.empty(shape, pixels.dtype)
    for tile in _upscaled_tiles(net, pixels, opacity, shape, options or InferenceOptions()):
        sr[tile.area] = from_float(net.protocol.merge(tile.sr, tile.chroma), pixels.dtype)
        if alpha is not None and tile.alpha is not None:
            alpha[tile.area] = from_float(tile.alpha, pixels.dtype)
    return dataclasses.replace(picture, pixels=sr, alpha=alpha)


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
    image = as_image(image)
    shape = upscaled_shape(image.shape[:2], scale)
    ilr, sr = (_empty(image, shape, net.protocol, np.float64) for _ in range(2))
    for tile in _upscaled_tiles(net, image, None, shape, options or InferenceOptions()):
        ilr[tile.area] = net.protocol.merge(tile.ilr, tile.chroma)
        sr[tile.area] = net.protocol.merge(tile.sr, tile.chroma)
    return Upscaled(to_float(image), ilr, sr)


def _empty(pixels: np.ndarray, shape: Shape, protocol: Protocol, dtype: DTypeLike) -> np.ndarray:
    """Make an array for the enlargement of ``pixels``, grey or RGB as the protocol makes it."""
    one = protocol.merge(*protocol.split(pixels[:1, :1]))
    return np.empty((*shape, *one.shape[2:]), dtype)


class _UpscaledTile(NamedTuple):
    """A part of the result: its area, the network's planes before and after, and what is interpolated."""

    area: Area
    ilr: np.ndarray
    sr: np.ndarray
    chroma: np.ndarray | None
    alpha: np.ndarray | None


def _upscaled_tiles(
    net: Checkpoint, pixels: np.ndarray, opacity: np.ndarray | None, shape: Shape, options: InferenceOptions
) -> Iterator[_UpscaledTile]:
    """Enlarge tile by tile, each from no more of the small image than it is made of."""
    model, protocol = net.model, net.protocol
    check_channels(model, protocol)
    up = DEGRADATIONS[protocol.degradation].up
    taps = [up(old, new) for old, new in zip(pixels.shape[:2], shape, strict=True)]
    known = map_to_known(pixels, protocol)
    top = np.iinfo(pixels.dtype).max if np.issubdtype(pixels.dtype, np.integer) else 1
    ends = [plane_of(value, pixels.shape[2:], pixels.dtype, protocol) for value in (0, top)]
    plan = list(tiles(*shape, model.depth, tile_pixels(model, options.memory)))
    network = prepare(model, options.backend, options.precision, protocol)  # once, as it hashes all weights
    for done, tile in enumerate(plan, start=1):
        (rows, down), (cols, across) = (axis.window(part) for axis, part in zip(taps, tile.seen, strict=True))
        inner = down[tile.inner[0]], across[tile.inner[1]]
        planes, chroma = protocol.split(pixels[rows, cols])

        def enlarge(planes: np.ndarray, down: csr_array = down, across: csr_array = across) -> Pair:
            ilr = apply_separable(planes, down, across)
            batch = to_batch(model, known.apply(ilr), protocol)
            return ilr, known.invert(from_batch(network(batch), protocol).reshape(ilr.shape))

        if opacity is None:
            ilr, sr = enlarge(planes)
            chroma, alpha = None if chroma is None else apply_separable(chroma, *inner), None
        else:
            opaque = to_float(opacity[rows, cols])
            ilr, sr, alpha = _enlarge_transparent(enlarge, planes, opaque, ends)
            alpha = alpha[tile.inner]
            chroma = None if chroma is None else _weighted(chroma, opaque, *inner)
        yield _UpscaledTile(tile.result, ilr[tile.inner], sr[tile.inner], chroma, alpha)
        if options.progress:
            options.progress(done, len(plan))


def _enlarge_transparent(
    enlarge: Callable[[np.ndarray], Pair], planes: np.ndarray, alpha: np.ndarray, ends: Sequence[float]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Enlarge what is seen on black and on white, and find the colours and the alpha that give both.

    Args:
        enlarge: from planes to ILR and SR.
        planes: of the small image, H x W or H x W x 3.
        alpha: of the small image, H x W in [0, 1].
        ends: the planes' values of black and white.

    Returns:
        ILR, SR and SR's alpha.
    """
    plain = enlarge(planes)
    if (alpha == 1).all() or (alpha == 0).all():
        return *plain, np.full(plain[0].shape[:2], alpha.flat[0])
    black, white = ends
    weight = alpha.reshape(*alpha.shape, *planes.shape[2:] and (1,))
    on_black, on_white = (enlarge(planes * weight + end * (1 - weight)) for end in ends)
    colours = []
    for straight, dark, light in zip(plain, on_black, on_white, strict=True):
        dark, light = dark.clip(black, white), light.clip(black, white)  # as they are seen
        seen = 1 - (light - dark) / (white - black)
        seen = seen.mean(axis=-1, keepdims=True) if seen.ndim == 3 else seen
        visible = seen > FAINT
        colours.append(np.where(visible, black + (dark - black) / np.where(visible, seen, 1), straight))
    ilr, sr = colours
    return ilr, sr, seen.reshape(seen.shape[:2])


def _weighted(chroma: np.ndarray, alpha: np.ndarray, rows: csr_array, cols: csr_array) -> np.ndarray:
    """Interpolate chroma as it is seen: weighted with its alpha."""
    seen = apply_separable(alpha, rows, cols)[..., None]
    visible = seen > FAINT
    weighted = apply_separable(chroma * alpha[..., None], rows, cols) / np.where(visible, seen, 1)
    return np.where(visible, weighted.clip(0, 1), apply_separable(chroma, rows, cols))


def _fill_transparent(pixels: np.ndarray, alpha: np.ndarray, reach: int) -> np.ndarray:
    """Give what is wholly transparent the nearest colour that is not, lest its own, often black, is mixed in.

    The result is a copy, right within ``reach`` of visible pixels. It is computed in tiles, since the work on
    a pixel takes 40 bytes.
    """
    if alpha.all() or not alpha.any():
        return pixels
    filled, (height, width) = pixels.copy(), alpha.shape
    for tile in tiles(height, width, reach, 2**20):
        hidden = alpha[tile.seen] == 0
        if hidden.any() and not hidden.all():
            nearest = distance_transform_edt(hidden, return_distances=False, return_indices=True)
            filled[tile.result] = pixels[tile.seen][tuple(nearest)][tile.inner]
    return filled
