"""Print results, problems and progress: on a terminal, into a pipe, and under torchrun."""

import io
import os
import sys
import warnings
from typing import Any

from vdsrlib.errors import Notice
from vdsrlib.utils.processes import process_rank
from vdsrlib.utils.text import visible


def as_sentence(message: Warning | Exception | str) -> str:
    """Put a message on one line."""
    return visible(" ".join(str(message).split()))


def print_result(text: str) -> None:
    """Print a line of results; if that fails, the error names standard output."""
    try:
        print(text)
    except OSError as error:
        error.filename = "standard output"
        raise


def print_problem(message: Warning | Exception | str) -> None:
    """Print one sentence on standard error."""
    print(f"vdsrlib: {as_sentence(message)}", file=sys.stderr)


class ImageProgress:
    """A bar on a terminal: images done, in fractions of an image, their speed, and the time left."""

    def __init__(self, images: int) -> None:
        from tqdm import tqdm

        shown = "{percentage:3.0f}%|{bar}| {n:.1f}/{total} images [{elapsed}<{remaining}{postfix}]"
        terminal = sys.stderr.isatty()
        self._bar = tqdm(total=images, leave=False, disable=not terminal, bar_format=shown)
        self._done = 0

    def __enter__(self) -> "ImageProgress":
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.close()

    def show_tiles(self, done: int, tiles: int) -> None:
        """Show how much of the present image is done."""
        self._bar.update(self._done + done / tiles - self._bar.n)

    def show_image(self, speed: float) -> None:
        """Show that an image is done, and the speed in megapixels of results a second."""
        self._done += 1
        self._bar.set_postfix_str(f"{speed:.2f} megapixels/s", refresh=False)
        self._bar.update(self._done - self._bar.n)


def is_main_process() -> bool:
    """Tell whether this is the one of torchrun's processes that prints."""
    return process_rank() == 0


def prepare_streams() -> None:
    """Make print write whole lines at once in any encoding, and print our warnings as sentences.

    Under torchrun, output is not buffered: print writes a line and its end apart, and another process may
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
