"""What the runs of a study say of a claim."""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from vdsrlib.errors import InputError
from vdsrlib.studies.power_law import fit_power_law
from vdsrlib.studies.results import (
    AS_IT_IS,
    EPOCHS,
    Result,
    gain,
    labels,
    psnr,
    scales_of,
    with_label,
)


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


def compare(
    results: Sequence[Result], one: str, other: str, scale: float, epoch: float = EPOCHS
) -> Comparison:
    """PSNR of label ``one`` minus that of ``other``, seed by seed."""
    first, second = (
        {run["seed"]: psnr(run, scale, epoch) for run in with_label(results, name)} for name in (one, other)
    )
    return Comparison(tuple(first[seed] - second[seed] for seed in first if seed in second))


def _together(statuses: Iterable[str]) -> str:
    found = set(statuses)
    if len(found) == 1:
        return found.pop()
    return "partly supported" if found & {"supported", "partly supported"} else "undecided"


def judge_growth(results: Sequence[Result]) -> Verdict:
    """More is better: the most above the least for every seed, and the best on average, at every scale."""
    ranked = sorted(labels(results), key=lambda label: with_label(results, label)[0]["value"])
    lines, statuses = [], []
    for scale in scales_of(results):
        found = compare(results, ranked[-1], ranked[0], scale)
        best = max(
            ranked, key=lambda label: np.mean([psnr(run, scale) for run in with_label(results, label)])
        )
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
            ends = Comparison(tuple(gain(run, scale) for run in with_label(results, pair[0])))
            lines.append(f"rate {rate:g}, epoch {EPOCHS}: residual minus interpolation: {ends}")
    return Verdict(_together(statuses), tuple(lines))


def judge_clipping(results: Sequence[Result]) -> Verdict:
    """Without clipping a run diverges; with the elementwise rule none does."""
    lines, statuses = [], []
    for label in labels(results):
        runs = with_label(results, label)
        lost = sum(run["diverged"] is not None for run in runs)
        ends = [gain(run, scale) for run in runs for scale in scales_of(runs) if not run["diverged"]]
        after = f"; at the end, minus interpolation: {min(ends):+.2f} to {max(ends):+.2f} dB" if ends else ""
        lines.append(f"{label}: {lost} of {len(runs)} runs diverge{after}")
        if label == "none" or label.startswith("value"):
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
        if single != joint and with_label(results, single):
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
    if not any(run["diverged"] is None for run in with_label(results, AS_IT_IS)):
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
