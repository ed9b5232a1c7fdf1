"""Peak memory of chapter 5 on a whole image of 2048 x 2048 pixels: it must stay under 2 GiB.

Run:  python tests/benchmarks/memory.py
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from vdsrlib.datasets.catalog import embedded

CHAPTER = Path(__file__).parents[2] / "notebooks" / "05_feature_maps.ipynb"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=2048, help="of the square image, a bundled one enlarged")
    parser.add_argument("--weights", default="", help="a file of weights; a network of few layers is faster")
    options = parser.parse_args()
    weights = str(Path(options.weights).resolve()) if options.weights else ""
    with tempfile.TemporaryDirectory() as folder:
        photograph = Image.open(embedded(["astronaut.png"])[0])
        photograph.resize((options.side, options.side)).save(Path(folder) / "image.png")
        command = [sys.executable, "-m", "papermill", CHAPTER, "out.ipynb", "-k", "python3"]
        command += ["-p", "hd_image_path", "image.png", "-p", "crop", "0", "-r", "weights", weights]
        subprocess.run(command, cwd=folder, env={**os.environ, "VDSR_DATA": ""}, check=True)
    # of the largest process that was waited for: the kernel
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    print(f"{options.side} x {options.side}: {peak / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
