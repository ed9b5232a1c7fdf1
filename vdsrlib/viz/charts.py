"""Charts of results."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from vdsrlib.viz.figures import WIDTH, make_figure
from vdsrlib.viz.palette import COLOURS, STYLES

MARKED = 20  # points that a curve may have for each to be marked


Curves = Mapping[str, tuple[Sequence[float], ...]]
"""Name -> x and y; or x, y, and the least and greatest y, between which a band is drawn."""


def line_plot(
    curves: Curves,
    xlabel: str,
    ylabel: str,
    *,
    title: str = "",
    logx: bool = False,
    logy: bool = False,
    beside: bool = False,
    group: int = 1,
) -> Figure:
    """Draw curves by name, told apart by colour and dash.

    Args:
        curves: by name.
        xlabel: what x is, with its unit.
        ylabel: likewise.
        title: above the axes.
        logx: whether x is on a logarithmic axis.
        logy: likewise.
        beside: whether the names stand beside the axes, rather than where there is room within them.
        group: so many curves in turn share a colour.
    """
    figure, axes = make_figure(1, 1, WIDTH if beside else 7.5, 3.4)
    axis = axes[0, 0]
    _draw_curves(axis, curves, group, logx)
    axis.set(xlabel=xlabel, ylabel=ylabel)
    axis.set_title(title, fontsize=10)
    if logy:
        axis.set_yscale("log")
    if beside:
        _legend_beside(figure, axis)
    elif len(curves) > 1:
        axis.legend(frameon=False, fontsize=9)
    return figure


def zoomed_plot(
    curves: Curves,
    xlabel: str,
    ylabel: str,
    level: tuple[str, float],
    zoom: tuple[float, float],
    *,
    title: str = "",
    logy: bool = False,
    group: int = 1,
) -> Figure:
    """Draw curves whole, and below them the part between two heights.

    Args:
        curves: by name.
        xlabel: what x is, with its unit.
        ylabel: likewise.
        level: name and height of a dashed black line across both panels.
        zoom: the least and the greatest y of the panel below.
        title: above the axes.
        logy: whether y is on a logarithmic axis in the upper panel.
        group: so many curves in turn share a colour.
    """
    figure, axes = make_figure(2, 1, WIDTH, 5.2)
    for axis in axes[:, 0]:
        _draw_curves(axis, curves, group)
        axis.axhline(level[1], color="black", linestyle="--", linewidth=1.2, label=level[0])
        axis.set_ylabel(ylabel)
    whole, below = axes[:, 0]
    whole.set_title(title, fontsize=10)
    below.set(xlabel=xlabel, ylim=zoom)
    below.set_title(f"the same, from {zoom[0]:.3g} to {zoom[1]:.3g}", fontsize=10)
    if logy:
        whole.set_yscale("log")
    _legend_beside(figure, whole)
    return figure


def _draw_curves(axis: Axes, curves: Curves, group: int = 1, logx: bool = False) -> None:
    """Draw curves and their bands, with markers where there are few points."""
    longest = max((x for x, *_ in curves.values()), key=len)
    for i, (name, (x, y, *band)) in enumerate(curves.items()):
        style, colour = STYLES[i % (4 if group == 1 else group)], COLOURS[i // group % len(COLOURS)]
        marker = "o" if len(longest) <= MARKED else ""
        axis.plot(x, y, style, marker=marker, markersize=3.5, color=colour, label=name)
        if band:
            axis.fill_between(x, band[0], band[1], color=colour, alpha=0.18, linewidth=0)
    axis.grid(alpha=0.3)
    _set_ticks(axis, longest, logx)


def _legend_beside(figure: Figure, axis: Axes) -> None:
    figure.legend(*axis.get_legend_handles_labels(), loc="outside right upper", frameon=False, fontsize=9)


def _set_ticks(axis: Axes, x: Sequence[float], logx: bool) -> None:
    """Ticks at the points where there are few, else at round numbers."""
    if logx:
        axis.set_xscale("log")
        axis.minorticks_off()
    if len(x) <= 14:
        axis.set_xticks(x, [f"{tick:g}" for tick in x], fontsize=10 if len(x) <= 10 else 8)
    else:
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))


def dumbbell_plot(
    pairs: Mapping[str, tuple[float, float]],
    names: tuple[str, str],
    marks: Mapping[str, float],
    xlabel: str,
    title: str = "",
) -> Figure:
    """Draw two numbers in each row, joined by a line; ``marks`` are vertical lines with a name."""
    figure, axes = make_figure(1, 1, 9, 0.5 * len(pairs) + 1.4)
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
    axis.set_title(title, fontsize=10)
    axis.set_yticks(rows, list(pairs))
    axis.legend(frameon=False, fontsize=9, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)
    axis.grid(axis="x", alpha=0.3)
    return figure


def difference_plot(
    points: Mapping[str, tuple[Sequence[float], Sequence[float]]], xlabel: str, ylabel: str, title: str = ""
) -> Figure:
    """Draw pairs x, y by name as y - x over x: above the line, y is the greater."""
    figure, axes = make_figure(1, 1, 7.5, 3.8)
    axis = axes[0, 0]
    for i, (name, (x, y)) in enumerate(points.items()):
        marker, colour = "os^D"[i % 4], COLOURS[i % len(COLOURS)]
        axis.scatter(x, np.subtract(y, x), s=18, alpha=0.7, marker=marker, color=colour, label=name)
    axis.axhline(0, color="0.4", linewidth=1)
    axis.set(xlabel=xlabel, ylabel=ylabel)
    axis.set_title(title, fontsize=10)
    _legend_beside(figure, axis)
    axis.grid(alpha=0.3)
    return figure


def histograms(values: Mapping[str, np.ndarray], xlabel: str) -> Figure:
    """Draw histograms of several arrays on one logarithmic axis."""
    figure, axes = make_figure(1, 1, 7.5, 3)
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


def heat_maps(values: Mapping[str, np.ndarray], label: str) -> Figure:
    """Draw signed arrays in blue and red about 0, all in one range."""
    height, width = next(iter(values.values())).shape
    panel = WIDTH / max(2, len(values)) - 0.4
    figure, axes = make_figure(1, len(values), panel * len(values) + 0.9, panel * height / width + 0.4)
    limit = max(float(np.quantile(np.abs(value), 0.999)) for value in values.values())
    for axis, (title, value) in zip(axes[0], values.items(), strict=True):
        drawn = axis.imshow(value, cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
        axis.set_title(title, fontsize=9)
        axis.tick_params(labelsize=8)
    figure.colorbar(drawn, ax=axes[0, -1], label=label, shrink=0.85)
    return figure
