"""Image files, whatever they hold: 8 or 16 bits, transparency, a colour profile, a turned camera.

Files come from anywhere, so nothing is believed: only the decoders of the formats named here are tried, no
image is decoded that has more pixels than a limit, and every failure is one InputError.
"""

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile
from PIL import Image, ImageCms, ImageFile, UnidentifiedImageError

from vdsrlib.errors import InputError
from vdsrlib.imaging import tiff
from vdsrlib.imaging.colour import to_eight_bits, to_uint8
from vdsrlib.imaging.formats import FORMATS, MAX_PIXELS, READABLE, WITH_16_BITS, check_pixels, check_target
from vdsrlib.imaging.metadata import SRGB, UPRIGHT, exif_orientation, insert_png_profile, matching_profile
from vdsrlib.utils.atomic import atomic

EIGHT_BITS = "16 bits became 8"
_DECODERS = [logging.getLogger(name) for name in ("PIL", "tifffile")]
_NOWHERE = logging.NullHandler()
_lock = threading.Lock()


@dataclass(frozen=True)
class Picture:
    """What an image file holds.

    Attributes:
        pixels: uint8 or uint16, H x W (grey) or H x W x 3 (RGB), upright.
        alpha: H x W of the same type, 0 where transparent; or None.
        icc: the colour profile that pixels are in, as it stands in files; or None.
        notes: what was changed or left out in reading or writing, each a few words for people.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None = None
    icc: bytes | None = None
    notes: tuple[str, ...] = ()


def read_picture(path: str | Path, max_pixels: int = MAX_PIXELS) -> Picture:
    """Decode an image file: the first frame of it, whole, and upright by its EXIF orientation.

    Palettes are expanded, and 9 to 15 bits become 16. CMYK becomes sRGB of 8 bits by the file's profile, or
    plainly where it has none that is sound.

    Raises:
        InputError: there is no such file, it cannot be decoded whole, it has samples of more than 16 bits or
            of a kind that is not known here, or more pixels than ``max_pixels``.
    """
    with _decoding(path):
        return _read_wide_tiff(path, max_pixels) or _read(path, max_pixels)


def open_image(path: str | Path) -> ImageFile.ImageFile:
    """Read the header alone, of an image that Pillow knows.

    Raises:
        InputError: there is no such file, or it is no such image.
    """
    with _decoding(path):
        return _open(path)


def _open(path: str | Path) -> ImageFile.ImageFile:
    file = Image.open(path, formats=[*dict.fromkeys(READABLE.values())])
    assert isinstance(file, ImageFile.ImageFile)
    file.filename = ""  # by which Pillow would map a file into memory: a turned TIFF with its sides swapped
    return file


@contextmanager
def _decoding(path: str | Path) -> Iterator[None]:
    """Decoders raise SyntaxError, struct.error, EOFError, MemoryError and more: make it one sentence.

    They also warn of what they repair, which is not printed, and Pillow has a limit of its own, which cannot
    be raised for one call and gives way to ours. All this is set for the whole process, and put back: one
    image is decoded at a time.
    """
    with _lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in _DECODERS:
            logger.addHandler(_NOWHERE)  # or Python prints what has no handler
        kept, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            _check_file(path)
            yield
        except InputError:
            raise
        except UnidentifiedImageError as error:
            *others, last = dict.fromkeys(READABLE.values())
            raise InputError(
                f"{path} cannot be read as an image: it is damaged, or none of the {', '.join(others)} and "
                f"{last} images that can be read."
            ) from error
        except Exception as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise InputError(f"{path} cannot be read as an image ({reason}).") from error
        finally:
            Image.MAX_IMAGE_PIXELS = kept
            for logger in _DECODERS:
                logger.removeHandler(_NOWHERE)


def _check_file(path: str | Path) -> None:
    if not Path(path).is_file():
        if Path(path).is_dir():
            raise InputError(f"{path} is a folder; give the name of one image in it.")
        raise InputError(
            f"{path} is a pipe or a device; write its content to a file first."
            if Path(path).exists()
            else f"There is no image {path}."
        )


def _read(path: str | Path, max_pixels: int) -> Picture:
    """Any image but those of ``_read_wide_tiff``."""
    with _open(path) as file:
        check_pixels(path, *file.size[::-1], max_pixels)
        # a camera's JPEG holds previews
        notes = _first_of(1 if file.format == "MPO" else getattr(file, "n_frames", 1))
        icc = file.info.get("icc_profile") or None
        if file.format == "PNG" and ";16" in str(file.tile):  # Pillow would lose bits, or a colour key
            samples = imagecodecs.png_decode(Path(path).read_bytes())
            return _picture(samples, exif_orientation(file), icc, notes)
        if file.mode.startswith(("I", "F")):
            raise InputError(f"{path} is damaged, or has samples of more than 8 bits that cannot be read.")
        file.load()
        orientation = exif_orientation(file)  # Pillow turns TIFF by itself, and then says 1
        samples, became = _samples(file, icc)
        return _picture(samples, orientation, icc, notes + became)


def _read_wide_tiff(path: str | Path, max_pixels: int) -> Picture | None:
    """A TIFF of more than 8 bits; None for any other image."""
    try:
        file = tifffile.TiffFile(path)
    except tifffile.TiffFileError:  # another format
        return None
    with file:
        page = next(iter(file.pages), None)
        if not isinstance(page, tifffile.TiffPage):  # damaged, of which Pillow knows more
            return None
        if tiff.is_truncated(page):
            raise InputError(f"{path} cannot be read as an image (it ends before its pixels do).")
        if not tiff.has_high_bit_depth(page):
            return None
        # a tile is decoded whole
        height, width = max(page.imagelength, page.tilelength), max(page.imagewidth, page.tilewidth)
        check_pixels(path, height, width, max_pixels)
        colours, alpha = tiff.decode(path, page)
        icc, orientation = (page.tags.valueof(tag) for tag in ("InterColorProfile", "Orientation"))
        notes = _first_of(len(file.pages))
    if colours.shape[2] == 4:
        inks = [Image.fromarray(to_eight_bits(ink)) for ink in np.moveaxis(colours, -1, 0)]
        colours, became = _samples(Image.merge("CMYK", inks), icc)
        alpha = None if alpha is None else to_eight_bits(alpha)
        notes += [*became, EIGHT_BITS]
    samples = colours if alpha is None else np.dstack([colours, alpha])
    return _picture(samples, orientation, icc, notes)


def _first_of(frames: int) -> list[str]:
    return [f"the first of {frames} frames"] if frames > 1 else []


def _picture(samples: np.ndarray, orientation: int | None, icc: bytes | None, notes: list[str]) -> Picture:
    """A picture of H x W, or H x W x (1 or 2: grey, 3 or 4: RGB) samples, the even ones with alpha."""
    samples = np.atleast_3d(UPRIGHT.get(orientation or 1, lambda x: x)(samples))
    count = samples.shape[2]
    pixels = np.ascontiguousarray(samples[..., :3] if count > 2 else samples[..., 0])
    alpha = np.ascontiguousarray(samples[..., -1]) if count in (2, 4) else None
    return Picture(pixels, alpha, matching_profile(icc, pixels), tuple(notes))


def _samples(image: Image.Image, icc: bytes | None) -> tuple[np.ndarray, list[str]]:
    """As ``_picture`` takes them, of 8 bits; and notes."""
    if image.mode == "CMYK" and icc:
        try:
            source = ImageCms.ImageCmsProfile(BytesIO(icc))
            converted = ImageCms.profileToProfile(image, source, SRGB, outputMode="RGB")
            assert converted is not None
            return np.asarray(converted), ["CMYK became RGB by its profile"]
        except (OSError, ImageCms.PyCMSError):
            pass  # a damaged profile
    grey = image.mode in ("1", "L", "LA", "La")
    clear = "transparency" in image.info or image.mode in ("LA", "La", "PA", "RGBA", "RGBa")
    mode = ("L" if grey else "RGB") + ("A" if clear else "")
    notes = [f"{image.mode} became RGB"] if image.mode in ("CMYK", "YCbCr", "LAB") else []
    return np.asarray(image.convert(mode)), notes


def write_picture(path: str | Path, picture: Picture, *, replace: bool = True) -> None:
    """Encode an image file, atomically; the suffix chooses the format; ``replace`` as in ``files.atomic``.

    PNG and TIFF are lossless and keep 16 bits; the others get the upper 8. JPEG and WebP are written at
    quality 95, JPEG with colour at full resolution. BMP holds no profile.

    Raises:
        InputError: as in ``check_target``, the place cannot be written, or the file may not be replaced.
    """
    check_target(path, *picture.pixels.shape[:2], alpha=picture.alpha is not None)
    with atomic(path, replace=replace) as temporary:
        encode(temporary, picture)


def encode(path: Path, picture: Picture) -> tuple[str, ...]:
    """``write_picture`` without its checks, in place; returns what the format cannot hold, as notes."""
    kind = FORMATS[path.suffix.lower()]
    notes = []
    parts = [picture.pixels] if picture.alpha is None else [picture.pixels, picture.alpha]
    if kind not in WITH_16_BITS and picture.pixels.dtype == np.uint16:
        parts = [to_eight_bits(part) for part in parts]
        notes.append(EIGHT_BITS)
    # WebP has no grey, and few programs read TIFF that is grey of 16 bits with transparency
    if parts[0].ndim == 2 and (
        kind == "WEBP" or (kind == "TIFF" and len(parts) == 2 and parts[0].dtype == np.uint16)
    ):
        parts[0] = np.dstack([parts[0]] * 3)
    samples = parts[0] if len(parts) == 1 else np.dstack(parts)
    icc = matching_profile(picture.icc, samples) if kind != "BMP" else None
    if picture.icc and not icc:
        notes.append("the colour profile is left out")
    if kind == "TIFF":
        tifffile.imwrite(
            path,
            samples,
            photometric="minisblack" if parts[0].ndim == 2 else "rgb",
            extrasamples=["unassalpha"] * (len(parts) - 1),
            compression="zlib",
            iccprofile=icc,
            metadata=None,
        )
    elif kind == "PNG" and samples.dtype == np.uint16:
        path.write_bytes(insert_png_profile(bytes(imagecodecs.png_encode(samples)), icc))
    else:
        options = {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"quality": 95}}.get(kind, {})
        profile = {"icc_profile": icc} if icc else {}
        Image.fromarray(samples).save(path, kind, **options, **profile)
    return tuple(notes)


def read_image(path: str | Path, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Decode an image to uint8, H x W (grey) or H x W x 3: ``picture.read_picture``, and no more than that.

    Transparency is dropped, and 16-bit samples are reduced to 8.

    Raises:
        InputError: the file is missing, is no image that can be decoded whole, or is too large.
    """
    return read_with_notes(path, max_pixels)[0]


def read_with_notes(path: str | Path, max_pixels: int = MAX_PIXELS) -> tuple[np.ndarray, tuple[str, ...]]:
    """``read_image``, and what that changed or left out, each a few words for people."""
    picture = read_picture(path, max_pixels)
    alpha, notes = picture.alpha, picture.notes
    if alpha is not None and (alpha != np.iinfo(alpha.dtype).max).any():
        notes += ("transparency is dropped",)
    if picture.pixels.dtype == np.uint16:
        notes += ("16-bit samples are reduced to 8",)
    return to_eight_bits(picture.pixels), notes


def save_image(path: str | Path, image: np.ndarray, *, replace: bool = True) -> None:
    """Write a uint8 or [0, 1] float image, atomically; the suffix chooses the format.

    Raises:
        InputError: the suffix is unknown, the format or the place cannot take it, or there is such a file
            and it may not be replaced.
    """
    write_picture(path, Picture(to_uint8(image)), replace=replace)
