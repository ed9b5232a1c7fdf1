"""Pixels with a caption: what chapters and widgets show of images and feature maps."""

import base64
import io
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import imagecodecs
import numpy as np
from matplotlib.font_manager import findfont
from PIL import Image, ImageDraw, ImageFont

from vdsrlib.imaging.image_file import read_image
from vdsrlib.records import stored_path

QUALITY = 88  # of JPEG; above it a photograph grows, and looks the same


@dataclass(frozen=True, eq=False)
class CaptionedImage:
    """Pixels, and a sentence that says what they show.

    A notebook shows the caption above the pixels, and has it as the alternative text.

    Attributes:
        pixels: uint8, H x W (grey) or H x W x 3.
        caption: the sentence.
        content: how a notebook keeps the pixels: "pixels" exactly, as PNG; a "photograph" as JPEG; "maps" as
            PNG in 24 greys, since maps are like noise, which is large as PNG.
        titled: whether the pixels have titles of their own; the caption is then the alternative text only.
    """

    pixels: np.ndarray
    caption: str
    content: Literal["pixels", "photograph", "maps"] = "pixels"
    titled: bool = False

    def png(self) -> bytes:
        """Encode the pixels alone as PNG, fast rather than small: with one filter; Pillow tries five."""
        pixels = np.ascontiguousarray(self.pixels)
        return bytes(imagecodecs.png_encode(pixels, level=1, filter=imagecodecs.PNG.FILTER.SUB))

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
        page = Image.fromarray(self.pixels) if self.titled else self._page()
        options: dict[str, Any] = {"optimize": True}
        kind = "jpeg" if self.content == "photograph" else "png"
        if self.content == "photograph":
            options |= {"quality": QUALITY, "subsampling": 0}
        elif self.content == "maps" and page.mode == "L":
            page = page.point(lambda value: round(value / 255 * 23) * 255 // 23)
        elif page.mode == "RGB" and page.getcolors(512):  # greys and a coloured frame: 256 of them are enough
            page = page.quantize(256, Image.Quantize.MAXCOVERAGE)
        buffer = io.BytesIO()
        page.save(buffer, kind, **options)
        data = base64.b64encode(buffer.getvalue()).decode()
        return {f"image/{kind}": data, "text/plain": self.caption}, {f"image/{kind}": {"alt": self.caption}}

    def _page(self) -> Image.Image:
        """Draw the caption above the pixels."""
        picture = Image.fromarray(self.pixels)
        text = "\n".join(textwrap.wrap(self.caption, max(24, picture.width // 7)))
        band = 20 * (text.count("\n") + 1) + 4
        page = Image.new(picture.mode, (picture.width, picture.height + band), "white")
        ImageDraw.Draw(page).multiline_text((2, 2), text, "black", caption_font(), spacing=4)
        page.paste(picture, (0, band))
        return page


def stored_figure(
    name: str, caption: str, content: Literal["pixels", "photograph"] = "photograph"
) -> CaptionedImage:
    """Read a stored figure, and give it a caption; see ``records``."""
    return CaptionedImage(read_image(stored_path(f"{name}.png")), caption, content)


def caption_font(size: int = 13) -> ImageFont.FreeTypeFont:
    """Load the font of captions and titles, which has × and −."""
    return ImageFont.truetype(findfont("DejaVu Sans"), size)


def fit(pixels: np.ndarray, side: int) -> Image.Image:
    """Scale to ``side`` at the longer side: enlarged pixels stay squares, shrunk ones are averaged."""
    height, width = pixels.shape[:2]
    factor = side / max(height, width)
    size = max(1, round(width * factor)), max(1, round(height * factor))
    kernel = Image.Resampling.NEAREST if factor > 1 else Image.Resampling.BOX
    return Image.fromarray(pixels).resize(size, kernel)


def beside(pictures: Sequence[Image.Image]) -> np.ndarray:
    """Lay pictures out in a row, 8 pixels of white between them."""
    gap = 8
    size = sum(each.width + gap for each in pictures) - gap, max(each.height for each in pictures)
    page = Image.new("RGB", size, "white")
    left = 0
    for each in pictures:
        page.paste(each, (left, 0))
        left += each.width + gap
    return np.asarray(page)
