"""Charts of data and degradation: kernels, resize matrices, sizes, what is left of a wave."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from vdsrlib.imaging.resize import cubic
from vdsrlib.viz.figures import WIDTH, make_figure
from vdsrlib.viz.palette import COLOURS, STYLES


def kernel_plot(scale: float) -> Figure:
    """Draw the cubic kernel as used to enlarge, and widened as used to shrink by ``scale``."""
    figure, axes = make_figure(1, 1, 7, 2.8)
    x = np.linspace(-2 * scale - 0.5, 2 * scale + 0.5, 800)
    axis = axes[0, 0]
    axis.plot(x, cubic(x), color=COLOURS[0], label="enlarging, or without antialiasing")
    axis.plot(
        x,
        cubic(x / scale) / scale,
        "--",
        color=COLOURS[1],
        label=f"shrinking by {scale:g}, antialiased",
    )
    axis.set(xlabel="distance from the output pixel's centre (input pixels)", ylabel="weight")
    title = f"Antialiasing stretches the kernel from 4 to {4 * scale:g} pixels; its area stays 1"
    axis.set_title(title, fontsize=10)
    axis.axhline(0, color="0.7", linewidth=0.8)
    axis.legend(frameon=False, fontsize=9)
    return figure


def matrix_plot(matrices: Mapping[str, np.ndarray]) -> Figure:
    """Draw resize matrices as heat maps, blue below 0 and red above."""
    figure, axes = make_figure(1, len(matrices), 4.2 * len(matrices), 3.4)
    for axis, (title, matrix) in zip(axes[0], matrices.items(), strict=True):
        limit = np.abs(matrix).max()
        drawn = axis.imshow(matrix, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto")
        axis.set_title(title, fontsize=9)
        axis.set(xlabel="input pixel", ylabel="output pixel")
        figure.colorbar(drawn, ax=axis, shrink=0.85, label="weight")
    return figure


def size_histogram(shorter: Sequence[int], scales: Sequence[float]) -> Figure:
    """Draw how many images have which shorter side, in HR and as LR at each scale."""
    sides = {
        "HR": np.asarray(shorter),
        **{f"LR ×{scale:g}": np.asarray(shorter) // scale for scale in scales},
    }
    low, high = min(side.min() for side in sides.values()), max(side.max() for side in sides.values())
    edges = np.geomspace(max(1, low) * 0.95, high * 1.05, 25)
    ticks = [tick for tick in (16, 32, 64, 128, 256, 512, 1024, 2048, 4096) if edges[0] <= tick <= edges[-1]]
    figure, axes = make_figure(len(sides), 1, 7.5, 0.5 + 0.75 * len(sides), sharex=True, sharey=True)
    for i, (axis, (name, side)) in enumerate(zip(axes[:, 0], sides.items(), strict=True)):
        count, _ = np.histogram(side, bins=edges)
        axis.stairs(count, edges, fill=True, color=COLOURS[i % len(COLOURS)])
        axis.set(xscale="log", ylabel=f"{name}:\nimages")
        axis.set_xticks(ticks, [str(tick) for tick in ticks])
        axis.set_xticks([], minor=True)
        axis.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    axes[0, 0].set_title("What each scale leaves of the images", fontsize=10)
    axes[-1, 0].set_xlabel("shorter side (pixels, log scale)")
    return figure


def response_plot(frequencies: np.ndarray, responses: Mapping[str, np.ndarray], scale: float) -> Figure:
    """Draw what is left of a wave after shrinking, over its frequency; beyond LR's Nyquist it is false."""
    figure, axes = make_figure(1, 1, 8.5, 3.6)
    axis, nyquist = axes[0, 0], 0.5 / scale
    axis.axvspan(nyquist, 0.5, color="0.93")
    axis.text(nyquist + 0.005, 1.13, "LR cannot hold these: what is left turns false", fontsize=8.5, va="top")
    for i, (name, response) in enumerate(responses.items()):
        style = STYLES[i % 4]
        axis.plot(frequencies, response, style, color=COLOURS[i % len(COLOURS)], label=name)
    axis.set(xlabel="frequency in HR (waves a pixel)", ylabel="amplitude left in LR")
    axis.set(xlim=(0, 0.5), ylim=(0, 1.15))
    axis.set_title("The best rule keeps all waves on the white side, and none on the grey one", fontsize=10)
    axis.grid(alpha=0.3)
    figure.legend(*axis.get_legend_handles_labels(), loc="outside right upper", frameon=False, fontsize=8.5)
    return figure


def phase_plot(centres: Mapping[str, np.ndarray], length: int) -> Figure:
    """Draw where the pixels of LR lie among ``length`` pixels of HR, under each convention."""
    figure, axes = make_figure(1, 1, WIDTH, 0.5 + 0.45 * len(centres))
    axis = axes[0, 0]
    for edge in range(length + 1):
        axis.axvline(edge - 0.5, color="0.85", linewidth=0.8)
    for i, places in enumerate(centres.values()):
        axis.plot(places, [-i] * len(places), "o", markersize=9, color=COLOURS[i % len(COLOURS)])
    axis.set_yticks([-i for i in range(len(centres))], list(centres), fontsize=9)
    axis.set(xlim=(-0.6, length - 0.4), ylim=(0.6 - len(centres), 0.4), xticks=range(length))
    axis.set_xlabel("HR pixel")
    axis.set_title("Each convention puts the pixels of LR elsewhere", fontsize=10)
    axis.tick_params(left=False)
    for side in ("top", "left", "right"):
        axis.spines[side].set_visible(False)
    return figure
