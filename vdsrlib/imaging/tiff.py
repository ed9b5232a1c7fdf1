"""Read TIFF files: with tifffile the plain ways to write colours, with Pillow the rest of 8 bits a sample."""

import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.ExifTags import IFD
from tifffile import (
    COMPRESSION,
    EXTRASAMPLE,
    PHOTOMETRIC,
    SAMPLEFORMAT,
    TiffFile,
    TiffFileError,
    TiffFrame,
    TiffPage,
)

from vdsrlib.errors import InputError
from vdsrlib.imaging.camera_raw import check_developed
from vdsrlib.imaging.colour import to_eight_bits, to_full_range, unpremultiply
from vdsrlib.imaging.declared_size import declared_size
from vdsrlib.imaging.decoding import Decoded, frames_note, open_with_pillow, pillow_samples
from vdsrlib.imaging.formats import EIGHT_BITS, check_pixels
from vdsrlib.imaging.metadata import EXIF_TEXTS, NODATA, Metadata

COLOURS: dict[int, int] = {
    PHOTOMETRIC.MINISWHITE: 1,
    PHOTOMETRIC.MINISBLACK: 1,
    PHOTOMETRIC.RGB: 3,
    PHOTOMETRIC.SEPARATED: 4,
}
"""Samples of a colour, by the ways to write colours that are read with tifffile."""

PILLOWS = {
    COMPRESSION.NONE,
    COMPRESSION.CCITTRLE,
    COMPRESSION.CCITT_T4,
    COMPRESSION.CCITT_T6,
    COMPRESSION.OJPEG,
    32809,  # ThunderScan
}
"""Compressions of 8 bits a sample that are left to Pillow.

It decodes the first of them by itself, and the others, which tifffile does not know, with libtiff.
"""

WITH_HEADERS = {
    COMPRESSION.JPEG,
    COMPRESSION.PNG,
    COMPRESSION.WEBP,
    COMPRESSION.WEBP_DEPRECATED,
    COMPRESSION.JPEG2000,
    COMPRESSION.JPEG_2000_LOSSY,
    COMPRESSION.APERIO_JP2000_RGB,
    COMPRESSION.JPEGXL,
    COMPRESSION.LERC,
}
"""Compressions whose strips or tiles are images with a size of their own."""

GEO_KEYS = 34735
"""The tag that says where on the Earth an image lies."""

MASK = 4
"""The kind of a page (NewSubfileType) that says where another one is transparent."""

MOST_PADDING = 64
"""Rows and columns by which a strip or tile may be larger than it should."""

MOST_OTHERS = 3
"""Samples beside the colour, at most: they take memory, and no limit on pixels counts them."""


def read_tiff(path: str | Path, max_pixels: int, measurements: bool = False) -> Decoded | None:
    """Decode the first picture of a TIFF file; return None for any other file, and for damaged tables.

    A picture of reduced resolution is a thumbnail, and a transparency mask is none, so both are passed over.

    Args:
        path: the file.
        max_pixels: the most pixels to decode.
        measurements: return signed, 32-bit and floating samples as they are, instead of refusing them.
    """
    try:
        file = TiffFile(path)
    except TiffFileError:
        return None
    with file:
        if not isinstance(next(iter(file.pages), None), TiffPage):
            return None
        chain = _distinct(file.pages)
        below = [sub for page in chain for sub in _distinct(page.pages or ())]
        check_developed(path, chain + below)
        pages = [page for page in chain if not page.is_reduced and not page.subfiletype & MASK]
        # A thumbnail may come first, and the picture below it.
        pages = pages or [page for page in below if not page.is_reduced] or chain
        page = pages[0]
        if is_truncated(page):
            raise InputError(f"{path} cannot be read as an image (it ends before its pixels do).")
        # A tile is decoded whole.
        height, width = max(page.imagelength, page.tilelength), max(page.imagewidth, page.tilewidth)
        check_pixels(path, height, width, max_pixels)
        decoded = None
        if page in chain and not _needs_tifffile(page):
            decoded = _with_pillow(path, chain.index(page))
        decoded = decoded or _with_tifffile(path, page, measurements)
        decoded.orientation = page.tags.valueof("Orientation")
        decoded.metadata = _metadata(file, page)
        decoded.notes[:0] = frames_note(len(pages))
        others = page.samplesperpixel - (_count(page) or page.samplesperpixel)
        others -= decoded.samples.ndim == 3 and decoded.samples.shape[2] in (2, 4)
        if others > 0:
            decoded.notes.append(f"{others} more channel{'s are' if others > 1 else ' is'} left out")
        if page.imagedepth > 1:
            decoded.notes.append(f"the first of {page.imagedepth} slices")
        if GEO_KEYS in page.tags:
            decoded.notes.append("the georeference is left out")
    return decoded


def _metadata(file: TiffFile, page: TiffPage) -> Metadata:
    """Collect EXIF, XMP, IPTC and the resolution from the tags of a page; damaged tags are none."""
    exif, kept = Image.Exif(), Image.Exif()
    try:
        with Path(file.filehandle.path).open("rb") as opened:
            exif.endian, exif.bigtiff = file.byteorder, file.is_bigtiff
            exif.load_from_fp(opened, page.offset)
            for tag in EXIF_TEXTS:
                if tag in exif:
                    kept[tag] = str(exif[tag]).encode("latin-1")  # as Pillow decoded it
            for inner in (IFD.Exif, IFD.GPSInfo):
                if found := exif.get_ifd(inner):
                    kept[inner] = dict(found)
        content = kept.tobytes().removeprefix(b"Exif\0\0") if len(kept) else None
    except Exception:  # of many kinds
        content = None
    xmp, iptc = (_bytes(page.tags.valueof(tag)) for tag in ("XMP", "IPTCNAA"))
    unit = {2: 1.0, 3: 2.54}.get(page.tags.valueof("ResolutionUnit", default=2), 0.0)
    across, down = (_ratio(page.tags.valueof(tag)) for tag in ("XResolution", "YResolution"))
    dpi = (across * unit, down * unit) if across * down * unit > 0 else None
    return Metadata(content, xmp, iptc, dpi, nodata=_number(page.tags.valueof(NODATA)))


def _bytes(value: object) -> bytes | None:
    """Return a tag's value as bytes; some programs write bytes as 32-bit numbers."""
    if isinstance(value, bytes):
        return value or None
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, tuple) and all(isinstance(part, int) for part in value):
        top = max(value, default=0)
        return bytes(value) if top < 256 else np.array(value, "<u4").tobytes()
    return None


def _number(value: object) -> float | None:
    """Read the text of a number."""
    try:
        return float(str(value).rstrip("\0 "))
    except ValueError:
        return None


def _ratio(value: object) -> float:
    above, below = value if isinstance(value, tuple) and len(value) == 2 else (0, 1)
    return above / below if below else 0.0


def _distinct(pages: Iterable[TiffPage | TiffFrame]) -> list[TiffPage]:
    """List pages up to one that stands there already: the chain of a damaged file may lead back."""
    found: dict[int, TiffPage] = {}
    for page in pages:
        if not isinstance(page, TiffPage) or page.offset in found:
            break
        found[page.offset] = page
    return [*found.values()]


def has_high_bit_depth(page: TiffPage) -> bool:
    """Tell whether samples have more than 8 bits, or a sign, which Pillow overlooks in 8 bits."""
    return np.max(page.bitspersample) > 8 or page.sampleformat == SAMPLEFORMAT.INT


def is_truncated(page: TiffPage) -> bool:
    """Tell whether strips or tiles are missing: tifffile makes them black.

    Pillow finds this out by itself where it needs no libtiff, and the tables may then be wrong.
    """
    if page.compression in (COMPRESSION.NONE, COMPRESSION.OJPEG) and not has_high_bit_depth(page):
        return False
    ends = [sum(part) for part in zip(page.dataoffsets, page.databytecounts, strict=False)]
    whole = len(ends) >= math.prod(page.chunked) and all(page.databytecounts)
    return not whole or max(ends) > page.parent.filehandle.size


def _needs_tifffile(page: TiffPage) -> bool:
    """Tell whether Pillow would lose bits, or would use libtiff where tifffile can do it."""
    if has_high_bit_depth(page):
        return True
    return page.compression not in PILLOWS and page.bitspersample == 8 and _count(page) > 0 and not _old(page)


def _count(page: TiffPage) -> int:
    """Count the samples of a colour as tifffile decodes them: 1 (grey), 3 (RGB), 4 (CMYK), or 0 (unknown)."""
    if page.photometric == PHOTOMETRIC.YCBCR and page.compression == COMPRESSION.JPEG:
        return 3  # tifffile makes RGB of it
    return COLOURS.get(page.photometric, 0)


def _old(page: TiffPage) -> bool:
    """Tell whether LZW has its bits the other way round, as before TIFF 6, which libtiff alone decodes."""
    if page.compression != COMPRESSION.LZW or not page.dataoffsets:
        return False
    page.parent.filehandle.seek(page.dataoffsets[0])
    begin = page.parent.filehandle.read(2)
    return begin[:1] == b"\0" and bool(begin[1:] and begin[1] & 1)


def _with_pillow(path: str | Path, index: int) -> Decoded | None:
    """Decode a page with Pillow; return None where it has no name for such samples."""
    try:
        file = open_with_pillow(path)
    except UnidentifiedImageError:
        return None
    with file:
        file.seek(index)
        if file.mode.startswith(("I", "F")):
            raise InputError(f"{path} is damaged, or has samples of more than 8 bits that cannot be read.")
        file.info.pop("xmp", None)  # Pillow would turn the picture by it
        file.load()
        icc = file.info.get("icc_profile") or None
        samples, notes = pillow_samples(file, icc)
        return Decoded(samples, icc=None if file.mode == "CMYK" else icc, notes=notes, upright=True)


def _with_tifffile(path: str | Path, page: TiffPage, measurements: bool) -> Decoded:
    if measurements and _holds_measurements(page):
        _check_segments(path, page)
        planes = page.asarray(squeeze=False)[:, 0]
        samples = np.concatenate([*planes], axis=-1)[..., : COLOURS[page.photometric]]
        return Decoded(samples, icc=page.tags.valueof("InterColorProfile"))
    colours, alpha = _decode(path, page)
    icc, notes = page.tags.valueof("InterColorProfile"), []
    if colours.shape[2] == 4:
        inks = [Image.fromarray(to_eight_bits(ink)) for ink in np.moveaxis(colours, -1, 0)]
        notes = [EIGHT_BITS] if colours.dtype == np.uint16 else []
        colours, became = pillow_samples(Image.merge("CMYK", inks), icc)
        icc, notes = None, [*became, *notes]
        alpha = None if alpha is None else to_eight_bits(alpha)
    samples = colours if alpha is None else np.dstack([colours, alpha])
    return Decoded(samples, icc=icc, notes=notes)


def _holds_measurements(page: TiffPage) -> bool:
    """Tell whether samples are numbers for which no black and white are agreed."""
    return (
        page.photometric in (PHOTOMETRIC.MINISBLACK, PHOTOMETRIC.RGB)
        and page.dtype is not None
        and page.dtype.kind in "iuf"
        and page.dtype not in (np.uint8, np.uint16)
        and page.imagedepth == 1
    )


def _decode(path: str | Path, page: TiffPage) -> tuple[np.ndarray, np.ndarray | None]:
    """Decode the colours and the opacity of a page.

    Returns:
        colours: uint8 or uint16, H x W x (1: grey, 3: RGB, 4: CMYK); 0 is black, or no ink.
        alpha: H x W of the same type, 0 where transparent; or None. Colours are not multiplied by it.

    Raises:
        InputError: the samples are of another kind.
    """
    count = _count(page)
    others = page.samplesperpixel - count
    # An extra sample of no stated kind is alpha, as Pillow has it in files of 8 bits.
    kinds = page.extrasamples or (EXTRASAMPLE.UNASSALPHA,) * (others == 1)
    known = count and len(kinds) == others <= MOST_OTHERS
    if not known or page.dtype not in (np.uint8, np.uint16) or page.imagedepth != 1:
        name = getattr(page.photometric, "name", page.photometric)
        raise InputError(
            f"{path} has {page.bitspersample}-bit samples of a kind that cannot be read "
            f"({page.samplesperpixel} x {page.dtype}, {name}); "
            "save it as 8- or 16-bit grey or RGB."
        )
    _check_segments(path, page)
    planes = page.asarray(squeeze=False)[:, 0]  # one with all samples, or one for each of them
    samples = np.concatenate([*planes], axis=-1)
    samples, full = to_full_range(samples, page.bitspersample), np.iinfo(samples.dtype).max
    colours, alpha = samples[..., :count], None
    for i, kind in enumerate(kinds, start=count):
        if kind in (EXTRASAMPLE.ASSOCALPHA, EXTRASAMPLE.UNASSALPHA):
            alpha = samples[..., i]
            if kind == EXTRASAMPLE.ASSOCALPHA:
                colours = unpremultiply(colours, alpha)
            break
    return full - colours if page.photometric == PHOTOMETRIC.MINISWHITE else colours, alpha


def _check_segments(path: str | Path, page: TiffPage) -> None:
    """Raise InputError if a strip or tile claims more pixels than it has: its decoder would believe it."""
    if page.compression not in WITH_HEADERS:
        return
    height, width = page.tilelength, page.tilewidth
    if not page.is_tiled:
        height, width = min(page.rowsperstrip, page.imagelength), page.imagewidth
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
        page.parent.filehandle.seek(offset)
        found = declared_size(page.parent.filehandle.read(count))
        # The last strip of some programs is as high as the others.
        if found and (found[0] > height + MOST_PADDING or found[1] > width + MOST_PADDING):
            raise InputError(f"{path} is damaged: a part of {width} x {height} pixels claims to be larger.")
