"""Every picture of the chapters: plain functions from arrays and numbers to a matplotlib figure.

A figure's title or caption states its units and ranges. Nothing here computes a result.
"""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from vdsrlib.features import Layer, Statistics, display_range, mosaic
from vdsrlib.resize import cubic

# Okabe and Ito's palette, told apart with every kind of colour vision.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
DPI = 80
WIDTH = 10.5  # inches, of a full row

Box = tuple[int, int, int, int]


def _figure(
    rows: int, columns: int, width: float, height: float, **options: Any
) -> tuple[Figure, np.ndarray]:
    """Axes in a 2-D array; the figure is not kept by pyplot, so it is shown once, where returned."""
    figure, axes = plt.subplots(
        rows, columns, figsize=(width, height), dpi=DPI, squeeze=False, layout="constrained", **options
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
    """How many images have which shorter side, in HR and as LR at each scale (pixels, logarithmic)."""
    figure, axes = _figure(1, 1, 7.5, 2.8)
    sides = {
        "HR": np.asarray(shorter),
        **{f"LR x{scale:g}": np.asarray(shorter) // scale for scale in scales},
    }
    low, high = min(side.min() for side in sides.values()), max(side.max() for side in sides.values())
    edges = np.geomspace(max(1, low) * 0.95, high * 1.05, 25)
    for i, (name, side) in enumerate(sides.items()):
        count, _ = np.histogram(side, bins=edges)
        colour, style = COLOURS[i % len(COLOURS)], ("-", "--", ":", "-.")[i % 4]
        axes[0, 0].stairs(count, edges, linestyle=style, color=colour, linewidth=1.6, label=name)
    axes[0, 0].set(xlabel="shorter side (pixels, log scale)", ylabel="images", xscale="log")
    ticks = [tick for tick in (16, 32, 64, 128, 256, 512, 1024, 2048, 4096) if edges[0] <= tick <= edges[-1]]
    axes[0, 0].set_xticks(ticks, [str(tick) for tick in ticks])
    axes[0, 0].set_xticks([], minor=True)
    axes[0, 0].yaxis.set_major_locator(MaxNLocator(integer=True))
    axes[0, 0].legend(frameon=False, fontsize=9)
    return figure


def response_plot(frequencies: np.ndarray, responses: Mapping[str, np.ndarray], scale: float) -> Figure:
    """What is left of a wave after shrinking, over its frequency; beyond LR's Nyquist it is false."""
    figure, axes = _figure(1, 1, 8.5, 3.6)
    axis, nyquist = axes[0, 0], 0.5 / scale
    axis.axvspan(nyquist, 0.5, color="0.93")
    axis.text(nyquist + 0.005, 1.13, "LR cannot hold these: what is left turns false", fontsize=8.5, va="top")
    for i, (name, response) in enumerate(responses.items()):
        style = ("-", "--", ":", "-.")[i % 4]
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
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    xlabel: str,
    ylabel: str,
    *,
    logy: bool = False,
    marker: str = "o",
    title: str = "",
) -> Figure:
    """Curves by name, told apart by colour and dash."""
    figure, axes = _figure(1, 1, 7.5, 3.4)
    axis = axes[0, 0]
    for i, (name, (x, y)) in enumerate(curves.items()):
        style = ("-", "--", ":", "-.")[i % 4]
        axis.plot(x, y, style, marker=marker, markersize=3.5, color=COLOURS[i % len(COLOURS)], label=name)
    axis.set(xlabel=xlabel, ylabel=ylabel)
    if len(x) <= 10:
        axis.set_xticks(x)
    else:
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set_title(title, fontsize=10)
    if logy:
        axis.set_yscale("log")
    axis.grid(alpha=0.3)
    if len(curves) > 1:
        axis.legend(frameon=False, fontsize=9)
    return figure


def training_curves(
    history: Sequence[Mapping[str, float]], validation: Sequence[Mapping[str, Any]]
) -> Figure:
    """Loss and learning rate over steps; PSNR of the validation set, interpolation dashed."""
    figure, axes = _figure(1, 2, WIDTH, 3.3)
    steps = [row["step"] for row in history]
    loss, rate = axes[0, 0], axes[0, 0].twinx()
    loss.plot(steps, [row["loss"] for row in history], color=COLOURS[0], linewidth=1)
    loss.set(xlabel="step", ylabel="loss (log scale)", yscale="log")
    rate.plot(steps, [row["learning_rate"] for row in history], ":", color=COLOURS[1])
    rate.set_ylabel("learning rate (dotted)", color=COLOURS[1])
    scores = axes[0, 1]
    for i, scale in enumerate(validation[-1]["psnr"]):
        x = [row["step"] for row in validation]
        y = [row["psnr"][scale] for row in validation]
        colour = COLOURS[i % len(COLOURS)]
        scores.plot(x, [v["model"] for v in y], "o-", color=colour, label=f"x{scale}", markersize=4)
        scores.axhline(y[-1]["interpolation"], color=colour, linestyle="--", linewidth=1)
    scores.set(xlabel="step", ylabel="PSNR (dB); dashed: interpolation")
    scores.legend(frameon=False, fontsize=9)
    scores.grid(alpha=0.3)
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


def layer_mosaic(layer: Layer, title: str = "") -> Figure:
    """One layer's maps on a grid; the caption states the range shown."""
    limit = display_range(layer.maps)
    figure, axes = _figure(1, 1, 7, 7 * layer.maps.shape[1] / layer.maps.shape[2] + 0.4)
    text = title or f"{layer.name}: {len(layer.maps)} maps, -{limit:.3g} (black) to {limit:.3g} (white)"
    _show(axes[0, 0], mosaic(layer.maps, limit), text)
    return figure


def contact_sheet(layers: Sequence[Layer], columns: int = 5) -> Figure:
    """All layers as small mosaics on one page, each in its own symmetric range."""
    rows = -(-len(layers) // columns)
    height, width = layers[0].maps.shape[1:]
    cell = WIDTH / columns
    figure, axes = _figure(rows, columns, WIDTH, rows * (cell * height / width + 0.28))
    figure.set_dpi(0.8 * DPI)  # 39 mosaics of noise-like maps are large as PNG
    for axis in axes.flat:
        axis.axis("off")
    for axis, layer in zip(axes.flat, layers, strict=False):
        limit = display_range(layer.maps)
        axis.imshow(mosaic(layer.maps, limit), cmap="gray", vmin=0, vmax=1, interpolation="antialiased")
        axis.set_title(f"{layer.name}  ±{limit:.2g}", fontsize=8)
    return figure


def layer_statistics(rows: Sequence[Statistics]) -> Figure:
    """Mean magnitude of conv and relu layers, and the share of zeros and dead maps after each ReLU."""
    figure, axes = _figure(1, 2, WIDTH, 3)
    for kind, style, colour in (("conv", "o-", COLOURS[0]), ("relu", "s--", COLOURS[1])):
        chosen = [row for row in rows if row.name.startswith(kind)]
        x = [int(row.name.split(".")[1]) for row in chosen]
        axes[0, 0].plot(x, [row.magnitude for row in chosen], style, color=colour, label=kind, markersize=4)
        if kind == "relu":
            axes[0, 1].plot(x, [100 * row.zeros for row in chosen], "s--", color=colour, markersize=4)
            dead = sum(row.dead for row in chosen)
    axes[0, 0].set(xlabel="layer", ylabel="mean |activation| (log scale)", yscale="log")
    axes[0, 0].legend(frameon=False, fontsize=9)
    axes[0, 1].set(xlabel="layer", ylabel="zeros after ReLU (%)", ylim=(0, 100))
    axes[0, 1].set_title(f"{dead} maps are zero everywhere on this image", fontsize=9)
    for axis in axes.flat:
        axis.grid(alpha=0.3)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def heat_maps(values: Mapping[str, np.ndarray], label: str, log: bool = False) -> Figure:
    """Signed arrays in blue and red about 0, all in one range; or, with ``log``, positive ones in decades."""
    height, width = next(iter(values.values())).shape
    panel = WIDTH / max(2, len(values)) - 0.4
    figure, axes = _figure(1, len(values), panel * len(values) + 0.9, panel * height / width + 0.4)
    limit = max(float(np.quantile(np.abs(value), 0.999)) for value in values.values())
    crisp: dict[str, Any] = {"interpolation": "nearest"}
    for axis, (title, value) in zip(axes[0], values.items(), strict=True):
        if log:
            drawn = axis.imshow(np.log10(value + 1e-6), cmap="viridis", vmin=-6, vmax=0, **crisp)
        else:
            drawn = axis.imshow(value, cmap="RdBu_r", vmin=-limit, vmax=limit, **crisp)
        axis.set_title(title, fontsize=9)
        axis.tick_params(labelsize=8)
    figure.colorbar(drawn, ax=axes[0, -1], label=label, shrink=0.85)
    return figure


def channel(layer: Layer, index: int, beside: np.ndarray) -> Figure:
    """One map of a layer, magnified, beside the image that went in."""
    height, width = layer.maps.shape[1:]
    figure, axes = _figure(1, 2, 10, 5 * height / width + 0.4)
    _show(axes[0, 0], beside, "ILR, the network's input")
    limit = display_range(layer.maps)
    title = f"{layer.name}, map {index + 1} of {len(layer.maps)}, ±{limit:.3g}"
    _show(axes[0, 1], np.clip(0.5 + 0.5 * layer.maps[index] / limit, 0, 1), title)
    return figure


def to_png(figure: Figure) -> bytes:
    """A figure as PNG bytes, for ``widgets.Image``."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
