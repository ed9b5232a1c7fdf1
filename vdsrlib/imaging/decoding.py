"""Guard the decoders: an image is read in silence, or one sentence says why it cannot be."""

import logging
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageFile, UnidentifiedImageError

from vdsrlib.errors import InputError
from vdsrlib.imaging.formats import PILLOWS, READABLE, check_pixels
from vdsrlib.imaging.metadata import SRGB, Metadata, exif_orientation, from_pillow_info

_LOGGERS = [logging.getLogger(name) for name in ("PIL", "tifffile")]
_NOWHERE = logging.NullHandler()
_lock = threading.Lock()


@dataclass
class Decoded:
    """An image as a decoder returns it.

    Attributes:
        samples: H x W, or H x W x (1 or 2: grey, 3 or 4: RGB); an even number of channels ends with alpha.
        orientation: as EXIF counts, 1 to 8; None where the file says nothing.
        upright: whether the decoder has turned the samples already.
        icc: the colour profile in the file.
        notes: what decoding changed or left out, each a few words for people.
        metadata: what else the file says of its picture.
    """

    samples: np.ndarray
    orientation: int | None = None
    upright: bool = False
    icc: bytes | None = None
    notes: list[str] = field(default_factory=list)
    metadata: Metadata = field(default_factory=Metadata)


@contextmanager
def decoding(path: str | Path) -> Iterator[None]:
    """Turn any failure in the block into an InputError that names ``path``, and print nothing.

    Decoders raise SyntaxError, struct.error, EOFError, MemoryError and more. Pillow also has a limit on
    pixels, which cannot be raised for one call and gives way to ours. These settings belong to the whole
    process, so one image is decoded at a time, and the settings are then restored.
    """
    with _lock, _without_messages(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in _LOGGERS:
            logger.addHandler(_NOWHERE)  # Python prints what no handler takes
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
            for logger in _LOGGERS:
                logger.removeHandler(_NOWHERE)


@contextmanager
def _without_messages() -> Iterator[None]:
    """Keep C libraries, such as libtiff and libpng, from writing lines to standard error."""
    try:
        kept = os.dup(2)
    except OSError:  # there is no standard error
        yield
        return
    try:
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _check_file(path: str | Path) -> None:
    if not Path(path).is_file():
        if Path(path).is_dir():
            raise InputError(f"{path} is a folder; give the name of one image in it.")
        raise InputError(
            f"{path} is a pipe or a device; write its content to a file first."
            if Path(path).exists()
            else f"There is no image {path}."
        )


def open_with_pillow(source: str | Path | BytesIO) -> ImageFile.ImageFile:
    """Read the header of an image with Pillow, as one of the formats that are known here."""
    file = Image.open(source, formats=PILLOWS)
    assert isinstance(file, ImageFile.ImageFile)
    file.filename = ""  # Pillow maps a named file into memory, and then a turned TIFF has its sides swapped
    return file


def frames_note(frames: int) -> list[str]:
    """Say that an image is the first of several."""
    return [f"the first of {frames} frames"] if frames > 1 else []


def pillow_samples(image: Image.Image, icc: bytes | None) -> tuple[np.ndarray, list[str]]:
    """Convert an image of Pillow to the 8-bit samples of ``Decoded``; return them with notes."""
    if image.mode == "CMYK" and icc:
        try:
            source = ImageCms.ImageCmsProfile(BytesIO(icc))
            converted = ImageCms.profileToProfile(image, source, SRGB, outputMode="RGB")
            assert converted is not None
            return np.asarray(converted), ["CMYK became RGB by its profile"]
        except (OSError, ImageCms.PyCMSError):
            pass  # the profile is damaged
    grey = image.mode in ("1", "L", "LA", "La")
    clear = "transparency" in image.info or image.mode in ("LA", "La", "PA", "RGBA", "RGBa")
    mode = ("L" if grey else "RGB") + ("A" if clear else "")
    notes = [f"{image.mode} became RGB"] if image.mode in ("CMYK", "YCbCr", "LAB") else []
    return np.asarray(image.convert(mode)), notes


def read_with_pillow(path: str | Path, max_pixels: int, content: BytesIO | None = None) -> Decoded:
    """Decode an image with Pillow: the file, or what was found in it."""
    with open_with_pillow(content or path) as file:
        check_pixels(path, *file.size[::-1], max_pixels)
        # The further frames of a camera's JPEG are previews.
        notes = frames_note(1 if file.format == "MPO" else getattr(file, "n_frames", 1))
        icc = file.info.get("icc_profile") or None
        file.load()
        samples, became = pillow_samples(file, icc)
        if file.format == "BMP" and samples.ndim == 3 and samples.shape[2] == 4 and not samples[..., 3].any():
            samples = samples[..., :3]  # programs leave a fourth byte unused, and 0
        metadata = from_pillow_info(file.info)
        icc = None if file.mode == "CMYK" else icc
        return Decoded(
            samples, exif_orientation(metadata.exif), icc=icc, notes=notes + became, metadata=metadata
        )
