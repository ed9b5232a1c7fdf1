"""Widgets show what the plain functions draw, at once; an error is a sentence; a fault stops the chapter."""

import gc
import io
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
import types
import weakref
from datetime import datetime, timezone
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
from conftest import as_net
from PIL import Image

from vdsrlib.datasets.catalog import embedded
from vdsrlib.errors import InputError
from vdsrlib.evaluation.ground_truth import degrade_and_upscale
from vdsrlib.imaging.image_file import read_image, save_image
from vdsrlib.inference.features import Layer, Survey, survey
from vdsrlib.models import checkpoint
from vdsrlib.protocol import PAPER, REPLICATION
from vdsrlib.viz import panels, widgets
from vdsrlib.viz.captioned import CaptionedImage
from vdsrlib.viz.layers import layer_view

pytest.importorskip("ipywidgets")

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def real(photo, make_model):
    """A small network's view of a real photograph."""
    ilr = PAPER.pair(photo, 2)[2]
    model = make_model(depth=4, width=6)
    upscaled = degrade_and_upscale(as_net(model), photo, 2)
    return types.SimpleNamespace(
        photo=photo, ilr=ilr, model=model, survey=survey(model, ilr, PAPER), upscaled=upscaled
    )


def controls(panel):
    """Name -> control: by description, or by its options."""
    found = [control for row in panel.children[:-3] for control in row.children]
    return {control.description or control.options[0]: control for control in found}


def shows(panel, picture):
    shown = np.asarray(Image.open(io.BytesIO(panel.picture.value)))
    return np.array_equal(shown, picture.pixels) and panel.message.value == ""


class TestLayers:
    @pytest.fixture
    def panel(self, real):
        return widgets.layer_scrubber(real.survey, real.ilr)

    def test_each_control_shows_its_map(self, panel, real):
        layers = real.survey.layers
        assert shows(panel, layer_view(layers["conv.1"], 0, real.ilr))
        by = controls(panel)
        for name, value, layer, index in (
            ("layer", 3, "conv.3", 0),
            ("map", 5, "conv.3", 4),
            ("conv", "relu", "relu.3", 4),
            ("layer", 2, "relu.2", 4),
            ("layer", 4, "conv.4", 0),  # the last has no ReLU and one map
            ("layer", 1, "relu.1", 4),
        ):
            by[name].value = value
            assert shows(panel, layer_view(layers[layer], index, real.ilr)), (name, value)
        assert (by["layer"].min, by["layer"].max, by["map"].min, by["map"].max) == (1, 4, 1, 6)

    def test_rgb(self, photo, make_model):
        ilr = REPLICATION.pair(photo, 2)[2]
        panel = widgets.layer_scrubber(survey(make_model(3), ilr, REPLICATION), ilr)
        by = controls(panel)
        by["layer"].value, by["map"].value = 3, 3
        assert "conv.3, 3 maps. Right: map 3" in panel.caption.value

    def test_error_is_a_sentence_and_the_picture_stays(self, panel, monkeypatch):
        def fail(*_):
            raise ValueError("no <ink>")

        before = panel.picture.value
        monkeypatch.setattr("vdsrlib.viz.widgets.layer_view", fail)
        controls(panel)["map"].value = 3
        assert panel.message.value == '<b role="alert">This cannot be shown: no &lt;ink&gt;</b>'
        assert panel.picture.value == before
        monkeypatch.undo()
        controls(panel)["map"].value = 2
        assert panel.message.value == ""
        assert panel.picture.value != before

    def test_error_at_first_stops_the_cell(self, real, monkeypatch):
        monkeypatch.setattr("vdsrlib.viz.widgets.layer_view", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            widgets.layer_scrubber(real.survey, real.ilr)

    def test_a_step_takes_less_than_150_ms(self):
        """With the largest survey that there is: 64 maps of 231 x 231, a hundred times what a test has."""
        noise = np.random.default_rng(0).normal(size=(64, 231, 231)).astype(np.float16)
        layers = {name: Layer(name, noise, 2.0) for name in ("conv.1", "relu.1", "conv.2")}
        panel = widgets.layer_scrubber(Survey(layers, [], 1, noise[0]), np.zeros((231, 231)))
        chosen, times = controls(panel)["map"], []
        for value in range(2, 9):
            start = time.perf_counter()
            chosen.value = value
            times.append(time.perf_counter() - start)
        assert statistics.median(times) < 0.15


def test_comparison(real):
    images = {"HR": real.upscaled.hr, "ILR": real.upscaled.ilr, "SR": real.upscaled.sr}
    panel = widgets.comparison_slider(images, "ILR", "SR")
    by = controls(panel)
    state = {"left": "ILR", "right": "SR", "line (%)": 50, "zoom (×)": 1.0, "across (%)": 50, "down (%)": 50}
    assert {name: control.value for name, control in by.items()} == state
    for name, value in (("left", "HR"), ("right", "ILR"), ("line (%)", 70), ("zoom (×)", 2.5)):
        by[name].value = value
    by["across (%)"].value, by["down (%)"].value = 10, 80
    assert shows(panel, panels.split_view(images, "HR", "ILR", 0.7, 2.5, (0.8, 0.1)))


def test_scale_explorer(real):
    views = {
        scale: panels.scale_view(degrade_and_upscale(as_net(real.model), real.photo, scale), scale)
        for scale in (1.2, 2.0, 2.7)
    }
    panel = widgets.scale_explorer(views)
    assert shows(panel, views[1.2])
    controls(panel)["scale (×)"].value = 2.7
    assert shows(panel, views[2.7])
    assert "×2.7" in panel.caption.value


class TestImagePicker:
    @pytest.fixture
    def seen(self):
        return []

    @pytest.fixture
    def picker(self, seen):
        def view(image, step):
            step(0.5)
            if min(image.shape[:2]) < 20:
                raise InputError("It is too small.")
            seen.append(image)
            return widgets.Panel([], lambda: CaptionedImage(image, "an image"))

        return widgets.ImagePicker(view)

    def test_bundled(self, picker, seen):
        picker.bundled.label = "coffee"
        for image, name in zip(seen, ("astronaut.png", "coffee.png"), strict=True):
            np.testing.assert_array_equal(image, read_image(embedded([name])[0]))
        assert picker.bar.layout.visibility == "hidden"

    def test_folder(self, picker, seen, tmp_path, photo):
        save_image(tmp_path / "a.png", photo)
        save_image(tmp_path / "b.png", photo[::-1])
        save_image(tmp_path / "c.png", photo[:9])
        picker.folder.value = str(tmp_path)
        np.testing.assert_array_equal(seen[-1], photo)
        picker.file.label = "b.png"
        np.testing.assert_array_equal(seen[-1], photo[::-1])
        shown = picker.place.children
        picker.file.label = "c.png"
        assert picker.message.value == '<b role="alert">This image cannot be shown: It is too small.</b>'
        assert picker.place.children == shown
        picker.folder.value = str(tmp_path / "none")
        assert "There is no folder" in picker.message.value
        assert picker.file.disabled

    def test_upload(self, picker, seen, photo, photo_file):
        content = photo_file.read_bytes()

        def upload(name, content):
            file = {"name": name, "type": "image/png", "size": len(content)}
            file |= {"content": memoryview(content), "last_modified": datetime.now(timezone.utc)}
            picker.upload.value = (file,)

        upload("../my photo.png", content)
        np.testing.assert_array_equal(seen[-1], photo)
        assert picker.message.value == ""
        upload("cut.png", content[:500])
        assert "cut.png cannot be read as an image" in picker.message.value
        assert "/" not in picker.message.value.replace("</b>", "")

    def test_what_was_shown_is_freed(self, picker):
        old = weakref.ref(picker.place.children[0])
        picker.bundled.label = "coffee"
        gc.collect()
        assert old() is None


def test_a_table_is_sorted_by_the_chosen_column():
    rows = [["baby", 10.0, 2.0], ["bird", 9.0, 3.0], ["woman", 30.5, 1.0]]
    table = widgets.SortedTable(pd.DataFrame(rows, columns=["image", "PSNR", "gain"]), "gain")

    def order():
        return re.findall("baby|bird|woman", table.table.value)

    assert order() == ["bird", "baby", "woman"]
    table.by.value = "PSNR"
    assert order() == ["woman", "baby", "bird"]  # as numbers, not as texts
    table.order.value = "rising"
    assert order() == ["bird", "baby", "woman"]
    table.by.value = "image"
    assert order() == ["baby", "bird", "woman"]
    assert "30.50" in table.table.value


@pytest.mark.parametrize("name", ["layer_view", "panels.split_view", "panels.scale_view"])
def test_a_fault_in_what_a_widget_draws_stops_papermill(tmp_path, make_model, name):
    """It would vanish in a callback; the chapter calls the plain function first."""
    info = {"protocol": "paper", "scales": [2, 3], "recipe": "test", "data": "-"}
    checkpoint.save(tmp_path / "w.safetensors", make_model(), info)
    notebook = nbformat.read(ROOT / "notebooks" / "05_feature_maps.ipynb", 4)
    fault = f"def broken(*_, **__):\n    raise RuntimeError('planted')\n\n{name} = broken"
    notebook.cells.insert(2, nbformat.v4.new_code_cell(fault))
    nbformat.write(notebook, tmp_path / "chapter.ipynb")
    papermill = shutil.which("papermill", path=str(Path(sys.executable).parent))
    run = subprocess.run(
        [papermill, "chapter.ipynb", "out.ipynb", "-k", "python3", "-p", "weights", "w.safetensors"],
        cwd=tmp_path,
        env={**os.environ, "VDSR_DATA": ""},
        capture_output=True,
        text=True,
    )
    assert run.returncode != 0
    assert "RuntimeError: planted" in run.stderr
