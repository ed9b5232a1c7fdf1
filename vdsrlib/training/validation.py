"""What a training run shows of itself."""

import numpy as np
import torch
from torch import nn

from vdsrlib.imaging.colour import to_uint8
from vdsrlib.models.vdsr import VDSR
from vdsrlib.training.patches import TrainingSet
from vdsrlib.utils.device import without_tf32


@torch.inference_mode()
def sample_patches(model: VDSR, data: TrainingSet, count: int = 8) -> np.ndarray:
    """Rows of ILR, SR and HR of the same training patches, as one uint8 image."""
    device = next(model.parameters()).device
    ilr, hr = (patches.to(device) for patches in data.batch(0, count))
    with without_tf32():
        sr = model(ilr)
    rows = [data.protocol.denormalize(batch).clamp(0, 1) for batch in (ilr, sr, hr)]
    framed = nn.functional.pad(torch.stack(rows), (1, 1, 1, 1), value=1.0)  # row x patch x C x H x W
    picture = framed.permute(0, 3, 1, 4, 2).flatten(2, 3).flatten(0, 1)
    return to_uint8(picture.squeeze(-1).cpu().numpy())
