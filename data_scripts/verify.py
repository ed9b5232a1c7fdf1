"""Say which image sets are there, whether all images can be read, and whether they are the right copies.

Usage: python data_scripts/verify.py [DIR]   (default: the variable VDSR_DATA)

The proof of a benchmark set is its score: bicubic interpolation at x3 under the paper's protocol needs no
network and gives one number for the right files, and another for cropped, resized or recompressed ones.
"""

import argparse
import sys

import numpy as np

from vdsrlib.environment import data_root
from vdsrlib.files import InputError
from vdsrlib.images import TEST_SETS, TRAINING_SETS, list_images, read_image
from vdsrlib.protocol import PAPER

COUNTS = {"T91": 91, "BSD200": 200, "Set5": 5, "Set14": 14, "B100": 100, "Urban100": 100}
INTERPOLATION_X3 = {"Set5": 30.3922, "Set14": 27.5405, "B100": 27.2072, "Urban100": 24.4580}  # dB


def interpolation_psnr(image: np.ndarray, scale: float = 3) -> float:
    hr = PAPER.ground_truth(image, scale)
    return PAPER.score(PAPER.degrade(hr, scale)[1], hr, scale).psnr


def verify(name: str, folder) -> bool:
    paths, problems, scores = list_images(folder), [], []
    for path in paths:
        try:
            image = read_image(path)
            if name in INTERPOLATION_X3:
                scores.append(interpolation_psnr(image))
        except InputError as error:
            problems.append(str(error))
    if len(paths) != COUNTS[name]:
        problems.append(f"{len(paths)} images instead of {COUNTS[name]}")
    if scores and abs(np.mean(scores) - INTERPOLATION_X3[name]) > 0.001:
        problems.append(
            f"interpolation at x3 gives {np.mean(scores):.4f} dB instead of {INTERPOLATION_X3[name]:.4f}: "
            "another copy of the set, whose scores do not compare with published ones"
        )
    found = f", interpolation x3 {np.mean(scores):.4f} dB" if scores else ""
    print(
        f"OK   {name}: {len(paths)} images{found}" if not problems else f"FAIL {name}: {'; '.join(problems)}"
    )
    return not problems


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", metavar="DIR", help="folder that holds Set5, Set14, …")
    try:
        root = data_root(parser.parse_args().folder)
        if root is None:
            raise InputError("Name the folder of the sets, or set the variable VDSR_DATA to it.")
        names = [name for name in (*TRAINING_SETS, *TEST_SETS) if (root / name).is_dir()]
        if not names:
            raise InputError(f"{root} holds none of {', '.join(COUNTS)}.")
        return 0 if all([verify(name, root / name) for name in names]) else 1
    except InputError as error:
        print(f"verify: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
