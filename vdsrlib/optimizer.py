"""Optimizers, and the paper's rule that lets them run at a high learning rate."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from vdsrlib.model import VDSR
from vdsrlib.recipe import Recipe


def clip_gradients(parameters: Iterable[nn.Parameter], rule: str, bound: float) -> None:
    """Clip gradients in place: "element" into [-bound, bound], "norm" to a length of bound.

    Section 3.2 of the paper, Adjustable Gradient Clipping: with bound = theta / learning rate, one gradient
    moves a weight by at most theta whatever the rate, so that high rates do not explode. (Momentum 0.9
    adds ten of them up.) Implementations that clip to a fixed length have no theta: a length of 0.4 at a rate
    of 0.1 is theta = 0.04 here, and a smaller one once the rate has fallen.
    """
    if rule == "element":
        nn.utils.clip_grad_value_(parameters, bound)
    elif rule == "norm":
        nn.utils.clip_grad_norm_(parameters, bound)


class Optimizer:
    """A recipe's optimizer over a network whose weights are channels-last already."""

    def __init__(self, recipe: Recipe, model: VDSR) -> None:
        self.recipe, self.model = recipe, model
        self.matrices: list[tuple[nn.Parameter, nn.Parameter]] = []
        rate, decay = recipe.learning_rate, recipe.weight_decay
        parameters = list(model.parameters())
        self.parts: list[torch.optim.Optimizer] = []
        if recipe.optimizer == "muon":
            # Muon takes matrices: out x (3 * 3 * in), in the memory of the convolution's own weights.
            for weight in (p for p in parameters if p.ndim == 4):
                matrix = nn.Parameter(weight.data.permute(0, 2, 3, 1).view(len(weight), -1))
                self.matrices.append((matrix, weight))
            matrices = [matrix for matrix, _ in self.matrices]
            self.parts.append(
                torch.optim.Muon(matrices, lr=rate, weight_decay=decay, adjust_lr_fn="match_rms_adamw")
            )
            parameters = [p for p in parameters if p.ndim == 1]
        if recipe.optimizer == "sgd":
            self.parts.append(torch.optim.SGD(parameters, lr=rate, momentum=0.9, weight_decay=decay))
        else:
            self.parts.append(torch.optim.Adam(parameters, lr=rate, weight_decay=decay))

    def step(self, rate: float) -> None:
        """Clip the gradients and move the weights, at this learning rate."""
        clip_gradients(self.model.parameters(), self.recipe.clip, self.recipe.theta / rate)
        for matrix, weight in self.matrices:
            assert weight.grad is not None
            matrix.grad = weight.grad.permute(0, 2, 3, 1).reshape(matrix.shape)
        for part in self.parts:
            for group in part.param_groups:
                group["lr"] = rate
            part.step()

    def state_dict(self) -> list[dict[str, Any]]:
        """What is remembered between steps."""
        return [part.state_dict() for part in self.parts]

    def load_state_dict(self, state: list[dict[str, Any]]) -> None:
        """Go on with what ``state_dict`` gave."""
        for part, kept in zip(self.parts, state, strict=True):
            part.load_state_dict(kept)
