"""Which network an image gets: by its JPEG tables, its noise, and the scale."""

import numpy as np
import pytest
from PIL import Image

from vdsrlib.datasets.catalog import EMBEDDED_TEST, embedded
from vdsrlib.errors import InputError
from vdsrlib.imaging.image_file import read_image
from vdsrlib.imaging.jpeg import estimate_quality, quantisation_table
from vdsrlib.inference.choice import choose_weights


@pytest.fixture
def picture() -> np.ndarray:
    return read_image(embedded(["coffee.png"])[0])[100:228, 150:310]


@pytest.mark.parametrize("quality", [5, 30, 50, 75, 89, 90, 95, 100])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_jpeg_by_its_quality(tmp_path, picture, quality, mode):
    file = tmp_path / "a.jpg"
    Image.fromarray(picture).convert(mode).save(file, quality=quality)
    if quality < 90:
        assert choose_weights(file) == ("vdsr-photo", f"JPEG of quality {quality}")
    else:
        assert choose_weights(file) == ("vdsr", None)


def test_the_quality_of_every_table():
    assert [estimate_quality(quantisation_table(quality)) for quality in range(1, 101)] == [*range(1, 101)]


def test_a_cameras_own_tables(tmp_path, picture):
    """Steps of 3 for all frequencies: as large in sum as those of quality 93."""
    Image.fromarray(picture).save(tmp_path / "a.jpg", qtables=[[3] * 64, [3] * 64])
    assert choose_weights(tmp_path / "a.jpg").weights == "vdsr"
    Image.fromarray(picture).save(tmp_path / "a.jpg", qtables=[[14] * 64, [14] * 64])
    assert choose_weights(tmp_path / "a.jpg").weights == "vdsr-photo"


@pytest.mark.parametrize("name", EMBEDDED_TEST)
def test_clean_photographs(name):
    (path,) = embedded([name])
    assert choose_weights(path) == choose_weights(read_image(path)) == ("vdsr", None)


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif"])
def test_noise(tmp_path, picture, suffix):
    noise = np.random.default_rng(0).normal(0, 15, picture.shape)
    noisy = np.clip(picture + noise, 0, 255).astype(np.uint8)
    options = {"lossless": True} if suffix == ".webp" else {}
    Image.fromarray(noisy).save(tmp_path / f"a{suffix}", **options)
    choice = choose_weights(tmp_path / f"a{suffix}")
    assert choice.weights == "vdsr-photo"
    assert choice.reason.startswith("noise of ")
    assert choose_weights(noisy) == choice
    assert choose_weights(np.dstack([noisy, np.full(noisy.shape[:2], 255, np.uint8)])) == choice


def test_scale_1_has_one_network(picture):
    assert choose_weights(picture, 1) == ("vdsr-photo", "scale 1")


def test_measurements_are_no_photograph(tmp_path):
    heights = np.random.default_rng(0).normal(500, 90, (64, 64)).astype(np.float32)
    Image.fromarray(heights).save(tmp_path / "a.tif")
    assert choose_weights(tmp_path / "a.tif") == choose_weights(heights) == ("vdsr", None)


def test_what_cannot_be_read(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff\xe0 cut off")
    for path in (tmp_path / "a.jpg", tmp_path / "none.png"):
        with pytest.raises(InputError, match=path.name):
            choose_weights(path)
