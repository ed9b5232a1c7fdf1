"""SHA-256 of files, by which weights, images and runs are told apart."""

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path

from vdsrlib.errors import explain_read_error


def hash_file(path: str | Path) -> str:
    """SHA-256 of a file's bytes, as 64 hexadecimal digits.

    Raises:
        InputError: the file cannot be read.
    """
    with explain_read_error(path):
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def hash_files(paths: Iterable[Path]) -> str:
    """One hash of the names and bytes of files, in their order; of a link that leads nowhere, of its name."""
    # os.path answers wherever a link leads, also into a place that cannot be entered
    found = [[path.name, hash_file(path) if os.path.isfile(path) else None] for path in paths]  # noqa: PTH113
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()
