"""What the runs of a study say: curves over the seeds, comparisons, verdicts and power laws.

A run that has diverged counts as a PSNR of minus infinity.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

EPOCHS = 80  # of the paper's training; an epoch here is one eightieth of a run's steps


Result = dict[str, Any]
"""What a run gave: label, value, seed, images, recipe, validation, loss, diverged (the step, or None) …"""


AS_IT_IS = "as it is"
"""Label of the runs with which the study of ingredients compares all others."""


def psnr(result: Result, scale: float, epoch: float = EPOCHS) -> float:
    """PSNR in dB at an epoch, by default the last; minus infinity from where the run has diverged."""
    step = result["recipe"]["steps"] * epoch / EPOCHS
    if result["diverged"] is not None and step >= result["diverged"]:
        return -math.inf
    nearest = min(result["validation"], key=lambda row: abs(row["step"] - step))
    return nearest["psnr"][f"{scale:g}"]["model"]


def gain(result: Result, scale: float) -> float:
    """The last PSNR minus that of interpolation, in dB; minus infinity where the run has diverged."""
    last = psnr(result, scale)
    return (
        last - result["validation"][-1]["psnr"][f"{scale:g}"]["interpolation"] if last > -math.inf else last
    )


def labels(results: Iterable[Result]) -> list[str]:
    """The labels of the results, each once, in their order."""
    return list(dict.fromkeys(result["label"] for result in results))


def with_label(results: Iterable[Result], label: str) -> list[Result]:
    """The results of that label, one a seed."""
    return [result for result in results if result["label"] == label]


def scales_of(results: Iterable[Result]) -> list[float]:
    """The scales at which all of the results were measured."""
    return sorted(set.intersection(*(set(result["scales"]) for result in results)))


Curve = tuple[Sequence[float], list[float], list[float], list[float]]
"""x, and the mean, the least and the greatest of the seeds there; what has diverged is left out."""


def curve(x: Sequence[float], values: Sequence[Sequence[float]]) -> Curve:
    """The curve of these values, a row for every x and in it a number for every seed."""
    finite = [[value for value in row if math.isfinite(value)] or [math.nan] for row in values]
    means = [float(np.mean(row)) for row in finite]
    return x, means, [min(row) for row in finite], [max(row) for row in finite]


def over_epochs(results: Sequence[Result], label: str, scale: float) -> Curve:
    """PSNR in dB of a label's runs over the epochs at which it was measured."""
    runs = with_label(results, label)
    steps = runs[0]["recipe"]["steps"]
    measured = max((run["validation"] for run in runs), key=len)
    epochs = [row["step"] * EPOCHS / steps for row in measured]
    return curve(epochs, [[psnr(run, scale, epoch) for run in runs] for epoch in epochs])


def over_values(results: Sequence[Result], scale: float) -> Curve:
    """The last gain in dB over interpolation, over what the study varies."""
    ranked = sorted(labels(results), key=lambda label: with_label(results, label)[0]["value"])
    runs = [with_label(results, label) for label in ranked]
    return curve([row[0]["value"] for row in runs], [[gain(run, scale) for run in row] for row in runs])


def over_steps(results: Sequence[Result], label: str) -> Curve:
    """The loss of a label's runs over the steps."""
    losses = [dict(run["loss"]) for run in with_label(results, label)]
    steps = max(losses, key=len)
    return curve(list(steps), [[loss.get(step, math.nan) for loss in losses] for step in steps])


def score_table(results: Sequence[Result]) -> tuple[list[list[str]], list[str]]:
    """Rows and headers: the last PSNR in dB of every label at every scale, and its gain, over the seeds."""
    scales = scales_of(results)
    rows = []
    for label in labels(results):
        runs = with_label(results, label)
        row = [label]
        for scale in scales:
            _, (mean,), (low,), (high,) = curve([0], [[psnr(run, scale) for run in runs]])
            _, (more,), _, _ = curve([0], [[gain(run, scale) for run in runs]])
            row.append("" if math.isnan(mean) else f"{mean:.2f} ({low:.2f} to {high:.2f}), {more:+.2f}")
        lost = sum(run["diverged"] is not None for run in runs)
        rows.append([*row, f"{lost} of {len(runs)}"])
    return rows, ["", *(f"×{scale:g}: PSNR (least to greatest), gain" for scale in scales), "diverged"]
