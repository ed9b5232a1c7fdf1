"""Backends: PyTorch always, and on a CPU a faster runtime where one is installed.

A backend computes the network in float32, and PyTorch also in float16, for the matrix units of a GPU. A
backend is used only if it gives what PyTorch gives in float32, which is checked whenever it gets new weights.
``pip install vdsrlib[fast]`` installs ONNX Runtime. tests/benchmarks/inference.py measures which backend is
the fastest on a machine.
"""

import copy
import functools
import importlib.util
import os
import warnings
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from vdsrlib.errors import InputError, Notice
from vdsrlib.inference.onnx import to_onnx
from vdsrlib.models.vdsr import VDSR
from vdsrlib.utils.device import without_tf32
from vdsrlib.utils.hashing import hash_bytes
from vdsrlib.utils.parsing import unknown

Network = Callable[[Tensor], Tensor]
"""From ILR to SR, 1 x C x H x W, float32, in the network's range and on its device."""

BACKENDS = ("onnxruntime", "openvino", "torch")
"""In the order of choice."""

PRECISIONS = ("float32", "float16")

EXTRAS = {"onnxruntime": "fast", "openvino": "openvino"}
"""Which extra installs a backend: pip install 'vdsrlib[fast]'."""

TOLERANCE = 1e-4  # of the range of an image: at 37 dB, noise of this size changes PSNR by 0.0003 dB
HALF_TOLERANCE = 5e-4  # the same for float16, root mean square: at 37 dB, such noise costs 0.005 dB


def prepare(model: VDSR, backend: str | Network = "auto", precision: str = "float32") -> Network:
    """Return the network as a function that a backend computes.

    It is kept until the weights change, which is seen by their hash: calling again costs milliseconds.

    Args:
        model: on any device. On anything but the CPU, PyTorch computes it.
        backend: a name of ``BACKENDS``, or "auto" for the first of ``installed`` that is right. The variable
            VDSR_BACKEND takes the place of "auto". What is prepared already is given back.
        precision: a name of ``PRECISIONS``; float16 is PyTorch's.

    Raises:
        InputError: the backend is unknown, not installed, not for this device or precision, or it computes
            something else.
    """
    if callable(backend):
        return backend
    if backend == "auto":
        backend = os.environ.get("VDSR_BACKEND") or "auto"
    if backend not in ("auto", *BACKENDS):
        raise unknown("backend", backend, ("auto", *BACKENDS))
    if precision not in PRECISIONS:
        raise unknown("precision", precision, PRECISIONS)
    device = next(model.parameters()).device
    names = (backend,) if backend != "auto" else installed(device.type, precision)
    weights, ready = _prepared.get(model, ("", {}))
    if weights != (now := hash_bytes(*(t.detach().cpu().numpy() for t in model.state_dict().values()))):
        _prepared[model] = now, (ready := {})
    key = names, precision, device, torch.get_num_threads()
    if key not in ready:
        ready[key] = _first_verified(model, names, precision)
    return ready[key]


_prepared: WeakKeyDictionary[VDSR, tuple[str, dict[tuple, Network]]] = WeakKeyDictionary()
"""The hash of a model's weights, and what was prepared of them."""


def installed(device: str = "cpu", precision: str = "float32") -> tuple[str, ...]:
    """Return the backends that are there for a kind of device and a precision, in the order of choice."""
    return tuple(
        name
        for name in BACKENDS
        if (name, precision) in BUILDERS
        and (name == "torch" or (device == "cpu" and importlib.util.find_spec(name)))
    )


def _first_verified(model: VDSR, names: tuple[str, ...], precision: str) -> Network:
    """Return the first of the backends that computes what PyTorch does in float32."""
    name, *others = names
    try:
        network = _build(model, name, precision)
        if (name, precision) != ("torch", "float32"):
            _verify(name, precision, network, model)
    except Exception as error:  # a runtime may fail in any way; PyTorch is there
        failure = f"the backend {name} fails ({error}); choose torch"
        reason = error if isinstance(error, InputError) else InputError(failure)
        if not others:
            raise reason from error
        warnings.warn(f"{reason}; the next backend is {others[0]}", Notice, stacklevel=4)
        return _first_verified(model, tuple(others), precision)
    return network


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


def _verify(name: str, precision: str, network: Network, model: VDSR) -> None:
    """Compare with PyTorch in float32 on noise, a size that no vector register divides."""
    ilr = torch.rand(1, model.channels, 61, 83, generator=torch.Generator().manual_seed(0))
    ilr = ilr.to(next(model.parameters()).device)
    wanted = _torch(model)(ilr)
    errors = (network(ilr) - wanted).abs() / max(1.0, float(wanted.abs().max()))
    half = precision == "float16"
    difference = float(errors.square().mean().sqrt() if half else errors.max())
    if not difference < (HALF_TOLERANCE if half else TOLERANCE):  # NaN fails this comparison, too
        raise InputError(
            f"the backend {name} in {precision} differs from PyTorch in float32 by {difference:.2g}"
        )


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


def _onnxruntime(model: VDSR) -> Network:
    """Compute with Microsoft's ONNX Runtime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(to_onnx(model), options, providers=["CPUExecutionProvider"])
    return lambda ilr: torch.from_numpy(session.run(None, {"ilr": ilr.contiguous().numpy()})[0])


def _openvino(model: VDSR) -> Network:
    """Compute with Intel's OpenVINO, told float32, since it would choose bfloat16 where that is faster."""
    core = _openvino_core()
    threads = {"INFERENCE_NUM_THREADS": torch.get_num_threads(), "INFERENCE_PRECISION_HINT": "f32"}
    compiled = core.compile_model(core.read_model(to_onnx(model)), "CPU", threads)
    return lambda ilr: torch.from_numpy(compiled(ilr.contiguous().numpy())[0])


@functools.cache
def _openvino_core() -> Any:
    """Make one core for the process, which is never freed.

    A core puts a stack for signals in place, and the one from before back when it is freed. Of two cores, the
    first one freed first, that is a stack which is gone: the next Ctrl-C would crash the process.
    """
    import openvino

    return openvino.Core()


BUILDERS: dict[tuple[str, str], Callable[[VDSR], Network]] = {
    ("onnxruntime", "float32"): _onnxruntime,
    ("openvino", "float32"): _openvino,
    ("torch", "float32"): _torch,
    ("torch", "float16"): _torch_float16,
}
"""By backend and precision."""
