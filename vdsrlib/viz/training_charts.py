"""Charts of trainings."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from vdsrlib.viz.figures import WIDTH, make_figure
from vdsrlib.viz.palette import COLOURS, STYLES


def training_curves(
    history: Sequence[Mapping[str, float]], validation: Sequence[Mapping[str, Any]]
) -> Figure:
    """Draw loss and learning rate over steps, and PSNR of the validation set with interpolation dashed."""
    figure, axes = make_figure(1, 2, WIDTH, 3.3)
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
