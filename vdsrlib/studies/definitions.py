"""The paper's own experiments as data: what each varies, and at which sizes."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from vdsrlib.errors import InputError
from vdsrlib.studies.results import AS_IT_IS, EPOCHS, Result
from vdsrlib.studies.verdicts import (
    Verdict,
    judge_clipping,
    judge_curve,
    judge_growth,
    judge_ingredients,
    judge_residual,
    judge_scales,
)
from vdsrlib.training.recipe import Recipe
from vdsrlib.training.recipes import RECIPES, get_recipe
from vdsrlib.utils.parsing import lookup, parse_scales

VALIDATION_SET = "Set5"  # unless said otherwise


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
        return lookup({"micro": self.micro, "full": self.full}, name, "size")


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
    yield Experiment(label, rule, replace(recipe, clip=name, clip_theta=float(theta or 1)))


def _scales(recipe: Recipe, scales: str) -> Iterable[Experiment]:
    parsed = parse_scales(scales)
    yield Experiment(
        "×" + ", ".join(f"{scale:g}" for scale in parsed), scales, replace(recipe, scales=parsed)
    )


def _images(recipe: Recipe, count: int) -> Iterable[Experiment]:
    yield Experiment(f"{count} images", count, recipe, count)


def _steps(recipe: Recipe, steps: int) -> Iterable[Experiment]:
    yield Experiment(f"{steps} steps", steps, _of_length(recipe, steps))


def _ingredients(recipe: Recipe, change: str) -> Iterable[Experiment]:
    yield Experiment(AS_IT_IS, "", recipe)  # once, however many changes there are
    yield Experiment(change, change, replace(recipe, **_changes(change)))


def _changes(text: str) -> dict[str, Any]:
    """Fields of a recipe, from text such as ``loss=mse`` or ``optimizer=adam+learning_rate=0.001``."""
    read: dict[type, Callable[[str], Any]] = {
        int: int,
        float: float,
        str: str,
        bool: {"True": True, "False": False}.__getitem__,
        tuple: str,  # the recipe reads it
    }
    changes = {}
    for part in text.split("+"):
        name, _, value = part.partition("=")
        changes[name] = read[type(getattr(RECIPES["best"], name))](value)
    return changes


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
        get_recipe("paper", clip=name, clip_theta=float(theta) if colon else None)
        if (name == "none") == bool(colon):
            raise ValueError
        return f"{name}:{float(theta):g}" if colon else name
    except (ValueError, InputError):
        raise InputError(f"{text!r} is no clipping rule; write none, value:1e-4 or norm:0.04.") from None


def _whole(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise InputError(f"{text!r} is no whole number from 1 up; write for example 5,8,11.")
    return int(text)


def _rate(text: str) -> float:
    try:
        return get_recipe("paper", learning_rate=float(text)).learning_rate
    except (ValueError, InputError):
        raise InputError(f"{text!r} is no learning rate; write for example 0.1,0.01.") from None


def _change(text: str) -> str:
    try:
        get_recipe("best", **_changes(text))
        return text
    except (AttributeError, KeyError, ValueError, InputError) as error:
        why = f" ({error})" if isinstance(error, InputError) else ""
        raise InputError(
            f"{text!r} is no change of a recipe{why}; write for example loss=mse, rescale_factors=1_0.8, or "
            "two that go together: optimizer=adam+learning_rate=0.001."
        ) from None


def _combination(text: str) -> str:
    return "_".join(f"{scale:g}" for scale in parse_scales(text))


# Ours, in the paper's measures, and at the rates that the kept grids of short trainings were run with.
_OURS = get_recipe(
    "best",
    scales=(2, 3, 4),
    patch_size=41,
    rescale_factors=1,
    batch_size=64,
    steps=9960,
    learning_rate=2e-3,
    bias_lr_factor=1.0,
)
_PAPER = get_recipe("paper", scales=2, depth=10, steps=10_000, decay_steps=2500)
_MICRO = {"width": 16, "patch_size": 24, "batch_size": 8}
_OURS_MICRO = get_recipe("demo", **_MICRO, depth=5, steps=120, warmup_steps=20, ema=0.95)
_PAPER_MICRO = get_recipe("paper", **_MICRO, scales=2, depth=5, random_crops=True, steps=120, decay_steps=30)


STUDIES = {
    "depth": Study(
        "Figure 3",
        "the deeper, the better",
        _depth,
        _whole,
        judge_growth,
        Size(_OURS, (5, 8, 11, 14, 17, 20)),
        Size(_OURS_MICRO, (2, 5, 8)),
    ),
    "residual": Study(
        "Table 1 and Figure 4",
        "residual learning converges faster, and higher",
        _residual,
        _rate,
        judge_residual,
        Size(_PAPER, (0.1, 0.01, 0.001), EPOCHS),
        Size(_PAPER_MICRO, (0.1, 0.01, 0.001), 8),
    ),
    "clipping": Study(
        "Section 3.2",
        "clipping keeps training at a high rate from diverging",
        _clipping,
        _rule,
        judge_clipping,
        Size(
            replace(_PAPER, scales=(2, 3, 4), depth=20, steps=2500),
            (
                "none",
                "value:0.01",
                "value:0.001",
                "value:0.0001",
                "norm:0.4",
                "norm:0.04",
                "norm:0.004",
            ),
        ),
        Size(
            replace(_PAPER_MICRO, depth=8, steps=80),
            ("none", "value:0.01", "value:0.001", "value:0.0001", "norm:0.4", "norm:0.04"),
        ),
    ),
    "scales": Study(
        "Table 2",
        "one network for all scales is as good as one for each",
        _scales,
        _combination,
        judge_scales,
        Size(_OURS, ("2", "3", "4", "2_3", "2_4", "3_4", "2_3_4"), scales=(2, 3, 4)),
        Size(_OURS_MICRO, ("2", "3", "4", "2_3_4"), scales=(2, 3, 4)),
    ),
    "images": Study(
        "Not in the paper",
        "the more training images, the better",
        _images,
        _whole,
        judge_curve,
        Size(_OURS, (3, 6, 11, 23, 45, 91)),
        Size(_OURS_MICRO, (2, 5, 14, 40)),
    ),
    "steps": Study(
        "Not in the paper",
        "the longer the training, the better",
        _steps,
        _whole,
        judge_curve,
        Size(_OURS, (156, 312, 625, 1250, 2500, 5000, 10_000)),
        Size(_OURS_MICRO, (15, 30, 60, 120)),
    ),
    "ingredients": Study(
        "Not in the paper",
        "whatever one changes, our recipe gets worse",
        _ingredients,
        _change,
        judge_ingredients,
        Size(
            replace(_OURS, hard_mining_candidates=4, precision="float32"),
            (
                "optimizer=adam+learning_rate=0.001",
                "optimizer=adam+learning_rate=0.0003",
                "learning_rate=0.001",
                "learning_rate=0.004",
                "loss=mse",
                "ema=0",
                "last_gain=1",
                "orientations=1",
                "rescale_factors=1_0.8_0.6",
                "scales=1.5_2_2.5_3_3.5_4",
                "hard_mining_candidates=1",
                "hard_mining_candidates=2",
                "hard_mining_candidates=8",
                "precision=bfloat16",
            ),
            scales=(2, 3, 4),
        ),
        Size(
            replace(_OURS_MICRO, hard_mining_candidates=4),
            ("loss=mse", "hard_mining_candidates=1"),
        ),
    ),
}


def get_study(name: str) -> Study:
    """The study of that name.

    Raises:
        InputError: there is none.
    """
    return lookup(STUDIES, name, "study")


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


def build_grid(
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
    runs = dict.fromkeys(run for value in wanted for run in study.vary(shared, value))
    return tuple(replace(run, recipe=replace(run.recipe, seed=seed)) for run in runs for seed in range(seeds))


def petaflops(experiments: Iterable[Experiment]) -> float:
    """10^15 floating-point operations of all runs' training; validation is not counted."""
    return sum(experiment.recipe.flops for experiment in experiments) / 1e15
