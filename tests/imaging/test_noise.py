"""The estimate of noise, on photographs to which a known noise was added."""

import numpy as np
import pytest

from vdsrlib.datasets.catalog import embedded
from vdsrlib.imaging.image_file import read_image
from vdsrlib.imaging.noise import estimate_noise


def noisy(image: np.ndarray, sigma: float) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, sigma, image.shape)
    return np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("sigma", [5, 8, 15])
@pytest.mark.parametrize("name", ["camera.png", "coins.png", "moon.png"])
def test_it_is_the_noise_that_was_added(name, sigma):
    image = read_image(embedded([name])[0])
    assert estimate_noise(noisy(image, sigma)) == pytest.approx(sigma, rel=0.15)


@pytest.mark.parametrize("name", ["astronaut.png", "chelsea.png", "coffee.png", "camera.png", "rocket.jpg"])
def test_clean_photographs_have_little(name):
    assert estimate_noise(read_image(embedded([name])[0])) < 1.5


def test_the_same_in_16_bits_and_floats():
    image = noisy(read_image(embedded(["camera.png"])[0]), 8)
    assert estimate_noise(image.astype(np.uint16) * 257) == estimate_noise(image)
    assert estimate_noise(image / 255) == estimate_noise(image)


def test_a_black_frame_hides_no_noise():
    """Half of all blocks are black, and have none."""
    image = noisy(read_image(embedded(["camera.png"])[0])[:256, :256], 10)
    assert estimate_noise(np.pad(image, ((128, 128), (0, 0)))) == pytest.approx(10, rel=0.2)


@pytest.mark.parametrize("shape", [(1, 1), (3, 50), (8, 8), (10, 10)])
def test_images_too_small_to_tell(shape):
    assert estimate_noise(np.full(shape, 100, np.uint8)) == 0
