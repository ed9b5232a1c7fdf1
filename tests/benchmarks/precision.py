"""What the precisions below float32 cost: PSNR under the paper's rules, and the difference in grey levels.

Run:  python tests/benchmarks/precision.py Set5 Set14 --networks vdsr vdsr-rgb --out result.json
The sets are found in VDSR_DATA. With --every 4 it takes each fourth image of a set. Scores are compared with
those that PyTorch or a runtime gives in float32, on the same images in the same run.

"gain" is the norm of the gradient of one pixel of SR with respect to ILR. It says how much a pixel's rounding
errors are amplified: where the result differs most, and at the median of pixels drawn at random.
"""

import argparse
import math
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from vdsrlib.datasets.catalog import benchmark_images
from vdsrlib.imaging.image_file import read_image
from vdsrlib.inference.options import InferenceOptions
from vdsrlib.inference.predict import predict
from vdsrlib.models.checkpoint import Checkpoint, load
from vdsrlib.models.vdsr import VDSR
from vdsrlib.utils.atomic import write_json
from vdsrlib.utils.device import choose_device, device_name, versions

SCALES = (2, 3, 4)
DRAWN = 16  # pixels an image whose gain is measured


def gain(model: VDSR, ilr: np.ndarray, row: int, col: int) -> float:
    """Measure the norm of the gradient of SR's pixel at (row, col), all channels, with respect to ILR."""
    top, left = max(0, row - model.depth), max(0, col - model.depth)
    part = ilr[top : row + model.depth + 1, left : col + model.depth + 1]
    batch = torch.from_numpy(np.atleast_3d(part)).permute(2, 0, 1)[None].float()
    batch = batch.to(next(model.parameters()).device).requires_grad_()
    pixel = model(batch)[0, :, row - top, col - left].sum()
    return float(torch.autograd.grad(pixel, batch)[0].norm())


def compare(net: Checkpoint, name: str, path: Path, scale: int, precision: str) -> dict:
    """Score one image in float32 and in ``precision``, and measure where the two results differ."""
    protocol = net.protocol
    hr, _, ilr = protocol.pair(read_image(path), scale)
    plain, lower = (
        predict(net.model, ilr, protocol, InferenceOptions(precision=each)) for each in ("float32", precision)
    )
    levels = 255 * np.abs(lower.clip(0, 1) - plain.clip(0, 1))
    flat = levels.reshape(*levels.shape[:2], -1).max(axis=2)
    row, col = (int(i) for i in np.unravel_index(flat.argmax(), flat.shape))
    drawn = np.random.default_rng(0).integers(0, flat.shape, (DRAWN, 2)).tolist()
    before, after = (protocol.score(sr, hr, scale).psnr for sr in (plain, lower))
    return {
        "network": name,
        "scale": scale,
        "image": path.name,
        "float32": before,
        "change": after - before,
        "squared": float(np.square(levels).mean()),
        "largest": float(levels.max()),
        "at": [row, col],
        "gain there": gain(net.model, ilr, row, col),
        "typical gain": float(np.median([gain(net.model, ilr, *at) for at in drawn])),
    }


def summary(rows: list[dict]) -> pd.DataFrame:
    """Mean scores, the largest change of one image, and differences in grey levels: network, set, scale."""
    frame = pd.DataFrame(rows)
    groups = frame.groupby(["network", "set", "scale"], sort=False)
    worst = frame.loc[groups["largest"].idxmax()].set_index(["network", "set", "scale"])
    return pd.DataFrame(
        {
            "images": groups.size(),
            "float32 (dB)": groups["float32"].mean().round(4),
            "change of the mean (dB)": groups["change"].mean().round(4),
            "largest change of an image (dB)": groups["change"].agg(lambda c: c[c.abs().idxmax()]).round(4),
            "root mean square (levels)": groups["squared"].mean().map(math.sqrt).round(3),
            "largest (levels)": worst["largest"].round(1),
            "gain there": worst["gain there"].round(1),
            "typical gain": groups["typical gain"].median().round(2),
        }
    ).reset_index()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("sets", nargs="+", help="names of test sets in VDSR_DATA")
    parser.add_argument("--networks", nargs="+", default=["vdsr"], help="names of shipped weights")
    parser.add_argument("--precision", default="bfloat16")
    parser.add_argument("--every", type=int, default=1, help="take each so many images of a set")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", help="write the table as JSON")
    options = parser.parse_args()
    device = choose_device(options.device)
    nets = {name: load(name, device) for name in options.networks}
    found = dict(benchmark_images(name) for name in options.sets)
    work = [
        (name, images, path, scale)
        for name in nets
        for images, paths in found.items()
        for path in paths[:: options.every]
        for scale in SCALES
    ]
    rows = [
        {"set": images, **compare(nets[name], name, path, scale, options.precision)}
        for name, images, path, scale in tqdm(work, "Images")
    ]
    table = summary(rows)
    print(table.to_string(index=False))
    if options.out:
        record = {
            "command": "python tests/benchmarks/precision.py",
            "options": {k: v for k, v in vars(options).items() if k != "out"},
            "device": device_name(device),
            "weights": {name: net.hash for name, net in nets.items()},
            "versions": versions(),
            "results": table.to_dict("records"),
            "images": rows,
        }
        write_json(options.out, record)


if __name__ == "__main__":
    main()
