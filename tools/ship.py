"""Ship trained networks: into the package as float16, the record of their training into results/training/.

Usage: python tools/ship.py RUNS, a folder with one folder a network, as ``make weights`` leaves it:
"vdsr" (luma), "vdsr-rgb", and PROTOCOL-SCALES, the networks of Tables 2. What is not there stays as it is.
Of the trainings in its folder "records", the records alone are kept, under the same names. Tables of studies
and of measurements are copied.
"""

import json
import shutil
import sys
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from vdsrlib.datasets.catalog import EMBEDDED_NAME, benchmark_images
from vdsrlib.errors import InputError
from vdsrlib.evaluation.evaluate import evaluate
from vdsrlib.evaluation.frames import mean_scores
from vdsrlib.models import checkpoint
from vdsrlib.records import RESULTS
from vdsrlib.utils.atomic import write_json
from vdsrlib.utils.hashing import hash_file

MOVED = 0.002  # dB by which storage in float16 may move a score
POINTS = 200  # of a loss curve, at most


def ship(folder: Path, weights: Path, records: Path) -> None:
    """Put one network, stored as float16, its record and its samples in place, if they are not there yet.

    Raises:
        InputError: float16 moves its scores by more than ``MOVED``, or it was made without the image sets.
    """
    target, record = weights / f"{folder.name}.safetensors", records / f"{folder.name}.json"
    trained = checkpoint.load(folder / "weights.safetensors", "cpu")
    halved = deepcopy(trained.model).half()
    if _shipped(target, record, halved, trained.info):
        return
    ((name, last),) = trained.info["validation"].items()
    if name == EMBEDDED_NAME:
        raise InputError(
            f"{folder.name} was trained without the image sets; set VDSR_DATA, and train it anew."
        )
    absent = InputError(f"{folder.name} was validated on {name}, which is not there; set VDSR_DATA.")
    try:
        found, paths = benchmark_images(name)
    except InputError as error:
        raise absent from error
    if found != name:  # the bundled photographs in its place
        raise absent
    scores = evaluate(replace(trained, model=deepcopy(halved).float()), paths, tuple(last["psnr"]))
    means = mean_scores(scores).psnr.xs("model", level="method")
    for scale, psnr in last["psnr"].items():
        moved = means[float(scale)] - psnr["model"]
        if abs(moved) > MOVED:
            raise InputError(f"{folder.name} ×{scale}: float16 moves its PSNR by {moved:+.4f} dB.")
    checkpoint.save(target, halved, trained.info)
    records.mkdir(exist_ok=True)
    shutil.copy(folder / "samples.png", records / f"{folder.name}.png")
    keep_record(folder, record, weights={"file": target.name, "sha256": hash_file(target)})


def keep_record(folder: Path, record: Path, **changes: Any) -> None:
    """Write the record of a training, with fewer points of its loss."""
    run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    run["history"] = run["history"][:: -(-len(run["history"]) // POINTS)]
    write_json(record, {**run, **changes})


def _shipped(target: Path, record: Path, halved: torch.nn.Module, info: dict) -> bool:
    """Whether the network in the package is this one, and its record is of it."""
    if not (target.exists() and record.exists()):
        return False
    if json.loads(record.read_text(encoding="utf-8"))["weights"]["sha256"] != hash_file(target):
        return False  # the last time was cut off between the two
    there = checkpoint.load(target, "cpu")
    pairs = zip(there.model.state_dict().values(), halved.state_dict().values(), strict=True)
    return there.info == info and all(torch.equal(one, other.float()) for one, other in pairs)


def main(root: Path) -> int:
    """Ship every finished network of a folder; one that cannot be shipped does not keep the others back."""
    runs, refused, records = sorted(root.glob("*/run.json")), [], RESULTS / "training"
    for run in tqdm(runs):
        try:
            ship(run.parent, checkpoint.WEIGHTS, records)
        except InputError as error:
            refused.append(str(error))
    if not refused:
        for run in root.glob("records/**/run.json"):
            keep_record(run.parent, RESULTS / f"{run.parent.relative_to(root / 'records')}.json")
        for table in (*root.glob("studies/08_*.json"), *root.glob("measurements/*.json")):
            shutil.copy(table, RESULTS)
    if not runs:
        refused.append(f"There is no finished network in {root}; make weights trains them.")
    print(*refused, sep="\n", file=sys.stderr, end="\n" if refused else "")
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
