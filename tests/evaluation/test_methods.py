"""Other methods than the network of this library, under the same rules."""

import sys

import numpy as np
import pytest

import vdsrlib
from vdsrlib.errors import InputError
from vdsrlib.evaluation.evaluate import evaluate
from vdsrlib.evaluation.frames import mean_scores
from vdsrlib.evaluation.methods import load_method
from vdsrlib.imaging.image_file import read_image, save_image
from vdsrlib.inference.onnx import export_onnx
from vdsrlib.models import checkpoint


@pytest.fixture
def paths(tmp_path, photo, grey_photo):
    save_image(tmp_path / "a.png", photo[:-1, :-1])
    save_image(tmp_path / "b.png", grey_photo)
    return [tmp_path / "a.png", tmp_path / "b.png"]


def by_method(scores, metric="psnr"):
    return scores.pivot(index="image", columns="method", values=metric)


@pytest.mark.parametrize("scale", [2, 3])
def test_bicubic_is_interpolation(paths, scale):
    """But for the rounding of LR and SR to 8 bits."""
    table = by_method(evaluate(vdsrlib.imresize, paths, scale))
    np.testing.assert_allclose(table["model"], table["interpolation"], atol=0.05)
    assert (table["model"] != table["interpolation"]).all()


def test_what_a_method_is_given(paths, photo):
    seen = []

    def method(lr, scale):
        seen.append((lr, scale))
        return np.repeat(np.repeat(lr, 3, axis=0), 3, axis=1)

    scores = evaluate(method, paths, 3)
    assert len(scores) == 4
    (lr, scale), (grey, _) = seen
    assert (lr.shape, lr.dtype, scale) == ((31, 39, 3), np.uint8, 3)
    assert (grey == grey[..., :1]).all()
    assert by_method(scores).loc["a", "model"] < by_method(scores).loc["a", "interpolation"]


@pytest.mark.parametrize(
    ("method", "sentence"),
    [
        (lambda lr, scale: lr, r"a\.png: sr must have the size of hr"),
        (lambda lr, scale: lr[0, 0, 0], r"a\.png: image must be"),
        (lambda lr, scale: None, r"a\.png: image must be"),
    ],
)
def test_wrong_results_are_named(paths, method, sentence):
    with pytest.raises(InputError, match=sentence):
        evaluate(method, paths, 2)


@pytest.mark.parametrize("weights", ["tiny", "tiny_rgb"])
def test_our_own_network_as_onnx(request, paths, tmp_path, weights):
    """But for the rounding of LR and of RGB to 8 bits."""
    pytest.importorskip("onnxruntime")
    net = checkpoint.load(request.getfixturevalue(weights), "cpu")
    export_onnx(tmp_path / "net.onnx", net)
    method = load_method(str(tmp_path / "net.onnx"))
    image = read_image(paths[0])
    save_image(tmp_path / "c.png", image[:93, :117])  # the rules for RGB have no crop
    scores = mean_scores(evaluate(method, [tmp_path / "c.png"], 3, protocol=net.protocol))
    wanted = mean_scores(evaluate(net, [tmp_path / "c.png"], 3))
    assert scores.psnr[3, "model"] == pytest.approx(wanted.psnr[3, "model"], abs=0.05)
    assert scores.psnr[3, "model"] != pytest.approx(wanted.psnr[3, "interpolation"], abs=0.1)


def make_onnx(path, factor, channels):
    """A network that repeats pixels ``factor`` times."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    shape = [1, channels, None, None]
    source, result = (helper.make_tensor_value_info(name, kind, shape) for name in ("lr", "sr"))
    scales = helper.make_tensor("scales", kind, [4], [1, 1, factor, factor])
    node = helper.make_node("Resize", ["lr", "", "scales"], ["sr"], mode="nearest")
    graph = helper.make_graph([node], "nearest", [source], [result], [scales])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize("channels", [1, 3])
def test_an_onnx_file_that_enlarges(paths, tmp_path, channels):
    def nearest(lr, scale):
        return np.repeat(np.repeat(lr, 2, axis=0), 2, axis=1)

    method = load_method(str(make_onnx(tmp_path / "net.onnx", 2, channels)))
    wanted = by_method(evaluate(nearest, paths, 2))["model"]
    found = by_method(evaluate(method, paths[: 2 if channels == 3 else 1], 2))["model"]
    np.testing.assert_allclose(found, wanted[: len(found)], atol=0.05)
    with pytest.raises(InputError, match=r"net\.onnx enlarges 2 times, got scale 3"):
        evaluate(method, paths, 3)


def test_wrong_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.onnx").write_bytes(b"no ONNX")
    for name, sentence in {
        "vdsr": "a method must be package.module:function or FILE.onnx, got 'vdsr'",
        "no_module:f": "no_module:f cannot be imported",
        "vdsrlib:no_function": "vdsrlib:no_function cannot be imported",
        "broken.onnx": "broken.onnx cannot be read as ONNX",
        "none.onnx": "none.onnx cannot be read as ONNX",
    }.items():
        with pytest.raises(InputError, match=sentence):
            load_method(name)


def test_from_the_command_line(call_cli, paths, tmp_path, monkeypatch):
    """A module of the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "mine.py").write_text("import vdsrlib\nsr = vdsrlib.imresize\n")
    typed = ["evaluate", ".", "--scales", 2, "--network", "mine:sr"]
    status, out, error = call_cli(*typed)
    assert status == 0
    assert out.startswith("paper protocol, x2, mine:sr\n")
    assert "not scored, no images by their names: mine.py" in error
    for wrong, sentence in (
        (["--ensemble"], "--ensemble is for the weights of this project, got --network"),
        (["--weights", "vdsr"], "not allowed with argument --network"),
    ):
        status, out, error = call_cli(*typed, *wrong)
        assert (status, out) == (2, "")
        assert sentence in error
