"""Recipes: everything that determines the weights, as data that is checked."""

import math
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from vdsrlib.errors import InputError
from vdsrlib.protocol import get_protocol
from vdsrlib.utils.parsing import parse_rescale_factors, parse_scales


def _no_truth_value(value: Any) -> Any:
    if isinstance(value, bool):
        raise PydanticCustomError("number_type", "Input should be a valid number")
    return value


def _whole_from_text(value: Any) -> Any:
    """Read 3 from ``"3"``, as papermill's ``-r`` passes it; what is no whole number stays as it is."""
    return int(value) if isinstance(value, str) and value.strip().isdecimal() else value


Whole = Annotated[int, Field(strict=True), BeforeValidator(_whole_from_text)]
Real = Annotated[float, BeforeValidator(_no_truth_value)]
ProtocolName = Annotated[str, AfterValidator(lambda name: get_protocol(name).name)]
Scales = Annotated[tuple[float, ...], BeforeValidator(partial(parse_scales, one=True))]
RescaleFactors = Annotated[tuple[float, ...], BeforeValidator(parse_rescale_factors)]


class Recipe(BaseModel):
    """Everything that determines the weights, given the images. Every checkpoint stores its recipe.

    The fields are defined here and nowhere else: their checks, the options of ``vdsr train``, the help texts
    and the tables all read ``Recipe.model_fields``.

    Raises:
        InputError: a value is impossible, or there is no such field.

    >>> recipe = Recipe(name="mine", scales="2_3", steps=1000)
    >>> recipe.scales
    (2.0, 3.0)
    >>> recipe.replace(learning_rate=-1)
    Traceback (most recent call last):
    vdsrlib.errors.InputError: learning_rate must be greater than 0, got -1
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str = Field(description="which recipe this is, or began as")
    protocol: ProtocolName = Field("paper", description="colour, degradation and range: paper or replication")
    scales: Scales = Field((2.0, 3.0, 4.0), description="scales to train for, mixed in every batch: 2_3_4")
    depth: Whole = Field(20, ge=2, description="number of convolutions")
    width: Whole = Field(64, ge=1, description="feature maps of every layer but the last")
    last_gain: Real = Field(
        1.0, gt=0, description="factor on the last layer's initial weights; 0.01 begins near SR = ILR"
    )
    residual: StrictBool = Field(True, description="add ILR to the output, rather than predict HR itself")
    patch_size: Whole = Field(41, ge=3, description="side of the square training patches, in pixels")
    random_crops: StrictBool = Field(False, description="cut patches anywhere, rather than on a grid")
    degrade_patch: StrictBool = Field(
        False, description="degrade every HR patch by itself, rather than the whole image once a scale"
    )
    damage: Literal["none", "photo"] = Field(
        "none", description="what happens to LR: none, or photo (noise and JPEG, drawn anew for every patch)"
    )
    orientations: Literal[1, 4, 8] = Field(
        8, description="1 takes patches as they are, 4 also turns them, 8 also mirrors them"
    )
    rescale_factors: RescaleFactors = Field(
        (1.0,), description="sizes of every image, such as 1_0.7_0.5; each copy counts as one more image"
    )
    hard_mining_candidates: Whole = Field(
        1, ge=1, description="patches drawn for every one used, the one that interpolation gets most wrong"
    )
    batch_size: Whole = Field(64, ge=1, description="patches a step")
    steps: Whole = Field(9960, ge=1, description="optimizer steps in all")
    # Muon's steps are orthogonal (Jordan et al. 2024) and as large as Adam's, which the biases are left to.
    optimizer: Literal["sgd", "adam", "muon"] = Field(
        "sgd", description="sgd (momentum 0.9), adam, or muon (for the convolutions; adam for the biases)"
    )
    learning_rate: Real = Field(0.1, gt=0, description="at the first step, or at the end of the warm-up")
    bias_lr_factor: Real = Field(1.0, ge=0, description="factor on the learning rate for the biases")
    reinitialise_every: Whole = Field(
        0, ge=0, description="steps after which dead feature maps begin anew; 0 for never"
    )
    # Adam needs a warm-up here: its first steps move all weights of 20 layers alike, and can kill every ReLU.
    warmup_steps: Whole = Field(0, ge=0, description="steps in which the learning rate rises from 0")
    decay_steps: Whole = Field(
        2490, ge=0, description="steps between multiplications of the learning rate; 0 for a cosine to zero"
    )
    decay_factor: Real = Field(0.1, gt=0, description="factor on the learning rate every decay_steps")
    # Decoupled for Muon's convolutions, which shrink by learning rate x weight_decay a step.
    weight_decay: Real = Field(0.0, ge=0, description="L2 penalty on the weights and biases")
    # The paper's rule is "value": every element of the gradient within clip_theta / learning rate of 0.
    clip: Literal["none", "value", "norm"] = Field(
        "none", description="gradient clipping: none, value (every element, as in the paper) or norm"
    )
    clip_theta: Real = Field(0.01, gt=0, description="gradients are clipped to clip_theta / learning rate")
    # "sse" is summed over a patch and averaged over the batch: the scale that a rate of 0.1 was chosen for.
    loss: Literal["sse", "mse", "l1"] = Field(
        "mse", description="sse (half the summed squared error, as in the paper), mse or l1 (means)"
    )
    ema: Real = Field(
        0.0, ge=0, lt=1, description="decay of the weights' running average, which is scored and saved"
    )
    # The weights, the sum with ILR and all scores stay in float32.
    precision: Literal["float32", "bfloat16", "auto"] = Field(
        "float32", description="type of the convolutions; auto is bfloat16 where the device has units for it"
    )
    seed: Whole = Field(0, ge=0, lt=2**32, description="seed of the initial weights and of the patches")

    def __init__(self, **fields: Any) -> None:
        try:
            super().__init__(**fields)
        except ValidationError as error:
            raise InputError("; ".join(map(_sentence, error.errors()))) from None

    @model_validator(mode="after")
    def _damage_fits(self) -> "Recipe":
        if self.damage == "none" and min(self.scales) == 1:
            raise InputError("scales must be above 1 where damage is none, got 1: nothing would be learnt")
        if self.damage == "photo" and not self.degrade_patch:
            raise InputError("damage photo is drawn anew for every patch: degrade_patch must be True")
        if self.damage == "photo" and get_protocol(self.protocol).colour != "luma":
            raise InputError(f"damage photo is done to luma: protocol must be paper, got {self.protocol}")
        return self

    @model_validator(mode="after")
    def _last_rate_is_a_number(self) -> "Recipe":
        if self.decay_steps:
            try:
                last = self.lr_at(self.steps - 1)
            except OverflowError:
                last = math.inf
            if not 1e-38 < last < 1e38:  # float32
                raise InputError(
                    f"decay_factor must keep the learning rate within float32, got {self.decay_factor:g}, "
                    f"which ends at {last:g}; take a factor nearer to 1, or more decay_steps"
                )
        return self

    def replace(self, **changes: Any) -> "Recipe":
        """Change fields; the result is checked like any recipe."""
        return Recipe(**{**self.model_dump(), **changes})

    def lr_at(self, step: int) -> float:
        """Compute the learning rate of a step, counted from 0.

        >>> Recipe(name="example", learning_rate=0.1, decay_steps=100, decay_factor=0.5).lr_at(250)
        0.025
        """
        if step < self.warmup_steps:
            return self.learning_rate * (step + 1) / self.warmup_steps
        if self.decay_steps == 0:
            return self.learning_rate * 0.5 * (1 + math.cos(math.pi * step / self.steps))
        return self.learning_rate * self.decay_factor ** (step // self.decay_steps)

    @property
    def flops(self) -> float:
        """Floating-point operations of the whole training: two a weight and pixel, forward and twice back.

        The weights are counted as for one channel.
        """
        weights = 9 * (2 * self.width + (self.depth - 2) * self.width**2)
        return 6.0 * weights * self.patch_size**2 * self.batch_size * self.steps

    def formatted(self) -> dict[str, str]:
        """Format the values for tables, with a dash for those that have no effect beside the others."""
        unused = {"clip_theta": self.clip == "none", "decay_factor": self.decay_steps == 0}
        texts = {
            name: ", ".join(f"{part:g}" for part in value) if isinstance(value, tuple) else str(value)
            for name, value in self.model_dump().items()
        }
        return {name: "–" if unused.get(name) else text for name, text in texts.items()}


def _sentence(error: ErrorDetails) -> str:
    """Say what pydantic found wrong with one field."""
    if error["type"] == "value_error":  # of a check above, whose message is a sentence already
        return str(error["ctx"]["error"]).rstrip(".")
    name = ".".join(map(str, error["loc"]))
    if error["type"] == "extra_forbidden":
        return f"a recipe has no field {name}; its fields are {', '.join(Recipe.model_fields)}"
    if error["type"] == "missing":
        return f"{name} is missing"
    return f"{name} {error['msg'].replace('Input should', 'must')}, got {error['input']!r}"
