"""Figures draw on real arrays, without warnings; pictures have the pixels that they say."""

import inspect
import io
import types
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from conftest import as_net
from matplotlib.figure import Figure
from PIL import Image

from vdsrlib.evaluation.ground_truth import degrade_and_upscale
from vdsrlib.imaging.resize import bicubic_matrix
from vdsrlib.inference.features import receptive_field_map, survey
from vdsrlib.models.vdsr import VDSR
from vdsrlib.protocol import PAPER
from vdsrlib.viz import charts, data_charts, network_charts, training_charts

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
        upscaled=degrade_and_upscale(as_net(model), photo, 2),
        history=[{"step": i, "loss": 1 / i, "learning_rate": 0.1} for i in range(10, 60, 10)],
        validation=[
            {"step": i, "psnr": {s: {"model": 30 + i / 100, "interpolation": 30.1} for s in ("2", "3")}}
            for i in (25, 50)
        ],
    )


DRAWINGS = {
    "kernel_plot": [lambda x: data_charts.kernel_plot(3), lambda x: data_charts.kernel_plot(1.5)],
    "matrix_plot": [
        lambda x: data_charts.matrix_plot(
            {"down": bicubic_matrix(24, 8, 1 / 3), "up": bicubic_matrix(8, 24, 3)}
        )
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
        lambda x: network_charts.network_diagram(VDSR()),
        lambda x: network_charts.network_diagram(VDSR(2, 3, 3, residual=False)),
    ],
    "difference_plot": [
        lambda x: charts.difference_plot({"a": ([30, 31], [32, 33]), "b": ([30], [29])}, "x", "y - x")
    ],
    "size_histogram": [
        lambda x: data_charts.size_histogram([321, 321, 480, 512, 96], [2, 3, 4]),
        lambda x: data_charts.size_histogram([90], [2.5]),
    ],
    "response_plot": [
        lambda x: data_charts.response_plot(np.linspace(0, 0.5, 9), {"a": np.ones(9), "b": np.zeros(9)}, 3)
    ],
    "phase_plot": [
        lambda x: data_charts.phase_plot({"one": np.array([1, 4, 7]), "two": np.array([0, 4, 8])}, 9)
    ],
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
    "zoomed_plot": [
        lambda x: charts.zoomed_plot(
            {"low": ([1, 2], [18, 24]), "high": ([1, 2], [33, 34])},
            "epoch",
            "PSNR (dB)",
            level=("interpolation", 33.5),
            zoom=(32, 35),
        ),
    ],
    "training_curves": [lambda x: training_charts.training_curves(x.history, x.validation, "title")],
    "watch_plot": [
        lambda x: training_charts.watch_plot({0: 20.0, 20: 30.5}, 30.2, {"SR": x.ilr, "HR": x.grey / 255})
    ],
    "residual_sum": [lambda x: network_charts.residual_sum(x.ilr, x.ilr**2)],
    "filter_sheet": [
        lambda x: network_charts.filter_sheet(np.random.default_rng(0).normal(size=(20, 3, 3)), "filters")
    ],
    "loss_curves": [
        lambda x: training_charts.loss_curves(
            {f"{group}-{i}": x.history * 9 for group in "ab" for i in range(7)}
        )
    ],
    "histograms": [
        lambda x: charts.histograms({"residual": x.photo[..., 0] / 255 - x.ilr}, "HR - ILR"),
        lambda x: charts.histograms({f"x{i}": x.grey / 255 - i / 10 for i in range(8)}, "difference"),
    ],
    "layer_statistics": [lambda x: network_charts.layer_statistics(x.survey.statistics)],
    "heat_maps": [
        lambda x: charts.heat_maps({"error": x.photo[..., 0] / 255 - x.ilr}, "difference"),
        lambda x: charts.heat_maps({"a": x.ilr - 0.5, "b": 0.5 - x.ilr}, "difference"),
        lambda x: charts.heat_maps({"nothing": np.zeros((8, 8))}, "difference"),
    ],
    "receptive_field_plot": [
        lambda x: network_charts.receptive_field_plot(receptive_field_map(x.model, 21), 9)
    ],
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
        for module in (charts, data_charts, network_charts, training_charts)
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if not name.startswith("_") and inspect.signature(function).return_annotation is Figure
    }
    assert returns == set(DRAWINGS)


def test_the_loss_of_a_training_is_drawn_relative_to_interpolation():
    """Where that is recorded: as it is, and as the ratio of the means of a tenth of the run."""
    losses = [(4.0, 2.0), (1.0, 2.0)] * 10
    rows = [
        {"step": 10 * i, "loss": loss, "interpolation_loss": base, "learning_rate": 0.1}
        for i, (loss, base) in enumerate(losses, start=1)
    ]
    validation = [{"step": 200, "psnr": {"2": {"model": 33.5, "interpolation": 33.0}}}]
    loss, scores, _ = training_charts.training_curves(rows, validation).axes
    pale, mean = loss.lines
    assert pale.get_ydata().tolist() == [2.0, 0.5] * 10
    assert mean.get_xydata().tolist() == [[step, 1.25] for step in range(20, 210, 10)]
    assert loss.get_ylabel() == "loss / that of interpolation, mean of 20 steps"
    assert scores.lines[0].get_ydata().tolist() == [0.5]
    old = [{key: row[key] for key in ("step", "loss", "learning_rate")} for row in rows]
    assert training_charts.training_curves(old, validation).axes[0].lines[0].get_ydata()[0] == 4.0


def test_a_suptitle_is_in_the_alternative_text():
    assert "the strongest" in repr(network_charts.filter_sheet(np.ones((2, 3, 3)), "the strongest first"))


def test_loss_curves_are_means_side_by_side():
    rows = [{"step": step, "loss": float(step % 2)} for step in range(1, 9)]
    axes = training_charts.loss_curves({"one-2": rows, "one-3": rows, "two-2": rows}, points=2).axes
    assert [(axis.get_title(), len(axis.lines)) for axis in axes] == [("one", 2), ("two", 1)]
    assert axes[0].lines[0].get_xydata().tolist() == [[step, 0.5] for step in range(2, 9)]


def test_drawing_leaves_nothing_in_pyplot(real):
    """A figure that pyplot keeps is shown twice in a notebook, and never freed."""
    before = plt.get_fignums()
    network_charts.layer_statistics(real.survey.statistics)
    assert plt.get_fignums() == before
