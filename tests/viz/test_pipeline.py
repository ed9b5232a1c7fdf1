"""The drawing of chapter 0."""

import numpy as np
import pytest

from vdsrlib.inference.upscale import Upscaled
from vdsrlib.protocol import Score
from vdsrlib.viz.pipeline import BOTTOM, LEFT, RIGHT, SIDE, TOP, pipeline_drawing


@pytest.mark.parametrize("scale", [1.1, 3, 8])
def test_every_image_is_at_its_place_and_lr_is_smaller_by_the_scale(scale):
    """Four flat greys are found around their centres, as wide as they should be."""
    side = round(SIDE / scale)
    greys = {"hr": 0.2, "lr": 0.4, "ilr": 0.6, "sr": 0.8}
    sides = {"hr": SIDE, "lr": max(24, side), "ilr": SIDE, "sr": SIDE}
    images = {
        name: np.full((side, side) if name == "lr" else (SIDE, SIDE), grey) for name, grey in greys.items()
    }
    stages = Upscaled(
        images["lr"], images["ilr"], images["sr"], images["hr"], Score(30.127, 0.9), Score(31.5, 0.95)
    )
    drawing = pipeline_drawing(stages, scale)
    centres = {"hr": (TOP, LEFT), "lr": (TOP, RIGHT), "ilr": (BOTTOM, RIGHT), "sr": (BOTTOM, LEFT)}
    for name, grey in greys.items():
        row, column = centres[name]
        line = drawing.pixels[row, max(0, column - 130) : column + 130, 0]
        assert np.count_nonzero(abs(line.astype(int) - round(grey * 255)) <= 1) == pytest.approx(
            sides[name], abs=12
        )


def test_it_says_what_it_shows():
    image = np.zeros((40, 40))
    stages = Upscaled(image[::2, ::2], image, image, image, Score(30.127, 0.9), Score(31.5, 0.95))
    caption = pipeline_drawing(stages, 2).caption
    assert "smaller by 2" in caption
    assert "ILR has 30.13 dB and SR 31.50 dB" in caption
