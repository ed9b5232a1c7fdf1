"""Ground-truth mode: degrade an HR image, enlarge it, and score the result."""

import numpy as np

from vdsrlib.imaging.arrays import as_image
from vdsrlib.imaging.colour import grey_to_luma, luma_to_grey, to_float
from vdsrlib.inference.batches import check_channels
from vdsrlib.inference.options import InferenceOptions
from vdsrlib.inference.predict import Predict, predict
from vdsrlib.inference.upscale import Upscaled
from vdsrlib.models.checkpoint import Checkpoint


def degrade_and_upscale(
    net: Checkpoint,
    image: np.ndarray,
    scale: float,
    options: InferenceOptions | None = None,
    apply: Predict | None = None,
) -> Upscaled:
    """Make LR of an HR image by the network's protocol, enlarge it, and score the result.

    A grey image enters a luma network in the range that it knows, as in enlarging; ``evaluate`` keeps to the
    paper's rules, by which it enters as it is.

    This holds whole images in float64, about 200 bytes for every pixel of HR: 5 GB for 24 megapixels.

    Args:
        net: from ``vdsrlib.load``.
        image: HR, H x W or H x W x 3, as ``as_image`` takes it.
        scale: a real number above 1.
        options: backend, precision, memory.
        apply: how the network is applied to its input, instead of ``predict`` with these options.

    Raises:
        InputError: the image is too small to be scored at this scale.
    """
    model, protocol = net.model, net.protocol
    check_channels(model, protocol)
    image = as_image(image)
    hr, lr, ilr = protocol.pair(image, scale)
    image = image[: hr.shape[0], : hr.shape[1]]
    grey = ilr.ndim == 2 and image.ndim == 2
    planes = grey_to_luma(ilr) if grey else ilr
    sr = apply(model, planes, protocol) if apply else predict(model, planes, protocol, options)
    sr = luma_to_grey(sr) if grey else sr
    # what SSIM needs for a while and what the pictures take are not in memory together
    scores = protocol.score(ilr, hr, scale), protocol.score(sr, hr, scale)
    _, hr_chroma = protocol.split(image)
    lr_chroma, chroma = (None, None) if hr_chroma is None else protocol.degrade(hr_chroma, scale)
    del hr_chroma
    if grey:
        lr, ilr, sr = (np.clip(each, 0.0, 1.0) for each in (lr, ilr, sr))
    else:
        lr, ilr, sr = (protocol.merge(*each) for each in ((lr, lr_chroma), (ilr, chroma), (sr, chroma)))
    return Upscaled(lr, ilr, sr, to_float(image), *scores)
