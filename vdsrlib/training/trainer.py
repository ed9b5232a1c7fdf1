"""Training loop: runs any recipe, and resumes exactly after an interruption."""

import signal
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from vdsrlib.errors import InputError, explain_out_of_memory
from vdsrlib.imaging.image_file import save_image
from vdsrlib.models import checkpoint
from vdsrlib.training.dead_maps import reinitialise_dead_maps
from vdsrlib.training.event_log import EventLog
from vdsrlib.training.network import with_precision
from vdsrlib.training.pace import Pace
from vdsrlib.training.pairs import Data, Pairs, TrainingImages, find_training_images, fit_recipe
from vdsrlib.training.patches import TrainingSet
from vdsrlib.training.recipe import Recipe
from vdsrlib.training.run_state import Run, RunFolder, SavedRun, TrainingState, check_finite
from vdsrlib.training.step import build_step, loss_of
from vdsrlib.training.validation import Validation, Validator, sample_patches
from vdsrlib.utils.atomic import write_json
from vdsrlib.utils.device import choose_device, device_name, versions
from vdsrlib.utils.distributed import World, init_distributed
from vdsrlib.utils.hashing import hash_file, hash_files
from vdsrlib.utils.logs import logger, mute_log
from vdsrlib.utils.paths import user_path
from vdsrlib.utils.signals import deferred_signals, explain_lost_pages
from vdsrlib.utils.text import shorten

LOG_EVERY = 10


@dataclass(frozen=True)
class Options:
    """How a run is carried out, without effect on what it learns.

    Attributes:
        save_every: steps between saved states.
        logs_path: folder for TensorBoard's event files; None for ``logs`` in the run's folder.
        store: folder for prepared pixels, for sets larger than memory (see ``load_pixels``).
        skip_broken: leave out images that cannot be read, rather than refuse to begin.
        compiled: run the network through torch.compile; None for on CUDA alone. On one GPU, the whole step is
            then recorded as a CUDA graph and replayed, where the optimizer allows it.
    """

    save_every: int = 100
    logs_path: str | Path | None = None
    store: str | Path | None = None
    skip_broken: bool = False
    compiled: bool | None = None

    def __post_init__(self) -> None:
        if self.save_every < 1:
            raise InputError(f"save_every must be a whole number from 1 up, got {self.save_every}.")

    def compiles_on(self, device: torch.device) -> bool:
        """Whether the network runs through torch.compile on this device."""
        return device.type == "cuda" if self.compiled is None else self.compiled


def train(
    recipe: Recipe,
    folder: str | Path,
    data: Data = None,
    *,
    validation: Validation = Validation(),
    init: str | Path | None = None,
    device: str = "auto",
    options: Options = Options(),
    world: World | None = None,
) -> Run:
    """Train a network by a recipe. Called again with the same arguments, it resumes an interrupted run.

    SIGTERM and Ctrl-C end the step, save the state, and then end the program. Started by ``torchrun``, the
    processes share every batch evenly, and the first one alone writes. ``print_log()`` shows the progress.

    Args:
        recipe: what to do.
        folder: for ``weights.safetensors`` (the result), ``state.pt`` (to resume from), ``samples.png`` (rows
            of ILR, SR, HR patches), ``run.json`` (recipe, losses, scores, versions, device, time) and
            ``logs`` (for TensorBoard).
        data: folder of images, or one that holds T91 and BSD200; or a name and paths; None for VDSR_DATA, and
            for the bundled photographs where it is not set. ``Pairs`` for HR and LR of its own: the network
            is then trained for their scale alone, which must be one of the recipe's.
        validation: what to score the network with, and how often.
        init: weights to begin with instead of random ones, to train a network further, or to adapt it to
            other images; as ``checkpoint.load`` takes them.
        device: "auto", "cpu", "cuda" or "mps".
        options: how to carry the run out.
        world: the processes that train together, and where; None for those that ``torchrun`` started. With a
            world of one, each of ``torchrun``'s processes can train a network of its own.

    Raises:
        Diverged: the loss or a weight is no longer finite; the last saved state is kept.
        InputError: images or folders are unusable, ``init`` is no network as the recipe asks for, memory is
            short, another process trains in the folder, or it holds weights of another run: of another
            recipe, initial weights, images or validation set. (More steps continue a run, unless its
            learning rate falls along a cosine.)
    """
    where = world.device if world else choose_device(device)
    with nullcontext(world) if world else init_distributed(where) as joined:
        if recipe.batch_size % joined.size:
            raise InputError(
                f"batch_size must be a multiple of the {joined.size} processes, got {recipe.batch_size}."
            )
        files = RunFolder(folder)
        saved = joined.broadcast_from_main(files.read)
        if saved and recipe.precision == "auto":  # a run goes on in the precision that it began with
            recipe = recipe.replace(precision=saved.identity["precision"])
        with nullcontext() if joined.is_main else mute_log(), explain_out_of_memory(*_room(recipe)):
            images = find_training_images(data, skip_broken=options.skip_broken)
            recipe = fit_recipe(with_precision(recipe, joined.device), images)
            data_path = data.hr if isinstance(data, Pairs) else None if isinstance(data, tuple) else data
            return _Training(
                recipe,
                joined,
                files,
                saved,
                images,
                Validator(recipe, validation, data_path),
                checkpoint.load(init, "cpu") if init else None,
                options,
            ).run()


def _room(recipe: Recipe) -> tuple[str, str]:
    """Name what needs memory, and how it needs less."""
    side = recipe.patch_size
    return (
        f"training with batches of {recipe.batch_size} patches of {side} x {side} pixels",
        "a smaller batch_size, patch_size or width may do, or a store for the pixels of the images",
    )


class _Training:
    """A run in progress, in one of its processes."""

    def __init__(
        self,
        recipe: Recipe,
        world: World,
        folder: RunFolder,
        saved: SavedRun | None,
        images: TrainingImages,
        validator: Validator,
        init: checkpoint.Checkpoint | None,
        options: Options,
    ) -> None:
        self.recipe, self.world, self.folder, self.init, self.options = recipe, world, folder, init, options
        self.images, self.validator, self.saved = images, validator, saved
        self.identity = {
            **recipe.model_dump(mode="json"),
            "init": init.hash if init else None,
            "images": hash_files(images.hr),
            "lr": hash_files(images.lr) if images.lr else None,
            "validation_set": validator.name,
        }
        if saved:
            world.broadcast_from_main(lambda: saved.check(self.identity))
        self.state = TrainingState(recipe, folder.weights, world.device, init)

    def run(self) -> Run:
        """Resume where there is a state, train, and write the result."""
        state, folder, world = self.state, self.folder, self.world
        if self.saved and (finished := self.saved.result(self.recipe.steps)):
            logger.info(f"{folder.path} holds this run, finished; remove the folder to run it again.")
            return finished
        if self.saved and self.saved.state:
            folder.restore(state, self.saved.state)
            logger.info(f"Going on from step {state.step} of {self.recipe.steps} in {folder.path}.")
        world.broadcast_from_main(self.validator.check_images)
        self.data = _load_data(self.recipe, self.images, self.world, self.options)
        with ExitStack() as stack:
            if self.data.pixels.folder:
                stack.enter_context(explain_lost_pages(self.data.pixels.folder))
            world.broadcast_from_main(lambda: self.open(stack))
            signals = stack.enter_context(deferred_signals())
            if self.loop(signals):
                world.broadcast_from_main(self.write_result)
            else:
                signals.append(signal.SIGTERM)  # of another process, where there is none of this one
                logger.info(f"Stopped after step {state.step}; the same command goes on from there.")
        return state.run

    def open(self, stack: ExitStack) -> None:
        """Lock the folder and begin a log, until the stack ends."""
        stack.enter_context(self.folder.lock())
        given, resumed = self.options.logs_path, self.state.step > 0
        logs = user_path(given or self.folder.path / "logs")
        # A folder that was given may hold another run's curves, which a new run must not void.
        purge_from = self.state.step + 1 if resumed or not given else None
        self.log = stack.enter_context(closing(EventLog(logs, purge_from)))

    def loop(self, signals: list[int]) -> bool:
        """Train from the present step to the last; return False where a signal ended it before."""
        recipe, state, world = self.recipe, self.state, self.world
        if state.step and self.validator.is_due(state) and not self.validate(signals):
            return False
        make_step = build_step(
            recipe,
            state,
            compiled=self.options.compiles_on(world.device),
            distributed=world.size > 1,
            graph=world.size == 1 and self.data.pixels.folder is None,
        )
        losses: list[Tensor] = []
        pace, started = Pace(state.step), time.perf_counter() - state.seconds
        steps = range(state.step, recipe.steps)
        for ilr, hr in self.data.batches(steps, recipe.batch_size, world.rank, world.size):
            learning_rate = recipe.lr_at(state.step)
            state.optimizer.set_learning_rate(learning_rate)
            losses.append(torch.stack([make_step(ilr, hr), loss_of(recipe, ilr, hr)]))
            state.step += 1
            if recipe.reinitialise_every and state.step % recipe.reinitialise_every == 0:
                reinitialise_dead_maps(recipe, state, self.data, world)
            # Several processes must agree where to stop; to ask at every step would cost them time.
            stopping = (world.size == 1 or state.step % LOG_EVERY == 0) and world.any(bool(signals))
            validating = self.validator.is_due(state)
            saving = stopping or validating or state.step % self.options.save_every == 0
            if saving or state.step % LOG_EVERY == 0:
                self.record(losses, learning_rate)
                losses.clear()
            if saving:
                state.seconds = time.perf_counter() - started
                logger.info(pace.report(recipe, state.run.history[-1]))
                world.broadcast_from_main(self.save)
            if validating:  # once the steps are safe, whatever it meets
                stopping = not self.validate(signals) or stopping
            if saving:
                pace = Pace(state.step)  # to which a validation does not count
            if stopping:
                return False
        return True

    def record(self, losses: Sequence[Tensor], learning_rate: float) -> None:
        """Record the mean losses (SR, ILR) since the last record; raise Diverged where one is not finite."""
        state = self.state
        loss, interpolation = self.world.mean(torch.stack(list(losses)).mean(0)).tolist()
        check_finite(self.recipe, state, self.folder, loss, learning_rate)
        row = {"loss": loss, "interpolation_loss": interpolation, "learning_rate": learning_rate}
        state.run.history.append({"step": state.step, **row})
        if self.world.is_main:
            for name, value in row.items():
                self.log.scalar(name, value, state.step)

    def validate(self, signals: list[int]) -> bool:
        """Score the network; return False where a signal came meanwhile."""

        def score() -> None:
            if self.validator.score(self.state, self.data, self.log, stop=lambda: bool(signals)):
                self.save()

        self.world.broadcast_from_main(score)
        return not self.world.any(bool(signals))

    def save(self) -> None:
        """Write the state and the log."""
        self.folder.save_state(self.state, self.identity)
        self.log.flush()

    def write_result(self) -> None:
        """Write the weights, the samples and the record."""
        recipe, run, init = self.recipe, self.state.run, self.init
        info = {
            "protocol": recipe.protocol,
            "scales": sorted({*recipe.scales, *(init.info["scales"] if init else ())}),  # of all its training
            "recipe": recipe.model_dump(mode="json"),
            **({"init": {"file": init.file, "sha256": init.hash}} if init else {}),
            "data": f"{self.images.name}, {len(self.images.hr) - len(self.data.pixels.index.broken)} images",
            "validation": {self.validator.name: run.validation[-1]},
            "device": device_name(self.world.device),
            "processes": self.world.size,
            "seconds": round(self.state.seconds, 1),
            "versions": versions(),
        }
        checkpoint.save(self.folder.weights, self.state.ema_model, info)
        save_image(self.folder.samples, sample_patches(self.state.ema_model, self.data))
        rest = {
            "images_sha256": self.identity["images"],
            **({"lr_sha256": self.identity["lr"]} if self.images.lr else {}),
            "validation_set": self.validator.name,
            "weights": {"file": self.folder.weights.name, "sha256": hash_file(self.folder.weights)},
            "history": run.history,
            "validation": run.validation,
        }
        write_json(self.folder.record, {**info, **rest})


def _load_data(recipe: Recipe, images: TrainingImages, world: World, options: Options) -> TrainingSet:
    """Decode the images, or open what a store has of them, and report what was left out."""
    data = TrainingSet(
        recipe,
        images.hr,
        lr=images.lr,
        device=world.device,
        store=options.store,
        skip_broken=options.skip_broken,
        progress=world.is_main and sys.stderr.isatty(),
    )
    logger.info(f"Training on {images.name}: {data!r}, on {device_name(world.device)}.")
    if data.pixels.index.skipped:
        logger.info(f"Left out, smaller than a patch: {shorten(data.pixels.index.skipped, most=20)}.")
    if data.pixels.index.broken:
        logger.info(f"Left out, cannot be read: {shorten(data.pixels.index.broken, most=20)}.")
    return data
