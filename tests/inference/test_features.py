"""Activations of every layer, surveys of them in bounded memory, and their mosaics."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from vdsrlib.errors import InputError
from vdsrlib.inference import features
from vdsrlib.inference.features import (
    Layer,
    activations,
    central_shares,
    display_range,
    receptive_field_map,
    survey,
)
from vdsrlib.inference.mosaic import mosaic
from vdsrlib.inference.predict import predict
from vdsrlib.models.vdsr import VDSR
from vdsrlib.protocol import PAPER, REPLICATION
from vdsrlib.training.dead_maps import count_dead_maps


@pytest.mark.parametrize("protocol", [PAPER, REPLICATION], ids=["paper", "replication"])
def test_activations(photo, make_model, protocol):
    model = make_model(protocol.channels, depth=4, width=5)
    ilr = protocol.ground_truth(photo[:30, :41], 1)
    layers = list(activations(model, ilr, protocol))
    assert [x.name for x in layers] == ["conv.1", "relu.1", "conv.2", "relu.2", "conv.3", "relu.3", "conv.4"]
    for layer in layers:
        maps = protocol.channels if layer.name == "conv.4" else 5
        assert layer.maps.shape == (maps, *ilr.shape[:2])
        assert layer.maps.dtype == np.float32
    for conv, relu in zip(layers[:-1:2], layers[1::2], strict=True):
        assert (conv.maps < 0).any()
        np.testing.assert_array_equal(relu.maps, np.maximum(conv.maps, 0))
    low, high = protocol.input_range
    residual = (predict(model, ilr, protocol) - ilr) * (high - low)
    np.testing.assert_allclose(layers[-1].maps.transpose(1, 2, 0), np.atleast_3d(residual), rtol=0, atol=1e-5)


def test_one_layer_at_a_time(photo, make_model):
    """A later layer is computed when it is asked for."""
    model = make_model()
    stream = activations(model, photo[..., 0] / 255, PAPER)
    next(stream)
    model.conv["2"].bias.data += 100.0
    assert next(stream).name == "relu.1"
    assert next(stream).maps.mean() > 50


def test_float32_is_not_tf32(photo, make_model):
    """In convolutions, whatever PyTorch's default is; which is left as it was, also between two layers."""
    model, ilr, inside, outside = make_model(), photo[::-1, :, 0] / 255, [], []
    for conv in model.conv.values():
        conv.register_forward_hook(lambda *_: inside.append(torch.backends.cudnn.allow_tf32))
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=True):
        for _ in activations(model, ilr, PAPER):
            outside.append(torch.backends.cudnn.allow_tf32)
        survey(model, ilr, PAPER)
    assert inside == [False] * 6
    assert outside == [True] * 5


def test_channels_must_fit(photo, make_model):
    with pytest.raises(InputError, match="choose weights or a protocol that fit"):
        next(activations(make_model(3), photo[..., 0] / 255, PAPER))


@pytest.fixture(autouse=True)
def nothing_kept():
    """No test gets the survey of another."""
    features._SURVEYS.clear()


@pytest.mark.parametrize("protocol", [PAPER, REPLICATION], ids=["paper", "replication"])
@pytest.mark.parametrize("rows", [100, 7])
def test_survey_is_the_activations(photo, make_model, monkeypatch, protocol, rows):
    """In one piece or in strips: the same maps, numbers and SR."""
    ilr = protocol.ground_truth(photo[:40, :31], 1)
    monkeypatch.setattr(features, "STRIP_PIXELS", rows * ilr.shape[1])
    model = make_model(protocol.channels, depth=5, width=6)
    model.conv["2"].bias.data[1] = -100.0  # a dead map
    done = []
    found = survey(model, ilr, protocol, done.append)
    assert found.pooling == 1
    assert done == sorted(done)
    assert len(done) == -(-len(ilr) // rows) * 9
    assert done[-1] == 1
    wanted = list(activations(model, ilr, protocol))
    assert list(found.layers) == [layer.name for layer in wanted] == [row.name for row in found.statistics]
    for layer, numbers in zip(wanted, found.statistics, strict=True):
        np.testing.assert_allclose(found.layers[layer.name].maps, layer.maps, rtol=1e-3, atol=1e-5)
        assert found.layers[layer.name].limit == pytest.approx(layer.limit, rel=1e-3)
        assert numbers.magnitude == pytest.approx(np.abs(layer.maps).mean(), rel=1e-5)
        assert numbers.zeros == pytest.approx((layer.maps == 0).mean(), abs=1e-4)
        assert numbers.dead == (layer.maps == 0).all(axis=(1, 2)).sum()
    assert dict((row.name, row.dead) for row in found.statistics)["relu.2"] >= 1
    np.testing.assert_allclose(found.sr, predict(model, ilr, protocol), rtol=0, atol=1e-6)


def test_sr_of_a_network_that_does_not_add_ilr(photo):
    model = VDSR(3, 4, 1, residual=False).eval()
    ilr = photo[:30, :41, 0] / 255
    np.testing.assert_allclose(survey(model, ilr, PAPER).sr, predict(model, ilr, PAPER), rtol=0, atol=1e-6)


def test_survey_pools_a_large_image(photo, make_model, monkeypatch):
    """Means of squares of pixels, also where the last square is not whole; SR is in full size."""
    ilr = PAPER.ground_truth(photo[:50, :67], 1)
    model = make_model(depth=3, width=4)
    monkeypatch.setattr(features, "KEPT_VALUES", ilr.size * 4 * 5 // 7)
    monkeypatch.setattr(features, "STRIP_PIXELS", 67 * 10)
    found = survey(model, ilr, PAPER)
    assert found.pooling == 3
    assert found.sr.shape == ilr.shape
    for layer in activations(model, ilr, PAPER):
        kept = found.layers[layer.name].maps
        assert kept.shape == (len(layer.maps), 17, 23)
        for row, col in ((0, 0), (5, 11), (16, 22)):
            square = layer.maps[:, row * 3 : row * 3 + 3, col * 3 : col * 3 + 3]
            np.testing.assert_allclose(kept[:, row, col], square.mean((1, 2)), rtol=2e-3, atol=1e-5)


def test_surveys_are_kept_by_image_and_weights(photo, make_model):
    ilr = photo[..., 0] / 255
    model = make_model()
    first = survey(model, ilr, PAPER)
    assert survey(make_model(), ilr.copy(), PAPER) is first
    model.conv["1"].weight.data[0, 0, 0, 0] += 0.5
    changed = survey(model, ilr, PAPER)
    assert changed is not first
    assert (changed.layers["conv.1"].maps != first.layers["conv.1"].maps).any()
    other = survey(model, ilr[::-1].copy(), PAPER)
    assert len(features._SURVEYS) == features.KEPT_SURVEYS
    assert survey(model, ilr[::-1].copy(), PAPER) is other
    with pytest.raises(ValueError, match="read-only"):
        other.layers["conv.1"].maps[0] = 0


def test_survey_of_a_large_image_stays_below_two_gigabytes():
    """2048 x 2048 at full width in a process of its own; in one piece, two layers alone are 2.1 GB."""
    pytest.importorskip("resource")
    code = """
import numpy as np, resource, sys
from vdsrlib.inference.features import survey
from vdsrlib.viz.layers import layer_view
from vdsrlib.models.vdsr import VDSR
from vdsrlib.protocol import PAPER
ilr = np.random.default_rng(0).random((2048, 2048))
found = survey(VDSR(3, 64).eval(), ilr, PAPER)
layer_view(found.layers["relu.2"], 63, ilr).png()
kept = sum(layer.maps.nbytes for layer in found.layers.values())
unit = 1 if sys.platform == "darwin" else 1024
print(found.pooling, kept, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    pooling, kept, resident = map(int, run.stdout.split())
    assert pooling > 1
    assert kept <= 2 * features.KEPT_VALUES
    assert resident < 2e9


@pytest.mark.parametrize(
    ("count", "rows", "columns"), [(64, 8, 8), (1, 1, 1), (2, 1, 2), (3, 2, 2), (5, 2, 3), (12, 3, 4)]
)
def test_mosaic_size(count, rows, columns):
    """Maps row by row with one white pixel between them; places without a map are white too."""
    maps = np.linspace(-1, 1, count)[:, None, None] * np.ones((count, 4, 6))
    picture = mosaic(Layer("conv.1", maps, limit=2.0))
    assert picture.shape == (rows * 5 - 1, columns * 7 - 1)
    assert picture.dtype == np.uint8
    for i in range(rows * columns):
        top, left = i // columns * 5, i % columns * 7
        tile = picture[top : top + 4, left : left + 6]
        wanted = np.floor(127.5 * (maps[i, 0, 0] / 2 + 1) + 0.5) if i < count else 255
        assert (tile == wanted).all()
    gaps = np.ones(picture.shape, bool)
    for i in range(rows * columns):
        gaps[i // columns * 5 :, :][:4, i % columns * 7 :][:, :6] = False
    assert (picture[gaps] == 255).all()


def test_mosaic_range():
    maps = np.zeros((4, 10, 10))
    assert (mosaic(Layer("x", maps, display_range(maps)))[:10, :10] == 128).all()
    maps[0], maps[1], maps[2] = 1.0, -1.0, 1e-9
    picture = mosaic(Layer("x", maps, 0.5))
    assert picture[0, 0] == 255
    assert picture[0, 11] == 0
    assert picture[11, 0] == picture[11, 11] == 128  # zero is mid-grey
    tiny = np.random.default_rng(0).normal(0, 1e-6, (4, 10, 10))
    assert mosaic(Layer("x", tiny, display_range(tiny))).std() > 25  # each layer is shown in its own range


def test_display_range():
    maps = np.random.default_rng(0).uniform(-3, 3, (8, 20, 20))
    assert 2.5 < display_range(maps) <= 3
    assert display_range(maps * 0) > 0
    maps[0, 0, 0] = 1e6
    assert display_range(maps) <= 3  # one pixel does not darken the rest


def test_dead_maps(make_model):
    """Those of the whole batch: a map that one image wakes is not dead."""
    model = make_model(depth=4, width=6)
    batch = torch.rand(2, 1, 12, 10, generator=torch.Generator().manual_seed(0))
    batch[1] = 0
    with torch.no_grad():
        for i, biases in {"1": (0, 0, 0, 0, 0, 0), "2": (-9, 9, -9, 9, 9, -9), "3": (9,) * 6}.items():
            model.conv[i].bias.copy_(torch.tensor(biases, dtype=torch.float32))
        model.conv["1"].weight.abs_()  # awake on the first image, zero on the second
    assert count_dead_maps(model, batch) == {"relu.2": 3}
    assert count_dead_maps(model, batch[1:]) == {"relu.1": 6, "relu.2": 3}


@pytest.mark.parametrize("channels", [1, 3])
def test_receptive_field_map(make_model, channels):
    found = receptive_field_map(make_model(channels, width=16), size=21)
    assert found.shape == (21, 21)
    assert found.max() == 1
    rows, cols = np.nonzero(found)
    assert (rows.min(), rows.max(), cols.min(), cols.max()) == (7, 13, 7, 13)


def test_central_shares():
    gradient = np.zeros((5, 5))
    gradient[2, 2], gradient[1, 3], gradient[0, 2] = 2.0, 1.0, 5.0
    np.testing.assert_allclose(central_shares(gradient), [0.25, 0.375, 1.0])
