"""Ship trained networks: into the package as float16, the record of their training into results/.

Usage: python notebooks/ship.py RUNS, a folder with one folder a network, as ``make weights`` leaves it:
"vdsr" (luma), "vdsr-rgb", and PROTOCOL-SCALES, the networks of Tables 2.
"""

import json
import sys
from copy import deepcopy
from pathlib import Path

from tqdm import tqdm

from vdsrlib import checkpoint, figures
from vdsrlib.evaluation import evaluate
from vdsrlib.files import InputError, sha256, write_json
from vdsrlib.images import benchmark_images, read_image
from vdsrlib.protocol import get_protocol
from vdsrlib.records import COMMITTED, write_picture

MOVED = 0.002  # dB by which storage in float16 may move a score
RECORDS = {"vdsr": "03_train.json", "vdsr-rgb": "03_train_rgb.json"}
POINTS = 200  # of a loss curve, at most


def ship(folder: Path, target: Path) -> dict:
    """Store one network as float16, and return its record, with the hash of what is shipped.

    Raises:
        InputError: float16 moves its scores by more than ``MOVED``.
    """
    run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    trained = checkpoint.load(folder / "weights.safetensors")
    halved = trained.model.half()
    ((name, last),) = trained.info["validation"].items()
    found, paths = benchmark_images(name)
    if found != name:
        raise InputError(f"{folder.name} was validated on {name}, which is not there; set VDSR_DATA.")
    model, rules = deepcopy(halved).float(), get_protocol(trained.protocol)
    for scale, psnr in last["psnr"].items():
        moved = evaluate(model, rules, paths, float(scale))["mean"]["model"]["psnr"] - psnr["model"]
        if abs(moved) > MOVED:
            raise InputError(f"{folder.name} ×{scale}: float16 moves its PSNR by {moved:+.4f} dB.")
    checkpoint.save(target, halved, trained.info)
    run["weights"] = {"file": target.name, "sha256": sha256(target)}
    run["history"] = run["history"][:: -(-len(run["history"]) // POINTS)]
    return run


def main(root: Path) -> None:
    """Ship every finished network of a folder."""
    finished = {path.parent.name: path.parent for path in sorted(root.glob("*/run.json"))}
    shipped = {}
    for name, folder in tqdm(finished.items()):
        shipped[name] = ship(folder, checkpoint.WEIGHTS / f"{name}.safetensors")
    for name, record in RECORDS.items():
        if name in shipped:
            write_json(COMMITTED / record, shipped.pop(name))
    if shipped:
        write_json(COMMITTED / "03_combinations.json", shipped)
        samples = {name: read_image(finished[name] / "samples.png") for name in shipped}
        write_picture(COMMITTED / "03_samples.png", figures.image_row(samples, columns=2))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
