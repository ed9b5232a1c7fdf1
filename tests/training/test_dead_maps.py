"""Dead feature maps: reported, and reinitialised."""

import pytest
import torch

from training.runs import TINY, scalars, weights
from vdsrlib.models import checkpoint
from vdsrlib.training.network import build_network


def test_dead_maps_are_reported(train, tmp_path):
    """A network whose second ReLU lets nothing through is seen at once, not after hours."""
    torch.manual_seed(0)
    model = build_network(TINY)
    with torch.no_grad():
        model.conv["2"].bias.fill_(-100)
    init, lines = tmp_path / "init.safetensors", []
    info = {"protocol": "paper", "scales": [2, 3], "recipe": TINY.model_dump(mode="json"), "data": "none"}
    checkpoint.save(init, model, info)
    run = train(TINY.replace(steps=1), init=init, report=lines.append)
    assert run.validation[-1]["dead"]["relu.2"] == 4
    assert any("% of the feature maps are dead" in line for line in lines)
    (row,) = scalars(tmp_path / "run-logs", "dead maps")
    assert row[1] == pytest.approx(sum(run.validation[-1]["dead"].values()) / 8)


def test_dead_maps_are_reinitialised(train, tmp_path):
    """They get weights anew, and nothing else of what the network computes changes by that."""
    recipe = TINY.replace(width=8, learning_rate=1e-30)  # which moves nothing itself
    torch.manual_seed(0)
    model = build_network(recipe)
    with torch.no_grad():
        model.conv["2"].bias[2:5] = -100
    init = tmp_path / "init.safetensors"
    info = {"protocol": "paper", "scales": [2, 3], "recipe": recipe.model_dump(mode="json"), "data": "none"}
    checkpoint.save(init, model, info)
    left, reinitialised = (
        train(recipe.replace(reinitialise_every=every), name=str(every), init=init) for every in (0, 10)
    )
    assert left.validation[-1]["dead"]["relu.2"] >= 3
    assert not reinitialised.validation[-1]["dead"].get("relu.2")
    assert reinitialised.validation[-1]["psnr"] == left.validation[-1]["psnr"]
    before, after = weights(init), weights(reinitialised)
    kept = [0, 1, 5, 6, 7]
    assert torch.equal(before["conv.2.weight"][kept], after["conv.2.weight"][kept])
    assert (after["conv.2.bias"][2:5] == 0).all()
    assert not torch.equal(before["conv.2.weight"][2:5], after["conv.2.weight"][2:5])
    assert after["conv.3.weight"][:, 2:5].abs().max() < 1e-20
