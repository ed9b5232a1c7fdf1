"""The network is the paper's Figure 1."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from vdsrlib.errors import InputError
from vdsrlib.models.vdsr import VDSR, layer_table, receptive_field


@pytest.fixture(scope="module")
def vdsr() -> VDSR:
    torch.manual_seed(0)
    return VDSR()


def test_sizes_of_the_paper(vdsr):
    for kind, size in (("weight", 664_704), ("bias", 1_217)):
        assert sum(p.numel() for name, p in vdsr.named_parameters() if name.endswith(kind)) == size
    table = layer_table(vdsr)
    assert sum(row["weights"] for row in table) == 664_704
    assert sum(row["biases"] for row in table) == 1_217
    assert [table[0]["in"], table[0]["out"], table[-1]["in"], table[-1]["out"]] == [1, 64, 64, 1]
    assert table[-1]["receptive field"] == receptive_field(20) == 41


def test_layer_names(vdsr):
    convs = [name for name, module in vdsr.named_modules() if isinstance(module, nn.Conv2d)]
    relus = [name for name, module in vdsr.named_modules() if isinstance(module, nn.ReLU)]
    assert convs == [f"conv.{i}" for i in range(1, 21)]
    assert relus == [f"relu.{i}" for i in range(1, 20)]
    assert [row["layer"] for row in layer_table(vdsr)] == convs


def test_he_initialisation(vdsr):
    for i, conv in vdsr.conv.items():
        wanted = math.sqrt(2 / (9 * conv.in_channels))
        spread = 4 / math.sqrt(2 * conv.weight.numel())  # four standard errors
        assert conv.weight.std().item() == pytest.approx(wanted, rel=spread), f"conv.{i}"
        assert not conv.bias.any()
    torch.manual_seed(0)
    damped = VDSR(last_gain=0.01)
    torch.testing.assert_close(damped.conv["20"].weight, vdsr.conv["20"].weight * 0.01)
    assert torch.equal(damped.conv["19"].weight, vdsr.conv["19"].weight)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [((1, 4, 1), "depth"), ((0, 4, 1), "depth"), ((3, 0, 1), "width"), ((3, 4, 0), "channels")],
)
def test_too_small(arguments, name):
    with pytest.raises(InputError, match=f"The {name} is .; it must be at least"):
        VDSR(*arguments)


@given(
    batch=st.integers(1, 3),
    channels=st.sampled_from([1, 3]),
    height=st.integers(1, 20),
    width=st.integers(1, 20),
    depth=st.integers(2, 5),
)
def test_output_has_the_shape_of_the_input(batch, channels, height, width, depth):
    ilr = torch.rand(batch, channels, height, width)
    assert VDSR(depth, 2, channels)(ilr).shape == ilr.shape


@pytest.mark.parametrize("channels", [1, 3])
def test_without_residual_sr_is_ilr(make_zero_model, channels):
    ilr = torch.rand(2, channels, 17, 12)
    assert torch.equal(make_zero_model(channels)(ilr), ilr)


def test_sr_is_ilr_plus_residual(make_model):
    model, ilr = make_model(3), torch.rand(1, 3, 9, 9)
    assert torch.equal(model(ilr), ilr + model.residual(ilr))


@pytest.mark.parametrize("depth", [2, 3, 5])
def test_receptive_field(depth):
    """Of the residual: nothing beyond 2 depth + 1, and something in its very corners."""
    model = VDSR(depth, 3)
    for conv in model.conv.values():
        nn.init.constant_(conv.weight, 0.1)  # all ReLUs pass
    ilr = torch.rand(1, 1, 25, 25, requires_grad=True)
    model.residual(ilr)[0, 0, 12, 12].backward()
    reached = ilr.grad[0, 0] != 0
    square = torch.zeros(25, 25, dtype=torch.bool)
    square[12 - depth : 13 + depth, 12 - depth : 13 + depth] = True
    assert receptive_field(depth) == 2 * depth + 1
    assert torch.equal(reached, square)
