"""Recognise the raw files of cameras, whose preview is not the picture."""

from collections.abc import Iterable
from pathlib import Path

from tifffile import PHOTOMETRIC, TiffPage

from vdsrlib.errors import InputError

SUFFIXES = {
    *(".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".gpr", ".iiq", ".k25"),
    *(".kdc", ".mef", ".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".rw2", ".rwl", ".sr2"),
    *(".srf", ".srw", ".x3f"),
}
BEGINNINGS = {
    0: (b"FUJIFILMCCD-RAW", b"FOVb", b"\0MRM", b"IIRO", b"IIRS", b"MMOR", b"IIU\0"),
    4: (b"ftypcrx ",),
    6: (b"HEAPCCDR",),
    8: (b"CR\x02",),
}
"""What stands in such files, by its place."""
DNG_VERSION = 50706


def check_not_raw(path: str | Path) -> None:
    """Raise InputError if a file begins as a camera's raw file."""
    with Path(path).open("rb") as file:
        head = file.read(32)
    if any(head.startswith(words, at) for at, words in BEGINNINGS.items()):
        raise _error(path)


def check_developed(path: str | Path, pages: Iterable[TiffPage]) -> None:
    """Raise InputError if the pages of a TIFF hold a sensor's samples, or its name is a raw file's."""
    if Path(path).suffix.lower() in SUFFIXES or any(
        page.photometric in (PHOTOMETRIC.CFA, PHOTOMETRIC.LINEAR_RAW) or DNG_VERSION in page.tags
        for page in pages
    ):
        raise _error(path)


def _error(path: str | Path) -> InputError:
    return InputError(f"{path} is a camera's raw file; develop it first, and save it as TIFF, PNG or JPEG.")
