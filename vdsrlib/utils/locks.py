"""Lock a file between processes, or claim one that is to be made."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from vdsrlib.errors import InputError, WriteError
from vdsrlib.utils.hashing import hash_bytes


@contextmanager
def file_lock(lock: Path, timeout: float = -1) -> Iterator[None]:
    """Hold a lock file against other processes. The file stays, since others may wait for it.

    Args:
        lock: the file; its folder is made when it is missing.
        timeout: seconds to wait for another process that holds it; -1 waits for ever.

    Raises:
        Timeout: another process held it for ``timeout`` seconds.
        WriteError: the folder cannot be written.
        InputError: its file system has no locks.
    """
    held = FileLock(lock)
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        held.acquire(timeout)
    except Timeout:  # an OSError, too
        raise
    except NotImplementedError as error:  # what filelock makes of ENOSYS
        raise InputError(_no_locks(lock.parent, "not implemented")) from error
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno in (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP):
            raise InputError(_no_locks(lock.parent, reason)) from error
        raise WriteError(f"Cannot write {lock.parent}: {reason}.") from error
    try:
        yield
    finally:
        held.release()


def _no_locks(folder: Path, reason: str) -> str:
    return f"{folder} lies on a file system that locks no files ({reason}); give a folder on another one."


@contextmanager
def claim(target: Path) -> Iterator[bool]:
    """Tell whether this process may make a file, and keep others from making it meanwhile.

    It may not where the file is there already, or where another process is making it.

    Raises:
        WriteError: the folder cannot be written.
    """
    if os.path.lexists(target):
        yield False
        return
    lock = target.with_name(f".claim-{hash_bytes(os.fsencode(target.name))[:16]}")
    try:
        with file_lock(lock, timeout=0):
            try:
                yield not os.path.lexists(target)  # another process may have made it by now
            finally:
                with suppress(OSError):  # on Windows, another process may have it open
                    lock.unlink()  # a process that opened it before this finds the target made
    except Timeout:
        yield False
