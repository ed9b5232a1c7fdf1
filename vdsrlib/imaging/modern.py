"""Read JPEG XL, HEIC and AVIF files, of which Pillow knows the last, but not what its samples mean."""

import struct
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import imagecodecs
import numpy as np

from vdsrlib.errors import InputError
from vdsrlib.imaging.colour import from_float, to_full_range, unpremultiply
from vdsrlib.imaging.decoding import Decoded, frames_note, read_with_pillow
from vdsrlib.imaging.formats import check_pixels
from vdsrlib.imaging.jpegxl_header import read_header
from vdsrlib.imaging.metadata import Metadata, exif_orientation
from vdsrlib.utils.extras import need

CODESTREAM, CONTAINER = b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"
MOST_HEADERS = 2**16
"""Bytes of a file in which its headers are looked for."""
HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
AS_SRGB = ({1, 2}, {1, 2, 6, 13})
"""Primaries and transfer functions that are seen as sRGB, as ITU-T H.273 counts them; 2 says nothing."""


def read_jpegxl(path: str | Path, max_pixels: int) -> Decoded | None:
    """Decode a JPEG XL file; return None for any other."""
    with Path(path).open("rb") as file:
        content = file.read(len(CONTAINER))
        if not content.startswith((CODESTREAM, CONTAINER)):
            return None
        content += file.read()
    boxes = _boxes(content) if content.startswith(CONTAINER) else {b"jxlc": content}
    try:
        header = read_header(boxes.get(b"jxlc") or boxes[b"jxlp"])
    except (StopIteration, RuntimeError, KeyError, IndexError) as error:
        raise EOFError("it ends before its pixels do") from error
    check_pixels(path, *header.size, max_pixels)
    if b"jbrd" in boxes:  # made of a JPEG file, which is got back to the bit
        return read_with_pillow(
            path, max_pixels, BytesIO(imagecodecs.jpegxl_decode_jpeg(content, numthreads=1))
        )
    samples = imagecodecs.jpegxl_decode(content, index=0 if header.animated else None)
    notes = ["the first of several frames"] if header.animated else []
    if samples.dtype.kind == "f":
        samples = from_float(samples, np.uint16)
        notes.append("floats became 16 bits")
    samples = to_full_range(samples, header.bits)
    if header.premultiplied and samples.ndim == 3 and samples.shape[2] in (2, 4):
        samples = np.dstack([unpremultiply(samples[..., :-1], samples[..., -1]), samples[..., -1]])
    if header.icc:
        notes.append("the colour profile is left out")
    exif = boxes.get(b"Exif", b"")[4:] or None  # behind the place where it begins
    metadata = Metadata(exif, boxes.get(b"xml ") or None, png_colour=_meaning(*header.colours or (2, 2)))
    return Decoded(samples, exif_orientation(exif), upright=True, notes=notes, metadata=metadata)


def _boxes(content: bytes) -> dict[bytes, bytes]:
    """Return the boxes of a container by kind, the parts of the image joined."""
    boxes: dict[bytes, bytes] = {}
    for kind, data in _each_box(content):
        if kind == b"brob":
            kind, data = data[:4], bytes(imagecodecs.brotli_decode(data[4:]))
        if kind == b"jxlp":
            boxes[kind] = boxes.get(kind, b"") + data[4:]
        else:
            boxes.setdefault(kind, data)
    return boxes


def _each_box(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at + 8 <= len(content):
        size, kind = struct.unpack_from(">I4s", content, at)
        begin = at + 8
        if size == 1 and at + 16 <= len(content):
            (size,), begin = struct.unpack_from(">Q", content, begin), begin + 8
        end = at + size if size else len(content)
        if end < begin:
            return
        yield kind, content[begin:end]
        at = end


def _meaning(primaries: int, transfer: int) -> dict[bytes, bytes]:
    """Return what colours mean as a chunk of PNG; nothing where everybody assumes it."""
    assumed = all(code in codes for code, codes in zip((primaries, transfer), AS_SRGB, strict=True))
    return {} if assumed else {b"cICP": bytes([primaries, transfer, 0, 1])}


def read_avif(path: str | Path, max_pixels: int) -> Decoded | None:
    """Decode an AVIF file with Pillow; return None for any other."""
    with Path(path).open("rb") as file:
        head = file.read(MOST_HEADERS)
    if head[4:8] != b"ftyp" or b"avif" not in head[8:64]:
        return None
    decoded = read_with_pillow(path, max_pixels)
    _, _, configuration = head.partition(b"av1C")
    if configuration[2:3] and configuration[2] & 0x40:  # its flag for more than 8 bits
        decoded.notes.append("10 bits became 8" if not configuration[2] & 0x20 else "12 bits became 8")
    _, _, colours = head.partition(b"colrnclx")
    if len(colours) >= 4 and not decoded.icc:
        meaning = _meaning(*struct.unpack_from(">HH", colours))
        decoded.metadata = replace(decoded.metadata, png_colour=meaning)
    return decoded


def read_heic(path: str | Path, max_pixels: int) -> Decoded | None:
    """Decode the picture of a HEIC file; return None for any other.

    Raises:
        InputError: the package that decodes it is not installed.
    """
    with Path(path).open("rb") as file:
        head = file.read(64)
    if head[4:8] != b"ftyp" or head[8:12] not in HEIC_BRANDS or b"avif" in head:
        return None
    try:
        pillow_heif = need("pillow_heif", "heic")
    except InputError as error:
        raise InputError(f"{path} is HEIC, and {error}") from error
    file = pillow_heif.open_heif(path, convert_hdr_to_8bit=False)
    image = file[file.primary_index]
    width, height = image.size
    check_pixels(path, height, width, max_pixels)
    samples, info = np.asarray(image), image.info
    if samples.dtype == np.uint16:  # the upper bits of it
        bits = info["bit_depth"]
        samples = to_full_range(samples >> (16 - bits), bits)
    if image.mode.startswith("RGBa"):
        samples = np.dstack([unpremultiply(samples[..., :-1], samples[..., -1]), samples[..., -1]])
    exif = (info.get("exif") or b"").removeprefix(b"Exif\0\0") or None
    icc, colours = info.get("icc_profile") or None, info.get("nclx_profile") or {}
    meaning = (
        {}
        if icc
        else _meaning(int(colours.get("color_primaries", 2)), int(colours.get("transfer_characteristics", 2)))
    )
    xmp = info.get("xmp") or None
    metadata = Metadata(exif, xmp, png_colour=meaning)
    return Decoded(
        samples,
        exif_orientation(exif),
        upright=True,
        icc=icc,
        notes=frames_note(len(file)),
        metadata=metadata,
    )
