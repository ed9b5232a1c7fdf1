"""The paper's own experiments: grids of recipes as data, run in any number of processes, and judged.

A study varies one thing and repeats every run with several seeds. Every run is ``training.train`` in a folder
named after the hash of all that its results depend on: it is done once, whoever asks for it, and a killed
one goes on where it was.
"""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_all_start_methods, get_context, parent_process
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

import torch
from filelock import Timeout

from vdsrlib.datasets.catalog import (
    EMBEDDED_TEST,
    EMBEDDED_TRAIN,
    benchmark_images,
    data_root,
    embedded,
    list_images,
    training_images,
)
from vdsrlib.errors import InputError
from vdsrlib.imaging.image_file import read_image, save_image
from vdsrlib.studies.definitions import VALIDATION_SET, Experiment, build_grid, get_study
from vdsrlib.studies.results import Result
from vdsrlib.training.run_state import Diverged
from vdsrlib.training.step import with_precision
from vdsrlib.training.trainer import Images, train
from vdsrlib.utils.atomic import write_json
from vdsrlib.utils.device import choose_device, device_name
from vdsrlib.utils.distributed import World, discard
from vdsrlib.utils.hashing import hash_file, hash_json
from vdsrlib.utils.locks import file_lock

KEPT_LOSSES = 100  # points of a loss curve in a result


class Outcome(NamedTuple):
    """What a study gave: its results, a sentence for each run that failed, and the names of the images."""

    results: list[Result]
    failures: list[str]
    training: str
    validation: str


def run_study(
    name: str,
    size: str = "micro",
    *,
    values: Any = None,
    seeds: int = 3,
    data_path: str | Path | None = None,
    validation_set: str = VALIDATION_SET,
    validations: int | None = None,
    root: str | Path = "runs/studies",
    device: str = "auto",
    processes: int = 1,
    report: Callable[[str], None] = print,
    **changes: Any,
) -> Outcome:
    """A whole study: its grid (see ``grid``) on its images (``study_images``), done (``run``).

    Args:
        name: a key of ``STUDIES``.
        size: "micro" or "full".
        values: what is varied; None for the study's own.
        seeds: how often to repeat every run.
        data_path: folder that holds T91 and the benchmarks, or of images.
        validation_set: benchmark to score with.
        validations: how often to measure PSNR in a run; None for the study's own.
        root: folder of the runs.
        device: "auto", "cpu", "cuda" or "mps".
        processes: how many share the runs.
        report: is given a line for every run that this process does.
        changes: to what all runs share, such as steps or width; None is no change.
    """
    experiments = build_grid(name, size, seeds, values, **changes)
    images, validation = study_images(size, root, data_path, validation_set)
    its = get_study(name).size(size)
    results, failures = run_grid(
        experiments,
        images,
        validation,
        root=root,
        validations=its.validations if validations is None else validations,
        scales=its.scales,
        device=device,
        processes=processes,
        report=report,
    )
    return Outcome(results, failures, images[0], validation[0])


def study_images(
    size: str, root: str | Path, data_path: str | Path | None = None, validation_set: str = VALIDATION_SET
) -> tuple[Images, Images]:
    """Training and validation images: (name, paths) of each.

    A micro study without ``data_path`` uses small squares of scikit-image's photographs, cut into ``root``,
    also where VDSR_DATA is set. Otherwise T91 alone where it is there, as in the paper's own analysis, and
    else what ``training_images`` finds.

    Raises:
        InputError: a benchmark is asked for where there are only squares; or there are no such images.
    """
    if size == "micro" and not data_path:
        if validation_set != VALIDATION_SET:
            raise InputError(
                f"A micro study without data_path is scored on squares of photographs, not on "
                f"{validation_set}; add a data_path, or leave out the validation_set."
            )
        squares = {}
        for names, each in ((EMBEDDED_TRAIN, 4), (EMBEDDED_TEST, 2)):
            squares[names] = _squares(Path(root) / "images", names, each)
        return (
            (f"{len(squares[EMBEDDED_TRAIN])} squares of scikit-image photographs", squares[EMBEDDED_TRAIN]),
            (f"{len(squares[EMBEDDED_TEST])} squares of other photographs", squares[EMBEDDED_TEST]),
        )
    found = data_root(data_path)
    images = training_images(data_path)
    if found and (found / "T91").is_dir():
        images = "T91", list_images(found / "T91")
    return images, benchmark_images(validation_set, data_path)


def _squares(folder: Path, names: Sequence[str], each: int, side: int = 96) -> list[Path]:
    """``each`` squares of every photograph, along its diagonal; the first of all photographs come first."""
    paths = []
    for i in range(1, each + 1):
        for source in embedded(names):
            path = folder / f"{source.stem}-{i}.png"
            if not path.exists():
                image = read_image(source)
                top, left = ((length - side) * i // (each + 1) for length in image.shape[:2])
                save_image(path, image[top : top + side, left : left + side])
            paths.append(path)
    return paths


def run_grid(
    experiments: Sequence[Experiment],
    images: Images,
    validation: Images,
    *,
    root: str | Path = "runs/studies",
    validations: int = 1,
    scales: Sequence[float] | None = None,
    device: str = "auto",
    processes: int = 1,
    report: Callable[[str], None] = print,
) -> tuple[list[Result], list[str]]:
    """Do all runs that are not done; several processes that are given the same grid and root share them.

    Each process takes any run that no other one is at, and waits for the last ones: those that ``torchrun``
    started, on one machine or on several that see the folder, or just a second terminal. Under ``torchrun``,
    a process takes one of the machine's GPUs by LOCAL_RANK; where there are more processes than GPUs, they
    share them. On a CPU a process computes in one thread: small networks are as fast, and the results are
    those of any other number of cores.

    Args:
        experiments: the grid.
        images: name and paths of the training images.
        validation: likewise, to score with.
        root: folder of the runs; one of them is removed by removing its folder.
        validations: how often to measure PSNR in a run, evenly, the last time at the end.
        scales: to measure at; default: those that the run trains for.
        device: "auto", "cpu", "cuda" or "mps".
        processes: how many to share the runs among; others than this one are started for it, and end with it.
        report: is given a line for every run that this process does.

    Returns:
        The results in the order of the grid, and a sentence for every run that failed. That a run diverges is
        a result, and no failure.
    """
    if processes < 1:
        raise InputError(f"processes is {processes}; write a whole number from 1 up.")
    if validations < 1:
        raise InputError(f"validations is {validations}; write a whole number from 1 up.")
    where = _own_device(device)
    jobs: dict[Experiment, dict[str, Any]] = {}
    for experiment in experiments:
        recipe = with_precision(experiment.recipe, where)
        if len(images[1]) < (experiment.images or 0):
            raise InputError(f"There are {len(images[1])} training images, not {experiment.images}.")
        jobs[experiment] = {
            "recipe": recipe,
            "images": (images[0], images[1][: experiment.images]),
            "validation": validation,
            "validation_scales": tuple(scales or recipe.scales),
            "validate_every": max(1, recipe.steps // validations),
        }
    folders = {experiment: Path(root) / _hash(job) for experiment, job in jobs.items()}
    found: dict[Path, Any] = {}
    failures: dict[Path, str] = {}
    again = partial(
        run_grid, experiments, images, validation, root=root, validations=validations, scales=scales
    )
    with _others(processes - 1, partial(again, device=device, report=discard)):
        for timeout in (0, -1):  # first what is free; then what others were at, who may have died meanwhile
            for number, (experiment, folder) in enumerate(folders.items(), start=1):
                if folder in found or folder in failures:
                    continue
                title = f"{number}/{len(jobs)} {experiment.label}, seed {experiment.recipe.seed}"
                try:
                    with file_lock(folder / "lock", timeout):
                        if not (done := _load_finished(folder)):
                            done = _train(folder, jobs[experiment], where)
                            report(f"{title}: {summary(done)}")
                    found[folder] = done
                except Timeout:
                    continue
                except Exception as error:  # of whatever kind: the other runs do not depend on it
                    failures[folder] = f"{title}: {error if isinstance(error, InputError) else repr(error)}"
    results = [
        {
            "label": experiment.label,
            "value": experiment.value,
            "images": len(jobs[experiment]["images"][1]),
            "scales": list(jobs[experiment]["validation_scales"]),
            **found[folder],
        }
        for experiment, folder in folders.items()
        if folder in found
    ]
    return results, list(failures.values())


@contextmanager
def _others(count: int, work: Callable[[], Any]) -> Iterator[None]:
    """So many other processes do the same work meanwhile; what one of them fails at is left to this one."""
    # They come from a server that imports everything once, also what the first optimizer would, and that ends
    # with this process. Where there is no such server (Windows), each imports for itself, for seconds.
    context: Any = get_context("forkserver" if "forkserver" in get_all_start_methods() else "spawn")
    context.set_forkserver_preload([__name__, "torch._dynamo"])
    processes = [context.Process(target=_accompany, args=[work], daemon=True) for _ in range(count)]
    for process in processes:
        process.start()
    try:
        yield
    except BaseException:
        for process in processes:
            process.terminate()  # which saves the state of its run
        raise
    finally:
        for process in processes:
            process.join()


def _accompany(work: Callable[[], Any]) -> None:
    """Do the work; stop where the process that wanted it ends, however it does."""

    def stop() -> None:
        parent = parent_process()
        assert parent is not None
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)  # which saves the state of the run

    Thread(target=stop, daemon=True).start()
    work()


def _own_device(name: str) -> torch.device:
    device = choose_device(name)
    if device.type == "cuda" and device.index is None and "LOCAL_RANK" in os.environ:
        return torch.device("cuda", int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
    return device


def _hash(job: dict[str, Any]) -> str:
    """Of all that a run's record depends on; images count by their bytes, in their order."""
    hashes = [[hash_file(path) for path in job[name][1]] for name in ("images", "validation")]
    content = [job["recipe"].to_dict(), hashes, job["validation_scales"], job["validate_every"]]
    return hash_json(content)[:16]


def _load_finished(folder: Path) -> dict[str, Any] | None:
    """What the run in this folder gave, if it is over."""
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


def _train(folder: Path, job: dict[str, Any], device: torch.device) -> dict[str, Any]:
    started, threads = time.perf_counter(), torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        train(
            **job,
            ckpt_path=folder,
            logs_path=folder / "logs",
            compiled=False,  # many short runs: compiling each takes as long as running it
            report=discard,
            world=World(device),
        )
    except Diverged as error:
        record = {
            "diverged": error.step,
            "recipe": job["recipe"].to_dict(),
            "history": error.run.history,
            "validation": error.run.validation,
            "device": device_name(device),
            "seconds": round(time.perf_counter() - started, 1),
        }
        write_json(folder / "diverged.json", record)
    finally:
        torch.set_num_threads(threads)
    done = _load_finished(folder)
    assert done is not None
    return done


def summary(result: Mapping[str, Any]) -> str:
    """A run in a few words."""
    if result["diverged"] is not None:
        return f"diverged by step {result['diverged']}"
    found = result["validation"][-1]["psnr"].items()
    scores = ", ".join(
        f"×{scale} {v['model']:.2f} dB ({v['model'] - v['interpolation']:+.2f})" for scale, v in found
    )
    return f"{scores}, {result['seconds']:.0f} s"
