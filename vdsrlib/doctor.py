"""Does this machine have what the project needs?"""

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from vdsrlib import checkpoint, environment, images
from vdsrlib.files import InputError, reading


def doctor() -> list[tuple[bool, str]]:
    """Check what the project needs here: (passed, sentence) for each thing, failures included."""
    report: list[tuple[bool, str]] = []
    for name in (*environment.PACKAGES, "matplotlib", "ipywidgets", "jupyterlab", "papermill"):
        try:
            report.append((True, f"{name} {version(name)}"))
        except PackageNotFoundError:
            report.append((False, f"{name} is not installed: pip install -e '.[notebooks]'"))
    try:
        device = environment.choose_device()
        torch.ones(8, device=device).sum().item()
        report.append((True, f"device {environment.device_name(device)}"))
    except (InputError, RuntimeError) as error:
        report.append((False, f"device: {error}"))
    try:
        root = environment.data_root()
        if root is None:
            report.append((True, "data: VDSR_DATA is not set, the bundled photographs are used"))
        else:
            report += [_images(root / name) for name in (*images.TRAINING_SETS, *images.TEST_SETS)]
    except InputError as error:
        report.append((False, f"data: {error}"))
    try:
        for path in sorted({checkpoint.DEFAULT, *checkpoint.shipped_weights()}):
            loaded = checkpoint.load(path)
            report.append((True, f"weights {path.name}: {loaded.summary()}"))
    except InputError as error:
        report.append((False, f"weights: {error}"))
    return report


def _images(folder: Path) -> tuple[bool, str]:
    try:
        with reading(folder):
            if not folder.is_dir():
                return False, f"no {folder.name}"
        return True, f"data {folder.name}: {len(images.list_images(folder))} images"
    except InputError as error:
        return False, f"data {folder.name}: {error}"
