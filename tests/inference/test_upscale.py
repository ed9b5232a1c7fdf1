"""Enlarging, directly and from a degraded ground truth."""

import math
from fractions import Fraction

import numpy as np
import pytest
from conftest import as_net
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image
from skimage.color import rgb2ycbcr

from vdsrlib.errors import InputError
from vdsrlib.evaluation.evaluate import evaluate
from vdsrlib.evaluation.ground_truth import degrade_and_upscale
from vdsrlib.imaging.colour import as_rgb
from vdsrlib.imaging.image_file import save_image
from vdsrlib.imaging.resize import imresize
from vdsrlib.inference.upscale import upscale, upscale_stages
from vdsrlib.models import checkpoint
from vdsrlib.protocol import PAPER, REPLICATION

PROTOCOLS = pytest.mark.parametrize("protocol", [PAPER, REPLICATION], ids=["paper", "replication"])


@PROTOCOLS
@pytest.mark.parametrize("grey", [False, True])
@example(size=(10, 20), tenths=11)
@given(
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    tenths=st.integers(11, 45),
)
def test_sides_are_rounded_up(photo, grey_photo, make_zero_model, protocol, grey, size, tenths):
    """10 x 1.1 is 11, though 10 * 1.1 is 11.000000000000002."""
    image = (grey_photo if grey else photo)[: size[0], : size[1]]
    upscaled = upscale_stages(as_net(make_zero_model(protocol.channels), protocol), image, tenths / 10)
    shape = tuple(math.ceil(side * Fraction(tenths, 10)) for side in size)
    colour = () if grey and protocol is PAPER else (3,)
    assert upscaled.sr.shape == upscaled.ilr.shape == shape + colour
    np.testing.assert_array_equal(upscaled.lr, image / 255)
    assert upscaled.hr is upscaled.interpolation_score is upscaled.network_score is None


@pytest.mark.parametrize("scale", [2, 3, 2.5])
def test_chroma_is_interpolated(photo, make_zero_model, make_model, scale):
    """Without a residual the result is bicubic RGB: YCbCr is linear. With one, only luma changes."""
    shape = tuple(math.ceil(side * scale) for side in photo.shape[:2])
    bicubic = np.clip(imresize(photo / 255, shape=shape), 0, 1)
    upscaled = upscale_stages(as_net(make_zero_model()), photo, scale)
    np.testing.assert_allclose(upscaled.ilr, bicubic, rtol=0, atol=1e-9)
    np.testing.assert_allclose(upscaled.sr, bicubic, rtol=0, atol=1e-6)  # the network is float32
    soft = photo // 4 + 96  # nothing reaches black or white, where RGB would be clipped
    upscaled = upscale_stages(as_net(make_model()), soft, scale)
    ilr, sr = rgb2ycbcr(upscaled.ilr) / 255, rgb2ycbcr(upscaled.sr) / 255
    np.testing.assert_allclose(sr[..., 1:], ilr[..., 1:], rtol=0, atol=1e-9)
    assert np.abs(sr[..., 0] - ilr[..., 0]).max() > 1e-3


@PROTOCOLS
def test_result_stays_in_range(photo, make_model, protocol):
    extreme = (photo > 128).astype(np.uint8) * 255
    upscaled = upscale_stages(as_net(make_model(protocol.channels), protocol), extreme, 3)
    for picture in (upscaled.lr, upscaled.ilr, upscaled.sr):
        assert picture.min() >= 0
        assert picture.max() <= 1


@pytest.mark.parametrize(
    ("protocol", "grey"), [(PAPER, False), (REPLICATION, False), (REPLICATION, True)], ids=str
)
@pytest.mark.parametrize("scale", [2, 2.5])
def test_scores_are_those_of_evaluate(tmp_path, photo, grey_photo, make_net, protocol, grey, scale):
    image, net = grey_photo if grey else photo, make_net(protocol.channels)
    save_image(tmp_path / "a.png", image)
    scores = evaluate(net, [tmp_path / "a.png"], scale).set_index("method")[["psnr", "ssim"]]
    upscaled = degrade_and_upscale(net, image, scale)
    assert tuple(scores.loc["interpolation"]) == upscaled.interpolation_score
    assert tuple(scores.loc["model"]) == upscaled.network_score


def test_grey_ground_truth_is_enlarged_as_its_rgb(grey_photo):
    """By the paper's rules a grey image is its own luma, which leaves the range of the network."""
    net, image = checkpoint.load("vdsr", "cpu"), grey_photo[:40, :40]
    grey, rgb = (degrade_and_upscale(net, each, 2) for each in (image, as_rgb(image)))
    np.testing.assert_allclose(grey.sr, rgb.sr[..., 1], rtol=0, atol=1 / 100)  # whose luma is rounded
    assert grey.interpolation_score.psnr == pytest.approx(
        PAPER.score(*(PAPER.pair(image, 2)[i] for i in (2, 0)), 2).psnr
    )
    assert grey.network_score.psnr > grey.interpolation_score.psnr + 1


@PROTOCOLS
def test_pictures_of_ground_truth_mode(photo, make_zero_model, protocol):
    image = photo[:95]
    upscaled = degrade_and_upscale(as_net(make_zero_model(protocol.channels), protocol), image, 2)
    size = (94, 120, 3) if protocol.crop else (95, 120, 3)
    assert upscaled.hr.shape == upscaled.ilr.shape == upscaled.sr.shape == size
    assert upscaled.lr.shape == (47, 60, 3)
    np.testing.assert_array_equal(upscaled.hr, image[: size[0]] / 255)
    wanted = np.clip(protocol.degrade(upscaled.hr, 2)[1], 0, 1)  # of RGB: all of it is linear
    rounded_luma = 0.6 / 219 if protocol is PAPER else 0
    np.testing.assert_allclose(upscaled.ilr, wanted, rtol=0, atol=1e-9 + rounded_luma)
    np.testing.assert_allclose(upscaled.sr, upscaled.ilr, rtol=0, atol=1e-6)


def test_grey_image_with_an_rgb_network(grey_photo, make_zero_model):
    net = as_net(make_zero_model(3), REPLICATION)
    upscaled = upscale_stages(net, grey_photo, 2)
    colour = upscale_stages(net, as_rgb(grey_photo), 2)
    np.testing.assert_array_equal(upscaled.sr, colour.sr)


@PROTOCOLS
@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_an_array_keeps_its_type(photo, grey_photo, make_model, protocol, grey, dtype):
    image, net = (grey_photo if grey else photo)[:20, :30], as_net(make_model(protocol.channels), protocol)
    found = upscale(net, image.astype(dtype) * (257 if dtype == np.uint16 else 1), scale=2.5)
    assert found.dtype == dtype
    wanted = upscale_stages(net, image, 2.5).sr
    assert found.shape == wanted.shape
    assert np.abs(found / np.iinfo(dtype).max - wanted).max() <= 0.5001 / np.iinfo(dtype).max
    np.testing.assert_array_equal(upscale(net, image, 2), upscale(net, image, size=(40, 60)))


@PROTOCOLS
def test_arrays_of_other_types(photo, make_model, protocol):
    """The same picture gives the same enlargement, whatever holds it; floats stay floats."""
    image, net = photo[:20, :30], as_net(make_model(protocol.channels), protocol)
    wanted = upscale(net, image, 2)
    for other in (image.astype(int), image.astype(np.int32), image.tolist(), Image.fromarray(image)):
        np.testing.assert_array_equal(upscale(net, other, 2), wanted)
    for other in (image / 255, (image / 255).astype(np.float32)):
        found = upscale(net, other, 2)
        assert found.dtype == other.dtype
        assert np.abs(found * 255 - wanted).max() < 0.51
    other = np.where(image == image.max(), 255.0, image - image.min())  # black and white are in it
    wanted = upscale(net, other.astype(np.uint8), 2)
    for top in (255, 3):
        found = upscale(net, other / 255 * top, 2)
        assert np.abs(found / top * 255 - wanted).max() < 0.51
    np.testing.assert_array_equal(upscale(net, image[..., :1], 2), upscale(net, image[..., 0], 2))
    both = np.dstack([image, image[..., 0]])
    found = upscale(net, both, 2)
    assert found.shape == (40, 60, 4)
    np.testing.assert_array_equal(upscale(net, Image.fromarray(both), 2), found)


def test_scores_of_other_types(photo, make_model):
    net = as_net(make_model())
    wanted = degrade_and_upscale(net, photo, 2)
    for other in (photo.astype(int), photo.astype(np.int32), photo.astype(float), Image.fromarray(photo)):
        found = degrade_and_upscale(net, other, 2)
        assert found.interpolation_score == pytest.approx(wanted.interpolation_score)
        np.testing.assert_allclose(found.sr, wanted.sr)
        np.testing.assert_allclose(upscale_stages(net, other, 2).sr, upscale_stages(net, photo, 2).sr)


def test_arrays_and_scales_that_are_refused(photo, make_model):
    net = as_net(make_model())
    for image, part in (
        (photo * 1j, "image must be an array of numbers, got ndarray of complex128"),
        (photo[None], "image must be H x W, H x W x 3 or H x W x 4, got 1 x 96 x 120 x 3"),
        (photo[:0], "image must have pixels, got 0 x 120 x 3"),
    ):
        with pytest.raises(InputError, match=part):
            upscale(net, image, scale=2)
    for scale in (1, 0.5, 9, "x"):
        with pytest.raises(InputError, match="scale"):
            upscale(net, photo, scale=scale)
    for both in ({}, {"scale": 2, "size": (200, 240)}):
        with pytest.raises(InputError, match="give a scale, or the size of the result"):
            upscale(net, photo, **both)


def test_refusals(photo, make_model):
    with pytest.raises(InputError, match="too small"):
        degrade_and_upscale(as_net(make_model()), photo[:14], 2)
    for function in (upscale, upscale_stages, degrade_and_upscale):
        with pytest.raises(InputError, match="choose weights or a protocol that fit"):
            function(as_net(make_model(3)), photo, 2)
