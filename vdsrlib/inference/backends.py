"""What computes the network: PyTorch always; on a CPU a faster runtime, where one is installed.

These compute in float32. "half", by name only, is PyTorch in float16, for the matrix units of a GPU. Nothing
computes in bfloat16: with layers rounded to it, weights trained in float32 lose 0.03, 0.18 and 0.7 dB at x2,
x3 and x4, where float16 loses nothing (vdsrlib/results/speed_inference_cpu.json). An engine is used only if
it gives what PyTorch gives, which is checked whenever it gets new weights. ``pip install vdsrlib[fast]``
installs ONNX Runtime; which one is fastest on a machine, tests/benchmarks/inference.py measures.
"""

import copy
import functools
import importlib.util
import os
import warnings
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
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

TOLERANCE = 1e-4  # of the range of an image: at 37 dB, noise of this size changes PSNR by 0.0003 dB
HALF_TOLERANCE = 5e-4  # the same for float16, root mean square: at 37 dB, such noise costs 0.005 dB


def prepare(model: VDSR, engine: str | Network = "auto") -> Network:
    """The network as a function, computed by an engine.

    Kept until the weights change, which is seen by their hash: calling again costs milliseconds.

    Args:
        model: on any device; anything but the CPU is PyTorch's.
        engine: a name of ``ENGINES``, or "auto": the first of ``installed`` that is right. "auto" can be
            forced from outside with the variable VDSR_ENGINE. What is prepared already is given back.

    Raises:
        InputError: the engine is unknown, not installed, not for this device, or computes something else.
    """
    if callable(engine):
        return engine
    if engine == "auto":
        engine = os.environ.get("VDSR_ENGINE") or "auto"
    if engine not in ("auto", *BACKENDS):
        raise unknown("engine", engine, ("auto", *BACKENDS))
    device = next(model.parameters()).device
    key = engine, device, torch.get_num_threads(), _digest(model)
    kept = _prepared.get(model)
    if kept is None or kept[0] != key:
        names = (engine,) if engine != "auto" else installed(device.type)
        kept = _prepared[model] = key, _first_verified(model, names)
    return kept[1]


_prepared: WeakKeyDictionary[VDSR, tuple[tuple, Network]] = WeakKeyDictionary()


def installed(device: str = "cpu") -> tuple[str, ...]:
    """The float32 engines that are there for a kind of device, in the order of choice; "torch" comes last."""
    runtimes = EXTRAS if device == "cpu" else ()
    return (*(name for name in runtimes if importlib.util.find_spec(name)), "torch")


def _first_verified(model: VDSR, names: tuple[str, ...]) -> Network:
    """The first of the engines that computes what PyTorch does, which "torch" itself need not show."""
    if names[0] == "torch":
        return _torch(model)
    try:
        if names[0] in EXTRAS:
            if next(model.parameters()).device.type != "cpu":
                raise InputError(f"The engine {names[0]} computes on the CPU; add device cpu, or write auto.")
            if not importlib.util.find_spec(names[0]):
                raise InputError(f"There is no {names[0]} here: pip install 'vdsrlib[{EXTRAS[names[0]]}]'.")
        network = BACKENDS[names[0]](model)
        _verify(names[0], network, model)
    except Exception as error:  # a runtime may fail in any way; PyTorch is there
        failure = f"The engine {names[0]} fails ({error}); write torch."
        reason = error if isinstance(error, InputError) else InputError(failure)
        if len(names) == 1:
            raise reason from error
        warnings.warn(f"{reason} The next engine is {names[1]}.", Notice, stacklevel=4)
        return _first_verified(model, names[1:])
    return network


def _verify(name: str, network: Network, model: VDSR) -> None:
    """Compare with PyTorch in float32 on noise, a size that no vector register divides."""
    ilr = torch.rand(1, model.channels, 61, 83, generator=torch.Generator().manual_seed(0))
    ilr = ilr.to(next(model.parameters()).device)
    wanted = _torch(model)(ilr)
    errors = (network(ilr) - wanted).abs() / max(1.0, float(wanted.abs().max()))
    half = name == "half"
    difference = float(errors.square().mean().sqrt() if half else errors.max())
    if not difference < (HALF_TOLERANCE if half else TOLERANCE):  # which NaN is not either
        raise InputError(f"The engine {name} differs from PyTorch by {difference:.2g}; write torch.")


def _digest(model: VDSR) -> str:
    return hash_bytes(*(tensor.detach().cpu().numpy() for tensor in model.state_dict().values()))


def _torch(model: VDSR) -> Network:
    """PyTorch, in the memory layout that is faster everywhere: channels last."""
    frozen = copy.deepcopy(model).eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.inference_mode()
    def network(ilr: Tensor) -> Tensor:
        with without_tf32():
            return frozen(ilr)

    return network


def _half(model: VDSR) -> Network:
    """PyTorch in float16; ILR is added in float32. Much slower on a CPU, which has no units for it."""
    frozen = copy.deepcopy(model).eval().half().to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.inference_mode()
    def network(ilr: Tensor) -> Tensor:
        residual = frozen.residual(ilr.half()).float()
        return ilr + residual if frozen.global_skip else residual

    return network


def _ncnn(model: VDSR) -> Network:
    """Tencent's ncnn; its model format is a line a layer, and the weights one after the other."""
    import ncnn

    depth, adds_ilr = model.depth, model.global_skip
    lines = ["7767517", f"{depth + 1} {depth + 1}", "Input ilr 0 1 map0"]
    weights = bytearray()
    for i, conv in enumerate(model.conv.values(), start=1):
        assert isinstance(conv, torch.nn.Conv2d)
        assert conv.bias is not None
        size = conv.weight.numel()
        relu = int(i < depth)
        # 0: maps, 1: kernel side, 4: padding, 5: has a bias, 6: weights, 9: ReLU
        options = f"0={conv.out_channels} 1=3 4=1 5=1 6={size} 9={relu}"
        lines.append(f"Convolution conv.{i} 1 1 map{i - 1} map{i} {options}")
        weights += bytes(4)  # they follow as float32
        for tensor in (conv.weight, conv.bias):
            weights += tensor.detach().float().contiguous().numpy().tobytes()
    net = ncnn.Net()
    for option in dir(net.opt):
        if option.startswith(("use_fp16", "use_bf16", "use_int8")):
            setattr(net.opt, option, False)
    net.opt.num_threads = torch.get_num_threads()
    data = bytes(weights)
    if net.load_param_mem("\n".join(lines) + "\n"):
        raise RuntimeError("ncnn does not take the network")
    net.load_model_mem(data)

    def network(ilr: Tensor, data: bytes = data) -> Tensor:  # the net reads its weights from ``data``
        planes = ilr[0].contiguous().numpy()  # must live as long as the Mat, which is a view of it
        extractor = net.create_extractor()
        extractor.input("map0", ncnn.Mat(planes))
        status, output = extractor.extract(f"map{depth}")
        if status:
            raise MemoryError("ncnn cannot compute it; give it smaller tiles")
        result = torch.from_numpy(np.array(output)[None])
        return ilr + result if adds_ilr else result

    return network


def _onnxruntime(model: VDSR) -> Network:
    """Microsoft's ONNX Runtime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(to_onnx(model), options, providers=["CPUExecutionProvider"])
    return lambda ilr: torch.from_numpy(session.run(None, {"ilr": ilr.contiguous().numpy()})[0])


def _openvino(model: VDSR) -> Network:
    """Intel's OpenVINO, told to compute in float32, since it would choose bfloat16 where that is faster."""
    core = _openvino_core()
    threads = {"INFERENCE_NUM_THREADS": torch.get_num_threads(), "INFERENCE_PRECISION_HINT": "f32"}
    compiled = core.compile_model(core.read_model(to_onnx(model)), "CPU", threads)
    return lambda ilr: torch.from_numpy(compiled(ilr.contiguous().numpy())[0])


@functools.cache
def _openvino_core() -> Any:
    """One for the process, never freed.

    A core puts a stack for signals in place, and the one from before back when it is freed. Of two cores, the
    first one freed first, that is a stack which is gone: the next Ctrl-C would crash the process.
    """
    import openvino

    return openvino.Core()


BACKENDS: dict[str, Callable[[VDSR], Network]] = {
    "onnxruntime": _onnxruntime,
    "openvino": _openvino,
    "ncnn": _ncnn,
    "half": _half,
    "torch": _torch,
}
"""By name."""


EXTRAS = {"onnxruntime": "fast", "openvino": "openvino", "ncnn": "ncnn"}
"""The packages among them, in the order of choice, and what installs each: pip install 'vdsrlib[fast]'."""
