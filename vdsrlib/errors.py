"""The errors and notices that users read, and the contexts that turn system errors into one sentence."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class InputError(Exception):
    """Something the user gave is wrong; the message says what, and what to write instead."""


class WriteError(InputError):
    """A place cannot be written."""


class Notice(UserWarning):
    """Something that users should know, while the work goes on: a sentence."""


@contextmanager
def explain_read_error(place: str | Path) -> Iterator[None]:
    """Say of an OSError in the block that ``place`` cannot be read, as an InputError."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{place} cannot be read ({error.strerror or error}).") from error


@contextmanager
def explain_write_error(place: str | Path) -> Iterator[None]:
    """Say of an OSError in the block that ``place`` cannot be written, as a WriteError."""
    try:
        yield
    except OSError as error:
        raise WriteError(f"Cannot write {place}: {error.strerror or error}.") from error


@contextmanager
def explain_out_of_memory(place: str | Path, advice: str) -> Iterator[None]:
    """Say of an error for want of memory in the block that ``place`` needs more, as an InputError."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # PyTorch and the other engines have no class of their own for it, but words
        if isinstance(error, MemoryError) or re.search("out of memory|alloc", str(error), re.IGNORECASE):
            raise InputError(f"{place} needs more memory than there is; {advice}.") from error
        raise
