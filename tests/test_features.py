"""Activations of every layer, and their mosaics."""

import numpy as np
import pytest

from vdsrlib.evaluation import predict
from vdsrlib.features import (
    Layer,
    activations,
    display_range,
    mosaic,
    receptive_field_map,
    statistics,
)
from vdsrlib.files import InputError
from vdsrlib.protocol import PAPER, SEED


@pytest.mark.parametrize("protocol", [PAPER, SEED], ids=["paper", "seed"])
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


def test_channels_must_fit(photo, make_model):
    with pytest.raises(InputError, match="choose weights or a protocol that fit"):
        next(activations(make_model(3), photo[..., 0] / 255, PAPER))


@pytest.mark.parametrize(
    ("count", "rows", "columns"), [(64, 8, 8), (1, 1, 1), (2, 1, 2), (3, 2, 2), (5, 2, 3), (12, 3, 4)]
)
def test_mosaic_size(count, rows, columns):
    """Maps row by row with one white pixel between them; places without a map are white too."""
    maps = np.linspace(-1, 1, count)[:, None, None] * np.ones((count, 4, 6))
    picture = mosaic(maps, limit=2.0)
    assert picture.shape == (rows * 5 - 1, columns * 7 - 1)
    for i in range(rows * columns):
        top, left = i // columns * 5, i % columns * 7
        tile = picture[top : top + 4, left : left + 6]
        assert (tile == (0.5 + maps[i, 0, 0] / 4 if i < count else 1)).all()
    gaps = np.ones(picture.shape, bool)
    for i in range(rows * columns):
        gaps[i // columns * 5 :, :][:4, i % columns * 7 :][:, :6] = False
    assert (picture[gaps] == 1).all()


def test_mosaic_range():
    maps = np.zeros((4, 10, 10))
    assert (mosaic(maps)[:10, :10] == 0.5).all()
    maps[0], maps[1], maps[2] = 1.0, -1.0, 1e-9
    picture = mosaic(maps, limit=0.5)
    assert picture[0, 0] == 1
    assert picture[0, 11] == 0
    assert picture[11, 0] == pytest.approx(0.5)
    assert picture[11, 11] == 0.5  # zero is mid-grey
    tiny = np.random.default_rng(0).normal(0, 1e-6, (4, 10, 10))
    assert mosaic(tiny).std() > 0.1  # each layer is shown in its own range


def test_display_range():
    maps = np.random.default_rng(0).uniform(-3, 3, (8, 20, 20))
    assert 2.5 < display_range(maps) <= 3
    assert display_range(maps * 0) > 0
    maps[0, 0, 0] = 1e6
    assert display_range(maps) <= 3  # one pixel does not darken the rest


def test_statistics():
    maps = np.zeros((3, 2, 4), np.float32)
    maps[0, 0] = [1, -2, 3, 0]
    maps[2] = 0.5
    found = statistics(Layer("relu.7", maps))
    assert found == ("relu.7", pytest.approx(10 / 24), pytest.approx(13 / 24), 1)


@pytest.mark.parametrize("channels", [1, 3])
def test_receptive_field_map(make_model, channels):
    found = receptive_field_map(make_model(channels, width=16), size=21)
    assert found.shape == (21, 21)
    assert found.max() == 1
    rows, cols = np.nonzero(found)
    assert (rows.min(), rows.max(), cols.min(), cols.max()) == (7, 13, 7, 13)
