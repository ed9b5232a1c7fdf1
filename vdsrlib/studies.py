"""The paper's own experiments: grids of recipes as data, run in any number of processes, and judged.

A study varies one thing and repeats every run with several seeds. Every run is ``training.train`` in a folder
named after the hash of all that its results depend on: it is done once, whoever asks for it, and a killed
one goes on where it was.
"""

import hashlib
import json
import os
import re
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_all_start_methods, get_context, parent_process
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

import torch
from filelock import Timeout

from vdsrlib import files
from vdsrlib.distributed import World, alone, quiet
from vdsrlib.environment import choose_device, data_root, device_name
from vdsrlib.files import InputError
from vdsrlib.findings import (
    AS_IT_IS,
    EPOCHS,
    Result,
    Verdict,
    judge_clipping,
    judge_curve,
    judge_growth,
    judge_ingredients,
    judge_residual,
    judge_scales,
)
from vdsrlib.images import (
    EMBEDDED_TEST,
    EMBEDDED_TRAIN,
    benchmark_images,
    embedded,
    list_images,
    read_image,
    save_image,
    training_images,
)
from vdsrlib.parameters import parse_scales
from vdsrlib.recipe import RECIPES, Recipe, get_recipe
from vdsrlib.training import Diverged, Images, train, with_precision

KEPT_LOSSES = 100  # points of a loss curve in a result
VALIDATION_SET = "Set5"  # unless said otherwise


@dataclass(frozen=True)
class Experiment:
    """One run of a study.

    Attributes:
        label: its curve, the same for all seeds.
        value: what the study varies, as it was asked for.
        recipe: how to train.
        images: how many of the training images it may see; None for all.
    """

    label: str
    value: Any
    recipe: Recipe
    images: int | None = None


class Size(NamedTuple):
    """How large a study is: what its runs share, what is varied, and how often PSNR is measured in a run."""

    recipe: Recipe
    values: tuple[Any, ...]
    validations: int = 1
    scales: tuple[float, ...] | None = None  # to validate at; None: the recipe's


class Study(NamedTuple):
    """An experiment of the paper, or of ours.

    Attributes:
        source: where the paper has it.
        claim: what it says there; or ours, to be tried.
        vary: from a value to its experiments, given the recipe that they share.
        parse: a value, from what was typed.
        judge: from the results to what they say of the claim.
        full: at the paper's size, for a GPU.
        micro: tiny networks on tiny images, for two cores.
    """

    source: str
    claim: str
    vary: Callable[[Recipe, Any], Iterable[Experiment]]
    parse: Callable[[str], Any]
    judge: Callable[[Sequence["Result"]], "Verdict"]
    full: Size
    micro: Size

    def size(self, name: str) -> Size:
        """The size of that name."""
        if name not in ("micro", "full"):
            raise InputError(f"Unknown size {name!r}; write micro or full.")
        return self.micro if name == "micro" else self.full


# What each study varies.


def _depth(recipe: Recipe, depth: int) -> Iterable[Experiment]:
    yield Experiment(f"depth {depth}", depth, replace(recipe, depth=depth))


def _residual(recipe: Recipe, rate: float) -> Iterable[Experiment]:
    for residual in (True, False):
        name = "residual" if residual else "non-residual"
        yield Experiment(
            f"{name}, rate {rate:g}", rate, replace(recipe, residual=residual, learning_rate=rate)
        )


def _clipping(recipe: Recipe, rule: str) -> Iterable[Experiment]:
    name, _, theta = rule.partition(":")
    label = f"{name}, θ = {float(theta):g}" if theta else name
    yield Experiment(label, rule, replace(recipe, clip=name, theta=float(theta or 1)))


def _scales(recipe: Recipe, scales: str) -> Iterable[Experiment]:
    parsed = parse_scales(scales)
    yield Experiment(
        "×" + ", ".join(f"{scale:g}" for scale in parsed), scales, replace(recipe, scales=parsed)
    )


def _images(recipe: Recipe, count: int) -> Iterable[Experiment]:
    yield Experiment(f"{count} images", count, recipe, count)


def _steps(recipe: Recipe, steps: int) -> Iterable[Experiment]:
    yield Experiment(f"{steps} steps", steps, _of_length(recipe, steps))


def _ingredients(recipe: Recipe, change: str) -> Iterable[Experiment]:
    yield Experiment(AS_IT_IS, "", recipe)  # once, however many changes there are
    yield Experiment(change, change, replace(recipe, **_changes(change)))


def _changes(text: str) -> dict[str, Any]:
    """Fields of a recipe, from text such as ``loss=mean`` or ``optimizer=adam+learning_rate=0.001``."""
    read: dict[type, Callable[[str], Any]] = {
        int: int,
        float: float,
        str: str,
        bool: {"True": True, "False": False}.__getitem__,
        tuple: str,  # the recipe reads it
    }
    changes = {}
    for part in text.split("+"):
        name, _, value = part.partition("=")
        changes[name] = read[type(getattr(RECIPES["best"], name))](value)
    return changes


def _of_length(recipe: Recipe, steps: int) -> Recipe:
    """The recipe with so many steps: the rate falls at the same shares of them, after a warm-up that fits."""
    return replace(
        recipe,
        steps=steps,
        decay_steps=recipe.decay_steps and max(1, round(recipe.decay_steps * steps / recipe.steps)),
        warmup_steps=min(recipe.warmup_steps, steps // 6),
    )


def _rule(text: str) -> str:
    name, colon, theta = text.partition(":")
    try:
        # the recipe's own check, here, before anything runs; θ is written in one way
        get_recipe("paper", clip=name, theta=float(theta) if colon else None)
        if (name == "none") == bool(colon):
            raise ValueError
        return f"{name}:{float(theta):g}" if colon else name
    except (ValueError, InputError):
        raise InputError(f"{text!r} is no clipping rule; write none, element:1e-4 or norm:0.04.") from None


def _whole(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise InputError(f"{text!r} is no whole number from 1 up; write for example 5,8,11.")
    return int(text)


def _rate(text: str) -> float:
    try:
        return get_recipe("paper", learning_rate=float(text)).learning_rate
    except (ValueError, InputError):
        raise InputError(f"{text!r} is no learning rate; write for example 0.1,0.01.") from None


def _change(text: str) -> str:
    try:
        get_recipe("best", **_changes(text))
        return text
    except (AttributeError, KeyError, ValueError, InputError) as error:
        why = f" ({error})" if isinstance(error, InputError) else ""
        raise InputError(
            f"{text!r} is no change of a recipe{why}; write for example loss=mean, copies=1_0.8, or two "
            "that go together: optimizer=adam+learning_rate=0.001."
        ) from None


def _combination(text: str) -> str:
    return "_".join(f"{scale:g}" for scale in parse_scales(text))


# Ours, in the paper's measures, and at the rates that the kept grids of short trainings were run with.
_OURS = get_recipe(
    "best",
    scales=(2, 3, 4),
    patch_size=41,
    copies=1,
    batch_size=64,
    steps=9960,
    learning_rate=2e-3,
    bias_rate=1.0,
)
_PAPER = get_recipe("paper", scales=2, depth=10, steps=10_000, decay_steps=2500)
_MICRO = {"width": 16, "patch_size": 24, "batch_size": 8}
_OURS_MICRO = get_recipe("demo", **_MICRO, depth=5, steps=120, warmup_steps=20, ema=0.95)
_PAPER_MICRO = get_recipe("paper", **_MICRO, scales=2, depth=5, overlap=True, steps=120, decay_steps=30)

STUDIES = {
    "depth": Study(
        "Figure 3",
        "the deeper, the better",
        _depth,
        _whole,
        judge_growth,
        Size(_OURS, (5, 8, 11, 14, 17, 20)),
        Size(_OURS_MICRO, (2, 5, 8)),
    ),
    "residual": Study(
        "Table 1 and Figure 4",
        "residual learning converges faster, and higher",
        _residual,
        _rate,
        judge_residual,
        Size(_PAPER, (0.1, 0.01, 0.001), EPOCHS),
        Size(_PAPER_MICRO, (0.1, 0.01, 0.001), 8),
    ),
    "clipping": Study(
        "Section 3.2",
        "clipping keeps training at a high rate from diverging",
        _clipping,
        _rule,
        judge_clipping,
        Size(
            replace(_PAPER, scales=(2, 3, 4), depth=20, steps=2500),
            (
                "none",
                "element:0.01",
                "element:0.001",
                "element:0.0001",
                "norm:0.4",
                "norm:0.04",
                "norm:0.004",
            ),
        ),
        Size(
            replace(_PAPER_MICRO, depth=8, steps=80),
            ("none", "element:0.01", "element:0.001", "element:0.0001", "norm:0.4", "norm:0.04"),
        ),
    ),
    "scales": Study(
        "Table 2",
        "one network for all scales is as good as one for each",
        _scales,
        _combination,
        judge_scales,
        Size(_OURS, ("2", "3", "4", "2_3", "2_4", "3_4", "2_3_4"), scales=(2, 3, 4)),
        Size(_OURS_MICRO, ("2", "3", "4", "2_3_4"), scales=(2, 3, 4)),
    ),
    "images": Study(
        "Not in the paper",
        "the more training images, the better",
        _images,
        _whole,
        judge_curve,
        Size(_OURS, (3, 6, 11, 23, 45, 91)),
        Size(_OURS_MICRO, (2, 5, 14, 40)),
    ),
    "steps": Study(
        "Not in the paper",
        "the longer the training, the better",
        _steps,
        _whole,
        judge_curve,
        Size(_OURS, (156, 312, 625, 1250, 2500, 5000, 10_000)),
        Size(_OURS_MICRO, (15, 30, 60, 120)),
    ),
    "ingredients": Study(
        "Not in the paper",
        "whatever one changes, our recipe gets worse",
        _ingredients,
        _change,
        judge_ingredients,
        Size(
            replace(_OURS, candidates=4, precision="float32"),
            (
                "optimizer=adam+learning_rate=0.001",
                "optimizer=adam+learning_rate=0.0003",
                "learning_rate=0.001",
                "learning_rate=0.004",
                "loss=mean",
                "ema=0",
                "last_gain=1",
                "orientations=1",
                "copies=1_0.8_0.6",
                "scales=1.5_2_2.5_3_3.5_4",
                "candidates=1",
                "candidates=2",
                "candidates=8",
                "precision=bfloat16",
            ),
            scales=(2, 3, 4),
        ),
        Size(
            replace(_OURS_MICRO, candidates=4),
            ("loss=mean", "candidates=1"),
        ),
    ),
}


def get_study(name: str) -> Study:
    """The study of that name.

    Raises:
        InputError: there is none.
    """
    if name not in STUDIES:
        raise InputError(f"Unknown study {name!r}; write {', '.join(STUDIES)}.")
    return STUDIES[name]


def parse_values(study: Study, typed: Any) -> tuple[Any, ...]:
    """The values that a study varies, from text such as "3, 5, 8", a list, or one number.

    Raises:
        InputError: a value is none of this study's kind, or there is none.
    """
    parts = re.split(r"[\s,;]+", typed.strip()) if isinstance(typed, str) else typed
    parts = parts if isinstance(parts, Sequence) else [parts]
    if not parts:
        raise InputError("There is no value; write for example 3,5,8.")
    return tuple(dict.fromkeys(study.parse(str(part)) for part in parts))


def grid(
    name: str, size: str = "micro", seeds: int = 3, values: Any = None, **changes: Any
) -> tuple[Experiment, ...]:
    """All runs of a study: every value with every seed.

    Args:
        name: a key of ``STUDIES``.
        size: "micro" or "full".
        seeds: how many, from 0 on.
        values: what is varied, as ``parse_values`` takes it; None for the study's own.
        changes: to the recipe that all runs share, such as steps or width; None is no change.

    Raises:
        InputError: a name or value is impossible.
    """
    study = get_study(name)
    base = study.size(size)
    if not isinstance(seeds, int) or seeds < 1:
        raise InputError(f"seeds is {seeds!r}; write how many, a whole number from 1 up.")
    wanted = base.values if values is None else parse_values(study, values)
    given = {key: value for key, value in changes.items() if value is not None}
    shared = replace(base.recipe, **given)  # which checks the values
    if "steps" in given:
        shared = replace(_of_length(base.recipe, given.pop("steps")), **given)
    runs = dict.fromkeys(run for value in wanted for run in study.vary(shared, value))
    return tuple(replace(run, recipe=replace(run.recipe, seed=seed)) for run in runs for seed in range(seeds))


def petaflops(experiments: Iterable[Experiment]) -> float:
    """10^15 floating-point operations of all runs' training; validation is not counted."""
    return sum(experiment.recipe.flops for experiment in experiments) / 1e15


class Outcome(NamedTuple):
    """What a study gave: its results, a sentence for each run that failed, and the names of the images."""

    results: list[Result]
    failures: list[str]
    training: str
    validation: str


def conduct(
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
    experiments = grid(name, size, seeds, values, **changes)
    images, validation = study_images(size, root, data_path, validation_set)
    its = get_study(name).size(size)
    results, failures = run(
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


def run(
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
    again = partial(run, experiments, images, validation, root=root, validations=validations, scales=scales)
    with _others(processes - 1, partial(again, device=device, report=quiet)):
        for timeout in (0, -1):  # first what is free; then what others were at, who may have died meanwhile
            for number, (experiment, folder) in enumerate(folders.items(), start=1):
                if folder in found or folder in failures:
                    continue
                title = f"{number}/{len(jobs)} {experiment.label}, seed {experiment.recipe.seed}"
                try:
                    with alone(folder / "lock", timeout):
                        if not (done := _known(folder)):
                            done = _train(folder, jobs[experiment], where)
                            report(f"{title}: {_words(done)}")
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
    hashes = [[files.sha256(path) for path in job[name][1]] for name in ("images", "validation")]
    content = [job["recipe"].to_dict(), hashes, job["validation_scales"], job["validate_every"]]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def _known(folder: Path) -> dict[str, Any] | None:
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
            report=quiet,
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
        files.write_json(folder / "diverged.json", record)
    finally:
        torch.set_num_threads(threads)
    done = _known(folder)
    assert done is not None
    return done


def _words(result: Mapping[str, Any]) -> str:
    """A run in a few words."""
    if result["diverged"] is not None:
        return f"diverged by step {result['diverged']}"
    found = result["validation"][-1]["psnr"].items()
    scores = ", ".join(
        f"×{scale} {v['model']:.2f} dB ({v['model'] - v['interpolation']:+.2f})" for scale, v in found
    )
    return f"{scores}, {result['seconds']:.0f} s"
