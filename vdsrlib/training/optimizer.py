"""Optimizers, and the paper's rule that lets them run at a high learning rate."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import nn

from vdsrlib.models.vdsr import VDSR
from vdsrlib.training.muon import Muon
from vdsrlib.training.recipe import Recipe


def clip_gradients(parameters: Iterable[nn.Parameter], rule: str, bound: float) -> None:
    """Clip gradients in place: "value" into [-bound, bound], "norm" to a length of bound.

    Section 3.2 of the paper, Adjustable Gradient Clipping: with bound = clip_theta / learning rate, one
    gradient moves a weight by at most clip_theta at every learning rate, so that high ones do not explode.
    (Momentum 0.9 adds ten gradients up.) Implementations that clip to a fixed length have no such constant:
    a length of 0.4 at a learning rate of 0.1 is clip_theta = 0.04 here, and less once the rate has fallen.
    """
    if rule == "value":
        nn.utils.clip_grad_value_(parameters, bound)
    elif rule == "norm":
        nn.utils.clip_grad_norm_(parameters, bound)


class Optimizer:
    """A recipe's optimizer over a network whose weights are channels-last already.

    Attributes:
        capturable: whether ``step`` can be recorded in a CUDA graph; the learning rate then lies on the GPU.
    """

    def __init__(self, recipe: Recipe, model: VDSR) -> None:
        self.recipe, self.model = recipe, model
        decay = recipe.weight_decay
        weights = [p for p in model.parameters() if p.ndim == 4]
        biases = [p for p in model.parameters() if p.ndim == 1]
        self.capturable = weights[0].is_cuda and recipe.optimizer != "sgd" and recipe.clip == "none"
        plain: Callable[..., torch.optim.Optimizer] = partial(torch.optim.Adam, capturable=self.capturable)
        if recipe.optimizer == "sgd":
            plain = partial(torch.optim.SGD, momentum=0.9)
        self.parts: list[tuple[torch.optim.Optimizer, float]] = [
            (Muon(weights, decay) if recipe.optimizer == "muon" else plain(weights, weight_decay=decay), 1.0),
            (plain(biases, weight_decay=decay), recipe.bias_lr_factor),
        ]
        if self.capturable:
            for part, _ in self.parts:
                for group in part.param_groups:
                    group["lr"] = torch.zeros((), device=weights[0].device)
        self.set_learning_rate(recipe.learning_rate)

    def set_learning_rate(self, learning_rate: float) -> None:
        """Set the learning rate of the steps that follow."""
        self.bound = self.recipe.clip_theta / learning_rate
        for part, factor in self.parts:
            for group in part.param_groups:
                if self.capturable:
                    group["lr"].fill_(learning_rate * factor)
                else:
                    group["lr"] = learning_rate * factor

    def step(self) -> None:
        """Clip the gradients and move the weights."""
        clip_gradients(self.model.parameters(), self.recipe.clip, self.bound)
        for part, _ in self.parts:
            part.step()

    def state_dict(self) -> list[dict[str, Any]]:
        """Return what is remembered between steps."""
        return [part.state_dict() for part, _ in self.parts]

    def load_state_dict(self, state: list[dict[str, Any]]) -> None:
        """Go on with what ``state_dict`` gave, perhaps on another kind of device."""
        for (part, _), kept in zip(self.parts, state, strict=True):
            groups = []
            for saved, own in zip(kept["param_groups"], part.param_groups, strict=True):
                groups.append({**own, "params": saved["params"]})
            part.load_state_dict({**kept, "param_groups": groups})


def update_ema(ema_model: nn.Module, model: nn.Module, fraction: float) -> None:
    """Move a running average of a network's weights by a fraction of the way towards them; 1: all of it."""
    old, new = ([p.data for p in network.parameters()] for network in (ema_model, model))
    torch._foreach_lerp_(old, new, fraction)
