"""A step on a GPU, recorded and replayed."""

import pytest
import torch

from training.runs import TINY
from vdsrlib.training import step
from vdsrlib.training.cuda_graph import GraphedStep


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_cuda_follows_the_cpu(train):
    """The trainer's defaults on a GPU: compiled, in bfloat16 where it is fast."""
    recipe = TINY.replace(depth=8, width=32, steps=100, precision="auto")
    cpu, cuda = (train(recipe, name=device, device=device) for device in ("cpu", "cuda"))
    for scale, value in cpu.validation[-1]["psnr"].items():
        assert cuda.validation[-1]["psnr"][scale]["model"] == pytest.approx(value["model"], abs=0.1)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize("name", ["adam", "muon"])
def test_replayed_steps_are_those_of_python(train, monkeypatch, name):
    recipe = TINY.replace(optimizer=name, precision="bfloat16", decay_steps=0, warmup_steps=5)
    graphs = []

    class Watched(GraphedStep):
        def record(self, *inputs):
            super().record(*inputs)
            graphs.append(self.graph)

    monkeypatch.setattr(step, "GraphedStep", Watched)
    replayed = train(recipe, name="replayed", device="cuda")
    monkeypatch.setattr(step, "GraphedStep", lambda function: function)
    plain = train(recipe, name="plain", device="cuda")
    assert len(graphs) == 1
    assert graphs[0] is not None
    for one, other in zip(replayed.history, plain.history, strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-4)
