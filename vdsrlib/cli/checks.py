"""Check this machine: packages, device, backends, data and weights."""

import os
import warnings
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from vdsrlib.datasets import catalog
from vdsrlib.errors import InputError, Notice, explain_read_error
from vdsrlib.inference import backends
from vdsrlib.models import checkpoint
from vdsrlib.models.vdsr import VDSR
from vdsrlib.utils.device import PACKAGES, choose_device, device_name
from vdsrlib.utils.extras import EXTRAS


def check_machine() -> list[tuple[bool, str]]:
    """Check packages, device, backends, data and weights; return (passed, sentence) for each thing.

    A package that only an extra brings may be missing.
    """
    device, found = _device()
    return [*_packages(), *_extras(), found, _backends(device), *_data(), *_weights()]


def _packages() -> list[tuple[bool, str]]:
    return [
        (True, f"{name} {there}") if (there := _version(name)) else (False, f"{name} is not installed")
        for name in PACKAGES
    ]


def _extras() -> list[tuple[bool, str]]:
    report = []
    for extra, packages in EXTRAS.items():
        absent = [name for name in packages if not _version(name)]
        if absent:
            command = f"pip install 'vdsrlib[{extra}]' brings {', '.join(absent)}"
            report.append((True, f"extra {extra} is not installed; {command}"))
        else:
            parts = [f"{name} {_version(name)}" for name in packages]
            report.append((True, f"extra {extra}: {', '.join(parts)}"))
    return report


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _device() -> tuple[torch.device, tuple[bool, str]]:
    """Return the device and whether it computes; if it does not, return the CPU in its place."""
    try:
        device = choose_device()
        torch.ones(8, device=device).sum().item()
    except (InputError, RuntimeError) as error:
        return torch.device("cpu"), (False, f"device: {error}")
    return device, (True, f"device {device_name(device)}")


def _backends(device: torch.device) -> tuple[bool, str]:
    """Report the backends that are there, and whether the chosen one computes what PyTorch does."""
    parts = [f"backends {', '.join(backends.installed(device.type))}"]
    if os.environ.get("VDSR_BACKEND"):
        parts.append(f"VDSR_BACKEND is {os.environ['VDSR_BACKEND']}")
    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            backends.prepare(VDSR(depth=2, width=16).to(device).eval())
    except InputError as error:
        return False, "; ".join([*parts, str(error)])
    return True, "; ".join(parts + [str(w.message) for w in told if issubclass(w.category, Notice)])


def _data() -> list[tuple[bool, str]]:
    try:
        root = catalog.data_root()
    except InputError as error:
        return [(False, f"data: {error}")]
    if root is None:
        return [(True, "data: VDSR_DATA is not set, the bundled photographs are used")]
    paper = (*catalog.TRAINING_SETS, *catalog.TEST_SETS)
    known = dict.fromkeys((*paper, *catalog.ALL_TRAINING_SETS, *catalog.ALL_TEST_SETS))
    return [_images(root / name) for name in known if name in paper or (root / name).exists()]


def _images(folder: Path) -> tuple[bool, str]:
    try:
        with explain_read_error(folder):
            if not folder.is_dir():
                return False, f"no {folder.name}"
        return True, f"data {folder.name}: {len(catalog.list_images(folder))} images"
    except InputError as error:
        return False, f"data {folder.name}: {error}"


def _weights() -> list[tuple[bool, str]]:
    report = []
    try:
        for path in sorted({checkpoint.DEFAULT, *checkpoint.shipped_weights()}):
            loaded = checkpoint.load(path, "cpu")
            report.append((True, f"weights {path.name}: {loaded.summary()}"))
    except InputError as error:
        report.append((False, f"weights: {error}"))
    return report
