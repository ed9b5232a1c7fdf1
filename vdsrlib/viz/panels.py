"""Rows and sheets of images, and what the widgets of chapter 5 show."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vdsrlib.errors import InputError
from vdsrlib.imaging.colour import as_rgb, to_uint8
from vdsrlib.imaging.crops import Box, crop
from vdsrlib.inference.upscale import Upscaled
from vdsrlib.viz.captioned import CaptionedImage, beside, caption_font, fit
from vdsrlib.viz.palette import COLOURS

WIDTH = 840  # pixels of a row of images
GAP = 8  # pixels of white between images
LINE = 16  # pixels of a line of a title


def image_row(images: Mapping[str, np.ndarray], box: Box | None = None, columns: int = 4) -> CaptionedImage:
    """Lay images out side by side under their titles; with ``box``, its part of each, enlarged, below.

    Every image is scaled to the width of its column: enlarged pixels stay squares, shrunk ones are averaged.

    Args:
        images: title -> float image in [0, 1], or uint8.
        box: (top, left, height, width) in pixels of the largest image; smaller ones (LR) are cut at the
            same relative place.
        columns: images a row.
    """
    columns = min(columns, len(images))
    side = (WIDTH + GAP) // columns - GAP
    pictures = [to_uint8(image) for image in images.values()]
    height = max(len(picture) for picture in pictures)
    cells = []
    for picture in pictures:
        scaled = _to_width(picture, side)
        parts = [scaled]
        if box:
            top, left, rows, cols = (round(length * len(picture) / height) for length in box)
            parts.append(_to_width(picture[top : top + rows, left : left + cols], side))
            factor = side / picture.shape[1]
            corners = [round(factor * at) for at in (left, top, left + cols, top + rows)]
            scaled = parts[0] = scaled.convert("RGB")
            ImageDraw.Draw(scaled).rectangle(corners, outline=COLOURS[1], width=2)
        cells.append(_stack(parts))
    enlarged = all(2 * picture.shape[1] <= side for picture in pictures)
    return _sheet(list(images), cells, columns, side, "pixels" if enlarged else "photograph")


def against_hr(cases: Mapping[str, tuple[Upscaled, Box]]) -> CaptionedImage:
    """Show a part of ILR, SR and HR side by side, enlarged, with the PSNR of the whole images.

    Args:
        cases: name -> an enlargement from ``degrade_and_upscale``, and the part of it to show; a row each.

    Raises:
        InputError: there is no ground truth.
    """
    images = {}
    for name, (upscaled, box) in cases.items():
        if upscaled.hr is None or upscaled.interpolation_score is None or upscaled.network_score is None:
            raise InputError(f"{name} has no ground truth; make it with degrade_and_upscale")
        images[f"{name}: interpolation, {upscaled.interpolation_score.psnr:.2f} dB"] = crop(upscaled.ilr, box)
        images[f"{name}: network, {upscaled.network_score.psnr:.2f} dB"] = crop(upscaled.sr, box)
        images[f"{name}: HR"] = crop(upscaled.hr, box)
    return image_row(images, columns=3)


def gallery(images: Mapping[str, np.ndarray], columns: int = 6) -> CaptionedImage:
    """Show every image whole, at one width, under its name and its size in pixels."""
    side = (WIDTH + GAP) // columns - GAP
    titles = [f"{name}\n{image.shape[1]}x{image.shape[0]}" for name, image in images.items()]
    cells = [fit(to_uint8(image), side) for image in images.values()]
    return _sheet(titles, cells, columns, side, "photograph")


def _to_width(pixels: np.ndarray, width: int) -> Image.Image:
    return fit(pixels, max(1, round(width * max(1, pixels.shape[0] / pixels.shape[1]))))


def _stack(parts: Sequence[Image.Image]) -> Image.Image:
    """Lay images out one below the other."""
    size = parts[0].width, sum(part.height for part in parts) + GAP * (len(parts) - 1)
    page, top = Image.new(parts[0].mode, size, "white"), 0
    for part in parts:
        page.paste(part, (0, top))
        top += part.height + GAP
    return page


def _sheet(
    titles: Sequence[str],
    cells: Sequence[Image.Image],
    columns: int,
    side: int,
    content: Literal["pixels", "photograph"],
) -> CaptionedImage:
    """Lay cells out in rows, each cell centred under its title, which is wrapped to the column's width."""
    font = caption_font(12)
    texts = [_wrap(title, side, font) for title in titles]
    rows = [range(first, min(first + columns, len(cells))) for first in range(0, len(cells), columns)]
    bands = [LINE * max(texts[i].count("\n") + 1 for i in row) + 4 for row in rows]
    heights = [band + max(cells[i].height for i in row) for band, row in zip(bands, rows, strict=True)]
    mode = "L" if all(cell.mode == "L" for cell in cells) else "RGB"
    size = columns * (side + GAP) - GAP, sum(heights) + GAP * (len(rows) - 1)
    page, top = Image.new(mode, size, "white"), 0
    pen = ImageDraw.Draw(page)
    for row, band, height in zip(rows, bands, heights, strict=True):
        for column, i in enumerate(row):
            middle = column * (side + GAP) + side // 2
            pen.multiline_text((middle, top), texts[i], "black", font, "ma", spacing=3, align="center")
            page.paste(cells[i], (middle - cells[i].width // 2, top + band))
        top += height + GAP
    caption = f"Images: {'; '.join(' '.join(title.split()) for title in titles)}."
    return CaptionedImage(np.asarray(page), caption, content, titled=True)


def _wrap(title: str, width: int, font: ImageFont.FreeTypeFont) -> str:
    """Break a title's lines between words where they are wider than the column."""
    lines = []
    for line in title.split("\n"):
        words, *rest = line.split(" ")
        for word in rest:
            if font.getlength(f"{words} {word}") > width:
                lines.append(words)
                words = word
            else:
                words += f" {word}"
        lines.append(words)
    return "\n".join(lines)


def split_view(
    images: Mapping[str, np.ndarray],
    left: str,
    right: str,
    divider: float = 0.5,
    zoom: float = 1.0,
    centre: tuple[float, float] = (0.5, 0.5),
    side: int = 560,
) -> CaptionedImage:
    """Show one image to the left of a line and another to the right of it, both in place.

    Args:
        images: name -> image, uint8 or float in [0, 1], all of one height and width.
        left: name of the one to the left of the line.
        right: name of the other.
        divider: place of the line, 0 (left edge of what is shown) to 1.
        zoom: how many times the shown part is smaller than the image, from 1.
        centre: of the shown part, down and across, 0 to 1; the part stays within the image.
        side: pixels of the picture's longer side.

    Raises:
        InputError: the two images differ in size.
    """
    one, two = (as_rgb(to_uint8(images[name])) for name in (left, right))
    if one.shape != two.shape:
        sizes = " and ".join(f"{image.shape[1]} x {image.shape[0]}" for image in (one, two))
        raise InputError(f"{left} and {right} are {sizes} pixels; compare images of one size.")
    rows, cols = (max(1, round(length / zoom)) for length in one.shape[:2])
    top, across = (
        min(max(round(place * length - part / 2), 0), length - part)
        for place, length, part in zip(centre, one.shape, (rows, cols), strict=False)
    )
    window = slice(top, top + rows), slice(across, across + cols)
    page, other = (fit(image[window], side) for image in (one, two))
    line = round(divider * page.width)
    page.paste(other.crop((line, 0, *other.size)), (line, 0))
    ImageDraw.Draw(page).line((line, 0, line, page.height), fill=COLOURS[1], width=2)
    caption = (
        f"Left of the line {left}, right of it {right}; "
        f"{cols} x {rows} pixels, {side / max(rows, cols):.3g} times as large."
    )
    return CaptionedImage(np.asarray(page), caption)


def scale_view(upscaled: Upscaled, scale: float, side: int = 288) -> CaptionedImage:
    """Show LR, ILR, SR and HR at one scale, all enlarged to one size, with the scores in the caption.

    Args:
        upscaled: from ``degrade_and_upscale``, as it has the ground truth.
        scale: it was made with.
        side: pixels of each panel's longer side.

    Raises:
        InputError: there is no ground truth.
    """
    if upscaled.hr is None or upscaled.interpolation_score is None or upscaled.network_score is None:
        raise InputError("there is no ground truth to score; make the pictures with degrade_and_upscale")
    panels = [
        fit(as_rgb(to_uint8(each)), side) for each in (upscaled.lr, upscaled.ilr, upscaled.sr, upscaled.hr)
    ]
    (rows, cols), (height, width) = upscaled.lr.shape[:2], upscaled.hr.shape[:2]
    before, after = upscaled.interpolation_score.psnr, upscaled.network_score.psnr
    caption = (
        f"×{scale:.3g}. From the left: LR ({cols} x {rows} pixels); ILR, PSNR {before:.2f} dB; "
        f"SR, {after:.2f} dB ({after - before:+.2f}); HR ({width} x {height} pixels)."
    )
    return CaptionedImage(beside(panels), caption)
