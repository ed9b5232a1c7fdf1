"""The paper's own experiments as data: what each varies, and at which sizes."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from vdsrlib.errors import InputError
from vdsrlib.studies.experiments import (
    Experiment,
    parse_change,
    parse_combination,
    parse_count,
    parse_learning_rate,
    parse_rule,
    vary_clipping,
    vary_depth,
    vary_images,
    vary_ingredients,
    vary_residual,
    vary_scales,
    vary_steps,
    with_steps,
)
from vdsrlib.studies.results import EPOCHS
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
from vdsrlib.training.recipes import get_recipe
from vdsrlib.utils.parsing import lookup

if TYPE_CHECKING:
    import pandas as pd


class Size(NamedTuple):
    """How large a study is.

    Attributes:
        recipe: what its runs share.
        values: what is varied.
        validations: how often PSNR is measured in a run.
        scales: to measure at; None for those of a run's recipe.
    """

    recipe: Recipe
    values: tuple[Any, ...]
    validations: int = 1
    scales: tuple[float, ...] | None = None


class Study(NamedTuple):
    """An experiment of the paper, or of ours.

    Attributes:
        source: where the paper has it.
        claim: what the paper says there; or our own claim, to be tried.
        vary: from the shared recipe and a value to the experiments of that value.
        parse: reads a value from text.
        judge: from the scores (``results.score_frame``) to what they say of the claim.
        full: at the paper's size, for a GPU.
        micro: tiny networks on tiny images, for two cores.
    """

    source: str
    claim: str
    vary: Callable[[Recipe, Any], Iterable[Experiment]]
    parse: Callable[[str], Any]
    judge: Callable[["pd.DataFrame"], Verdict]
    full: Size
    micro: Size

    def size(self, name: str) -> Size:
        """Look a size up, "micro" or "full"."""
        return lookup({"micro": self.micro, "full": self.full}, name, "size")


# Ours, in the paper's measures, and at the rates that the stored grids of short trainings were run with.
OURS = get_recipe(
    "best",
    scales=(2, 3, 4),
    patch_size=41,
    rescale_factors=1,
    batch_size=64,
    steps=9960,
    learning_rate=2e-3,
    bias_lr_factor=1.0,
)
OURS_MICRO = get_recipe(
    "demo", width=16, patch_size=24, batch_size=8, depth=5, steps=120, warmup_steps=20, ema=0.95
)
PAPER = get_recipe("paper", scales=2, depth=10, steps=10_000, decay_steps=2500)
PAPER_MICRO = PAPER.replace(
    width=16, patch_size=24, batch_size=8, depth=5, random_crops=True, steps=120, decay_steps=30
)

STUDIES = {
    "depth": Study(
        source="Figure 3",
        claim="the deeper, the better",
        vary=vary_depth,
        parse=parse_count,
        judge=judge_growth,
        full=Size(OURS, (5, 8, 11, 14, 17, 20)),
        micro=Size(OURS_MICRO, (2, 5, 8)),
    ),
    "residual": Study(
        source="Table 1 and Figure 4",
        claim="residual learning converges faster, and higher",
        vary=vary_residual,
        parse=parse_learning_rate,
        judge=judge_residual,
        full=Size(PAPER, (0.1, 0.01, 0.001), validations=EPOCHS),
        micro=Size(PAPER_MICRO, (0.1, 0.01, 0.001), validations=8),
    ),
    "clipping": Study(
        source="Section 3.2",
        claim="clipping keeps training at a high rate from diverging",
        vary=vary_clipping,
        parse=parse_rule,
        judge=judge_clipping,
        full=Size(
            PAPER.replace(scales=(2, 3, 4), depth=20, steps=2500),
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
        micro=Size(
            PAPER_MICRO.replace(depth=8, steps=80),
            ("none", "value:0.01", "value:0.001", "value:0.0001", "norm:0.4", "norm:0.04"),
        ),
    ),
    "scales": Study(
        source="Table 2",
        claim="one network for all scales is as good as one for each",
        vary=vary_scales,
        parse=parse_combination,
        judge=judge_scales,
        full=Size(OURS, ("2", "3", "4", "2_3", "2_4", "3_4", "2_3_4"), scales=(2, 3, 4)),
        micro=Size(OURS_MICRO, ("2", "3", "4", "2_3_4"), scales=(2, 3, 4)),
    ),
    "images": Study(
        source="Not in the paper",
        claim="the more training images, the better",
        vary=vary_images,
        parse=parse_count,
        judge=judge_curve,
        full=Size(OURS, (3, 6, 11, 23, 45, 91)),
        micro=Size(OURS_MICRO, (2, 5, 14, 40)),
    ),
    "steps": Study(
        source="Not in the paper",
        claim="the longer the training, the better",
        vary=vary_steps,
        parse=parse_count,
        judge=judge_curve,
        full=Size(OURS, (156, 312, 625, 1250, 2500, 5000, 10_000)),
        micro=Size(OURS_MICRO, (15, 30, 60, 120)),
    ),
    "ingredients": Study(
        source="Not in the paper",
        claim="whatever one changes, our recipe gets worse",
        vary=vary_ingredients,
        parse=parse_change,
        judge=judge_ingredients,
        full=Size(
            OURS.replace(hard_mining_candidates=4, precision="float32"),
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
        micro=Size(
            OURS_MICRO.replace(hard_mining_candidates=4),
            ("loss=mse", "hard_mining_candidates=1"),
        ),
    ),
}


def get_study(name: str) -> Study:
    """Look a study up by its name.

    Raises:
        InputError: there is none of that name.
    """
    return lookup(STUDIES, name, "study")


def parse_values(study: Study, typed: Any) -> tuple[Any, ...]:
    """Read the values that a study varies from text such as "3, 5, 8", a list, or one number.

    Raises:
        InputError: a value is none of this study's kind, or there is none.
    """
    parts = re.split(r"[\s,;]+", typed.strip()) if isinstance(typed, str) else typed
    parts = parts if isinstance(parts, Sequence) else [parts]
    if not parts:
        raise InputError("There is no value; write for example 3,5,8.")
    return tuple(dict.fromkeys(study.parse(str(part)) for part in parts))


def build_grid(
    name: str,
    size: str = "micro",
    seeds: int = 3,
    values: Any = None,
    validations: int | None = None,
    **changes: Any,
) -> tuple[Experiment, ...]:
    """List all runs of a study: every value with every seed.

    Args:
        name: a key of ``STUDIES``.
        size: "micro" or "full".
        seeds: how many, from 0 on.
        values: what is varied, as ``parse_values`` takes it; None for the study's own.
        validations: how often to measure PSNR in a run; None for the study's own.
        changes: to the recipe that all runs share, such as steps or width; None is no change.

    Raises:
        InputError: a name or value is impossible.

    >>> [(run.label, run.recipe.seed) for run in build_grid("depth", values="3,5", seeds=2)]
    [('depth 3', 0), ('depth 3', 1), ('depth 5', 0), ('depth 5', 1)]
    """
    study = get_study(name)
    base = study.size(size)
    if not isinstance(seeds, int) or seeds < 1:
        raise InputError(f"seeds must be a whole number from 1 up, got {seeds!r}")
    validations = base.validations if validations is None else validations
    if not isinstance(validations, int) or validations < 1:
        raise InputError(f"validations must be a whole number from 1 up, got {validations!r}")
    wanted = base.values if values is None else parse_values(study, values)
    given = {key: value for key, value in changes.items() if value is not None}
    shared = base.recipe.replace(**given)  # which checks the values
    if "steps" in given:
        del given["steps"]
        shared = with_steps(base.recipe, shared.steps).replace(**given)
    runs = dict.fromkeys(run for value in wanted for run in study.vary(shared, value))
    return tuple(
        replace(run, recipe=run.recipe.replace(seed=seed), validations=validations, scales=base.scales)
        for run in runs
        for seed in range(seeds)
    )


def petaflops(experiments: Iterable[Experiment]) -> float:
    """Sum the 10^15 floating-point operations of all runs' training, without validation."""
    return sum(experiment.recipe.flops for experiment in experiments) / 1e15
