"""Mosaics of feature maps: pixels with a caption, drawn in milliseconds."""

import base64
import io
import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import imagecodecs
import numpy as np
from matplotlib.font_manager import findfont
from PIL import Image, ImageDraw, ImageFont

from vdsrlib.errors import InputError
from vdsrlib.imaging.colour import to_uint8
from vdsrlib.imaging.image_file import read_image
from vdsrlib.inference.features import Layer
from vdsrlib.records import stored_path
from vdsrlib.viz.charts import COLOURS


def grey(layer: Layer) -> np.ndarray:
    """A layer's maps as they are shown: uint8, -limit is 0, zero is 128, limit is 255, beyond it clipped."""
    maps = layer.maps.astype(np.float32)
    maps *= 127.5 / layer.limit
    maps += 128
    return maps.clip(0, 255, out=maps).astype(np.uint8)


def mosaic(layer: Layer) -> np.ndarray:
    """Lay a layer's maps out on a square grid (64 maps: 8 x 8), a pixel of white between them.

    Returns:
        uint8, grey. Each layer is shown in its own range: a fixed one for all layers would show most of them
        as plain grey.
    """
    count, height, width = layer.maps.shape
    columns, rows = grid(count)
    canvas = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1), 255, np.uint8)
    for i, tile in enumerate(grey(layer)):
        top, left = (i // columns) * (height + 1), (i % columns) * (width + 1)
        canvas[top : top + height, left : left + width] = tile
    return canvas


def grid(count: int) -> tuple[int, int]:
    """Columns and rows of a mosaic of so many maps."""
    columns = math.ceil(math.sqrt(count))
    return columns, math.ceil(count / columns)


@dataclass(frozen=True, eq=False)
class CaptionedImage:
    """Pixels, uint8 H x W (grey) or H x W x 3, and a sentence that says what they show.

    A notebook shows it with the caption above, which is the alternative text as well; grey ones in 24 greys,
    since noise-like maps are large as PNG, and photographs as they are.
    """

    pixels: np.ndarray
    caption: str

    def png(self) -> bytes:
        """The pixels alone as PNG, packed fast rather than small: one filter, where Pillow tries five."""
        pixels = np.ascontiguousarray(self.pixels)
        return bytes(imagecodecs.png_encode(pixels, level=1, filter=imagecodecs.PNG.FILTER.SUB))

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
        picture = Image.fromarray(self.pixels)
        text = "\n".join(textwrap.wrap(self.caption, max(24, picture.width // 7)))
        band = 20 * (text.count("\n") + 1) + 4
        page = Image.new(picture.mode, (picture.width, picture.height + band), "white")
        ImageDraw.Draw(page).multiline_text((2, 2), text, "black", _font(), spacing=4)
        page.paste(picture, (0, band))
        if page.mode == "L":
            page = page.point(lambda value: round(value / 255 * 23) * 255 // 23)
        elif page.getcolors(512):  # greys and a coloured frame: 256 of them are enough
            page = page.quantize(256, Image.Quantize.MAXCOVERAGE)
        data = {"image/png": base64.b64encode(_png(page, optimize=True)).decode(), "text/plain": self.caption}
        return data, {"image/png": {"alt": self.caption}}


def stored_figure(name: str, caption: str) -> CaptionedImage:
    """Read a stored figure, and give it a caption; see ``records``."""
    return CaptionedImage(read_image(stored_path(f"{name}.png")), caption)


def _font() -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(findfont("DejaVu Sans"), 13)


def _png(picture: Image.Image, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", **options)
    return buffer.getvalue()


def _fit(pixels: np.ndarray, side: int) -> Image.Image:
    """Scale to ``side`` at the longer side: enlarged pixels stay squares, shrunk ones are averaged."""
    height, width = pixels.shape[:2]
    factor = side / max(height, width)
    size = max(1, round(width * factor)), max(1, round(height * factor))
    kernel = Image.Resampling.NEAREST if factor > 1 else Image.Resampling.BOX
    return Image.fromarray(pixels).resize(size, kernel)


def _beside(pictures: Sequence[Image.Image]) -> np.ndarray:
    """Pictures in a row, 8 pixels of white between them."""
    gap = 8
    size = sum(each.width + gap for each in pictures) - gap, max(each.height for each in pictures)
    page = Image.new("RGB", size, "white")
    left = 0
    for each in pictures:
        page.paste(each, (left, 0))
        left += each.width + gap
    return np.asarray(page)


def layer_mosaic(layer: Layer, side: int = 560) -> CaptionedImage:
    """One layer's maps on a grid, ``side`` pixels at the longer side; the caption states the range shown."""
    return CaptionedImage(
        np.asarray(_fit(mosaic(layer), side)), f"{layer.name}: {_count(layer)}, {_range(layer)}"
    )


def _range(layer: Layer) -> str:
    return f"−{layer.limit:.3g} black, 0 grey, {layer.limit:.3g} white"


def _count(layer: Layer) -> str:
    return f"{len(layer.maps)} map{'s' * (len(layer.maps) > 1)}"


def contact_sheet(layers: Sequence[Layer], columns: int = 5, side: int = 160) -> CaptionedImage:
    """All layers as small mosaics on one page, each in its own symmetric range, written above it.

    Args:
        layers: in the order of the page.
        columns: mosaics a row.
        side: pixels of a mosaic's longer side.
    """
    tiles = [_fit(mosaic(layer), side) for layer in layers]
    width, height = max(tile.width for tile in tiles) + 8, max(tile.height for tile in tiles) + 22
    columns = min(columns, len(tiles))
    page = Image.new("L", (columns * width - 8, -(-len(tiles) // columns) * height), 255)
    draw = ImageDraw.Draw(page)
    for i, (layer, tile) in enumerate(zip(layers, tiles, strict=True)):
        left, top = i % columns * width, i // columns * height
        draw.text((left, top), f"{layer.name}  ±{layer.limit:.2g}", 0, _font())
        page.paste(tile, (left, top + 19))
    caption = f"{layers[0].name} to {layers[-1].name}: black is −the number, grey 0, white +the number."
    return CaptionedImage(np.asarray(page), caption)


def layer_view(layer: Layer, index: int, ilr: np.ndarray, side: int = 384) -> CaptionedImage:
    """The input, a layer's mosaic with one map framed, and that map magnified.

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
    overview = _fit(sheet, side).convert("RGB")
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
    return CaptionedImage(_beside([_fit(to_uint8(ilr), side), overview, _fit(chosen, side)]), caption)
