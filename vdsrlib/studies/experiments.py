"""What the studies vary: for each, how a value is read from text, and the runs that it stands for."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from vdsrlib.errors import InputError
from vdsrlib.studies.results import UNCHANGED
from vdsrlib.training.recipe import Recipe
from vdsrlib.training.recipes import RECIPES, get_recipe
from vdsrlib.utils.parsing import parse_scales


@dataclass(frozen=True)
class Experiment:
    """One run of a study.

    Attributes:
        label: names its curve, the same for all seeds.
        value: what the study varies, as it was asked for.
        recipe: how to train.
        images: how many of the training images the run may see; None for all.
        validations: how often PSNR is measured in the run.
        scales: to measure at; None for those of the recipe.
    """

    label: str
    value: Any
    recipe: Recipe
    images: int | None = None
    validations: int = 1
    scales: tuple[float, ...] | None = None


def vary_depth(recipe: Recipe, depth: int) -> Iterable[Experiment]:
    """Train a network of that depth."""
    yield Experiment(f"depth {depth}", depth, recipe.replace(depth=depth))


def vary_residual(recipe: Recipe, rate: float) -> Iterable[Experiment]:
    """Train with and without the global skip connection at that learning rate."""
    for residual, name in ((True, "residual"), (False, "non-residual")):
        changed = recipe.replace(residual=residual, learning_rate=rate)
        yield Experiment(f"{name}, rate {rate:g}", rate, changed)


def vary_clipping(recipe: Recipe, rule: str) -> Iterable[Experiment]:
    """Train with a clipping rule such as ``none`` or ``value:0.01``."""
    name, _, theta = rule.partition(":")
    label = f"{name}, θ = {float(theta):g}" if theta else name
    yield Experiment(label, rule, recipe.replace(clip=name, clip_theta=float(theta or 1)))


def vary_scales(recipe: Recipe, scales: str) -> Iterable[Experiment]:
    """Train for a combination of scales such as ``2_3_4``."""
    parsed = parse_scales(scales)
    yield Experiment("×" + ", ".join(f"{scale:g}" for scale in parsed), scales, recipe.replace(scales=parsed))


def vary_images(recipe: Recipe, count: int) -> Iterable[Experiment]:
    """Train on the first so many images."""
    yield Experiment(f"{count} images", count, recipe, count)


def vary_steps(recipe: Recipe, steps: int) -> Iterable[Experiment]:
    """Train for so many steps."""
    yield Experiment(f"{steps} steps", steps, with_steps(recipe, steps))


def vary_ingredients(recipe: Recipe, change: str) -> Iterable[Experiment]:
    """Train with the recipe as it is, and with a change such as ``loss=mse``."""
    yield Experiment(UNCHANGED, "", recipe)  # once, however many changes there are
    yield Experiment(change, change, recipe.replace(**_read_changes(change)))


def with_steps(recipe: Recipe, steps: int) -> Recipe:
    """Shorten or lengthen a recipe: its rate falls at the same fractions, after a warm-up that fits."""
    return recipe.replace(
        steps=steps,
        decay_steps=recipe.decay_steps and max(1, round(recipe.decay_steps * steps / recipe.steps)),
        warmup_steps=min(recipe.warmup_steps, steps // 6),
    )


def _read_changes(text: str) -> dict[str, Any]:
    """Read fields of a recipe from ``loss=mse`` or ``optimizer=adam+learning_rate=0.001``."""
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
        if name in ("name", "seed"):  # these are no ingredients: every run has its seed from the grid
            raise KeyError(name)
        changes[name] = read[type(getattr(RECIPES["best"], name))](value)
    return changes


def parse_rule(text: str) -> str:
    """Check a clipping rule with the recipe's own check, and write its θ in one way."""
    name, colon, theta = text.partition(":")
    try:
        get_recipe("paper", clip=name, clip_theta=float(theta) if colon else None)
        if (name == "none") == bool(colon):
            raise ValueError
        return f"{name}:{float(theta):g}" if colon else name
    except ValueError:
        raise InputError(f"{text!r} is no clipping rule; write none, value:1e-4 or norm:0.04.") from None


def parse_count(text: str) -> int:
    """Read a whole number from 1 up."""
    if not text.isdecimal() or int(text) < 1:
        raise InputError(f"{text!r} is no whole number from 1 up; write for example 5,8,11.")
    return int(text)


def parse_learning_rate(text: str) -> float:
    """Read a learning rate that a recipe may have."""
    try:
        return get_recipe("paper", learning_rate=float(text)).learning_rate
    except ValueError:
        raise InputError(f"{text!r} is no learning rate; write for example 0.1,0.01.") from None


def parse_change(text: str) -> str:
    """Check a change of a recipe with the recipe's own checks."""
    try:
        get_recipe("best", **_read_changes(text))
        return text
    except (AttributeError, KeyError, ValueError) as error:
        why = f" ({error})" if isinstance(error, InputError) else ""
        raise InputError(
            f"{text!r} is no change of a recipe{why}; write for example loss=mse, rescale_factors=1_0.8, or "
            "two that go together: optimizer=adam+learning_rate=0.001."
        ) from None


def parse_combination(text: str) -> str:
    """Check a combination of scales, and write it in one way: ``2_3_4``."""
    return "_".join(f"{scale:g}" for scale in parse_scales(text))
