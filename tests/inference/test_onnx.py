"""The exported file computes what PyTorch does, in another program."""

import json

import numpy as np
import pytest
import torch

from vdsrlib.models import checkpoint
from vdsrlib.utils.hashing import hash_file

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")


@pytest.mark.parametrize("name", ["tiny", "tiny_rgb"])
def test_onnx_runtime_gives_the_same_at_every_size(call_cli, tmp_path, request, name):
    weights = request.getfixturevalue(name)
    path = tmp_path / "new" / "net.onnx"
    status, out, error = call_cli("export", path, "--weights", weights)
    assert (status, error) == (0, "")
    assert "protocol" in out
    loaded = checkpoint.load(weights, "cpu")
    session = onnxruntime.InferenceSession(path)
    for shape in ((1, 20, 31), (1, 1, 1), (2, 64, 7)):
        ilr = np.random.default_rng(0).random((shape[0], loaded.model.channels, *shape[1:]), np.float32)
        (found,) = session.run(["sr"], {"ilr": ilr})
        wanted = loaded.model(torch.from_numpy(ilr)).detach().numpy()
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5)
    known = {key: json.loads(value) for key, value in session.get_modelmeta().custom_metadata_map.items()}
    assert known["sha256"] == hash_file(weights)
    assert known["protocol"] == loaded.protocol.name
    assert known["input_range"] == ([0, 1] if name == "tiny" else [-1, 1])
    assert known["colour"] == ("luma" if name == "tiny" else "rgb")
    assert known["scales"] == loaded.info["scales"]


def test_the_shipped_weights(tmp_path, call_cli):
    assert call_cli("export", tmp_path / "net.onnx")[0] == 0
    onnx.checker.check_model(onnx.load(tmp_path / "net.onnx"), full_check=True)


def test_refusals(tmp_path, call_cli, tiny):
    path = tmp_path / "net.onnx"
    path.write_text("mine")
    for target, part in (
        (path, "--force"),
        (tmp_path / "net.pt", "must end in .onnx"),
        (tmp_path, "is a folder"),
    ):
        status, out, error = call_cli("export", target, "--weights", tiny)
        assert (status, out, error.count("\n")) == (2, "", 1)
        assert part in error
    assert path.read_text() == "mine"
    assert [found.name for found in tmp_path.iterdir()] == ["net.onnx"]
    assert call_cli("export", path, "--weights", tiny, "--force")[0] == 0
