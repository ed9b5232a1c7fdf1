"""Charts of numbers, as matplotlib figures."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator

from vdsrlib.imaging.resize import cubic
from vdsrlib.inference.features import Statistics, central_shares

# Okabe and Ito's palette, told apart with every kind of colour vision.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
STYLES = ("-", "--", ":", "-.")
DPI = 80
WIDTH = 10.5  # inches, of a full row


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


def dumbbell_plot(
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


def difference_plot(
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


def receptive_field_plot(gradient: np.ndarray, field: int) -> Figure:
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
