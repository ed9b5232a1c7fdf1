"""Inference speed and memory: backends and precisions in turns within one run, over image and tile sizes.

The measure is eager PyTorch in its default layout (NCHW, float32), which is what most re-implementations do.
Run:  python tests/benchmarks/inference.py --out result.json
With --images FOLDER it also scores each of them there, under the paper's protocol. With --tiles it measures
how fast tiles of these sides make pixels of a result, their halo left out. With --frame 1920x1080 it counts
frames of that size a second, made twice as large: by the network alone, and whole, uint8 RGB to uint8 RGB.
"""

import argparse
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from tqdm import tqdm

from vdsrlib.datasets.catalog import list_images
from vdsrlib.imaging.image_file import read_image
from vdsrlib.inference.backends import Network, installed, prepare
from vdsrlib.inference.options import InferenceOptions
from vdsrlib.inference.predict import predict
from vdsrlib.inference.tiling import MEMORY, tile_pixels, tiled
from vdsrlib.inference.upscale import upscale
from vdsrlib.models import checkpoint
from vdsrlib.models.vdsr import VDSR
from vdsrlib.protocol import PAPER
from vdsrlib.utils.atomic import atomic, write_json
from vdsrlib.utils.device import choose_device, device_name, fast_in_bfloat16, versions
from vdsrlib.utils.parsing import parse_size
from vdsrlib.viz import charts

PLAIN = "eager NCHW"
PEAK = "VmHWM"  # the most that was resident


def ways(device: torch.device) -> dict[str, tuple[str, str]]:
    """Backend and precision of all that the device has units for; float32 goes without saying."""
    able = ["float32"] + ["bfloat16"] * fast_in_bfloat16(device) + ["float16"] * (device.type == "cuda")
    return {
        name if precision == "float32" else f"{name}, {precision}": (name, precision)
        for precision in able
        for name in installed(device.type, precision)
    }


def networks(device: torch.device) -> dict[str, Network]:
    plain = checkpoint.load(device=device).model.to(memory_format=torch.contiguous_format)
    found = {PLAIN: torch.inference_mode()(plain)}
    found |= {name: prepare(plain, *way) for name, way in ways(device).items()}
    half = "torch, float16"
    return found | ({f"{half}, compiled": torch.compile(found[half])} if half in found else {})


def seconds(work: Callable[[], object], device: torch.device) -> float:
    start = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def side_by_side(side: int, rounds: int, device: torch.device) -> list[dict]:
    """Rates of all on one square; a ratio is taken within its round, since machines vary."""
    ilr = torch.rand(1, 1, side, side, device=device)
    runs = {name: partial(network, ilr) for name, network in networks(device).items()}
    times: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        seconds(run, device)  # warm up
    for _ in tqdm(range(rounds), "Rounds"):
        for name, run in runs.items():
            times[name].append(seconds(run, device))
    work = 2.0 * sum(p.numel() for p in VDSR().parameters() if p.ndim == 4) * side**2
    return [
        {
            "backend": name,
            "times eager NCHW": round(
                statistics.median(a / b for a, b in zip(times[PLAIN], found, strict=True)), 2
            ),
            "megapixels/s": round(side**2 / 1e6 / statistics.median(found), 3),
            "GFLOP/s": round(work / 1e9 / statistics.median(found), 1),
        }
        for name, found in times.items()
    ]


def frames(size: str, device: torch.device) -> list[dict]:
    """Frames a second at twice their size: the best of three."""
    height, width = parse_size(size)
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    ilr = torch.rand(1, 1, 2 * height, 2 * width, device=device)
    net = checkpoint.load(device=device)
    rows = []
    for name, network in networks(device).items():
        alone = partial(tiled, network, ilr, net.model.depth, tile_pixels(net.model, MEMORY))
        whole = partial(upscale, net, pixels, 2, options=InferenceOptions(network))
        best = [min(seconds(work, device) for _ in range(3)) for work in (alone, whole)]
        rows.append({"backend": name, "network, frames/s": 1 / best[0], "whole, frames/s": 1 / best[1]})
    return rows


def growth(megapixels: float, name: str, device: torch.device) -> dict:
    """Time and peak memory above the image's own, in a process of its own: peaks do not fall again."""
    command = [sys.executable, __file__, "--device", str(device), "--one", str(megapixels), name]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds, peak = map(float, done.stdout.split())
    return {
        "backend": name,
        "megapixels": megapixels,
        "seconds": round(seconds, 2),
        "megapixels/s": round(megapixels / seconds, 3),
        "peak MiB": round(peak / 2**20),
    }


def one(megapixels: float, name: str, device: torch.device) -> None:
    def used(entry: str) -> int:
        if device.type == "cuda":
            return torch.cuda.max_memory_allocated() if entry == PEAK else torch.cuda.memory_allocated()
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith(entry))

    model = checkpoint.load(device=device).model
    network = prepare(model, *ways(device)[name])
    network(torch.rand(1, 1, 64, 64, device=device))
    batch = torch.rand(1, 1, *[math.isqrt(int(megapixels * 1e6))] * 2, device=device)
    before = used("VmRSS")
    took = seconds(lambda: tiled(network, batch, model.depth, tile_pixels(model, MEMORY)), device)
    print(took, used(PEAK) - before - batch.nbytes)


def table(folder: str, device: torch.device) -> list[dict]:
    model, rows = checkpoint.load(device=device).model, []
    for scale in (2, 3, 4):
        scores: dict[str, list[float]] = {name: [] for name in ways(device)}
        for path in tqdm(list_images(folder), f"x{scale}"):
            hr, _, ilr = PAPER.pair(read_image(path), scale)
            for name, way in ways(device).items():
                sr = predict(model, ilr, PAPER, InferenceOptions(*way))
                scores[name].append(PAPER.score(sr, hr, scale).psnr)
        rows.append({"scale": scale, **{name: round(statistics.mean(v), 5) for name, v in scores.items()}})
    return rows


def tile_sides(sides: list[int], rounds: int, device: torch.device) -> list[dict]:
    """Megapixels of a result in a second, the best of some rounds, by the tiles' side; halo left out."""
    halo, runs = checkpoint.load(device=device).model.depth, networks(device)
    rows = [{"side": side} for side in sides]
    for row in rows:
        tile = torch.rand(1, 1, row["side"], row["side"], device=device)
        for name, network in runs.items():
            best = min(seconds(partial(network, tile), device) for _ in range(rounds))
            row[name] = round((row["side"] - 2 * halo) ** 2 / 1e6 / best, 3)
    return rows


def chart(record: dict) -> Figure:
    """How the cost of each grows with the image."""
    curves: dict[str, tuple[list[float], list[float]]] = {}
    for row in record["growth"]:
        sizes, seconds = curves.setdefault(row["backend"], ([], []))
        sizes.append(row["megapixels"])
        seconds.append(row["seconds"])
    heads = "megapixels of the result", "seconds"
    title = f"Time to compute the network, by backend; {record['device']}"
    return charts.line_plot(curves, *heads, logx=True, logy=True, title=title)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--side", type=int, default=512, help="of the square for the ratios")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sizes", type=float, nargs="*", default=[0.1, 0.5, 2, 10, 50], help="megapixels")
    parser.add_argument("--tiles", type=int, nargs="*", help="sides of tiles, such as 256 384 512")
    parser.add_argument("--frame", help="size of a frame to enlarge, such as 1920x1080")
    parser.add_argument("--images", help="folder of HR images to score")
    parser.add_argument("--out", help="write the table as JSON, and a chart beside it")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    device = choose_device(options.device)
    if options.one:
        one(float(options.one[0]), options.one[1], device)
        return
    record = {
        "command": "python tests/benchmarks/inference.py",
        "options": {
            k: v for k, v in vars(options).items() if k in ("side", "rounds", "sizes", "tiles", "frame")
        },
        "device": device_name(device),
        "weights": checkpoint.load(device="cpu").hash,
        "versions": versions(),
        "backends": side_by_side(options.side, options.rounds, device),
        "growth": [growth(size, name, device) for name in ways(device) for size in tqdm(options.sizes, name)],
        "tiles": tile_sides(options.tiles, options.rounds, device) if options.tiles else None,
        "frames": frames(options.frame, device) if options.frame else None,
        "psnr": table(options.images, device) if options.images else None,
    }
    for part in ("backends", "growth", "tiles", "frames", "psnr"):
        print(pd.DataFrame(record[part]).to_string(index=False, float_format="{:.5g}".format), end="\n\n")
    if options.out:
        write_json(options.out, record)
        if options.sizes:
            with atomic(Path(options.out).with_suffix(".png")) as temporary:
                chart(record).savefig(temporary)


if __name__ == "__main__":
    main()
