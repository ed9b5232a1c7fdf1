"""Figures draw on real arrays, without warnings; moving a slider changes the picture."""

import inspect
import io
import types

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from vdsrlib import figures
from vdsrlib.degradation import BICUBIC
from vdsrlib.features import Layer, activations, receptive_field_map, statistics
from vdsrlib.protocol import PAPER, SEED
from vdsrlib.resize import bicubic_matrix, imresize

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture(scope="module")
def real(photo, grey_photo, make_model):
    """Real arrays to draw."""
    ilr = PAPER.degrade(PAPER.ground_truth(photo, 2), 2)[1]
    model = make_model(depth=4, width=6)
    return types.SimpleNamespace(
        photo=photo,
        grey=grey_photo,
        ilr=ilr,
        model=model,
        layers=list(activations(model, ilr, PAPER)),
        history=[{"step": i, "loss": 1 / i, "learning_rate": 0.1} for i in range(10, 60, 10)],
        validation=[
            {"step": i, "psnr": {s: {"model": 30 + i / 100, "interpolation": 30.1} for s in ("2", "3")}}
            for i in (25, 50)
        ],
    )


DRAWINGS = {
    "image_row": [
        lambda x: figures.image_row({"HR": x.photo, "LR": imresize(x.photo, 0.5), "ILR": x.ilr}),
        lambda x: figures.image_row({"HR": x.photo}, box=(10, 20, 30, 40)),
        lambda x: figures.image_row(
            {str(i): imresize(x.photo / 255, 1 / i) for i in (1, 2, 3, 4, 5)}, (0, 0, 40, 40), columns=3
        ),
    ],
    "kernel_plot": [lambda x: figures.kernel_plot(3), lambda x: figures.kernel_plot(1.5)],
    "matrix_plot": [
        lambda x: figures.matrix_plot({"down": bicubic_matrix(24, 8, 1 / 3), "up": bicubic_matrix(8, 24, 3)})
    ],
    "dumbbells": [
        lambda x: figures.dumbbells(
            {"a rule": (29.9, 31.9), "another": (33.7, 37.5)},
            ("interpolation", "network"),
            {"published": 33.75},
            "dB",
        )
    ],
    "scatter": [lambda x: figures.scatter({"a": ([30, 31], [32, 33]), "b": ([30], [29])}, "x", "y")],
    "gallery": [
        lambda x: figures.gallery({"colour": x.photo, "grey": x.grey}),
        lambda x: figures.gallery({str(i): x.grey for i in range(9)}, columns=4),
    ],
    "size_histogram": [
        lambda x: figures.size_histogram([321, 321, 480, 512, 96], [2, 3, 4]),
        lambda x: figures.size_histogram([90], [2.5]),
    ],
    "response_plot": [
        lambda x: figures.response_plot(np.linspace(0, 0.5, 9), {"a": np.ones(9), "b": np.zeros(9)}, 3)
    ],
    "phase_plot": [lambda x: figures.phase_plot({"one": np.array([1, 4, 7]), "two": np.array([0, 4, 8])}, 9)],
    "line_plot": [
        lambda x: figures.line_plot({"a": ([2, 3, 4], [33.7, 30.4, 28.4])}, "scale", "PSNR (dB)"),
        lambda x: figures.line_plot(
            {str(i): (range(1, 50), np.arange(1, 50) ** (i / 4)) for i in range(1, 9)},
            "x",
            "y",
            logy=True,
            title="many",
        ),
    ],
    "training_curves": [lambda x: figures.training_curves(x.history, x.validation)],
    "histograms": [
        lambda x: figures.histograms({"residual": x.photo[..., 0] / 255 - x.ilr}, "HR - ILR"),
        lambda x: figures.histograms({f"x{i}": x.grey / 255 - i / 10 for i in range(8)}, "difference"),
    ],
    "layer_mosaic": [
        lambda x: figures.layer_mosaic(x.layers[0]),
        lambda x: figures.layer_mosaic(x.layers[-1], "the residual"),
        lambda x: figures.layer_mosaic(Layer("dead", np.zeros((4, 8, 8), np.float32))),
    ],
    "contact_sheet": [
        lambda x: figures.contact_sheet(x.layers),
        lambda x: figures.contact_sheet(x.layers[:1]),
    ],
    "layer_statistics": [lambda x: figures.layer_statistics([statistics(layer) for layer in x.layers])],
    "heat_maps": [
        lambda x: figures.heat_maps({"error": x.photo[..., 0] / 255 - x.ilr}, "difference"),
        lambda x: figures.heat_maps({"a": x.ilr - 0.5, "b": 0.5 - x.ilr}, "difference"),
        lambda x: figures.heat_maps({"field": receptive_field_map(x.model, 21)}, "gradient", log=True),
        lambda x: figures.heat_maps({"nothing": np.zeros((8, 8))}, "difference"),
    ],
    "channel": [
        lambda x: figures.channel(x.layers[1], 5, x.ilr),
        lambda x: figures.channel(x.layers[1], 0, np.clip(BICUBIC(x.photo / 255, 2)[1], 0, 1)),
    ],
}


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


@pytest.mark.parametrize(
    ("name", "draw"), [(name, draw) for name, drawings in DRAWINGS.items() for draw in drawings]
)
def test_draws(real, name, draw):
    figure = draw(real)
    assert isinstance(figure, Figure)
    picture = pixels(figures.to_png(figure))
    assert picture.std() > 5
    assert min(picture.shape[:2]) > 100


def test_every_figure_is_tested():
    returns = {
        name
        for name, function in inspect.getmembers(figures, inspect.isfunction)
        if not name.startswith("_") and inspect.signature(function).return_annotation is Figure
    }
    assert returns == set(DRAWINGS)


def test_drawing_leaves_nothing_in_pyplot(real):
    """A figure that pyplot keeps is shown twice in a notebook, and never freed."""
    before = plt.get_fignums()
    figures.contact_sheet(real.layers)
    figures.image_row({"a": real.photo}, (0, 0, 8, 8))
    assert plt.get_fignums() == before


def test_busiest_box(grey_photo):
    smooth = np.full((60, 70), 0.5)
    smooth[30:45, 20:35] = grey_photo[:15, :15] / 255
    smooth[30:45:2, 20:35] = 1
    top, left, height, width = figures.busiest_box(smooth, 20)
    assert (height, width) == (20, 20)
    assert 25 <= top <= 30
    assert 15 <= left <= 20
    colour = figures.busiest_box(np.stack([smooth] * 3, axis=-1), 20)
    assert colour == (top, left, height, width)


class TestScrubber:
    @pytest.fixture
    def scrubber(self, real):
        pytest.importorskip("ipywidgets")
        from vdsrlib.widgets import layer_scrubber

        layer, chosen, message, picture = layer_scrubber(real.model, real.ilr, PAPER).children
        return types.SimpleNamespace(layer=layer, map=chosen, message=message, picture=picture)

    def test_first_picture(self, scrubber, real):
        assert [name for name, _ in scrubber.layer.options] == [layer.name for layer in real.layers]
        assert (scrubber.map.min, scrubber.map.value, scrubber.map.max) == (1, 1, 6)
        assert scrubber.message.value == ""
        half = real.layers[0]._replace(maps=real.layers[0].maps.astype(np.float16).astype(np.float32))
        wanted = pixels(figures.to_png(figures.channel(half, 0, real.ilr)))
        np.testing.assert_array_equal(pixels(scrubber.picture.value), wanted)

    def test_each_slider_changes_the_picture(self, scrubber):
        seen = [pixels(scrubber.picture.value)]
        for slider, value in ((scrubber.layer, 1), (scrubber.map, 4), (scrubber.layer, 3), (scrubber.map, 2)):
            slider.value = value
            assert scrubber.message.value == ""
            seen.append(pixels(scrubber.picture.value))
            different = seen[-1].shape != seen[-2].shape or (seen[-1] != seen[-2]).any()
            assert different

    def test_last_layer_has_one_map(self, scrubber):
        scrubber.map.value = 6
        scrubber.layer.value = len(scrubber.layer.options) - 1
        assert (scrubber.map.value, scrubber.map.max) == (1, 1)
        assert scrubber.message.value == ""
        scrubber.layer.value = 0
        assert scrubber.map.max == 6

    def test_rgb(self, photo, make_model):
        pytest.importorskip("ipywidgets")
        from vdsrlib.widgets import layer_scrubber

        ilr = SEED.degrade(SEED.ground_truth(photo, 2), 2)[1]
        *_, message, picture = layer_scrubber(make_model(3), ilr, SEED).children
        assert message.value == ""
        assert pixels(picture.value).std() > 5

    def test_failure_is_a_sentence(self, scrubber, monkeypatch):
        def fail(*_):
            raise ValueError("no ink")

        monkeypatch.setattr(figures, "channel", fail)
        scrubber.map.value = 3
        assert scrubber.message.value == "This map cannot be shown: no ink"
        monkeypatch.undo()
        scrubber.map.value = 2
        assert scrubber.message.value == ""
