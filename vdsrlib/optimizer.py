"""Optimizers, and the paper's rule that lets them run at a high learning rate."""

import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

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


class Muon(torch.optim.Optimizer):
    """Momentum whose every step is made orthogonal (Jordan et al. 2024), for the weights of convolutions.

    The steps are those of ``torch.optim.Muon`` with ``adjust_lr_fn="match_rms_adamw"`` on matrices
    out x (3 * 3 * in), but for rounding: that one iterates in bfloat16, with which the curves of one process
    and of two part after some forty steps. It also goes through the matrices one by one; here the eighteen
    middle layers are one batch: a sixth of the calls, which GPUs wait for.
    """

    def __init__(self, weights: Iterable[nn.Parameter], weight_decay: float, momentum: float = 0.95) -> None:
        same: dict[torch.Size, list[nn.Parameter]] = {}
        for weight in weights:
            same.setdefault(weight.shape, []).append(weight)
        groups = [{"params": group} for group in same.values()]
        super().__init__(groups, {"lr": 0.0, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        """Move the weights, all of one shape together."""
        for group in self.param_groups:
            weights, rate, momentum = group["params"], group["lr"], group["momentum"]
            # in the order of channels-last memory: layers x out x 3 x 3 x in
            gradient = torch.stack([weight.grad.permute(0, 2, 3, 1) for weight in weights])
            state = self.state[weights[0]]  # of all in the group
            if not state:
                state["average"] = torch.zeros_like(gradient)
            average = state["average"].lerp_(gradient, 1 - momentum)
            matrices = gradient.lerp(average, momentum).flatten(2)
            update = orthogonal(matrices).view_as(gradient).permute(0, 1, 4, 2, 3)
            torch._foreach_mul_(weights, 1 - rate * group["weight_decay"])
            like_adam = 0.2 * math.sqrt(max(matrices.shape[1:]))  # root mean square of Adam's steps
            torch._foreach_sub_(weights, (update * (rate * like_adam)).unbind())


def orthogonal(matrices: Tensor) -> Tensor:
    """Layers x rows x columns -> the same shape, every singular value made nearly 1.

    Newton and Schulz's iteration, with the five steps and the coefficients of Jordan et al.
    """
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(5):
        gram = x @ x.mT
        gram = torch.baddbmm(gram, gram, gram, beta=-4.7750, alpha=2.0315)
        x = torch.baddbmm(x, gram, x, beta=3.4445)
    return x.mT if tall else x


class Optimizer:
    """A recipe's optimizer over a network whose weights are channels-last already.

    Attributes:
        capturable: whether ``step`` can be recorded in a CUDA graph: then the rate is a number on the GPU.
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
            (plain(biases, weight_decay=decay), recipe.bias_rate),
        ]
        if self.capturable:
            for part, _ in self.parts:
                for group in part.param_groups:
                    group["lr"] = torch.zeros((), device=weights[0].device)
        self.set_rate(recipe.learning_rate)

    def set_rate(self, rate: float) -> None:
        """The learning rate of the steps that follow."""
        self.bound = self.recipe.theta / rate
        for part, factor in self.parts:
            for group in part.param_groups:
                if self.capturable:
                    group["lr"].fill_(rate * factor)
                else:
                    group["lr"] = rate * factor

    def step(self) -> None:
        """Clip the gradients and move the weights."""
        clip_gradients(self.model.parameters(), self.recipe.clip, self.bound)
        for part, _ in self.parts:
            part.step()

    def state_dict(self) -> list[dict[str, Any]]:
        """What is remembered between steps."""
        return [part.state_dict() for part, _ in self.parts]

    def load_state_dict(self, state: list[dict[str, Any]]) -> None:
        """Go on with what ``state_dict`` gave, perhaps on another kind of device."""
        for (part, _), kept in zip(self.parts, state, strict=True):
            groups = []
            for saved, own in zip(kept["param_groups"], part.param_groups, strict=True):
                groups.append({**own, "params": saved["params"]})
            part.load_state_dict({**kept, "param_groups": groups})


def average(averages: nn.Module, model: nn.Module, share: float) -> None:
    """Move a running average of a network's weights by a share of the way towards them; 1: all of it."""
    old, new = ([p.data for p in network.parameters()] for network in (averages, model))
    torch._foreach_lerp_(old, new, share)
