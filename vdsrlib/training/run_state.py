"""What a training run records, and the state from which it resumes."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from vdsrlib.errors import InputError


@dataclass
class Run:
    """What a training run leaves behind, besides its TensorBoard log.

    Attributes:
        weights: the safetensors file.
        history: {"step", "loss", "learning_rate"} every ``LOG_EVERY`` steps and at each saved state; the
            loss is the mean since the last. Also at each validation.
        validation: {"step", "psnr": {scale: {"interpolation", "model"}}, "dead": {ReLU: maps}} for each
            validation; ``silent`` as of ``features.silent_maps``, on the first batch.
    """

    weights: Path
    history: list[dict[str, float]] = field(default_factory=list)
    validation: list[dict[str, Any]] = field(default_factory=list)


class Diverged(InputError):
    """The loss or a weight is no longer finite.

    Attributes:
        step: by which it was noticed.
        run: what the training recorded before.
    """

    def __init__(self, message: str, step: int, run: Run) -> None:
        super().__init__(message)
        self.step, self.run = step, run


def load_state(path: Path, wanted: dict[str, Any]) -> dict[str, Any] | None:
    """The saved state, if there is one; ``wanted`` is the identity of the run: recipe and images."""
    if not path.exists():
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        # what is new since there are states
        new = {
            "residual": True,
            "hard_mining_candidates": 1,
            "bias_lr_factor": 1.0,
            "reinitialise_every": 0,
            "init": None,
            "validation_set": wanted["validation_set"],
        }
        found = {**new, **state["identity"]}
    except Exception as error:  # unpickling fails in as many ways as there are damages
        raise InputError(f"{path} is damaged ({error}); remove it to start again.") from error
    changed = [name for name, value in wanted.items() if found.get(name) != value]
    if changed:
        raise InputError(
            f"{path.parent} holds a run with another {', '.join(changed)}; give another ckpt_path."
        )
    return state
