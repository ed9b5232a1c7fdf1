"""Read the size that a compressed image declares, before a decoder takes memory for it."""

import struct

from vdsrlib.imaging.jpegxl_header import read_size

SHAPELESS = {0xC4, 0xC8, 0xCC}
"""JPEG's markers among those of frames that begin something else: tables, and what is reserved."""


def declared_size(content: bytes) -> tuple[int, int] | None:
    """Return height and width by the header of a JPEG, PNG, WebP, JPEG 2000, JPEG XL or LERC stream.

    None means another kind of stream, or a damaged one.
    """
    readers = {
        b"\xff\xd8": _jpeg,
        b"\x89PNG": _png,
        b"RIFF": _webp,
        b"\xff\x4f\xff\x51": _jpeg2000,
        b"\xff\x0a": read_size,
        b"Lerc2 ": _lerc,
    }
    try:
        return next((read(content) for magic, read in readers.items() if content.startswith(magic)), None)
    except (struct.error, StopIteration, RuntimeError):  # it is cut
        return None


def _jpeg(content: bytes) -> tuple[int, int] | None:
    at = 2
    while True:
        marker, size = struct.unpack_from(">xBH", content, at)
        if 0xC0 <= marker <= 0xCF and marker not in SHAPELESS:
            return struct.unpack_from(">HH", content, at + 5)
        if marker == 0xFF:  # filling
            at += 1
        else:
            at += 2 + size


def _png(content: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from(">II", content, 16)
    return height, width


def _webp(content: bytes) -> tuple[int, int] | None:
    kind = content[12:16]
    if kind == b"VP8X":
        sides = (int.from_bytes(content[at : at + 3], "little") + 1 for at in (27, 24))
    elif kind == b"VP8L":
        bits = int.from_bytes(content[21:25], "little")
        sides = ((bits >> shift & 0x3FFF) + 1 for shift in (14, 0))
    elif kind == b"VP8 ":
        sides = (int.from_bytes(content[at : at + 2], "little") & 0x3FFF for at in (28, 26))
    else:
        return None
    height, width = sides
    return height, width


def _jpeg2000(content: bytes) -> tuple[int, int]:
    width, height, left, top = struct.unpack_from(">4I", content, 8)
    return height - top, width - left


def _lerc(content: bytes) -> tuple[int, int]:
    (version,) = struct.unpack_from("<I", content, 6)
    return struct.unpack_from("<II", content, 14 if version > 2 else 10)
