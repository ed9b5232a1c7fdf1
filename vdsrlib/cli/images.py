"""The work of ``vdsr upscale`` on one image, and on many: one after the other, or in several processes."""

import argparse
import itertools
import multiprocessing
import os
import signal
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import torch

from vdsrlib.errors import InputError, Notice, explain_out_of_memory
from vdsrlib.evaluation.ground_truth import degrade_and_upscale
from vdsrlib.imaging.colour import to_uint8
from vdsrlib.imaging.encoding import EncodingOptions
from vdsrlib.imaging.formats import TooLarge, check_target
from vdsrlib.imaging.image_file import plain_pixels, read_picture, write_picture
from vdsrlib.inference.backends import prepare
from vdsrlib.inference.choice import choose_weights
from vdsrlib.inference.folder import Job
from vdsrlib.inference.options import InferenceOptions, Progress
from vdsrlib.inference.upscale import upscale_file
from vdsrlib.models import checkpoint
from vdsrlib.models.checkpoint import Checkpoint
from vdsrlib.utils.atomic import check_overwrite
from vdsrlib.utils.device import choose_device
from vdsrlib.utils.locks import claim
from vdsrlib.utils.processes import process_count
from vdsrlib.utils.signals import exit_cleanly
from vdsrlib.utils.text import visible


@dataclass(frozen=True)
class Outcome:
    """What became of an image.

    Attributes:
        job: the image and the name of its result.
        size: width and height of the result; None if there is none.
        notes: what people should know of it, each a few words.
        scores: PSNR and SSIM of each method, with ``--ground-truth``.
        seconds: how long it took.
        error: why there is no result; None where there is, or where one was there before.
    """

    job: Job
    size: tuple[int, int] | None = None
    notes: tuple[str, ...] = ()
    scores: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    error: str | None = None

    @property
    def skipped(self) -> bool:
        """Whether nothing was to be done."""
        return self.size is None and self.error is None

    def text(self) -> str:
        """Describe it in a line."""
        parts = [f"{name} PSNR {s.psnr:.4f} dB, SSIM {s.ssim:.4f}" for name, s in self.scores.items()]
        size = f"{self.size[0]} x {self.size[1]} pixels" if self.size else "exists; skipped"
        return f"{visible(str(self.job[1]))}: {'; '.join([size, *parts, *self.notes])}"

    def record(self) -> dict[str, Any]:
        """Describe it to programs."""
        width, height = self.size or (None, None)
        return {
            "source": str(self.job[0]),
            "target": str(self.job[1]),
            "width": width,
            "height": height,
            "skipped": self.skipped,
            "error": self.error,
            "notes": self.notes,
            **{name: score._asdict() for name, score in self.scores.items()},
            "seconds": round(self.seconds, 3),
        }


def load_network(arguments: argparse.Namespace) -> Checkpoint:
    """Load the network; refuse a backend or a precision before any work."""
    net = checkpoint.load(arguments.weights, _device(arguments.device))
    if arguments.ground_truth and arguments.precision == "auto":
        arguments.precision = "float32"  # in which scores are computed
    prepare(net.model, arguments.backend, arguments.precision, net.protocol)
    return net


def _device(name: str) -> torch.device:
    device = choose_device(name)
    if device == torch.device("cuda") and process_count() > 1:  # each of torchrun's takes a GPU of its own
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    return device


def _choose_network(
    arguments: argparse.Namespace, net: Checkpoint, source: Path
) -> tuple[Checkpoint, tuple[str, ...]]:
    """Return the network for an image, and a note where it is not the usual one."""
    if arguments.weights:
        return net, ()
    weights, reason = choose_weights(source, arguments.scale, arguments.max_megapixels * 10**6)
    if not reason:
        return net, ()
    return _load_shipped(weights, arguments.device), (f"by {weights} ({reason})",)


@lru_cache(maxsize=1)
def _load_shipped(weights: str, device: str) -> Checkpoint:
    return checkpoint.load(weights, _device(device))


def upscale_image(
    arguments: argparse.Namespace, net: Checkpoint, job: Job, progress: Progress | None = None
) -> Outcome:
    """Enlarge an image; ``progress`` is called with the tiles done and their number.

    Raises:
        InputError: the image, or the place of its result, is at fault.
    """
    start, (source, target) = time.perf_counter(), job
    options = InferenceOptions(
        arguments.backend,
        arguments.precision,
        arguments.memory << 20,
        arguments.max_megapixels * 10**6,
        progress,
        EncodingOptions(arguments.quality, arguments.lossless, arguments.strip),
        arguments.alpha,
        arguments.wrap,
    )
    work = _from_ground_truth if arguments.ground_truth else _from_file
    try:
        with claim(target) if arguments.skip_existing else nullcontext(True) as free:
            if not free:
                return Outcome(job)
            check_overwrite(target, arguments.force)
            with explain_out_of_memory(source, "a smaller scale or a smaller --memory may do"):
                size, notes, scores = work(arguments, net, job, options)
    except TooLarge as error:
        raise InputError(f"{error} Raise it with --max-megapixels if that is what you want.") from error
    return Outcome(job, size, notes, scores, time.perf_counter() - start)


def _from_file(
    arguments: argparse.Namespace, net: Checkpoint, job: Job, options: InferenceOptions
) -> tuple[tuple[int, int], tuple[str, ...], dict[str, Any]]:
    chosen, why = _choose_network(arguments, net, job[0])
    picture = upscale_file(
        chosen,
        *job,
        arguments.scale,
        size=arguments.size or arguments.fit,
        fit=bool(arguments.fit),
        options=options,
        replace=arguments.force,
    )
    height, width = picture.pixels.shape[:2]
    return (width, height), (*why, *picture.notes), {}


def _from_ground_truth(
    arguments: argparse.Namespace, net: Checkpoint, job: Job, options: InferenceOptions
) -> tuple[tuple[int, int], tuple[str, ...], dict[str, Any]]:
    source, target = job
    check_target(target)
    options.encoding.check(target)
    picture = read_picture(source, options.max_pixels)
    image, notes = plain_pixels(picture)
    upscaled = degrade_and_upscale(net, image, arguments.scale, options)
    result = replace(picture, pixels=to_uint8(upscaled.sr), alpha=None)
    notes += write_picture(target, result, replace=arguments.force, options=options.encoding)
    scores = {"interpolation": upscaled.interpolation_score, "model": upscaled.network_score}
    height, width = upscaled.sr.shape[:2]
    return (width, height), notes, scores


def try_image(arguments: argparse.Namespace, net: Checkpoint, job: Job, progress: Progress) -> Outcome:
    """Enlarge an image of a folder, whose failure does not stop the others."""
    try:
        return upscale_image(arguments, net, job, progress)
    except InputError as error:
        return Outcome(job, error=str(error))


def in_processes(arguments: argparse.Namespace, jobs: Iterable[Job], count: int) -> Iterator[Outcome]:
    """Enlarge images in several processes, and yield the outcomes as they come.

    Raises:
        InputError: a process was killed.
    """
    waiting = iter(jobs)
    running: set[Future[Outcome]] = set()
    spawn = multiprocessing.get_context("spawn")  # a forked process cannot use what is prepared
    threads = max(1, (os.cpu_count() or 1) // count)
    with ProcessPoolExecutor(count, spawn, _start_worker, (arguments, threads)) as pool:
        try:
            while True:
                new = itertools.islice(waiting, 2 * count - len(running))
                running |= {pool.submit(_work, job) for job in new}
                if not running:
                    return
                done, running = wait(running, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        except BrokenProcessPool as error:
            few = "fewer --jobs or a smaller --memory may do"
            raise InputError(f"a process was killed, perhaps for want of memory; {few}") from error
        except BaseException:  # Ctrl-C, or a scheduler's stop
            pool.shutdown(wait=False, cancel_futures=True)
            for child in multiprocessing.active_children():
                child.terminate()
            raise


_upscale: Callable[[Job], Outcome]
"""The work of a process that ``in_processes`` started."""


def _start_worker(arguments: argparse.Namespace, threads: int) -> None:
    """Load the network in a process of its own, which hears of a stop by SIGTERM alone."""
    global _upscale
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(threads)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Notice)  # the first process has said it
        net = load_network(arguments)
    _upscale = partial(try_image, arguments, net, progress=lambda *_: None)
    signal.signal(signal.SIGTERM, _stop)  # until now, it ends the process at once


def _stop(number: int, frame: FrameType | None) -> None:
    """End the work on an image, and let nothing follow."""
    global _upscale

    def refuse(job: Job) -> NoReturn:
        raise SystemExit(128 + number)

    _upscale = refuse
    exit_cleanly(number, frame)


def _work(job: Job) -> Outcome:
    return _upscale(job)
