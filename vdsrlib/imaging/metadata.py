"""Keep what an image file says of its picture: orientation, colour profile, EXIF, XMP, IPTC, resolution."""

import re
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
    """

    exif: bytes | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    dpi: tuple[float, float] | None = None
    png_colour: Mapping[bytes, bytes] = field(default_factory=dict)

    def updated(self, height: int, width: int) -> "Metadata":
        """Return what is true of an upright picture of another size: without thumbnails, and of that size."""
        return Metadata(
            _updated_exif(self.exif, height, width),
            _updated_xmp(self.xmp, height, width),
            self.iptc,
            self.dpi,
            self.png_colour,
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
    """Set orientation and sizes; the thumbnail is left behind, and so is damaged EXIF."""
    if not content:
        return None
    exif = Image.Exif()
    try:
        exif.load(content)
        inner = exif.get_ifd(IFD.Exif)
        for tags, (across, down) in (
            (exif, (Base.ImageWidth, Base.ImageLength)),
            (inner, (Base.ExifImageWidth, Base.ExifImageHeight)),
        ):
            for tag, side in ((across, width), (down, height)):
                if tag in tags:
                    tags[tag] = side
        if Base.Orientation in exif:
            exif[Base.Orientation] = 1
        return exif.tobytes().removeprefix(b"Exif\0\0")
    except Exception:  # of many kinds
        return None


def _updated_xmp(content: bytes | None, height: int, width: int) -> bytes | None:
    if not content:
        return None
    content = re.sub(rb"<(xmp:Thumbnails)\b.*?</\1>", b"", content, flags=re.DOTALL)
    sizes = {"tiff:ImageWidth": width, "exif:PixelXDimension": width}
    sizes |= {"tiff:ImageLength": height, "exif:PixelYDimension": height, "tiff:Orientation": 1}
    for name, value in sizes.items():
        content = re.sub(rb'(%s(?:="|>))\d+' % name.encode(), rb"\g<1>%d" % value, content)
    return content
