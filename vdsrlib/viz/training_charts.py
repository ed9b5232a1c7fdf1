"""Charts of trainings."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from vdsrlib.viz.figures import WIDTH, make_figure
from vdsrlib.viz.palette import COLOURS, STYLES


def training_curves(
    history: Sequence[Mapping[str, float]], validation: Sequence[Mapping[str, Any]], title: str = ""
) -> Figure:
    """Draw loss and learning rate over steps, and how far PSNR of the validation set is above interpolation.

    The loss jumps with the patches of a batch. It is drawn relative to that of interpolation on the same
    patches where that is recorded, pale as it is, and as the mean of a tenth of the run.
    """
    figure, axes = make_figure(1, 2, WIDTH, 3.3)
    figure.suptitle(title, fontsize=10)
    steps, losses = (np.array([row[key] for row in history]) for key in ("step", "loss"))
    relative = all("interpolation_loss" in row for row in history)
    base = np.array([row["interpolation_loss"] if relative else 1.0 for row in history])
    points = max(1, len(steps) // 10)
    means = [np.convolve(values, np.full(points, 1 / points), "valid") for values in (losses, base)]
    loss, rate = axes[0, 0], axes[0, 0].twinx()
    loss.plot(steps, losses / base, color=COLOURS[0], linewidth=0.8, alpha=0.35)
    loss.plot(steps[points - 1 :], means[0] / means[1], color=COLOURS[0], linewidth=1.8)
    label = "loss / that of interpolation" if relative else "loss"
    loss.set(xlabel="step", ylabel=f"{label}, mean of {steps[points - 1]:.0f} steps", yscale="log")
    loss.yaxis.set_major_formatter("{x:.3g}")
    if max(losses / base) < 10 * min(losses / base):  # else the powers of ten are labels enough
        loss.yaxis.set_minor_formatter("{x:.2g}")
    rate.plot(steps, [row["learning_rate"] for row in history], ":", color=COLOURS[1])
    rate.set_ylabel("learning rate (dotted)", color=COLOURS[1])
    scores = axes[0, 1]
    for i, scale in enumerate(validation[-1]["psnr"]):
        pairs = [row["psnr"][scale] for row in validation]
        gains = [pair["model"] - pair["interpolation"] for pair in pairs]
        style, colour = STYLES[i % len(STYLES)] + "o", COLOURS[i % len(COLOURS)]
        scores.plot(
            [row["step"] for row in validation], gains, style, color=colour, label=f"×{scale}", markersize=4
        )
    scores.axhline(0, color="black", linewidth=1)
    scores.set(xlabel="step", ylabel="PSNR above interpolation (dB)")
    scores.legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(1, 1))
    scores.grid(alpha=0.3)
    return figure


def watch_plot(
    psnr: Mapping[int, float], interpolation: float, images: Mapping[str, np.ndarray], title: str = ""
) -> Figure:
    """Draw PSNR over the steps so far, and beside it parts of images.

    Args:
        psnr: step -> dB.
        interpolation: dB, a dashed line.
        images: title -> floating in [0, 1], H x W.
        title: of the curve.
    """
    ratios = [2.2, *([1] * len(images))]
    figure, axes = make_figure(1, len(ratios), WIDTH, 2.7, width_ratios=ratios)
    curve, *panels = axes[0]
    curve.plot(list(psnr), list(psnr.values()), "o-", color=COLOURS[0], markersize=3.5, label="network")
    curve.axhline(interpolation, color="black", linestyle="--", linewidth=1.2, label="interpolation")
    curve.set(xlabel="step", ylabel="PSNR (dB)", ylim=(interpolation - 1.5, interpolation + 1.5))
    curve.set_title(title, fontsize=10)
    curve.legend(frameon=False, fontsize=9, loc="lower right")
    curve.grid(alpha=0.3)
    for axis, (name, image) in zip(panels, images.items(), strict=True):
        axis.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axis.set_title(name, fontsize=10)
        axis.axis("off")
    return figure


def loss_curves(histories: Mapping[str, Sequence[Mapping[str, float]]], points: int = 5) -> Figure:
    """Draw the loss of several runs over their steps, side by side by the first word of their names.

    Args:
        histories: "group-name" -> rows of "step" and "loss", as a run records them.
        points: rows to average over, since the loss of a batch jumps with its patches. A row of the record is
            the mean of the steps since the row before.
    """
    groups = list(dict.fromkeys(name.partition("-")[0] for name in histories))
    figure, axes = make_figure(1, len(groups), WIDTH, 3.4)
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
