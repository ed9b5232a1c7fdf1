"""Feature maps that are zero on a whole batch."""

import torch
from torch import Tensor

from vdsrlib.inference.features import layer_outputs
from vdsrlib.models.vdsr import VDSR


@torch.inference_mode()
def find_dead_maps(model: VDSR, batch: Tensor) -> dict[str, Tensor]:
    """By ReLU, which of its maps are zero on a whole batch (N x C x H x W).

    Such a map gets no gradient from the batch. One that is zero on every patch hardly wakes again.
    """
    return {
        name: x.amax((0, 2, 3)) == 0 for name, x in layer_outputs(model, batch) if name.startswith("relu")
    }


def count_dead_maps(model: VDSR, batch: Tensor) -> dict[str, int]:
    """How many maps of each ReLU are ``silent`` on a batch, where there are any."""
    counts = {name: int(maps.sum()) for name, maps in find_dead_maps(model, batch).items()}
    return {name: count for name, count in counts.items() if count}
