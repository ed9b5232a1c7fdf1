"""Protocols: the rules that turn a network and an HR image into a score.

Two are defined as data, ``PAPER`` and ``REPLICATION``. Any mixture is ``dataclasses.replace`` of one of
them, which is how the gap between published numbers is taken apart. Whether a network works on luma or on
RGB is decided here and nowhere else.
"""

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from vdsrlib.errors import InputError
from vdsrlib.imaging.arrays import as_image
from vdsrlib.imaging.colour import (
    as_rgb,
    grey_to_luma,
    luma,
    luma_to_grey,
    merge_luma,
    split_luma,
    to_float,
    to_uint8,
)
from vdsrlib.imaging.crops import modcrop_length, paired_size
from vdsrlib.imaging.degradation import DEGRADATIONS
from vdsrlib.imaging.resize import Array
from vdsrlib.utils.parsing import lookup


class Score(NamedTuple):
    """PSNR in dB (infinite for equal images) and SSIM in [-1, 1]."""

    psnr: float
    ssim: float


@dataclass(frozen=True)
class Protocol:
    """The rules of one published table.

    Attributes:
        name: "paper", "replication", or yours.
        colour: "luma" (1 channel) or "rgb" (3).
        degradation: a name of ``degradation.DEGRADATIONS``.
        crop: cut HR to a multiple of the scale first.
        quantise: score images clipped and rounded to uint8 (else: floats as they are).
        border: leave ceil(scale) pixels on each side out of the score.
        input_range: the network's input and output, and the images scored, live in this range.
    """

    name: str
    colour: str
    degradation: str
    crop: bool
    quantise: bool
    border: bool
    input_range: tuple[float, float]

    @property
    def channels(self) -> int:
        """1 for luma, 3 for RGB."""
        return 1 if self.colour == "luma" else 3

    @property
    def black_and_white(self) -> tuple[float, float]:
        """The planes of ``split`` for a black and for a white image."""
        return (16 / 255, 235 / 255) if self.colour == "luma" else (0.0, 1.0)

    def samples(self, image: np.ndarray) -> np.ndarray:
        """Return what is trained on and scored of an image: H x W (rounded luma) or H x W x 3.

        Raises:
            InputError: it is no image, see ``as_image``.
        """
        image = as_image(image)
        return luma(image) if self.colour == "luma" else as_rgb(image)

    def split(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Split an image into the planes that a network enlarges and the chroma that is interpolated.

        Luma is not rounded, unlike that of ``samples``: it is to become an image again. That of a grey image
        is the luma of the RGB image that looks the same, as the network knows it; where ``samples`` are
        scored, a grey image is its own luma.

        Args:
            image: uint8, uint16, or floating in [0, 1]; H x W or H x W x 3.

        Returns:
            Planes, float64 about [0, 1], H x W (luma) or H x W x 3; and chroma, H x W x 2, or None where the
            image is grey or the planes are RGB.
        """
        if self.colour == "rgb":
            return to_float(as_rgb(image)), None
        return split_luma(image) if image.ndim == 3 else (grey_to_luma(to_float(image)), None)

    def merge(self, planes: np.ndarray, chroma: np.ndarray | None) -> np.ndarray:
        """Invert ``split``: float64 in [0, 1], clipped; H x W (grey) or H x W x 3."""
        if chroma is not None:
            return merge_luma(planes, chroma)
        return np.clip(planes if planes.ndim == 3 else luma_to_grey(planes), 0.0, 1.0)

    def pair(self, image: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Make HR, LR and ILR of a uint8 image: ``ground_truth``, then ``degrade``.

        Raises:
            InputError: the image is too small to be scored at this scale.

        >>> hr, lr, ilr = PAPER.pair(np.zeros((50, 61, 3), np.uint8), 2)
        >>> hr.shape, lr.shape, ilr.shape
        ((50, 60), (25, 30), (50, 60))
        """
        hr = self.ground_truth(image, scale)
        return (hr, *self.degrade(hr, scale))

    def real_pair(self, image: np.ndarray, lr: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
        """Make HR and ILR of a uint8 image and of its own LR, which is not degraded.

        Raises:
            InputError: the image is too small to be scored, or LR does not fit it, see ``paired_size``.

        >>> hr, ilr = PAPER.real_pair(np.zeros((50, 61, 3), np.uint8), np.zeros((25, 30, 3), np.uint8), 2)
        >>> hr.shape, ilr.shape
        ((50, 60), (50, 60))
        """
        paired_size(image, lr, scale)
        hr = self.ground_truth(image, scale)
        return hr, self.interpolate(lr, *hr.shape[:2])

    def interpolate(self, lr: np.ndarray, height: int, width: int) -> np.ndarray:
        """Make ILR of an LR image: float64 about [0, 1], of the planes that ``samples`` has, not rounded."""
        if self.colour == "luma":
            planes = split_luma(lr)[0] if lr.ndim == 3 else to_float(lr)
        else:
            planes = to_float(as_rgb(lr))
        return DEGRADATIONS[self.degradation].interpolate(planes, height, width)

    def ground_truth(self, image: np.ndarray, scale: float) -> np.ndarray:
        """Make HR of a uint8 image (grey or RGB): float64 in [0, 1], H x W (luma) or H x W x 3.

        Raises:
            InputError: the image is too small to be scored at this scale.
        """
        hr = to_float(self.samples(image))
        height, width = (modcrop_length(side, scale) if self.crop else side for side in hr.shape[:2])
        border = 2 * math.ceil(scale) if self.border else 0
        if min(height, width) - border < 11:  # the window of SSIM
            raise InputError(
                f"An image of {hr.shape[1]}x{hr.shape[0]} pixels is too small to be scored at "
                f"scale {scale:g}."
            )
        return hr[:height, :width]

    def degrade(self, hr: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
        """Make LR and ILR of HR, float64 about [0, 1], neither rounded nor clipped."""
        return DEGRADATIONS[self.degradation](hr, scale)

    def score(self, image: np.ndarray, hr: np.ndarray, scale: float) -> Score:
        """Compare an image (ILR or SR, about [0, 1]) with HR under these rules.

        PSNR and SSIM are scikit-image's; SSIM is Wang's, an 11 x 11 Gaussian of sigma 1.5, a channel
        at a time. SSIM is no function of differences alone: on [-1, 1], where the 2018 replication
        measured it, the same two images score up to 0.03 lower than on [0, 1].
        """
        if self.quantise:
            image = to_uint8(image) / 255.0
        image, hr = self.normalize(image), self.normalize(hr)
        data_range = self.input_range[1] - self.input_range[0]
        if self.border:
            inner = slice(math.ceil(scale), -math.ceil(scale))
            image, hr = image[inner, inner], hr[inner, inner]
        with np.errstate(divide="ignore"):
            psnr = peak_signal_noise_ratio(hr, image, data_range=data_range)
        ssim = structural_similarity(
            hr,
            image,
            data_range=data_range,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            channel_axis=-1 if hr.ndim == 3 else None,
        )
        return Score(float(psnr), float(ssim))

    def normalize(self, image: Array) -> Array:
        """Map [0, 1] to the network's range."""
        low, high = self.input_range
        return image * (high - low) + low

    def denormalize(self, image: Array) -> Array:
        """Map the network's range to [0, 1]."""
        low, high = self.input_range
        return (image - low) / (high - low)


PAPER = Protocol(
    name="paper",
    colour="luma",
    degradation="bicubic",
    crop=True,
    quantise=True,
    border=True,
    input_range=(0.0, 1.0),
)
"""arXiv:1511.04587 and the framework its tables were made with: luma, MATLAB bicubic, uint8 SR."""


REPLICATION = Protocol(
    name="replication",
    colour="rgb",
    degradation="blur_bilinear",
    crop=False,
    quantise=False,
    border=False,
    input_range=(-1.0, 1.0),
)
"""The 2018 replication: RGB, blur + bilinear, float scores of the whole image."""

PROTOCOLS = {p.name: p for p in (PAPER, REPLICATION)}

_BICUBIC = replace(REPLICATION, degradation="bicubic")
_LUMA = replace(_BICUBIC, colour="luma", input_range=(0.0, 1.0))


REPLICATION_TO_PAPER = {
    "the replication's rules": REPLICATION,
    "bicubic instead of blur and bilinear": _BICUBIC,
    "luma instead of RGB": _LUMA,
    "HR cropped, SR rounded to uint8": replace(_LUMA, crop=True, quantise=True),
    "border left out: the paper's rules": PAPER,
}
"""The walk from one protocol to the other, one rule at a time."""


def get_protocol(name: str) -> Protocol:
    """Return the protocol of that name.

    Raises:
        InputError: there is none.
    """
    return lookup(PROTOCOLS, name, "protocol")
