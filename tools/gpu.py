"""Run the trainings and measurements that need a GPU, in order, until the time is up.

Usage: python tools/gpu.py RUNS [JOB ...] [--minutes 14] [--at-once 1] [--list] [--rehearse]

Jobs are done in the order of the list, or of the names given. What is done is skipped, and a training that
was stopped resumes, so two calls of 15 minutes do what one call of 30 would. VDSR_DATA names the folder of
the image sets. ``--rehearse`` runs each job at about a thousandth of its size, on any machine. ``make ship``
puts weights, records and tables in place.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vdsrlib.studies.definitions import build_grid, petaflops
from vdsrlib.training.recipes import get_recipe

RATE = 0.18  # PFLOP a second of an H100 or H200 in these trainings
BENCHMARKS = Path(__file__).parents[1] / "tests" / "benchmarks"
MORE_IMAGES = "T91+BSD200+CID22"
COMBINATIONS = ("2", "3", "4", "2_3", "2_4", "3_4", "2_3_4")


@dataclass(frozen=True)
class Training:
    """``vdsr train`` into a folder of RUNS.

    Attributes:
        name: the folder. ``make ship`` ships its network, or, from ``records/``, its record alone.
        recipe: a name of ``RECIPES``.
        changes: to the recipe.
        init: the folder whose weights it begins with; or the name of shipped weights.
        validate_every: steps; 0: at the end alone.
        data_path: the image sets to learn from; None for T91 and BSD200.
    """

    name: str
    recipe: str
    changes: dict[str, Any] = field(default_factory=dict)
    init: str | None = None
    validate_every: int = 0
    data_path: str | None = None

    @property
    def petaflop(self) -> float:
        """Operations of the training."""
        return get_recipe(self.recipe, **self.changes).flops / 1e15

    def is_done(self, runs: Path) -> bool:
        """Whether the training has come to its end."""
        return (runs / self.name / "run.json").exists()

    def command(self, runs: Path, rehearse: bool) -> list[str]:
        """What to run, after the interpreter's name."""
        changes, validate_every = dict(self.changes), self.validate_every
        if rehearse:
            recipe = get_recipe(self.recipe, **changes)
            changes |= {"depth": 3, "width": 4, "batch_size": 2, "patch_size": 16}
            steps = max(2, recipe.steps // 1000)
            changes |= {"steps": steps, "decay_steps": -(-recipe.decay_steps * steps // recipe.steps)}
            validate_every = 0
        options: dict[str, object] = {"recipe": self.recipe, **changes, "validate_every": validate_every}
        options |= {"save_every": 1000, "ckpt_path": runs / self.name}
        if self.data_path:
            options["data_path"] = self.data_path
        if self.init and (weights := runs / self.init / "weights.safetensors").exists():
            options["init"] = weights
        elif self.init and not rehearse:  # a rehearsal's network is too small for shipped weights
            options["init"] = self.init
        return ["-m", "vdsrlib", "train", *_as_options(options)]


@dataclass(frozen=True)
class Study:
    """``vdsr study`` at full size; its record lies in RUNS/studies/."""

    name: str
    study: str
    seeds: int

    @property
    def petaflop(self) -> float:
        """Operations of all its trainings."""
        return petaflops(build_grid(self.study, "full", self.seeds))

    def is_done(self, runs: Path) -> bool:
        """Whether its record is there."""
        return self._record(runs).exists()

    def command(self, runs: Path, rehearse: bool) -> list[str]:
        """What to run, after the interpreter's name."""
        options: dict[str, object] = {"size": "full", "seeds": self.seeds}
        if rehearse:
            options = {"size": "micro", "seeds": 1, "steps": 4, "width": 2, "patch_size": 8, "batch_size": 2}
        options |= {"runs_path": runs / "studies", "out": self._record(runs)}
        return ["-m", "vdsrlib", "study", self.study, *_as_options(options)]

    def _record(self, runs: Path) -> Path:
        return runs / "studies" / f"08_{self.study}.json"


@dataclass(frozen=True)
class Measurement:
    """A benchmark; its table lies in RUNS/measurements/."""

    name: str
    script: str
    options: tuple[str, ...]
    rehearsal: tuple[str, ...]
    petaflop: float

    def is_done(self, runs: Path) -> bool:
        """Whether its table is there."""
        return self._table(runs).exists()

    def command(self, runs: Path, rehearse: bool) -> list[str]:
        """What to run, after the interpreter's name."""
        options = self.rehearsal if rehearse else self.options
        filled = [part.format(data=os.environ.get("VDSR_DATA", "")) for part in options]
        return [str(BENCHMARKS / self.script), *filled, "--out", str(self._table(runs))]

    def _table(self, runs: Path) -> Path:
        return runs / "measurements" / f"{self.name}.json"


Job = Training | Study | Measurement


def _table_2(protocol: str, **changes: Any) -> list[Job]:
    """List the networks of a Table 2: one for each combination of scales."""
    short = {"rescale_factors": "1", "patch_size": 41, "learning_rate": 8e-4, "protocol": protocol, **changes}
    return [Training(f"{protocol}-{scales}", "best", {**short, "scales": scales}) for scales in COMBINATIONS]


JOBS: list[Job] = [
    # The paper's recipe, longer than its 9,960 steps: how many steps bring its scores?
    Training(
        "records/03_paper_39840",
        "paper",
        {"precision": "bfloat16", "steps": 39_840, "decay_steps": 9960},
        validate_every=3984,
    ),
    Training(
        "records/03_paper_99600",
        "paper",
        {"precision": "bfloat16", "steps": 99_600, "decay_steps": 24_900},
        validate_every=9960,
    ),
    # For photographs with noise and JPEG, which is interim: trained on a CPU core.
    Training("vdsr-photo", "photo", init="vdsr", data_path=MORE_IMAGES),
    # What more photographs buy: the main network, trained on with CID22.
    Training("vdsr-cid22", "best", init="vdsr", validate_every=16_000, data_path=MORE_IMAGES),
    # RGB, which is interim: trained on two CPU cores.
    Training("vdsr-rgb", "best", {"protocol": "replication"}),
    *_table_2("replication", steps=24_000),
    # A longer last stage of the main network, for the cells where a public checkpoint is above it.
    Training(
        "records/03_longer_last_stage",
        "best",
        {"loss": "mse", "learning_rate": 3e-4, "steps": 24_000},
        init="vdsr",
        validate_every=6000,
    ),
    # Chapter 8 at the paper's size.
    Study("depth", "depth", 3),
    Study("residual", "residual", 3),
    # Speed, and the seconds of Table 3.
    Measurement(
        "speed_training_gpu",
        "training.py",
        ("--batch", "64", "--rounds", "3", "--steps", "20"),
        ("--batch", "2", "--rounds", "1", "--steps", "1"),
        5.0,
    ),
    Measurement(
        "speed_inference_gpu",
        "inference.py",
        ("--rounds", "5", "--side", "1024", "--sizes", "--frame", "1920x1080", "--images", "{data}/Set5"),
        ("--rounds", "1", "--side", "32", "--sizes"),
        10.0,
    ),
    # The shipped luma networks once more, from the beginning.
    Training("records/training/vdsr-first", "best", {"rescale_factors": "1", "steps": 42_000}),
    Training("records/training/vdsr-second", "best", init="records/training/vdsr-first"),
    Training(
        "vdsr",
        "best",
        {"loss": "mse", "learning_rate": 2e-4, "steps": 6000},
        init="records/training/vdsr-second",
    ),
    *_table_2("paper", batch_size=32, steps=6000),
]


def _as_options(values: dict[str, object]) -> list[str]:
    return [text for name, value in values.items() for text in (f"--{name.replace('_', '-')}", str(value))]


def run(jobs: Sequence[Job], runs: Path, *, minutes: float, at_once: int = 1, rehearse: bool = False) -> int:
    """Run the jobs that are not done, some at once, until the time is up; return how many failed.

    A job whose weights to begin with are still being trained waits for them.
    """
    deadline = time.monotonic() + 60 * minutes
    waiting = [job for job in jobs if not job.is_done(runs)]
    working: dict[str, subprocess.Popen] = {}
    failed = 0
    (runs / "measurements").mkdir(parents=True, exist_ok=True)
    while (waiting or working) and time.monotonic() < deadline:
        for job in [*waiting]:
            busy = {*working, *(other.name for other in waiting if other is not job)}
            if len(working) < at_once and getattr(job, "init", None) not in busy:
                waiting.remove(job)
                print(f"{job.name}: {job.petaflop:.2g} PFLOP", flush=True)
                working[job.name] = subprocess.Popen([sys.executable, *job.command(runs, rehearse)])
        for name in [name for name, process in working.items() if process.poll() is not None]:
            status = working.pop(name).returncode
            failed += status != 0
            print(f"{name}: {'done' if status == 0 else f'failed, status {status}'}", flush=True)
        time.sleep(0.05)
    for name, process in working.items():
        process.send_signal(signal.SIGTERM)  # upon which a training saves its state
        process.wait()
        print(f"{name}: the time is up; the next call resumes it", flush=True)
    if waiting:
        print(f"not begun: {', '.join(job.name for job in waiting)}")
    return failed


def main(typed: Sequence[str] | None = None) -> int:
    """List or run the jobs."""
    parser = argparse.ArgumentParser(description="Run the trainings and measurements that need a GPU.")
    parser.add_argument("runs", type=Path, metavar="RUNS", help="folder of the results")
    parser.add_argument("jobs", nargs="*", metavar="JOB", help="names, in their order; default: all")
    parser.add_argument("--minutes", type=float, default=14, help="time until what runs is stopped")
    parser.add_argument("--at-once", type=int, default=1, metavar="N", help="jobs side by side on the GPU")
    parser.add_argument("--list", action="store_true", help="list the jobs, their cost, and what is done")
    parser.add_argument("--rehearse", action="store_true", help="run all at about a thousandth of the size")
    arguments = parser.parse_args(typed)
    known = {job.name: job for job in JOBS}
    unknown = [name for name in arguments.jobs if name not in known]
    if unknown:
        parser.error(f"unknown job {unknown[0]!r}; choose {', '.join(known)}")
    jobs = [known[name] for name in arguments.jobs] or JOBS
    if arguments.list:
        for number, job in enumerate(jobs, start=1):
            state = "done" if job.is_done(arguments.runs) else f"{job.petaflop / RATE / 60:.1f} min"
            print(f"{number:2} {job.name:30} {job.petaflop:6.1f} PFLOP  {state}")
        return 0
    options = {"minutes": arguments.minutes, "at_once": arguments.at_once, "rehearse": arguments.rehearse}
    return 1 if run(jobs, arguments.runs, **options) else 0


if __name__ == "__main__":
    sys.exit(main())
