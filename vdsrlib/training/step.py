"""One step of training: the network a recipe asks for, its patches, the loss and the gradients."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vdsrlib.errors import InputError
from vdsrlib.models import checkpoint
from vdsrlib.models.vdsr import VDSR
from vdsrlib.protocol import get_protocol
from vdsrlib.training.optimizer import Optimizer
from vdsrlib.training.patches import TrainingSet
from vdsrlib.training.recipe import Recipe
from vdsrlib.utils.device import fast_in_bfloat16, without_tf32


def with_precision(recipe: Recipe, device: torch.device) -> Recipe:
    """The recipe with the precision that "auto" means on this device."""
    if recipe.precision != "auto":
        return recipe
    return replace(recipe, precision="bfloat16" if fast_in_bfloat16(device) else "float32")


def training_set(recipe: Recipe, paths: Sequence[Path], **options: Any) -> TrainingSet:
    """The patches that a recipe asks for; ``options`` as in ``TrainingSet``."""
    return TrainingSet(
        paths,
        get_protocol(recipe.protocol),
        recipe.scales,
        patch=recipe.patch_size,
        random_crops=recipe.random_crops,
        degrade_patch=recipe.degrade_patch,
        orientations=recipe.orientations,
        rescale_factors=recipe.rescale_factors,
        hard_mining_candidates=recipe.hard_mining_candidates,
        seed=recipe.seed,
        **options,
    )


def build_network(recipe: Recipe) -> VDSR:
    """The network that a recipe asks for, with the initial weights that the random state gives."""
    channels = get_protocol(recipe.protocol).channels
    return VDSR(recipe.depth, recipe.width, channels, recipe.last_gain, recipe.residual)


def load_initial_weights(model: VDSR, recipe: Recipe, init: checkpoint.Checkpoint) -> None:
    """Copy the weights of ``init``, unless they are of another network than the recipe's."""
    there = (init.protocol.name, init.model.depth, init.model.width, init.model.global_skip)
    if there != (recipe.protocol, recipe.depth, recipe.width, recipe.residual):
        raise InputError(
            f"{init.file}, to begin with, is another network than the recipe's; write "
            "protocol {}, depth {}, width {} and residual {}.".format(*there)
        )
    model.load_state_dict(init.model.state_dict())


def forward_backward(recipe: Recipe, network: nn.Module, ilr: Tensor, hr: Tensor) -> Tensor:
    """Forward, loss and gradients of one batch; returns the loss, detached."""
    reduced = recipe.precision == "bfloat16"
    with without_tf32(benchmark=ilr.is_cuda):  # patches are always of one size
        with torch.autocast(ilr.device.type, dtype=torch.bfloat16, enabled=reduced):
            sr = network(ilr)
        if recipe.loss == "sse":
            loss = 0.5 * nn.functional.mse_loss(sr, hr, reduction="sum") / len(hr)
        elif recipe.loss == "mse":
            loss = nn.functional.mse_loss(sr, hr)
        else:
            loss = nn.functional.l1_loss(sr, hr)
        network.zero_grad()
        loss.backward()
    return loss.detach()


def loss_curve(recipe: Recipe, paths: Sequence[Path]) -> list[float]:
    """The loss at every step of a run that saves nothing, on the CPU; it ends where the loss is not finite.

    A run that diverges is a result here, not an error: for comparing rates and clipping rules.
    """
    data = training_set(recipe, paths)
    torch.manual_seed(recipe.seed)
    model = build_network(recipe)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer, losses = Optimizer(recipe, model), []
    for step in range(recipe.steps):
        losses.append(forward_backward(recipe, model, *data.batch(step, recipe.batch_size)).item())
        if not math.isfinite(losses[-1]):
            break
        optimizer.set_rate(recipe.lr_at(step))
        optimizer.step()
    return losses
