"""TIFF files of more than 8 bits a sample, of which Pillow loses bits, or misreads what they mean."""

import math
from pathlib import Path

import numpy as np
from tifffile import COMPRESSION, EXTRASAMPLE, PHOTOMETRIC, SAMPLEFORMAT, TiffPage

from vdsrlib.errors import InputError

COLOURS: dict[int, int] = {
    PHOTOMETRIC.MINISWHITE: 1,
    PHOTOMETRIC.MINISBLACK: 1,
    PHOTOMETRIC.RGB: 3,
    PHOTOMETRIC.SEPARATED: 4,
}
"""Samples of a colour, in the ways to write colours that are known here."""


MOST_OTHERS = 3
"""Samples beside the colour, at most: they take memory, and no limit on pixels counts them."""


def has_high_bit_depth(page: TiffPage) -> bool:
    """Whether samples have more than 8 bits, or a sign, which Pillow overlooks in 8 bits."""
    return np.max(page.bitspersample) > 8 or page.sampleformat == SAMPLEFORMAT.INT


def is_truncated(page: TiffPage) -> bool:
    """Whether strips or tiles are missing: tifffile would make them black, libtiff print lines of its own.

    Where Pillow needs no libtiff it finds out by itself, and the tables may be wrong.
    """
    if page.compression in (COMPRESSION.NONE, COMPRESSION.OJPEG) and not has_high_bit_depth(page):
        return False
    ends = [sum(part) for part in zip(page.dataoffsets, page.databytecounts, strict=False)]
    whole = len(ends) >= math.prod(page.chunked) and all(page.databytecounts)
    return not whole or max(ends) > page.parent.filehandle.size


def decode(path: str | Path, page: TiffPage) -> tuple[np.ndarray, np.ndarray | None]:
    """The colours and the opacity of a page with wide samples.

    Returns:
        colours: uint16, H x W x (1: grey, 3: RGB, 4: CMYK); 0 is black, or no ink.
        alpha: uint16, H x W, 0 where transparent; or None. Colours are not multiplied by it.

    Raises:
        InputError: the samples are of another kind.
    """
    count = COLOURS.get(page.photometric, 0)
    others = page.samplesperpixel - count
    # what nothing is said of is alpha, as Pillow has it in files of 8 bits
    kinds = page.extrasamples or (EXTRASAMPLE.UNASSALPHA,) * (others == 1)
    known = count and len(kinds) == others <= MOST_OTHERS
    if not known or page.dtype != np.uint16 or page.imagedepth != 1:
        name = getattr(page.photometric, "name", page.photometric)
        raise InputError(
            f"{path} has {page.bitspersample}-bit samples of a kind that cannot be read "
            f"({page.samplesperpixel} x {page.dtype}, {name}); "
            "save it as 8- or 16-bit grey or RGB."
        )
    planes = page.asarray(squeeze=False)[:, 0]  # one with all samples, or one for each of them
    samples = np.concatenate([*planes], axis=-1)
    top = 2**page.bitspersample - 1
    if top < 65535:
        samples = np.rint(np.minimum(samples, top) * (65535 / top)).astype(np.uint16)
    colours, alpha = samples[..., :count], None
    for i, kind in enumerate(kinds, start=count):
        if kind in (EXTRASAMPLE.ASSOCALPHA, EXTRASAMPLE.UNASSALPHA):
            alpha = samples[..., i]
            if kind == EXTRASAMPLE.ASSOCALPHA:
                colours = _unpremultiplied(colours, alpha)
            break
    return 65535 - colours if page.photometric == PHOTOMETRIC.MINISWHITE else colours, alpha


def _unpremultiplied(colours: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Colours that were multiplied by alpha, as they were before; what is transparent had none."""
    part = np.maximum(alpha, 1).astype(np.uint32)[..., None]
    return np.minimum((colours.astype(np.uint32) * 65535 + part // 2) // part, 65535).astype(np.uint16)
