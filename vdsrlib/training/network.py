"""The network that a recipe asks for."""

import torch

from vdsrlib.errors import InputError
from vdsrlib.models.checkpoint import Checkpoint
from vdsrlib.models.vdsr import VDSR
from vdsrlib.protocol import get_protocol
from vdsrlib.training.recipe import Recipe
from vdsrlib.utils.device import fast_in_bfloat16


def with_precision(recipe: Recipe, device: torch.device) -> Recipe:
    """Return the recipe with the precision that "auto" means on this device."""
    if recipe.precision != "auto":
        return recipe
    return recipe.replace(precision="bfloat16" if fast_in_bfloat16(device) else "float32")


def build_network(recipe: Recipe) -> VDSR:
    """Build the network, with the initial weights that PyTorch's random state gives."""
    channels = get_protocol(recipe.protocol).channels
    return VDSR(recipe.depth, recipe.width, channels, recipe.last_gain, recipe.residual)


def load_initial_weights(model: VDSR, recipe: Recipe, init: Checkpoint) -> None:
    """Copy the weights of ``init``.

    Raises:
        InputError: they are of another network than the recipe's.
    """
    there = (init.protocol.name, init.model.depth, init.model.width, init.model.global_skip)
    if there != (recipe.protocol, recipe.depth, recipe.width, recipe.residual):
        raise InputError(
            f"{init.file}, to begin with, is another network than the recipe's; write "
            "protocol {}, depth {}, width {} and residual {}.".format(*there)
        )
    model.load_state_dict(init.model.state_dict())
