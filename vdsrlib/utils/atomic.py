"""Write files and folders in one step, so that nothing is ever half-written."""

import errno
import json
import math
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from vdsrlib.errors import InputError, explain_write_error
from vdsrlib.utils.paths import user_path


def check_overwrite(path: str | Path, force: bool) -> None:
    """Raise InputError if a file of this name would be lost, unless ``force`` allows it."""
    path = user_path(path)
    if os.path.isdir(path):  # noqa: PTH112  it answers for any name, however long
        raise InputError(f"{path} is a folder; give the name of a file to write.")
    if os.path.lexists(path) and not force:
        raise InputError(_taken(path))


def _taken(path: str | Path) -> str:
    return f"{path} exists; write another name, or --force to replace it."


@contextmanager
def atomic(path: str | Path, *, replace: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it becomes ``path`` in one step.

    When the block fails, ``path`` is untouched and the temporary file is gone. The temporary name keeps the
    suffix, since image writers choose their format by it. A file that replaces another keeps its mode.

    Args:
        path: the file.
        replace: whether a file of this name may be lost, including one that appears while the block works.

    Raises:
        InputError: ``path`` is a folder, or there is such a file and it may not be replaced.
        WriteError: the folder cannot be written, or the disk is full.
    """
    path = user_path(path)
    with explain_write_error(path), ExitStack() as stack:
        check_overwrite(path, replace)
        path.parent.mkdir(parents=True, exist_ok=True)
        mode = _mode(path)  # finds out now whether there can be such a name
        temporary = path.with_name(f".part-{secrets.token_hex(8)}{path.suffix}")
        stack.callback(temporary.unlink, missing_ok=True)
        temporary.touch(exist_ok=False)
        if mode is not None:  # what few may read is not shown to more while it is written
            _set_mode(temporary, mode | 0o200)
        yield temporary
        with temporary.open("r+b") as written:  # Windows does not sync a file that is only read
            _sync(written.fileno())
        _place(temporary, path, replace)


def _mode(path: Path) -> int | None:
    """Return the permissions of a file; None where there is none."""
    try:
        return path.stat().st_mode & 0o777
    except FileNotFoundError:
        return None


def _set_mode(path: Path, mode: int) -> None:
    """Set the permissions of a file where they can be set: network and Windows file systems refuse it."""
    with suppress(OSError):
        path.chmod(mode)


def _sync(file: int) -> None:
    """Wait until a file is on the disk, where the file system can say so."""
    try:
        os.fsync(file)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise


def _place(temporary: Path, path: Path, replace: bool) -> None:
    """Give a finished file its name; without ``replace``, only if no other file has taken it meanwhile."""
    mode = _mode(path)
    if mode is not None:
        _set_mode(temporary, mode)
    if replace:
        temporary.replace(path)
        return
    try:
        try:
            path.hardlink_to(temporary)  # fails where a rename would replace
        except FileExistsError:
            raise
        except OSError:  # a file system without links: take the name, then put the file into its place
            path.touch(exist_ok=False)
            temporary.replace(path)
    except FileExistsError:
        raise InputError(_taken(path)) from None


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Yield a temporary folder beside ``path``; on success it becomes ``path`` in one step.

    When the block fails, or another process has made ``path`` meanwhile, the temporary folder is removed.

    Raises:
        WriteError: the folder cannot be written, or the disk is full.
    """
    path = user_path(path)
    with explain_write_error(path), ExitStack() as stack:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=".part-"))
        stack.callback(shutil.rmtree, temporary, ignore_errors=True)
        yield temporary
        if not path.exists():
            temporary.replace(path)


@contextmanager
def atomic_files(folder: str | Path, *, replace: bool) -> Iterator[Path]:
    """Yield a temporary folder; on success, and not before, the files in it are in ``folder``.

    When the block fails, ``folder`` is as it was, and absent if it was absent.

    Args:
        folder: where the files belong.
        replace: whether ``folder`` may hold something already; files of the same names are then lost.

    Raises:
        InputError: ``folder`` is not empty and may not be used.
        WriteError: the folder cannot be written, or the disk is full.
    """
    folder = user_path(folder)
    with explain_write_error(folder), ExitStack() as stack:
        if not replace and folder.is_dir() and any(folder.iterdir()):
            raise InputError(f"{folder} is not empty; write another name, or --force to use it.")
        if not folder.exists():
            stack.callback(_remove_if_empty, folder)
        folder.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=folder, prefix=".part-"))
        stack.callback(shutil.rmtree, temporary, ignore_errors=True)
        yield temporary
        files = [(path, folder / path.name) for path in sorted(temporary.iterdir())]
        for _, target in files:
            check_overwrite(target, replace)
        for path, target in files:
            _place(path, target, replace)


def _remove_if_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()


def to_json(value: Any, indent: int | None = None) -> str:
    """Make JSON text; a number that is not finite (the PSNR of equal images) becomes null."""

    def finite(item: Any) -> Any:
        if isinstance(item, dict):
            return {key: finite(part) for key, part in item.items()}
        if isinstance(item, list | tuple):
            return [finite(part) for part in item]
        return None if isinstance(item, float) and not math.isfinite(item) else item

    return json.dumps(finite(value), indent=indent, allow_nan=False)


def write_json(path: str | Path, value: Any) -> None:
    """Write ``value`` as indented JSON, atomically."""
    text = to_json(value, indent=1)
    with atomic(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def check_writable(folder: str | Path) -> None:
    """Make a folder, and raise WriteError if nothing can be written there; ask before a long computation."""
    with explain_write_error(f"in {folder}"):
        user_path(folder).mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=user_path(folder)).close()
