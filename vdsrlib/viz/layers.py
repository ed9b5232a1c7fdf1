"""Pictures of feature maps, drawn in milliseconds."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from vdsrlib.errors import InputError
from vdsrlib.imaging.colour import to_uint8
from vdsrlib.inference.features import Layer
from vdsrlib.inference.mosaic import grey, grid, mosaic
from vdsrlib.viz.captioned import CaptionedImage, beside, caption_font, fit
from vdsrlib.viz.palette import COLOURS


def layer_mosaic(layer: Layer, side: int = 560) -> CaptionedImage:
    """Show one layer's maps on a grid, ``side`` pixels at the longer side; the caption states the range."""
    caption = f"{layer.name}: {_count(layer)}, {_range(layer)}"
    return CaptionedImage(np.asarray(fit(mosaic(layer), side)), caption, "maps")


def _range(layer: Layer) -> str:
    return f"−{layer.limit:.3g} black, 0 grey, {layer.limit:.3g} white"


def _count(layer: Layer) -> str:
    return f"{len(layer.maps)} map{'s' * (len(layer.maps) > 1)}"


def contact_sheet(layers: Sequence[Layer], columns: int = 5, side: int = 160) -> CaptionedImage:
    """Show all layers as small mosaics on one page, each in its own symmetric range, written above it.

    Args:
        layers: in the order of the page.
        columns: mosaics a row.
        side: pixels of a mosaic's longer side.
    """
    tiles = [fit(mosaic(layer), side) for layer in layers]
    width, height = max(tile.width for tile in tiles) + 8, max(tile.height for tile in tiles) + 22
    columns = min(columns, len(tiles))
    page = Image.new("L", (columns * width - 8, -(-len(tiles) // columns) * height), 255)
    draw = ImageDraw.Draw(page)
    for i, (layer, tile) in enumerate(zip(layers, tiles, strict=True)):
        left, top = i % columns * width, i // columns * height
        draw.text((left, top), f"{layer.name}  ±{layer.limit:.2g}", 0, caption_font())
        page.paste(tile, (left, top + 19))
    caption = f"{layers[0].name} to {layers[-1].name}: black is −the number, grey 0, white +the number."
    return CaptionedImage(np.asarray(page), caption, "maps")


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
