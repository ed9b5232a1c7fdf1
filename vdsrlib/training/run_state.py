"""What a training run changes and leaves behind: its state, its record, and the files of both."""

import io
import json
import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from filelock import Timeout

from vdsrlib.errors import InputError
from vdsrlib.models.checkpoint import Checkpoint
from vdsrlib.models.checkpoint import load as load_checkpoint
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
        history: {"step", "loss", "interpolation_loss", "learning_rate"} every ``LOG_EVERY`` steps, at each
            saved state and at each validation; the losses, of SR and of ILR on the same patches, are means
            since the last.
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

    def read(self) -> "SavedRun | None":
        """Read what the folder holds of a run; None where it holds nothing that a run would replace.

        Raises:
            InputError: a file is damaged, or there are weights that no run here made.
        """
        state, record = self._read_state(), self._read_record()
        if state:
            identity = state["identity"]
        elif record:
            identity = {
                **record["recipe"],
                "init": record.get("init", {}).get("sha256"),
                "lr": record.get("lr_sha256"),
                "validation_set": record["validation_set"],
                **({"images": record["images_sha256"]} if "images_sha256" in record else {}),
            }
        elif self.weights.exists():
            raise InputError(f"{self.weights} has no run.json that says whose it is; give another folder.")
        else:
            return None
        if state and not record and self.weights.exists() and not self._made_weights(identity):
            raise InputError(f"{self.weights} is not of the run in its folder; give another folder.")
        # A state or record from before a field existed has its default.
        defaults = {"init": None, "lr": None, **Recipe(name="").model_dump(mode="json")}
        return SavedRun(self, {**defaults, **identity}, state, record if self.weights.exists() else None)

    def _read_state(self) -> dict[str, Any] | None:
        if not self.state.exists():
            return None
        try:
            state = torch.load(self.state, map_location="cpu", weights_only=True)
            state["identity"], state["step"]
            return state
        except Exception as error:  # unpickling fails in as many ways as there are damages
            raise InputError(f"{self.state} is damaged ({error}); remove it to start again.") from error

    def _read_record(self) -> dict[str, Any] | None:
        if not self.record.exists():
            return None
        try:
            record = json.loads(self.record.read_text(encoding="utf-8"))
            dict(record["recipe"]), record["validation_set"], record["history"], record["validation"]
            return record
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{self.record} is no record of a training; give another folder.") from error

    def _made_weights(self, identity: dict[str, Any]) -> bool:
        """Whether a run that ended before it wrote its record made the weights."""
        with suppress(InputError):
            recipe = load_checkpoint(self.weights, "cpu").info["recipe"]
            return all(identity.get(name) == value for name, value in dict(recipe).items())
        return False

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


@dataclass
class SavedRun:
    """A run that a folder holds, finished or not.

    Attributes:
        folder: where it is.
        identity: its recipe, initial weights, images and validation set.
        state: to resume from, if it is there.
        record: of its result, if that is there.
    """

    folder: RunFolder
    identity: dict[str, Any]
    state: dict[str, Any] | None
    record: dict[str, Any] | None

    def check(self, wanted: dict[str, Any]) -> None:
        """Raise InputError where this is not the run that is wanted, or one that more steps make it.

        More steps continue a run where the learning rates of the steps made stay what they were: a cosine
        stretches with the number of steps.
        """
        changed = [name for name, value in wanted.items() if self.identity.get(name, value) != value]
        extends = self.state and wanted["decay_steps"] and wanted["steps"] >= self.state["step"]
        if not changed or (changed == ["steps"] and extends):
            return
        further = ", and its weights as init to train it further" if changed == ["steps"] else ""
        raise InputError(
            f"{self.folder.path} holds a run with another {', '.join(changed)}; give another folder{further}."
        )

    def result(self, steps: int) -> Run | None:
        """Return the run where it is finished, with so many steps."""
        if self.record is None or self.record["recipe"].get("steps") != steps:
            return None
        if self.state is not None and self.state["step"] != steps:
            return None
        return Run(self.folder.weights, self.record["history"], self.record["validation"])


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
