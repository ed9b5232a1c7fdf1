"""Errors and notices that users read, and contexts that turn system errors into one sentence."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class InputError(ValueError):
    """The user's input is wrong; the message says what is wrong and what is allowed."""


class WriteError(InputError):
    """A place cannot be written."""


class MainProcessError(InputError):
    """The main process failed and reports why itself."""


class Notice(UserWarning):
    """A sentence that users should read while the work goes on."""


@contextmanager
def explain_read_error(place: str | Path) -> Iterator[None]:
    """Convert an OSError in the block into an InputError that names ``place``."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{place} cannot be read ({error.strerror or error}).") from error


@contextmanager
def explain_write_error(place: str | Path) -> Iterator[None]:
    """Convert an OSError in the block into a WriteError that names ``place``."""
    try:
        yield
    except OSError as error:
        raise WriteError(f"Cannot write {place}: {error.strerror or error}.") from error


@contextmanager
def explain_out_of_memory(place: str | Path, advice: str) -> Iterator[None]:
    """Convert a lack of memory in the block into an InputError that names ``place`` and gives advice."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # PyTorch and the other runtimes share no class for it, but the words
        if isinstance(error, MemoryError) or re.search("out of memory|alloc", str(error), re.IGNORECASE):
            raise InputError(f"{place} needs more memory than there is; {advice}.") from error
        raise
