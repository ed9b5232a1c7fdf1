"""Whichever backend computes the network, the result is PyTorch's."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from vdsrlib.datasets.catalog import list_images
from vdsrlib.errors import InputError
from vdsrlib.evaluation.evaluate import evaluate
from vdsrlib.evaluation.ground_truth import degrade_and_upscale
from vdsrlib.inference import backends
from vdsrlib.inference.options import InferenceOptions
from vdsrlib.inference.predict import predict
from vdsrlib.inference.upscale import upscale
from vdsrlib.models import checkpoint
from vdsrlib.protocol import PAPER

RUNTIMES = [*backends.EXTRAS]
EVERY_RUNTIME = pytest.mark.parametrize("name", RUNTIMES)


@pytest.fixture(autouse=True)
def no_forced_backend(monkeypatch):
    monkeypatch.delenv("VDSR_BACKEND", raising=False)


@EVERY_RUNTIME
@pytest.mark.parametrize("size", [(1, 1), (1, 50), (37, 64), (64, 37), (128, 131)])
def test_shipped_weights_in_every_runtime(name, size):
    pytest.importorskip(name)
    model = checkpoint.load(device="cpu").model
    ilr = torch.rand(1, 1, *size, generator=torch.Generator().manual_seed(1))
    found = backends.prepare(model, name)(ilr)
    torch.testing.assert_close(found, backends.prepare(model, "torch")(ilr), rtol=0, atol=1e-5)


@EVERY_RUNTIME
@pytest.mark.parametrize(("channels", "depth", "width"), [(1, 2, 1), (3, 3, 4), (3, 4, 17)])
def test_networks_of_any_shape(name, make_model, channels, depth, width):
    pytest.importorskip(name)
    model = make_model(channels, depth, width)
    ilr = torch.rand(1, channels, 23, 40) * 2 - 1
    found = backends.prepare(model, name)(ilr)
    torch.testing.assert_close(found, backends.prepare(model, "torch")(ilr), rtol=0, atol=1e-5)


def test_the_first_installed_one_is_chosen(make_model, monkeypatch):
    called = []
    for name in backends.BACKENDS:
        build = lambda model, name=name: called.append(name) or backends._torch(model)  # noqa: E731
        monkeypatch.setitem(backends.BUILDERS, (name, "float32"), build)
    for names in (("torch",), ("onnxruntime", "openvino", "torch"), ("openvino", "torch")):
        monkeypatch.setattr(
            backends.importlib.util, "find_spec", lambda name, names=names: name in names or None
        )
        backends.prepare(make_model())
        assert called[-1] == names[0]
    monkeypatch.setenv("VDSR_BACKEND", "openvino")
    backends.prepare(make_model())
    assert called[-1] == "openvino"


def test_the_network_is_prepared_once_until_its_weights_change(make_model):
    model = make_model()
    ilr = torch.rand(1, 1, 30, 30)
    first = backends.prepare(model)
    assert backends.prepare(model) is backends.prepare(model, first) is first
    before = first(ilr)
    with torch.no_grad():
        model.conv["1"].bias.data += 0.5  # leaves no trace in the version that PyTorch counts
    again = backends.prepare(model)
    assert again is not first
    torch.testing.assert_close(again(ilr), model(ilr).detach(), rtol=0, atol=1e-5)
    assert (again(ilr) - before).abs().max() > 1e-3


def test_a_runtime_that_computes_something_else_is_not_used(make_model, monkeypatch):
    pytest.importorskip("openvino")
    wrong = lambda model: lambda ilr: backends._torch(model)(ilr) + 2e-4  # noqa: E731
    monkeypatch.setitem(backends.BUILDERS, ("openvino", "float32"), wrong)
    monkeypatch.setattr(backends, "installed", lambda *_: ("openvino", "torch"))
    model = make_model()
    with pytest.warns(
        UserWarning, match=r"openvino in float32 differs .* by 0\.0002; the next backend is torch"
    ):
        network = backends.prepare(model)
    ilr = torch.rand(1, 1, 9, 9)
    torch.testing.assert_close(network(ilr), model(ilr).detach(), rtol=0, atol=1e-5)
    with pytest.raises(InputError, match="differs from PyTorch in float32"):
        backends.prepare(model, "openvino")


def test_a_runtime_that_breaks_is_not_used(make_model, monkeypatch):
    pytest.importorskip("openvino")

    def broken(model):
        raise RuntimeError("illegal instruction set")

    monkeypatch.setitem(backends.BUILDERS, ("openvino", "float32"), broken)
    monkeypatch.setattr(backends, "installed", lambda *_: ("openvino", "torch"))
    with pytest.warns(UserWarning, match="illegal instruction set"):
        backends.prepare(make_model())
    with pytest.raises(InputError, match=r"openvino fails \(illegal instruction set\); choose torch"):
        backends.prepare(make_model(), "openvino")


PRIVATE = """
import socket
import sys
import torch
from vdsrlib.inference.backends import prepare
from vdsrlib.models.vdsr import VDSR

def refuse(*_, **__):
    print("asked for a network")
    raise OSError("no network")

socket.socket.connect = socket.getaddrinfo = socket.create_connection = refuse
prepare(VDSR(2, 4).eval(), sys.argv[1])(torch.rand(1, 1, 9, 9))
"""


@pytest.mark.parametrize("name", backends.BACKENDS)
def test_nothing_is_reported_and_nothing_written(name, tmp_path, cli_environment):
    """onnxruntime and OpenVINO would write an identity of the user at home, and send it with what is used."""
    pytest.importorskip(name)
    home = {variable: str(tmp_path) for variable in ("HOME", "USERPROFILE", "APPDATA", "LOCALAPPDATA")}
    ours = ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "ORT_DISABLE_TELEMETRY", "CI")
    environment = {k: v for k, v in cli_environment.items() if k not in ours} | home
    command = [sys.executable, "-c", PRIVATE, name]
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (run.returncode, run.stdout) == (0, ""), run.stderr
    assert list(tmp_path.rglob("*")) == []


SIGNAL = """
import signal
from vdsrlib.inference.backends import prepare
from vdsrlib.models.vdsr import VDSR

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
models = [VDSR(2, 2), VDSR(2, 2)]
for model in models:
    prepare(model, "openvino")
while models:
    del model
    model = models.pop(0)  # the first one goes first
del model
try:
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    print("interrupted")
"""


def test_ctrl_c_after_openvino():
    """Its cores, freed in the order that they were made in, leave a signal no stack."""
    pytest.importorskip("openvino")
    run = subprocess.run([sys.executable, "-c", SIGNAL], capture_output=True, text=True)
    assert (run.returncode, run.stdout) == (0, "interrupted\n"), run.stderr


def test_refusals(make_model, monkeypatch):
    with pytest.raises(InputError, match="unknown backend 'tensorrt'; choose auto, onnxruntime"):
        backends.prepare(make_model(), "tensorrt")
    with pytest.raises(
        InputError, match="unknown precision 'half'; choose auto, float32, bfloat16 or float16"
    ):
        backends.prepare(make_model(), "torch", "half")
    with pytest.raises(InputError, match="onnxruntime does not compute in float16; choose torch"):
        backends.prepare(make_model(), "onnxruntime", "float16")
    monkeypatch.setattr(backends.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"onnxruntime needs pip install 'vdsrlib\[fast\]'"):
        backends.prepare(make_model(), "onnxruntime")


def test_torch_computes_with_channels_last(make_model):
    """Which is faster on CPUs and GPUs alike, whatever layout the weights came in."""
    seen = []
    model = make_model().to(memory_format=torch.contiguous_format)
    network = backends.prepare(model, "torch")
    (frozen,) = (cell.cell_contents for cell in network.__wrapped__.__closure__)
    frozen.relu["1"].register_forward_hook(lambda _, __, out: seen.append(out))
    network(torch.rand(1, 1, 20, 20))
    assert seen[0].is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_set5_table_is_the_same(data, scale, monkeypatch):
    """Mean PSNR to 0.001 dB, of every backend; on one image."""
    for name in RUNTIMES:
        pytest.importorskip(name)
    net = checkpoint.load(device="cpu")
    paths = list_images(data / "Set5")[1:2]  # the smallest; the whole table is in tests/benchmarks
    scores = {}
    for name in (*RUNTIMES, "torch"):
        monkeypatch.setenv("VDSR_BACKEND", name)
        scores[name] = evaluate(net, paths, scale).set_index("method").loc["model"]
    for score in scores.values():
        assert score["psnr"] == pytest.approx(scores["torch"]["psnr"], abs=0.001)
        assert score["ssim"] == pytest.approx(scores["torch"]["ssim"], abs=1e-5)


@pytest.mark.parametrize("name", ["vdsr", "vdsr-rgb"])
def test_half_precision_costs_no_decibels(photo, name):
    """Less than 0.002 dB of the shipped networks, where it is most: at x2."""
    trained = checkpoint.load(checkpoint.WEIGHTS / f"{name}.safetensors", "cpu")
    rules = trained.protocol
    hr, _, ilr = rules.pair(photo[:64, :64], 2)
    half, whole = (
        rules.score(predict(trained.model, ilr, rules, InferenceOptions("torch", precision)), hr, 2).psnr
        for precision in ("float16", "float32")
    )
    assert half != whole
    assert half > whole - 0.002


@pytest.fixture
def small_check(monkeypatch):
    """The check on a photograph, small enough for processors that have no units for bfloat16."""
    monkeypatch.setattr(backends, "CHECKED_SIDE", 48)


@pytest.fixture
def fragile(make_model):
    """A network that loses much in a lower precision: little of what is added to its large values stays."""
    model = make_model()
    with torch.no_grad():
        model.conv["2"].bias.fill_(100.0)
        model.conv["3"].weight[:, ::2] = 1.0
        model.conv["3"].weight[:, 1::2] = -1.0
    return model


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_a_precision_that_loses_too_much_is_refused(fragile, small_check, precision):
    with pytest.raises(InputError, match=rf"{precision} differs from PyTorch in float32 by .* grey levels"):
        backends.prepare(fragile, "torch", precision)


def test_half_precision_is_refused_where_it_overflows(fragile, small_check):
    with torch.no_grad():
        fragile.conv["2"].bias.fill_(1e5)
    with pytest.raises(InputError, match=r"float16 differs .* by nan grey levels"):
        backends.prepare(fragile, "torch", "float16")


def test_auto_goes_back_to_float32_and_says_so(fragile, small_check, monkeypatch):
    monkeypatch.delenv("VDSR_PRECISION")
    monkeypatch.setattr(backends, "fast_in_bfloat16", lambda device: True)
    monkeypatch.setattr(backends.importlib.util, "find_spec", lambda name: None)
    with pytest.warns(
        UserWarning, match=r"torch in bfloat16 differs .*; the next backend is torch in float32"
    ):
        network = backends.prepare(fragile, "auto", "auto")
    ilr = torch.rand(1, 1, 9, 9)
    torch.testing.assert_close(network(ilr), fragile(ilr).detach(), rtol=0, atol=1e-3)


@pytest.mark.parametrize("name", ["torch", "openvino"])
@pytest.mark.parametrize("weights", ["vdsr", "vdsr-rgb"])
def test_bfloat16_costs_a_fraction_of_a_grey_level(photo, small_check, weights, name):
    pytest.importorskip(name)
    net = checkpoint.load(weights, "cpu")
    hr, _, ilr = net.protocol.pair(photo[:49, :62], 2)
    fast, exact = (
        predict(net.model, ilr, net.protocol, InferenceOptions(name, precision))
        for precision in ("bfloat16", "float32")
    )
    assert np.square(fast - exact).mean() ** 0.5 < 0.2 / 255
    scores = [net.protocol.score(sr, hr, 2).psnr for sr in (fast, exact)]
    assert scores[0] == pytest.approx(scores[1], abs=0.02)
    white = np.full_like(ilr, 0.998)  # which bfloat16 alone takes for 1
    again, wanted = (
        predict(net.model, white, net.protocol, InferenceOptions(name, precision))
        for precision in ("bfloat16", "float32")
    )
    np.testing.assert_allclose(again, wanted, rtol=0, atol=0.3 / 255)


def test_an_input_in_two_parts(make_model):
    """bfloat16 has 8 bits of mantissa, and two of them 16; the first layer adds the parts."""
    model, ilr = make_model(3), torch.rand(1, 3, 9, 11)
    parts = backends._split_input(ilr)
    assert torch.equal(parts[:, :3] + parts[:, 3:], ilr)
    assert torch.equal(parts[:, :3].bfloat16().float(), parts[:, :3])
    torch.testing.assert_close(
        parts.bfloat16().float()[:, :3] + parts[:, 3:].bfloat16(), ilr, rtol=0, atol=1e-5
    )
    wide = backends._with_split_input(model)
    torch.testing.assert_close(wide(parts), model.residual(ilr), rtol=0, atol=1e-6)


def test_what_auto_tries(monkeypatch):
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    monkeypatch.setattr(backends.importlib.util, "find_spec", lambda name: name)
    exact = (("onnxruntime", "float32"), ("openvino", "float32"), ("torch", "float32"))
    monkeypatch.setattr(backends, "fast_in_bfloat16", lambda device: False)
    assert backends.candidates(cpu, "auto", "auto") == exact
    monkeypatch.setattr(backends, "fast_in_bfloat16", lambda device: True)
    fast = (("openvino", "bfloat16"), ("torch", "bfloat16"))
    assert backends.candidates(cpu, "auto", "auto") == (*fast, *exact)
    assert backends.candidates(cpu, "auto", "float32") == exact
    assert backends.candidates(cpu, "onnxruntime", "auto") == exact[:1]
    assert backends.candidates(cpu, "openvino", "auto") == (fast[0], exact[1])
    assert backends.candidates(cuda, "auto", "auto") == (("torch", "float16"), ("torch", "float32"))
    assert backends._names("auto", "auto") == ("auto", "float32")  # by the variable that the suite sets
    monkeypatch.delenv("VDSR_PRECISION")
    assert backends._names("auto", "auto") == ("auto", "auto")


def test_enlarging_takes_auto_and_scoring_float32(photo, make_net, monkeypatch):
    asked = []
    monkeypatch.setattr(backends, "_names", lambda *names: asked.append(names) or ("torch", "float32"))
    net = make_net()
    upscale(net, photo[:9, :9], scale=2)
    predict(net.model, photo[:9, :9, 0] / 255, net.protocol)
    degrade_and_upscale(net, photo[:40, :40], 2)
    assert asked == [("auto", "auto"), ("auto", "float32"), ("auto", "float32")]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_precisions_of_a_gpu():
    model = checkpoint.load(device="cpu").model
    ilr = torch.rand(1, 1, 100, 70, generator=torch.Generator().manual_seed(1))
    wanted = backends.prepare(model, "torch")(ilr)
    model.cuda()
    difference = {
        name: (backends.prepare(model, "auto", name)(ilr.cuda()).cpu() - wanted).abs()
        for name in ("float32", "float16")
    }
    assert difference["float32"].max() < 1e-4
    assert difference["float16"].square().mean().sqrt() < 1e-3
    with pytest.raises(InputError, match="onnxruntime computes on the CPU"):
        backends.prepare(model, "onnxruntime")


def test_predict_uses_the_backend(make_model, monkeypatch, photo):
    model = make_model()
    constant = lambda model: lambda ilr: ilr * 0 + 0.25  # noqa: E731
    monkeypatch.setitem(backends.BUILDERS, ("torch", "float32"), constant)
    found = predict(model, photo[..., 0] / 255, PAPER, InferenceOptions("torch"))
    np.testing.assert_array_equal(found, 0.25)
