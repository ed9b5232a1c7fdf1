"""Paths as people write them."""

import os
from pathlib import Path

from vdsrlib.errors import InputError


def user_path(path: str | Path) -> Path:
    """Turn a path that a user wrote into one that opens: ``~`` is the home folder.

    A name of digits alone, which papermill's ``-p`` makes a number of, is a name again.

    >>> user_path("photos/castle.png").as_posix()
    'photos/castle.png'
    >>> user_path("~/photos").is_absolute()
    True
    """
    return Path(os.path.expanduser(str(path)))  # noqa: PTH111  which leaves ~nobody as it is


def output_folder(path: str | Path, name: str) -> Path:
    """Turn the name of a folder for results into a path, and refuse it where there can be no such folder.

    Nothing is made: that is left to what writes there.

    Args:
        path: the folder; it need not exist.
        name: of the parameter, for the message.

    Raises:
        InputError: it is a file, or would be below one, or this user may not write there.

    >>> output_folder("runs/02_model", "run_path").as_posix()
    'runs/02_model'
    """
    folder = user_path(path)
    above = next(place for place in (folder, *folder.absolute().parents) if os.path.lexists(place))
    if not os.path.isdir(above):  # noqa: PTH112  which never raises
        raise InputError(f"{name} must be a folder, got {folder}: {above} is a file")
    if not os.access(above, os.W_OK | os.X_OK):
        raise InputError(f"{name} must be a folder that can be written, got {folder}: {above} cannot")
    return folder
