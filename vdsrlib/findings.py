"""What the runs of a study say: curves over the seeds, comparisons, verdicts and power laws.

A run that has diverged counts as a PSNR of minus infinity.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import curve_fit

from vdsrlib.files import InputError

EPOCHS = 80  # of the paper's training; an epoch here is one eightieth of a run's steps

Result = dict[str, Any]
"""What a run gave: label, value, seed, images, recipe, validation, loss, diverged (the step, or None) …"""

AS_IT_IS = "as it is"
"""Label of the runs with which the study of ingredients compares all others."""


class Comparison(NamedTuple):
    """PSNR of one network minus that of another, in dB, a number a seed.

    Infinite where one of the two has diverged, and not a number where both have.
    """

    differences: tuple[float, ...]

    def at_least(self, bound: float) -> str:
        """Whether the differences lie above the bound: "supported", "not supported", or "undecided"."""
        if self.differences and all(value > bound for value in self.differences):
            return "supported"
        below = self.differences and all(value < bound for value in self.differences)
        return "not supported" if below else "undecided"

    def _words(self, unit: str, over: str) -> str:
        if not self.differences:
            return "no runs"
        lost = sum(not math.isfinite(value) for value in self.differences)
        if lost:
            return f"diverged for {lost} of {len(self.differences)} seeds"
        low, high = min(self.differences), max(self.differences)
        return f"{np.mean(self.differences):+.2f}{unit} ({low:+.2f} to {high:+.2f}{over})"

    @property
    def cell(self) -> str:
        """The mean and the range, for a table whose head has the unit."""
        return self._words("", "")

    def __str__(self) -> str:
        seeds = f"{len(self.differences)} seed{'s' * (len(self.differences) > 1)}"
        return self._words(" dB", f" over {seeds}")


class Verdict(NamedTuple):
    """What the runs say of a claim: one word for all of it, and the sentences behind it."""

    status: str
    lines: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join([f"{self.status} at this size:", *(f"  {line}" for line in self.lines)])


class PowerLaw(NamedTuple):
    """limit - factor * x ** -exponent, and how it was found.

    Attributes:
        limit: what it tends to.
        factor: positive.
        exponent: positive.
        error: root of the mean squared distance of the points from it.
        least: of the points' x.
        most: of the points' x.

    With a tiny exponent it cannot be told from a logarithm, with a large one it is at its limit; as text it
    then says so.
    """

    limit: float
    factor: float
    exponent: float
    error: float
    least: float
    most: float

    def __call__(self, x: Any) -> Any:
        """The law's value at x."""
        return self.limit - self.factor * np.asarray(x, dtype=float) ** -self.exponent

    @property
    def grows(self) -> bool:
        """Whether it grows between the points by more than they scatter about it."""
        return bool(self(self.most) - self(self.least) > self.error)

    def __str__(self) -> str:
        if not self.grows:
            return f"no growth beyond the scatter of {self.error:.2f} dB"
        words = f"gain = {self.limit:.2f} - {self.factor:.2f} n^-{self.exponent:.2f} dB"
        if self.exponent < 0.05:
            words = "the gain grows as the logarithm of n, no limit in sight"
        if self.exponent > 3:
            words = f"the gain has reached its limit, {self.limit:.2f} dB"
        twice = self(2 * self.most) - self(self.most)
        return f"{words}, to within {self.error:.2f} dB; twice {self.most:g} would add {twice:+.2f} dB"


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


def of(results: Iterable[Result], label: str) -> list[Result]:
    """The results of that label, one a seed."""
    return [result for result in results if result["label"] == label]


def scales_of(results: Iterable[Result]) -> list[float]:
    """The scales at which all of the results were measured."""
    return sorted(set.intersection(*(set(result["scales"]) for result in results)))


def compare(
    results: Sequence[Result], one: str, other: str, scale: float, epoch: float = EPOCHS
) -> Comparison:
    """PSNR of label ``one`` minus that of ``other``, seed by seed."""
    first, second = (
        {run["seed"]: psnr(run, scale, epoch) for run in of(results, name)} for name in (one, other)
    )
    return Comparison(tuple(first[seed] - second[seed] for seed in first if seed in second))


Curve = tuple[Sequence[float], list[float], list[float], list[float]]
"""x, and the mean, the least and the greatest of the seeds there; what has diverged is left out."""


def curve(x: Sequence[float], values: Sequence[Sequence[float]]) -> Curve:
    """The curve of these values, a row for every x and in it a number for every seed."""
    finite = [[value for value in row if math.isfinite(value)] or [math.nan] for row in values]
    means = [float(np.mean(row)) for row in finite]
    return x, means, [min(row) for row in finite], [max(row) for row in finite]


def over_epochs(results: Sequence[Result], label: str, scale: float) -> Curve:
    """PSNR in dB of a label's runs over the epochs at which it was measured."""
    runs = of(results, label)
    steps = runs[0]["recipe"]["steps"]
    measured = max((run["validation"] for run in runs), key=len)
    epochs = [row["step"] * EPOCHS / steps for row in measured]
    return curve(epochs, [[psnr(run, scale, epoch) for run in runs] for epoch in epochs])


def over_values(results: Sequence[Result], scale: float) -> Curve:
    """The last gain in dB over interpolation, over what the study varies."""
    ranked = sorted(labels(results), key=lambda label: of(results, label)[0]["value"])
    runs = [of(results, label) for label in ranked]
    return curve([row[0]["value"] for row in runs], [[gain(run, scale) for run in row] for row in runs])


def over_steps(results: Sequence[Result], label: str) -> Curve:
    """The loss of a label's runs over the steps."""
    losses = [dict(run["loss"]) for run in of(results, label)]
    steps = max(losses, key=len)
    return curve(list(steps), [[loss.get(step, math.nan) for loss in losses] for step in steps])


def table(results: Sequence[Result]) -> tuple[list[list[str]], list[str]]:
    """Rows and headers: the last PSNR in dB of every label at every scale, and its gain, over the seeds."""
    scales = scales_of(results)
    rows = []
    for label in labels(results):
        runs = of(results, label)
        row = [label]
        for scale in scales:
            _, (mean,), (low,), (high,) = curve([0], [[psnr(run, scale) for run in runs]])
            _, (more,), _, _ = curve([0], [[gain(run, scale) for run in runs]])
            row.append("" if math.isnan(mean) else f"{mean:.2f} ({low:.2f} to {high:.2f}), {more:+.2f}")
        lost = sum(run["diverged"] is not None for run in runs)
        rows.append([*row, f"{lost} of {len(runs)}"])
    return rows, ["", *(f"×{scale:g}: PSNR (least to greatest), gain" for scale in scales), "diverged"]


def _together(statuses: Iterable[str]) -> str:
    found = set(statuses)
    if len(found) == 1:
        return found.pop()
    return "partly supported" if found & {"supported", "partly supported"} else "undecided"


def judge_growth(results: Sequence[Result]) -> Verdict:
    """More is better: the most above the least for every seed, and the best on average, at every scale."""
    ranked = sorted(labels(results), key=lambda label: of(results, label)[0]["value"])
    lines, statuses = [], []
    for scale in scales_of(results):
        found = compare(results, ranked[-1], ranked[0], scale)
        best = max(ranked, key=lambda label: np.mean([psnr(run, scale) for run in of(results, label)]))
        partly = best != ranked[-1] and found.at_least(0) == "supported"
        statuses.append("partly supported" if partly else found.at_least(0))
        most = f"{ranked[-1]} minus {ranked[0]}: {found}"
        lines.append(f"×{scale:g}: {most}; the best on average: {best}: {statuses[-1]}")
    return Verdict(_together(statuses), tuple(lines))


def judge_residual(results: Sequence[Result]) -> Verdict:
    """Faster: above after an eighth of the steps. Higher: above at the end. At every rate.

    Where the residual networks end against interpolation is said as well, and is no part of the verdict.
    """
    lines, statuses = [], []
    for rate in dict.fromkeys(result["value"] for result in results):
        pair = [f"{kind}, rate {rate:g}" for kind in ("residual", "non-residual")]
        for epoch in (EPOCHS // 8, EPOCHS):
            for scale in scales_of(results):
                found = compare(results, pair[0], pair[1], scale, epoch)
                statuses.append(found.at_least(0))
                lines.append(
                    f"rate {rate:g}, epoch {epoch}: residual minus non-residual: {found}: {statuses[-1]}"
                )
        for scale in scales_of(results):
            ends = Comparison(tuple(gain(run, scale) for run in of(results, pair[0])))
            lines.append(f"rate {rate:g}, epoch {EPOCHS}: residual minus interpolation: {ends}")
    return Verdict(_together(statuses), tuple(lines))


def judge_clipping(results: Sequence[Result]) -> Verdict:
    """Without clipping a run diverges; with the elementwise rule none does."""
    lines, statuses = [], []
    for label in labels(results):
        runs = of(results, label)
        lost = sum(run["diverged"] is not None for run in runs)
        ends = [gain(run, scale) for run in runs for scale in scales_of(runs) if not run["diverged"]]
        after = f"; at the end, minus interpolation: {min(ends):+.2f} to {max(ends):+.2f} dB" if ends else ""
        lines.append(f"{label}: {lost} of {len(runs)} runs diverge{after}")
        if label == "none" or label.startswith("element"):
            as_claimed = lost == (len(runs) if label == "none" else 0)
            statuses.append("supported" if as_claimed else "not supported")
    return Verdict(_together(statuses), tuple(lines))


TOLERANCE = 0.05  # dB; the paper's own network for all scales is 0.04 dB below the one for ×2


def judge_scales(results: Sequence[Result]) -> Verdict:
    """One network for all scales is as good as one for each: not below it by more than the tolerance."""
    joint = max(results, key=lambda run: len(run["recipe"]["scales"]))["label"]
    lines, statuses = [], []
    for scale in scales_of(results):
        single = f"×{scale:g}"
        if single != joint and of(results, single):
            found = compare(results, joint, single, scale)
            statuses.append(found.at_least(-TOLERANCE))
            lines.append(f"tested at {single}: {joint} minus {single} alone: {found}: {statuses[-1]}")
    return Verdict(_together(statuses), tuple(lines))


def judge_curve(results: Sequence[Result]) -> Verdict:
    """More is better; and how the gain grows."""
    verdict = judge_growth(results)
    lines = list(verdict.lines)
    for scale in scales_of(results):
        try:
            law: object = fit_power_law(*zip(*((r["value"], gain(r, scale)) for r in results), strict=True))
        except InputError as error:
            law = error
        lines.append(f"×{scale:g}: {law}")
    return Verdict(verdict.status, tuple(lines))


def judge_ingredients(results: Sequence[Result]) -> Verdict:
    """Every change makes the recipe worse, at every scale."""
    if not any(run["diverged"] is None for run in of(results, AS_IT_IS)):
        return Verdict(
            "undecided", ("no run of the recipe as it is came to its end: nothing to compare with",)
        )
    lines, statuses = [], []
    for label in labels(results):
        if label != AS_IT_IS:
            changed = {scale: compare(results, label, AS_IT_IS, scale) for scale in scales_of(results)}
            worse = [compare(results, AS_IT_IS, label, scale).at_least(0) for scale in changed]
            statuses.append(_together(worse))
            cells = ", ".join(f"×{scale:g} {found.cell}" for scale, found in changed.items())
            lines.append(f"{label}: {cells}, in dB: {statuses[-1]}")
    return Verdict(_together(statuses), tuple(lines))


def fit_power_law(x: Sequence[float], y: Sequence[float]) -> PowerLaw:
    """Fit limit - factor * x ** -exponent by least squares, with a positive factor and exponent.

    Args:
        x: positive; at least four different values, since the law has three parameters.
        y: as many numbers; those that are not finite are left out.

    Raises:
        InputError: there are fewer than four different values, or no such law fits.
    """
    at, values = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    at, values = at[np.isfinite(values)], values[np.isfinite(values)]
    if len(set(at)) < 4:
        raise InputError("A power law needs at least four different values.")
    unit = at.min()  # so that the numbers are about 1, whatever x counts

    def law(x: np.ndarray, limit: float, factor: float, exponent: float) -> np.ndarray:
        return limit - factor * x**-exponent

    try:
        (limit, factor, exponent), _ = curve_fit(
            law,
            at / unit,
            values,
            p0=(values.max(), max(np.ptp(values), 1e-6), 0.5),
            bounds=([-np.inf, 0, 0.01], [np.inf, np.inf, 10]),
        )
    except RuntimeError:
        raise InputError("No power law fits these values.") from None
    error = float(np.sqrt(np.mean((law(at / unit, limit, factor, exponent) - values) ** 2)))
    span = float(at.min()), float(at.max())
    return PowerLaw(float(limit), float(factor * unit**exponent), float(exponent), error, *span)
