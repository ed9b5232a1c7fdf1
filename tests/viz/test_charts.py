"""Figures draw on real arrays, without warnings; pictures have the pixels that they say."""

import base64
import inspect
import io
import re
import types
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest
from conftest import as_net
from matplotlib.figure import Figure
from PIL import Image

from vdsrlib.errors import InputError
from vdsrlib.evaluation.ground_truth import degrade_and_upscale
from vdsrlib.imaging.colour import to_uint8
from vdsrlib.imaging.crops import most_detailed_crop
from vdsrlib.imaging.resize import bicubic_matrix, imresize
from vdsrlib.inference.features import receptive_field_map, survey
from vdsrlib.inference.upscale import upscale_stages
from vdsrlib.models.vdsr import VDSR
from vdsrlib.protocol import PAPER
from vdsrlib.viz import charts, diagrams, panels
from vdsrlib.viz.mosaic import CaptionedImage, contact_sheet, grey, layer_mosaic, layer_view, mosaic

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture(scope="module")
def real(photo, grey_photo, make_model):
    """Real arrays to draw."""
    ilr = PAPER.pair(photo, 2)[2]
    model = make_model(depth=4, width=6)
    return types.SimpleNamespace(
        photo=photo,
        grey=grey_photo,
        ilr=ilr,
        model=model,
        survey=survey(model, ilr, PAPER),
        layers=list(survey(model, ilr, PAPER).layers.values()),
        resolved=degrade_and_upscale(as_net(model), photo, 2),
        history=[{"step": i, "loss": 1 / i, "learning_rate": 0.1} for i in range(10, 60, 10)],
        validation=[
            {"step": i, "psnr": {s: {"model": 30 + i / 100, "interpolation": 30.1} for s in ("2", "3")}}
            for i in (25, 50)
        ],
    )


DRAWINGS = {
    "image_row": [
        lambda x: panels.image_row({"HR": x.photo, "LR": imresize(x.photo, 0.5), "ILR": x.ilr}),
        lambda x: panels.image_row({"HR": x.photo}, box=(10, 20, 30, 40)),
        lambda x: panels.image_row(
            {str(i): imresize(x.photo / 255, 1 / i) for i in (1, 2, 3, 4, 5)}, (0, 0, 40, 40), columns=3
        ),
    ],
    "kernel_plot": [lambda x: charts.kernel_plot(3), lambda x: charts.kernel_plot(1.5)],
    "matrix_plot": [
        lambda x: charts.matrix_plot({"down": bicubic_matrix(24, 8, 1 / 3), "up": bicubic_matrix(8, 24, 3)})
    ],
    "dumbbell_plot": [
        lambda x: charts.dumbbell_plot(
            {"a rule": (29.9, 31.9), "another": (33.7, 37.5)},
            ("interpolation", "network"),
            {"published": 33.75},
            "dB",
        )
    ],
    "network_diagram": [
        lambda x: diagrams.network_diagram(VDSR()),
        lambda x: diagrams.network_diagram(VDSR(2, 3, 3, residual=False)),
    ],
    "difference_plot": [
        lambda x: charts.difference_plot({"a": ([30, 31], [32, 33]), "b": ([30], [29])}, "x", "y - x")
    ],
    "gallery": [
        lambda x: panels.gallery({"colour": x.photo, "grey": x.grey}),
        lambda x: panels.gallery({str(i): x.grey for i in range(9)}, columns=4),
    ],
    "size_histogram": [
        lambda x: charts.size_histogram([321, 321, 480, 512, 96], [2, 3, 4]),
        lambda x: charts.size_histogram([90], [2.5]),
    ],
    "response_plot": [
        lambda x: charts.response_plot(np.linspace(0, 0.5, 9), {"a": np.ones(9), "b": np.zeros(9)}, 3)
    ],
    "phase_plot": [lambda x: charts.phase_plot({"one": np.array([1, 4, 7]), "two": np.array([0, 4, 8])}, 9)],
    "line_plot": [
        lambda x: charts.line_plot({"a": ([2, 3, 4], [33.7, 30.4, 28.4])}, "scale", "PSNR (dB)"),
        lambda x: charts.line_plot(
            {str(i): (range(1, 50), np.arange(1, 50) ** (i / 4)) for i in range(1, 9)},
            "x",
            "y",
            logy=True,
            title="many",
        ),
        lambda x: charts.line_plot(
            {"none: all diverge": ([], [], [], []), "runs": ([10, 20, 40], [1, 2, 3], [0, 2, 2], [2, 3, 4])},
            "steps",
            "PSNR above interpolation (dB)",
            logx=True,
            beside=True,
        ),
        lambda x: charts.line_plot(
            {"low": ([1, 2], [18, 24]), "high": ([1, 2], [33, 34])},
            "epoch",
            "PSNR (dB)",
            level=("interpolation", 33.5),
            zoom=(32, 35),
        ),
        lambda x: charts.line_plot(
            {
                f"{of}, {who}": ([2, 3], [33 + i, 30])
                for i, of in enumerate("ab")
                for who in ("ours", "theirs")
            },
            "scale",
            "PSNR (dB)",
            group=2,
        ),
    ],
    "training_curves": [lambda x: charts.training_curves(x.history, x.validation)],
    "loss_curves": [
        lambda x: charts.loss_curves({f"{group}-{i}": x.history * 9 for group in "ab" for i in range(7)})
    ],
    "histograms": [
        lambda x: charts.histograms({"residual": x.photo[..., 0] / 255 - x.ilr}, "HR - ILR"),
        lambda x: charts.histograms({f"x{i}": x.grey / 255 - i / 10 for i in range(8)}, "difference"),
    ],
    "layer_statistics": [lambda x: charts.layer_statistics(x.survey.statistics)],
    "heat_maps": [
        lambda x: charts.heat_maps({"error": x.photo[..., 0] / 255 - x.ilr}, "difference"),
        lambda x: charts.heat_maps({"a": x.ilr - 0.5, "b": 0.5 - x.ilr}, "difference"),
        lambda x: charts.heat_maps({"nothing": np.zeros((8, 8))}, "difference"),
    ],
    "receptive_field_plot": [lambda x: charts.receptive_field_plot(receptive_field_map(x.model, 21), 9)],
}


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def drawn(figure: Figure) -> np.ndarray:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return pixels(buffer.getvalue())


@pytest.mark.parametrize(
    ("name", "draw"), [(name, draw) for name, drawings in DRAWINGS.items() for draw in drawings]
)
def test_draws(real, name, draw):
    figure = draw(real)
    assert isinstance(figure, Figure)
    picture = drawn(figure)
    assert picture.std() > 5
    assert min(picture.shape[:2]) > 100


def test_every_figure_is_tested():
    returns = {
        name
        for module in (charts, diagrams, panels)
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if not name.startswith("_") and inspect.signature(function).return_annotation is Figure
    }
    assert returns == set(DRAWINGS)


def test_loss_curves_are_means_side_by_side():
    rows = [{"step": step, "loss": float(step % 2)} for step in range(1, 9)]
    axes = charts.loss_curves({"one-2": rows, "one-3": rows, "two-2": rows}, points=2).axes
    assert [(axis.get_title(), len(axis.lines)) for axis in axes] == [("one", 2), ("two", 1)]
    assert axes[0].lines[0].get_xydata().tolist() == [[step, 0.5] for step in range(2, 9)]


def test_drawing_leaves_nothing_in_pyplot(real):
    """A figure that pyplot keeps is shown twice in a notebook, and never freed."""
    before = plt.get_fignums()
    charts.layer_statistics(real.survey.statistics)
    panels.image_row({"a": real.photo}, (0, 0, 8, 8))
    assert plt.get_fignums() == before


def test_busiest_box(grey_photo):
    smooth = np.full((60, 70), 0.5)
    smooth[30:45, 20:35] = grey_photo[:15, :15] / 255
    smooth[30:45:2, 20:35] = 1
    top, left, height, width = most_detailed_crop(smooth, 20)
    assert (height, width) == (20, 20)
    assert 25 <= top <= 30
    assert 15 <= left <= 20
    colour = most_detailed_crop(np.stack([smooth] * 3, axis=-1), 20)
    assert colour == (top, left, height, width)


class TestPictures:
    def test_png_and_page(self, real):
        """The widgets' PNG has the very pixels; the page has the caption too, and as alternative text."""
        for picture in (
            layer_mosaic(real.layers[1]),
            layer_view(real.layers[1], 5, real.ilr),
        ):
            wanted = np.broadcast_to(np.atleast_3d(picture.pixels), (*picture.pixels.shape[:2], 3))
            np.testing.assert_array_equal(pixels(picture.png()), wanted)
            data, metadata = picture._repr_mimebundle_()
            assert metadata["image/png"]["alt"] == data["text/plain"] == picture.caption
            page = pixels(base64.b64decode(data["image/png"]))
            band = len(page) - len(picture.pixels)
            assert (page[:band] < 128).any()
            assert np.abs(page[band:].astype(int) - wanted).mean() < 5

    def test_layer_mosaic(self, real):
        layer = real.layers[1]
        picture = layer_mosaic(layer, side=3 * 121 - 1)
        np.testing.assert_array_equal(picture.pixels, mosaic(layer))
        assert picture.caption.startswith("relu.1: 6 maps, −")
        assert f"{layer.limit:.3g} white" in picture.caption
        assert layer_mosaic(real.layers[-1]).caption.startswith("conv.4: 1 map,")

    def test_contact_sheet(self, real):
        """Mosaics in rows of three under their names, the rows as high as the highest mosaic."""
        sheet = contact_sheet(real.layers, columns=3, side=80).pixels
        assert sheet.shape == (3 * (64 + 22), 3 * 88 - 8)
        for i, layer in enumerate(real.layers):
            wanted = layer_mosaic(layer, 80).pixels
            top, left = i // 3 * 86 + 19, i % 3 * 88
            shown = sheet[top : top + len(wanted), left : left + wanted.shape[1]]
            np.testing.assert_array_equal(shown, wanted)
            assert (sheet[top - 19 : top, left : left + 80] < 128).any()

    def test_layer_view(self, real):
        """Input, mosaic, and the map: the third panel is that map, and the frame is around it."""
        layer = real.layers[2]
        seen = [layer_view(layer, index, real.ilr, side=120).pixels for index in range(6)]
        for index, view in enumerate(seen):
            assert view.shape == (96, 3 * 120 + 16, 3)
            np.testing.assert_array_equal(view[:, :120, 0], to_uint8(real.ilr))
            np.testing.assert_array_equal(view[:, 256:, 0], grey(layer)[index])
            framed = (view[:, 128:248] == np.array([0xD5, 0x5E, 0x00])).all(-1)
            rows, cols = np.nonzero(framed)
            assert (rows.mean() // 32, cols.mean() // 40) == (index // 3, index % 3)
        with pytest.raises(InputError, match="has no map 7; it has 6"):
            layer_view(layer, 6, real.ilr)

    def test_divided(self, real):
        images = {"HR": real.photo, "ILR": real.resolved.ilr}
        view = panels.split_view(images, "HR", "ILR", 0.25, side=120).pixels
        np.testing.assert_array_equal(view[:, :29], real.photo[:, :29])
        np.testing.assert_array_equal(view[:, 32:], to_uint8(real.resolved.ilr)[:, 32:])
        assert (view[:, 30] == np.array([0xD5, 0x5E, 0x00])).all()

    @pytest.mark.parametrize(
        ("centre", "top", "left"),
        [((0.5, 0.5), 24, 30), ((0, 0), 0, 0), ((1, 1), 48, 60), ((0.4, 0.9), 14, 60)],
    )
    def test_divided_zoom(self, real, centre, top, left):
        view = panels.split_view({"HR": real.photo}, "HR", "HR", 0, 2, centre, side=120).pixels
        wanted = real.photo[top : top + 48, left : left + 60].repeat(2, 0).repeat(2, 1)
        np.testing.assert_array_equal(view[:, 4:], wanted[:, 4:])

    def test_divided_sizes_differ(self, real):
        with pytest.raises(InputError, match="120 x 96 and 60 x 48 pixels; compare images of one size"):
            panels.split_view({"HR": real.photo, "LR": real.resolved.lr}, "HR", "LR")

    def test_scale_view(self, real):
        found = real.resolved
        view = panels.scale_view(found, 2.0, side=120)
        np.testing.assert_array_equal(view.pixels[:, :120], to_uint8(found.lr).repeat(2, 0).repeat(2, 1))
        np.testing.assert_array_equal(view.pixels[:, 256:376], to_uint8(found.sr))
        assert "LR (60 x 48 pixels)" in view.caption
        assert (
            f"ILR, PSNR {found.interpolation_score.psnr:.2f} dB; SR, {found.network_score.psnr:.2f} dB"
            in view.caption
        )
        with pytest.raises(InputError, match="no ground truth"):
            panels.scale_view(upscale_stages(as_net(real.model), real.photo, 2), 2.0)


def test_alternative_texts_in_notebooks_and_pages():
    """As IPython shows figures and pictures, and as ``make tutorial`` makes pages of them."""
    nbconvert = pytest.importorskip("nbconvert")
    from IPython.core.formatters import DisplayFormatter
    from IPython.core.pylabtools import select_figure_formats

    curves = {"a": (range(3), [1, 2, 3]), "b": (range(3), [3, 1, 2])}
    image = np.zeros((9, 9), np.uint8)
    shown = {
        "Chart. Two curves: dB over step: a, b.": charts.line_plot(curves, "step", "dB", title="Two curves"),
        "Images. HR; LR.": panels.image_row({"HR": image, "LR": image}, (2, 2, 4, 4)),
        'A "black" square.': CaptionedImage(image, 'A "black" square.'),
    }
    formatter, cell = DisplayFormatter(), nbformat.v4.new_code_cell()
    select_figure_formats(types.SimpleNamespace(display_formatter=formatter), ["png"])
    for text, picture in shown.items():
        data, metadata = formatter.format(picture)
        assert data["text/plain"] == text
        cell.outputs.append(nbformat.v4.new_output("display_data", data, metadata=metadata))
    template = {"template_name": "html", "extra_template_basedirs": [str(NOTEBOOKS)]}
    page, _ = nbconvert.HTMLExporter(**template).from_notebook_node(nbformat.v4.new_notebook(cells=[cell]))
    found = re.findall(r"<img alt=(\"[^\"]*\"|'[^']*')", page)
    assert [text[1:-1] for text in found] == list(shown)
