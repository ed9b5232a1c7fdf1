"""Does this machine have what the project needs?"""

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


def check_machine() -> list[tuple[bool, str]]:
    """Check what the project needs here: (passed, sentence) for each thing, failures included."""
    report: list[tuple[bool, str]] = []
    for name in (*PACKAGES, "matplotlib", "ipywidgets", "jupyterlab", "papermill"):
        try:
            report.append((True, f"{name} {version(name)}"))
        except PackageNotFoundError:
            report.append((False, f"{name} is not installed: pip install -e '.[notebooks]'"))
    try:
        device = choose_device()
        torch.ones(8, device=device).sum().item()
        report.append((True, f"device {device_name(device)}"))
    except (InputError, RuntimeError) as error:
        device = torch.device("cpu")
        report.append((False, f"device: {error}"))
    report.append(_engines(device))
    try:
        root = catalog.data_root()
        if root is None:
            report.append((True, "data: VDSR_DATA is not set, the bundled photographs are used"))
        else:
            paper = (*catalog.TRAINING_SETS, *catalog.TEST_SETS)
            known = dict.fromkeys((*paper, *catalog.ALL_TRAINING_SETS, *catalog.ALL_TEST_SETS))
            report += [_images(root / name) for name in known if name in paper or (root / name).exists()]
    except InputError as error:
        report.append((False, f"data: {error}"))
    try:
        for path in sorted({checkpoint.DEFAULT, *checkpoint.shipped_weights()}):
            loaded = checkpoint.load(path, "cpu")
            report.append((True, f"weights {path.name}: {loaded.summary()}"))
    except InputError as error:
        report.append((False, f"weights: {error}"))
    return report


def _engines(device: torch.device) -> tuple[bool, str]:
    """The engines that are there, and whether what is chosen among them computes what PyTorch does."""
    parts = [f"engines {', '.join(backends.installed(device.type))}"]
    if os.environ.get("VDSR_ENGINE"):
        parts.append(f"VDSR_ENGINE is {os.environ['VDSR_ENGINE']}")
    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            backends.prepare(VDSR(depth=2, width=16).to(device).eval())
    except InputError as error:
        return False, "; ".join([*parts, str(error)])
    return True, "; ".join(parts + [str(w.message) for w in told if issubclass(w.category, Notice)])


def _images(folder: Path) -> tuple[bool, str]:
    try:
        with explain_read_error(folder):
            if not folder.is_dir():
                return False, f"no {folder.name}"
        return True, f"data {folder.name}: {len(catalog.list_images(folder))} images"
    except InputError as error:
        return False, f"data {folder.name}: {error}"
