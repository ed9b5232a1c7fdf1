"""Paths as people write them."""

import os
from pathlib import Path


def user_path(path: str | Path) -> Path:
    """Turn a path that a user wrote into one that opens.

    ``~`` is the home folder. A relative path counts from the current folder. If nothing is there, it counts
    from the folder in which the shell started the program: the kernel of a notebook leaves that folder, and
    the variable PWD keeps its name.

    >>> user_path("photos/../photo.png").name
    'photo.png'
    """
    written = Path(os.path.expanduser(path))  # noqa: PTH111  which leaves ~nobody as it is
    started = Path(os.environ.get("PWD", "")) / written
    # os.path answers for any name, however long, and wherever a link leads.
    return started if os.path.exists(started) and not os.path.lexists(written) else written  # noqa: PTH110
