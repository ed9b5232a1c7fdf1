"""Inference speed and memory: engines side by side, in turns within one run, over image sizes.

The measure is eager PyTorch in its default layout (NCHW, float32), which is what most re-implementations do.
Run:  python tests/benchmarks/inference.py --out result.json
With --images FOLDER it also scores every engine there (paper protocol): PSNR must not move by 0.001 dB. It
also scores half precision, which no engine uses.
"""

import argparse
import copy
import math
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
from tabulate import tabulate
from torch import Tensor
from tqdm import tqdm

from vdsrlib import checkpoint, figures
from vdsrlib.engine import Network, installed, prepare
from vdsrlib.environment import device_name, versions
from vdsrlib.evaluation import predict
from vdsrlib.files import atomic, write_json
from vdsrlib.images import list_images, read_image
from vdsrlib.model import VDSR
from vdsrlib.protocol import PAPER
from vdsrlib.tiling import MEMORY, tile_pixels, tiled

PLAIN = "eager NCHW"


def networks() -> dict[str, Network]:
    plain = checkpoint.load().model.to(memory_format=torch.contiguous_format)
    return {PLAIN: torch.inference_mode()(plain), **{name: prepare(plain, name) for name in installed()}}


def seconds(network: Network, side: int) -> float:
    ilr = torch.rand(1, 1, side, side)
    start = time.perf_counter()
    network(ilr)
    return time.perf_counter() - start


def side_by_side(side: int, rounds: int) -> list[dict]:
    """Rates of all engines on one square; a ratio is taken within its round, since machines vary."""
    runs = networks()
    times: dict[str, list[float]] = {name: [] for name in runs}
    for network in runs.values():
        seconds(network, side)  # warm up
    for _ in tqdm(range(rounds), "Rounds"):
        for name, network in runs.items():
            times[name].append(seconds(network, side))
    work = 2.0 * sum(p.numel() for p in VDSR().parameters() if p.ndim == 4) * side**2
    return [
        {
            "engine": name,
            "times eager NCHW": round(
                statistics.median(a / b for a, b in zip(times[PLAIN], found, strict=True)), 2
            ),
            "megapixels/s": round(side**2 / 1e6 / statistics.median(found), 3),
            "GFLOP/s": round(work / 1e9 / statistics.median(found), 1),
        }
        for name, found in times.items()
    ]


def growth(megapixels: float, name: str) -> dict:
    """Time and peak memory above the image's own, in a process of its own: peaks do not fall again."""
    command = [sys.executable, __file__, "--one", str(megapixels), name]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds, peak = map(float, done.stdout.split())
    return {
        "engine": name,
        "megapixels": megapixels,
        "seconds": round(seconds, 2),
        "megapixels/s": round(megapixels / seconds, 3),
        "peak MiB": round(peak / 2**20),
    }


def one(megapixels: float, name: str) -> None:
    def status(entry: str) -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith(entry))

    model = checkpoint.load().model
    network = prepare(model, name)
    network(torch.rand(1, 1, 64, 64))
    batch = torch.rand(1, 1, *[math.isqrt(int(megapixels * 1e6))] * 2)
    before, start = status("VmRSS"), time.perf_counter()
    result = tiled(network, batch, model.depth, tile_pixels(model, MEMORY))
    print(time.perf_counter() - start, status("VmHWM") - before - result.nbytes)


def halved(model: VDSR, dtype: torch.dtype) -> Network:
    """Weights and every layer's output rounded to ``dtype``, sums in float32: as matrix units of GPUs do."""
    rounded = copy.deepcopy(model).to(dtype).float()
    for conv in rounded.conv.values():
        conv.register_forward_hook(lambda layer, inputs, output: output.to(dtype).float())

    @torch.inference_mode()
    def network(ilr: Tensor) -> Tensor:
        return ilr + rounded.residual(ilr.to(dtype).float())

    return network


def table(folder: str) -> list[dict]:
    model = checkpoint.load().model
    runs: dict[str, str | Network] = {name: name for name in installed()}
    runs |= {
        f"{str(dtype)[6:]} between layers": halved(model, dtype) for dtype in (torch.float16, torch.bfloat16)
    }
    rows = []
    for scale in (2, 3, 4):
        scores: dict[str, list[float]] = {name: [] for name in runs}
        for path in tqdm(list_images(folder), f"x{scale}"):
            hr = PAPER.ground_truth(read_image(path), scale)
            _, ilr = PAPER.degrade(hr, scale)
            for name, found in scores.items():
                found.append(PAPER.score(predict(model, ilr, PAPER, runs[name]), hr, scale).psnr)
        rows.append({"scale": scale, **{name: round(statistics.mean(v), 5) for name, v in scores.items()}})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=512, help="of the square for the ratios")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sizes", type=float, nargs="*", default=[0.1, 0.5, 2, 10, 50], help="megapixels")
    parser.add_argument("--images", help="folder of HR images to score")
    parser.add_argument("--out", help="write the table as JSON, and a chart beside it")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        one(float(options.one[0]), options.one[1])
        return
    record = {
        "command": "python tests/benchmarks/inference.py",
        "options": {k: v for k, v in vars(options).items() if k in ("side", "rounds", "sizes")},
        "device": device_name(torch.device("cpu")),
        "weights": checkpoint.load().hash,
        "versions": versions(),
        "engines": side_by_side(options.side, options.rounds),
        "growth": [growth(size, name) for name in installed() for size in tqdm(options.sizes, name)],
        "psnr": table(options.images) if options.images else None,
    }
    for part in ("engines", "growth", "psnr"):
        print(tabulate(record[part] or [], headers="keys"), end="\n\n")
    if options.out:
        write_json(options.out, record)
        curves = {}
        for name in installed():
            rows = [row for row in record["growth"] if row["engine"] == name]
            curves[name] = [row["megapixels"] for row in rows], [row["seconds"] for row in rows]
        if options.sizes:
            heads = "megapixels of the result", "seconds"
            chart = figures.line_plot(curves, *heads, logx=True, logy=True, title=record["device"])
            with atomic(Path(options.out).with_suffix(".png")) as temporary:
                chart.savefig(temporary)


if __name__ == "__main__":
    main()
