"""Streams and sentences: how the commands speak on a terminal, into a pipe and under torchrun."""

import io
import os
import sys
import warnings
from typing import Any

from vdsrlib.errors import Notice
from vdsrlib.utils.processes import process_rank


def as_sentence(message: Warning | Exception | str) -> str:
    """Put a message on one line."""
    return " ".join(str(message).split())


def print_result(text: str) -> None:
    """Print a line of results; an error names standard output, as that of a file names the file."""
    try:
        print(text)
    except OSError as error:
        error.filename = "standard output"
        raise


def print_problem(message: Warning | Exception | str) -> None:
    """Print one sentence on standard error."""
    print(f"vdsrlib: {as_sentence(message)}", file=sys.stderr)


def is_main_process() -> bool:
    """Whether this is the one of torchrun's processes that prints."""
    return process_rank() == 0


def prepare_streams() -> None:
    """Make print write every line at once, whole, and in any encoding; and make our warnings sentences.

    torchrun's processes do not buffer. There, print writes a line and its end apart, and another process may
    write in between.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True, write_through=False, errors="backslashreplace")
    usual = warnings.formatwarning

    def line(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> str:
        ours = issubclass(category, Notice)  # to which Python would add a line of its source
        return f"vdsrlib: {as_sentence(message)}\n" if ours else usual(message, category, *place, **more)

    warnings.formatwarning = line


def release_streams() -> None:
    """Drop what a stream could not write. Otherwise Python tries again at its end, and fails aloud."""
    for stream in filter(None, (sys.stdout, sys.stderr)):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
