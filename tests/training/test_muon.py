"""Muon: ours takes all weights of one shape at once; PyTorch's own, matrix by matrix, is the reference."""

import numpy as np
import pytest
import torch
from torch import nn

from vdsrlib.models.vdsr import VDSR
from vdsrlib.training.muon import Muon, orthogonalize


class TestMuon:
    """Ours takes all weights of one shape at once; PyTorch's own, matrix by matrix, is the reference."""

    @pytest.fixture
    def weights(self):
        torch.manual_seed(1)
        return list(VDSR(depth=4, width=8).to(memory_format=torch.channels_last).conv.parameters())[::2]

    def test_steps_are_those_of_pytorch(self, weights):
        ours = Muon(weights, weight_decay=0.1)
        assert [len(group["params"]) for group in ours.param_groups] == [1, 2, 1]
        matrices = [
            nn.Parameter(weight.detach().permute(0, 2, 3, 1).flatten(1).clone()) for weight in weights
        ]
        theirs = torch.optim.Muon(matrices, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
        for rate in (1e-3, 3e-3, 1e-2, 1e-2, 1e-2):
            for group in ours.param_groups + theirs.param_groups:
                group["lr"] = rate
            for weight, matrix in zip(weights, matrices, strict=True):
                weight.grad = torch.randn_like(weight)
                matrix.grad = weight.grad.permute(0, 2, 3, 1).flatten(1)
            before = weights[1].clone()
            ours.step()
            theirs.step()
            assert (weights[1] - before).abs().mean() > 0.05 * rate
        # PyTorch's iterates in bfloat16, and ends 1.8e-4 away; a momentum of 0.9 instead of 0.95 ends 1.4e-3
        # away, and 2 instead of 2.0315 in the iteration 2e-3.
        for weight, matrix in zip(weights, matrices, strict=True):
            np.testing.assert_allclose(
                weight.detach().permute(0, 2, 3, 1).flatten(1), matrix.detach(), rtol=0, atol=4e-4
            )

    def test_goes_on_from_its_state(self, weights):
        def steps(optimizer: Muon, seeds: range) -> Muon:
            for seed in seeds:
                torch.manual_seed(seed)
                for weight in weights:
                    weight.grad = torch.randn_like(weight)
                for group in optimizer.param_groups:
                    group["lr"] = 1e-2
                optimizer.step()
            return optimizer

        start = [weight.detach().clone() for weight in weights]
        steps(Muon(weights, weight_decay=0.0), range(4))
        at_once = [weight.detach().clone() for weight in weights]
        with torch.no_grad():
            torch._foreach_copy_(weights, start)
        state = steps(Muon(weights, weight_decay=0.0), range(2)).state_dict()
        resumed = Muon(weights, weight_decay=0.0)
        resumed.load_state_dict(state)
        steps(resumed, range(2, 4))
        assert all(torch.equal(a, b) for a, b in zip(at_once, weights, strict=True))

    @pytest.mark.parametrize("shape", [(1, 9, 64), (64, 9, 1), (3, 16, 144)])
    def test_singular_values_are_nearly_one(self, shape):
        matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        values = torch.linalg.svdvals(orthogonalize(1e-3 * matrices))
        assert values.min() > 0.6
        assert values.max() < 1.3
