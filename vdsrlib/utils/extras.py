"""Packages that only some uses need: imported when they are used, and named in one sentence where missing."""

import os
import sys
from importlib import import_module
from typing import Any

from vdsrlib.errors import InputError

# What each extra brings; pyproject.toml has the same table.
EXTRAS = {
    "book": (
        "itables",
        "myst-nb",
        "sphinx",
        "sphinx-book-theme",
        "sphinx-copybutton",
        "sphinx-mathjax-offline",
        "sphinxcontrib-bibtex",
    ),
    "data": ("filelock", "imagehash", "pooch", "requests", "urllib3"),
    "fast": ("onnx", "onnxruntime"),
    "figures": ("matplotlib",),
    "heic": ("pillow_heif",),
    "notebooks": ("ipykernel", "ipywidgets", "jupyterlab", "papermill"),
    "openvino": ("onnx", "openvino"),
    "train": ("filelock", "pydantic", "tensorboard"),
}


def need(package: str, extra: str) -> Any:
    """Import a package that an extra of vdsrlib brings, and return it.

    >>> need("json", "data").dumps([1])
    '[1]'
    >>> need("no_such_package", "data")
    Traceback (most recent call last):
        ...
    vdsrlib.errors.InputError: no_such_package is not installed; pip install 'vdsrlib[data]' brings it

    Raises:
        InputError: the package is not installed.
    """
    _forbid_reports()
    try:
        return import_module(package)
    except ModuleNotFoundError as error:
        raise InputError(
            f"{error.name} is not installed; pip install 'vdsrlib[{extra}]' brings it"
        ) from error


def _forbid_reports() -> None:
    """Keep onnxruntime and OpenVINO from reporting usage, which they must be told before they load."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    # OpenVINO takes a stub for the package that would report where that cannot be imported
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
