"""Read and write image files: 8 or 16 bits, with transparency, a colour profile, or from a turned camera.

Files come from anywhere, so nothing is believed. Only the decoders of the formats named here are tried, no
image with more pixels than a limit is decoded, and every failure is one InputError.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile

from vdsrlib.imaging.arrays import split_alpha
from vdsrlib.imaging.camera_raw import check_not_raw
from vdsrlib.imaging.colour import to_eight_bits, to_uint8
from vdsrlib.imaging.decoding import decoding, open_with_pillow, read_with_pillow
from vdsrlib.imaging.encoding import (
    DEFAULT_ENCODING,
    Content,
    EncodingOptions,
    write_bmp,
    write_jpeg,
    write_png,
    write_tiff,
    write_webp,
)
from vdsrlib.imaging.formats import EIGHT_BITS, FORMATS, MAX_PIXELS, WITH_16_BITS, check_pixels, check_target
from vdsrlib.imaging.metadata import (
    NO_METADATA,
    UPRIGHT,
    Metadata,
    is_adobe_rgb,
    matching_profile,
)
from vdsrlib.imaging.modern import read_avif, read_heic, read_jpegxl
from vdsrlib.imaging.png import MEANS_SRGB, read_png
from vdsrlib.imaging.tiff import read_tiff
from vdsrlib.utils.atomic import atomic
from vdsrlib.utils.paths import user_path


@dataclass(frozen=True, repr=False)
class Picture:
    """The content of an image file.

    Attributes:
        pixels: uint8 or uint16, H x W (grey) or H x W x 3 (RGB), upright; another type of number only where
            a reader asked for measurements.
        alpha: H x W of the same type, 0 where transparent; or None.
        icc: the colour profile of the pixels, as it stands in files; or None.
        notes: what reading or writing changed or left out, each a few words for people.
        turned: whether the file has the pixels in another orientation, which its EXIF tells.
        metadata: what else the file says of its picture; writing brings it up to date.
        measured: whether samples are mere numbers, such as elevations, without black and white.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None = None
    icc: bytes | None = None
    notes: tuple[str, ...] = ()
    turned: bool = False
    metadata: Metadata = NO_METADATA
    measured: bool = False

    def __repr__(self) -> str:
        height, width = self.pixels.shape[:2]
        kind = ("grey" if self.pixels.ndim == 2 else "RGB") + " with alpha" * (self.alpha is not None)
        profile = ", with profile" if self.icc else ""
        notes = "".join(f"; {note}" for note in self.notes)
        return f"<Picture {width} x {height}, {self.pixels.dtype} {kind}{profile}{notes}>"


def read_picture(path: str | Path, max_pixels: int = MAX_PIXELS, *, measurements: bool = False) -> Picture:
    """Decode the first picture of an image file, upright by its EXIF orientation.

    Palettes are expanded, and 9 to 15 bits become 16. CMYK becomes sRGB of 8 bits by the file's profile, or
    by a plain formula where the file has no sound profile.

    Args:
        path: the file.
        max_pixels: the most pixels to decode.
        measurements: read signed, 32-bit and floating samples of a TIFF (elevations, medical images) as they
            are, instead of refusing them.

    Raises:
        InputError: there is no such file, it cannot be decoded whole, it is a camera's raw file, it has
            samples of more than 16 bits or of a kind that is not known here, or more pixels than
            ``max_pixels``.
    """
    path = user_path(path)
    with decoding(path):
        check_not_raw(path)
        decoded = (
            read_png(path, max_pixels)
            or read_tiff(path, max_pixels, measurements)
            or read_jpegxl(path, max_pixels)
            or read_avif(path, max_pixels)
            or read_heic(path, max_pixels)
            or read_with_pillow(path, max_pixels)
        )
        turn = None if decoded.upright else UPRIGHT.get(decoded.orientation or 1)
        samples = np.atleast_3d(turn(decoded.samples) if turn else decoded.samples)
        count = samples.shape[2]
        pixels = np.ascontiguousarray(samples[..., :3] if count > 2 else samples[..., 0])
        alpha = np.ascontiguousarray(samples[..., -1]) if count in (2, 4) else None
    icc = matching_profile(decoded.icc, pixels)
    if decoded.icc and not icc:
        decoded.notes.append("the colour profile is of another kind of image, and left out")
    turned = decoded.orientation in UPRIGHT
    measured = pixels.dtype not in (np.uint8, np.uint16)
    return Picture(pixels, alpha, icc, tuple(decoded.notes), turned, decoded.metadata, measured)


def open_image(path: str | Path) -> ImageFile.ImageFile:
    """Read the header alone of an image that Pillow knows.

    Raises:
        InputError: there is no such file, or it is no such image.
    """
    path = user_path(path)
    with decoding(path):
        return open_with_pillow(path)


def write_picture(
    path: str | Path,
    picture: Picture,
    *,
    replace: bool = True,
    options: EncodingOptions = DEFAULT_ENCODING,
) -> tuple[str, ...]:
    """Encode an image file, atomically; the suffix chooses the format.

    PNG and TIFF are lossless and keep 16 bits; the others get the upper 8. BMP holds no profile.

    Args:
        path: the name.
        picture: what to write.
        replace: whether a file of this name may be lost.
        options: quality, and what to leave out.

    Returns:
        What the format cannot hold, each a few words for people.

    Raises:
        InputError: as in ``check_target``, the place cannot be written, or the file may not be replaced.
    """
    shape = picture.pixels.shape[0], picture.pixels.shape[1]
    with writing(path, picture, shape, options, picture.pixels.size, replace=replace) as write:
        return write(picture)


@contextmanager
def writing(
    path: str | Path,
    picture: Picture,
    shape: tuple[int, int],
    options: EncodingOptions,
    max_pixels: int,
    *,
    replace: bool,
) -> Iterator[Callable[[Picture], tuple[str, ...]]]:
    """Make sure of a file before the work on its picture; yield a function that encodes the result.

    Args:
        path: the name.
        picture: of the type and with the transparency of the result.
        shape: height and width of the result.
        options: quality, and what to leave out.
        max_pixels: the most pixels that the result may have.
        replace: whether a file of this name may be lost.

    Yields:
        What takes the result, and returns the notes of ``write_picture``.

    Raises:
        InputError: as in ``write_picture``, or the result would have more pixels.
    """
    check_target(path, *shape, alpha=picture.alpha is not None, dtype=picture.pixels.dtype)
    options.check(path)
    check_pixels(path, *shape, max_pixels)
    with atomic(path, replace=replace) as temporary:
        yield lambda result: encode(temporary, result, options)


def encode(path: Path, picture: Picture, options: EncodingOptions = DEFAULT_ENCODING) -> tuple[str, ...]:
    """Encode a picture in place, without the checks of ``write_picture``; return notes of what is lost."""
    kind = FORMATS[path.suffix.lower()]
    notes = []
    parts = [picture.pixels] if picture.alpha is None else [picture.pixels, picture.alpha]
    if kind not in WITH_16_BITS and picture.pixels.dtype == np.uint16:
        parts = [to_eight_bits(part) for part in parts]
        notes.append(EIGHT_BITS)
    # WebP has no grey, and few programs read TIFF that is 16-bit grey with transparency.
    if parts[0].ndim == 2 and (
        kind == "WEBP" or (kind == "TIFF" and len(parts) == 2 and parts[0].dtype == np.uint16)
    ):
        parts[0] = np.dstack([parts[0]] * 3)
    samples = parts[0] if len(parts) == 1 else np.dstack(parts)
    icc = matching_profile(picture.icc, samples) if kind != "BMP" else None
    if picture.icc and not icc:
        notes.append("the colour profile is left out")
    elif not icc and (options.strip or kind != "JPEG") and is_adobe_rgb(picture.metadata.exif):
        notes.append("the colours are Adobe RGB, which only EXIF says")
    told = picture.metadata
    if options.strip:
        told = Metadata(png_colour=told.png_colour, nodata=told.nodata)
    metadata = told.updated(*samples.shape[:2])
    lost = WRITERS[kind](path, Content(samples, icc, metadata, options))
    if told.nodata is not None and kind != "TIFF":
        lost.append("the value of missing pixels")
    if told.exif and not metadata.exif:
        lost = ["EXIF, being damaged,", *lost]
    if kind != "PNG" and not icc and b"sRGB" not in metadata.png_colour:
        said = [name.decode() for name, data in metadata.png_colour.items() if MEANS_SRGB.get(name) != data]
        lost += [f"the meaning of colours ({', '.join(said)})"] if said else []
    return (*notes, *(f"{name} is left out" for name in lost))


WRITERS: dict[str, Callable[[Path, Content], list[str]]] = {
    "BMP": write_bmp,
    "JPEG": write_jpeg,
    "PNG": write_png,
    "TIFF": write_tiff,
    "WEBP": write_webp,
}


def read_image(path: str | Path, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Decode an image to uint8, H x W (grey) or H x W x 3.

    Transparency is dropped, and 16-bit samples are reduced to 8.

    Raises:
        InputError: the file is missing, is no image that can be decoded whole, or is too large.
    """
    return read_with_notes(path, max_pixels)[0]


def read_with_notes(path: str | Path, max_pixels: int = MAX_PIXELS) -> tuple[np.ndarray, tuple[str, ...]]:
    """Decode as ``read_image``; also return what that changed or left out, each a few words for people."""
    return plain_pixels(read_picture(path, max_pixels))


def plain_pixels(picture: Picture) -> tuple[np.ndarray, tuple[str, ...]]:
    """Reduce a picture to uint8 pixels without transparency; return them with all notes."""
    alpha, notes = picture.alpha, picture.notes
    if alpha is not None and (alpha != np.iinfo(alpha.dtype).max).any():
        notes += ("transparency is dropped",)
    if picture.pixels.dtype == np.uint16:
        notes += ("16-bit samples are reduced to 8",)
    return to_eight_bits(picture.pixels), notes


def save_image(
    path: str | Path,
    image: np.ndarray | Image.Image,
    *,
    replace: bool = True,
    options: EncodingOptions = DEFAULT_ENCODING,
) -> None:
    """Write an image, atomically; the suffix chooses the format.

    Args:
        path: the name.
        image: as ``as_image`` takes it, or with transparency. Floats are written as 8 bits, uint16 as 16
            where the format holds them.
        replace: whether a file of this name may be lost.
        options: quality.

    Raises:
        InputError: the suffix is unknown, the array is no image, the format or the place cannot take it, or
            there is such a file and it may not be replaced.
    """
    pixels, alpha = (
        part if part is None or part.dtype == np.uint16 else to_uint8(part) for part in split_alpha(image)
    )
    assert pixels is not None
    write_picture(path, Picture(pixels, alpha), replace=replace, options=options)
