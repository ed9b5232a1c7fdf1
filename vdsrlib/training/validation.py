"""What a training run is measured by, and what it shows of itself."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from vdsrlib.datasets.catalog import benchmark_images
from vdsrlib.errors import InputError
from vdsrlib.evaluation.evaluate import evaluate
from vdsrlib.evaluation.frames import mean_scores
from vdsrlib.evaluation.images import check_unique_stems
from vdsrlib.imaging.colour import as_rgb, to_uint8
from vdsrlib.imaging.image_file import read_image
from vdsrlib.inference.options import InferenceOptions
from vdsrlib.inference.predict import predict
from vdsrlib.models.checkpoint import Checkpoint
from vdsrlib.models.vdsr import VDSR
from vdsrlib.protocol import Protocol, get_protocol
from vdsrlib.training.dead_maps import count_dead_maps
from vdsrlib.training.event_log import EventLog
from vdsrlib.training.patches import TrainingSet
from vdsrlib.training.recipe import Recipe
from vdsrlib.training.run_state import TrainingState
from vdsrlib.utils.device import without_tf32
from vdsrlib.utils.logs import logger

Images = tuple[str, Sequence[Path]]
"""Name and paths of a set of images."""


@dataclass(frozen=True)
class Validation:
    """How a network is scored while it learns, under the recipe's protocol.

    Attributes:
        images: a benchmark's name, or a name and paths.
        every: steps between validations; 0 for none but the last.
        scales: default: the recipe's above 1.
    """

    images: str | Images = "Set5"
    every: int = 500
    scales: Sequence[float] | None = None

    def __post_init__(self) -> None:
        if self.every < 0:
            raise InputError(f"validate_every must be a whole number from 0 up, got {self.every}.")


class Validator:
    """Scores of a network while it learns.

    Args:
        recipe: its protocol, and its scales where ``validation`` names none.
        validation: what to score with, and when.
        data_path: where a benchmark of that name is looked for first.
    """

    def __init__(self, recipe: Recipe, validation: Validation, data_path: str | Path | None) -> None:
        self.recipe, self.protocol, self.every = recipe, get_protocol(recipe.protocol), validation.every
        # At scale 1, there is nothing to score on clean images.
        self.scales = tuple(validation.scales or (scale for scale in recipe.scales if scale > 1))
        images = validation.images
        self.name, self.paths = images if isinstance(images, tuple) else benchmark_images(images, data_path)

    def check_images(self) -> None:
        """Raise InputError where an image cannot be scored, before there is anything to lose."""
        check_unique_stems(self.paths)
        for path in self.paths:
            image = read_image(path)
            for scale in self.scales:
                try:
                    self.protocol.ground_truth(image, scale)
                except InputError as error:
                    raise InputError(f"{path}: {error}") from error

    def is_due(self, state: TrainingState) -> bool:
        """Whether the network is to be scored as it is now, and has not been."""
        due = state.step == self.recipe.steps or bool(self.every and state.step % self.every == 0)
        return due and state.step not in [row["step"] for row in state.run.validation]

    def score(self, state: TrainingState, data: TrainingSet, log: EventLog, stop: Callable[[], bool]) -> bool:
        """Score the network and record it.

        Args:
            state: the network, and where the scores are recorded.
            data: patches on which maps may be dead, and which are drawn as samples.
            log: where curves and samples are drawn.
            stop: asked before every image whether to stop.

        Returns:
            False where it was stopped; nothing is recorded then.
        """
        psnr = self._psnr(state.ema_model, stop)
        if psnr is None:
            return False
        batch = data.batch(0, self.recipe.batch_size)[0].to(next(state.model.parameters()).device)
        dead = count_dead_maps(state.ema_model, batch)
        fraction = sum(dead.values()) / (self.recipe.width * (self.recipe.depth - 1))
        state.run.validation.append({"step": state.step, "psnr": psnr, "dead": dead})
        for scale, value in psnr.items():
            log.scalar(f"psnr/x{scale}", value["model"], state.step)
        log.scalar("dead maps", fraction, state.step)
        log.image("ILR, SR, HR", as_rgb(sample_patches(state.ema_model, data)), state.step)
        found = ", ".join(
            f"x{scale} {value['model']:.2f} dB ({value['model'] - value['interpolation']:+.2f})"
            for scale, value in psnr.items()
        )
        maps = f"; {100 * fraction:.0f} % of the feature maps are dead" if dead else ""
        logger.info(f"step {state.step}: {self.name} {found} against interpolation{maps}")
        return True

    def _psnr(self, model: VDSR, stop: Callable[[], bool]) -> dict[str, dict[str, float]] | None:
        """Mean PSNR in dB by scale and method; None where it was stopped."""
        # in PyTorch: to prepare another runtime for weights that change would cost more than it saves
        options = InferenceOptions(backend="torch", precision="float32")

        def predict_or_stop(model: VDSR, ilr: np.ndarray, protocol: Protocol) -> np.ndarray:
            if stop():
                raise _Stopped
            return predict(model, ilr, protocol, options)

        net = Checkpoint(model, {"protocol": self.protocol.name, "scales": self.recipe.scales})
        try:
            scores = evaluate(net, self.paths, self.scales, protocol=self.protocol, predict=predict_or_stop)
        except _Stopped:
            return None
        means = mean_scores(scores)["psnr"].unstack("method")
        return {f"{scale:g}": row.to_dict() for scale, row in means.iterrows()}


class _Stopped(Exception):
    """A signal came while images were scored."""


@torch.inference_mode()
def sample_patches(model: VDSR, data: TrainingSet, count: int = 8) -> np.ndarray:
    """Draw rows of ILR, SR and HR of the same training patches, as one uint8 image."""
    device = next(model.parameters()).device
    ilr, hr = (patches.to(device) for patches in data.batch(0, count))
    with without_tf32():
        sr = model(ilr)
    rows = [data.protocol.denormalize(batch).clamp(0, 1) for batch in (ilr, sr, hr)]
    framed = nn.functional.pad(torch.stack(rows), (1, 1, 1, 1), value=1.0)  # row x patch x C x H x W
    picture = framed.permute(0, 3, 1, 4, 2).flatten(2, 3).flatten(0, 1)
    return to_uint8(picture.squeeze(-1).cpu().numpy())
