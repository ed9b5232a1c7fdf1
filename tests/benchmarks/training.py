"""Training speed: this library's step against the plain way, in turns within one run.

The plain way is what most re-implementations do: patches stored beforehand, a shuffling DataLoader, an
eager float32 network in PyTorch's default layout, Adam. Ours is ``vdsrlib.training`` with the recipe
``best``. Same network, same batch of patches of 41 x 41. Muon's part of a step is also compared with
PyTorch's Muon. At the end stands where a step of ours spends its time, by PyTorch's profiler. Run:
python tests/benchmarks/training.py --out result.json
"""

import argparse
import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from copy import deepcopy

import pandas as pd
import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.data import DataLoader, TensorDataset
from tqdm import tqdm

from vdsrlib.datasets.catalog import EMBEDDED_TRAIN, embedded
from vdsrlib.models.vdsr import VDSR
from vdsrlib.training.cuda_graph import GraphedStep
from vdsrlib.training.muon import Muon
from vdsrlib.training.optimizer import Optimizer, update_ema
from vdsrlib.training.patches import TrainingSet
from vdsrlib.training.recipes import get_recipe
from vdsrlib.training.step import forward_backward
from vdsrlib.utils.atomic import write_json
from vdsrlib.utils.device import choose_device, device_name, fast_in_bfloat16, versions

Step = Callable[[], object]


def plain(batch: int, device: torch.device) -> Step:
    data = TrainingSet(get_recipe("paper"), embedded(EMBEDDED_TRAIN))
    ilr, hr = (torch.cat(parts) for parts in zip(*(data.batch(i, 64) for i in range(64)), strict=True))
    loader = DataLoader(TensorDataset(ilr, hr), batch, shuffle=True, num_workers=2, persistent_workers=True)
    batches: Iterator = itertools.chain.from_iterable(itertools.repeat(loader))
    model = VDSR().to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)

    def step() -> None:
        x, y = (part.to(device) for part in next(batches))
        optimizer.zero_grad()
        nn.functional.mse_loss(model(x), y).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.4)
        optimizer.step()

    return step


def ours(batch: int, device: torch.device, precision: str) -> Step:
    recipe = get_recipe("best", batch_size=batch, patch_size=41, scales="2_3_4", precision=precision)
    data = TrainingSet(recipe, embedded(EMBEDDED_TRAIN), device=device)
    model = VDSR(last_gain=recipe.last_gain).to(device).to(memory_format=torch.channels_last)
    optimizer = Optimizer(recipe, model)
    network = torch.compile(model) if device.type == "cuda" else model
    counter, averages = itertools.count(), deepcopy(model)

    def make_step(ilr: Tensor, hr: Tensor) -> Tensor:
        loss = forward_backward(recipe, network, ilr, hr)
        optimizer.step()
        update_ema(averages, model, 1 - recipe.ema)
        return loss

    captured = GraphedStep(make_step) if device.type == "cuda" else make_step
    return lambda: captured(*data.batch(next(counter), batch))


def muon(device: torch.device) -> tuple[Step, Step]:
    """A step of ``torch.optim.Muon``, and of ours, on the weights of the 20 layers."""
    weights = [p for p in VDSR().to(device).parameters() if p.ndim == 4]
    matrices = [nn.Parameter(weight.detach().flatten(1)) for weight in weights]
    for parameter in (*weights, *matrices):
        parameter.grad = torch.randn_like(parameter)
    theirs = torch.optim.Muon(matrices, weight_decay=0.0, adjust_lr_fn="match_rms_adamw")
    return theirs.step, Muon(weights, weight_decay=0.0).step


def seconds(step: Step, count: int, device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(count):
        step()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - start) / count


def shares(step: Step, device: torch.device, count: int = 8) -> dict[str, float]:
    """Measure which share of a step's time each of the ``count`` largest operations takes."""
    on_gpu = device.type == "cuda"
    with profile(activities=[ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU]) as recorded:
        seconds(step, 3, device)
    times = {
        event.key: event.self_device_time_total if on_gpu else event.self_cpu_time_total
        for event in recorded.key_averages()
    }
    total = sum(times.values())
    largest = sorted(times, key=times.__getitem__, reverse=True)[:count]
    return {name: round(times[name] / total, 3) for name in largest}


def matrix_product(device: torch.device, dtype: torch.dtype) -> tuple[Step, float]:
    side = 8192 if device.type == "cuda" else 2048
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    return lambda: torch.mm(a, b), 2.0 * side**3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=5, help="steps a round")
    parser.add_argument("--out", help="write the table as JSON")
    options = parser.parse_args()
    device = choose_device(options.device)
    work = get_recipe("best", batch_size=options.batch, patch_size=41, steps=1).flops

    plain_way, their_muon = "plain: NCHW, float32, DataLoader, Adam", "Muon alone, torch.optim"
    theirs, batched = muon(device)
    steps: dict[str, Step] = {
        plain_way: plain(options.batch, device),
        "ours, float32": ours(options.batch, device, "float32"),
        "ours, bfloat16": ours(options.batch, device, "bfloat16"),
        their_muon: theirs,
        "Muon alone, ours": batched,
    }
    networks = list(steps)[:3]
    products = {
        "matrix product, float32": matrix_product(device, torch.float32),
        "matrix product, bfloat16": matrix_product(device, torch.bfloat16),
    }
    steps |= {name: step for name, (step, _) in products.items()}
    times: dict[str, list[float]] = {name: [] for name in steps}
    for step in steps.values():
        seconds(step, 3, device)  # warm up, compile
    for _ in tqdm(range(options.rounds), "Rounds"):
        for name, step in steps.items():
            times[name].append(seconds(step, options.steps, device))

    operations = dict.fromkeys(networks, work) | {name: count for name, (_, count) in products.items()}
    rates = {name: count / statistics.median(times[name]) for name, count in operations.items()}
    rows = []
    for name, values in times.items():
        base = None if name in products else plain_way if name in networks else their_muon
        ratios = [a / b for a, b in zip(times[base or name], values, strict=True)]  # of the same round
        peak = rates["matrix product, bfloat16" if "bfloat16" in name else "matrix product, float32"]
        rows.append(
            {
                "what": name,
                "ms": round(1e3 * statistics.median(values), 2),
                "times the plain way": round(statistics.median(ratios), 2) if base else None,
                "patches/s": round(options.batch / statistics.median(values), 1)
                if name in networks
                else None,
                "GFLOP/s": round(rates[name] / 1e9, 1) if name in rates else None,
                "of the matrix product": round(rates[name] / peak, 2) if name in rates else None,
            }
        )
    print(pd.DataFrame(rows).to_string(index=False, na_rep=""))
    profiles = {name: shares(steps[name], device) for name in networks[1:]}
    for name, found in profiles.items():
        print(f"\n{name}:", *(f"{share:6.1%}  {what}" for what, share in found.items()), sep="\n")
    if options.out:
        record = {
            "command": "python tests/benchmarks/training.py",
            "options": vars(options),
            "device": device_name(device),
            "bfloat16 is chosen by itself here": fast_in_bfloat16(device),
            "versions": versions(),
            "rows": rows,
            "shares of a step": profiles,
        }
        write_json(options.out, record)


if __name__ == "__main__":
    main()
