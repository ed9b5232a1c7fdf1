"""Dead feature maps: zero on a whole batch, so that no gradient reaches them."""

import torch
from torch import Tensor

from vdsrlib.inference.features import layer_outputs
from vdsrlib.models.vdsr import VDSR
from vdsrlib.training.network import build_network
from vdsrlib.training.patches import TrainingSet
from vdsrlib.training.recipe import Recipe
from vdsrlib.training.run_state import TrainingState
from vdsrlib.utils.distributed import World

BATCHES = 4  # on which a map must be zero before it begins anew


@torch.inference_mode()
def find_dead_maps(model: VDSR, batch: Tensor) -> dict[str, Tensor]:
    """Find which maps of each ReLU are zero on a whole batch (N x C x H x W), as booleans by layer.

    Such a map gets no gradient from the batch. One that is zero on every patch hardly wakes again.
    """
    return {
        name: x.amax((0, 2, 3)) == 0 for name, x in layer_outputs(model, batch) if name.startswith("relu")
    }


def count_dead_maps(model: VDSR, batch: Tensor) -> dict[str, int]:
    """Count the maps of each ReLU that are dead on a batch, where there are any."""
    counts = {name: int(maps.sum()) for name, maps in find_dead_maps(model, batch).items()}
    return {name: count for name, count in counts.items() if count}


@torch.no_grad()
def reinitialise_dead_maps(recipe: Recipe, state: TrainingState, data: TrainingSet, world: World) -> None:
    """Let dead maps begin anew, without a change of what the networks compute (ReDo, Sokar et al. 2023).

    Maps count as dead that are zero on the next batches, in the network and in the running average of its
    weights. Weights into them become new initial weights, and those out of them become 0.
    """
    networks = state.model, state.ema_model

    def find() -> dict[str, Tensor]:
        steps = range(state.step, state.step + BATCHES)
        batch = torch.cat([data.batch(step, recipe.batch_size)[0] for step in steps]).to(world.device)
        current, averaged = (find_dead_maps(network, batch) for network in networks)
        return {name: (maps & averaged[name]).cpu() for name, maps in current.items()}

    # The main process decides for all: on unlike GPUs, a map may be dead on one alone.
    dead = world.broadcast_from_main(find)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed + state.step)
        fresh = build_network(recipe).to(world.device)
    for i in range(1, recipe.depth):
        maps = dead[f"relu.{i}"]
        for network in networks:
            into, anew, out_of = network.conv[str(i)], fresh.conv[str(i)], network.conv[str(i + 1)]
            for old, new in zip(into.parameters(), anew.parameters(), strict=True):
                old[maps] = new[maps]
            next(out_of.parameters())[:, maps] = 0.0  # its weights
