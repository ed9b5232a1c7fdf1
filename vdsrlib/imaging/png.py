"""Read PNG files chunk by chunk.

A decoder is given only the chunks that make the pixels. No other chunk, however large or damaged, can then
stop it or make it print. The colour key is applied here, since decoders compare it with scaled samples.
"""

import struct
import zlib
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import imagecodecs
import numpy as np

from vdsrlib.imaging.decoding import Decoded, frames_note, open_with_pillow, pillow_samples
from vdsrlib.imaging.formats import check_pixels
from vdsrlib.imaging.metadata import IPTC_RESOURCE, Metadata, exif_orientation

SIGNATURE = b"\x89PNG\r\n\x1a\n"
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Samples of a pixel, by the header's colour type."""
GREY, RGB, PALETTE = 0, 2, 3

XMP_KEYWORD = b"XML:com.adobe.xmp"
RAW_IPTC = b"Raw profile type iptc"
COLOUR_CHUNKS = (b"gAMA", b"cHRM", b"sRGB", b"cICP", b"mDCV", b"cLLI")
"""Chunks that say what samples mean, where there is no profile."""
MEANS_SRGB = {
    b"gAMA": struct.pack(">I", 45_455),
    b"cHRM": struct.pack(">8I", 31_270, 32_900, 64_000, 33_000, 30_000, 60_000, 15_000, 6_000),
}
"""Those of them that say what everybody assumes."""

LARGEST_CHUNK = 2**26
"""Bytes that a compressed chunk of metadata may unpack to: more is no profile, and no text to keep."""

ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
"""First row, first column, and the steps between rows and columns, of each pass of an interlaced image."""


class Header(NamedTuple):
    """The IHDR chunk."""

    width: int
    height: int
    depth: int
    colour: int
    compression: int
    filters: int
    interlaced: int


def read_png(path: str | Path, max_pixels: int) -> Decoded | None:
    """Decode a PNG file; return None for any other."""
    with Path(path).open("rb") as file:
        head = file.read(33)
        if not head.startswith(SIGNATURE) or head[12:16] != b"IHDR" or len(head) < 33:
            return None
        header = Header(*struct.unpack_from(">IIBBBBB", head, 16))
        if header.colour not in CHANNELS or not header.width or not header.height:
            raise SyntaxError("its header is damaged")
        check_pixels(path, header.height, header.width, max_pixels)
        chunks = [*_chunks(memoryview(head + file.read()))]
    named = dict(reversed(chunks))  # the first of each kind counts
    essential = [SIGNATURE, chunk(b"IHDR", head[16:29])]
    if header.colour == PALETTE:
        essential += [chunk(kind, named[kind]) for kind in (b"PLTE", b"tRNS") if kind in named]
    idat = [data for kind, data in chunks if kind == b"IDAT"]
    icc = _profile(named)
    if header.depth == 16 and header.interlaced:
        samples = _decode_passes(header, idat)
    else:
        content = b"".join([*essential, *(chunk(b"IDAT", data) for data in idat), chunk(b"IEND", b"")])
        samples = _decode(header, content)
    samples = _keyed(samples, header, named.get(b"tRNS"))
    metadata = _metadata(chunks)
    notes = frames_note(_frames(chunks))
    return Decoded(samples, exif_orientation(metadata.exif), icc=icc, notes=notes, metadata=metadata)


def _chunks(content: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Yield kind and content of the chunks, up to the end or to where the file is cut."""
    at = len(SIGNATURE)
    while at + 8 <= len(content):
        size, kind = struct.unpack_from(">I4s", content, at)
        data, checksum = content[at + 8 : at + 8 + size], content[at + 8 + size : at + 12 + size]
        whole, critical = len(checksum) == 4, not kind[0] & 0x20
        if whole and critical and struct.pack(">I", zlib.crc32(data, zlib.crc32(kind))) != checksum:
            raise SyntaxError(f"its chunk {kind.decode('latin-1')} is damaged")
        if whole or critical:
            yield kind, data
        at += 12 + size


def chunk(kind: bytes, data: bytes | memoryview) -> bytes:
    """Make a chunk of a PNG file."""
    return b"".join(
        [struct.pack(">I", len(data)), kind, data, struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))]
    )


def _decode(header: Header, content: bytes) -> np.ndarray:
    if header.depth == 16:  # of which Pillow keeps 8 bits
        return imagecodecs.png_decode(content)
    with open_with_pillow(BytesIO(content)) as file:
        file.load()
        return pillow_samples(file, None)[0]


def _decode_passes(header: Header, idat: list[memoryview]) -> np.ndarray:
    """Decode an interlaced image of 16 bits: each pass as an image of its own.

    libpng warns on stderr where imagecodecs decodes them at once.
    """
    samples = np.empty((header.height, header.width, CHANNELS[header.colour]), np.uint16)
    parts = [samples[top::down, left::across] for top, left, down, across in ADAM7]
    sizes = [part.shape[0] * (1 + part[0].nbytes) if part.size else 0 for part in parts]
    rows = memoryview(zlib.decompressobj().decompress(b"".join(idat), sum(sizes)))
    if len(rows) < sum(sizes):
        raise EOFError("it ends before its pixels do")
    for part, size in zip(parts, sizes, strict=True):
        if size:
            own = header._replace(height=part.shape[0], width=part.shape[1], interlaced=0)
            content = [SIGNATURE, chunk(b"IHDR", struct.pack(">IIBBBBB", *own))]
            content += [chunk(b"IDAT", zlib.compress(rows[:size], 0)), chunk(b"IEND", b"")]
            part[:] = imagecodecs.png_decode(b"".join(content)).reshape(part.shape)
            rows = rows[size:]
    return samples


def _keyed(samples: np.ndarray, header: Header, key: memoryview | None) -> np.ndarray:
    """Add alpha to an image with a colour key: the pixels of that colour are transparent."""
    count = CHANNELS[header.colour]
    if header.colour not in (GREY, RGB) or key is None or len(key) != 2 * count:
        return samples
    top = 2**header.depth - 1
    values = np.frombuffer(key, ">u2") & top  # further bits do not count
    scale = 1 if header.depth >= 8 else 255 // top  # decoders spread few bits over 0..255
    samples = np.atleast_3d(samples)
    clear = (samples == (values * scale).astype(samples.dtype)).all(axis=-1)
    opaque = np.iinfo(samples.dtype).max
    return np.dstack([samples, np.where(clear, 0, opaque).astype(samples.dtype)])


def _profile(named: dict[bytes, memoryview]) -> bytes | None:
    """Unpack the colour profile; None where there is none, or it is damaged."""
    _, _, packed = bytes(named.get(b"iCCP", b"")).partition(b"\0")
    try:
        return zlib.decompressobj().decompress(packed[1:], LARGEST_CHUNK) or None
    except zlib.error:
        return None


def _metadata(chunks: list[tuple[bytes, memoryview]]) -> Metadata:
    """Collect what the chunks before and behind the pixels say."""
    named = {kind: bytes(data) for kind, data in reversed(chunks) if kind != b"IDAT"}
    texts = dict(_text(kind, bytes(data)) for kind, data in chunks if kind in (b"tEXt", b"zTXt", b"iTXt"))
    exif = named.get(b"eXIf") or _raw_profile(texts, b"exif") or _raw_profile(texts, b"APP1")
    resolution = named.get(b"pHYs", b"")
    across, down, unit = struct.unpack(">IIB", resolution) if len(resolution) == 9 else (0, 0, 0)
    return Metadata(
        exif.removeprefix(b"Exif\0\0") or None,
        texts.get(XMP_KEYWORD),
        _iptc(_raw_profile(texts, b"iptc")),
        (across * 0.0254, down * 0.0254) if unit == 1 and across and down else None,
        {kind: named[kind] for kind in COLOUR_CHUNKS if kind in named},
    )


def _text(kind: bytes, data: bytes) -> tuple[bytes, bytes]:
    """Return the keyword and the text of a chunk; no text where it is damaged or far too long."""
    keyword, _, text = data.partition(b"\0")
    packed = kind == b"zTXt"
    if kind == b"iTXt":
        packed = text[:1] == b"\1"
        text = b"\0".join(text[2:].split(b"\0", 2)[2:])  # behind a language and a translated keyword
    elif packed:
        text = text[1:]
    try:
        return keyword, zlib.decompressobj().decompress(text, LARGEST_CHUNK) if packed else text
    except zlib.error:
        return keyword, b""


def _raw_profile(texts: Mapping[bytes, bytes], name: bytes) -> bytes:
    """Return what ImageMagick's programs write as hexadecimal digits: a name, a length, the digits."""
    parts = texts.get(b"Raw profile type " + name, b"").split()
    try:
        return bytes.fromhex(b"".join(parts[2:]).decode("ascii"))
    except ValueError:
        return b""


def _iptc(resources: bytes) -> bytes | None:
    """Find IPTC's records among Photoshop's resources."""
    at = resources.find(struct.pack(">4sH", b"8BIM", IPTC_RESOURCE))
    if at < 0 or len(resources) < at + 12:
        return None
    size = int.from_bytes(resources[at + 8 : at + 12], "big")
    return resources[at + 12 : at + 12 + size] or None


def _frames(chunks: list[tuple[bytes, memoryview]]) -> int:
    """Count the pictures: those of an animation, and one that stands apart from it."""
    kinds = [kind for kind, _ in chunks]
    control = next((data for kind, data in chunks if kind == b"acTL" and len(data) == 8), None)
    if control is None or b"IDAT" not in kinds:
        return 1
    return int.from_bytes(control[:4], "big") + (b"fcTL" not in kinds[: kinds.index(b"IDAT")])
