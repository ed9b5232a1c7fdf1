"""One step of training: the loss, its gradients, and the new weights."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from vdsrlib.training.cuda_graph import GraphedStep
from vdsrlib.training.network import build_network
from vdsrlib.training.optimizer import Optimizer, update_ema
from vdsrlib.training.patches import TrainingSet
from vdsrlib.training.recipe import Recipe
from vdsrlib.training.run_state import TrainingState
from vdsrlib.utils.device import without_tf32
from vdsrlib.utils.logs import logger

Step = Callable[[Tensor, Tensor], Tensor]


def loss_of(recipe: Recipe, image: Tensor, hr: Tensor) -> Tensor:
    """Compute the loss of a batch of images (SR, or ILR) against HR, both N x C x H x W."""
    if recipe.loss == "sse":
        return 0.5 * nn.functional.mse_loss(image, hr, reduction="sum") / len(hr)
    return nn.functional.mse_loss(image, hr) if recipe.loss == "mse" else nn.functional.l1_loss(image, hr)


def forward_backward(recipe: Recipe, network: nn.Module, ilr: Tensor, hr: Tensor) -> Tensor:
    """Compute the loss of a batch and its gradients; return the loss, detached."""
    reduced = recipe.precision == "bfloat16"
    with without_tf32(benchmark=ilr.is_cuda):  # patches are always of one size
        with torch.autocast(ilr.device.type, dtype=torch.bfloat16, enabled=reduced):
            sr = network(ilr)
        loss = loss_of(recipe, sr, hr)
        network.zero_grad()
        loss.backward()
    return loss.detach()


def build_step(
    recipe: Recipe, state: TrainingState, *, compiled: bool, distributed: bool, graph: bool
) -> Step:
    """Build the function that makes a step with a batch, at the optimizer's learning rate.

    Args:
        recipe: loss, precision and running average.
        state: what the step changes.
        compiled: run the network through torch.compile; where that fails, training goes on without.
        distributed: average the gradients of all processes.
        graph: nothing else uses the GPU meanwhile, so that a compiled step may be recorded as a CUDA graph.

    Returns:
        The function, from (ILR, HR) to the loss.
    """
    eager: nn.Module = DistributedDataParallel(state.model) if distributed else state.model
    network = cast(nn.Module, torch.compile(eager)) if compiled else eager
    first = state.step

    def make_step(ilr: Tensor, hr: Tensor) -> Tensor:
        nonlocal network
        try:
            loss = forward_backward(recipe, network, ilr, hr)
        except Exception as error:  # compiling fails in many ways, always in the first step
            if network is eager or state.step > first or isinstance(error, torch.OutOfMemoryError):
                raise
            reason = (str(error) or repr(error)).splitlines()[0]
            logger.info(f"torch.compile does not work here ({reason}); training goes on without it.")
            network = eager
            loss = forward_backward(recipe, network, ilr, hr)
        state.optimizer.step()
        if recipe.ema:  # the average begins with the weights of the first step
            update_ema(state.ema_model, state.model, 1 - recipe.ema if state.step else 1.0)
        return loss

    return GraphedStep(make_step) if compiled and graph and state.optimizer.capturable else make_step


def loss_curve(recipe: Recipe, paths: Sequence[Path]) -> list[float]:
    """Return the loss at every step of a run that saves nothing, on the CPU.

    It ends where the loss is not finite. A run that diverges is a result here, not an error: for comparing
    learning rates and clipping rules.
    """
    data = TrainingSet(recipe, paths)
    torch.manual_seed(recipe.seed)
    model = build_network(recipe)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer, losses = Optimizer(recipe, model), []
    for step in range(recipe.steps):
        losses.append(forward_backward(recipe, model, *data.batch(step, recipe.batch_size)).item())
        if not math.isfinite(losses[-1]):
            break
        optimizer.set_learning_rate(recipe.lr_at(step))
        optimizer.step()
    return losses
