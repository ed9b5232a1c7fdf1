"""Every picture of the chapters: plain functions from arrays and numbers to a matplotlib figure.

Mosaics and what the widgets show are a ``Picture`` instead: pixels and a caption, drawn in milliseconds.
A figure's title or caption states its units and ranges. Nothing here computes a result.
"""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import ImageDraw

from vdsrlib.errors import InputError
from vdsrlib.imaging.colour import as_rgb, to_float, to_uint8
from vdsrlib.imaging.crops import Box
from vdsrlib.inference.upscale import Upscaled
from vdsrlib.viz.charts import COLOURS, WIDTH, _figure
from vdsrlib.viz.mosaic import CaptionedImage, _beside, _fit


def _show(axes: Axes, image: np.ndarray, title: str = "") -> None:
    axes.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_title(title, fontsize=9)
    axes.axis("off")


def image_row(images: Mapping[str, np.ndarray], box: Box | None = None, columns: int = 4) -> Figure:
    """Images side by side under their titles; with ``box``, its part of each, enlarged, below.

    Args:
        images: title -> float image in [0, 1], or uint8.
        box: (top, left, height, width) in pixels of the largest image; smaller ones (LR) are cut at the
            same relative place.
        columns: images a row.
    """
    columns = min(columns, len(images))
    bands = -(-len(images) // columns)
    pictures = [np.clip(to_float(image), 0, 1) for image in images.values()]
    height, width = max(picture.shape[:2] for picture in pictures)
    cell = WIDTH / columns
    tall = [cell * height / width] + ([cell * box[2] / box[3]] if box else [])
    size = WIDTH, bands * (sum(tall) + 0.35)
    figure, axes = _figure(bands * len(tall), columns, *size, height_ratios=tall * bands)
    for axis in axes.flat:
        axis.axis("off")
    for i, (title, picture) in enumerate(zip(images, pictures, strict=True)):
        row, column = (i // columns) * len(tall), i % columns
        _show(axes[row, column], picture, title)
        if box:
            top, left, rows, cols = (round(side * picture.shape[0] / height) for side in box)
            _show(axes[row + 1, column], picture[top : top + rows, left : left + cols])
            frame = Rectangle((left, top), cols, rows, fill=False, edgecolor=COLOURS[1], linewidth=1.2)
            axes[row, column].add_patch(frame)
    return figure


def gallery(images: Mapping[str, np.ndarray], columns: int = 6) -> Figure:
    """A contact sheet: every image whole, at one width, under its name and size in pixels."""
    rows = -(-len(images) // columns)
    cell = WIDTH / columns
    figure, axes = _figure(rows, columns, WIDTH, rows * (0.8 * cell + 0.3))
    for axis in axes.flat:
        axis.axis("off")
    for axis, (name, image) in zip(axes.flat, images.items(), strict=False):
        _show(axis, np.clip(to_float(image), 0, 1))
        axis.set_title(f"{name}\n{image.shape[1]}x{image.shape[0]}", fontsize=7.5)
    return figure


def split_view(
    images: Mapping[str, np.ndarray],
    left: str,
    right: str,
    divider: float = 0.5,
    zoom: float = 1.0,
    centre: tuple[float, float] = (0.5, 0.5),
    side: int = 560,
) -> CaptionedImage:
    """One image to the left of a line, another to the right of it, both in place.

    Args:
        images: name -> image, uint8 or float in [0, 1], all of one height and width.
        left: name of the one to the left of the line.
        right: name of the other.
        divider: place of the line, 0 (left edge of what is shown) to 1.
        zoom: how many times the shown part is smaller than the image, from 1.
        centre: of the shown part, down and across, 0 to 1; the part stays within the image.
        side: pixels of the picture's longer side.
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
    page, other = (_fit(image[window], side) for image in (one, two))
    line = round(divider * page.width)
    page.paste(other.crop((line, 0, *other.size)), (line, 0))
    ImageDraw.Draw(page).line((line, 0, line, page.height), fill=COLOURS[1], width=2)
    caption = (
        f"Left of the line {left}, right of it {right}; "
        f"{cols} x {rows} pixels, {side / max(rows, cols):.3g} times as large."
    )
    return CaptionedImage(np.asarray(page), caption)


def scale_view(resolved: Upscaled, scale: float, side: int = 288) -> CaptionedImage:
    """LR, ILR, SR and HR at one scale, all enlarged to one size, with the scores in the caption.

    Args:
        resolved: from ``degrade_and_upscale``, as it has the ground truth.
        scale: it was made with.
        side: pixels of each panel's longer side.
    """
    if resolved.hr is None or resolved.interpolation_score is None or resolved.network_score is None:
        raise InputError("There is no ground truth to score; make the pictures with degrade_and_upscale.")
    panels = [
        _fit(as_rgb(to_uint8(each)), side) for each in (resolved.lr, resolved.ilr, resolved.sr, resolved.hr)
    ]
    (rows, cols), (height, width) = resolved.lr.shape[:2], resolved.hr.shape[:2]
    before, after = resolved.interpolation_score.psnr, resolved.network_score.psnr
    caption = (
        f"×{scale:.3g}. From the left: LR ({cols} x {rows} pixels); ILR, PSNR {before:.2f} dB; "
        f"SR, {after:.2f} dB ({after - before:+.2f}); HR ({width} x {height} pixels)."
    )
    return CaptionedImage(_beside(panels), caption)
