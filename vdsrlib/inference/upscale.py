"""Enlarging an image: with its ground truth at hand (to score) or directly (to use).

A luma network enlarges luma; chroma and transparency are interpolated by the protocol's own rule, as in
the paper. An RGB network enlarges all three channels. Samples are taken as they are, gamma-encoded, as the
networks were trained; linear light is not attempted.
"""

import dataclasses
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.ndimage import distance_transform_edt

from vdsrlib.datasets.catalog import list_images
from vdsrlib.errors import InputError
from vdsrlib.imaging.colour import quantise, to_float
from vdsrlib.imaging.degradation import DEGRADATIONS
from vdsrlib.imaging.formats import FORMATS, MAX_PIXELS, READABLE, check_pixels, check_target
from vdsrlib.imaging.image_file import Picture, encode, read_picture
from vdsrlib.imaging.resize import Taps, apply_separable
from vdsrlib.inference.backends import Network, prepare
from vdsrlib.inference.predict import check_channels, predict
from vdsrlib.inference.tiling import MEMORY, Area, tile_pixels, tiles
from vdsrlib.models.vdsr import VDSR
from vdsrlib.protocol import Protocol, Score
from vdsrlib.utils.atomic import atomic
from vdsrlib.utils.parsing import LARGEST_SCALE

Shape = tuple[int, int]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Upscaled:
    """An enlargement; every picture is float in [0, 1], H x W (grey) or H x W x 3.

    Attributes:
        lr: the small image.
        ilr: LR interpolated to the size of the result; what the network saw.
        sr: the result.
        hr: the ground truth, or None.
        interpolation, model: scores of ILR and SR against HR, or None.
    """

    lr: np.ndarray
    ilr: np.ndarray
    sr: np.ndarray
    hr: np.ndarray | None = None
    interpolation: Score | None = None
    model: Score | None = None


@dataclass(frozen=True)
class InferenceOptions:
    """How to compute an enlargement, which changes its speed and memory and not its result.

    Attributes:
        engine: as in ``engine.prepare``.
        memory: bytes for the network's work on a tile; see ``tiling``.
        max_pixels: images with more, read or made, are refused.
        progress: is given the tiles done and their number, after each.
    """

    engine: str | Network = "auto"
    memory: int = MEMORY
    max_pixels: int = MAX_PIXELS
    progress: Progress | None = None


def upscaled_shape(shape: Shape, scale: float) -> Shape:
    """Height and width times ``scale``, rounded up."""
    height, width = (math.ceil(side * scale - 1e-9) for side in shape)
    return height, width


def check_upscaling(shape: Shape, result: Shape) -> None:
    """Raise InputError where ``result`` is not an enlargement of ``shape``, up to 8 times a side."""
    inside = all(old <= new <= LARGEST_SCALE * old for old, new in zip(shape, result, strict=True))
    if not inside or shape == result:
        raise InputError(
            f"{shape[1]}x{shape[0]} pixels cannot be enlarged to {result[1]}x{result[0]}: "
            f"each side may grow by up to {LARGEST_SCALE} times, and must not shrink."
        )


def pair_files(source: Path, target: Path) -> list[tuple[Path, Path]]:
    """Each image of a folder, and its name in another folder; what is only read (GIF) becomes PNG.

    Raises:
        InputError: there is no image in ``source``, two of them would get one name, or ``target`` is a file's
            name or the same folder.
    """
    # os.path answers for any name, however long, and for a link that leads to itself
    if target.suffix.lower() in FORMATS or os.path.isfile(target):  # noqa: PTH113
        raise InputError(f"{source} is a folder; {target} must be a folder then, for its images.")
    if os.path.exists(target) and target.samefile(source):  # noqa: PTH110
        raise InputError(f"{target} is the folder of the images themselves; write to another one.")
    sources: dict[Path, Path] = {}
    for path in list_images(source, READABLE):
        new = target / (path.name if path.suffix.lower() in FORMATS else f"{path.name}.png")
        if new in sources:
            raise InputError(f"{sources[new]} and {path} would both become {new}; rename one of them.")
        sources[new] = path
    return [(path, new) for new, path in sources.items()]


def upscale_stages(
    model: VDSR, image: np.ndarray, scale: float, protocol: Protocol, work: InferenceOptions | None = None
) -> Upscaled:
    """Enlarge an image by a real factor, to look at; each side becomes ceil(side * scale).

    Args:
        model: in evaluation mode, on any device.
        image: uint8, H x W or H x W x 3.
        scale: a real number above 1.
        protocol: the one the weights were trained under; gives the interpolation and the colour.
        work: engine and memory.
    """
    shape = upscaled_shape(image.shape[:2], scale)
    colour = () if image.ndim == 2 and protocol.colour == "luma" else (3,)
    ilr, sr = (np.empty((*shape, *colour)) for _ in range(2))
    for area, planes, chroma in _in_tiles(model, image, shape, protocol, work or InferenceOptions()):
        ilr[area], sr[area] = (protocol.merge(plane, chroma) for plane in planes)
    return Upscaled(to_float(image), ilr, sr)


def upscale_image(
    model: VDSR, picture: Picture, shape: Shape, protocol: Protocol, work: InferenceOptions | None = None
) -> Picture:
    """Enlarge a picture, to keep: 16 bits stay 16 bits, transparency and colour profile are kept.

    Beside ``picture`` and the result, both of whole samples, it takes the memory of one tile, and where some
    of the picture is transparent, of its pixels once more.

    Args:
        model: in evaluation mode, on any device.
        picture: what a file held.
        shape: height and width of the result; see ``check_enlargement``.
        protocol: the one the weights were trained under.
        work: engine and memory.
    """
    work, opacity = work or InferenceOptions(), picture.alpha
    pixels = picture.pixels if opacity is None else _filled(picture.pixels, opacity, 2 * model.depth + 8)
    colour = () if pixels.ndim == 2 and protocol.colour == "luma" else (3,)
    sr = np.empty((*shape, *colour), pixels.dtype)
    for area, (_, plane), chroma in _in_tiles(model, pixels, shape, protocol, work):
        sr[area] = quantise(protocol.merge(plane, chroma), pixels.dtype)
    alpha = None
    if opacity is not None:
        alpha = np.empty(shape, pixels.dtype)
        taps = _taps(pixels.shape[:2], shape, protocol)
        for tile in tiles(*shape, 0, tile_pixels(model, work.memory)):
            part = _interpolate(lambda seen: to_float(opacity[seen]), tile.seen, taps)
            alpha[tile.result] = quantise(part, pixels.dtype)
    return Picture(sr, alpha, picture.icc, picture.notes)


def upscale_file(
    model: VDSR,
    source: str | Path,
    target: str | Path,
    size: float | Shape,
    protocol: Protocol,
    work: InferenceOptions | None = None,
    *,
    replace: bool = True,
) -> Picture:
    """Read, enlarge, write; the result appears under its name when it is complete.

    Args:
        model: in evaluation mode, on any device.
        source: an image file.
        target: the name to write, in any of ``picture.FORMATS``.
        size: the scale, or height and width of the result.
        protocol: the one the weights were trained under.
        work: engine and memory.
        replace: whether a file that has the target's name may be lost.

    Returns:
        The result; its notes say what reading changed, and what the target's format cannot hold.

    Raises:
        InputError: of the source, the target, or the size, before the long work begins.
    """
    work = work or InferenceOptions()
    check_target(target)
    picture = read_picture(source, work.max_pixels)
    old = picture.pixels.shape[:2]
    shape = size if isinstance(size, tuple) else upscaled_shape(old, size)
    check_upscaling(old, shape)
    check_pixels(target, *shape, work.max_pixels)
    if picture.alpha is not None and (picture.alpha == np.iinfo(picture.alpha.dtype).max).all():
        picture = dataclasses.replace(picture, alpha=None)  # nothing is transparent
    check_target(target, *shape, alpha=picture.alpha is not None)
    check_channels(model, protocol)
    with atomic(target, replace=replace) as temporary:  # which asks now whether that can be written
        result = upscale_image(model, picture, shape, protocol, work)
        left_out = encode(temporary, result)
    return dataclasses.replace(result, notes=(*result.notes, *left_out))


def _in_tiles(
    model: VDSR, pixels: np.ndarray, shape: Shape, protocol: Protocol, work: InferenceOptions
) -> Iterator[tuple[Area, tuple[np.ndarray, np.ndarray], np.ndarray | None]]:
    """Enlarge tile by tile: its area in the result, the network's planes before and after, and chroma."""
    check_channels(model, protocol)
    taps = _taps(pixels.shape[:2], shape, protocol)
    plan = list(tiles(*shape, model.depth, tile_pixels(model, work.memory)))
    network = prepare(model, work.engine)  # once, as it hashes all weights
    for done, tile in enumerate(plan, start=1):
        ilr = _interpolate(lambda seen: protocol.split(pixels[seen])[0], tile.seen, taps)
        sr = predict(model, ilr, protocol, network, work.memory)
        chroma = None
        if pixels.ndim == 3 and protocol.colour == "luma":
            chroma = _interpolate(lambda seen: protocol.split(pixels[seen])[1], tile.result, taps)
        yield tile.result, (ilr[tile.inner], sr[tile.inner]), chroma
        if work.progress:
            work.progress(done, len(plan))


def _filled(pixels: np.ndarray, alpha: np.ndarray, reach: int) -> np.ndarray:
    """What is wholly transparent gets the nearest colour that is not: else its own, often black, is mixed in.

    A copy, right within ``reach`` of visible pixels, and computed in tiles, as 40 bytes a pixel are needed.
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


def _taps(shape: Shape, result: Shape, protocol: Protocol) -> tuple[Taps, Taps]:
    up = DEGRADATIONS[protocol.degradation].up
    return up(shape[0], result[0]), up(shape[1], result[1])


def _interpolate(samples: Callable[[Area], np.ndarray], area: Area, taps: tuple[Taps, Taps]) -> np.ndarray:
    """An area of an interpolated image, from no more of the small one than it is made of."""
    (rows, down), (cols, across) = (axis.window(part) for axis, part in zip(taps, area, strict=True))
    return apply_separable(samples((rows, cols)), down, across)
