"""The paper's own experiments: grids of recipes as data, run in any number of processes, and judged.

A study varies one thing and repeats every run with several seeds. Every run is ``training.train`` in a folder
named after the hash of all that its results depend on: it is done once, whoever asks for it, and a killed
one goes on where it was.
"""

import hashlib
import json
import math
import os
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from filelock import FileLock, Timeout
from scipy.optimize import curve_fit

from vdsrlib import files
from vdsrlib.distributed import World
from vdsrlib.environment import choose_device, data_root, device_name
from vdsrlib.files import InputError
from vdsrlib.images import (
    EMBEDDED_TEST,
    EMBEDDED_TRAIN,
    benchmark_images,
    embedded,
    list_images,
    read_image,
    save_image,
    training_images,
)
from vdsrlib.parameters import parse_scales
from vdsrlib.recipe import Recipe, get_recipe
from vdsrlib.training import Diverged, Images, train, with_precision

EPOCHS = 80  # of the paper's training; an epoch here is one eightieth of a run's steps
KEPT_LOSSES = 100  # points of a loss curve in a result


@dataclass(frozen=True)
class Experiment:
    """One run of a study.

    Attributes:
        label: its curve, the same for all seeds.
        value: what the study varies, as it was asked for.
        recipe: how to train.
        images: how many of the training images it may see; None for all.
    """

    label: str
    value: Any
    recipe: Recipe
    images: int | None = None


class Size(NamedTuple):
    """How large a study is: what its runs share, what is varied, and how often PSNR is measured in a run."""

    recipe: Recipe
    values: tuple[Any, ...]
    validations: int = 1
    scales: tuple[float, ...] | None = None  # to validate at; None: the recipe's


class Study(NamedTuple):
    """An experiment of the paper, or of ours.

    Attributes:
        source: where the paper has it.
        claim: what it says there; or ours, to be tried.
        vary: from a value to its experiments, given the recipe that they share.
        parse: a value, from what was typed.
        judge: from the results to what they say of the claim.
        full: at the paper's size, for a GPU.
        micro: tiny networks on tiny images, for two cores.
    """

    source: str
    claim: str
    vary: Callable[[Recipe, Any], Iterable[Experiment]]
    parse: Callable[[str], Any]
    judge: Callable[[Sequence["Result"]], "Verdict"]
    full: Size
    micro: Size

    def size(self, name: str) -> Size:
        """The size of that name."""
        if name not in ("micro", "full"):
            raise InputError(f"Unknown size {name!r}; write micro or full.")
        return self.micro if name == "micro" else self.full


Result = dict[str, Any]
"""What a run gave: label, value, seed, images, recipe, validation, loss, diverged (the step, or None) …"""


class Comparison(NamedTuple):
    """PSNR of one network less that of another, in dB, a number a seed."""

    differences: tuple[float, ...]

    def at_least(self, bound: float) -> str:
        """Whether the differences lie above the bound: "supported", "not supported", or "undecided"."""
        if self.differences and all(value > bound for value in self.differences):
            return "supported"
        below = self.differences and all(value < bound for value in self.differences)
        return "not supported" if below else "undecided"

    def __str__(self) -> str:
        if not self.differences:
            return "an unknown amount, for want of runs"
        low, high = min(self.differences), max(self.differences)
        seeds = f"{len(self.differences)} seed{'s' * (len(self.differences) > 1)}"
        if not all(map(math.isfinite, self.differences)):
            return f"a run diverged ({', '.join(f'{value:+.2f}' for value in self.differences)} dB)"
        return f"{np.mean(self.differences):+.2f} dB ({low:+.2f} to {high:+.2f} over {seeds})"


class Verdict(NamedTuple):
    """What the runs say of a claim: one word for all of it, and the sentences behind it."""

    status: str
    lines: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join([f"{self.status} at this size:", *(f"  {line}" for line in self.lines)])


class PowerLaw(NamedTuple):
    """limit - factor * x ** -exponent, and the root of the mean squared distance of the points from it.

    With a tiny exponent it cannot be told from a logarithm, with a large one it is at its limit; as text it
    then says so.
    """

    limit: float
    factor: float
    exponent: float
    error: float

    def __call__(self, x: Any) -> Any:
        """The law's value at x."""
        return self.limit - self.factor * np.asarray(x, dtype=float) ** -self.exponent

    def __str__(self) -> str:
        words = f"gain = {self.limit:.2f} - {self.factor:.2f} n^-{self.exponent:.2f} dB"
        if self.exponent < 0.05:
            words = "the gain grows as the logarithm of n, no limit in sight"
        if self.exponent > 3:
            words = f"the gain has reached its limit, {self.limit:.2f} dB"
        return f"{words}, to within {self.error:.2f} dB"


# What each study varies.


def _depth(recipe: Recipe, depth: int) -> Iterable[Experiment]:
    yield Experiment(f"depth {depth}", depth, replace(recipe, depth=depth))


def _residual(recipe: Recipe, rate: float) -> Iterable[Experiment]:
    for residual in (True, False):
        name = "residual" if residual else "non-residual"
        yield Experiment(
            f"{name}, rate {rate:g}", rate, replace(recipe, residual=residual, learning_rate=rate)
        )


def _clipping(recipe: Recipe, rule: str) -> Iterable[Experiment]:
    name, _, theta = rule.partition(":")
    label = f"{name}, θ = {float(theta):g}" if theta else name
    yield Experiment(label, rule, replace(recipe, clip=name, theta=float(theta or 1)))


def _scales(recipe: Recipe, scales: str) -> Iterable[Experiment]:
    parsed = parse_scales(scales)
    yield Experiment(
        "×" + ", ".join(f"{scale:g}" for scale in parsed), scales, replace(recipe, scales=parsed)
    )


def _images(recipe: Recipe, count: int) -> Iterable[Experiment]:
    yield Experiment(f"{count} images", count, recipe, count)


def _steps(recipe: Recipe, steps: int) -> Iterable[Experiment]:
    yield Experiment(f"{steps} steps", steps, _of_length(recipe, steps))


def _of_length(recipe: Recipe, steps: int) -> Recipe:
    """The recipe with so many steps: the rate falls at the same shares of them, after a warm-up that fits."""
    return replace(
        recipe,
        steps=steps,
        decay_steps=recipe.decay_steps and max(1, round(recipe.decay_steps * steps / recipe.steps)),
        warmup_steps=min(recipe.warmup_steps, steps // 6),
    )


def _rule(text: str) -> str:
    name, colon, theta = text.partition(":")
    try:
        # the recipe's own check, here, before anything runs; θ is written in one way
        get_recipe("paper", clip=name, theta=float(theta) if colon else None)
        if (name == "none") == bool(colon):
            raise ValueError
        return f"{name}:{float(theta):g}" if colon else name
    except (ValueError, InputError):
        raise InputError(f"{text!r} is no clipping rule; write none, element:1e-4 or norm:0.4.") from None


def _whole(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise InputError(f"{text!r} is no whole number from 1 up; write for example 5,8,11.")
    return int(text)


def _rate(text: str) -> float:
    try:
        return get_recipe("paper", learning_rate=float(text)).learning_rate
    except (ValueError, InputError):
        raise InputError(f"{text!r} is no learning rate; write for example 0.1,0.01.") from None


def _combination(text: str) -> str:
    return "_".join(f"{scale:g}" for scale in parse_scales(text))


# What the runs say. A diverged run counts as a PSNR of minus infinity.


def psnr(result: Result, scale: float, epoch: float = EPOCHS) -> float:
    """PSNR in dB at an epoch, by default the last; minus infinity from where the run has diverged."""
    step = result["recipe"]["steps"] * epoch / EPOCHS
    if result["diverged"] is not None and step >= result["diverged"]:
        return -math.inf
    nearest = min(result["validation"], key=lambda row: abs(row["step"] - step))
    return nearest["psnr"][f"{scale:g}"]["model"]


def gain(result: Result, scale: float) -> float:
    """The last PSNR less that of interpolation, in dB; minus infinity where the run has diverged."""
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
    """PSNR of label ``one`` less that of ``other``, seed by seed."""
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


def _judge_growth(results: Sequence[Result]) -> Verdict:
    """More is better: the most above the least for every seed, and the best on average, at every scale."""
    ranked = sorted(labels(results), key=lambda label: of(results, label)[0]["value"])
    lines, statuses = [], []
    for scale in scales_of(results):
        found = compare(results, ranked[-1], ranked[0], scale)
        best = max(ranked, key=lambda label: np.mean([psnr(run, scale) for run in of(results, label)]))
        partly = best != ranked[-1] and found.at_least(0) == "supported"
        statuses.append("partly supported" if partly else found.at_least(0))
        lines.append(
            f"×{scale:g}: {ranked[-1]} above {ranked[0]} by {found}; "
            f"the best on average: {best}: {statuses[-1]}"
        )
    return Verdict(_together(statuses), tuple(lines))


def _judge_residual(results: Sequence[Result]) -> Verdict:
    """Faster: above after an eighth of the steps. Higher: above at the end. At every rate."""
    lines, statuses = [], []
    for rate in dict.fromkeys(result["value"] for result in results):
        pair = [f"{kind}, rate {rate:g}" for kind in ("residual", "non-residual")]
        for epoch in (EPOCHS // 8, EPOCHS):
            for scale in scales_of(results):
                found = compare(results, pair[0], pair[1], scale, epoch)
                statuses.append(found.at_least(0))
                lines.append(f"rate {rate:g}, epoch {epoch}: residual above by {found}: {statuses[-1]}")
    return Verdict(_together(statuses), tuple(lines))


def _judge_clipping(results: Sequence[Result]) -> Verdict:
    """Without clipping a run diverges; with the elementwise rule none does."""
    lines, statuses = [], []
    for label in labels(results):
        runs = of(results, label)
        lost = sum(run["diverged"] is not None for run in runs)
        ends = [gain(run, scale) for run in runs for scale in scales_of(runs) if not run["diverged"]]
        after = f"; at the end {min(ends):+.2f} to {max(ends):+.2f} dB above interpolation" if ends else ""
        lines.append(f"{label}: {lost} of {len(runs)} runs diverge{after}")
        if label == "none" or label.startswith("element"):
            as_claimed = lost == (len(runs) if label == "none" else 0)
            statuses.append("supported" if as_claimed else "not supported")
    return Verdict(_together(statuses), tuple(lines))


TOLERANCE = 0.05  # dB; the paper's own network for all scales is 0.04 dB below the one for ×2


def _judge_scales(results: Sequence[Result]) -> Verdict:
    """One network for all scales is as good as one for each: not below it by more than the tolerance."""
    joint = max(labels(results), key=len)
    lines, statuses = [], []
    for scale in scales_of(results):
        single = f"×{scale:g}"
        if single != joint and of(results, single):
            found = compare(results, joint, single, scale)
            statuses.append(found.at_least(-TOLERANCE))
            lines.append(f"tested at {single}: {joint} above {single} alone by {found}: {statuses[-1]}")
    return Verdict(_together(statuses), tuple(lines))


def _judge_curve(results: Sequence[Result]) -> Verdict:
    """More is better; and how the gain grows."""
    verdict = _judge_growth(results)
    lines = list(verdict.lines)
    least, most = (end(result["value"] for result in results) for end in (min, max))
    for scale in scales_of(results):
        try:
            law = fit_power_law(*zip(*((r["value"], gain(r, scale)) for r in results), strict=True))
        except InputError as error:
            lines.append(f"×{scale:g}: {error}")
        else:
            more = f"{law}; twice {most} would add {law(2 * most) - law(most):+.2f} dB"
            flat = f"no growth beyond the scatter of {law.error:.2f} dB"
            lines.append(f"×{scale:g}: {more if law(most) - law(least) > law.error else flat}")
    return Verdict(verdict.status, tuple(lines))


def fit_power_law(x: Sequence[float], y: Sequence[float]) -> PowerLaw:
    """Fit limit - factor * x ** -exponent by least squares, with a positive factor and exponent.

    Args:
        x: positive; at least three different values.
        y: as many numbers; those that are not finite are left out.

    Raises:
        InputError: there are fewer than three different values, or no such law fits.
    """
    at, values = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    at, values = at[np.isfinite(values)], values[np.isfinite(values)]
    if len(set(at)) < 3:
        raise InputError("A power law needs at least three different values.")
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
    return PowerLaw(float(limit), float(factor * unit**exponent), float(exponent), error)


_OURS = get_recipe("best", scales=(2, 3, 4), patch_size=41, batch_size=64, steps=9960)
_PAPER = get_recipe("paper", scales=2, depth=10, steps=10_000, decay_steps=2500)
_MICRO = {"width": 16, "patch_size": 24, "batch_size": 8}
_OURS_MICRO = get_recipe("demo", **_MICRO, depth=5, steps=120, warmup_steps=20, ema=0.95)
_PAPER_MICRO = get_recipe("paper", **_MICRO, scales=2, depth=5, overlap=True, steps=120, decay_steps=30)

STUDIES = {
    "depth": Study(
        "Figure 3",
        "the deeper, the better",
        _depth,
        _whole,
        _judge_growth,
        Size(_OURS, (5, 8, 11, 14, 17, 20)),
        Size(_OURS_MICRO, (2, 4, 8)),
    ),
    "residual": Study(
        "Table 1 and Figure 4",
        "residual learning converges faster, and higher",
        _residual,
        _rate,
        _judge_residual,
        Size(_PAPER, (0.1, 0.01, 0.001), EPOCHS),
        Size(_PAPER_MICRO, (0.1, 0.01, 0.001), 8),
    ),
    "clipping": Study(
        "Section 3.2",
        "clipping keeps training at a high rate from diverging",
        _clipping,
        _rule,
        _judge_clipping,
        Size(
            replace(_PAPER, scales=(2, 3, 4), depth=20, steps=2500),
            ("none", "element:0.01", "element:0.001", "element:0.0001", "norm:0.4", "norm:0.004"),
        ),
        Size(
            replace(_PAPER_MICRO, depth=8, steps=80),
            ("none", "element:0.01", "element:0.001", "element:0.0001", "norm:0.4"),
        ),
    ),
    "scales": Study(
        "Table 2",
        "one network for all scales is as good as one for each",
        _scales,
        _combination,
        _judge_scales,
        Size(_OURS, ("2", "3", "4", "2_3", "2_4", "3_4", "2_3_4"), scales=(2, 3, 4)),
        Size(_OURS_MICRO, ("2", "3", "4", "2_3_4"), scales=(2, 3, 4)),
    ),
    "images": Study(
        "Not in the paper",
        "the more training images, the better",
        _images,
        _whole,
        _judge_curve,
        Size(_OURS, (3, 6, 11, 23, 45, 91)),
        Size(_OURS_MICRO, (2, 5, 12, 40)),
    ),
    "steps": Study(
        "Not in the paper",
        "the longer the training, the better",
        _steps,
        _whole,
        _judge_curve,
        Size(_OURS, (156, 312, 625, 1250, 2500, 5000, 10_000)),
        Size(_OURS_MICRO, (15, 30, 60, 120)),
    ),
}


def get_study(name: str) -> Study:
    """The study of that name.

    Raises:
        InputError: there is none.
    """
    if name not in STUDIES:
        raise InputError(f"Unknown study {name!r}; write {', '.join(STUDIES)}.")
    return STUDIES[name]


def parse_values(study: Study, typed: Any) -> tuple[Any, ...]:
    """The values that a study varies, from text such as "3, 5, 8", a list, or one number.

    Raises:
        InputError: a value is none of this study's kind, or there is none.
    """
    parts = re.split(r"[\s,;]+", typed.strip()) if isinstance(typed, str) else typed
    parts = parts if isinstance(parts, Sequence) else [parts]
    if not parts:
        raise InputError("There is no value; write for example 3,5,8.")
    return tuple(dict.fromkeys(study.parse(str(part)) for part in parts))


def grid(
    name: str, size: str = "micro", seeds: int = 3, values: Any = None, **changes: Any
) -> tuple[Experiment, ...]:
    """All runs of a study: every value with every seed.

    Args:
        name: a key of ``STUDIES``.
        size: "micro" or "full".
        seeds: how many, from 0 on.
        values: what is varied, as ``parse_values`` takes it; None for the study's own.
        changes: to the recipe that all runs share, such as steps or width; None is no change.

    Raises:
        InputError: a name or value is impossible.
    """
    study = get_study(name)
    base = study.size(size)
    if not isinstance(seeds, int) or seeds < 1:
        raise InputError(f"seeds is {seeds!r}; write how many, a whole number from 1 up.")
    wanted = base.values if values is None else parse_values(study, values)
    given = {key: value for key, value in changes.items() if value is not None}
    shared = replace(base.recipe, **given)  # which checks the values
    if "steps" in given:
        shared = replace(_of_length(base.recipe, given.pop("steps")), **given)
    runs = [run for value in wanted for run in study.vary(shared, value)]
    return tuple(replace(run, recipe=replace(run.recipe, seed=seed)) for run in runs for seed in range(seeds))


def petaflops(experiments: Iterable[Experiment]) -> float:
    """10^15 floating-point operations of all runs' training; validation is not counted."""
    return sum(experiment.recipe.flops for experiment in experiments) / 1e15


class Outcome(NamedTuple):
    """What a study gave: its results, a sentence for each run that failed, and the names of the images."""

    results: list[Result]
    failures: list[str]
    training: str
    validation: str


def conduct(
    name: str,
    size: str = "micro",
    *,
    values: Any = None,
    seeds: int = 3,
    data_path: str | Path | None = None,
    validation_set: str = "Set5",
    validations: int | None = None,
    root: str | Path = "runs/studies",
    device: str = "auto",
    report: Callable[[str], None] = print,
    **changes: Any,
) -> Outcome:
    """A whole study: its grid (see ``grid``) on its images (``study_images``), done (``run``).

    Args:
        name: a key of ``STUDIES``.
        size: "micro" or "full".
        values: what is varied; None for the study's own.
        seeds: how often to repeat every run.
        data_path: folder that holds T91 and the benchmarks, or of images.
        validation_set: benchmark to score with.
        validations: how often to measure PSNR in a run; None for the study's own.
        root: folder of the runs.
        device: "auto", "cpu", "cuda" or "mps".
        report: is given a line for every run.
        changes: to what all runs share, such as steps or width; None is no change.
    """
    experiments = grid(name, size, seeds, values, **changes)
    images, validation = study_images(size, root, data_path, validation_set)
    its = get_study(name).size(size)
    results, failures = run(
        experiments,
        images,
        validation,
        root=root,
        validations=its.validations if validations is None else validations,
        scales=its.scales,
        device=device,
        report=report,
    )
    return Outcome(results, failures, images[0], validation[0])


def study_images(
    size: str, root: str | Path, data_path: str | Path | None = None, validation_set: str = "Set5"
) -> tuple[Images, Images]:
    """Training and validation images: (name, paths) of each.

    A micro study without ``data_path`` uses small squares of scikit-image's photographs, cut into ``root``,
    also where VDSR_DATA is set. Otherwise T91 alone where it is there, as in the paper's own analysis, and
    else what ``training_images`` finds.
    """
    if size == "micro" and not data_path:
        squares = {}
        for names, each in ((EMBEDDED_TRAIN, 4), (EMBEDDED_TEST, 2)):
            squares[names] = _squares(Path(root) / "images", names, each)
        return (
            (f"{len(squares[EMBEDDED_TRAIN])} squares of scikit-image photographs", squares[EMBEDDED_TRAIN]),
            (f"{len(squares[EMBEDDED_TEST])} squares of other photographs", squares[EMBEDDED_TEST]),
        )
    found = data_root(data_path)
    images = training_images(data_path)
    if found and (found / "T91").is_dir():
        images = "T91", list_images(found / "T91")
    return images, benchmark_images(validation_set, data_path)


def _squares(folder: Path, names: Sequence[str], each: int, side: int = 96) -> list[Path]:
    """``each`` squares of every photograph, along its diagonal; the first of all photographs come first."""
    paths = []
    for i in range(1, each + 1):
        for source in embedded(names):
            path = folder / f"{source.stem}-{i}.png"
            if not path.exists():
                image = read_image(source)
                top, left = ((length - side) * i // (each + 1) for length in image.shape[:2])
                save_image(path, image[top : top + side, left : left + side])
            paths.append(path)
    return paths


def run(
    experiments: Sequence[Experiment],
    images: Images,
    validation: Images,
    *,
    root: str | Path = "runs/studies",
    validations: int = 1,
    scales: Sequence[float] | None = None,
    device: str = "auto",
    report: Callable[[str], None] = print,
) -> tuple[list[Result], list[str]]:
    """Do all runs that are not done; several processes that are given the same grid and root share them.

    Each process takes any run that no other one is at, and waits for the last ones: those that ``torchrun``
    started, on one machine or on several that see the folder, or just a second terminal. Under ``torchrun``,
    a process takes one of the machine's GPUs by LOCAL_RANK; where there are more processes than GPUs, they
    share them. On a CPU a process computes in one thread: small networks are as fast, and the results are
    those of any other number of cores.

    Args:
        experiments: the grid.
        images: name and paths of the training images.
        validation: likewise, to score with.
        root: folder of the runs; one of them is removed by removing its folder.
        validations: how often to measure PSNR in a run, evenly, the last time at the end.
        scales: to measure at; default: those that the run trains for.
        device: "auto", "cpu", "cuda" or "mps".
        report: is given a line for every run.

    Returns:
        The results in the order of the grid, and a sentence for every run that failed. That a run diverges is
        a result, and no failure.
    """
    if validations < 1:
        raise InputError(f"validations is {validations}; write a whole number from 1 up.")
    where = _own_device(device)
    jobs: dict[Experiment, dict[str, Any]] = {}
    for experiment in experiments:
        recipe = with_precision(experiment.recipe, where)
        if len(images[1]) < (experiment.images or 0):
            raise InputError(f"There are {len(images[1])} training images, not {experiment.images}.")
        jobs[experiment] = {
            "recipe": recipe,
            "images": (images[0], images[1][: experiment.images]),
            "validation": validation,
            "validation_scales": tuple(scales or recipe.scales),
            "validate_every": max(1, recipe.steps // validations),
        }
    folders = {experiment: Path(root) / _hash(job) for experiment, job in jobs.items()}
    found: dict[Path, Any] = {}
    failures: dict[Path, str] = {}
    for timeout in (0, -1):  # first what is free; then what others were at, who may have died meanwhile
        for number, (experiment, folder) in enumerate(folders.items(), start=1):
            if folder in found or folder in failures:
                continue
            title = f"{number}/{len(jobs)} {experiment.label}, seed {experiment.recipe.seed}"
            try:
                folder.mkdir(parents=True, exist_ok=True)
                with FileLock(folder / "lock", timeout=timeout):
                    if not (done := _known(folder)):
                        done = _train(folder, jobs[experiment], where)
                        report(f"{title}: {_words(done)}")
                found[folder] = done
            except Timeout:
                continue
            except Exception as error:  # of whatever kind: the other runs do not depend on it
                failures[folder] = f"{title}: {error if isinstance(error, InputError) else repr(error)}"
    results = [
        {
            "label": experiment.label,
            "value": experiment.value,
            "images": len(jobs[experiment]["images"][1]),
            "scales": list(jobs[experiment]["validation_scales"]),
            **found[folder],
        }
        for experiment, folder in folders.items()
        if folder in found
    ]
    return results, list(failures.values())


def _own_device(name: str) -> torch.device:
    device = choose_device(name)
    if device.type == "cuda" and device.index is None and "LOCAL_RANK" in os.environ:
        return torch.device("cuda", int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
    return device


def _hash(job: dict[str, Any]) -> str:
    """Of all that a run's record depends on; images count by their bytes, in their order."""
    hashes = [[files.sha256(path) for path in job[name][1]] for name in ("images", "validation")]
    content = [job["recipe"].to_dict(), hashes, job["validation_scales"], job["validate_every"]]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def _known(folder: Path) -> dict[str, Any] | None:
    """What the run in this folder gave, if it is over."""
    for name in ("run.json", "diverged.json"):
        if (folder / name).exists():
            record = json.loads((folder / name).read_text(encoding="utf-8"))
            rows = record["history"]
            return {
                "seed": record["recipe"]["seed"],
                "recipe": record["recipe"],
                "validation": record["validation"],
                "loss": [[row["step"], row["loss"]] for row in rows[:: len(rows) // KEPT_LOSSES + 1]],
                "diverged": record.get("diverged"),
                "device": record["device"],
                "seconds": record["seconds"],
            }
    return None


def _train(folder: Path, job: dict[str, Any], device: torch.device) -> dict[str, Any]:
    started, threads = time.perf_counter(), torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        train(
            **job,
            ckpt_path=folder,
            logs_path=folder / "logs",
            compiled=False,  # many short runs: compiling each takes as long as running it
            report=lambda _: None,
            world=World(device),
        )
    except Diverged as error:
        record = {
            "diverged": error.step,
            "recipe": job["recipe"].to_dict(),
            "history": error.run.history,
            "validation": error.run.validation,
            "device": device_name(device),
            "seconds": round(time.perf_counter() - started, 1),
        }
        files.write_json(folder / "diverged.json", record)
    finally:
        torch.set_num_threads(threads)
    done = _known(folder)
    assert done is not None
    return done


def _words(result: Mapping[str, Any]) -> str:
    """A run in a few words."""
    if result["diverged"] is not None:
        return f"diverged by step {result['diverged']}"
    found = result["validation"][-1]["psnr"].items()
    scores = ", ".join(
        f"×{scale} {v['model']:.2f} dB ({v['model'] - v['interpolation']:+.2f})" for scale, v in found
    )
    return f"{scores}, {result['seconds']:.0f} s"
