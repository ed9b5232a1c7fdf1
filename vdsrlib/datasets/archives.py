"""Read the images of a folder, a zip or a tar without trusting it: no member's path is ever written to.

An archive is refused whole if a member could leave its folder, is a link or a device, or if it unpacks to far
more than images do.
"""

import bz2
import gzip
import io
import lzma
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from vdsrlib.errors import InputError, explain_read_error
from vdsrlib.imaging.formats import FORMATS

MEMBERS = 200_000
LARGEST_IMAGE = 256 * 2**20  # bytes
EXPANSION = 50  # images are compressed already; even .bmp shrinks only a few times
SLACK = 64 * 2**20  # bytes that any archive may unpack to, however small it is

Members = Iterator[tuple[str, bytes]]
"""The path and the bytes of each image."""


def archived_images(source: Path) -> Members:
    """Read every image of a folder, a zip or a tar, which may be compressed.

    Raises:
        InputError: there is no such source, it is no archive, it is broken, or it is refused.
    """
    if source.is_dir():
        source = source.resolve()
        for path in sorted(source.rglob("*")):
            if path.suffix.lower() in FORMATS and path.is_file():
                with explain_read_error(path):
                    content = path.read_bytes()
                yield path.relative_to(source.parent).as_posix(), content
        return
    if not source.is_file():
        raise InputError(f"There is no file or folder {source}.")
    try:
        yield from _zip(source) if zipfile.is_zipfile(source) else _tar(source)
    except (
        tarfile.TarError,
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,
        EOFError,
        NotImplementedError,
    ) as error:
        raise InputError(f"{source.name} is a broken archive ({error}).") from error
    except OSError as error:  # what gzip and bz2 raise for wrong data
        raise InputError(f"{source.name} cannot be read ({error}).") from error


def _zip(source: Path) -> Members:
    with zipfile.ZipFile(source) as archive:
        members = archive.infolist()
        limit = EXPANSION * source.stat().st_size + SLACK
        if len(members) > MEMBERS or sum(member.file_size for member in members) > limit:
            raise InputError(f"{source.name} is refused: it would unpack to far more than images do.")
        for member in members:
            kind = stat.S_IFMT(member.external_attr >> 16)
            _check(source, member.filename, kind in (0, stat.S_IFREG, stat.S_IFDIR), member.file_size)
            if member.flag_bits & 1:
                raise InputError(f"{source.name} is refused: {member.filename!r} has a password.")
        for member in members:
            if _is_image(member.filename):
                yield member.filename, archive.read(member)


def _tar(source: Path) -> Members:
    with source.open("rb") as file:
        begin = file.read(512)
    openers: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZ": bz2.open, b"\xfd7": lzma.open}
    opener = openers.get(begin[:2], open)
    if opener is open and begin[257:262] != b"ustar":
        raise InputError(f"{source.name} is {_what(begin)}, not a zip or tar archive.")
    # A first pass over the whole archive refuses it before anything of it is used.
    for use in (False, True):
        with opener(source, "rb") as file:
            limited = _Limited(file, source)
            with tarfile.open(fileobj=limited, mode="r|") as archive:
                for count, member in enumerate(archive):
                    regular = member.isreg() or member.isdir()
                    _check(source, member.name, regular and count < MEMBERS, member.size)
                    if use and member.isreg() and _is_image(member.name):
                        content = archive.extractfile(member)
                        assert content is not None  # it is a regular file
                        yield member.name, content.read()


class _Limited(io.RawIOBase):
    """Pass a stream on, and stop with an InputError where an archive unpacks to more than it may."""

    def __init__(self, file: io.BufferedIOBase, source: Path) -> None:
        self.file, self.source = file, source
        self.left = EXPANSION * source.stat().st_size + SLACK

    def read(self, size: int = -1) -> bytes:
        data = self.file.read(size)
        self.left -= len(data)
        if self.left < 0:
            name = self.source.name
            raise InputError(f"{name} is refused: it would unpack to far more than images do.")
        return data


def _check(source: Path, name: str, regular: bool, size: int) -> None:
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if not regular:
        raise InputError(f"{source.name} is refused: {name!r} is a link, a device or one of too many files.")
    if ".." in parts or name.startswith(("/", "\\")) or re.match(r"[A-Za-z]:", name):
        raise InputError(f"{source.name} is refused: {name!r} leads out of the archive.")
    if _is_image(name) and size > LARGEST_IMAGE:
        raise InputError(f"{source.name} is refused: {name!r} has {size / 2**20:,.0f} MiB.")


def _is_image(name: str) -> bool:
    path = PurePosixPath(name)
    hidden = path.name.startswith(".") or "__MACOSX" in path.parts
    return path.suffix.lower() in FORMATS and not hidden


def _what(begin: bytes) -> str:
    if begin.lstrip()[:1] == b"<":
        return "a web page"
    if begin.startswith(b"Rar!"):
        return "a rar archive (unpack it by hand and give its folder to --from)"
    return "empty" if not begin else "something else"
