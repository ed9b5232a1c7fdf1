"""Latency of chapter 5's widgets in a real browser: from a key to the picture that it changes, on the screen.

Run:  python tests/benchmarks/widgets.py
"""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from vdsrlib.utils.device import device_name

sys.path.insert(0, str(Path(__file__).parents[1]))
from browser import Widget, chapter, chromium, jupyterlab

SLIDERS = [("layer", "layer"), ("layer", "map"), ("line", "line"), ("line", "zoom"), ("scale", "scale")]
"""A control that a widget alone has, and the slider of it to be moved."""

CLOCK = """image => {
    window.times = [];
    window.began = null;
    window.clock ??= document.addEventListener('keydown', () => { began = performance.now(); }, true) ?? true;
    image.onload = () => image.decode().catch(() => {}).then(() => requestAnimationFrame(() => {
        if (began !== null) times.push(performance.now() - began);
    }));
}"""


def latencies(page: Any, widget: Widget, slider: str, steps: int) -> list[float]:
    """Milliseconds of each step, there and back again, by the clock of the page."""
    handle = widget.slider(slider).locator(".noUi-handle")
    page.evaluate(CLOCK, widget.image.element_handle())
    for step in range(steps):
        handle.press("ArrowRight" if step % 20 < 10 else "ArrowLeft")
        page.wait_for_function(f"times.length > {step}")
    return page.evaluate("times")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=40, help="of each slider")
    steps = parser.parse_args().steps
    rows = []
    with (
        tempfile.TemporaryDirectory() as folder,
        jupyterlab(Path(folder), ["05_feature_maps"]) as address,
        chromium() as browser,
        chapter(browser, address, "05_feature_maps", 4) as page,
    ):
        for control, slider in SLIDERS:
            times = latencies(page, Widget(page, control), slider, steps)
            rows.append([slider, *np.round(np.quantile(times, [0.5, 0.95]))])
    print(device_name(torch.device("cpu")))
    print(
        pd.DataFrame(rows, columns=["slider", "median (ms)", "95th percentile (ms)"]).to_string(index=False)
    )


if __name__ == "__main__":
    main()
