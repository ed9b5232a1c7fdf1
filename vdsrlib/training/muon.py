"""Muon: momentum whose every step is made orthogonal."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn


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
            weights, learning_rate, momentum = group["params"], group["lr"], group["momentum"]
            # in the order of channels-last memory: layers x out x 3 x 3 x in
            gradient = torch.stack([weight.grad.permute(0, 2, 3, 1) for weight in weights])
            state = self.state[weights[0]]  # of all in the group
            if not state:
                state["average"] = torch.zeros_like(gradient)
            average = state["average"].lerp_(gradient, 1 - momentum)
            matrices = gradient.lerp(average, momentum).flatten(2)
            update = orthogonalize(matrices).view_as(gradient).permute(0, 1, 4, 2, 3)
            torch._foreach_mul_(weights, 1 - learning_rate * group["weight_decay"])
            like_adam = 0.2 * math.sqrt(max(matrices.shape[1:]))  # root mean square of Adam's steps
            torch._foreach_sub_(weights, (update * (learning_rate * like_adam)).unbind())


def orthogonalize(matrices: Tensor) -> Tensor:
    """Make every singular value nearly 1: layers x rows x columns to the same shape.

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
