"""What a training run changes and leaves behind: its state, its record, and the files of both."""

import io
import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from filelock import Timeout

from vdsrlib.errors import InputError
from vdsrlib.models.checkpoint import Checkpoint
from vdsrlib.training.network import build_network, load_initial_weights
from vdsrlib.training.optimizer import Optimizer
from vdsrlib.training.recipe import Recipe
from vdsrlib.utils.atomic import atomic
from vdsrlib.utils.locks import file_lock
from vdsrlib.utils.paths import user_path


@dataclass
class Run:
    """What a training run leaves behind, besides its TensorBoard log.

    Attributes:
        weights: the safetensors file.
        history: {"step", "loss", "learning_rate"} every ``LOG_EVERY`` steps, at each saved state and at each
            validation; the loss is the mean since the last.
        validation: {"step", "psnr": {scale: {"interpolation", "model"}}, "dead": {ReLU: maps}} for each
            validation; dead maps are those of ``count_dead_maps`` on the first batch.
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


class TrainingState:
    """Everything that a step changes, and that a resumed run needs.

    Attributes:
        model: the network that learns.
        ema_model: the running average of its weights, which is scored and saved; the model itself where the
            recipe has no average.
        optimizer: with its momentum.
        run: losses and scores so far.
        step: steps made.
        seconds: that they took.
    """

    def __init__(self, recipe: Recipe, weights: Path, device: torch.device, init: Checkpoint | None) -> None:
        torch.manual_seed(recipe.seed)
        self.model = build_network(recipe)
        if init:
            load_initial_weights(self.model, recipe, init)
        self.model.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.ema_model = deepcopy(self.model) if recipe.ema else self.model
        self.optimizer = Optimizer(recipe, self.model)
        self.run = Run(weights)
        self.step, self.seconds = 0, 0.0

    def state_dict(self) -> dict[str, Any]:
        """Return what ``load_state_dict`` takes."""
        return {
            "step": self.step,
            "seconds": self.seconds,
            "model": self.model.state_dict(),
            "ema_model": self.ema_model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "history": self.run.history,
            "validation": self.run.validation,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        self.model.load_state_dict(state["model"])
        self.ema_model.load_state_dict(state["ema_model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.run.history, self.run.validation = state["history"], state["validation"]
        self.step, self.seconds = state["step"], state["seconds"]


class RunFolder:
    """The files of a run.

    Attributes:
        path: the folder.
        weights: the result.
        state: what an interrupted run resumes from.
        samples: rows of ILR, SR and HR patches.
        record: recipe, losses, validation, versions, device and time.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = user_path(path)
        self.weights = self.path / "weights.safetensors"
        self.state = self.path / "state.pt"
        self.samples = self.path / "samples.png"
        self.record = self.path / "run.json"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other processes from training in the same folder, which must be one that can be written.

        Raises:
            InputError: another process trains there, or the folder cannot be written.
        """
        with ExitStack() as stack:
            try:
                stack.enter_context(file_lock(self.path / "state.lock", timeout=0))
            except Timeout as error:
                raise InputError(
                    f"Another process is training in {self.path}; wait, or give another folder."
                ) from error
            yield

    def save_state(self, state: TrainingState, identity: dict[str, Any]) -> None:
        """Write the state atomically."""
        buffer = io.BytesIO()
        torch.save({"identity": identity, **state.state_dict()}, buffer)
        with atomic(self.state) as temporary:
            temporary.write_bytes(buffer.getvalue())

    def load_state(self, identity: dict[str, Any]) -> dict[str, Any] | None:
        """Read the saved state, if there is one.

        Args:
            identity: of the run that is wanted: its recipe, images, validation set and initial weights.

        Raises:
            InputError: the file is damaged, or of another run.
        """
        if not self.state.exists():
            return None
        # A state from before a field existed has its default.
        defaults = {"init": None, **Recipe(name="").model_dump(mode="json")}
        try:
            state = torch.load(self.state, map_location="cpu", weights_only=True)
            found = {**defaults, **state["identity"]}
        except Exception as error:  # unpickling fails in as many ways as there are damages
            raise InputError(f"{self.state} is damaged ({error}); remove it to start again.") from error
        changed = [name for name, value in identity.items() if found.get(name) != value]
        if changed:
            raise InputError(
                f"{self.path} holds a run with another {', '.join(changed)}; give another folder."
            )
        return state

    def restore(self, state: TrainingState, saved: dict[str, Any]) -> None:
        """Set the state to the saved one.

        Raises:
            InputError: another version of this program wrote it.
        """
        try:
            state.load_state_dict(saved)
        except (KeyError, ValueError, RuntimeError) as error:
            raise InputError(
                f"{self.state} is of another version of this program; remove it to start again."
            ) from error

    def is_complete(self) -> bool:
        """Whether the result of a run is there."""
        return self.weights.exists() and self.record.exists()


def check_finite(
    recipe: Recipe, state: TrainingState, folder: RunFolder, loss: float, learning_rate: float
) -> None:
    """Raise Diverged, with advice, where the loss or a weight is not finite."""
    weights = torch.stack([p.isfinite().all() for p in state.model.parameters()])
    if math.isfinite(loss) and weights.all():
        return
    kept = f"; {folder.state}, saved before, is kept" if folder.state.exists() else ""
    clipping = f"a clip_theta below {recipe.clip_theta:g}" if recipe.clip != "none" else "clip the gradients"
    raise Diverged(
        f"The loss or a weight is no longer finite by step {state.step}, at a learning rate of "
        f"{learning_rate:g}. Write a lower learning_rate, or {clipping}{kept}.",
        state.step,
        state.run,
    )
