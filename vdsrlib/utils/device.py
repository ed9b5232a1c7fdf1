"""Choose the device to compute on, and describe the machine."""

import os
import platform
from contextlib import AbstractContextManager
from importlib.metadata import version

import torch

from vdsrlib.errors import InputError
from vdsrlib.utils.parsing import unknown

DEVICES = ("auto", "cpu", "cuda", "cuda:1", "mps")
PACKAGES = ("torch", "numpy", "scipy", "scikit-image", "pillow", "safetensors")


def choose_device(name: str | torch.device = "auto") -> torch.device:
    """Choose the device to compute on: the one named, or the first of CUDA, Apple's MPS and the CPU.

    The variable VDSR_DEVICE says from outside what ``"auto"`` means. A device that is chosen already stays,
    so that a chapter's cell can run twice.

    Raises:
        InputError: the name is unknown, or this machine has no such device.
    """
    if isinstance(name, torch.device):
        return name
    if name == "auto":
        name = os.environ.get("VDSR_DEVICE") or "auto"
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    available = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    name = str(name)  # papermill makes a number of 0
    kind = name.split(":")[0]
    if kind not in available:
        raise unknown("device", name, DEVICES)
    if not available[kind]:
        raise InputError(f"This machine has no {kind} device; choose cpu or auto.")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise unknown("device", name, DEVICES) from error
    if kind == "cuda" and (device.index or 0) >= (count := torch.cuda.device_count()):
        raise InputError(f"This machine has no {name}; choose a number below {count}.")
    return device


def device_name(device: torch.device) -> str:
    """Describe the device in words, for tables and records."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"{device.type} ({platform.machine()}, {threads} thread{'s' * (threads > 1)})"


def fast_in_bfloat16(device: torch.device) -> bool:
    """Tell whether the device multiplies matrices faster in bfloat16 than in float32.

    This holds for CUDA from Ampere on, and for CPUs with AMX or with AVX-512's bfloat16. On two cores of
    AMD's Zen 4 a step of training took 0.27 s instead of 0.55 s.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    known = getattr(torch.cpu, "get_capabilities", None)  # newer than the oldest torch allowed
    has = known() if known and device.type == "cpu" else {}
    return has.get("amx_bf16", False) or has.get("avx512_bf16", False)


def without_tf32(**flags: bool) -> AbstractContextManager[None]:
    """Compute convolutions in true float32, where CUDA would use TF32 with its 10 bits of mantissa.

    Args:
        flags: other flags of ``torch.backends.cudnn.flags`` to set meanwhile.
    """
    cudnn = torch.backends.cudnn
    kept = {name: getattr(cudnn, name) for name in ("enabled", "benchmark", "deterministic")}
    return cudnn.flags(**{**kept, **flags}, allow_tf32=False)


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that numbers depend on."""
    return {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}
