"""Judge a claim of the paper by the runs of a study."""

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vdsrlib.errors import InputError
from vdsrlib.studies.power_law import fit_power_law
from vdsrlib.studies.results import EPOCHS, UNCHANGED, at_epoch
from vdsrlib.utils.parsing import parse_scales

if TYPE_CHECKING:
    import pandas as pd

TOLERANCE = 0.05  # dB; the paper's own network for all scales is 0.04 dB below the one for ×2


class Comparison(NamedTuple):
    """PSNR of one network minus that of another, in dB, for each seed.

    A number is infinite where one of the two has diverged, and NaN where both have.
    """

    differences: tuple[float, ...]

    def at_least(self, bound: float) -> str:
        """Tell whether all differences lie above the bound: "supported", "not supported" or "undecided"."""
        if self.differences and all(value > bound for value in self.differences):
            return "supported"
        below = self.differences and all(value < bound for value in self.differences)
        return "not supported" if below else "undecided"

    def _formatted(self, unit: str, over: str) -> str:
        if not self.differences:
            return "no runs"
        lost = sum(not math.isfinite(value) for value in self.differences)
        if lost:
            return f"diverged for {lost} of {len(self.differences)} seeds"
        low, high = min(self.differences), max(self.differences)
        return f"{np.mean(self.differences):+.2f}{unit} ({low:+.2f} to {high:+.2f}{over})"

    @property
    def cell(self) -> str:
        """The mean and the range, for a table whose header has the unit."""
        return self._formatted("", "")

    def __str__(self) -> str:
        seeds = f"{len(self.differences)} seed{'s' * (len(self.differences) > 1)}"
        return self._formatted(" dB", f" over {seeds}")


class Verdict(NamedTuple):
    """What the runs say of a claim: one word for all of it, and the sentences behind it."""

    status: str
    lines: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join([f"{self.status} at this size:", *(f"  {line}" for line in self.lines)])


def compare(scores: "pd.DataFrame", one: str, other: str, scale: float, epoch: float = EPOCHS) -> Comparison:
    """Subtract the PSNR of label ``other`` from that of ``one``, seed by seed.

    Args:
        scores: from ``score_frame``.
        one: a label.
        other: another label.
        scale: to compare at.
        epoch: to compare at; the last by default.
    """
    rows = at_epoch(scores[scores["scale"] == scale], epoch)
    first, second = (rows[rows["label"] == label].set_index("seed")["psnr"] for label in (one, other))
    seeds = [seed for seed in first.index if seed in second.index]
    return Comparison(tuple(float(first[seed]) - float(second[seed]) for seed in seeds))


def _combined(statuses: Iterable[str]) -> str:
    found = set(statuses)
    if len(found) == 1:
        return found.pop()
    return "partly supported" if found & {"supported", "partly supported"} else "undecided"


def judge_growth(scores: "pd.DataFrame") -> Verdict:
    """Judge that more is better: the most is above the least for every seed, and the best on average."""
    ranked = scores.sort_values("value", kind="stable")["label"].unique()
    lines, statuses = [], []
    for scale, rows in at_epoch(scores).groupby("scale"):
        found = compare(scores, ranked[-1], ranked[0], scale)
        means = rows.groupby("label")["psnr"].mean()
        best = max(ranked, key=means.__getitem__)
        partly = best != ranked[-1] and found.at_least(0) == "supported"
        statuses.append("partly supported" if partly else found.at_least(0))
        most = f"{ranked[-1]} minus {ranked[0]}: {found}"
        lines.append(f"×{scale:g}: {most}; the best on average: {best}: {statuses[-1]}")
    return Verdict(_combined(statuses), tuple(lines))


def judge_residual(scores: "pd.DataFrame") -> Verdict:
    """Judge that residual networks learn faster and higher, at every learning rate.

    Faster means above the others after an eighth of the steps, and higher means above them at the end. Where
    the residual networks end against interpolation is said as well, but is no part of the verdict.
    """
    lines, statuses = [], []
    scales = scores["scale"].unique()
    for rate in scores["value"].unique():
        residual, direct = (f"{kind}, rate {rate:g}" for kind in ("residual", "non-residual"))
        for epoch in (EPOCHS // 8, EPOCHS):
            for scale in scales:
                found = compare(scores, residual, direct, scale, epoch)
                statuses.append(found.at_least(0))
                lines.append(
                    f"rate {rate:g}, epoch {epoch}: residual minus non-residual: {found}: {statuses[-1]}"
                )
        last = at_epoch(scores[scores["label"] == residual])
        for scale in scales:
            ends = Comparison(tuple(last.loc[last["scale"] == scale, "gain"]))
            lines.append(f"rate {rate:g}, epoch {EPOCHS}: residual minus interpolation: {ends}")
    return Verdict(_combined(statuses), tuple(lines))


def judge_clipping(scores: "pd.DataFrame") -> Verdict:
    """Judge that runs diverge without clipping, and never with the elementwise rule; both must be tried."""
    lines: list[str] = []
    plain, clipped = [], []
    for label, rows in at_epoch(scores).groupby("label", sort=False):
        runs = rows.groupby("seed")["diverged"].first()
        ends = rows.loc[~rows["diverged"], "gain"]
        after = f"; at the end, minus interpolation: {ends.min():+.2f} to {ends.max():+.2f} dB"
        lines.append(f"{label}: {runs.sum()} of {len(runs)} runs diverge{after if len(ends) else ''}")
        if label == "none":
            plain.append("supported" if runs.all() else "not supported")
        elif label.startswith("value"):
            clipped.append("not supported" if runs.any() else "supported")
    status = _combined(plain + clipped) if plain and clipped else "undecided"
    return Verdict(status, tuple(lines))


def judge_scales(scores: "pd.DataFrame") -> Verdict:
    """Judge that one network for all scales is as good as one for each: within the tolerance.

    The two are compared at the scales that the network for most scales was trained for.
    """
    trained_for = scores.drop_duplicates("label").set_index("label")["value"].map(parse_scales)
    joint = trained_for.map(len).idxmax()
    lines, statuses = [], []
    for scale in scores["scale"].unique():
        single = f"×{scale:g}"
        if single != joint and single in trained_for and scale in trained_for[joint]:
            found = compare(scores, joint, single, scale)
            statuses.append(found.at_least(-TOLERANCE))
            lines.append(f"tested at {single}: {joint} minus {single} alone: {found}: {statuses[-1]}")
    return Verdict(_combined(statuses), tuple(lines))


def judge_curve(scores: "pd.DataFrame") -> Verdict:
    """Judge that more is better, and say how the gain grows."""
    verdict = judge_growth(scores)
    lines = list(verdict.lines)
    for scale, rows in at_epoch(scores).groupby("scale"):
        try:
            law: object = fit_power_law(rows["value"], rows["gain"])
        except InputError as error:
            law = error
        lines.append(f"×{scale:g}: {law}")
    return Verdict(verdict.status, tuple(lines))


def judge_ingredients(scores: "pd.DataFrame") -> Verdict:
    """Judge that every change makes the recipe worse, at every scale."""
    if scores.loc[scores["label"] == UNCHANGED, "diverged"].all():
        return Verdict(
            "undecided", ("no run of the recipe as it is came to its end: nothing to compare with",)
        )
    lines, statuses = [], []
    scales = scores["scale"].unique()
    for label in scores.loc[scores["label"] != UNCHANGED, "label"].unique():
        worse = [compare(scores, UNCHANGED, label, scale).at_least(0) for scale in scales]
        statuses.append(_combined(worse))
        cells = ", ".join(f"×{scale:g} {compare(scores, label, UNCHANGED, scale).cell}" for scale in scales)
        lines.append(f"{label}: {cells}, in dB: {statuses[-1]}")
    return Verdict(_combined(statuses), tuple(lines))
