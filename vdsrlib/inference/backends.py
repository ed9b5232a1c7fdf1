"""Backends: PyTorch always, and on a CPU a faster runtime where one is installed.

Each computes the network in one or more precisions. What is asked for is checked whenever there are new
weights, and used only if it gives what PyTorch gives in float32: float32 to the last digits, the others to a
quarter of a grey level on a photograph.

bfloat16 has 8 bits of mantissa: ILR near white would lose a grey level. The first layer therefore gets ILR as
two channels, its bfloat16 part and the remainder, and the residual is added to ILR in float32.
"""

import copy
import importlib.util
import math
import os
import warnings
from collections.abc import Callable
from threading import RLock
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn

from vdsrlib.datasets.catalog import embedded
from vdsrlib.errors import InputError, Notice
from vdsrlib.imaging.crops import crop, most_detailed_crop
from vdsrlib.imaging.image_file import read_image
from vdsrlib.inference.batches import from_batch, to_batch
from vdsrlib.inference.onnx import to_onnx
from vdsrlib.models.vdsr import VDSR
from vdsrlib.protocol import PAPER, REPLICATION, Protocol
from vdsrlib.utils.device import fast_in_bfloat16, without_tf32
from vdsrlib.utils.extras import need
from vdsrlib.utils.forks import PerProcess
from vdsrlib.utils.hashing import hash_bytes
from vdsrlib.utils.parsing import unknown

Network = Callable[[Tensor], Tensor]
"""From ILR to SR, 1 x C x H x W, float32, in the network's range and on its device."""

BACKENDS = ("onnxruntime", "openvino", "torch")
"""In the order of choice."""

PRECISIONS = ("float32", "bfloat16", "float16")

EXTRAS = {"onnxruntime": "fast", "openvino": "openvino"}
"""Which extra installs a backend: pip install 'vdsrlib[fast]'."""

TOLERANCE = 1e-4  # of the range of an image: at 37 dB, noise of this size changes PSNR by 0.0003 dB
CHECKED_SIDE = 192  # pixels of the photograph's part on which the lower precisions are checked
GREY_LEVELS, DECIBELS = 0.25, 0.005  # of the precisions below float32: root mean square, and PSNR


def prepare(
    model: VDSR, backend: str | Network = "auto", precision: str = "float32", protocol: Protocol | None = None
) -> Network:
    """Return the network as a function that a backend computes.

    It is kept until the weights change, which is seen by their hash: calling again costs milliseconds.

    Args:
        model: on any device. On anything but the CPU, PyTorch computes it.
        backend: a name of ``BACKENDS``, or "auto" for the first of ``installed`` that is right. The variable
            VDSR_BACKEND takes the place of "auto". What is prepared already is given back.
        precision: a name of ``PRECISIONS``, or "auto" for the fastest that the device has units for and that
            is right. The variable VDSR_PRECISION takes the place of "auto".
        protocol: the one that the weights were trained under, for the check of the lower precisions. Default:
            the published one with as many channels.

    Raises:
        InputError: the backend is unknown, not installed, not for this device or precision, or it computes
            something else.
    """
    if callable(backend):
        return backend
    device = next(model.parameters()).device
    rules = protocol or (PAPER if model.channels == 1 else REPLICATION)
    wanted = candidates(device, *_names(backend, precision))
    now = hash_bytes(*(tensor.detach().cpu().numpy() for tensor in model.state_dict().values()))
    key = wanted, rules, device, torch.get_num_threads()
    with _preparing:
        weights, ready = _prepared.get(model, ("", {}))
        if weights != now:
            _prepared[model] = now, (ready := {})
        if key not in ready:
            ready[key] = _first_verified(model, rules, wanted)
        return ready[key]


_prepared: WeakKeyDictionary[VDSR, tuple[str, dict[tuple, Network]]] = WeakKeyDictionary()
"""The hash of a model's weights, and what was prepared of them."""

_preparing = RLock()


def _after_fork() -> None:
    """Compute in one thread: OpenMP would wait for ever for those that the other process has."""
    global _preparing
    _preparing = RLock()
    torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_after_fork)


def _names(backend: str, precision: str) -> tuple[str, str]:
    """Check what is asked for, after what the environment has in place of "auto"."""
    if backend == "auto":
        backend = os.environ.get("VDSR_BACKEND") or "auto"
    if precision == "auto":
        precision = os.environ.get("VDSR_PRECISION") or "auto"
    for kind, name, names in (("backend", backend, BACKENDS), ("precision", precision, PRECISIONS)):
        if name not in ("auto", *names):
            raise unknown(kind, name, ("auto", *names))
    return backend, precision


def installed(device: str = "cpu", precision: str = "float32") -> tuple[str, ...]:
    """Return the backends that are there for a kind of device and a precision, in the order of choice."""
    return tuple(
        name
        for name in BACKENDS
        if (name, precision) in BUILDERS
        and (name == "torch" or (device == "cpu" and importlib.util.find_spec(name)))
    )


def candidates(device: torch.device, backend: str, precision: str) -> tuple[tuple[str, str], ...]:
    """Return the pairs of backend and precision to try for what is asked, the fastest first."""
    precisions: tuple[str, ...] = (precision,)
    if precision == "auto":
        lower = {"cuda": ("float16",), "cpu": ("bfloat16",) * fast_in_bfloat16(device)}
        precisions = (*lower.get(device.type, ()), "float32")
    pairs = [
        (name, each)
        for each in precisions
        for name in (installed(device.type, each) if backend == "auto" else (backend,))
        if precision != "auto" or (name, each) in BUILDERS
    ]
    return tuple(pairs)


def _first_verified(model: VDSR, protocol: Protocol, wanted: tuple[tuple[str, str], ...]) -> Network:
    """Return the first that computes what PyTorch does in float32; say of the others why they do not."""
    for (name, precision), following in zip(wanted, (*wanted[1:], None), strict=True):
        try:
            network = _build(model, name, precision)
            _verify(network, name, precision, model, protocol)
            return network
        except Exception as error:  # a runtime may fail in any way; PyTorch is there
            failure = f"the backend {name} fails ({error}); choose torch"
            reason = error if isinstance(error, InputError) else InputError(failure)
            if following is None:
                raise reason from error
            after = " in ".join(following) if following[1] != precision else following[0]
            warnings.warn(f"{reason}; the next backend is {after}", Notice, stacklevel=3)
    raise AssertionError("torch computes everywhere")


def _build(model: VDSR, name: str, precision: str) -> Network:
    if name in EXTRAS:
        if next(model.parameters()).device.type != "cpu":
            raise InputError(f"the backend {name} computes on the CPU; choose device cpu, or backend auto")
        if not importlib.util.find_spec(name):
            raise InputError(f"the backend {name} needs pip install 'vdsrlib[{EXTRAS[name]}]'")
    if (name, precision) not in BUILDERS:
        able = [other for other, known in BUILDERS if known == precision]
        raise InputError(f"the backend {name} does not compute in {precision}; choose {' or '.join(able)}")
    return BUILDERS[name, precision](model)


def _verify(network: Network, name: str, precision: str, model: VDSR, protocol: Protocol) -> None:
    """Compare with PyTorch in float32, which itself need not be compared."""
    if (name, precision) == ("torch", "float32"):
        return
    difference = (_error_on_noise if precision == "float32" else _error_on_photograph)(
        network, model, protocol
    )
    if difference:
        raise InputError(f"the backend {name} in {precision} differs from PyTorch in float32 by {difference}")


def _error_on_noise(network: Network, model: VDSR, _: Protocol) -> str:
    """Compare on noise, a size that no vector register divides; return what is too much, or ""."""
    ilr = torch.rand(1, model.channels, 61, 83, generator=torch.Generator().manual_seed(0))
    ilr = ilr.to(next(model.parameters()).device)
    wanted = _torch(model)(ilr)
    error = float((network(ilr) - wanted).abs().max()) / max(1.0, float(wanted.abs().max()))
    return "" if error < TOLERANCE else f"{error:.2g}"  # NaN fails this comparison, too


def _error_on_photograph(network: Network, model: VDSR, protocol: Protocol) -> str:
    """Compare on a photograph's busiest part at x2, x3 and x4; return what is too much, or ""."""
    photograph, reference = read_image(embedded(["astronaut.png"])[0]), _torch(model)
    photograph = crop(photograph, most_detailed_crop(photograph, CHECKED_SIDE))
    for scale in (2, 3, 4):
        hr, _, ilr = protocol.pair(photograph, scale)
        batch = to_batch(model, ilr, protocol)
        found, wanted = (from_batch(run(batch), protocol).reshape(hr.shape) for run in (network, reference))
        levels = 255 * float(np.square(found - wanted).mean() ** 0.5)
        if not levels < GREY_LEVELS:  # NaN fails this comparison, too
            return f"{levels:.2g} grey levels (root mean square) at x{scale}"
        decibels = 10 * math.log10(np.square(wanted - hr).mean() / np.square(found - hr).mean())
        if not decibels > -DECIBELS:  # a gain is chance, and no fault
            return f"{decibels:+.2g} dB at x{scale}"
    return ""


def _torch(model: VDSR) -> Network:
    """Compute with PyTorch, in the memory layout that is faster everywhere: channels last."""
    frozen = copy.deepcopy(model).eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.inference_mode()
    def network(ilr: Tensor) -> Tensor:
        with without_tf32():
            return frozen(ilr)

    return network


def _torch_float16(model: VDSR) -> Network:
    """Compute with PyTorch in float16 and add ILR in float32; slow on a CPU, which has no units for it."""
    frozen = copy.deepcopy(model).eval().half().to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.inference_mode()
    def network(ilr: Tensor) -> Tensor:
        residual = frozen.residual(ilr.half()).float()
        return ilr + residual if frozen.global_skip else residual

    return network


def _torch_bfloat16(model: VDSR) -> Network:
    """Compute with PyTorch in bfloat16."""
    wide = _with_split_input(model).bfloat16().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    *convs, last = (layer for _, layer in wide.layers() if isinstance(layer, nn.Conv2d))
    global_skip = model.global_skip
    fused = last.weight.device.type == "cpu" and torch.ops.mkldnn._is_mkldnn_bf16_supported()

    def convolve(x: Tensor, conv: nn.Conv2d, relu: bool) -> Tensor:
        if fused:  # the ReLU is applied to what is still in registers
            one, then = [1, 1], "relu" if relu else "none"
            return torch.ops.mkldnn._convolution_pointwise(
                x, conv.weight, conv.bias, one, one, one, 1, then, [], ""
            )
        return conv(x).relu_() if relu else conv(x)

    @torch.inference_mode()
    def network(ilr: Tensor) -> Tensor:
        x = _split_input(ilr).bfloat16().to(memory_format=torch.channels_last)
        for conv in convs:
            x = convolve(x, conv, relu=True)
        residual = convolve(x, last, relu=False).float()
        return ilr + residual if global_skip else residual

    return network


def _with_split_input(model: VDSR) -> VDSR:
    """Copy a network for an input of two parts, whose sum is what the original takes; it adds no ILR."""
    wide = copy.deepcopy(model).eval()
    wide.global_skip = False
    first = wide.conv["1"]
    assert isinstance(first, nn.Conv2d)
    first.in_channels *= 2
    first.weight = nn.Parameter(torch.cat([first.weight, first.weight], 1).detach())
    return wide


def _split_input(ilr: Tensor) -> Tensor:
    """Split a batch into its bfloat16 part and the remainder, 1 x 2C x H x W, float32."""
    part = ilr.bfloat16().float()
    return torch.cat([part, ilr - part], 1)


def _onnxruntime(model: VDSR) -> Network:
    """Compute with Microsoft's ONNX Runtime."""
    session, content = PerProcess(lambda: onnx_session(content)), to_onnx(model)
    return lambda ilr: torch.from_numpy(session().run(None, {"ilr": ilr.contiguous().numpy()})[0])


def onnx_session(source: bytes | str) -> Any:
    """Open an ONNX model, or the file of that name, in ONNX Runtime, with as many threads as PyTorch.

    Raises:
        InputError: onnxruntime is not installed.
    """
    onnxruntime = need("onnxruntime", EXTRAS["onnxruntime"])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def _openvino(model: VDSR) -> Network:
    """Compute with Intel's OpenVINO, told float32, since it would choose bfloat16 where that is faster."""
    run = _openvino_compiled(model, "f32")
    return lambda ilr: torch.from_numpy(run(ilr.contiguous().numpy()))


def _openvino_bfloat16(model: VDSR) -> Network:
    """Compute with OpenVINO in bfloat16."""
    run, global_skip = _openvino_compiled(_with_split_input(model), "bf16"), model.global_skip

    def network(ilr: Tensor) -> Tensor:
        residual = torch.from_numpy(run(_split_input(ilr).numpy()))
        return ilr + residual if global_skip else residual

    return network


def _openvino_compiled(model: VDSR, precision: str) -> Callable[[np.ndarray], np.ndarray]:
    content = to_onnx(model)

    def compile_model() -> Any:
        core = _openvino_core()
        hints = {"INFERENCE_NUM_THREADS": torch.get_num_threads(), "INFERENCE_PRECISION_HINT": precision}
        return core.compile_model(core.read_model(content), "CPU", hints)

    compiled = PerProcess(compile_model)
    # A request of its own for each call: one that all threads share mixes up their results.
    return lambda batch: compiled().create_infer_request().infer([batch])[0]


_openvino_core = PerProcess(lambda: need("openvino", EXTRAS["openvino"]).Core())
"""One core for the process, which is freed at its end.

A core puts a stack for signals in place, and the one from before back when it is freed. Of two cores, the
first one freed first, that is a stack which is gone: the next Ctrl-C would crash the process.
"""

BUILDERS: dict[tuple[str, str], Callable[[VDSR], Network]] = {
    ("onnxruntime", "float32"): _onnxruntime,
    ("openvino", "float32"): _openvino,
    ("openvino", "bfloat16"): _openvino_bfloat16,
    ("torch", "float32"): _torch,
    ("torch", "bfloat16"): _torch_bfloat16,
    ("torch", "float16"): _torch_float16,
}
"""By backend and precision."""
