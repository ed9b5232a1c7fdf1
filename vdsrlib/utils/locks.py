"""A lock file between processes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from vdsrlib.errors import InputError


@contextmanager
def file_lock(lock: Path, timeout: float = -1) -> Iterator[None]:
    """Hold a lock file, against processes that were started apart; it stays, since others may wait for it.

    Raises:
        Timeout: another process holds it, and did so for ``timeout`` seconds (-1: for ever).
        InputError: the folder cannot be written.
    """
    held = FileLock(lock)
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        held.acquire(timeout)
    except Timeout:  # an OSError, too
        raise
    except OSError as error:
        raise InputError(f"Cannot write {lock.parent}: {error.strerror or error}.") from error
    try:
        yield
    finally:
        held.release()
