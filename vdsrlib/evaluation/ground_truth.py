"""Degrade an HR image, upscale it, and score the result."""

import numpy as np

from vdsrlib.imaging.colour import to_float
from vdsrlib.inference.predict import Predict, check_channels, predict
from vdsrlib.inference.upscale import InferenceOptions, Upscaled
from vdsrlib.models.vdsr import VDSR
from vdsrlib.protocol import Protocol


def degrade_and_upscale(
    model: VDSR,
    image: np.ndarray,
    scale: float,
    protocol: Protocol,
    work: InferenceOptions | None = None,
    apply: Predict | None = None,
) -> Upscaled:
    """Ground-truth mode: make LR from an HR image by the protocol, enlarge it, and score the result.

    It holds whole images in float64, about 200 bytes for every pixel of HR: 5 GB for 24 megapixels.

    Args as in ``super_resolve``; ``image`` is HR, and ``apply`` stands for ``predict`` where it is given.

    Raises:
        InputError: the image is too small to be scored at this scale.
    """
    check_channels(model, protocol)
    work = work or InferenceOptions()
    hr, lr, ilr = protocol.pair(image, scale)
    image = image[: hr.shape[0], : hr.shape[1]]
    sr = apply(model, ilr, protocol) if apply else predict(model, ilr, protocol, work.engine, work.memory)
    # what SSIM needs for a while and what the pictures take are not in memory together
    scores = protocol.score(ilr, hr, scale), protocol.score(sr, hr, scale)
    _, hr_chroma = protocol.split(image)
    lr_chroma, chroma = (None, None) if hr_chroma is None else protocol.degrade(hr_chroma, scale)
    del hr_chroma
    return Upscaled(
        protocol.merge(lr, lr_chroma),
        protocol.merge(ilr, chroma),
        protocol.merge(sr, chroma),
        to_float(image),
        *scores,
    )
