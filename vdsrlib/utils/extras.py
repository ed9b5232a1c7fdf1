"""Packages that only some uses need: imported when they are used, and named in one sentence where missing."""

from importlib import import_module
from typing import Any

from vdsrlib.errors import InputError

# What each extra brings, by the names that are imported; pyproject.toml has the same table.
EXTRAS = {
    "data": ("filelock", "imagehash", "pooch", "requests", "urllib3"),
    "fast": ("onnx", "onnxruntime"),
    "figures": ("matplotlib",),
    "notebooks": ("ipykernel", "ipywidgets", "jupyterlab", "nbconvert", "papermill"),
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
    try:
        return import_module(package)
    except ModuleNotFoundError as error:
        raise InputError(
            f"{error.name} is not installed; pip install 'vdsrlib[{extra}]' brings it"
        ) from error
