"""Optimizers: the rule of clipping, the factor of the biases, the average, states."""

import pytest
import torch
from torch import nn

from training.runs import TINY, identical, weights
from vdsrlib.models.vdsr import VDSR
from vdsrlib.training.network import build_network
from vdsrlib.training.optimizer import Optimizer, clip_gradients
from vdsrlib.training.recipes import RECIPES
from vdsrlib.training.step import forward_backward


class TestClipping:
    """Section 3.2: gradients into [-theta / rate, theta / rate]."""

    @pytest.fixture
    def parameters(self):
        torch.manual_seed(0)
        parameters = [nn.Parameter(torch.zeros(50)), nn.Parameter(torch.zeros(4, 5))]
        for parameter in parameters:
            parameter.grad = torch.randn_like(parameter)
        return parameters

    @pytest.mark.parametrize(("theta", "rate"), [(0.01, 0.1), (0.01, 0.0001), (0.5, 1.0)])
    def test_value(self, parameters, theta, rate):
        before = [parameter.grad.clone() for parameter in parameters]
        clip_gradients(parameters, "value", theta / rate)
        for old, parameter in zip(before, parameters, strict=True):
            assert (rate * parameter.grad.abs()).max() <= theta * (1 + 1e-6)
            inside = old.abs() <= theta / rate
            assert torch.equal(parameter.grad[inside], old[inside])
            assert torch.equal(parameter.grad.sign(), old.sign())

    @pytest.mark.parametrize("bound", [0.4, 1e6])
    def test_norm(self, parameters, bound):
        before = torch.cat([parameter.grad.flatten() for parameter in parameters])
        clip_gradients(parameters, "norm", bound)
        after = torch.cat([parameter.grad.flatten() for parameter in parameters])
        torch.testing.assert_close(after, before * min(1, bound / before.norm().item()))

    def test_none(self, parameters):
        before = parameters[0].grad.clone()
        clip_gradients(parameters, "none", 1e-9)
        assert torch.equal(parameters[0].grad, before)

    @pytest.mark.parametrize("rate", [0.1, 1e4])
    def test_a_step_moves_a_weight_by_theta_at_most(self, train, rate):
        recipe = RECIPES["paper"].replace(
            depth=3, width=4, patch_size=16, batch_size=2, steps=1, learning_rate=rate
        )
        recipe = recipe.replace(weight_decay=0.0, clip_theta=1e-4)
        torch.manual_seed(recipe.seed)
        initial = VDSR(3, 4).state_dict()
        moved = [(value - initial[name]).abs().max().item() for name, value in weights(train(recipe)).items()]
        assert max(moved) == pytest.approx(1e-4, rel=0.01)  # some element was clipped


class TestOptimizer:
    @pytest.mark.parametrize("name", ["sgd", "adam", "muon"])
    def test_state_of_a_gpu_goes_on_where_there_is_none(self, name):
        """There the learning rate lies on the GPU, and Adam's count of steps, too."""
        recipe = TINY.replace(optimizer=name)

        def moved(prepare) -> list[torch.Tensor]:
            torch.manual_seed(0)
            model = build_network(recipe)
            optimizer = Optimizer(recipe, model)
            for step in range(2):
                forward_backward(recipe, model, torch.rand(2, 1, 16, 16), torch.rand(2, 1, 16, 16))
                if step:
                    optimizer = prepare(optimizer, model)
                optimizer.set_learning_rate(1e-2)
                optimizer.step()
            return [p.detach() for p in model.parameters()]

        def reloaded(optimizer, model):
            state = optimizer.state_dict()
            for part in state:
                for group in part["param_groups"]:
                    group |= {"lr": torch.tensor(0.5), "capturable": True}
            again = Optimizer(recipe, model)
            again.load_state_dict(state)
            return again

        plain, resumed = moved(lambda optimizer, _: optimizer), moved(reloaded)
        assert all(torch.equal(a, b) for a, b in zip(plain, resumed, strict=True))

    @pytest.mark.parametrize("name", ["sgd", "adam", "muon"])
    @pytest.mark.parametrize("factor", [0.0, 0.25, 1.0])
    def test_bias_lr_factor(self, name, factor):
        """It scales the biases' steps, and leaves the weights theirs."""

        def moves(bias_lr_factor):
            recipe = TINY.replace(optimizer=name, bias_lr_factor=bias_lr_factor)
            torch.manual_seed(0)
            model = build_network(recipe)
            before = [p.detach().clone() for p in model.parameters()]
            forward_backward(recipe, model, torch.rand(2, 1, 16, 16), torch.rand(2, 1, 16, 16))
            optimizer = Optimizer(recipe, model)
            optimizer.set_learning_rate(1e-2)
            optimizer.step()
            return [(b.ndim, p.detach() - b) for p, b in zip(model.parameters(), before, strict=True)]

        for (dimensions, full), (_, scaled) in zip(moves(1.0), moves(factor), strict=True):
            assert full.abs().max() > 0
            expected = full if dimensions == 4 else factor * full
            torch.testing.assert_close(scaled, expected, rtol=1e-5, atol=1e-8)


def test_average_of_the_weights(train):
    """With ema, the saved weights lag behind those of the last step."""
    averaged = weights(train(name="average"))
    state = torch.load(train(name="average").weights.parent / "state.pt", weights_only=True)
    assert not identical(averaged, state["model"])
    plain = train(TINY.replace(ema=0.0), name="plain")
    state = torch.load(plain.weights.parent / "state.pt", weights_only=True)
    assert identical(weights(plain), state["model"])
