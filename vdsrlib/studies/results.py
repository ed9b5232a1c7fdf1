"""Results of studies as tidy pandas frames.

A run that diverged counts as a PSNR of minus infinity from there on.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from vdsrlib.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

EPOCHS = 80  # of the paper's training; an epoch here is one eightieth of a run's steps

UNCHANGED = "as it is"  # label of the runs with which the study of ingredients compares all others

Result = Mapping[str, Any]
"""The record of one run: label, value, seed, scales, recipe, validation, loss, diverged (step or None), …"""

Curve = tuple[list[float], list[float], list[float], list[float]]
"""x, and the mean, the least and the greatest y of the seeds there; diverged runs are left out."""


def score_frame(runs: Sequence[Result]) -> "pd.DataFrame":
    """Read the scores of runs into a tidy frame.

    Args:
        runs: as ``run_grid`` returns them, or as a stored record keeps them.

    Returns:
        One row for every run, scale and validation: label, value, seed, scale, epoch, psnr, interpolation
        and gain (all in dB), and whether the run diverged in the end. A diverged run also has a row for each
        epoch that it did not reach. Scales at which only some of the runs were measured are left out.

    Raises:
        InputError: there are no runs.
    """
    import pandas as pd

    if not runs:
        raise InputError("no run of the study came to its end")

    scales = sorted(set.intersection(*(set(run["scales"]) for run in runs)))
    epochs: dict[str, set[float]] = {run["label"]: {EPOCHS} for run in runs}
    for run in runs:
        epochs[run["label"]] |= {_epoch(run, row["step"]) for row in run["validation"]}
    rows = []
    for run in runs:
        measured = {_epoch(run, row["step"]): row["psnr"] for row in run["validation"]}
        lost = math.inf if run["diverged"] is None else _epoch(run, run["diverged"])
        for epoch in sorted({epoch for epoch in epochs[run["label"]] if epoch >= lost} | set(measured)):
            for scale in scales:
                psnr, interpolation = -math.inf, math.nan
                if epoch < lost:
                    found = measured[epoch][f"{scale:g}"]
                    psnr, interpolation = found["model"], found["interpolation"]
                gain = psnr - interpolation if psnr > -math.inf else psnr
                head = run["label"], run["value"], run["seed"], scale, epoch
                rows.append((*head, psnr, interpolation, gain, run["diverged"] is not None))
    columns = "label", "value", "seed", "scale", "epoch", "psnr", "interpolation", "gain", "diverged"
    return pd.DataFrame(rows, columns=columns)


def loss_frame(runs: Iterable[Result]) -> "pd.DataFrame":
    """Read the losses of runs into a tidy frame: label, value, seed, step, loss.

    A diverged run ends with NaN, at the step where it was found to have diverged.
    """
    import pandas as pd

    rows = []
    for run in runs:
        ends = [] if run["diverged"] is None else [(run["diverged"], math.nan)]
        for step, loss in [*run["loss"], *ends]:
            rows.append((run["label"], run["value"], run["seed"], step, loss))
    return pd.DataFrame(rows, columns=["label", "value", "seed", "step", "loss"])


def _epoch(run: Result, step: int) -> float:
    return step * EPOCHS / run["recipe"]["steps"]


def at_epoch(scores: "pd.DataFrame", epoch: float = EPOCHS) -> "pd.DataFrame":
    """Select each run's validation that is nearest to an epoch, by default the last."""
    distance = (scores["epoch"] - epoch).abs()
    return scores.loc[
        distance.groupby([scores[key] for key in ("label", "seed", "scale")], sort=False).idxmin()
    ]


def curves(rows: "pd.DataFrame", x: str, y: str, by: str) -> dict[str, Curve]:
    """Average column ``y`` over the seeds at every value of column ``x``, apart for each value of ``by``.

    >>> import pandas as pd
    >>> runs = pd.DataFrame({"value": [5, 5, 8], "gain": [1.0, 3.0, 4.0], "scale": 2.0})
    >>> curves(runs, "value", "gain", by="scale")
    {'×2': ([5, 8], [2.0, 4.0], [1.0, 4.0], [3.0, 4.0])}
    """
    return {
        f"×{key:g}" if by == "scale" else str(key): _curve(group, x, y)
        for key, group in rows.groupby(by, sort=False)
    }


def _curve(rows: "pd.DataFrame", x: str, y: str) -> Curve:
    found = rows[y].where(np.isfinite(rows[y])).groupby(rows[x]).agg(["mean", "min", "max"])
    return (found.index.to_list(), *(found[name].to_list() for name in found))


def describe_runs(runs: Sequence[Result], study: str) -> str:
    """Say what all runs of a study share: depth, width, steps and patches, unless it is what they vary."""
    recipe = runs[0]["recipe"]
    depth = "" if study == "depth" else f"depth {recipe['depth']}, "
    steps = "steps" if study == "steps" else f"{recipe['steps']} steps"
    patches = f"{recipe['batch_size']} patches of {recipe['patch_size']} × {recipe['patch_size']}"
    return f"{depth}width {recipe['width']}, {steps} of {patches}"


def spread(values: "pd.Series[float]") -> str:
    """Format the mean, the least and the greatest of the finite numbers; nothing where there are none."""
    values = values[np.isfinite(values)]
    if values.empty:
        return ""
    return f"{values.mean():.2f} ({values.min():.2f} to {values.max():.2f})"


def score_table(scores: "pd.DataFrame") -> "pd.DataFrame":
    """Summarise the last scores as text: a row a label, a column a scale, and how many runs diverged."""
    import pandas as pd

    last = at_epoch(scores)
    columns = {}
    for scale, rows in last.groupby("scale"):
        runs = rows.groupby("label", sort=False)
        gains = runs["gain"].agg(lambda gain: gain[np.isfinite(gain)].mean())
        columns[f"×{scale:g}: PSNR (least to greatest), gain"] = runs["psnr"].agg(spread) + gains.map(
            lambda gain: f", {gain:+.2f}", na_action="ignore"
        ).fillna("")
    runs = last.drop_duplicates(["label", "seed"]).groupby("label", sort=False)["diverged"]
    columns["diverged"] = runs.agg(lambda lost: f"{lost.sum()} of {len(lost)}")
    return pd.DataFrame(columns).rename_axis(None)
