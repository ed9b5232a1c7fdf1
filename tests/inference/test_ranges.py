"""A network gets values of the range that it knows, and the result is in the image's own."""

import dataclasses

import numpy as np
import pytest
from conftest import as_net
from hypothesis import given
from hypothesis import strategies as st

from vdsrlib.imaging.colour import as_rgb
from vdsrlib.imaging.resize import imresize
from vdsrlib.inference.ranges import map_to_known
from vdsrlib.inference.upscale import upscale
from vdsrlib.models import checkpoint
from vdsrlib.protocol import PAPER, REPLICATION

RGB = dataclasses.replace(PAPER, colour="rgb")


@pytest.fixture(scope="module")
def net():
    return checkpoint.load("vdsr", "cpu")


@pytest.mark.parametrize("protocol", [PAPER, REPLICATION], ids=["paper", "replication"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_photographs_are_taken_as_they_are(photo, protocol, dtype):
    """In RGB, of the whole range."""
    pixels = photo.astype(dtype) * (257 if dtype == np.uint16 else 1)
    known = map_to_known(pixels, protocol)
    assert (known.gain, known.offset) == (pytest.approx(1, abs=1e-12), pytest.approx(0, abs=1e-12))


@pytest.mark.parametrize("protocol", [PAPER, RGB, REPLICATION], ids=["paper", "rgb", "replication"])
@pytest.mark.parametrize("shape", [(3, 4), (3, 4, 3)])
@given(low=st.integers(0, 65534), span=st.integers(1, 16000))
def test_a_small_range_becomes_the_whole(protocol, shape, low, span):
    pixels = np.full(shape, low, np.uint16)
    pixels[0, 0] = min(65535, low + span)
    known = map_to_known(pixels, protocol)
    planes, black_and_white = (
        protocol.split(each)[0] for each in (pixels, np.array([[[0] * 3, [255] * 3]], np.uint8))
    )
    found = known.apply(planes)
    np.testing.assert_allclose([found.min(), found.max()], [black_and_white.min(), black_and_white.max()])
    np.testing.assert_allclose(known.invert(found), planes, rtol=0, atol=1e-9)


@pytest.mark.parametrize("value", [0, 7, 65535])
def test_an_image_of_one_value(value):
    known = map_to_known(np.full((3, 3), value, np.uint16), PAPER)
    assert known == map_to_known(np.arange(4, dtype=np.uint8)[None], PAPER)


def test_grey_is_enlarged_as_its_rgb(net, grey_photo):
    """Text from 0 to 255 lost 0.4 dB when it came as grey; black got a frame of 10 grey levels."""
    image = grey_photo[:30, :40]
    assert np.abs(upscale(net, image, 2).astype(int) - upscale(net, as_rgb(image), 2)[..., 0]).max() <= 1
    assert upscale(net, np.zeros((9, 9), np.uint8), 2).max() <= 1


@pytest.mark.parametrize(("low", "gain"), [(0, 16), (3000, 2)], ids=["12 bits", "elevations"])
@pytest.mark.parametrize("grey", [True, False])
def test_samples_of_a_small_range_beat_interpolation(net, photo, low, gain, grey):
    """As 16-bit samples and as 8-bit ones, the same result; it was worse than interpolation."""
    eight = photo[:60, :60, 1] if grey else photo[:60, :60]
    truth = low + gain * eight.astype(np.uint16)
    truth.flat[0], truth.flat[-1] = low, low + gain * 255
    small = np.rint(imresize(truth.astype(float), 0.5).clip(0)).astype(np.uint16)

    def error(image):
        return np.square(image[4:-4, 4:-4].astype(float) - truth[4:-4, 4:-4]).mean() ** 0.5

    assert error(upscale(net, small, 2)) < 0.9 * error(imresize(small.astype(float), 2))


def test_a_network_without_residual_changes_nothing(make_zero_model, grey_photo):
    made = upscale(as_net(make_zero_model()), grey_photo, 2)
    wanted = np.clip(imresize(grey_photo / 255, 2) * 255, 0, 255)
    assert np.abs(made - wanted).max() < 0.501
