"""The two protocols give the published numbers, and the rules are what they say."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdsrlib.datasets.catalog import list_images
from vdsrlib.errors import InputError
from vdsrlib.imaging.crops import modcrop_length
from vdsrlib.imaging.image_file import read_image
from vdsrlib.protocol import PAPER, REPLICATION, REPLICATION_TO_PAPER, Protocol, get_protocol


def interpolation(protocol: Protocol, paths, scale: float) -> np.ndarray:
    """Mean PSNR and SSIM of ILR."""
    scores = []
    for path in paths:
        hr, _, ilr = protocol.pair(read_image(path), scale)
        scores.append(protocol.score(ilr, hr, scale))
    return np.mean(scores, axis=0)


@pytest.fixture
def psnr_only(monkeypatch):
    """Leave SSIM out, which takes most of the time and is checked on Set5."""
    monkeypatch.setattr("vdsrlib.protocol.structural_similarity", lambda *_, **__: math.nan)


@pytest.mark.parametrize(
    ("name", "scale", "psnr"),
    [
        ("Set5", 2, 33.6614),
        ("Set5", 3, 30.3922),
        ("Set5", 4, 28.4207),
        ("Set14", 2, 30.2318),
        ("Set14", 3, 27.5405),
        ("Set14", 4, 26.0001),
        ("B100", 2, 29.5579),
        ("B100", 3, 27.2072),
        ("B100", 4, 25.9606),
    ],
)
def test_paper_interpolation(psnr_only, data, name, scale, psnr):
    assert interpolation(PAPER, list_images(data / name), scale)[0] == pytest.approx(psnr, abs=0.001)


@pytest.mark.parametrize(("scale", "ssim"), [(2, 0.9299), (3, 0.8682), (4, 0.8104)])
def test_paper_ssim(data, scale, ssim):
    assert interpolation(PAPER, list_images(data / "Set5"), scale)[1] == pytest.approx(ssim, abs=1e-4)


@pytest.mark.parametrize(
    ("scale", "psnr", "ssim"), [(2, 29.9296, 0.8682), (3, 27.3022, 0.7850), (4, 25.2362, 0.6985)]
)
def test_seed_degradation(data, scale, psnr, ssim):
    found = interpolation(REPLICATION, list_images(data / "Set5"), scale)
    assert found[0] == pytest.approx(psnr, abs=0.005)
    assert found[1] == pytest.approx(ssim, abs=1e-4)


@pytest.mark.parametrize(
    ("image", "scale", "psnr"),
    [
        ("Urban100/img_017.png", 1.5, 27.271),
        ("Urban100/img_017.png", 2, 24.767),
        ("Urban100/img_017.png", 2.5, 23.624),
        ("Urban100/img_017.png", 3, 22.663),
        ("Urban100/img_017.png", 3.5, 21.950),
        ("Urban100/img_017.png", 4, 21.358),
        ("B100/148026.jpg", 3, 20.086),
        ("B100/38092.jpg", 3, 24.488),
    ],
)
def test_seed_single_images(psnr_only, data, image, scale, psnr):
    assert interpolation(REPLICATION, [data / image], scale)[0] == pytest.approx(psnr, abs=0.005)


@given(length=st.integers(1, 2000), scale=st.integers(2, 8))
def test_crop_at_integer_scales(length, scale):
    assert modcrop_length(length, scale) == length - length % scale


@given(length=st.integers(30, 2000), scale=st.sampled_from([1.1, 1.5, 1.7, 2.5, 3.3]) | st.floats(1.05, 8))
def test_crop_at_real_scales(length, scale):
    """LR loses no pixel to the crop, and HR is LR times the scale to less than a pixel."""
    hr = modcrop_length(length, scale)
    assert length - math.ceil(scale) < hr <= length
    lr = PAPER.degrade(np.zeros((hr, 1)), scale)[0].shape[0]
    assert lr == int(length / scale + 1e-9)
    assert abs(hr - scale * lr) < 1


@pytest.mark.parametrize("protocol", [PAPER, REPLICATION], ids=["paper", "replication"])
def test_equal_images(protocol, photo):
    hr = protocol.ground_truth(photo, 2)
    assert protocol.score(hr, hr, 2) == (math.inf, 1)


def test_paper_score_rounds_clips_and_leaves_the_border_out(photo):
    hr = PAPER.ground_truth(photo, 2.5)
    wild = hr + 0.4 / 255  # rounds back to HR
    wild[:3] = wild[-3:] = wild[:, :3] = wild[:, -3:] = 5.0  # the border at 2.5 is 3 pixels
    assert PAPER.score(wild, hr, 2.5).psnr == math.inf
    wild[3, 3] = 2.0
    area = (hr.shape[0] - 6) * (hr.shape[1] - 6)
    assert PAPER.score(wild, hr, 2.5).psnr == pytest.approx(10 * math.log10(area / (1 - hr[3, 3]) ** 2))


def test_seed_score_is_that_of_floats_with_their_border(photo):
    hr = REPLICATION.ground_truth(photo, 2)
    assert hr.shape == photo.shape
    assert REPLICATION.score(hr + 0.01, hr, 2).psnr == pytest.approx(40)
    assert REPLICATION.score(hr + 0.4 / 255, hr, 2).psnr < 60


@pytest.mark.parametrize("protocol", [PAPER, REPLICATION], ids=["paper", "replication"])
def test_smallest_image(protocol):
    """SSIM needs 11 pixels inside the border."""
    least = 11 + (2 * 4 if protocol.border else 0)
    enough = math.ceil(least / 4) * 4 if protocol.crop else least
    image = np.random.default_rng(0).integers(0, 256, (enough, 40, 3), dtype=np.uint8)
    hr = protocol.ground_truth(image, 4)
    assert math.isfinite(protocol.score(protocol.degrade(hr, 4)[1], hr, 4).ssim)
    with pytest.raises(InputError, match="too small to be scored at scale 4"):
        protocol.ground_truth(image[:-1], 4)


def test_grey_image_is_its_own_luma(grey_photo):
    np.testing.assert_array_equal(PAPER.ground_truth(grey_photo, 2), grey_photo[:, :100] / 255)
    hr = REPLICATION.ground_truth(grey_photo, 2)
    for channel in range(3):
        np.testing.assert_array_equal(hr[..., channel], grey_photo / 255)


@pytest.mark.parametrize("protocol", [PAPER, REPLICATION], ids=["paper", "replication"])
def test_network_range(protocol, photo):
    image = photo / 255
    low, high = protocol.input_range
    inside = protocol.normalize(image)
    assert inside.min() >= low
    assert inside.max() <= high
    assert np.ptp(inside) == pytest.approx(np.ptp(image) * (high - low))
    np.testing.assert_allclose(protocol.denormalize(inside), image, rtol=0, atol=1e-15)


def test_names():
    assert get_protocol("paper") is PAPER
    assert get_protocol("replication") is REPLICATION
    with pytest.raises(InputError, match="'papre'; choose paper or replication"):
        get_protocol("papre")


@pytest.mark.parametrize(
    ("colour", "degradation"), [*itertools.product(("luma", "rgb"), ("bicubic", "blur_bilinear"))]
)
@pytest.mark.parametrize(("crop", "quantise", "border"), [*itertools.product((True, False), repeat=3)])
def test_every_mixture_scores(photo, colour, degradation, crop, quantise, border):
    rules = {
        "colour": colour,
        "degradation": degradation,
        "crop": crop,
        "quantise": quantise,
        "border": border,
    }
    mixture = dataclasses.replace(PAPER, name="mixture", **rules)
    hr = mixture.ground_truth(photo[:95], 2)
    assert hr.shape == (94 if crop else 95, 120, 3)[: 2 + (colour == "rgb")]
    psnr, ssim = mixture.score(mixture.degrade(hr, 2)[1], hr, 2)
    assert 20 < psnr < 40
    assert 0.7 < ssim < 1


def test_range_changes_ssim_alone(photo):
    """PSNR knows differences only; SSIM compares means, which the range [-1, 1] shifts."""
    hr = REPLICATION.ground_truth(photo, 3)
    ilr = REPLICATION.degrade(hr, 3)[1]
    wide, unit = (
        REPLICATION.score(ilr, hr, 3),
        dataclasses.replace(REPLICATION, input_range=(0.0, 1.0)).score(ilr, hr, 3),
    )
    assert wide.psnr == pytest.approx(unit.psnr, abs=1e-9)
    assert wide.ssim < unit.ssim - 0.001


def test_the_walk_from_one_protocol_to_the_other(data):
    """Set5 x2, interpolation: each rule's part of the gap; the ends are the pinned targets."""
    paths = list_images(data / "Set5")
    found = [interpolation(rules, paths, 2)[0] for rules in REPLICATION_TO_PAPER.values()]
    assert found[0] == pytest.approx(29.9296, abs=0.005)
    assert found[-1] == pytest.approx(33.6614, abs=0.001)
    degradation, colour, rounding, border = np.diff(found)
    assert 1.8 < degradation < 2.0
    assert 1.8 < colour < 1.9
    assert max(abs(rounding), abs(border)) < 0.05


def test_the_walk_changes_one_rule_at_a_time():
    rules = list(REPLICATION_TO_PAPER.values())
    assert (rules[0], rules[-1]) == (REPLICATION, PAPER)
    changed = [
        {k for k, v in vars(one).items() if k != "name" and v != vars(other)[k]}
        for one, other in itertools.pairwise(rules)
    ]
    assert changed == [{"degradation"}, {"colour", "input_range"}, {"crop", "quantise"}, {"border"}]
