"""Image files, whatever they hold: 8 or 16 bits, transparency, a colour profile, a turned camera.

Files come from anywhere, so nothing is believed: only the decoders of the formats named here are tried, no
image is decoded that has more pixels than a limit, and every failure is one InputError.
"""

import logging
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile
from PIL import Image, ImageCms, ImageFile, UnidentifiedImageError

from vdsrlib import tiff
from vdsrlib.files import InputError, atomic

FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
}
"""What is read and written, by suffix. A file's content, not its name, says what it is."""

READABLE = {**FORMATS, ".gif": "GIF"}

LONGEST_SIDE = {"JPEG": 65_535, "WEBP": 16_383}
WITH_ALPHA = {"PNG", "WEBP", "TIFF"}
WITH_16_BITS = {"PNG", "TIFF"}
MAX_PIXELS = 500_000_000
"""A larger image is refused, read or made, unless the limit is raised: it may be a decompression bomb."""

_TURNED = {  # by EXIF's orientation: what to do with the array
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: np.swapaxes(x, 0, 1),
    6: lambda x: np.rot90(x, -1),
    7: lambda x: np.swapaxes(x, 0, 1)[::-1, ::-1],
    8: lambda x: np.rot90(x),
}
SRGB = ImageCms.createProfile("sRGB")
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


class TooLarge(InputError):
    """An image has, or would have, more pixels than the limit."""


def check_pixels(path: str | Path, height: int, width: int, max_pixels: int) -> None:
    """Raise TooLarge where an image has, or would have, more pixels than the limit."""
    if height * width > max_pixels:
        raise TooLarge(
            f"{path}: {width} x {height} are {height * width / 1e6:.15g} megapixels, and the limit is "
            f"{max_pixels / 1e6:.15g}."
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
            return _picture(samples, orientation_of(file), icc, notes)
        if file.mode.startswith(("I", "F")):
            raise InputError(f"{path} is damaged, or has samples of more than 8 bits that cannot be read.")
        file.load()
        orientation = orientation_of(file)  # Pillow turns TIFF by itself, and then says 1
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
        if tiff.is_cut(page):
            raise InputError(f"{path} cannot be read as an image (it ends before its pixels do).")
        if not tiff.is_wide(page):
            return None
        # a tile is decoded whole
        height, width = max(page.imagelength, page.tilelength), max(page.imagewidth, page.tilewidth)
        check_pixels(path, height, width, max_pixels)
        colours, alpha = tiff.decode(path, page)
        icc, orientation = (page.tags.valueof(tag) for tag in ("InterColorProfile", "Orientation"))
        notes = _first_of(len(file.pages))
    if colours.shape[2] == 4:
        inks = [Image.fromarray(eight_bits(ink)) for ink in np.moveaxis(colours, -1, 0)]
        colours, became = _samples(Image.merge("CMYK", inks), icc)
        alpha = None if alpha is None else eight_bits(alpha)
        notes += [*became, EIGHT_BITS]
    samples = colours if alpha is None else np.dstack([colours, alpha])
    return _picture(samples, orientation, icc, notes)


def _first_of(frames: int) -> list[str]:
    return [f"the first of {frames} frames"] if frames > 1 else []


def _picture(samples: np.ndarray, orientation: int | None, icc: bytes | None, notes: list[str]) -> Picture:
    """A picture of H x W, or H x W x (1 or 2: grey, 3 or 4: RGB) samples, the even ones with alpha."""
    samples = np.atleast_3d(_TURNED.get(orientation or 1, lambda x: x)(samples))
    count = samples.shape[2]
    pixels = np.ascontiguousarray(samples[..., :3] if count > 2 else samples[..., 0])
    alpha = np.ascontiguousarray(samples[..., -1]) if count in (2, 4) else None
    return Picture(pixels, alpha, _fitting(icc, pixels), tuple(notes))


def orientation_of(file: Image.Image) -> int | None:
    """EXIF's orientation of an image, 1 to 8; None where it says none."""
    try:
        return file.getexif().get(0x0112)
    except Exception:  # damaged EXIF is no reason to refuse the pixels
        return None


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


def eight_bits(samples: np.ndarray) -> np.ndarray:
    """uint16 to uint8, rounded; uint8 as it is."""
    return np.rint(samples / 257.0).astype(np.uint8) if samples.dtype == np.uint16 else samples


def _fitting(icc: bytes | None, samples: np.ndarray) -> bytes | None:
    """The profile, if it is one for such samples, with alpha or not: its header names the colour space."""
    grey = samples.ndim == 2 or samples.shape[2] == 2
    return icc if icc and icc[16:20] == (b"GRAY" if grey else b"RGB ") else None


def check_target(path: str | Path, height: int = 1, width: int = 1, *, alpha: bool = False) -> None:
    """Raise InputError where no such image can be written under this name; ask before a long computation."""
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        raise InputError(f"{path}: the name must end in one of {', '.join(sorted(FORMATS))}.")
    kind = FORMATS[suffix]
    if max(height, width) > LONGEST_SIDE.get(kind, 2**31 - 1):
        raise InputError(
            f"{path}: {width} x {height} pixels are more than {suffix} holds, {LONGEST_SIDE[kind]} a side; "
            "write .png instead."
        )
    if alpha and kind not in WITH_ALPHA:
        raise InputError(f"{path}: {suffix} cannot hold transparency; write .png, .webp or .tif instead.")


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
        parts = [eight_bits(part) for part in parts]
        notes.append(EIGHT_BITS)
    # WebP has no grey, and few programs read TIFF that is grey of 16 bits with transparency
    if parts[0].ndim == 2 and (
        kind == "WEBP" or (kind == "TIFF" and len(parts) == 2 and parts[0].dtype == np.uint16)
    ):
        parts[0] = np.dstack([parts[0]] * 3)
    samples = parts[0] if len(parts) == 1 else np.dstack(parts)
    icc = _fitting(picture.icc, samples) if kind != "BMP" else None
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
        path.write_bytes(_with_profile(bytes(imagecodecs.png_encode(samples)), icc))
    else:
        options = {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"quality": 95}}.get(kind, {})
        profile = {"icc_profile": icc} if icc else {}
        Image.fromarray(samples).save(path, kind, **options, **profile)
    return tuple(notes)


def _with_profile(png: bytes, icc: bytes | None) -> bytes:
    """A PNG file with its colour profile, a chunk right behind the header, which is 33 bytes long."""
    if not icc:
        return png
    content = b"iCCPICC profile\0\0" + zlib.compress(icc)
    chunk = struct.pack(">I", len(content) - 4) + content + struct.pack(">I", zlib.crc32(content))
    return png[:33] + chunk + png[33:]
