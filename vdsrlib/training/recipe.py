"""Recipes: everything that determines the weights, as data. ``paper`` is the paper's section 5.2."""

import dataclasses
import inspect
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from vdsrlib.errors import InputError
from vdsrlib.protocol import get_protocol
from vdsrlib.utils.parsing import parse_rescale_factors, parse_scales


@dataclass(frozen=True)
class Recipe:
    """All that determines the weights, given the images. Stored in every checkpoint.

    Attributes:
        name: which recipe this is, or began as.
        protocol: colour, degradation and range: ``paper`` or ``replication``.
        scales: trained for, mixed in every batch, evenly.
        depth: number of convolutions.
        width: feature maps of every layer but the last.
        last_gain: factor on the last layer's initial weights. 1 is He's initialisation; 0.01 begins near
            SR = ILR.
        residual: whether ILR is added to the last layer's output. False: the network predicts HR itself.
        patch_size: side of the square training patches, in pixels.
        random_crops: whether patches lie at any position, rather than side by side on a grid.
        degrade_patch: whether every HR patch is degraded by itself, rather than the whole image once a scale.
        orientations: 1: patches as they are; 4: also turned; 8: also mirrored.
        rescale_factors: factors by which every image is resized; each copy counts as one more image.
        hard_mining_candidates: patches drawn for every one that is used: the one that interpolation gets most
            wrong. 1: every patch is as likely.
        batch_size: patches a step.
        steps: optimizer steps in all.
        optimizer: ``sgd`` (momentum 0.9), ``adam``, or ``muon``: every convolution's step is made orthogonal
            (Jordan et al. 2024) and scaled to the size of Adam's; biases are left to Adam.
        learning_rate: at the first step, or at the end of the warm-up.
        bias_lr_factor: factor on the learning rate for the biases.
        reinitialise_every: steps after which feature maps that are dead begin anew (Sokar et al. 2023):
            weights into them as at the start, and none out of them, so that nothing else changes; 0: never.
        warmup_steps: the rate rises linearly from 0 over so many steps. Adam needs it here: its first steps
            move all weights of 20 layers alike, and can kill every ReLU for good.
        decay_steps: the rate is multiplied by decay_factor every so many steps; 0: a cosine from
            learning_rate to 0 instead.
        decay_factor: see decay_steps.
        weight_decay: L2 penalty; for Muon's convolutions decoupled: they shrink by rate x
            weight_decay a step. 0: none.
        clip: gradient clipping: ``none``; ``value``, the paper's rule, every element into
            [-clip_theta / rate, clip_theta / rate]; or ``norm``, the whole gradient's length to
            clip_theta / rate.
        clip_theta: the constant of the clipping. The paper does not state its value.
        loss: ``sse``, half the squared error summed over a patch, averaged over the batch (the scale that a
            rate of 0.1 was chosen for); ``mse``, the mean squared error; or ``l1``, the mean absolute error.
        ema: decay of the running average of the weights that is scored and saved; 0: none.
        precision: type of the convolutions in training, ``float32`` or ``bfloat16``; the weights, the sum
            with ILR and all scores are float32. ``auto`` is bfloat16 where the device has units for it.
        seed: of the initial weights and of the draws.
    """

    name: str
    protocol: str = "paper"
    scales: tuple[float, ...] = (2.0, 3.0, 4.0)
    depth: int = 20
    width: int = 64
    last_gain: float = 1.0
    residual: bool = True
    patch_size: int = 41
    random_crops: bool = False
    degrade_patch: bool = False
    orientations: int = 8
    rescale_factors: tuple[float, ...] = (1.0,)
    hard_mining_candidates: int = 1
    batch_size: int = 64
    steps: int = 9960
    optimizer: str = "sgd"
    learning_rate: float = 0.1
    bias_lr_factor: float = 1.0
    reinitialise_every: int = 0
    warmup_steps: int = 0
    decay_steps: int = 2490
    decay_factor: float = 0.1
    weight_decay: float = 0.0
    clip: str = "none"
    clip_theta: float = 0.01
    loss: str = "mse"
    ema: float = 0.0
    precision: str = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "scales", parse_scales(self.scales))
        object.__setattr__(self, "rescale_factors", parse_rescale_factors(self.rescale_factors))
        get_protocol(self.protocol)
        choices = {
            "optimizer": ("sgd", "adam", "muon"),
            "clip": ("none", "value", "norm"),
            "loss": ("sse", "mse", "l1"),
            "precision": ("float32", "bfloat16", "auto"),
            "orientations": (1, 4, 8),
            "residual": (True, False),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise InputError(
                    f"{name} is {getattr(self, name)!r}; write {' or '.join(map(str, allowed))}."
                )
        least = {
            "depth": 2,
            "width": 1,
            "patch_size": 3,
            "hard_mining_candidates": 1,
            "batch_size": 1,
            "steps": 1,
            "decay_steps": 0,
            "warmup_steps": 0,
            "reinitialise_every": 0,
            "seed": 0,
        }
        for name, bound in least.items():
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < bound:
                raise InputError(f"{name} is {value!r}; write a whole number from {bound} up.")
        ranges: dict[str, tuple[Callable[[float], bool], str]] = {
            "learning_rate": (lambda x: x > 0, "above 0"),
            "decay_factor": (lambda x: x > 0, "above 0"),
            "clip_theta": (lambda x: x > 0, "above 0"),
            "bias_lr_factor": (lambda x: x >= 0, "from 0 up"),
            "last_gain": (lambda x: x > 0, "above 0"),
            "weight_decay": (lambda x: x >= 0, "from 0 up"),
            "ema": (lambda x: 0 <= x < 1, "from 0 to below 1"),
        }
        for name, (allowed_value, words) in ranges.items():
            value = getattr(self, name)
            if not (isinstance(value, int | float) and math.isfinite(value) and allowed_value(value)):
                raise InputError(f"{name} is {value!r}; write a number {words}.")
        if self.seed >= 2**32:
            raise InputError(f"seed is {self.seed}; write a whole number below 2**32.")
        if self.decay_steps:
            try:
                last = self.lr_at(self.steps - 1)
            except OverflowError:
                last = math.inf
            if not 1e-38 < last < 1e38:  # float32
                raise InputError(
                    f"decay_factor is {self.decay_factor:g}: the learning rate at the last step is {last:g}; "
                    "write a factor nearer to 1, or more decay_steps."
                )

    def lr_at(self, step: int) -> float:
        """Learning rate of a step, counted from 0."""
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

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            **dataclasses.asdict(self),
            "scales": list(self.scales),
            "rescale_factors": list(self.rescale_factors),
        }

    def formatted(self) -> dict[str, str]:
        """As text for tables, with a dash for what has no effect beside the other values."""
        idle = {"clip_theta": self.clip == "none", "decay_factor": self.decay_steps == 0}
        words = {
            name: ", ".join(f"{factor:g}" for factor in value) if isinstance(value, list) else str(value)
            for name, value in self.to_dict().items()
        }
        return {name: "–" if idle.get(name) else text for name, text in words.items()}

    @classmethod
    def meanings(cls) -> dict[str, str]:
        """What each field means, from the documentation above."""
        _, _, fields = (inspect.getdoc(cls) or "").partition("Attributes:\n")
        found = re.findall(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", fields, re.MULTILINE)
        return {name: " ".join(text.replace("``", "").split()) for name, text in found}
