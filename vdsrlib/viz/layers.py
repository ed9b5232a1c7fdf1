"""Pictures of feature maps, drawn in milliseconds."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from vdsrlib.errors import InputError
from vdsrlib.imaging.colour import to_uint8
from vdsrlib.inference.features import Layer, Survey
from vdsrlib.inference.mosaic import grey, grid, mosaic
from vdsrlib.viz.captioned import CaptionedImage, beside, fit
from vdsrlib.viz.palette import COLOURS
from vdsrlib.viz.stand_ins import StandIn, layer_slider


def _range(layer: Layer) -> str:
    return f"−{layer.limit:.3g} black, 0 grey, {layer.limit:.3g} white"


def _count(layer: Layer) -> str:
    return f"{len(layer.maps)} map{'s' * (len(layer.maps) > 1)}"


def layer_view(layer: Layer, index: int, ilr: np.ndarray, side: int = 384) -> CaptionedImage:
    """Show the input, a layer's mosaic with one map framed, and that map magnified.

    Args:
        layer: whose maps.
        index: of the map, from 0.
        ilr: the network's input, about [0, 1].
        side: pixels of each panel's longer side.
    """
    if not 0 <= index < len(layer.maps):
        raise InputError(f"{layer.name} has no map {index + 1}; it has {len(layer.maps)}, counted from 1.")
    columns, _ = grid(len(layer.maps))
    # Twice the pixels that the overview has are enough to average.
    thin = max(1, columns * max(layer.maps.shape[1:]) // (2 * side))
    small = layer._replace(maps=layer.maps[:, ::thin, ::thin])
    sheet = mosaic(small)
    overview = fit(sheet, side).convert("RGB")
    row, column = divmod(index, columns)
    height, width = small.maps.shape[1:]
    factor = overview.width / sheet.shape[1]
    left, top = column * (width + 1) * factor, row * (height + 1) * factor
    frame = left, top, left + width * factor, top + height * factor
    ImageDraw.Draw(overview).rectangle(frame, outline=COLOURS[1], width=3)
    chosen = grey(layer._replace(maps=layer.maps[index]))
    caption = (
        f"Left: ILR, the network's input. Middle: {layer.name}, {_count(layer)}. "
        f"Right: map {index + 1} of it, {_range(layer)}."
    )
    return CaptionedImage(beside([fit(to_uint8(ilr), side), overview, fit(chosen, side)]), caption, "maps")


def layer_walk(survey: Survey, ilr: np.ndarray, numbers: Sequence[int], alt: str, side: int = 288) -> StandIn:
    """Show ILR, what some layers pass on, the residual and SR, one after the other, with a slider.

    Args:
        survey: of the image.
        ilr: the image, about [0, 1]: the network's input.
        numbers: of the layers; those that the network has are shown, each by the four maps that vary most.
        alt: what is shown, in a sentence.
        side: pixels of each picture's longer side.
    """
    hidden = [survey.layers[name] for i in numbers if (name := f"relu.{i}") in survey.layers]
    *_, residual = survey.layers.values()
    pictures = {
        "ILR, the input": to_uint8(ilr),
        **{f"{layer.name}: four of {_count(layer)}": mosaic(_liveliest(layer, 4)) for layer in hidden},
        f"{residual.name}: the residual": mosaic(residual),
        "SR = ILR + residual": to_uint8(survey.sr),
    }
    return layer_slider([_smooth(each, side) for each in pictures.values()], [*pictures], alt)


def _liveliest(layer: Layer, count: int) -> Layer:
    """Keep the maps that vary most, in their order."""
    spread = layer.maps.astype(np.float32).std((1, 2))
    return layer._replace(maps=layer.maps[np.sort(np.argsort(-spread)[:count])])


def _smooth(pixels: np.ndarray, side: int) -> np.ndarray:
    """Scale to ``side`` at the longer side without squares, which JPEG would keep at a high price."""
    factor = side / max(pixels.shape[:2])
    size = max(1, round(pixels.shape[1] * factor)), max(1, round(pixels.shape[0] * factor))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))
