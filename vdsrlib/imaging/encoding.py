"""Encode samples as PNG, JPEG, WebP, TIFF or BMP, with as much of the metadata as the format holds."""

import struct
import warnings
import zlib
from dataclasses import dataclass
from io import SEEK_END, BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import imagecodecs
import numpy as np
import tifffile
from PIL import Image
from PIL.ExifTags import IFD, Base
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from vdsrlib.errors import InputError
from vdsrlib.imaging.formats import FORMATS
from vdsrlib.imaging.metadata import EXIF_TEXTS, IPTC_RESOURCE, NODATA, Metadata
from vdsrlib.imaging.png import RAW_IPTC, XMP_KEYWORD, chunk

LONGEST_SEGMENT = 65_533
"""Bytes in a segment of a JPEG file, beside its length."""
XMP_TAG, IPTC_TAG = 700, 33723


@dataclass(frozen=True)
class EncodingOptions:
    """How to write an image.

    Attributes:
        quality: of JPEG and lossy WebP, 1 to 100.
        lossless: write WebP without loss; JPEG is refused.
        strip: leave out EXIF, XMP, IPTC and the resolution. What the samples mean, the colour profile, stays.

    Raises:
        InputError: the quality is out of its range.
    """

    quality: int = 95
    lossless: bool = False
    strip: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.quality <= 100:
            raise InputError(f"quality must be from 1 to 100, got {self.quality}")

    def check(self, path: str | Path) -> None:
        """Raise InputError if no file of this name can be written so; ask before a long computation."""
        if self.lossless and FORMATS.get(Path(path).suffix.lower()) == "JPEG":
            raise InputError(f"{path}: JPEG loses samples; write .png, .webp or .tif without loss.")


DEFAULT_ENCODING = EncodingOptions()


@dataclass(frozen=True)
class Content:
    """What to encode, and how.

    Attributes:
        samples: uint8 or uint16, H x W, or H x W x (2: grey, 3 or 4: RGB); an even number ends with alpha.
        icc: the colour profile, or None.
        metadata: of these samples.
        options: how.
    """

    samples: np.ndarray
    icc: bytes | None
    metadata: Metadata
    options: EncodingOptions


def write_png(path: Path, content: Content) -> list[str]:
    """Write a PNG file; return the names of what it cannot hold."""
    metadata, icc = content.metadata, content.icc
    if content.samples.dtype == np.uint16:
        png = bytes(imagecodecs.png_encode(content.samples))
    else:
        png = _with_pillow(content.samples, "PNG")
    more = [chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(icc))] if icc else []
    more += [chunk(*item) for item in metadata.png_colour.items() if not (icc and item[0] == b"sRGB")]
    if metadata.dpi:
        metres = [round(dpi / 0.0254) for dpi in metadata.dpi]
        more.append(chunk(b"pHYs", struct.pack(">IIB", *metres, 1)))
    if metadata.exif:
        more.append(chunk(b"eXIf", metadata.exif))
    if metadata.xmp:
        more.append(chunk(b"iTXt", XMP_KEYWORD + bytes(5) + metadata.xmp))
    if metadata.iptc:
        resource = photoshop_resource(metadata.iptc)
        text = f"\niptc\n{len(resource):8}\n{resource.hex()}\n"
        more.append(chunk(b"zTXt", RAW_IPTC + bytes(2) + zlib.compress(text.encode())))
    path.write_bytes(b"".join([png[:33], *more, png[33:]]))  # behind the header
    return []


def write_jpeg(path: Path, content: Content) -> list[str]:
    """Write a JPEG file, with colour at full resolution; return the names of what it cannot hold."""
    metadata, lost, quality = content.metadata, [], content.options.quality
    options = {"dpi": tuple(round(dpi) for dpi in metadata.dpi)} if metadata.dpi else {}
    icc = {"icc_profile": content.icc} if content.icc else {}
    jpeg = _with_pillow(content.samples, "JPEG", quality=quality, subsampling=0, **options, **icc)
    segments = b""
    for name, marker, data in (
        ("EXIF", 0xE1, metadata.exif and b"Exif\0\0" + metadata.exif),
        ("XMP", 0xE1, metadata.xmp and b"http://ns.adobe.com/xap/1.0/\0" + metadata.xmp),
        ("IPTC", 0xED, metadata.iptc and b"Photoshop 3.0\0" + photoshop_resource(metadata.iptc)),
    ):
        if data and len(data) > LONGEST_SEGMENT:
            lost.append(name)
        elif data:
            segments += struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data
    begin = 4 + int.from_bytes(jpeg[4:6], "big")  # behind JFIF's own segment
    path.write_bytes(jpeg[:begin] + segments + jpeg[begin:])
    return lost


def write_webp(path: Path, content: Content) -> list[str]:
    """Write a WebP file; return the names of what it cannot hold."""
    metadata, lossless = content.metadata, content.options.lossless
    exif = metadata.exif or (_exif_of_resolution(metadata.dpi) if metadata.dpi else None)
    more = {"icc_profile": content.icc, "exif": exif, "xmp": metadata.xmp}
    kept: dict[str, Any] = {name: value for name, value in more.items() if value}
    kept["quality"] = 100 if lossless else content.options.quality
    path.write_bytes(_with_pillow(content.samples, "WEBP", lossless=lossless, exact=True, **kept))
    return ["IPTC"] if metadata.iptc else []


def write_bmp(path: Path, content: Content) -> list[str]:
    """Write a BMP file; return the names of what it cannot hold."""
    metadata = content.metadata
    options = {"dpi": metadata.dpi} if metadata.dpi else {}
    path.write_bytes(_with_pillow(content.samples, "BMP", **options))
    held = {"EXIF": metadata.exif, "XMP": metadata.xmp, "IPTC": metadata.iptc}
    return [name for name, value in held.items() if value]


def write_tiff(path: Path, content: Content) -> list[str]:
    """Write a TIFF file, compressed without loss; return the names of what it cannot hold."""
    metadata, samples = content.metadata, content.samples
    taken_apart = _tags_of_exif(metadata.exif)
    texts, inner = taken_apart or ({}, {})
    tags: list[tuple] = [(tag, 2, 0, text, True) for tag, text in texts.items()]
    for code, data in ((XMP_TAG, metadata.xmp), (IPTC_TAG, metadata.iptc)):
        if data:
            tags.append((code, 7 if code == IPTC_TAG else 1, len(data), data, True))
    if metadata.nodata is not None:
        tags.append((NODATA, 2, 0, f"{metadata.nodata:.17g}", True))
    count = 1 if samples.ndim == 2 else samples.shape[2]
    tifffile.imwrite(
        path,
        samples,
        byteorder="<",
        photometric="minisblack" if count < 3 else "rgb",
        extrasamples=["unassalpha"] * (count in (2, 4)),
        compression="zlib",
        iccprofile=content.icc,
        metadata=None,
        software=False,
        extratags=sorted(tags),
        resolution=metadata.dpi,
        resolutionunit="INCH" if metadata.dpi else None,
    )
    kept = taken_apart is not None and (not inner or _append_directories(path, inner))
    return [] if kept else ["EXIF"]


def photoshop_resource(iptc: bytes) -> bytes:
    """Wrap IPTC's records as a resource of Photoshop's, as JPEG and PNG hold them."""
    return struct.pack(">4sHHI", b"8BIM", IPTC_RESOURCE, 0, len(iptc)) + iptc + bytes(len(iptc) % 2)


def _with_pillow(samples: np.ndarray, kind: str, **options: Any) -> bytes:
    buffer = BytesIO()
    Image.fromarray(samples).save(buffer, kind, **options)
    return buffer.getvalue()


def _tags_of_exif(content: bytes | None) -> tuple[dict[int, bytes], dict[int, ImageFileDirectory_v2]] | None:
    """Take EXIF apart for TIFF: its texts, and its directories; None where it is damaged."""
    exif, directories = Image.Exif(), {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exif.load(content or b"")
            # Pillow decoded texts as Latin-1, whatever they were.
            texts = {int(tag): str(exif[tag]).encode("latin-1") for tag in EXIF_TEXTS if tag in exif}
            for tag in (IFD.Exif, IFD.GPSInfo):
                if found := exif.get_ifd(tag):
                    directories[int(tag)] = directory = ImageFileDirectory_v2(b"II*\0\x08\0\0\0")
                    for name, value in found.items():
                        directory[name] = value
                    directory.tobytes(0)  # whether it can be written
    except Exception:  # of many kinds
        return None
    return texts, directories


def _exif_of_resolution(dpi: tuple[float, float]) -> bytes:
    exif = Image.Exif()
    exif[Base.XResolution], exif[Base.YResolution], exif[Base.ResolutionUnit] = *dpi, 2
    return exif.tobytes()


def _append_directories(path: Path, directories: dict[int, ImageFileDirectory_v2]) -> bool:
    """Add directories of tags to a TIFF file, and write the first one anew with them; False for BigTIFF."""
    with path.open("r+b") as file:
        version, first = struct.unpack("<2xHI", file.read(8))
        if version != 42:
            return False
        file.seek(first)
        (count,) = struct.unpack("<H", file.read(2))
        entries, following = [file.read(12) for _ in range(count)], file.read(4)
        for tag, directory in directories.items():
            place = _end(file)
            file.write(directory.tobytes(place))
            entries.append(struct.pack("<HHII", tag, 4, 1, place))
        entries.sort(key=lambda entry: struct.unpack("<H10x", entry))
        place = _end(file)
        file.write(b"".join([struct.pack("<H", len(entries)), *entries, following]))
        file.seek(4)
        file.write(struct.pack("<I", place))
    return True


def _end(file: BinaryIO) -> int:
    """Go to the end of a file, made even, as TIFF wants it."""
    if file.seek(0, SEEK_END) % 2:
        file.write(b"\0")
    return file.tell()
