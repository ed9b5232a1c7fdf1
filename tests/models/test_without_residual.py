"""The network of section 5.1, which predicts HR itself."""

import numpy as np
import pytest
import torch

from vdsrlib.errors import InputError
from vdsrlib.inference.backends import BUILDERS, EXTRAS, prepare
from vdsrlib.inference.options import InferenceOptions
from vdsrlib.inference.predict import predict
from vdsrlib.models import checkpoint
from vdsrlib.models.vdsr import VDSR
from vdsrlib.protocol import PAPER
from vdsrlib.studies.images import study_images
from vdsrlib.training.recipes import RECIPES
from vdsrlib.training.trainer import train
from vdsrlib.training.validation import Validation


@pytest.fixture
def model():
    torch.manual_seed(3)
    return VDSR(4, 6, residual=False).to(memory_format=torch.channels_last).eval()


def test_nothing_is_added(model):
    ilr = torch.rand(1, 1, 20, 24)
    assert torch.equal(model(ilr), model.residual(ilr))
    plain = VDSR(4, 6)
    plain.load_state_dict(model.state_dict())
    torch.testing.assert_close(plain(ilr), ilr + model(ilr))


def test_weights_stay_what_they_are(model, tmp_path):
    info = {"protocol": "paper", "scales": [2], "recipe": "test", "data": "-"}
    checkpoint.save(tmp_path / "direct.safetensors", model, info)
    loaded = checkpoint.load(tmp_path / "direct.safetensors", "cpu")
    assert "not residual" in loaded.summary()
    ilr = torch.rand(1, 1, 20, 24)
    assert torch.equal(loaded.model(ilr), model(ilr))


def test_shipped_weights_are_residual():
    assert checkpoint.load(device="cpu").model.global_skip


@pytest.mark.parametrize(("backend", "precision"), BUILDERS)
def test_every_backend(model, backend, precision):
    if backend in EXTRAS:
        pytest.importorskip(backend)
    # what stands for the image passes every layer, and bfloat16 has 8 bits: 2 ** -7 near 1
    atol = {"float32": 1e-4, "float16": 2e-3, "bfloat16": 1e-2}[precision]
    ilr = torch.rand(1, 1, 40, 51)
    torch.testing.assert_close(prepare(model, backend, precision)(ilr), model(ilr), atol=atol, rtol=0)


def test_trained_and_exported_by_the_command_line(call_cli, tmp_path, photo_file, monkeypatch):
    """The file that other programs get computes what the weights do: nothing is added there either."""
    pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    monkeypatch.chdir(tmp_path)
    knobs = [
        "--depth",
        3,
        "--width",
        4,
        "--patch-size",
        16,
        "--batch-size",
        2,
        "--steps",
        5,
        "--scales",
        2,
    ]
    status, out, _ = call_cli(
        "train", "--no-residual", *knobs, "--data-path", photo_file.parent, "--ckpt-path", "run"
    )
    assert status == 0, out
    assert call_cli("export", "direct.onnx", "--weights", "run/weights.safetensors")[0] == 0
    ilr = torch.rand(1, 1, 20, 24)
    (found,) = onnxruntime.InferenceSession("direct.onnx").run(None, {"ilr": ilr.numpy()})
    wanted = checkpoint.load("run/weights.safetensors", "cpu").model.residual(ilr)
    np.testing.assert_allclose(found, wanted.detach().numpy(), atol=1e-5)


def test_tiles(model, photo):
    ilr = photo[..., 0] / 255
    whole, tiled = (
        predict(model, ilr, PAPER, InferenceOptions("torch", memory=memory)) for memory in (2**30, 2**19)
    )
    np.testing.assert_allclose(tiled, whole, atol=1e-6)


def test_a_state_from_before_there_was_a_choice(tmp_path):
    """Such a run goes on as a residual one, and is refused to one that is not."""
    images = study_images("micro", tmp_path)
    recipe = RECIPES["demo"].replace(depth=3, width=4, patch_size=16, batch_size=2, steps=2)
    options = {"data": images.training, "validation": Validation(images.validation), "device": "cpu"}
    done = train(recipe, tmp_path / "run", **options)
    state = torch.load(tmp_path / "run" / "state.pt", weights_only=True)
    del state["identity"]["residual"]
    torch.save(state, tmp_path / "run" / "state.pt")
    again = train(recipe, tmp_path / "run", **options)
    assert again.history == done.history
    direct = recipe.replace(residual=False)
    with pytest.raises(InputError, match="another residual"):
        train(direct, tmp_path / "run", **options)
