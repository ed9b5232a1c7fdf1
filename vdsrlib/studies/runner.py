"""Run the grid of a study, in any number of processes.

Every run is one training in a folder that is named after the hash of all that its results depend on. It is
therefore done once, whoever asks for it, and an interrupted one resumes.
"""

import json
import os
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from filelock import Timeout

from vdsrlib.errors import InputError
from vdsrlib.studies.experiments import Experiment
from vdsrlib.studies.helpers import helpers
from vdsrlib.studies.images import StudyImages
from vdsrlib.studies.results import Result
from vdsrlib.training.network import with_precision
from vdsrlib.training.recipe import Recipe
from vdsrlib.training.run_state import Diverged
from vdsrlib.training.trainer import Options, train
from vdsrlib.training.validation import Images, Validation
from vdsrlib.utils.atomic import write_json
from vdsrlib.utils.device import choose_device, device_name
from vdsrlib.utils.distributed import World
from vdsrlib.utils.hashing import hash_file, hash_json
from vdsrlib.utils.locks import file_lock
from vdsrlib.utils.logs import logger, mute_log
from vdsrlib.utils.paths import user_path

KEPT_LOSSES = 100  # points of a loss curve in a result


class Outcome(NamedTuple):
    """What a study gave: its results, a sentence for each run that failed, and the names of the images."""

    results: Sequence[Result]
    failures: list[str]
    training: str
    validation: str


class Job(NamedTuple):
    """One run of a grid: what is to be trained, on what, and where it is kept.

    Attributes:
        title: for people.
        experiment: what the study asks for.
        recipe: the experiment's, in the precision of this device.
        images: to train on.
        validation: to score with.
        scales: to score at.
        validate_every: steps between two validations.
        folder: of the run, named after the hash of all that its record depends on.
        skip_broken: leave out images that cannot be read.
    """

    title: str
    experiment: Experiment
    recipe: Recipe
    images: Images
    validation: Images
    scales: tuple[float, ...]
    validate_every: int
    folder: Path
    skip_broken: bool = False


def run_grid(
    grid: Sequence[Experiment],
    images: StudyImages,
    root: str | Path = "runs/studies",
    device: str = "auto",
    processes: int = 1,
    skip_broken: bool = False,
) -> Outcome:
    """Do every run of a grid that is not done yet; each run that this process does is logged.

    A run that diverges is a result, not a failure.

    Args:
        grid: from ``build_grid``.
        images: from ``study_images``.
        root: folder of the runs.
        device: "auto", "cpu", "cuda" or "mps".
        processes: how many share the runs; the others are started here, and end with this one.
        skip_broken: leave out training images that cannot be read, rather than fail.

    Returns:
        The results in the order of the grid, and a sentence for each run that failed.

    Raises:
        InputError: the grid wants more images than there are, or ``processes`` is below 1.
    """
    if processes < 1:
        raise InputError(f"processes must be a whole number from 1 up, got {processes}")
    where = _own_device(device)
    jobs = [job._replace(skip_broken=skip_broken) for job in list_jobs(grid, images, user_path(root), where)]
    with helpers(processes - 1, partial(do_jobs, jobs, where)):
        done, failures = do_jobs(jobs, where)
    results = [
        {
            "label": job.experiment.label,
            "value": job.experiment.value,
            "images": len(job.images[1]),
            "scales": list(job.scales),
            **done[job.folder],
        }
        for job in jobs
        if job.folder in done
    ]
    return Outcome(results, list(failures.values()), images.training[0], images.validation[0])


def list_jobs(grid: Sequence[Experiment], images: StudyImages, root: Path, device: torch.device) -> list[Job]:
    """Prepare the runs of a grid for a device.

    Raises:
        InputError: the grid wants more images than there are.
    """
    (name, paths), validation = images
    hashes = {path: hash_file(path) for path in (*paths, *validation[1])}
    jobs = []
    for number, run in enumerate(grid, start=1):
        if len(paths) < (run.images or 0):
            raise InputError(f"There are {len(paths)} training images, not {run.images}.")
        recipe = with_precision(run.recipe, device)
        scales = tuple(run.scales or recipe.scales)
        every = max(1, recipe.steps // run.validations)
        seen = paths[: run.images]
        contents = [[hashes[path] for path in each] for each in (seen, validation[1])]
        folder = root / hash_json([recipe.model_dump(mode="json"), contents, scales, every])[:16]
        title = f"{number}/{len(grid)} {run.label}, seed {run.recipe.seed}"
        jobs.append(Job(title, run, recipe, (name, seen), validation, scales, every, folder))
    return jobs


def do_jobs(jobs: Sequence[Job], device: torch.device) -> tuple[dict[Path, Any], dict[Path, str]]:
    """Do every run that neither is done nor is being done by another process; then wait for the others'.

    Returns:
        What each folder's run gave, and a sentence for each folder whose run failed.
    """
    done: dict[Path, Any] = {}
    failures: dict[Path, str] = {}
    for timeout in (0, -1):  # first what is free; then what others were at, who may have died meanwhile
        for job in jobs:
            if job.folder in done or job.folder in failures:
                continue
            try:
                with file_lock(job.folder / "lock", timeout):
                    if not (found := load_finished(job.folder)):
                        found = _train(job, device)
                        logger.info(f"{job.title}: {summary(found)}")
                done[job.folder] = found
            except Timeout:
                continue
            except Exception as error:  # of whatever kind: the other runs do not depend on it
                failures[job.folder] = (
                    f"{job.title}: {error if isinstance(error, InputError) else repr(error)}"
                )
    return done, failures


def _own_device(name: str) -> torch.device:
    """Choose the device; each of torchrun's processes takes a GPU of its own."""
    device = choose_device(name)
    if device.type == "cuda" and device.index is None and "LOCAL_RANK" in os.environ:
        return torch.device("cuda", int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
    return device


def _train(job: Job, device: torch.device) -> dict[str, Any]:
    started, threads = time.perf_counter(), torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with mute_log():
            train(
                job.recipe,
                job.folder,
                job.images,
                validation=Validation(job.validation, job.validate_every, job.scales),
                # of many short runs, each would take as long to compile as to run
                options=Options(skip_broken=job.skip_broken, compiled=False),
                world=World(device),
            )
    except Diverged as error:
        record = {
            "diverged": error.step,
            "recipe": job.recipe.model_dump(mode="json"),
            "history": error.run.history,
            "validation": error.run.validation,
            "device": device_name(device),
            "seconds": round(time.perf_counter() - started, 1),
        }
        write_json(job.folder / "diverged.json", record)
    finally:
        torch.set_num_threads(threads)
    done = load_finished(job.folder)
    assert done is not None
    return done


def load_finished(folder: Path) -> dict[str, Any] | None:
    """Read what the run in a folder gave; None if it is not over."""
    for name in ("run.json", "diverged.json"):
        if (folder / name).exists():
            record = json.loads((folder / name).read_text(encoding="utf-8"))
            rows = record["history"]
            return {
                "seed": record["recipe"]["seed"],
                "recipe": record["recipe"],
                "validation": record["validation"],
                "loss": [[row["step"], row["loss"]] for row in rows[:: len(rows) // KEPT_LOSSES + 1]],
                "diverged": record.get("diverged"),
                "device": record["device"],
                "seconds": record["seconds"],
            }
    return None


def summary(result: Result) -> str:
    """Describe a run in a few words."""
    if result["diverged"] is not None:
        return f"diverged by step {result['diverged']}"
    found = result["validation"][-1]["psnr"].items()
    scores = ", ".join(
        f"×{scale} {v['model']:.2f} dB ({v['model'] - v['interpolation']:+.2f})" for scale, v in found
    )
    return f"{scores}, {result['seconds']:.0f} s"
