"""The README's picture is what its command draws, and the README says of it what is true."""

import sys
from pathlib import Path

import numpy as np

from vdsrlib.imaging.image_file import read_image

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))
import readme_figure

ROOT = Path(__file__).parents[1]


def test_the_picture_is_small_and_as_drawn():
    assert readme_figure.OUT.stat().st_size < 150_000
    images = readme_figure.panels()
    drawn = np.asarray(readme_figure.draw(images)).astype(int)
    kept = read_image(readme_figure.OUT).astype(int)
    assert kept.shape == drawn.shape
    assert np.abs(kept - drawn)[: -readme_figure.LABEL].max() <= 2  # another machine rounds otherwise
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"({readme_figure.OUT.relative_to(ROOT).as_posix()})" in readme
    scores = [label.rpartition(", ")[2] for label in images if label.endswith("dB")]
    assert len(scores) == 2
    assert all(score in readme for score in scores)
