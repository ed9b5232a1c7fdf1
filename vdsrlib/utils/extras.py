"""Packages that only some uses need: imported when they are used, and named in one sentence where missing."""

from importlib import import_module
from typing import Any

from vdsrlib.errors import InputError


def need(package: str, extra: str) -> Any:
    """Import a package that an extra of vdsrlib brings, and return it.

    >>> need("json", "data").dumps([1])
    '[1]'
    >>> need("no_such_package", "data")
    Traceback (most recent call last):
        ...
    vdsrlib.errors.InputError: This needs vdsrlib[data]: pip install 'vdsrlib[data]'.

    Raises:
        InputError: the package is not installed.
    """
    try:
        return import_module(package)
    except ModuleNotFoundError as error:
        raise InputError(f"This needs vdsrlib[{extra}]: pip install 'vdsrlib[{extra}]'.") from error
