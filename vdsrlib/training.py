"""Training: one loop that runs every recipe, can be stopped at any moment, and goes on where it was."""

import io
import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from filelock import Timeout
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.tensorboard import SummaryWriter

from vdsrlib import checkpoint, files
from vdsrlib.capture import Captured
from vdsrlib.data import TrainingSet
from vdsrlib.distributed import World, alone, join, quiet
from vdsrlib.environment import choose_device, device_name, fast_in_bfloat16, versions, without_tf32
from vdsrlib.evaluation import check_names, evaluate, predict
from vdsrlib.features import silent, silent_maps
from vdsrlib.files import InputError
from vdsrlib.images import as_rgb, benchmark_images, read_image, save_image, to_uint8, training_images
from vdsrlib.model import VDSR
from vdsrlib.optimizer import Optimizer, average
from vdsrlib.protocol import get_protocol
from vdsrlib.recipe import Recipe

Images = tuple[str, Sequence[Path]]
"""Name and paths of a set of images."""


@dataclass
class Run:
    """What a training run leaves behind, besides its TensorBoard log.

    Attributes:
        weights: the safetensors file.
        history: {"step", "loss", "learning_rate"} every ``LOG_EVERY`` steps and at each saved state; the
            loss is the mean since the last. Also at each validation.
        validation: {"step", "psnr": {scale: {"interpolation", "model"}}, "silent": {ReLU: maps}} for each
            validation; ``silent`` as of ``features.silent_maps``, on the first batch.
    """

    weights: Path
    history: list[dict[str, float]] = field(default_factory=list)
    validation: list[dict[str, Any]] = field(default_factory=list)


LOG_EVERY = 10
REVIVE_BATCHES = 4


class Diverged(InputError):
    """The loss or a weight is no longer finite.

    Attributes:
        step: by which it was noticed.
        run: what the training recorded before.
    """

    def __init__(self, message: str, step: int, run: Run) -> None:
        super().__init__(message)
        self.step, self.run = step, run


def train(
    recipe: Recipe,
    ckpt_path: str | Path,
    logs_path: str | Path,
    *,
    data_path: str | Path | None = None,
    validation_set: str = "Set5",
    validate_every: int = 500,
    save_every: int = 100,
    init: str | Path | None = None,
    store: str | Path | None = None,
    skip_broken: bool = False,
    device: str = "auto",
    compiled: bool | None = None,
    report: Callable[[str], None] = print,
    images: Images | None = None,
    validation: Images | None = None,
    validation_scales: Sequence[float] | None = None,
    world: World | None = None,
) -> Run:
    """Train a network by a recipe; started again with the same arguments, it goes on where it was.

    SIGTERM and Ctrl-C end the step, save the state, and then end the program. Started by
    ``torchrun``, the processes share every batch evenly, and the first one alone writes.

    Args:
        recipe: what to do.
        ckpt_path: folder for ``weights.safetensors`` (the result), ``state.pt`` (to go on from),
            ``samples.png`` (rows of ILR, SR, HR patches) and ``run.json`` (recipe, losses, validation,
            versions, device, time).
        logs_path: folder for TensorBoard's event files.
        data_path: folder of images, or one that holds T91 and BSD200; default VDSR_DATA, then the
            bundled photographs.
        validation_set: benchmark to score during training, under the recipe's protocol.
        validate_every: steps between validations; 0 for none but the last.
        save_every: steps between saved states.
        init: weights to begin with, instead of random ones: to train a network further, or to adapt it to
            other images.
        store: folder for prepared pixels, for sets larger than memory (see ``TrainingSet``).
        skip_broken: leave out images that cannot be read, rather than refuse to begin.
        device: "auto", "cpu", "cuda" or "mps".
        compiled: run the network through torch.compile; default: on CUDA. On one GPU, the whole step is then
            recorded as a CUDA graph and replayed, where the optimizer allows it.
        report: is given a line of progress now and then.
        images: name and paths of the training images, instead of all that ``data_path`` has.
        validation: likewise, instead of ``validation_set``.
        validation_scales: scales to validate at; default: the recipe's.
        world: the processes that train together, and where; default: those that ``torchrun`` started. With
            a world of one, each of ``torchrun``'s processes can train a network of its own.

    Raises:
        Diverged: the loss or a weight is no longer finite; the last saved state is kept.
        InputError: images or folders are unusable, ``init`` is no network as the recipe asks for, or
            ``ckpt_path`` holds a run of another recipe, from other weights, of other images, or of another
            validation set, or another process trains there.
    """
    for name, value, least in (("save_every", save_every, 1), ("validate_every", validate_every, 0)):
        if value < least:
            raise InputError(f"{name} is {value}; write a whole number from {least} up.")
    where = world.device if world else choose_device(device)
    recipe = with_precision(recipe, where)
    with nullcontext(world) if world else join(where) as joined:
        if recipe.batch_size % joined.size:
            raise InputError(
                f"batch_size is {recipe.batch_size}; write a multiple of the {joined.size} processes."
            )
        training = _Training(
            recipe,
            Path(ckpt_path),
            joined,
            images or training_images(data_path),
            validation or benchmark_images(validation_set, data_path),
            validation_scales or recipe.scales,
            checkpoint.load(init) if init else None,
            report if joined.leads else quiet,
        )
        if training.finished:
            training.report(f"{ckpt_path} holds this run, finished; remove the folder to run it again.")
            return training.run
        joined.from_leader(training.check_validation)
        training.load_data(store, skip_broken)
        with training.alone():
            training.loop(
                Path(logs_path),
                validate_every,
                save_every,
                where.type == "cuda" if compiled is None else compiled,
            )
            if joined.leads:
                training.finish()
        return training.run


def with_precision(recipe: Recipe, device: torch.device) -> Recipe:
    """The recipe with the precision that "auto" means on this device."""
    if recipe.precision != "auto":
        return recipe
    return replace(recipe, precision="bfloat16" if fast_in_bfloat16(device) else "float32")


class _Training:
    """A run in progress, in one of its processes."""

    def __init__(
        self,
        recipe: Recipe,
        folder: Path,
        world: World,
        images: Images,
        validation: Images,
        validation_scales: Sequence[float],
        init: checkpoint.Checkpoint | None,
        report: Callable[[str], None],
    ) -> None:
        self.recipe, self.folder, self.world, self.report = recipe, folder, world, report
        self.protocol = get_protocol(recipe.protocol)
        self.data_name, self.paths = images
        self.validation_name, self.validation_paths = validation
        self.validation_scales = validation_scales
        self.init = init
        self.identity = {
            **recipe.to_dict(),
            "init": init.hash if init else None,
            "images": files.contents(self.paths),
            "validation_set": self.validation_name,
        }

        torch.manual_seed(recipe.seed)
        self.model = build(recipe)
        if init:
            _begin_with(self.model, recipe, init)
        self.model.to(world.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.scored = deepcopy(self.model) if recipe.ema else self.model  # the average of the weights
        self.optimizer = Optimizer(recipe, self.model)
        self.run = Run(folder / "weights.safetensors")
        self.step, self.seconds = 0, 0.0
        self.state_file = folder / "state.pt"
        state = world.from_leader(lambda: _load_state(self.state_file, self.identity))
        if state is not None:
            self.run.history, self.run.validation = state["history"], state["validation"]
            self.step, self.seconds = state["step"], state["seconds"]
        complete = world.from_leader(lambda: self.run.weights.exists() and (folder / "run.json").exists())
        self.finished = complete and self.step == recipe.steps
        if state is not None and not self.finished:
            try:
                self.model.load_state_dict(state["model"])
                self.scored.load_state_dict(state["scored"])
                self.optimizer.load_state_dict(state["optimizer"])
            except (KeyError, ValueError, RuntimeError) as error:
                raise InputError(
                    f"{self.state_file} is of another version of this program; remove it to start again."
                ) from error
            report(f"Going on from step {self.step} of {recipe.steps} in {folder}.")

    def check_validation(self) -> None:
        """Raise InputError where an image cannot be scored, before there is anything to lose."""
        check_names(self.validation_paths)
        for path in self.validation_paths:
            image = read_image(path)
            for scale in self.validation_scales:
                try:
                    self.protocol.ground_truth(image, scale)
                except InputError as error:
                    raise InputError(f"{path}: {error}") from error

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other processes from training in the same folder, which must be one that can be written."""
        with ExitStack() as stack:

            def lock() -> None:
                try:
                    stack.enter_context(alone(self.folder / "state.lock", timeout=0))
                except Timeout as error:
                    raise InputError(
                        f"Another process is training in {self.folder}; wait, or give another ckpt_path."
                    ) from error

            self.world.from_leader(lock)
            yield

    def load_data(self, store: str | Path | None, skip_broken: bool) -> None:
        self.data = training_set(
            self.recipe,
            self.paths,
            device=self.world.device,
            store=store,
            skip_broken=skip_broken,
            progress=self.world.leads and sys.stderr.isatty(),
        )
        self.report(f"Training on {self.data_name}: {self.data!r}, on {device_name(self.world.device)}.")
        if self.data.skipped:
            self.report(f"Left out, smaller than a patch: {_listed(self.data.skipped)}.")
        if self.data.broken:
            self.report(f"Left out, cannot be read: {_listed(self.data.broken)}.")

    def loop(self, logs: Path, validate_every: int, save_every: int, compiled: bool) -> None:
        """Train from the present step to the last."""
        recipe, world = self.recipe, self.world
        advance = self.advance(compiled)
        first, before, started = self.step, self.seconds, time.perf_counter()
        reported = first, started
        batches = self.data.batches(range(first, recipe.steps), recipe.batch_size, (world.rank, world.size))
        losses: list[Tensor] = []

        def due() -> bool:  # a validation, after this step
            return self.step == recipe.steps or bool(validate_every and self.step % validate_every == 0)

        with (
            files.writing(f"logs to {logs}"),
            _writer(logs, first + 1, world) as log,
            _stop_signals() as signals,
        ):
            if world.leads and first and due() and first not in [row["step"] for row in self.run.validation]:
                self.validate(log)  # in which the run was ended, or failed
                self.save()
            for ilr, hr in batches:
                rate = recipe.rate(self.step)
                self.optimizer.set_rate(rate)
                losses.append(advance(ilr, hr))
                self.step += 1
                if recipe.revive_every and self.step % recipe.revive_every == 0:
                    self.revive()
                # Several processes must agree where to stop; to ask at every step would cost them time.
                asking = world.size == 1 or self.step % LOG_EVERY == 0
                stopping = asking and world.any(bool(signals))
                validating = due()
                saving = stopping or validating or self.step % save_every == 0
                if saving or self.step % LOG_EVERY == 0:
                    mean = world.mean(torch.stack(losses).mean()).item()
                    losses.clear()
                    self.stop_unless_finite(mean, rate)
                    self.run.history.append({"step": self.step, "loss": mean, "learning_rate": rate})
                    if world.leads:
                        log.add_scalar("loss", mean, self.step)
                        log.add_scalar("learning_rate", rate, self.step)
                if saving:
                    self.seconds = before + time.perf_counter() - started
                    pace = (time.perf_counter() - reported[1]) / (self.step - reported[0])
                    self.report(
                        f"step {self.step}/{recipe.steps}  loss {mean:.3g}  rate {rate:.3g}  "
                        f"{recipe.batch_size / pace:.0f} patches/s  "
                        f"{pace * (recipe.steps - self.step) / 60:.0f} min left"
                    )
                if world.leads and saving:
                    self.save()
                if world.leads and validating:  # once the steps are safe, whatever it meets
                    self.validate(log)
                    self.save()
                if saving:
                    reported = self.step, time.perf_counter()  # neither compiling nor validation is pace
                if stopping and self.step < recipe.steps:
                    self.report(f"Stopped after step {self.step}; the same command goes on from there.")
                    # as the signal would have ended the program, had it not been kept until now
                    raise KeyboardInterrupt if signal.SIGINT in signals else SystemExit(128 + signal.SIGTERM)

    @torch.no_grad()
    def revive(self) -> None:
        """Let the maps begin anew that are silent on the next batches, in the network and in the average."""
        networks = self.model, self.scored

        def find() -> dict[str, Tensor]:
            steps, size = range(self.step, self.step + REVIVE_BATCHES), self.recipe.batch_size
            batch = torch.cat([self.data.batch(step, size)[0] for step in steps]).to(self.world.device)
            current, averaged = (silent(network, batch) for network in networks)
            return {name: (maps & averaged[name]).cpu() for name, maps in current.items()}

        asleep = self.world.from_leader(find)  # for all: on unlike GPUs, a map may be silent on one alone
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.recipe.seed + self.step)
            fresh = build(self.recipe).to(self.world.device)
        for i in range(1, self.recipe.depth):
            maps = asleep[f"relu.{i}"]
            for network in networks:
                into, anew, out_of = network.conv[str(i)], fresh.conv[str(i)], network.conv[str(i + 1)]
                for old, new in zip(into.parameters(), anew.parameters(), strict=True):
                    old[maps] = new[maps]
                next(out_of.parameters())[:, maps] = 0.0  # its weights

    def advance(self, compiled: bool) -> Callable[[Tensor, Tensor], Tensor]:
        """What makes a step with a batch, at the optimizer's rate, and gives the loss."""
        recipe, first = self.recipe, self.step
        eager: nn.Module = DistributedDataParallel(self.model) if self.world.size > 1 else self.model
        network = cast(nn.Module, torch.compile(eager)) if compiled else eager

        def step(ilr: Tensor, hr: Tensor) -> Tensor:
            nonlocal network
            try:
                loss = backward(recipe, network, ilr, hr)
            except Exception as error:  # compiling fails in many ways, always in the first step
                if network is eager or self.step > first or isinstance(error, torch.OutOfMemoryError):
                    raise
                reason = (str(error) or repr(error)).splitlines()[0]
                self.report(f"torch.compile does not work here ({reason}); training goes on without it.")
                network = eager
                loss = backward(recipe, network, ilr, hr)
            self.optimizer.step()
            if recipe.ema:  # the average begins with the weights of the first step
                average(self.scored, self.model, 1 - recipe.ema if self.step else 1.0)
            return loss

        # Nothing else may use the GPU meanwhile: neither other processes, nor what reads ahead from a store.
        undisturbed = self.world.size == 1 and self.data.folder is None
        return Captured(step) if compiled and undisturbed and self.optimizer.capturable else step

    def stop_unless_finite(self, loss: float, rate: float) -> None:
        weights = torch.stack([p.isfinite().all() for p in self.model.parameters()])
        if math.isfinite(loss) and weights.all():
            return
        kept = f"; {self.state_file}, saved before, is kept" if self.state_file.exists() else ""
        clip, theta = self.recipe.clip, self.recipe.theta
        clipping = "clip the gradients" if clip == "none" else f"a theta below {theta:g}"
        raise Diverged(
            f"The loss or a weight is no longer finite by step {self.step}, at a learning rate of {rate:g}. "
            f"Write a lower learning_rate, or {clipping}{kept}.",
            self.step,
            self.run,
        )

    def validate(self, log: SummaryWriter) -> None:
        psnr = {}
        for scale in self.validation_scales:
            # in PyTorch: to prepare another runtime for weights that change would cost more than it saves
            how = partial(predict, engine="torch")
            mean = evaluate(self.scored, self.protocol, self.validation_paths, scale, predict=how)["mean"]
            psnr[f"{scale:g}"] = {name: mean[name]["psnr"] for name in ("interpolation", "model")}
            log.add_scalar(f"psnr/x{scale:g}", psnr[f"{scale:g}"]["model"], self.step)
        batch = self.data.batch(0, self.recipe.batch_size)[0].to(self.world.device)
        silent = silent_maps(self.scored, batch)
        share = sum(silent.values()) / (self.recipe.width * (self.recipe.depth - 1))
        log.add_scalar("silent maps", share, self.step)
        picture = as_rgb(samples(self.scored, self.data))
        log.add_image("ILR, SR, HR", picture, self.step, dataformats="HWC")
        self.run.validation.append({"step": self.step, "psnr": psnr, "silent": silent})
        found = ", ".join(
            f"x{scale} {value['model']:.2f} dB ({value['model'] - value['interpolation']:+.2f})"
            for scale, value in psnr.items()
        )
        asleep = f"; {100 * share:.0f} % of the feature maps are silent" if silent else ""
        self.report(f"step {self.step}: {self.validation_name} {found} against interpolation{asleep}")

    def save(self) -> None:
        buffer = io.BytesIO()
        torch.save(
            {
                "identity": self.identity,
                "step": self.step,
                "seconds": self.seconds,
                "model": self.model.state_dict(),
                "scored": self.scored.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "history": self.run.history,
                "validation": self.run.validation,
            },
            buffer,
        )
        with files.atomic(self.state_file) as temporary:
            temporary.write_bytes(buffer.getvalue())

    def finish(self) -> None:
        """Write the weights, the samples and the record."""
        scales = {*self.recipe.scales, *(self.init.info["scales"] if self.init else ())}
        info = {
            "protocol": self.protocol.name,
            "scales": sorted(scales),  # of all its training
            "recipe": self.recipe.to_dict(),
            **({"init": {"file": self.init.file, "sha256": self.init.hash}} if self.init else {}),
            "data": f"{self.data_name}, {len(self.paths) - len(self.data.broken)} images",
            "validation": {self.validation_name: self.run.validation[-1]},
            "device": device_name(self.world.device),
            "processes": self.world.size,
            "seconds": round(self.seconds, 1),
            "versions": versions(),
        }
        checkpoint.save(self.run.weights, self.scored, info)
        save_image(self.folder / "samples.png", samples(self.scored, self.data))
        files.write_json(
            self.folder / "run.json",
            {
                **info,
                "validation_set": self.validation_name,
                "weights": {"file": self.run.weights.name, "sha256": files.sha256(self.run.weights)},
                "history": self.run.history,
                "validation": self.run.validation,
            },
        )


def _listed(names: Sequence[str], most: int = 20) -> str:
    """The names, and of many only the first and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def training_set(recipe: Recipe, paths: Sequence[Path], **options: Any) -> TrainingSet:
    """The patches that a recipe asks for; ``options`` as in ``TrainingSet``."""
    return TrainingSet(
        paths,
        get_protocol(recipe.protocol),
        recipe.scales,
        patch=recipe.patch_size,
        overlap=recipe.overlap,
        degrade_patch=recipe.degrade_patch,
        orientations=recipe.orientations,
        copies=recipe.copies,
        candidates=recipe.candidates,
        seed=recipe.seed,
        **options,
    )


def build(recipe: Recipe) -> VDSR:
    """The network that a recipe asks for, with the initial weights that the random state gives."""
    channels = get_protocol(recipe.protocol).channels
    return VDSR(recipe.depth, recipe.width, channels, recipe.last_gain, recipe.residual)


def _begin_with(model: VDSR, recipe: Recipe, init: checkpoint.Checkpoint) -> None:
    """Copy the weights of ``init``, unless they are of another network than the recipe's."""
    there = (init.protocol, init.model.depth, init.model.width, init.model.adds_ilr)
    if there != (recipe.protocol, recipe.depth, recipe.width, recipe.residual):
        raise InputError(
            f"{init.file}, to begin with, is another network than the recipe's; write "
            "protocol {}, depth {}, width {} and residual {}.".format(*there)
        )
    model.load_state_dict(init.model.state_dict())


def backward(recipe: Recipe, network: nn.Module, ilr: Tensor, hr: Tensor) -> Tensor:
    """Forward, loss and gradients of one batch; returns the loss, detached."""
    reduced = recipe.precision == "bfloat16"
    with without_tf32(benchmark=ilr.is_cuda):  # patches are always of one size
        with torch.autocast(ilr.device.type, dtype=torch.bfloat16, enabled=reduced):
            sr = network(ilr)
        if recipe.loss == "sum":
            loss = 0.5 * nn.functional.mse_loss(sr, hr, reduction="sum") / len(hr)
        elif recipe.loss == "mean":
            loss = nn.functional.mse_loss(sr, hr)
        else:
            loss = nn.functional.l1_loss(sr, hr)
        network.zero_grad()
        loss.backward()
    return loss.detach()


def trial(recipe: Recipe, paths: Sequence[Path]) -> list[float]:
    """The loss at every step of a run that saves nothing, on the CPU; it ends where the loss is not finite.

    A run that diverges is a result here, not an error: for comparing rates and clipping rules.
    """
    data = training_set(recipe, paths)
    torch.manual_seed(recipe.seed)
    model = build(recipe)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer, losses = Optimizer(recipe, model), []
    for step in range(recipe.steps):
        losses.append(backward(recipe, model, *data.batch(step, recipe.batch_size)).item())
        if not math.isfinite(losses[-1]):
            break
        optimizer.set_rate(recipe.rate(step))
        optimizer.step()
    return losses


@torch.inference_mode()
def samples(model: VDSR, data: TrainingSet, count: int = 8) -> np.ndarray:
    """Rows of ILR, SR and HR of the same training patches, as one uint8 image."""
    device = next(model.parameters()).device
    ilr, hr = (patches.to(device) for patches in data.batch(0, count))
    with without_tf32():
        sr = model(ilr)
    rows = [data.protocol.from_network(batch).clamp(0, 1) for batch in (ilr, sr, hr)]
    framed = nn.functional.pad(torch.stack(rows), (1, 1, 1, 1), value=1.0)  # row x patch x C x H x W
    picture = framed.permute(0, 3, 1, 4, 2).flatten(2, 3).flatten(0, 1)
    return to_uint8(picture.squeeze(-1).cpu().numpy())


@contextmanager
def _stop_signals() -> Iterator[list[int]]:
    """Collect SIGTERM and Ctrl-C, instead of being ended by them in the middle of a step."""
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():  # Python's rule for signals
        yield received
        return
    kept = {
        number: signal.signal(number, lambda number, _: received.append(number))
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield received
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


def _writer(folder: Path, purge_step: int, world: World) -> AbstractContextManager[Any]:
    """TensorBoard's writer, in the leading process alone."""
    return SummaryWriter(str(folder), purge_step=purge_step) if world.leads else nullcontext()


def _load_state(path: Path, wanted: dict[str, Any]) -> dict[str, Any] | None:
    """The saved state, if there is one; ``wanted`` is the identity of the run: recipe and images."""
    if not path.exists():
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        # what is new since there are states
        new = {
            "residual": True,
            "candidates": 1,
            "bias_rate": 1.0,
            "revive_every": 0,
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
