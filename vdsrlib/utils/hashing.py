"""Hash content with SHA-256, which tells weights, images, settings and runs apart."""

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from vdsrlib.errors import explain_read_error
from vdsrlib.utils.paths import user_path


def hash_bytes(*parts: bytes | np.ndarray) -> str:
    """Hash bytes, one part after the other, as 64 hexadecimal digits.

    An array counts by its samples in C order. Its shape and type do not count: add them where they matter.

    >>> hash_bytes(b"ab", b"c")[:8]
    'ba7816bf'
    """
    digest = hashlib.sha256()
    for part in parts:
        digest.update(np.ascontiguousarray(part).data if isinstance(part, np.ndarray) else part)
    return digest.hexdigest()


def hash_json(value: Any) -> str:
    """Hash a value by its JSON text, in which the keys of objects are sorted.

    >>> hash_json({"a": 1, "b": 2}) == hash_json({"b": 2, "a": 1})
    True
    """
    return hash_bytes(json.dumps(value, sort_keys=True).encode())


def hash_file(path: str | Path) -> str:
    """Hash the bytes of a file.

    Raises:
        InputError: the file cannot be read.
    """
    with explain_read_error(path):
        return hash_bytes(user_path(path).read_bytes())


def hash_files(paths: Iterable[Path]) -> str:
    """Hash the names and bytes of files, in their order; a link that leads nowhere counts by its name."""
    # os.path answers wherever a link leads, also into a place that cannot be entered.
    return hash_json([[path.name, hash_file(path) if os.path.isfile(path) else None] for path in paths])  # noqa: PTH113
