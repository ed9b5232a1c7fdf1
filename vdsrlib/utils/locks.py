"""Lock a file between processes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from vdsrlib.errors import WriteError


@contextmanager
def file_lock(lock: Path, timeout: float = -1) -> Iterator[None]:
    """Hold a lock file against other processes. The file stays, since others may wait for it.

    Args:
        lock: the file; its folder is made when it is missing.
        timeout: seconds to wait for another process that holds it; -1 waits for ever.

    Raises:
        Timeout: another process held it for ``timeout`` seconds.
        WriteError: the folder cannot be written.
    """
    held = FileLock(lock)
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        held.acquire(timeout)
    except Timeout:  # an OSError, too
        raise
    except OSError as error:
        raise WriteError(f"Cannot write {lock.parent}: {error.strerror or error}.") from error
    try:
        yield
    finally:
        held.release()
