"""Keep what an image file says of its picture: orientation, colour profile, EXIF, XMP, IPTC, resolution."""

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image, ImageCms
from PIL.ExifTags import IFD, Base, Interop

UPRIGHT = {
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: np.swapaxes(x, 0, 1),
    6: lambda x: np.rot90(x, -1),
    7: lambda x: np.swapaxes(x, 0, 1)[::-1, ::-1],
    8: lambda x: np.rot90(x),
}
"""What turns an array upright, by EXIF's orientation."""
SRGB = ImageCms.createProfile("sRGB")
EXIF_TEXTS = (
    *(Base.ImageDescription, Base.Make, Base.Model, Base.Software, Base.DateTime, Base.Artist),
    Base.Copyright,
)
"""Texts of EXIF that a TIFF file has as tags of its own."""
NODATA = 42113
"""GDAL's tag of a TIFF file: the sample of pixels that hold no value, as a text."""
IPTC_RESOURCE = 0x0404
"""The number of IPTC's records among Photoshop's resources."""


@dataclass(frozen=True)
class Metadata:
    """What a file says of its picture, in the words of the file.

    Attributes:
        exif: a TIFF structure, without the words "Exif" before it; or None.
        xmp: an XML packet; or None.
        iptc: records of the Information Interchange Model; or None.
        dpi: pixels an inch, across and down; or None.
        png_colour: chunks of a PNG file that say what its samples mean beside a profile, by their kind.
        nodata: the sample of pixels that hold no value, as GDAL's tag in a TIFF file names it; or None.
    """

    exif: bytes | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    dpi: tuple[float, float] | None = None
    png_colour: Mapping[bytes, bytes] = field(default_factory=dict)
    nodata: float | None = None

    def updated(self, height: int, width: int) -> "Metadata":
        """Return what is true of an upright picture of another size: without thumbnails, and of that size."""
        return Metadata(
            _updated_exif(self.exif, height, width),
            _updated_xmp(self.xmp, height, width),
            self.iptc,
            self.dpi,
            self.png_colour,
            self.nodata,
        )


NO_METADATA = Metadata()


def from_pillow_info(info: Mapping[Any, Any]) -> Metadata:
    """Collect what Pillow found in a JPEG, WebP, AVIF, GIF or BMP file."""
    exif, xmp, photoshop = info.get("exif"), info.get("xmp"), info.get("photoshop")
    dpi = info.get("dpi")
    return Metadata(
        re.sub(rb"^(Exif\0\0)+", b"", exif) or None if exif else None,
        xmp.encode() if isinstance(xmp, str) else xmp or None,
        photoshop.get(IPTC_RESOURCE) if isinstance(photoshop, dict) else None,
        (float(dpi[0]), float(dpi[1])) if dpi and min(dpi) > 0 else None,
    )


def exif_orientation(content: bytes | None) -> int | None:
    """Return EXIF's orientation, 1 to 8; None where it has none.

    Pillow would also take the orientation in XMP, by which cameras and viewers turn nothing.
    """
    exif = Image.Exif()
    try:
        exif.load(content or b"")
        return exif.get(Base.Orientation)
    except Exception:  # damaged EXIF is no reason to refuse the pixels
        return None


def is_adobe_rgb(content: bytes | None) -> bool:
    """Tell whether EXIF says that the colours are Adobe RGB, as cameras do without a profile."""
    exif = Image.Exif()
    try:
        exif.load(content or b"")
        index = exif.get_ifd(IFD.Interop).get(Interop.InteropIndex)
        return index == "R03" or exif.get_ifd(IFD.Exif).get(Base.ColorSpace) == 2
    except Exception:  # damaged
        return False


def matching_profile(icc: bytes | None, samples: np.ndarray) -> bytes | None:
    """Return the profile if it is one for such samples, which its header says; None otherwise."""
    grey = samples.ndim == 2 or samples.shape[2] == 2
    return icc if icc and icc[16:20] == (b"GRAY" if grey else b"RGB ") else None


def _updated_exif(content: bytes | None, height: int, width: int) -> bytes | None:
    """Set orientation and sizes, and remove the thumbnail; return None for damaged EXIF.

    Everything else stays where it is, since the notes of camera makers refer to places in the file, and
    Pillow would write texts as ASCII.
    """
    if not content:
        return None
    data = bytearray(content)
    order = {b"II": "<", b"MM": ">"}.get(content[:2])
    try:
        if order is None:
            return None
        (first,) = struct.unpack_from(f"{order}I", data, 4)
        places = _places(data, order, first)
        if Base.Orientation in places:
            struct.pack_into(f"{order}HIHH", data, places[Base.Orientation] + 2, 3, 1, 1, 0)
        inner = {}
        if IFD.Exif in places:
            inner = _places(data, order, *struct.unpack_from(f"{order}I", data, places[IFD.Exif] + 8))
        for tags, tag, side in (
            (places, Base.ImageWidth, width),
            (places, Base.ImageLength, height),
            (inner, Base.ExifImageWidth, width),
            (inner, Base.ExifImageHeight, height),
        ):
            if tag in tags:
                struct.pack_into(f"{order}HII", data, tags[tag] + 2, 4, 1, side)
        _remove_thumbnail(data, order, first + 2 + 12 * len(places))
    except struct.error:  # a place behind the end
        return None
    return bytes(data)


def _places(data: bytearray, order: str, directory: int) -> dict[int, int]:
    """Find where the tags of a directory stand."""
    (count,) = struct.unpack_from(f"{order}H", data, directory)
    entries = [directory + 2 + 12 * i for i in range(count)]
    return {struct.unpack_from(f"{order}H10x", data, at)[0]: at for at in entries}


def _remove_thumbnail(data: bytearray, order: str, link: int) -> None:
    """Overwrite the thumbnail's samples and its directory, to which the word at ``link`` refers."""
    (second,) = struct.unpack_from(f"{order}I", data, link)
    struct.pack_into(f"{order}I", data, link, 0)
    if not second:
        return
    places = _places(data, order, second)
    for begin, length in (
        (Base.JpegIFOffset, Base.JpegIFByteCount),
        (Base.StripOffsets, Base.StripByteCounts),
    ):
        if begin in places and length in places:
            at, size = (struct.unpack_from(f"{order}I", data, places[tag] + 8)[0] for tag in (begin, length))
            if at + size >= len(data):
                del data[at:]
            else:
                data[at : at + size] = bytes(size)
    end = second + 2 + 12 * len(places)
    data[second:end] = bytes(len(data[second:end]))


def _updated_xmp(content: bytes | None, height: int, width: int) -> bytes | None:
    if not content:
        return None
    content = re.sub(rb"<(xmp:Thumbnails)\b.*?</\1>", b"", content, flags=re.DOTALL)
    sizes = {"tiff:ImageWidth": width, "exif:PixelXDimension": width}
    sizes |= {"tiff:ImageLength": height, "exif:PixelYDimension": height, "tiff:Orientation": 1}
    for name, value in sizes.items():
        content = re.sub(rb'(%s(?:="|>))\d+' % name.encode(), rb"\g<1>%d" % value, content)
    return content
