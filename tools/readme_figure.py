"""Draw the README's picture: a crop of a photograph, its interpolation, and VDSR's result, at x3.

Usage: python tools/readme_figure.py [OUT.png]   (default: docs/images/astronaut_x3.png)

The photograph is the astronaut that scikit-image installs with itself; no shipped weights were trained on it.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vdsrlib.datasets.catalog import embedded
from vdsrlib.evaluation.ground_truth import degrade_and_upscale
from vdsrlib.imaging.colour import to_uint8
from vdsrlib.imaging.image_file import read_image
from vdsrlib.models import checkpoint

OUT = Path(__file__).parents[1] / "docs/images/astronaut_x3.png"
SCALE = 3
CROP = slice(270, 390), slice(210, 330)  # straps, a badge with letters, folds: sides that SCALE divides
ZOOM = 3  # screen pixels for a pixel of HR
GAP, LABEL = 12, 40  # screen pixels between the panels, and under each for its text


def panels() -> dict[str, np.ndarray]:
    """Label -> uint8 RGB: the crop, and what interpolation and VDSR make of its third, with their PSNR."""
    loaded = checkpoint.load()
    crop = read_image(embedded(["astronaut.png"])[0])[CROP]
    made = degrade_and_upscale(loaded, crop, SCALE)
    assert made.interpolation_score is not None
    assert made.network_score is not None
    return {
        "HR, the original": crop,
        f"bicubic interpolation, {made.interpolation_score.psnr:.2f} dB": to_uint8(made.ilr),
        f"VDSR, {made.network_score.psnr:.2f} dB": to_uint8(made.sr),
    }


def draw(images: dict[str, np.ndarray]) -> Image.Image:
    """The panels side by side, every pixel a square, each label under its panel."""
    height, width = (ZOOM * side for side in next(iter(images.values())).shape[:2])
    page = Image.new("RGB", (len(images) * (width + GAP) - GAP, height + LABEL), "white")
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(22)
    for i, (label, image) in enumerate(images.items()):
        left = i * (width + GAP)
        page.paste(Image.fromarray(image).resize((width, height), Image.Resampling.NEAREST), (left, 0))
        pen.text((left + width / 2, height + LABEL / 2), label, fill="black", font=font, anchor="mm")
    return page


if __name__ == "__main__":
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else OUT
    draw(panels()).save(out, optimize=True)
    print(out)
