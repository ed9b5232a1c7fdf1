"""The network as a diagram, and charts of what happens in its layers."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from torch import nn

from vdsrlib.inference.features import Statistics, central_shares
from vdsrlib.models.vdsr import VDSR
from vdsrlib.viz.figures import WIDTH, make_figure
from vdsrlib.viz.palette import COLOURS


def network_diagram(model: VDSR) -> Figure:
    """Draw the paper's Figure 2: the layers in a row, and the way of ILR around them."""
    names = ["ILR"]
    for name, layer in model.layers():
        if isinstance(layer, nn.Conv2d):
            names.append(f"{name}\n3 × 3, {layer.in_channels} → {layer.out_channels}")
        else:  # in the box of its convolution
            names[-1] = names[-1].replace("\n", f"\n{name}\n")
    if model.depth > 6:
        names[3:-2] = ["…"]
    names += ["+", "SR"] if model.global_skip else ["SR"]
    figure, axes = make_figure(1, 1, WIDTH, 2.2)
    axis, arrow = axes[0, 0], {"arrowstyle": "->", "color": "0.3"}
    for at, name in enumerate(names):
        shape, colour = ("circle", "0.3") if name == "+" else ("round,pad=0.4", COLOURS["conv" not in name])
        box = {"boxstyle": shape, "facecolor": "white", "edgecolor": colour}
        axis.text(at, 0, name, ha="center", va="center", fontsize=9, bbox=None if name == "…" else box)
        if at:
            axis.annotate("", (at - 0.38, 0), (at - 0.62, 0), arrowprops=arrow)
    if model.global_skip:
        plus = len(names) - 2
        axis.plot([0, 0, plus], [0.35, 0.9, 0.9], color="0.3", linewidth=1)
        axis.annotate("", (plus, 0.3), (plus, 0.9), arrowprops=arrow)
        axis.text(plus - 0.5, -0.25, "residual", ha="center", va="top", fontsize=9)
    axis.set(xlim=(-0.4, len(names) - 0.6), ylim=(-0.7, 1.1))
    title = f"VDSR: {'ILR + ' * model.global_skip}the result of {model.depth} convolutions"
    axis.set_title(title, fontsize=10)
    axis.axis("off")
    return figure


def layer_statistics(rows: Sequence[Statistics]) -> Figure:
    """Draw the mean magnitude of conv and relu layers, and zeros and dead maps after each ReLU."""
    figure, axes = make_figure(1, 3, WIDTH, 3, sharex=True)
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


def receptive_field_plot(gradient: np.ndarray, field: int) -> Figure:
    """Draw a receptive field map in decades, the theoretical square, and how it gathers in the middle.

    Args:
        gradient: from ``receptive_field_map``, size x size, size odd.
        field: side of the theoretical square.
    """
    figure, axes = make_figure(1, 2, WIDTH, 4)
    drawn = axes[0, 0].imshow(
        np.log10(gradient + 1e-6), cmap="viridis", vmin=-6, vmax=0, interpolation="nearest"
    )
    figure.colorbar(drawn, ax=axes[0, 0], label="log₁₀ of |gradient|, relative to the largest", shrink=0.85)
    corner = (len(gradient) - field) / 2 - 0.5
    frame = Rectangle((corner, corner), field, field, fill=False, edgecolor=COLOURS[1], linewidth=1.5)
    axes[0, 0].add_patch(frame)
    axes[0, 0].set_title(f"Beyond {field} × {field} pixels (framed) the gradient is zero", fontsize=10)
    axes[0, 0].set(xlabel="input pixel", ylabel="input pixel")
    shares = 100 * central_shares(gradient)
    half = 2 * int((shares < 50).sum()) + 1
    axes[0, 1].set_title(f"Half of it lies in the central {half} × {half} pixels", fontsize=10)
    axes[0, 1].plot(range(1, len(gradient) + 1, 2), shares, "o-", color=COLOURS[0], markersize=3.5)
    axes[0, 1].axvline(field, color=COLOURS[1], linestyle="--", label=f"theoretical field: {field}")
    axes[0, 1].set(
        xlabel="side of the central square (pixels)", ylabel="|gradient| within it (%)", ylim=(0, 102)
    )
    axes[0, 1].grid(alpha=0.3)
    axes[0, 1].legend(frameon=False, fontsize=9, loc="lower right")
    return figure


def residual_sum(ilr: np.ndarray, sr: np.ndarray) -> Figure:
    """Draw ILR + residual = SR, the residual (SR - ILR) in blue (darker) and red (brighter).

    Args:
        ilr: floating, about [0, 1], H x W.
        sr: likewise.
    """
    figure, axes = make_figure(1, 3, WIDTH, 3.8)
    residual = sr - ilr
    limit = float(np.quantile(np.abs(residual), 0.998))
    grey, signed = {"cmap": "gray", "vmin": 0, "vmax": 1}, {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit}
    for axis, title, image, colours in zip(
        axes[0],
        ("ILR: blurred", "+ residual: 20 convolutions", "= SR: sharp"),
        (ilr, residual, sr),
        (grey, signed, grey),
        strict=True,
    ):
        axis.imshow(image, interpolation="nearest", **colours)
        axis.set_title(title, fontsize=11)
        axis.axis("off")
    return figure


def filter_sheet(filters: np.ndarray, title: str, columns: int = 16) -> Figure:
    """Draw 3 x 3 filters in blue (below zero) and red, each in its own range, the strongest first.

    Args:
        filters: count x 3 x 3.
        title: above the sheet.
        columns: filters a row.
    """
    strongest = np.argsort(-np.abs(filters).sum((1, 2)))
    rows = -(-len(filters) // columns)
    figure, axes = make_figure(rows, columns, WIDTH, WIDTH / columns * rows + 0.3)
    for axis in axes.flat:
        axis.axis("off")
    for axis, i in zip(axes.flat, strongest, strict=False):
        limit = np.abs(filters[i]).max() or 1.0
        axis.imshow(filters[i], cmap="RdBu_r", vmin=-limit, vmax=limit)
    figure.suptitle(title, fontsize=10)
    return figure
