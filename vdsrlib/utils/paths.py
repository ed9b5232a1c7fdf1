"""Paths as people write them."""

import os
from pathlib import Path


def user_path(path: str | Path) -> Path:
    """Turn a path that a user wrote into one that opens: ``~`` is the home folder.

    >>> user_path("photos/castle.png").as_posix()
    'photos/castle.png'
    >>> user_path("~/photos").is_absolute()
    True
    """
    return Path(os.path.expanduser(path))  # noqa: PTH111  which leaves ~nobody as it is
