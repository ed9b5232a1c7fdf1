"""Every picture of the chapters: plain functions from arrays and numbers to a matplotlib figure.

Mosaics and what the widgets show are a ``Picture`` instead: pixels and a caption, drawn in milliseconds.
A figure's title or caption states its units and ranges. Nothing here computes a result.
"""

import base64
import io
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import imagecodecs
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator
from PIL import Image, ImageDraw, ImageFont
from torch import nn

from vdsrlib.features import Layer, Statistics, central_shares, grey, grid, mosaic
from vdsrlib.files import InputError
from vdsrlib.images import as_rgb, read_image, to_uint8
from vdsrlib.model import VDSR
from vdsrlib.records import COMMITTED
from vdsrlib.resize import cubic
from vdsrlib.resolve import Resolved

# Okabe and Ito's palette, told apart with every kind of colour vision.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
STYLES = ("-", "--", ":", "-.")
DPI = 80
WIDTH = 10.5  # inches, of a full row

Box = tuple[int, int, int, int]


class Described(Figure):
    """A figure with an alternative text in notebooks: all that is written on it but the numbers at ticks."""

    def __repr__(self) -> str:
        panels = []
        for axis in self.axes:
            axes = " over ".join(filter(None, (axis.get_ylabel(), axis.get_xlabel())))
            legend = axis.get_legend()
            ticks = [text for text in axis.get_yticklabels() if text.get_text()[:1].isalpha()]
            names = _texts([*ticks, *(legend.get_texts() if legend else [])])
            panels.append(": ".join(filter(None, (axis.get_title(), axes, names))))
        panels += [_texts(legend.get_texts()) for legend in self.legends]
        kind = "Images" if any(axis.images for axis in self.axes) else "Chart"
        written = "; ".join(filter(None, panels)) or "Without labels"
        return f"{kind}. {' '.join(written.split())}."

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
        return {"text/plain": repr(self)}, {"image/png": {"alt": repr(self)}}  # IPython draws the PNG itself


def _texts(texts: Sequence[Text]) -> str:
    return ", ".join(text.get_text() for text in texts)


def _figure(
    rows: int, columns: int, width: float, height: float, **options: Any
) -> tuple[Figure, np.ndarray]:
    """Axes in a 2-D array; the figure is not kept by pyplot, so it is shown once, where returned."""
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(width, height),
        dpi=DPI,
        squeeze=False,
        layout="constrained",
        FigureClass=Described,
        **options,
    )
    plt.close(figure)
    return figure, axes


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
    pictures = [_unit(image) for image in images.values()]
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


def _unit(image: np.ndarray) -> np.ndarray:
    return image / 255.0 if image.dtype == np.uint8 else np.clip(image, 0.0, 1.0)


def busiest_box(image: np.ndarray, size: int) -> Box:
    """The size x size square with the most fine detail: a fair place to magnify."""
    size = min(size, *(side - 1 for side in image.shape[:2]))
    grey = _unit(image).mean(axis=-1) if image.ndim == 3 else _unit(image)
    detail = np.abs(np.diff(grey, axis=0))[:, :-1] + np.abs(np.diff(grey, axis=1))[:-1]
    total = np.pad(detail.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    sums = total[size:, size:] - total[:-size, size:] - total[size:, :-size] + total[:-size, :-size]
    top, left = np.unravel_index(sums.argmax(), sums.shape)
    return int(top), int(left), size, size


def crop(image: np.ndarray, box: Box) -> np.ndarray:
    """The part of an image in a box: (top, left, height, width) in pixels."""
    top, left, height, width = box
    return image[top : top + height, left : left + width]


def network_diagram(model: VDSR) -> Figure:
    """The paper's Figure 2: the layers in a row, and the way of ILR around them."""
    depth = model.depth
    names = ["ILR"]
    for i, conv in enumerate(model.conv.values(), start=1):
        assert isinstance(conv, nn.Conv2d)
        relu = f"relu.{i}\n" if i < depth else ""
        names.append(f"conv.{i}\n{relu}3 × 3, {conv.in_channels} → {conv.out_channels}")
    if depth > 6:
        names[3:-2] = ["…"]
    names += ["+", "SR"] if model.adds_ilr else ["SR"]
    figure, axes = _figure(1, 1, WIDTH, 2.2)
    axis, arrow = axes[0, 0], {"arrowstyle": "->", "color": "0.3"}
    for at, name in enumerate(names):
        shape, colour = ("circle", "0.3") if name == "+" else ("round,pad=0.4", COLOURS["conv" not in name])
        box = {"boxstyle": shape, "facecolor": "white", "edgecolor": colour}
        axis.text(at, 0, name, ha="center", va="center", fontsize=9, bbox=None if name == "…" else box)
        if at:
            axis.annotate("", (at - 0.38, 0), (at - 0.62, 0), arrowprops=arrow)
    if model.adds_ilr:
        plus = len(names) - 2
        axis.plot([0, 0, plus], [0.35, 0.9, 0.9], color="0.3", linewidth=1)
        axis.annotate("", (plus, 0.3), (plus, 0.9), arrowprops=arrow)
        axis.text(plus - 0.5, -0.25, "residual", ha="center", va="top", fontsize=9)
    axis.set(xlim=(-0.4, len(names) - 0.6), ylim=(-0.7, 1.1))
    axis.set_title(f"VDSR: {'ILR + ' * model.adds_ilr}the result of {depth} convolutions", fontsize=10)
    axis.axis("off")
    return figure


def kernel_plot(scale: float) -> Figure:
    """The cubic kernel as used to enlarge, and widened as used to shrink by ``scale``."""
    figure, axes = _figure(1, 1, 7, 2.8)
    x = np.linspace(-2 * scale - 0.5, 2 * scale + 0.5, 800)
    axis = axes[0, 0]
    axis.plot(x, cubic(x), color=COLOURS[0], label="enlarging: 4 pixels")
    axis.plot(
        x,
        cubic(x / scale) / scale,
        "--",
        color=COLOURS[1],
        label=f"shrinking by {scale:g}: {4 * scale:g} pixels, area still 1",
    )
    axis.set(xlabel="distance from the output pixel's centre (input pixels)", ylabel="weight")
    axis.axhline(0, color="0.7", linewidth=0.8)
    axis.legend(frameon=False, fontsize=9)
    return figure


def matrix_plot(matrices: Mapping[str, np.ndarray]) -> Figure:
    """Resize matrices as heat maps, blue below 0 and red above."""
    figure, axes = _figure(1, len(matrices), 4.2 * len(matrices), 3.4)
    for axis, (title, matrix) in zip(axes[0], matrices.items(), strict=True):
        limit = np.abs(matrix).max()
        drawn = axis.imshow(matrix, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto")
        axis.set_title(title, fontsize=9)
        axis.set(xlabel="input pixel", ylabel="output pixel")
        figure.colorbar(drawn, ax=axis, shrink=0.85, label="weight")
    return figure


def gallery(images: Mapping[str, np.ndarray], columns: int = 6) -> Figure:
    """A contact sheet: every image whole, at one width, under its name and size in pixels."""
    rows = -(-len(images) // columns)
    cell = WIDTH / columns
    figure, axes = _figure(rows, columns, WIDTH, rows * (0.8 * cell + 0.3))
    for axis in axes.flat:
        axis.axis("off")
    for axis, (name, image) in zip(axes.flat, images.items(), strict=False):
        _show(axis, _unit(image))
        axis.set_title(f"{name}\n{image.shape[1]}x{image.shape[0]}", fontsize=7.5)
    return figure


def size_histogram(shorter: Sequence[int], scales: Sequence[float]) -> Figure:
    """How many images have which shorter side, in HR and as LR at each scale, one above the other."""
    sides = {
        "HR": np.asarray(shorter),
        **{f"LR ×{scale:g}": np.asarray(shorter) // scale for scale in scales},
    }
    low, high = min(side.min() for side in sides.values()), max(side.max() for side in sides.values())
    edges = np.geomspace(max(1, low) * 0.95, high * 1.05, 25)
    ticks = [tick for tick in (16, 32, 64, 128, 256, 512, 1024, 2048, 4096) if edges[0] <= tick <= edges[-1]]
    figure, axes = _figure(len(sides), 1, 7.5, 0.5 + 0.75 * len(sides), sharex=True, sharey=True)
    for i, (axis, (name, side)) in enumerate(zip(axes[:, 0], sides.items(), strict=True)):
        count, _ = np.histogram(side, bins=edges)
        axis.stairs(count, edges, fill=True, color=COLOURS[i % len(COLOURS)])
        axis.set(xscale="log", ylabel=f"{name}:\nimages")
        axis.set_xticks(ticks, [str(tick) for tick in ticks])
        axis.set_xticks([], minor=True)
        axis.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    axes[-1, 0].set_xlabel("shorter side (pixels, log scale)")
    return figure


def response_plot(frequencies: np.ndarray, responses: Mapping[str, np.ndarray], scale: float) -> Figure:
    """What is left of a wave after shrinking, over its frequency; beyond LR's Nyquist it is false."""
    figure, axes = _figure(1, 1, 8.5, 3.6)
    axis, nyquist = axes[0, 0], 0.5 / scale
    axis.axvspan(nyquist, 0.5, color="0.93")
    axis.text(nyquist + 0.005, 1.13, "LR cannot hold these: what is left turns false", fontsize=8.5, va="top")
    for i, (name, response) in enumerate(responses.items()):
        style = STYLES[i % 4]
        axis.plot(frequencies, response, style, color=COLOURS[i % len(COLOURS)], label=name)
    axis.set(xlabel="frequency in HR (waves a pixel)", ylabel="amplitude left in LR")
    axis.set(xlim=(0, 0.5), ylim=(0, 1.15))
    axis.grid(alpha=0.3)
    figure.legend(*axis.get_legend_handles_labels(), loc="outside right upper", frameon=False, fontsize=8.5)
    return figure


def phase_plot(centres: Mapping[str, np.ndarray], length: int) -> Figure:
    """Where the pixels of LR lie among ``length`` pixels of HR, under each convention."""
    figure, axes = _figure(1, 1, WIDTH, 0.5 + 0.45 * len(centres))
    axis = axes[0, 0]
    for edge in range(length + 1):
        axis.axvline(edge - 0.5, color="0.85", linewidth=0.8)
    for i, places in enumerate(centres.values()):
        axis.plot(places, [-i] * len(places), "o", markersize=9, color=COLOURS[i % len(COLOURS)])
    axis.set_yticks([-i for i in range(len(centres))], list(centres), fontsize=9)
    axis.set(xlim=(-0.6, length - 0.4), ylim=(0.6 - len(centres), 0.4), xticks=range(length))
    axis.set_xlabel("HR pixel")
    axis.tick_params(left=False)
    for side in ("top", "left", "right"):
        axis.spines[side].set_visible(False)
    return figure


def line_plot(
    curves: Mapping[str, tuple[Sequence[float], ...]],
    xlabel: str,
    ylabel: str,
    *,
    logx: bool = False,
    logy: bool = False,
    ylim: tuple[float, float] | None = None,
    marker: str = "o",
    title: str = "",
    beside: bool = False,
    level: tuple[str, float] | None = None,
    zoom: tuple[float, float] | None = None,
    group: int = 1,
) -> Figure:
    """Curves by name, told apart by colour and dash; what lies beyond ``ylim`` is cut off.

    A curve is x and y, or x, y, and the least and greatest y, between which a band is drawn. With ``beside``
    the names stand beside the axes, rather than where there is room within them. ``level`` is a name and a
    height, drawn across in dashed black. With ``zoom``, a second panel below, never logarithmic in y, shows
    the part between those two heights. With ``group``, so many curves in turn share a colour.
    """
    figure, axes = _figure(2 if zoom else 1, 1, WIDTH if beside else 7.5, 5.2 if zoom else 3.4)
    for axis in axes[:, 0]:
        for i, (name, (x, y, *band)) in enumerate(curves.items()):
            style, colour = STYLES[i % (4 if group == 1 else group)], COLOURS[i // group % len(COLOURS)]
            axis.plot(x, y, style, marker=marker, markersize=3.5, color=colour, label=name)
            if band:
                axis.fill_between(x, *band, color=colour, alpha=0.18, linewidth=0)
        if level:
            axis.axhline(level[1], color="black", linestyle="--", linewidth=1.2, label=level[0])
        axis.set_ylabel(ylabel)
        axis.grid(alpha=0.3)
        _ticks(axis, x, logx)
    axis.set_xlabel(xlabel)
    if zoom:
        axis.set(ylim=zoom, title=f"the same, from {zoom[0]:.3g} to {zoom[1]:.3g}")
        axis.title.set_fontsize(10)
    axis = axes[0, 0]
    axis.set_title(title, fontsize=10)
    if logy:
        axis.set_yscale("log")
    if ylim:
        axis.set_ylim(*ylim)
    if beside:
        figure.legend(*axis.get_legend_handles_labels(), loc="outside right upper", frameon=False, fontsize=9)
    elif len(curves) > 1:
        axis.legend(frameon=False, fontsize=9)
    return figure


def _ticks(axis: Axes, x: Sequence[float], logx: bool) -> None:
    """Ticks at the points where there are few, else at round numbers."""
    if logx:
        axis.set_xscale("log")
        axis.minorticks_off()
    if len(x) <= 14:
        axis.set_xticks(x, [f"{tick:g}" for tick in x], fontsize=10 if len(x) <= 10 else 8)
    else:
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))


def dumbbells(
    pairs: Mapping[str, tuple[float, float]], names: tuple[str, str], marks: Mapping[str, float], xlabel: str
) -> Figure:
    """Two numbers a row, joined by a line, from top to bottom; ``marks`` are vertical lines with a name."""
    figure, axes = _figure(1, 1, 9, 0.5 * len(pairs) + 1.4)
    axis = axes[0, 0]
    rows = range(len(pairs))
    left, right = zip(*pairs.values(), strict=True)
    covering = {"boxstyle": "square,pad=0", "facecolor": "white", "edgecolor": "none"}  # the marks behind
    axis.hlines(rows, left, right, color="0.7", linewidth=3, zorder=1)
    for values, name, colour, marker in zip((left, right), names, COLOURS, "os", strict=False):
        axis.scatter(values, rows, color=colour, marker=marker, label=name, zorder=2)
        for row, value in zip(rows, values, strict=True):
            text, at, above = f"{value:.2f}", (value, row), (0, 9)
            axis.annotate(text, at, above, textcoords="offset points", ha="center", fontsize=8, bbox=covering)
    for i, (name, value) in enumerate(marks.items()):
        style, colour = ("--", ":")[i % 2], COLOURS[2 + i % 4]
        axis.axvline(value, linestyle=style, color=colour, label=f"{name}: {value:.2f}", zorder=0)
    axis.set(xlabel=xlabel, ylim=(len(pairs) - 0.5, -0.7))
    axis.set_yticks(rows, list(pairs))
    axis.legend(frameon=False, fontsize=9, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)
    axis.grid(axis="x", alpha=0.3)
    return figure


def differences(
    points: Mapping[str, tuple[Sequence[float], Sequence[float]]], xlabel: str, ylabel: str
) -> Figure:
    """Pairs x, y by name, drawn as y - x over x: above the line, y is the greater."""
    figure, axes = _figure(1, 1, 7.5, 3.8)
    axis = axes[0, 0]
    for i, (name, (x, y)) in enumerate(points.items()):
        marker, colour = "os^D"[i % 4], COLOURS[i % len(COLOURS)]
        axis.scatter(x, np.subtract(y, x), s=18, alpha=0.7, marker=marker, color=colour, label=name)
    axis.axhline(0, color="0.4", linewidth=1)
    axis.set(xlabel=xlabel, ylabel=ylabel)
    figure.legend(*axis.get_legend_handles_labels(), loc="outside right upper", frameon=False, fontsize=9)
    axis.grid(alpha=0.3)
    return figure


def training_curves(
    history: Sequence[Mapping[str, float]], validation: Sequence[Mapping[str, Any]]
) -> Figure:
    """Loss and learning rate over steps; PSNR of the validation set, interpolation dashed."""
    figure, axes = _figure(1, 2, WIDTH, 3.3)
    steps = [row["step"] for row in history]
    loss, rate = axes[0, 0], axes[0, 0].twinx()
    losses = [row["loss"] for row in history]
    loss.plot(steps, losses, color=COLOURS[0], linewidth=1)
    loss.set(xlabel="step", ylabel="loss (log scale)", yscale="log")
    loss.yaxis.set_major_formatter("{x:.3g}")
    if max(losses) < 10 * min(losses):  # else the powers of ten are labels enough
        loss.yaxis.set_minor_formatter("{x:.3g}")
    rate.plot(steps, [row["learning_rate"] for row in history], ":", color=COLOURS[1])
    rate.set_ylabel("learning rate (dotted)", color=COLOURS[1])
    scores = axes[0, 1]
    for i, scale in enumerate(validation[-1]["psnr"]):
        x = [row["step"] for row in validation]
        y = [row["psnr"][scale] for row in validation]
        colour = COLOURS[i % len(COLOURS)]
        scores.plot(x, [v["model"] for v in y], "o-", color=colour, label=f"×{scale}", markersize=4)
        scores.axhline(y[-1]["interpolation"], color=colour, linestyle="--", linewidth=1)
    scores.set(xlabel="step", ylabel="PSNR (dB); dashed: interpolation")
    scores.legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(1, 1))
    scores.grid(alpha=0.3)
    return figure


def loss_curves(histories: Mapping[str, Sequence[Mapping[str, float]]], points: int = 5) -> Figure:
    """The loss of several runs over their steps, side by side by the first word of their names.

    Args:
        histories: "group-name" -> rows of "step" and "loss", as a run records them.
        points: rows to average over, since the loss of a batch jumps with its patches. A row of the record is
            the mean of the steps since the row before.
    """
    groups = list(dict.fromkeys(name.partition("-")[0] for name in histories))
    figure, axes = _figure(1, len(groups), WIDTH, 3.4)
    for axis, group in zip(axes[0], groups, strict=True):
        members = [name for name in histories if name.startswith(f"{group}-")]
        for i, name in enumerate(members):
            steps, loss = (np.array([row[key] for row in histories[name]]) for key in ("step", "loss"))
            mean = np.convolve(loss, np.full(points, 1 / points), "valid")
            style, colour = STYLES[i // len(COLOURS)], COLOURS[i % len(COLOURS)]
            label = name.partition("-")[2]
            axis.plot(steps[points - 1 :], mean, style, color=colour, linewidth=1.3, label=label)
        span = points * (steps[1] - steps[0])
        axis.set(xlabel="step", ylabel=f"loss (mean of the last {span} steps)", title=group)
        axis.grid(alpha=0.3)
    axes[0, -1].legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(1, 1), title="scales")
    return figure


def histograms(values: Mapping[str, np.ndarray], xlabel: str) -> Figure:
    """Histograms of several arrays on one logarithmic axis."""
    figure, axes = _figure(1, 1, 7.5, 3)
    edges = np.linspace(-1, 1, 161)
    for i, (name, value) in enumerate(values.items()):
        density, _ = np.histogram(value, bins=edges, density=True)
        axes[0, 0].step(
            edges[:-1],
            density,
            ("-", "--", ":")[i % 3],
            where="post",
            color=COLOURS[i % len(COLOURS)],
            label=name,
        )
    axes[0, 0].set(xlabel=xlabel, ylabel="density (log scale)", yscale="log")
    axes[0, 0].legend(frameon=False, fontsize=9)
    return figure


@dataclass(frozen=True, eq=False)
class Picture:
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


def kept_picture(name: str, caption: str) -> Picture:
    """A figure that is kept with the chapters, in ``notebooks/results/``, under its caption."""
    return Picture(read_image(COMMITTED / f"{name}.png"), caption)


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


def layer_mosaic(layer: Layer, side: int = 560) -> Picture:
    """One layer's maps on a grid, ``side`` pixels at the longer side; the caption states the range shown."""
    return Picture(np.asarray(_fit(mosaic(layer), side)), f"{layer.name}: {_count(layer)}, {_range(layer)}")


def _range(layer: Layer) -> str:
    return f"−{layer.limit:.3g} black, 0 grey, {layer.limit:.3g} white"


def _count(layer: Layer) -> str:
    return f"{len(layer.maps)} map{'s' * (len(layer.maps) > 1)}"


def contact_sheet(layers: Sequence[Layer], columns: int = 5, side: int = 160) -> Picture:
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
    return Picture(np.asarray(page), caption)


def layer_view(layer: Layer, index: int, ilr: np.ndarray, side: int = 384) -> Picture:
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
    return Picture(_beside([_fit(to_uint8(ilr), side), overview, _fit(chosen, side)]), caption)


def divided(
    images: Mapping[str, np.ndarray],
    left: str,
    right: str,
    divider: float = 0.5,
    zoom: float = 1.0,
    centre: tuple[float, float] = (0.5, 0.5),
    side: int = 560,
) -> Picture:
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
    return Picture(np.asarray(page), caption)


def scale_view(resolved: Resolved, scale: float, side: int = 288) -> Picture:
    """LR, ILR, SR and HR at one scale, all enlarged to one size, with the scores in the caption.

    Args:
        resolved: from ``degrade_and_resolve``, as it has the ground truth.
        scale: it was made with.
        side: pixels of each panel's longer side.
    """
    if resolved.hr is None or resolved.interpolation is None or resolved.model is None:
        raise InputError("There is no ground truth to score; make the pictures with degrade_and_resolve.")
    panels = [
        _fit(as_rgb(to_uint8(each)), side) for each in (resolved.lr, resolved.ilr, resolved.sr, resolved.hr)
    ]
    (rows, cols), (height, width) = resolved.lr.shape[:2], resolved.hr.shape[:2]
    before, after = resolved.interpolation.psnr, resolved.model.psnr
    caption = (
        f"×{scale:.3g}. From the left: LR ({cols} x {rows} pixels); ILR, PSNR {before:.2f} dB; "
        f"SR, {after:.2f} dB ({after - before:+.2f}); HR ({width} x {height} pixels)."
    )
    return Picture(_beside(panels), caption)


def layer_statistics(rows: Sequence[Statistics]) -> Figure:
    """Mean magnitude of conv and relu layers; zeros and dead maps after each ReLU."""
    figure, axes = _figure(1, 3, WIDTH, 3, sharex=True)
    for kind, style, colour in (("conv", "o-", COLOURS[0]), ("relu", "s--", COLOURS[1])):
        chosen = [row for row in rows if row.name.startswith(kind)]
        x = [int(row.name.split(".")[1]) for row in chosen]
        axes[0, 0].plot(x, [row.magnitude for row in chosen], style, color=colour, label=kind, markersize=4)
    axes[0, 0].set(xlabel="layer", ylabel="mean |activation| (log scale)", yscale="log")
    axes[0, 0].legend(frameon=False, fontsize=9)
    axes[0, 1].plot(x, [100 * row.zeros for row in chosen], style, color=colour, markersize=4)
    axes[0, 1].set(xlabel="layer", ylabel="zeros after ReLU (%)", ylim=(0, 100))
    axes[0, 2].bar(x, [row.dead for row in chosen], color=colour)
    axes[0, 2].set(xlabel="layer", ylabel="maps that are zero everywhere")
    axes[0, 2].yaxis.set_major_locator(MaxNLocator(integer=True))
    for axis in axes.flat:
        axis.grid(alpha=0.3)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def receptive_field(gradient: np.ndarray, field: int) -> Figure:
    """A receptive field map in decades with the theoretical square, and how it gathers around the middle.

    Args:
        gradient: from ``receptive_field_map``, size x size, size odd.
        field: side of the theoretical square.
    """
    figure, axes = _figure(1, 2, WIDTH, 4)
    drawn = axes[0, 0].imshow(
        np.log10(gradient + 1e-6), cmap="viridis", vmin=-6, vmax=0, interpolation="nearest"
    )
    figure.colorbar(drawn, ax=axes[0, 0], label="log₁₀ of |gradient|, relative to the largest", shrink=0.85)
    corner = (len(gradient) - field) / 2 - 0.5
    frame = Rectangle((corner, corner), field, field, fill=False, edgecolor=COLOURS[1], linewidth=1.5)
    axes[0, 0].add_patch(frame)
    axes[0, 0].set_title(f"framed: the theoretical {field} x {field} pixels", fontsize=9)
    axes[0, 0].set(xlabel="input pixel", ylabel="input pixel")
    shares = 100 * central_shares(gradient)
    axes[0, 1].plot(range(1, len(gradient) + 1, 2), shares, "o-", color=COLOURS[0], markersize=3.5)
    axes[0, 1].axvline(field, color=COLOURS[1], linestyle="--", label=f"theoretical field: {field}")
    axes[0, 1].set(
        xlabel="side of the central square (pixels)", ylabel="|gradient| within it (%)", ylim=(0, 102)
    )
    axes[0, 1].grid(alpha=0.3)
    axes[0, 1].legend(frameon=False, fontsize=9, loc="lower right")
    return figure


def heat_maps(values: Mapping[str, np.ndarray], label: str) -> Figure:
    """Signed arrays in blue and red about 0, all in one range."""
    height, width = next(iter(values.values())).shape
    panel = WIDTH / max(2, len(values)) - 0.4
    figure, axes = _figure(1, len(values), panel * len(values) + 0.9, panel * height / width + 0.4)
    limit = max(float(np.quantile(np.abs(value), 0.999)) for value in values.values())
    for axis, (title, value) in zip(axes[0], values.items(), strict=True):
        drawn = axis.imshow(value, cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
        axis.set_title(title, fontsize=9)
        axis.tick_params(labelsize=8)
    figure.colorbar(drawn, ax=axes[0, -1], label=label, shrink=0.85)
    return figure
