"""One step: every loss and precision, compiled or not."""

import shutil

import pytest
import torch

from training.runs import TINY, identical, weights
from vdsrlib.models import checkpoint
from vdsrlib.models.vdsr import VDSR
from vdsrlib.training import run_state
from vdsrlib.training.network import build_network
from vdsrlib.training.recipe import Recipe


@pytest.mark.parametrize(
    "changes",
    [
        {"protocol": "replication", "degrade_patch": True, "random_crops": True, "orientations": 1},
        {"precision": "bfloat16"},
        {"optimizer": "muon", "loss": "l1", "rescale_factors": (1.0, 0.5), "hard_mining_candidates": 4},
        {"optimizer": "sgd", "clip": "value", "loss": "sse", "learning_rate": 0.1, "weight_decay": 1e-4},
        {"clip": "norm", "clip_theta": 0.4},
    ],
    ids=str,
)
def test_every_kind_of_recipe_trains(train, changes):
    run = train(TINY.replace(**changes))
    loaded = checkpoint.load(run.weights, "cpu")
    assert loaded.protocol.name == changes.get("protocol", "paper")
    assert loaded.model.conv["1"].weight.dtype == torch.float32
    assert all(10 < value["model"] < 60 for value in run.validation[-1]["psnr"].values())


def test_compiled_network_trains_alike(train):
    if shutil.which("g++") is None:
        pytest.skip("torch.compile needs a C++ compiler")
    recipe = TINY.replace(steps=20)
    plain, compiled = (train(recipe, name=str(c), compiled=c).history[-1]["loss"] for c in (False, True))
    assert compiled == pytest.approx(plain, rel=1e-4)


def test_where_compiling_fails_training_goes_on(train, monkeypatch):
    def broken(*_):
        raise OSError("no compiler\nand a long story")

    compile = torch.compile
    monkeypatch.setattr(torch, "compile", lambda network: compile(network, backend=broken))
    lines = []
    compiled = train(name="compiled", compiled=True, report=lines.append)
    assert sum("torch.compile does not work here" in line for line in lines) == 1
    assert not any("story" in line for line in lines)
    assert identical(weights(compiled), weights(train(name="plain")))


def test_float32_is_not_tf32(train, monkeypatch):
    """In convolutions, forward and back, whatever PyTorch's default is."""
    flags, build = [], build_network

    def watched(recipe: Recipe) -> VDSR:
        model = build(recipe)
        note = lambda *_: flags.append(torch.backends.cudnn.allow_tf32)  # noqa: E731
        model.conv["2"].register_forward_hook(note)
        model.conv["2"].weight.register_hook(note)
        return model

    monkeypatch.setattr(run_state, "build_network", watched)
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=True):
        train(TINY.replace(steps=2))
        assert torch.backends.cudnn.allow_tf32
    assert len(flags) >= 4
    assert not any(flags)
