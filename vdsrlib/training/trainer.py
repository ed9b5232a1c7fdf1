"""Training: one loop that runs every recipe, can be stopped at any moment, and goes on where it was."""

import io
import math
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from filelock import Timeout
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.tensorboard import SummaryWriter

from vdsrlib.datasets.catalog import benchmark_images, training_images
from vdsrlib.errors import InputError, explain_write_error
from vdsrlib.evaluation.evaluate import evaluate
from vdsrlib.evaluation.images import check_unique_stems
from vdsrlib.imaging.colour import as_rgb
from vdsrlib.imaging.image_file import read_image, save_image
from vdsrlib.inference.options import InferenceOptions
from vdsrlib.inference.predict import predict
from vdsrlib.models import checkpoint
from vdsrlib.protocol import get_protocol
from vdsrlib.training.cuda_graph import GraphedStep
from vdsrlib.training.dead_maps import count_dead_maps, find_dead_maps
from vdsrlib.training.optimizer import Optimizer, update_ema
from vdsrlib.training.recipe import Recipe
from vdsrlib.training.run_state import Diverged, Run, load_state
from vdsrlib.training.step import (
    build_network,
    forward_backward,
    load_initial_weights,
    training_set,
    with_precision,
)
from vdsrlib.training.validation import sample_patches
from vdsrlib.utils.atomic import atomic, write_json
from vdsrlib.utils.device import choose_device, device_name, versions
from vdsrlib.utils.distributed import World, discard, init_distributed
from vdsrlib.utils.hashing import hash_file, hash_files
from vdsrlib.utils.locks import file_lock
from vdsrlib.utils.paths import user_path
from vdsrlib.utils.signals import deferred_signals

Images = tuple[str, Sequence[Path]]
"""Name and paths of a set of images."""


LOG_EVERY = 10
REVIVE_BATCHES = 4


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
    with nullcontext(world) if world else init_distributed(where) as joined:
        if recipe.batch_size % joined.size:
            raise InputError(
                f"batch_size is {recipe.batch_size}; write a multiple of the {joined.size} processes."
            )
        training = _Training(
            recipe,
            user_path(ckpt_path),
            joined,
            images or training_images(data_path),
            validation or benchmark_images(validation_set, data_path),
            validation_scales or recipe.scales,
            checkpoint.load(init, "cpu") if init else None,
            report if joined.is_main else discard,
        )
        if training.finished:
            training.report(f"{ckpt_path} holds this run, finished; remove the folder to run it again.")
            return training.run
        joined.broadcast_from_main(training.check_validation)
        training.load_data(store, skip_broken)
        with training.alone():
            training.loop(
                user_path(logs_path),
                validate_every,
                save_every,
                where.type == "cuda" if compiled is None else compiled,
            )
            if joined.is_main:
                training.finish()
        return training.run


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
            "images": hash_files(self.paths),
            "validation_set": self.validation_name,
        }

        torch.manual_seed(recipe.seed)
        self.model = build_network(recipe)
        if init:
            load_initial_weights(self.model, recipe, init)
        self.model.to(world.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.ema_model = deepcopy(self.model) if recipe.ema else self.model  # the average of the weights
        self.optimizer = Optimizer(recipe, self.model)
        self.run = Run(folder / "weights.safetensors")
        self.step, self.seconds = 0, 0.0
        self.state_file = folder / "state.pt"
        state = world.broadcast_from_main(lambda: load_state(self.state_file, self.identity))
        if state is not None:
            self.run.history, self.run.validation = state["history"], state["validation"]
            self.step, self.seconds = state["step"], state["seconds"]
        complete = world.broadcast_from_main(
            lambda: self.run.weights.exists() and (folder / "run.json").exists()
        )
        self.finished = complete and self.step == recipe.steps
        if state is not None and not self.finished:
            try:
                self.model.load_state_dict(state["model"])
                self.ema_model.load_state_dict(state["scored"])
                self.optimizer.load_state_dict(state["optimizer"])
            except (KeyError, ValueError, RuntimeError) as error:
                raise InputError(
                    f"{self.state_file} is of another version of this program; remove it to start again."
                ) from error
            report(f"Going on from step {self.step} of {recipe.steps} in {folder}.")

    def check_validation(self) -> None:
        """Raise InputError where an image cannot be scored, before there is anything to lose."""
        check_unique_stems(self.validation_paths)
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
                    stack.enter_context(file_lock(self.folder / "state.lock", timeout=0))
                except Timeout as error:
                    raise InputError(
                        f"Another process is training in {self.folder}; wait, or give another ckpt_path."
                    ) from error

            self.world.broadcast_from_main(lock)
            yield

    def load_data(self, store: str | Path | None, skip_broken: bool) -> None:
        self.data = training_set(
            self.recipe,
            self.paths,
            device=self.world.device,
            store=store,
            skip_broken=skip_broken,
            progress=self.world.is_main and sys.stderr.isatty(),
        )
        self.report(f"Training on {self.data_name}: {self.data!r}, on {device_name(self.world.device)}.")
        if self.data.skipped:
            self.report(f"Left out, smaller than a patch: {_shortened(self.data.skipped)}.")
        if self.data.broken:
            self.report(f"Left out, cannot be read: {_shortened(self.data.broken)}.")

    def loop(self, logs: Path, validate_every: int, save_every: int, compiled: bool) -> None:
        """Train from the present step to the last."""
        recipe, world = self.recipe, self.world
        advance = self.make_step(compiled)
        first, before, started = self.step, self.seconds, time.perf_counter()
        reported = first, started
        batches = self.data.batches(range(first, recipe.steps), recipe.batch_size, (world.rank, world.size))
        losses: list[Tensor] = []

        def due() -> bool:  # a validation, after this step
            return self.step == recipe.steps or bool(validate_every and self.step % validate_every == 0)

        with (
            explain_write_error(f"logs to {logs}"),
            _writer(logs, first + 1, world) as log,
            deferred_signals() as signals,
        ):
            if (
                world.is_main
                and first
                and due()
                and first not in [row["step"] for row in self.run.validation]
            ):
                self.validate(log)  # in which the run was ended, or failed
                self.save()
            for ilr, hr in batches:
                rate = recipe.lr_at(self.step)
                self.optimizer.set_rate(rate)
                losses.append(advance(ilr, hr))
                self.step += 1
                if recipe.reinitialise_every and self.step % recipe.reinitialise_every == 0:
                    self.revive()
                # Several processes must agree where to stop; to ask at every step would cost them time.
                asking = world.size == 1 or self.step % LOG_EVERY == 0
                stopping = asking and world.any(bool(signals))
                validating = due()
                saving = stopping or validating or self.step % save_every == 0
                if saving or self.step % LOG_EVERY == 0:
                    mean = world.mean(torch.stack(losses).mean()).item()
                    losses.clear()
                    self.check_finite(mean, rate)
                    self.run.history.append({"step": self.step, "loss": mean, "learning_rate": rate})
                    if world.is_main:
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
                if world.is_main and saving:
                    self.save()
                if world.is_main and validating:  # once the steps are safe, whatever it meets
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
        networks = self.model, self.ema_model

        def find() -> dict[str, Tensor]:
            steps, size = range(self.step, self.step + REVIVE_BATCHES), self.recipe.batch_size
            batch = torch.cat([self.data.batch(step, size)[0] for step in steps]).to(self.world.device)
            current, averaged = (find_dead_maps(network, batch) for network in networks)
            return {name: (maps & averaged[name]).cpu() for name, maps in current.items()}

        asleep = self.world.broadcast_from_main(
            find
        )  # for all: on unlike GPUs, a map may be silent on one alone
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.recipe.seed + self.step)
            fresh = build_network(self.recipe).to(self.world.device)
        for i in range(1, self.recipe.depth):
            maps = asleep[f"relu.{i}"]
            for network in networks:
                into, anew, out_of = network.conv[str(i)], fresh.conv[str(i)], network.conv[str(i + 1)]
                for old, new in zip(into.parameters(), anew.parameters(), strict=True):
                    old[maps] = new[maps]
                next(out_of.parameters())[:, maps] = 0.0  # its weights

    def make_step(self, compiled: bool) -> Callable[[Tensor, Tensor], Tensor]:
        """What makes a step with a batch, at the optimizer's rate, and gives the loss."""
        recipe, first = self.recipe, self.step
        eager: nn.Module = DistributedDataParallel(self.model) if self.world.size > 1 else self.model
        network = cast(nn.Module, torch.compile(eager)) if compiled else eager

        def step(ilr: Tensor, hr: Tensor) -> Tensor:
            nonlocal network
            try:
                loss = forward_backward(recipe, network, ilr, hr)
            except Exception as error:  # compiling fails in many ways, always in the first step
                if network is eager or self.step > first or isinstance(error, torch.OutOfMemoryError):
                    raise
                reason = (str(error) or repr(error)).splitlines()[0]
                self.report(f"torch.compile does not work here ({reason}); training goes on without it.")
                network = eager
                loss = forward_backward(recipe, network, ilr, hr)
            self.optimizer.step()
            if recipe.ema:  # the average begins with the weights of the first step
                update_ema(self.ema_model, self.model, 1 - recipe.ema if self.step else 1.0)
            return loss

        # Nothing else may use the GPU meanwhile: neither other processes, nor what reads ahead from a store.
        undisturbed = self.world.size == 1 and self.data.folder is None
        return GraphedStep(step) if compiled and undisturbed and self.optimizer.capturable else step

    def check_finite(self, loss: float, rate: float) -> None:
        weights = torch.stack([p.isfinite().all() for p in self.model.parameters()])
        if math.isfinite(loss) and weights.all():
            return
        kept = f"; {self.state_file}, saved before, is kept" if self.state_file.exists() else ""
        clip, theta = self.recipe.clip, self.recipe.clip_theta
        clipping = "clip the gradients" if clip == "none" else f"a clip_theta below {theta:g}"
        raise Diverged(
            f"The loss or a weight is no longer finite by step {self.step}, at a learning rate of {rate:g}. "
            f"Write a lower learning_rate, or {clipping}{kept}.",
            self.step,
            self.run,
        )

    def validate(self, log: SummaryWriter) -> None:
        # in PyTorch: to prepare another runtime for weights that change would cost more than it saves
        how = partial(predict, options=InferenceOptions(backend="torch"))
        net = checkpoint.Checkpoint(
            self.ema_model, {"protocol": self.protocol.name, "scales": self.recipe.scales}
        )
        scales = tuple(self.validation_scales)
        scores = evaluate(net, self.validation_paths, scales, protocol=self.protocol, predict=how)
        means = scores.pivot_table(index="scale", columns="method", values="psnr")
        psnr = {f"{scale:g}": row.to_dict() for scale, row in means.iterrows()}
        for scale, values in psnr.items():
            log.add_scalar(f"psnr/x{scale}", values["model"], self.step)
        batch = self.data.batch(0, self.recipe.batch_size)[0].to(self.world.device)
        silent = count_dead_maps(self.ema_model, batch)
        share = sum(silent.values()) / (self.recipe.width * (self.recipe.depth - 1))
        log.add_scalar("dead maps", share, self.step)
        picture = as_rgb(sample_patches(self.ema_model, self.data))
        log.add_image("ILR, SR, HR", picture, self.step, dataformats="HWC")
        self.run.validation.append({"step": self.step, "psnr": psnr, "dead": silent})
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
                "scored": self.ema_model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "history": self.run.history,
                "validation": self.run.validation,
            },
            buffer,
        )
        with atomic(self.state_file) as temporary:
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
        checkpoint.save(self.run.weights, self.ema_model, info)
        save_image(self.folder / "samples.png", sample_patches(self.ema_model, self.data))
        write_json(
            self.folder / "run.json",
            {
                **info,
                "validation_set": self.validation_name,
                "weights": {"file": self.run.weights.name, "sha256": hash_file(self.run.weights)},
                "history": self.run.history,
                "validation": self.run.validation,
            },
        )


def _shortened(names: Sequence[str], most: int = 20) -> str:
    """The names, and of many only the first and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _writer(folder: Path, purge_step: int, world: World) -> AbstractContextManager[Any]:
    """TensorBoard's writer, in the leading process alone."""
    return SummaryWriter(str(folder), purge_step=purge_step) if world.is_main else nullcontext()
